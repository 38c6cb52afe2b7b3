"""Connections to an engine: Unix sockets, TCP with or without TLS, and the `ssh` command."""

from __future__ import annotations

import os
import threading
import urllib.parse
from typing import TYPE_CHECKING

from docker.utils import parse_host
from docker.utils.config import load_general_config

from ...unpatched import modules
from .http import Client

if TYPE_CHECKING:
    import socket
    import ssl

    from docker.tls import TLSConfig

__all__ = ["connect", "ssh_command", "unix_path"]

_KEEPALIVE = (("TCP_KEEPIDLE", 30), ("TCP_KEEPINTVL", 10), ("TCP_KEEPCNT", 3))
"""Long calls have no timeout, so keepalive packets detect a vanished host, within 60 s."""


def connect(url: str, *, tls: TLSConfig | None) -> Client:
    """
    Return a client of the engine at *url*. Nothing is sent yet.

    No variable of the environment and no `~/.netrc` has a say in it: an engine's own CA counts,
    and no stream can be attached through a proxy.

    Args:
        url: `unix://`, `tcp://`, `http(s)://` or `ssh://`.
        tls: certificates for `tcp://`, or `None` for none.

    Raises:
        docker.errors.DockerException: *url* is invalid.
        OSError: a certificate cannot be read.
    """
    headers = load_general_config().get("HttpHeaders") or {}
    if url.startswith("unix://"):
        path = unix_path(url)
        return Client(lambda timeout: _dial_unix(path, timeout), headers=headers)
    if url.startswith("ssh://"):
        command = [*ssh_command(url), "docker", "system", "dial-stdio"]
        return Client(lambda _: _dial_process(command), headers=headers)
    parts = urllib.parse.urlsplit(str(parse_host(url, tls=tls is not None)))
    host, port = parts.hostname or "localhost", parts.port or 0
    context = _tls_context(tls) if parts.scheme == "https" else None
    return Client(
        lambda timeout: _dial_tcp(host, port, context, timeout),
        host=parts.netloc.rpartition("@")[2],
        prefix=parts.path.rstrip("/"),
        headers=headers,
    )


def unix_path(url: str) -> str:
    """
    Return the path of the socket in a `unix://` URL.
    """
    return "/" + url.removeprefix("unix://").lstrip("/")


def ssh_command(url: str) -> list[str]:
    """
    Return the `ssh` command line up to the host. This `ssh` never prompts, because nobody can
    answer in a test run.
    """
    parts = urllib.parse.urlsplit(url)
    command = ["ssh", "-T", "-o", "BatchMode=yes", "-o", "ConnectTimeout=10"]
    if parts.username:
        command += ["-l", parts.username]
    if parts.port:
        command += ["-p", str(parts.port)]
    return [*command, "--", parts.hostname or ""]


def _dial_unix(path: str, timeout: float | None) -> socket.socket:
    module = modules.socket
    connection = module.socket(module.AF_UNIX, module.SOCK_STREAM)
    try:
        connection.settimeout(timeout)
        connection.connect(path)
    except BaseException:
        connection.close()
        raise
    return connection


def _dial_tcp(
    host: str, port: int, context: ssl.SSLContext | None, timeout: float | None
) -> socket.socket:
    module = modules.socket
    connection = module.create_connection((host, port), timeout)
    try:
        connection.setsockopt(module.IPPROTO_TCP, module.TCP_NODELAY, 1)
        connection.setsockopt(module.SOL_SOCKET, module.SO_KEEPALIVE, 1)
        for name, value in _KEEPALIVE:
            if hasattr(module, name):
                connection.setsockopt(module.IPPROTO_TCP, getattr(module, name), value)
        return context.wrap_socket(connection, server_hostname=host) if context else connection
    except BaseException:
        connection.close()
        raise


def _tls_context(tls: TLSConfig | None) -> ssl.SSLContext:
    context = modules.ssl.SSLContext(modules.ssl.PROTOCOL_TLS_CLIENT)
    if tls is not None and not tls.verify:
        context.check_hostname = False
        context.verify_mode = modules.ssl.CERT_NONE
    elif tls is not None and tls.ca_cert:
        context.load_verify_locations(tls.ca_cert)
    else:
        context.load_default_certs()
    if tls is not None and tls.cert:
        context.load_cert_chain(*tls.cert)
    return context


def _dial_process(command: list[str]) -> socket.socket:
    """
    Start *command* with one end of a socket pair as its input and output.

    The SDK's own ssh transport needs paramiko and returns an object that is not
    a socket, so no stream can be attached through it.
    """
    ours, theirs = modules.socket.socketpair()
    # ssh prefers these to its own defaults, and fails with the libraries of another program.
    environ = {k: v for k, v in os.environ.items() if k not in ("LD_LIBRARY_PATH", "SSL_CERT_FILE")}
    try:
        process = modules.subprocess.Popen(
            command,
            stdin=theirs.fileno(),
            stdout=theirs.fileno(),
            stderr=modules.subprocess.DEVNULL,
            env=environ,
            # Ctrl-C must not end ssh: the clean-up that follows needs the connection.
            start_new_session=True,
        )
    except BaseException:
        ours.close()
        raise
    finally:
        theirs.close()
    # ssh ends when our end is closed. This thread collects its exit status.
    threading.Thread(target=process.wait, name="ssh-reaper", daemon=True).start()
    return ours

"""Connections to an engine: Unix sockets, TCP with or without TLS, and the `ssh` command."""

from __future__ import annotations

import os
import threading
from typing import TYPE_CHECKING

from docker.utils.config import load_general_config

from ...unpatched import modules
from ..places.place import SshWay, split_tcp, unix_path
from ..places.ssh import ssh_command, ssh_problem
from .http import Client

if TYPE_CHECKING:
    import socket
    import ssl

    from ..places.place import TlsFiles

__all__ = ["connect"]

_KEEPALIVE = (("TCP_KEEPIDLE", 30), ("TCP_KEEPINTVL", 10), ("TCP_KEEPCNT", 3))
"""Long calls have no timeout, so keepalive packets detect a vanished host, within 60 s."""


def connect(url: str, *, tls: TlsFiles | None, ssh: SshWay | None = None) -> Client:
    """
    Return a client of the engine at *url*. Nothing is sent yet.

    No variable of the environment and no `~/.netrc` has a say in it: an engine's own CA counts,
    and no stream can be attached through a proxy.

    Args:
        url: `unix://`, `tcp://`, `http(s)://` or `ssh://`.
        tls: certificates for `tcp://`, or `None` for none.
        ssh: how to use ssh.

    Raises:
        ValueError: *url* is invalid.
        OSError: a certificate cannot be read.
    """
    headers = load_general_config().get("HttpHeaders") or {}
    if url.startswith("unix://"):
        path = unix_path(url)
        return Client(lambda timeout: _dial_unix(path, timeout), headers=headers)
    if url.startswith("ssh://"):
        if problem := ssh_problem(url):
            raise ValueError(problem)
        command = ssh_command(url, ssh or SshWay(), "system", "dial-stdio")
        return Client(lambda _: _dial_process(command), headers=headers)
    encrypted = tls is not None or url.startswith("https://")
    host, port, path = split_tcp(url, tls=encrypted)
    context = _tls_context(tls) if encrypted else None
    return Client(
        lambda timeout: _dial_tcp(host, port, context, timeout),
        host=f"[{host}]:{port}" if ":" in host else f"{host}:{port}",
        prefix=path,
        headers=headers,
    )


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


def _tls_context(tls: TlsFiles | None) -> ssl.SSLContext:
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

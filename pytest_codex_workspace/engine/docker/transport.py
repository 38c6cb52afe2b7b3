"""Connections to an engine: Unix sockets, TCP with or without TLS, and the `ssh` command."""

from __future__ import annotations

import os
import socket
import subprocess
import threading
import urllib.parse
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import docker
import requests.adapters
from docker.transport.basehttpadapter import BaseHTTPAdapter
from urllib3.connection import HTTPConnection
from urllib3.connectionpool import HTTPConnectionPool

if TYPE_CHECKING:
    from docker.tls import TLSConfig

__all__ = ["api_client", "ssh_command", "unix_path"]

_CONNECTIONS = 64
"""The number of idle connections to keep. More connections may be in use."""

_BLOCK = 256 * 1024
"""Bytes read from an upload at a time."""

_KEEPALIVE = [
    (socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1),
    *(
        (socket.IPPROTO_TCP, getattr(socket, name), value)
        for name, value in (("TCP_KEEPIDLE", 30), ("TCP_KEEPINTVL", 10), ("TCP_KEEPCNT", 3))
        if hasattr(socket, name)
    ),
]
"""Long calls have no timeout, so keepalive packets detect a vanished host, within 60 s."""

Dial = Callable[[float | None], socket.socket]
"""Opens a connection; takes the time limit in seconds."""


def api_client(url: str, *, tls: TLSConfig | None, version: str) -> docker.APIClient:
    """
    Return a client of the Engine API at *url*. Nothing is sent yet.

    Args:
        url: `unix://`, `tcp://`, `http(s)://` or `ssh://`.
        tls: certificates for `tcp://`, or `None` for none.
        version: the API version that each call names.

    Raises:
        docker.errors.DockerException: *url* is invalid.
    """
    if url.startswith("unix://"):
        path = unix_path(url)
        client = _over_sockets(lambda timeout: _dial_unix(path, timeout), version)
    elif url.startswith("ssh://"):
        command = [*ssh_command(url), "docker", "system", "dial-stdio"]
        client = _over_sockets(lambda _: _dial_process(command), version)
    else:
        client = docker.APIClient(url, version=version, tls=tls or False)
        client.mount("http://", _TcpAdapter(pool_maxsize=_CONNECTIONS))
        client.mount("https://", _TcpAdapter(pool_maxsize=_CONNECTIONS))
    # Otherwise REQUESTS_CA_BUNDLE overrides the engine's own CA, HTTP_PROXY (through which no
    # stream can be attached) applies to loopback, and ~/.netrc is read for each call.
    client.trust_env = False
    # Compression takes longer than the local transfer of the bytes it saves.
    client.headers["Accept-Encoding"] = "identity"
    return client


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
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        connection.settimeout(timeout)
        connection.connect(path)
    except BaseException:
        connection.close()
        raise
    return connection


def _dial_process(command: list[str]) -> socket.socket:
    """
    Start *command* with one end of a socket pair as its input and output.

    The SDK's own ssh transport needs paramiko and returns an object that is not
    a socket, so no stream can be attached through it.
    """
    ours, theirs = socket.socketpair()
    # ssh prefers these to its own defaults, and fails with the libraries of another program.
    environ = {k: v for k, v in os.environ.items() if k not in ("LD_LIBRARY_PATH", "SSL_CERT_FILE")}
    try:
        process = subprocess.Popen(
            command,
            stdin=theirs.fileno(),
            stdout=theirs.fileno(),
            stderr=subprocess.DEVNULL,
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


def _over_sockets(dial: Dial, version: str) -> docker.APIClient:
    client = docker.APIClient("unix:///engine", version=version)
    client.mount("http+docker://", _DialAdapter(dial))
    return client


class _TcpAdapter(requests.adapters.HTTPAdapter):
    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        options = [*HTTPConnection.default_socket_options, *_KEEPALIVE]
        super().init_poolmanager(*args, socket_options=options, blocksize=_BLOCK, **kwargs)


class _DialAdapter(BaseHTTPAdapter):
    """
    One connection pool for the whole engine.

    The SDK's adapter keeps a pool for each URL, container id included, and may close
    the least recently used pool while a thread is about to use it.
    """

    def __init__(self, dial: Dial) -> None:
        self._pool = _DialPool(dial)
        super().__init__()

    def get_connection(self, url: Any, proxies: Any = None) -> HTTPConnectionPool:  # noqa: ARG002
        return self._pool

    def request_url(self, request: requests.PreparedRequest, proxies: Any) -> str:  # noqa: ARG002
        return request.path_url

    def close(self) -> None:
        super().close()
        self._pool.close()


class _DialPool(HTTPConnectionPool):
    def __init__(self, dial: Dial) -> None:
        super().__init__("localhost", maxsize=_CONNECTIONS)
        self._dial = dial

    def _new_conn(self) -> HTTPConnection:
        return _DialConnection(self._dial)


class _DialConnection(HTTPConnection):
    def __init__(self, dial: Dial) -> None:
        super().__init__("localhost", blocksize=_BLOCK)
        self._dial = dial

    def connect(self) -> None:
        self.sock = self._dial(self.timeout)

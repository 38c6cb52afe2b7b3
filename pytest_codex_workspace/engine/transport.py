"""How bytes reach an engine: Unix sockets, TCP with or without TLS, and the `ssh` command."""

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
"""Idle connections kept for the next call; more than that may be in use."""

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
"""Long calls have no timeout; this is how a host that vanished is noticed (60 s)."""

Dial = Callable[[float | None], socket.socket]
"""Opens a connection within so many seconds."""


def api_client(url: str, *, tls: TLSConfig | None, version: str) -> docker.APIClient:
    """
    A client of the Engine API at *url* that speaks *version*. Nothing is sent yet.

    Args:
        url: `unix://`, `tcp://`, `http(s)://` or `ssh://`.
        tls: certificates for `tcp://`, or `None` for none.
        version: the API version to name in each call.

    Raises:
        docker.errors.DockerException: *url* makes no sense.
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
    # Otherwise REQUESTS_CA_BUNDLE overrules the engine's own CA, HTTP_PROXY (through which no
    # stream can be attached) catches loopback, and ~/.netrc is read for each call.
    client.trust_env = False
    # Compression costs more than the local transfer it saves.
    client.headers["Accept-Encoding"] = "identity"
    return client


def unix_path(url: str) -> str:
    """
    The socket's path in a `unix://` URL.
    """
    return "/" + url.removeprefix("unix://").lstrip("/")


def ssh_command(url: str) -> list[str]:
    """
    The `ssh` command line up to the host. It never asks: there is no one to answer in a test run.
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

    The SDK's own ssh transport needs paramiko and hands out an object that
    is not a socket: nothing can be attached through it.
    """
    ours, theirs = socket.socketpair()
    # ssh prefers these over what it is built with, and breaks on foreign ones.
    environ = {k: v for k, v in os.environ.items() if k not in ("LD_LIBRARY_PATH", "SSL_CERT_FILE")}
    try:
        process = subprocess.Popen(
            command,
            stdin=theirs.fileno(),
            stdout=theirs.fileno(),
            stderr=subprocess.DEVNULL,
            env=environ,
            # Ctrl-C is for us: the clean-up that follows needs the connection.
            start_new_session=True,
        )
    except BaseException:
        ours.close()
        raise
    finally:
        theirs.close()
    # It ends when our end is closed; someone has to take its exit status then.
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
    One pool for the whole engine.

    The SDK's adapter keeps a pool for each URL, the container's id included,
    and closes the least recently used one under a thread that is about to use it.
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

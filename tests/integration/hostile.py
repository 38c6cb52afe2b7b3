"""Servers, clients and checks for tests of hostile workspaces."""

from __future__ import annotations

import contextlib
import socket
import ssl
import threading
from collections.abc import Callable, Sequence
from pathlib import Path

import h2.config
import h2.connection

from .origin import LOCAL
from .pki import PrivateAuthority
from .proxy_process import Running

OTHER = "127.0.0.2"
"""Another workspace of the same proxy."""

BOUND_MB = 200
"""What the proxy may take under attack, in megabytes. Idle it takes about 55."""

_PATIENCE = 20.0
"""Seconds to wait for an answer to the other workspace, less than the idle limits of the proxy."""


class RawOrigin:
    """
    A TLS server on loopback that passes each connection to a function of the test. The results of
    the function are kept in `seen`.
    """

    def __init__(
        self,
        directory: Path,
        serve: Callable[[ssl.SSLSocket], bytes | None],
        alpn: Sequence[str] = (),
    ) -> None:
        authority = PrivateAuthority()
        self.certificate = authority.certificate
        file = directory / "raw.pem"
        file.write_bytes(authority.issue("localhost", LOCAL))
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._context.load_cert_chain(file)
        if alpn:
            self._context.set_alpn_protocols(list(alpn))
        self._serve = serve
        self._socket = socket.create_server((LOCAL, 0), backlog=1000)
        self._open: set[socket.socket] = set()
        self._threads: list[threading.Thread] = []
        self.port: int = self._socket.getsockname()[1]
        self.seen: list[bytes] = []
        self._start(self._accept)

    def close(self) -> None:
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()
        for each in list(self._open):
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join(10)
            assert not thread.is_alive()

    def forget(self) -> None:
        """
        Begin a new list of what was seen. A connection of an earlier test, which may end later,
        adds to the earlier list.
        """
        self.seen = []

    def _start(self, target: Callable[..., None], *args: object) -> None:
        thread = threading.Thread(target=target, args=args)
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                raw, _ = self._socket.accept()
                self._open.add(raw)
                self._start(self._one, raw, self.seen)

    def _one(self, raw: socket.socket, seen: list[bytes]) -> None:
        with raw, contextlib.suppress(OSError), self._context.wrap_socket(raw, True) as secure:
            self._open.discard(raw)
            self._open.add(secure)
            try:
                if said := self._serve(secure):
                    seen.append(said)
            finally:
                self._open.discard(secure)


def head_of(connection: ssl.SSLSocket) -> bytes:
    """
    Return what arrives up to an empty line.
    """
    received = b""
    while b"\r\n\r\n" not in received:
        data = connection.recv(65536)
        if not data:
            break
        received += data
    return received


def http2_client(window: int | None = None) -> h2.connection.H2Connection:
    """
    Return an HTTP/2 client that also sends invalid requests.
    """
    config = h2.config.H2Configuration(
        client_side=True, validate_outbound_headers=False, normalize_outbound_headers=False
    )
    client = h2.connection.H2Connection(config)
    if window is not None:
        client.local_settings[h2.settings.SettingCodes.INITIAL_WINDOW_SIZE] = window
        client.local_settings.acknowledge()
    client.initiate_connection()
    return client


def head(path: str, method: str = "GET", *more: tuple[str, str]) -> list[tuple[str, str]]:
    """
    Return the header fields of a request over HTTP/2.
    """
    pseudo = [(":method", method), (":scheme", "https"), (":authority", "localhost")]
    return [*pseudo, (":path", path), *more]


def other_is_served(proxy: Running) -> None:
    """
    Another workspace gets its answer, and in time.
    """
    with socket.create_connection((LOCAL, proxy.port), _PATIENCE, source_address=(OTHER, 0)) as raw:
        raw.sendall(b"GET http://example.com/ HTTP/1.1\r\nHost: example.com\r\n\r\n")
        assert raw.recv(4096).startswith(b"HTTP/1.1 403")
    assert proxy.client.barrier(OTHER).complete
    assert proxy.client.requests("other")[-1].reason == "plain-http"


def memory(proxy: Running, line: str = "VmHWM") -> int:
    """
    Return the most memory that the proxy has used, in megabytes; with `VmRSS`, what it uses now.
    """
    status = Path(f"/proc/{proxy.stream.process.pid}/status").read_text("ascii")
    [found] = [each for each in status.splitlines() if each.startswith(line)]
    return int(found.split()[1]) // 1024

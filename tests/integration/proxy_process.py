"""The proxy's own program in a process, with a test as its workspace."""

from __future__ import annotations

import contextlib
import http.client
import os
import queue
import socket
import ssl
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pytest_codex_workspace.network.log import LiveNetwork, NetworkLog
from pytest_codex_workspace.network.policy_reader import PolicyReader
from pytest_codex_workspace.network.proxy_client import ProxyClient
from pytest_codex_workspace.network.rules.policy import Policy
from pytest_codex_workspace.network.rules.request import Request
from pytest_codex_workspace.network.rules.upstream import UpstreamProxy

from ..helpers.ports import free_port
from .origin import LOCAL, Origin

PROGRAM = Path(__file__).parents[2] / "proxy_addons" / "main.py"
PYTHON = os.environ.get("CODEX_TEST_PROXY_PYTHON", sys.executable)
"""Another interpreter, for another release of mitmproxy."""


class PipeStream:
    """
    The input and output of a process, in place of those of a container.
    """

    def __init__(self, argv: list[str]) -> None:
        pipe = subprocess.PIPE
        self.process = subprocess.Popen(argv, stdin=pipe, stdout=pipe, stderr=pipe)
        self._output: queue.Queue[tuple[int, bytes]] = queue.Queue()
        self._lock = threading.Lock()
        self._pumps = [
            threading.Thread(target=self._pump, args=pair, daemon=True)
            for pair in ((1, self.process.stdout), (2, self.process.stderr))
        ]
        for pump in self._pumps:
            pump.start()

    def _pump(self, channel: int, pipe: Any) -> None:
        while data := os.read(pipe.fileno(), 65536):
            self._output.put((channel, data))
        if channel == 1:
            self._output.put((0, b""))

    def send(self, data: bytes) -> None:
        with self._lock:
            self.process.stdin.write(data)
            self.process.stdin.flush()

    def receive(self) -> tuple[int, bytes]:
        return self._output.get()

    def close(self) -> None:
        with contextlib.suppress(OSError):
            self.process.stdin.close()
        self.process.wait(10)
        for pump in self._pumps:
            pump.join(10)
        self.process.stdout.close()
        self.process.stderr.close()


class Running:
    """
    A proxy in a process, with this test as its workspace.
    """

    def __init__(
        self,
        origin: Origin,
        directory: Path,
        *,
        bodies: int = 0,
        cassette: str = "off",
        upstream: UpstreamProxy | None = None,
        trusts: bytes | None = None,
        secrets: Sequence[Mapping[str, Any]] = (),
        **changes: Any,
    ) -> None:
        self.origin = origin
        self.stream, self.client = start()
        self.port, self.dns_port = free_port(), free_port()
        policy = {"ports": (443, origin.port), "private": (f"{LOCAL}/32",), **changes}
        self.policy = Policy(**policy)
        self.info = self.client.configure(
            None,
            origin.certificate if trusts is None else trusts,
            LOCAL,
            self.policy,
            bodies=bodies,
            cassette=cassette,
            upstream=upstream,
            secrets=secrets,
            port=self.port,
            dns_port=self.dns_port,
        )
        file = directory / "proxy.pem"
        file.write_bytes(self.info.ca_certificate)
        self.context = ssl.create_default_context(cafile=file)
        self.workspace = 0
        self.renew()

    def renew(self) -> None:
        """
        Become another workspace, with an empty log.
        """
        self.client.release(LOCAL)
        self.workspace += 1
        self.client.register(LOCAL, self.name, "test")
        self.origin.forget()

    @property
    def name(self) -> str:
        return f"w{self.workspace}"

    @property
    def log(self) -> NetworkLog:
        def sync() -> list[Request]:
            assert self.client.barrier(LOCAL).complete
            return self.client.requests(self.name)

        return NetworkLog(
            sync,
            LiveNetwork(
                self.client, LOCAL, PolicyReader().read, policy=lambda: self.policy, use=self.use
            ),
        )

    def use(self, policy: Policy) -> Policy:
        """
        Apply a policy, and return the one before.
        """
        self.client.policy(LOCAL, policy)
        before, self.policy = self.policy, policy
        return before

    def connect(self) -> socket.socket:
        return socket.create_connection((LOCAL, self.port), timeout=10)

    def tunnel(self, host: str = "localhost", port: int | None = None) -> socket.socket:
        """
        Return a socket behind an accepted CONNECT.
        """
        raw = self.connect()
        raw.sendall(f"CONNECT {host}:{port or self.origin.port} HTTP/1.1\r\n\r\n".encode())
        assert raw.recv(4096).startswith(b"HTTP/1.1 200")
        return raw

    def secure(self, sni: str | None = "localhost", alpn: str | None = None) -> ssl.SSLSocket:
        """
        Start TLS inside a tunnel to the origin.
        """
        self.context.set_alpn_protocols([alpn] if alpn else ["http/1.1"])
        self.context.check_hostname = sni == "localhost"
        return self.context.wrap_socket(self.tunnel(), server_hostname=sni)

    def https(self) -> http.client.HTTPSConnection:
        """
        Return an HTTPS client without special behaviour.
        """
        self.context.set_alpn_protocols(["http/1.1"])
        connection = http.client.HTTPSConnection(LOCAL, self.port, context=self.context, timeout=20)
        connection.set_tunnel("localhost", self.origin.port)
        return connection

    def ask(self, data: bytes, sni: str | None = "localhost") -> bytes:
        """
        Send bytes inside TLS, and return the answer up to its end.
        """
        with self.secure(sni) as secure:
            secure.sendall(data)
            return read_all(secure)

    def ask_in_clear(self, data: bytes) -> bytes:
        with self.connect() as raw:
            raw.sendall(data)
            return read_all(raw)


def start() -> tuple[PipeStream, ProxyClient]:
    """
    Start the program. Return the process and the host's end of the connection to it.
    """
    stream = PipeStream([PYTHON, "-I", "-u", str(PROGRAM)])
    return stream, ProxyClient(stream, describe=lambda: "it was a process")


def read_all(connection: socket.socket) -> bytes:
    """
    Return everything that arrives until the connection ends, even by an error.
    """
    received = b""
    with contextlib.suppress(ConnectionError, ssl.SSLError):
        while data := connection.recv(65536):
            received += data
    return received

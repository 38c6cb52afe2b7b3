"""What the gate costs: our proxy beside plain mitmproxy, taking turns in one run on loopback.

Run it with `make bench`, or alone from the repository's root with
`python -m benchmarks.proxy`. It needs no engine. The figure is requests per
second over connections that stay open, of our proxy divided by mitmproxy's.
"""

from __future__ import annotations

import asyncio
import contextlib
import multiprocessing
import socket
import ssl
import statistics
import sys
import tempfile
import threading
import time
from pathlib import Path

from pytest_codex_workspace.network.rules.policy import Policy
from tests.helpers.ports import free_port
from tests.integration.company_proxy import CompanyProxy
from tests.integration.origin import LOCAL
from tests.integration.pki import PrivateAuthority
from tests.integration.proxy_process import start

ROUNDS = 5
SECONDS = 2.0
CLIENTS = (1, 16)
BOUND = 0.9

BODY = b"x" * 1024
ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(BODY), BODY)


def serve(port: int, pem: str) -> None:
    """
    An origin that is faster than any proxy before it.
    """

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            while await reader.readuntil(b"\r\n\r\n"):
                writer.write(ANSWER)

    async def main() -> None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(pem)
        async with await asyncio.start_server(answer, LOCAL, port, ssl=context) as server:
            await server.serve_forever()

    asyncio.run(main())


class Client:
    """
    One connection through a proxy that stays open.
    """

    def __init__(self, proxy: int, origin: int, certificate: bytes) -> None:
        context = ssl.create_default_context(cadata=certificate.decode("ascii"))
        context.set_alpn_protocols(["http/1.1"])
        raw = socket.create_connection((LOCAL, proxy), timeout=30)
        raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        raw.sendall(f"CONNECT localhost:{origin} HTTP/1.1\r\n\r\n".encode())
        assert raw.recv(4096).startswith(b"HTTP/1.1 200")
        self._secure = context.wrap_socket(raw, server_hostname="localhost")
        self._request = b"GET /some/path?page=1 HTTP/1.1\r\nHost: localhost:%d\r\n\r\n" % origin
        self.count = 0

    def ask(self) -> None:
        """
        One request and its whole answer.
        """
        self._secure.sendall(self._request)
        received = self._secure.recv(65536)
        while not received.endswith(BODY):
            received += self._secure.recv(65536)
        assert received.startswith(b"HTTP/1.1 200")

    def run(self, until: float) -> None:
        """
        One request after the other.
        """
        while time.perf_counter() < until:
            self.ask()
            self.count += 1

    def close(self) -> None:
        """
        End the connection.
        """
        self._secure.close()


def measure(proxy: int, origin: int, certificate: bytes, clients: int) -> tuple[int, float]:
    """
    Return the number of requests of *clients* parallel clients, and the rate per second.
    """
    asking = [Client(proxy, origin, certificate) for _ in range(clients)]
    for client in asking:
        client.ask()
    began = time.perf_counter()
    threads = [threading.Thread(target=each.run, args=(began + SECONDS,)) for each in asking]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    seconds = time.perf_counter() - began
    for client in asking:
        client.close()
    count = sum(each.count for each in asking)
    return count, count / seconds


def main() -> int:
    """
    Measure; 1 if the bound does not hold.
    """
    held, asked = True, 0
    authority = PrivateAuthority()
    origin = free_port()
    with tempfile.TemporaryDirectory() as name, contextlib.ExitStack() as stops:
        directory = Path(name)
        (directory / "key.pem").write_bytes(authority.issue("localhost"))
        (directory / "ca.pem").write_bytes(authority.certificate)
        server = multiprocessing.Process(
            target=serve, args=(origin, str(directory / "key.pem")), daemon=True
        )
        server.start()
        stops.callback(server.kill)

        plain = CompanyProxy(
            directory,
            flow_detail="0",
            termlog_verbosity="error",
            ssl_verify_upstream_trusted_ca=str(directory / "ca.pem"),
        )
        stops.callback(plain.close)

        _, client = start()
        stops.callback(client.close)
        gate = free_port()
        policy = Policy(ports=(origin,), private=(f"{LOCAL}/32",))
        info = client.configure(
            None, authority.certificate, LOCAL, policy, port=gate, dns_port=free_port()
        )
        client.register(LOCAL, "bench", "test")

        for clients in CLIENTS:
            pairs = []
            for _ in range(ROUNDS):
                count, gated = measure(gate, origin, info.ca_certificate, clients)
                _, bare = measure(plain.port, origin, plain.certificate, clients)
                pairs.append((gated, bare))
                asked += count + clients
            ratios = sorted(gated / bare for gated, bare in pairs)
            ratio = statistics.median(ratios)
            held = held and ratio >= BOUND
            gated, bare = (statistics.median(each) for each in zip(*pairs, strict=True))
            print(f"gated {gated:.0f} requests/s, mitmproxy {bare:.0f}; lowest {ratios[0]:.2f}")
            print(
                f"{f'gated proxy / plain mitmproxy, {clients} at a time, median of rounds':<78} "
                f"{ratio:8.3f} >= {BOUND:g} {'ok' if ratio >= BOUND else 'TOO LOW'}"
            )
        assert client.barrier(LOCAL)
        assert len(client.requests("bench")) == asked, "the gate did not log all of it"
    return 0 if held else 1


if __name__ == "__main__":
    sys.exit(main())

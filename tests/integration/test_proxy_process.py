"""S10, S11: The proxy's own program, on loopback, handles raw clients and a server of ours."""

from __future__ import annotations

import contextlib
import http.client
import os
import socket
import ssl
import struct
import threading
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import h2.config
import h2.connection
import h2.events
import pytest

from pytest_codex_workspace.errors import ProxyError
from pytest_codex_workspace.network.rules.policy import Policy

from ..helpers.ports import free_port
from .hostile import RawOrigin, head_of
from .origin import LOCAL, Origin
from .proxy_process import Running, read_all, start


@pytest.fixture(autouse=True)
def _engine() -> None:
    """
    Replace the fixture of this name: these tests need no engine.
    """


def test_ordinary_requests(proxy: Running) -> None:
    """
    S10: Several requests on one connection are each in the log with their own data.
    """
    connection = proxy.https()
    for path in ("/a?token=secret", "/big"):
        connection.request("GET", path)
        assert connection.getresponse().read()
    connection.request("POST", "/c", body=b"y" * 2_000_000)

    assert connection.getresponse().read() == b"2000000"
    first, big, post = proxy.log
    assert first.path == "/a?token=REDACTED"
    assert (big.size, big.status, big.verdict) == (3_000_000, 200, "allowed")
    assert (post.method, post.size) == ("POST", 7)
    assert proxy.origin.seen == [("GET", "/a?token=secret"), ("GET", "/big"), ("POST", "/c")]
    connection.close()


@pytest.mark.parametrize(
    ("head", "reason"),
    [
        (b"GET http://localhost/ HTTP/1.1\r\nHost: localhost\r\n\r\n", "plain-http"),
        (b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n", "plain-http"),
        (b"GET https://localhost/ HTTP/1.1\r\nHost: localhost\r\n\r\n", "not-tls"),
        (b"GET http://localhost/ HTTP/1.1\r\nUpgrade: websocket\r\n\r\n", "websocket"),
        (b"CONNECT localhost:22 HTTP/1.1\r\n\r\n", "port-not-allowed"),
        (b"CONNECT 10.0.0.1:443 HTTP/1.1\r\n\r\n", "private-address"),
        (b"CONNECT 0xa000001:443 HTTP/1.1\r\n\r\n", "private-address"),
        (b"CONNECT [::1]:443 HTTP/1.1\r\n\r\n", "private-address"),
    ],
)
def test_refusals_in_clear(proxy: Running, head: bytes, reason: str) -> None:
    """
    S10: A refusal has status 403, a header for programs and a text for people.
    """
    head = head.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n")
    with proxy.connect() as raw:
        raw.sendall(head)
        answer = raw.recv(65536)

    assert answer.startswith(b"HTTP/1.1 403")
    assert f"x-codex-workspace-reason: {reason}".encode() in answer
    assert b"content-type: text/plain" in answer
    proxy.log.assert_blocked(reason)
    assert len(proxy.log) == 1
    assert proxy.origin.seen == []


@pytest.mark.parametrize(
    ("request_head", "sni", "reason"),
    [
        (b"GET / HTTP/1.1\r\nHost: evil.example\r\n\r\n", "localhost", "name-mismatch"),
        (b"GET / HTTP/1.1\r\nHost: localhost\r\nHost: localhost\r\n\r\n", None, "name-mismatch"),
        (b"GET https://evil.example/ HTTP/1.1\r\n\r\n", "localhost", "name-mismatch"),
        (b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n", "evil.example", "name-mismatch"),
        (b"GET / HTTP/1.1\r\nHost: localhost\r\nUpgrade: x, websocket\r\n\r\n", None, "websocket"),
    ],
)
def test_refusals_inside_tls(
    proxy: Running, request_head: bytes, sni: str | None, reason: str
) -> None:
    """
    S10, S11: Each request is judged and answered with a readable text, and nothing reaches the
    server.
    """
    answer = proxy.ask(request_head, sni)

    assert answer.startswith(b"HTTP/1.1 403")
    assert f"x-codex-workspace-reason: {reason}".encode() in answer
    proxy.log.assert_blocked(reason, host="localhost")
    assert proxy.origin.seen == []


@pytest.mark.parametrize("pause", [False, True])
@pytest.mark.parametrize("data", [b"SSH-2.0-x\r\n", b"GET / HTTP/1.1\r\n\r\n", b"\x16\x02\x00"])
def test_a_tunnel_carries_only_tls(proxy: Running, data: bytes, pause: bool) -> None:
    """
    S10: Anything but TLS is refused, however the bytes are split.
    """
    with proxy.tunnel() as raw:
        for piece in [data[i : i + 1] for i in range(len(data))] if pause else [data]:
            with contextlib.suppress(ConnectionError):
                raw.sendall(piece)
        assert read_all(raw) == b""

    proxy.log.assert_blocked("not-tls", host="localhost")
    assert len(proxy.log) == 1


@pytest.mark.parametrize("data", [b"SSH-2.0-x\r\n", b"\x00\x00\x00", b"PRI * HTTP/2.0\r\n\r\n"])
def test_tls_carries_only_http(proxy: Running, data: bytes) -> None:
    """
    S10: No byte of anything but HTTP passes inside TLS.
    """
    assert proxy.ask(data) == b""
    proxy.log.assert_blocked("not-tls", host="localhost")
    assert proxy.origin.seen == []


def test_tls_in_small_segments(proxy: Running) -> None:
    """
    S10: A handshake that arrives byte by byte is accepted.
    """
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    proxy.context.set_alpn_protocols(["http/1.1"])
    proxy.context.check_hostname = True
    tls = proxy.context.wrap_bio(incoming, outgoing, server_hostname="localhost")
    with proxy.tunnel() as raw:
        raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        with contextlib.suppress(ssl.SSLWantReadError):
            tls.do_handshake()
        for byte in outgoing.read():
            raw.sendall(bytes([byte]))
        incoming.write(raw.recv(65536))
        tls.do_handshake()
        assert tls.version()


def test_an_unasked_switch_of_protocols(proxy: Running) -> None:
    """
    S11: A 101 is cut off before a byte of it arrives.
    """
    assert proxy.ask(b"GET /switch HTTP/1.1\r\nHost: localhost\r\n\r\n") == b""
    proxy.log.assert_blocked("websocket", path="/switch", status=None)


def test_a_refused_upload_takes_no_memory(proxy: Running) -> None:
    """
    S10: The body is read and dropped, and the answer arrives.
    """
    before = _resident(proxy.stream.process.pid)
    connection = http.client.HTTPConnection(LOCAL, proxy.port, timeout=20)
    connection.request("POST", "http://localhost/", body=b"z" * 100_000_000)

    assert connection.getresponse().status == 403
    assert _resident(proxy.stream.process.pid) - before < 30
    connection.close()


def test_http2(proxy: Running) -> None:
    """
    S10: HTTP/2 is judged like HTTP/1.1, and an upload of unknown length arrives whole.
    """
    with proxy.secure(alpn="h2") as secure:
        assert secure.selected_alpn_protocol() == "h2"
        answers = _http2(
            secure,
            [
                (f"localhost:{proxy.origin.port}", "/upload", b"u" * 5000),
                ("evil.example", "/", b""),
            ],
        )

    assert answers == {1: ("200", b"5000"), 3: ("403", answers[3][1])}
    assert b"name-mismatch" in answers[3][1]
    proxy.log.assert_requested(count=1, path="/upload", status=200, verdict="allowed")
    proxy.log.assert_blocked("name-mismatch")
    assert proxy.origin.seen == [("POST", "/upload")]


def _http2(
    secure: ssl.SSLSocket,
    requests: list[tuple[str, str, bytes]],
    more: Sequence[tuple[str, str]] = (),
) -> dict[int, Any]:
    client = h2.connection.H2Connection(h2.config.H2Configuration(client_side=True))
    client.initiate_connection()
    for authority, path, body in requests:
        stream = client.get_next_available_stream_id()
        headers = [
            (":method", "POST" if body else "GET"),
            (":scheme", "https"),
            (":authority", authority),
            (":path", path),
            *more,
        ]
        client.send_headers(stream, headers, end_stream=not body)
        if body:
            client.send_data(stream, body, end_stream=True)
    secure.sendall(client.data_to_send())
    status: dict[int, str] = {}
    bodies: dict[int, bytes] = {}
    ended: set[int] = set()
    while len(ended) < len(requests):
        for event in client.receive_data(secure.recv(65536)):
            if isinstance(event, h2.events.ResponseReceived):
                status[event.stream_id] = dict(event.headers)[b":status"].decode()
            elif isinstance(event, h2.events.DataReceived):
                bodies[event.stream_id] = bodies.get(event.stream_id, b"") + event.data
            elif isinstance(event, (h2.events.StreamEnded, h2.events.StreamReset)):
                ended.add(event.stream_id)
        secure.sendall(client.data_to_send())
    return {stream: (status[stream], bodies.get(stream, b"")) for stream in status}


@pytest.mark.promise("S10")
@pytest.mark.parametrize("length", [None, "5"])
def test_trailers_of_http2(proxy: Running, length: str | None) -> None:
    """
    S10: The body arrives completely, without its trailers, at a server that uses HTTP/1.
    """
    client = h2.connection.H2Connection(h2.config.H2Configuration(client_side=True))
    client.initiate_connection()
    headers = [(":method", "POST"), (":scheme", "https"), (":path", "/t")]
    headers += [(":authority", "localhost"), *([("content-length", length)] if length else [])]
    client.send_headers(1, headers)
    client.send_data(1, b"hello")
    client.send_headers(1, [("x-t", "v")], end_stream=True)
    received = b""
    with proxy.secure(alpn="h2") as secure:
        secure.sendall(client.data_to_send())
        while not received:
            for event in client.receive_data(secure.recv(65536)):
                if isinstance(event, h2.events.DataReceived):
                    received += event.data

    assert received == b"5"
    assert proxy.log.requests(path="/t", status=200)


@pytest.mark.parametrize(("path", "status"), [("/silence", 502), ("/half", 200)])
def test_a_server_that_breaks_off(proxy: Running, path: str, status: int) -> None:
    """
    The log says that the server closed the connection.
    """
    proxy.ask(f"GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())

    [request] = proxy.log
    assert (request.status, request.verdict, request.reason) == (status, "failed", "upstream-error")


def test_servers_that_cannot_be_reached(origin: Origin, tmp_path: Path) -> None:
    """
    Refused connections, unknown names, private addresses behind names and foreign certificates
    are explained.
    """
    closed = free_port()
    proxy = Running(origin, tmp_path, ports=(closed, origin.port))
    asked = b"GET / HTTP/1.1\r\nConnection: close\r\n\r\n"
    try:
        for host, port in (("localhost", closed), ("nowhere.invalid", closed)):
            with proxy.tunnel(host, port) as raw:
                proxy.context.check_hostname = False
                with proxy.context.wrap_socket(raw, server_hostname=host) as secure:
                    secure.sendall(asked)
                    assert secure.recv(65536).startswith(b"HTTP/1.1 502")
        proxy.client.policy(LOCAL, Policy(ports=(origin.port,)))
        with proxy.secure() as secure:
            secure.sendall(asked)
            assert secure.recv(65536).startswith(b"HTTP/1.1 403")
        refused, unknown, private = proxy.log
        assert "Connect call failed" in refused.explanation
        assert (unknown.status, unknown.reason) == (502, "upstream-error")
        assert (private.verdict, private.reason) == ("blocked", "private-address")
        assert origin.seen == []
    finally:
        proxy.client.close()


def test_plain_http_where_it_is_allowed(origin: Origin, tmp_path: Path) -> None:
    """
    A target that differs from the Host header is refused over plain HTTP, too.
    """
    plain = Origin(tmp_path, tls=False)
    proxy = Running(origin, tmp_path, http="allow", ports=(plain.port,))
    url = f"http://localhost:{plain.port}"
    try:
        connection = http.client.HTTPConnection(LOCAL, proxy.port, timeout=10)
        connection.request("POST", f"{url}/a", body=b"abc")
        assert connection.getresponse().read() == b"3"
        connection.request("GET", f"{url}/b", headers={"Host": "evil.example"})
        assert connection.getresponse().status == 403
        connection.close()
        assert plain.seen == [("POST", "/a")]
        first, second = proxy.log
        assert (first.url, first.verdict) == (f"{url}/a", "allowed")
        assert second.reason == "name-mismatch"
    finally:
        proxy.client.close()
        plain.close()


@pytest.mark.promise("S13")
@pytest.mark.parametrize(
    ("begin", "rest", "path"),
    [
        (b"Content-Length: 5\r\n\r\nab", b"cde", "/held"),
        (b"Transfer-Encoding: chunked\r\n\r\n2\r\nab\r\n", b"6\r\nSTOLEN\r\n0\r\n\r\n", "/chunks"),
    ],
)
def test_a_policy_is_for_what_is_under_way(
    proxy: Running, begin: bytes, rest: bytes, path: str
) -> None:
    """
    S13: A request that a new policy blocks is cut off, even if a part has already left.
    """
    head = b"POST " + path.encode() + b" HTTP/1.1\r\nHost: localhost\r\n"
    with proxy.secure() as secure, proxy.secure() as idle:
        secure.sendall(head + begin)
        assert not proxy.client.barrier(LOCAL, 0.3).complete
        proxy.client.policy(LOCAL, Policy(offline=True))
        with contextlib.suppress(OSError):
            secure.sendall(rest)
        assert read_all(secure) == b""
        idle.sendall(b"GET /idle HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        assert read_all(idle).startswith(b"HTTP/1.1 403")

    [request] = proxy.log.requests(path=path)
    assert (request.verdict, request.reason) == ("blocked", "offline")
    assert "The policy changed" in request.explanation
    assert ("POST", "/held") not in proxy.origin.seen


def test_an_open_websocket_is_under_way(proxy: Running) -> None:
    """
    A WebSocket ends with the policy that allowed it.
    """
    policy = Policy(ports=(proxy.origin.port,), private=(f"{LOCAL}/32",), websocket="allow")
    proxy.client.policy(LOCAL, policy)
    with proxy.secure() as secure:
        secure.sendall(
            b"GET /echo HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\n"
            b"Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
            b"Sec-WebSocket-Key: MDEyMzQ1Njc4OWFiY2RlZg==\r\n\r\n"
        )
        assert secure.recv(4096).startswith(b"HTTP/1.1 101")
        proxy.client.policy(LOCAL, replace(policy, websocket="block"))
        assert read_all(secure) == b""

    proxy.log.assert_requested(count=1, path="/echo", status=101, verdict="allowed")
    [cut] = proxy.log.blocked
    assert cut.reason == "websocket"
    assert "The policy changed" in cut.explanation


@pytest.mark.promise("S13")
def test_a_request_with_its_answer_is_under_way(proxy: Running, tmp_path: Path) -> None:
    """
    S13: If a server answers before it has the whole body, the rest of the body is still judged.
    """

    def early(connection: ssl.SSLSocket) -> bytes:
        received = head_of(connection)
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
        return received + read_all(connection)

    origin = RawOrigin(tmp_path, early)
    running = Running(origin, tmp_path)
    try:
        with running.secure() as secure:
            secure.sendall(
                b"POST /early HTTP/1.1\r\nHost: localhost\r\n"
                b"Transfer-Encoding: chunked\r\n\r\n2\r\nab\r\n"
            )
            assert secure.recv(4096).startswith(b"HTTP/1.1 200")
            running.client.policy(LOCAL, Policy(offline=True))
            with contextlib.suppress(OSError):
                secure.sendall(b"6\r\nSTOLEN\r\n0\r\n\r\n")
            read_all(secure)
        assert [one.reason for one in running.log.blocked] == ["offline"]
    finally:
        running.client.close()
        origin.close()

    assert b"STOLEN" not in b"".join(origin.seen)


def test_websockets_where_they_are_allowed(proxy: Running) -> None:
    """
    The policy of a workspace allows WebSockets for this workspace only.
    """
    policy = Policy(ports=(proxy.origin.port,), private=(f"{LOCAL}/32",), websocket="allow")
    proxy.client.policy(LOCAL, policy)
    with proxy.secure() as secure:
        secure.sendall(
            b"GET /echo HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\n"
            b"Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
            b"Sec-WebSocket-Key: MDEyMzQ1Njc4OWFiY2RlZg==\r\n\r\n"
        )
        assert secure.recv(4096).startswith(b"HTTP/1.1 101")
        secure.sendall(b"\x81\x82\0\0\0\0hi")
        assert secure.recv(4096).startswith(b"\x81\x02hi")

    proxy.log.assert_requested(count=1, path="/echo", status=101, verdict="allowed")


def test_offline(proxy: Running) -> None:
    """
    Nothing passes, not even a tunnel.
    """
    proxy.client.policy(LOCAL, Policy.named("offline"))
    answer = proxy.ask_in_clear(b"CONNECT localhost:443 HTTP/1.1\r\n\r\n")

    assert b"403" in answer
    proxy.log.assert_blocked("offline", host="localhost")


def test_a_foreign_certificate_upstream(origin: Origin, tmp_path: Path) -> None:
    """
    A request to an origin whose authority the proxy does not trust fails.
    """
    stranger = Origin(tmp_path)
    proxy = Running(origin, tmp_path, ports=(stranger.port,))
    try:
        with proxy.tunnel(port=stranger.port) as raw:
            proxy.context.check_hostname = False
            with proxy.context.wrap_socket(raw, server_hostname="localhost") as secure:
                secure.sendall(b"GET / HTTP/1.1\r\n\r\n")
                assert b"Certificate verify failed" in read_all(secure)
        proxy.log.assert_requested(count=1, verdict="failed", reason="upstream-error", status=502)
        assert stranger.seen == []
    finally:
        proxy.client.close()
        stranger.close()


def test_a_client_that_does_not_trust_the_proxy(proxy: Running) -> None:
    """
    The log names the variables that such clients read.
    """
    with pytest.raises(ssl.SSLCertVerificationError):
        ssl.create_default_context().wrap_socket(proxy.tunnel(), server_hostname="localhost")

    [request] = proxy.log
    assert (request.method, request.verdict) == ("CONNECT", "failed")
    assert "REQUESTS_CA_BUNDLE" in request.explanation


def test_nothing_is_missed_by_the_barrier(proxy: Running) -> None:
    """
    Requests of clients that send and disconnect are in the log.
    """
    for number in range(30):
        with proxy.connect() as raw:
            raw.sendall(
                f"GET http://localhost/{number} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode()
            )
        assert len(proxy.log) == 2 * number + 1
        secure = proxy.secure()
        secure.sendall(f"GET /{number} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
        os.close(secure.detach())
        assert len(proxy.log) == 2 * number + 2


def test_the_barrier_waits_for_answers_but_not_for_idle_connections(proxy: Running) -> None:
    """
    The barrier waits for answers, with a limit, and does not wait for idle connections.
    """
    proxy.origin.gate.clear()
    idle = proxy.https()
    idle.request("GET", "/idle")
    idle.getresponse().read()
    assert proxy.client.barrier(LOCAL).complete
    busy = proxy.https()
    busy.request("GET", "/wait")

    barrier = proxy.client.barrier(LOCAL, timeout=0.2)
    assert not barrier.complete
    [pending] = barrier.pending
    assert (pending.path, pending.verdict, pending.status) == ("/wait", "allowed", None)
    assert "no response yet" in pending.explanation
    proxy.origin.gate.set()
    assert busy.getresponse().read() == b"waited"
    assert [request.path for request in proxy.log] == ["/idle", "/wait"]
    idle.close()
    busy.close()


def test_release_cuts_off(proxy: Running) -> None:
    """
    Open connections end, and the address no longer belongs to a workspace.
    """
    proxy.origin.gate.clear()
    secure = proxy.secure()
    secure.sendall(b"GET /wait HTTP/1.1\r\nHost: localhost\r\n\r\n")
    assert proxy.client.release(LOCAL, timeout=0.1) is False

    assert read_all(secure) == b""
    secure.close()
    assert [request.path for request in proxy.client.requests(proxy.name)] == ["/wait"]
    assert proxy.ask_in_clear(b"GET http://localhost/ HTTP/1.1\r\n\r\n") == b""
    proxy.origin.gate.set()


def test_phases_and_owners(proxy: Running) -> None:
    """
    A request belongs to the phase in which it began; an address belongs to one workspace.
    """
    proxy.client.register(LOCAL, proxy.name, "setup")
    proxy.ask_in_clear(b"GET http://one/ HTTP/1.1\r\nConnection: close\r\n\r\n")
    proxy.client.register(LOCAL, proxy.name, "test")

    proxy.log.assert_requested(count=1, host="one", phase="setup")
    with pytest.raises(ProxyError, match="release it first"):
        proxy.client.register(LOCAL, "another", "test")


@pytest.mark.parametrize("kind", [socket.SOCK_DGRAM, socket.SOCK_STREAM])
def test_the_resolver(proxy: Running, kind: socket.SocketKind) -> None:
    """
    S12: The resolver refuses outside names at once, logs them, and knows the name of the proxy.
    """
    with socket.socket(socket.AF_INET, kind) as asker:
        asker.settimeout(5)
        asker.connect((LOCAL, proxy.dns_port))
        outside, own = (_query(asker, kind, name) for name in ("db.example", "proxy"))

    assert outside[3] & 0xF == 5
    assert own.endswith(socket.inet_aton(LOCAL))
    proxy.log.assert_blocked("direct-dns", host="db.example")
    assert len(proxy.log) == 1


@pytest.mark.promise("S12")
@pytest.mark.parametrize("kind", [socket.SOCK_DGRAM, socket.SOCK_STREAM])
def test_a_burst_of_names_is_in_the_log(proxy: Running, kind: socket.SocketKind) -> None:
    """
    S12: All look-ups are in the log when it is read, although no client waited for an answer.
    """
    count = 150 if kind == socket.SOCK_DGRAM else 3000
    for number in range(4):
        messages = [_message(kind, f"n{name}.burst{number}.example") for name in range(count)]
        with socket.socket(socket.AF_INET, kind) as asker:
            asker.connect((LOCAL, proxy.dns_port))
            for message in messages if kind == socket.SOCK_DGRAM else [b"".join(messages)]:
                asker.sendall(message)
            assert len(proxy.log.requests(host=f"*.burst{number}.example")) == count


@pytest.mark.promise("S10")
def test_connections_for_names_are_bounded(proxy: Running) -> None:
    """
    S10: A workspace may have a few connections to the resolver, and an unknown client none.
    """
    kind = socket.SOCK_STREAM
    with contextlib.ExitStack() as stack:
        for _ in range(100):
            asker = stack.enter_context(socket.create_connection((LOCAL, proxy.dns_port), 5))
            with contextlib.suppress(ConnectionError):
                asker.sendall(_message(kind, "held.example"))
        [crowded] = proxy.log.requests(host="proxy", verdict="failed")
        assert "16 connections" in crowded.explanation
        assert len(list(Path(f"/proc/{proxy.stream.process.pid}/fd").iterdir())) < 60
    # Until the proxy has seen that they are gone.
    answer, until = b"", time.monotonic() + 10
    while not answer and time.monotonic() < until:
        asker = socket.create_connection((LOCAL, proxy.dns_port), 5)
        with asker, contextlib.suppress(ConnectionError):
            answer = _query(asker, kind, "after.example")
    assert answer[3] & 0xF == 5
    stranger = socket.create_connection((LOCAL, proxy.dns_port), 5, source_address=("127.0.0.9", 0))
    with stranger:
        assert stranger.recv(1) == b""


def _message(kind: socket.SocketKind, name: str) -> bytes:
    labels = b"".join(bytes([len(each)]) + each.encode() for each in name.split("."))
    message = struct.pack("!6H", 9, 0x100, 1, 0, 0, 0) + labels + b"\0\0\1\0\1"
    prefix = struct.pack("!H", len(message)) if kind == socket.SOCK_STREAM else b""
    return prefix + message


def _query(asker: socket.socket, kind: socket.SocketKind, name: str) -> bytes:
    asker.sendall(_message(kind, name))
    return asker.recv(4096)[2 if kind == socket.SOCK_STREAM else 0 :]


def test_the_key_is_nowhere_on_disk(proxy: Running) -> None:
    """
    S14: The proxy sends everybody the certificate, sends the key only to the process that stores
    it, and writes no key to disk.
    """
    assert b"PRIVATE KEY" not in proxy.info.ca_certificate
    assert b"PRIVATE KEY" in proxy.info.new_ca
    files = Path(f"/proc/{proxy.stream.process.pid}/root")
    # Other tests start proxies, too: while one reads its key, there is a file with it.
    own = ssl.PEM_cert_to_DER_cert(proxy.info.ca_certificate.decode())
    found = [
        path
        for parent in ("/run", "/tmp")
        for path in (files / parent.lstrip("/")).glob("codex-proxy-*/*")
        if any(one in content_of(path) for one in (own, proxy.info.ca_certificate.strip()))
    ]
    assert found == []


def content_of(path: Path) -> bytes:
    """
    Return the content of a file that another process may remove.
    """
    try:
        return path.read_bytes()
    except OSError:
        return b""


def test_the_end_of_input_is_the_end(origin: Origin, tmp_path: Path) -> None:
    """
    The proxy ends at once, even with a request under way; then its use raises an error that says
    so.
    """
    proxy = Running(origin, tmp_path)
    origin.gate.clear()
    with proxy.secure() as secure:
        secure.sendall(b"GET /wait HTTP/1.1\r\n\r\n")
        proxy.client.close()
    assert proxy.stream.process.returncode == 0
    origin.gate.set()
    with pytest.raises(ProxyError, match="its session has ended"):
        proxy.client.ping()


def test_a_port_that_is_taken(origin: Origin, tmp_path: Path, proxy: Running) -> None:
    """
    The start fails with the reason instead of hanging.
    """
    _, client = start()
    try:
        with pytest.raises(ProxyError, match=rf"cannot listen on {LOCAL}:{proxy.port}"):
            client.configure(None, b"", LOCAL, Policy(), port=proxy.port, dns_port=free_port())
    finally:
        client.close()


def _resident(pid: int) -> float:
    """
    Return the memory of a process, in megabytes.
    """
    text = Path(f"/proc/{pid}/status").read_text()
    return int(text.partition("VmRSS:")[2].split()[0]) / 1024


def test_listening_everywhere() -> None:
    """
    Without an address of its own, the proxy starts and answers barriers.
    """
    _, client = start()
    try:
        client.configure(None, b"", None, Policy(), port=free_port(), dns_port=free_port())
        client.register(LOCAL, "w", "test")
        assert client.barrier(LOCAL).complete
    finally:
        client.close()


def test_a_refusal_waits_for_its_process_but_not_for_ever(proxy: Running) -> None:
    """
    S10: Whoever cannot say it costs its own refusals a moment, and an answer that comes late is
    not taken for another request. What is allowed is not asked about twice.
    """
    over, asked = threading.Event(), []

    def find(protocol: str, client: tuple[str, int], server: tuple[str, int]) -> str:
        asked.append(client)
        if len(asked) == 1:
            over.wait(10)
            return "late"
        assert (protocol, server) == ("tcp", (LOCAL, proxy.port))
        return f"client {client[1]}"

    proxy.client.release(LOCAL)
    proxy.client.register(LOCAL, proxy.name, "test", find_process=find)
    for path in ("/first", "/second"):
        answer = proxy.ask_in_clear(
            f"GET http://localhost{path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode()
        )
        assert answer.startswith(b"HTTP/1.1 403")
        over.set()
    for _ in range(3):
        connection = proxy.https()
        connection.request("GET", "/")
        connection.getresponse().read()
        connection.close()
    with proxy.tunnel() as raw:
        raw.sendall(b"SSH-2.0-x\r\n")
        assert read_all(raw) == b""
    assert proxy.ask_in_clear(b"GET  / / /\r\n\r\n").startswith(b"HTTP/1.1 403")
    with proxy.secure(alpn="h2") as secure:
        secure.sendall(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\0\0\1\7" + b"\0" * 6)
        read_all(secure)

    first, *rest = [each.process for each in proxy.log]
    assert first == ""
    assert rest[1:4] == ["", "", ""]
    assert rest[:1] + rest[4:] == [f"client {each[1]}" for each in (asked[1], *asked[3:])]
    assert len(asked) == 6


SECRET = "geheim+/7%"
PLACEHOLDER = "codex_secret_TOKEN_0123"


@pytest.mark.parametrize("cassette", ["off", "record"])
def test_placeholders_of_secrets(origin: Origin, tmp_path: Path, cassette: str) -> None:
    """
    A named host gets the value over HTTPS; it is neither in what comes back, nor in the log with
    its bodies, nor in a recording. Another host, another port and plain HTTP get the placeholder.
    """
    rule = {"placeholder": PLACEHOLDER, "value": SECRET, "hosts": ["localhost"]}
    other = {**rule, "hosts": ["other.test"], "port": origin.port}
    plain = Origin(tmp_path, tls=False)
    (tmp_path / "other").mkdir()
    beside = Origin(tmp_path / "other")
    running = Running(
        origin,
        tmp_path,
        bodies=4096,
        cassette=cassette,
        http="allow",
        trusts=origin.certificate + beside.certificate,
        secrets=[{**rule, "port": origin.port}, {**rule, "port": plain.port}, other],
        ports=(origin.port, plain.port, beside.port),
    )
    try:
        if cassette == "record":
            running.client.register(LOCAL, running.name, "test", cassette="c")
        sent = {"Authorization": f"Bearer {PLACEHOLDER}", "X-Plain": "x", "Accept-Encoding": "gzip"}
        received: list[bytes] = []
        for query, status in ((PLACEHOLDER, 200), ("chunked", 200), ("gzip", 502)):
            connection = running.https()
            connection.request("POST", f"/headers?{query}", PLACEHOLDER, sent)
            answer = connection.getresponse()
            received += [answer.read(), str(answer.headers).encode()]
            assert answer.status == status, query
            connection.close()
        assert b"Bearer **********" in received[0]
        assert b"X-Authorization: Bearer **********" in received[1]
        assert received[2].endswith(b"\n\n")
        assert b"compressed its response" in received[4]
        assert len(origin.received) == 3
        assert all(f"Bearer {SECRET}".encode() in one for one in origin.received)
        for query in ("broken", "cut"):
            connection = running.https()
            connection.request("GET", f"/headers?{query}", headers=sent)
            answer = connection.getresponse()
            received += [answer.read(), str(answer.headers).encode()]
            assert answer.status == 502, query
            assert b"malformed" in received[-2]
            connection.close()
        connection = running.https()
        connection.request("GET", "/headers?last", headers={"TE": "gzip"})
        received.append(connection.getresponse().read())
        connection.close()
        assert b"Bearer **********" in received[-1]
        assert b"Accept-Encoding: identity" in origin.received[0]

        with running.secure(alpn="h2") as secure:
            wanted = [(f"localhost:{origin.port}", "/headers", b"")]
            answers = _http2(secure, wanted, [("authorization", f"Bearer {PLACEHOLDER}")])
        assert answers[1][0] == "200"
        assert b"Bearer **********" in answers[1][1]
        assert f"Bearer {SECRET}".encode() in origin.received[-1]
        received.append(answers[1][1])

        for to, scheme in ((beside, "https"), (plain, "http")):
            if scheme == "https":
                connection = running.https()
                connection.set_tunnel("localhost", to.port)
            else:
                connection = http.client.HTTPConnection(LOCAL, running.port, timeout=20)
            target = "/headers" if scheme == "https" else f"http://localhost:{to.port}/headers"
            connection.request("GET", target, headers={**sent, "Host": f"localhost:{to.port}"})
            received.append(connection.getresponse().read())
            assert PLACEHOLDER.encode() in received[-1]
            assert SECRET.encode() not in to.received[0]
            connection.close()

        log = [*running.log]
        assert PLACEHOLDER in log[0].path
        assert PLACEHOLDER.encode() == log[0].request_body
        recorded = [repr(one) for one in running.client.recorded("c")]
        assert len(recorded) >= (5 if cassette == "record" else 0)
        for text in [*received, *(repr(one).encode() for one in log), *map(str.encode, recorded)]:
            assert SECRET.encode() not in text
    finally:
        running.client.close()
        plain.close()
        beside.close()

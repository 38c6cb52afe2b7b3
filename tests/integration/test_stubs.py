"""S10: Stubs and faults give the answers that a test requests."""

from __future__ import annotations

import contextlib
import errno
import gzip
import http.client
import select
import socket
import ssl
import threading
from pathlib import Path

import pytest

from pytest_codex_workspace.network.log import NetworkLog
from pytest_codex_workspace.network.stubs import StubRequest, StubResponse

from .origin import LOCAL, Origin
from .proxy_process import Running, read_all

NOWHERE = "api.nowhere.example"


@pytest.fixture
def _engine() -> None:
    """
    Replace the fixture of this name: most of these tests need no engine.
    """


@pytest.fixture
def network(proxy: Running) -> NetworkLog:
    """
    Return the `ws.network` of a workspace.
    """
    return proxy.log


def ask(
    proxy: Running,
    path: str = "/",
    *,
    host: str = "localhost",
    port: int | None = None,
    method: str = "GET",
    body: bytes | None = None,
) -> tuple[int, bytes, http.client.HTTPMessage]:
    """
    Send an ordinary request through the proxy, and return status, body and headers.
    """
    context = ssl.create_default_context(cadata=proxy.info.ca_certificate.decode())
    connection = http.client.HTTPSConnection(LOCAL, proxy.port, context=context, timeout=20)
    connection.set_tunnel(host, port or proxy.origin.port)
    with contextlib.closing(connection):
        connection.request(method, path, body=body)
        answer = connection.getresponse()
        return answer.status, answer.read(), answer.headers


def test_a_stub_answers_instead_of_the_server(proxy: Running, network: NetworkLog) -> None:
    """
    S10: No request reaches the server, and the log says that the stub answered.
    """
    route = network.stub(host="localhost", path="/v1", status=201, json={"a": [1]})

    status, body, headers = ask(proxy, "/v1?x=1", method="POST", body=b"z" * 3_000_000)

    assert (status, body) == (201, b'{"a": [1]}')
    assert headers["content-type"] == "application/json"
    assert proxy.origin.seen == []
    [request] = route.calls
    assert (request.verdict, request.status, request.method) == ("stubbed", 201, "POST")
    assert ask(proxy, "/other")[0] == 200
    assert len(route.calls) == 1
    network.assert_all_called()


def test_hosts_that_do_not_exist(proxy: Running, network: NetworkLog) -> None:
    """
    S10: A stub needs no look-up and no connection, over HTTP/2 too.
    """
    network.stub(host="*.nowhere.example", text="grüße", headers={"X-A": "b"})

    status, body, headers = ask(proxy, host=NOWHERE)

    assert (status, body.decode()) == (200, "grüße")
    assert headers["x-a"] == "b"
    assert headers["content-type"] == "text/plain; charset=utf-8"
    network.assert_requested(count=1, host=NOWHERE, verdict="stubbed")


@pytest.mark.parametrize(("method", "status"), [("HEAD", 200), ("GET", 204), ("GET", 304)])
def test_answers_without_a_body(
    proxy: Running, network: NetworkLog, method: str, status: int
) -> None:
    """
    S10: Answers without a body follow the rules of HTTP.
    """
    network.stub(host=NOWHERE, status=status, content=b"12345")

    found, body, headers = ask(proxy, host=NOWHERE, method=method)

    assert (found, body) == (status, b"")
    assert headers["content-length"] == ("5" if status == 200 else None)


def test_the_newest_stub_that_fits_answers(proxy: Running, network: NetworkLog) -> None:
    """
    S10: The newest stub that matches answers, until it is removed.
    """
    old = network.stub(host=NOWHERE, text="old")
    new = network.stub(host=NOWHERE, path="/new", method="get", text="new")

    assert ask(proxy, "/", host=NOWHERE)[1] == b"old"
    assert ask(proxy, "/new", host=NOWHERE)[1] == b"new"
    assert ask(proxy, "/new", host=NOWHERE, method="POST")[1] == b"old"
    new.remove()
    assert ask(proxy, "/new", host=NOWHERE)[1] == b"old"
    assert (len(old.calls), len(new.calls)) == (3, 1)


@pytest.mark.parametrize(
    "policy",
    [
        "offline",
        {"extends": "offline", "allow": ["a.example"]},
        {"allow": [NOWHERE], "deny": [NOWHERE]},
    ],
)
def test_a_stub_opens_only_the_host_it_names(
    proxy: Running, network: NetworkLog, policy: object
) -> None:
    """
    S10: A stub allows the host that it names, and only for its own requests.
    """
    network.use({**policy, "ports": [443]} if isinstance(policy, dict) else policy)  # type: ignore[arg-type]
    network.stub(path="/any", text="any")
    with pytest.raises(OSError, match="403"):
        ask(proxy, "/any", host=NOWHERE, port=443)
    network.stub(host=NOWHERE, path="/named", text="named")

    assert ask(proxy, "/named", host=NOWHERE, port=443)[1] == b"named"
    assert ask(proxy, "/any", host=NOWHERE, port=443)[0] == 403
    with pytest.raises(OSError, match="403"):
        ask(proxy, "/named", host="b.example", port=443)
    verdicts = [one.verdict for one in network]
    assert verdicts == ["blocked", "stubbed", "blocked", "blocked"]


def test_a_stub_opens_nothing_else(proxy: Running, network: NetworkLog) -> None:
    """
    S10: A stub does not allow plain HTTP, another port or method, a WebSocket, or another name.
    """
    network.use({"methods": ["GET"], "ports": [443]})
    network.stub(host=NOWHERE, text="x")

    with pytest.raises(OSError, match="403"):
        ask(proxy, host=NOWHERE, port=22)
    assert ask(proxy, host=NOWHERE, port=443, method="POST")[0] == 403
    with proxy.connect() as raw:
        raw.sendall(f"GET http://{NOWHERE}/ HTTP/1.1\r\nHost: {NOWHERE}\r\n\r\n".encode())
        assert raw.recv(4096).startswith(b"HTTP/1.1 403")

    reasons = [one.reason for one in network]
    assert reasons == ["port-not-allowed", "method-not-allowed", "plain-http"]


def test_private_addresses_can_be_stubbed(proxy: Running, network: NetworkLog) -> None:
    """
    S10: A metadata service, for example, is stubbed without a connection.
    """
    network.use({"ports": [443]})
    network.stub(host="169.254.169.254", text="not here")
    context = ssl.create_default_context(cadata=proxy.info.ca_certificate.decode())
    context.check_hostname = False
    connection = http.client.HTTPSConnection(LOCAL, proxy.port, context=context, timeout=20)
    connection.set_tunnel("169.254.169.254", 443)
    with contextlib.closing(connection):
        connection.request("GET", "/latest")
        assert connection.getresponse().read() == b"not here"

    network.assert_nothing_blocked()


def test_stubs_that_nobody_called(proxy: Running, network: NetworkLog) -> None:
    """
    S10: The failure shows the nearest requests.
    """
    network.stub(host=NOWHERE, path="/never")
    ask(proxy, "/nearly")

    with pytest.raises(AssertionError) as caught:
        network.assert_all_called()

    assert "path='/never'" in str(caught.value)
    assert "/nearly" in str(caught.value)


def test_an_error_that_was_asked_for(proxy: Running, network: NetworkLog) -> None:
    """
    S10: The error is returned the requested number of times, and no request reaches the server
    meanwhile.
    """
    fault = network.fault(kind="status", host="localhost", status=429, times=2)

    assert [ask(proxy)[0] for _ in range(3)] == [429, 429, 200]
    assert [one.verdict for one in fault.calls] == ["stubbed", "stubbed"]
    assert "fault" in fault.calls[0].explanation
    assert len(proxy.origin.seen) == 1


def test_a_real_reset(proxy: Running, network: NetworkLog) -> None:
    """
    S10: The client's connection is reset before anything leaves.
    """
    network.fault(kind="reset", host="localhost", path="/x")

    with proxy.secure() as secure:
        secure.sendall(b"GET /x HTTP/1.1\r\nHost: localhost\r\n\r\n")
        # Python's TLS calls a reset an end; the socket knows better.
        poll = select.poll()
        poll.register(secure, 0)
        assert poll.poll(20_000)
        assert secure.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) == errno.ECONNRESET

    [request] = network
    assert (request.verdict, request.reason, request.status) == ("failed", "upstream-error", None)
    assert "fault" in request.explanation
    assert proxy.origin.seen == []


@pytest.mark.parametrize(("stubbed", "after"), [(False, 1000), (False, None), (True, 4), (True, 0)])
def test_an_answer_that_is_cut_off(
    proxy: Running, network: NetworkLog, stubbed: bool, after: int | None
) -> None:
    """
    S10: The connection ends in the middle of the answer.
    """
    whole = 10 if stubbed else 3_000_000
    if stubbed:
        network.stub(host="localhost", content=b"0123456789")
    network.fault(kind="truncate", host="localhost", after=after)

    with pytest.raises(http.client.IncompleteRead) as caught:
        ask(proxy, "/big")

    assert len(caught.value.partial) == (whole // 2 if after is None else after)
    [request] = network
    assert (request.verdict, request.reason) == ("failed", "upstream-error")
    assert request.size == len(caught.value.partial)


def test_a_delay(proxy: Running, network: NetworkLog) -> None:
    """
    S10: A delayed request continues, others do not wait, and reading the log waits for it.
    """
    network.fault(kind="latency", host="localhost", path="/slow", seconds=1)
    answers: list[str] = []

    def slow() -> None:
        ask(proxy, "/slow")
        answers.append("slow")

    thread = threading.Thread(target=slow)
    thread.start()
    while not network._live.proxy.barrier(LOCAL, timeout=0.01).pending:  # type: ignore[union-attr]
        pass
    ask(proxy, "/quick")
    answers.append("quick")
    network.assert_requested(path="/slow", status=200, verdict="allowed")
    thread.join(20)

    assert answers == ["quick", "slow"]


def test_a_delay_that_outlives_its_workspace(proxy: Running, network: NetworkLog) -> None:
    """
    S10: A delayed request does not reach the server once its workspace has ended.
    """
    network.fault(kind="latency", host="localhost", seconds=30)
    with proxy.secure() as secure:
        secure.sendall(b"GET /late HTTP/1.1\r\nHost: localhost\r\n\r\n")
        while not proxy.client.barrier(LOCAL, timeout=0.01).pending:
            pass
        proxy.renew()
        assert read_all(secure) == b""

    with socket.create_server((LOCAL, 0)):
        ask(proxy, "/after")
    assert [path for _, path in proxy.origin.seen] == ["/after"]


def test_bodies_are_kept_only_when_asked_for(
    origin: Origin, tmp_path: Path, proxy: Running, network: NetworkLog
) -> None:
    """
    S10: The requested number of bytes of each body is kept, decompressed, whether the body is
    streamed or buffered.
    """
    ask(proxy, "/c", method="POST", body=b"secret")
    [without] = network
    running = Running(origin, tmp_path, bodies=1000)
    try:
        packed = gzip.compress(b"long " * 1000)
        running.log.stub(path="/z", content=packed, headers={"Content-Encoding": "gzip"})
        ask(running, "/big", method="POST", body=b"y" * 2_000_000)
        ask(running, "/c", method="POST", body=b"small")
        ask(running, "/z")
        big, small, zipped = running.log
    finally:
        running.client.close()

    assert (without.request_body, without.response_body) == (None, None)
    assert (big.request_body, big.response_body) == (b"y" * 1000, b"x" * 1000)
    assert (small.request_body, small.response_body) == (b"small", b"5")
    assert zipped.response_body == b"long " * 200
    assert "secret" not in repr(without)


def test_in_a_workspace(codex_workspace_factory, plain_repo, engine_or_skip):
    """
    S10: pip, npm and another program get the answers of the test's stubs.
    """
    ws = codex_workspace_factory(repo=plain_repo, network="offline")
    index = ws.network.stub(
        host="index.nowhere.example",
        path="/simple/thing/",
        text="<a href='thing-1-py3-none-any.whl'>thing</a>",
        headers={"Content-Type": "text/html"},
    )
    npm = ws.network.stub(host="npm.nowhere.example", path="/thing", status=404, json={})
    ws.network.stub(host="api.nowhere.example", method="POST", json={"id": 7})
    ws.network.fault(kind="reset", host="api.nowhere.example", path="/broken")

    pip = ws.exec("pip download --index-url https://index.nowhere.example/simple thing -d /tmp/p")
    ws.exec("npm view thing --registry https://npm.nowhere.example")
    api = ws.exec("curl -sS -d a=1 https://api.nowhere.example/v1")
    broken = ws.exec("curl -sS -d a=1 https://api.nowhere.example/broken")

    assert api.stdout == '{"id": 7}'
    assert index.called, pip.stderr
    assert npm.called
    assert "reset" in broken.stderr.lower()
    ws.network.assert_requested(verdict="stubbed", status=404)
    ws.network.assert_all_called()


def test_stubs_match_query_headers_and_body(proxy: Running, network: NetworkLog) -> None:
    """
    S10: What matches none reaches the server, with its body.
    """
    network.stub(host="localhost", text="any", path="/any", match_query={"a": "1", "b": ["", "2"]})
    network.stub(host="localhost", text="json", match_json={"id": 1, "none": None})
    network.stub(host="localhost", text="body", match_content="exact", match_headers={"Host": "x"})

    assert ask(proxy, "/any?a=1&c=3&b=&b=2")[1] == b"any"
    assert ask(proxy, "/any?a=1&b=2")[1] != b"any"
    post = {"method": "POST"}
    assert ask(proxy, body=b'{"none": null, "id": 1}', **post)[1] == b"json"
    for other in (b'{"id": 2}', b"exact", b"z" * 3_000_000):
        proxy.origin.forget()
        assert ask(proxy, body=other, **post)[0] == 200
        assert len(proxy.origin.seen) == 1
    network.assert_requested(count=2, verdict="stubbed")


def test_a_stub_for_another_body_opens_no_host(proxy: Running, network: NetworkLog) -> None:
    """
    S10: If no body matches, the policy decides.
    """
    network.stub(host=NOWHERE, match_content=b"this", json=None)

    assert ask(proxy, host=NOWHERE, method="POST", body=b"this")[1] == b"null"
    assert ask(proxy, host=NOWHERE, method="POST", body=b"that")[0] == 502
    with network.use("offline"):
        assert ask(proxy, host=NOWHERE, port=443, method="POST", body=b"this")[1] == b"null"
        assert ask(proxy, host=NOWHERE, port=443, method="POST", body=b"that")[0] == 403
    network.assert_requested(count=1, reason="offline")


def test_responses_in_sequence(proxy: Running, network: NetworkLog) -> None:
    """
    S10: The last response is for all further requests.
    """
    with network.stub(host=NOWHERE, respond=[StubResponse(503), StubResponse(json=[1])]) as route:
        assert [ask(proxy, host=NOWHERE)[0] for _ in range(3)] == [503, 200, 200]
    assert len(route.calls) == 3
    assert ask(proxy, host=NOWHERE)[0] == 502


def test_a_function_responds(proxy: Running, network: NetworkLog) -> None:
    """
    S10: It gets the request. An error, or a body that is too long, is a failed request.
    """

    def respond(request: StubRequest) -> StubResponse:
        return StubResponse(201, json={"doubled": 2 * request.json()["n"], "path": request.path})

    route = network.stub(host=NOWHERE, respond=respond)

    found = ask(proxy, "/a?b", host=NOWHERE, method="POST", body=b'{"n": 21}')
    assert found[:2] == (201, b'{"doubled": 42, "path": "/a?b"}')
    assert route.errors == []
    status, text, _ = ask(proxy, host=NOWHERE, method="POST", body=b"no JSON")
    assert (status, b"raised JSONDecodeError" in text) == (502, True)
    assert len(route.errors) == 1
    status, text, _ = ask(proxy, host=NOWHERE, method="POST", body=bytes(600 << 10))
    assert (status, b"longer than 512 KiB" in text) == (502, True)
    assert [one.verdict for one in route.calls] == ["stubbed", "failed", "failed"]
    with pytest.raises(AssertionError, match="raised an error 1 time"):
        network.assert_all_called()

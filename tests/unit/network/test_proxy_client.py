"""Tests of the host's client for the proxy, with a scripted stream in place of a proxy."""

from __future__ import annotations

import json
import queue
import threading
from collections.abc import Callable, Iterator
from dataclasses import asdict
from typing import Any

import pytest

from pytest_codex_workspace.errors import ProxyError
from pytest_codex_workspace.network import proxy_client as proxy_module
from pytest_codex_workspace.network.proxy_client import ProxyClient
from pytest_codex_workspace.network.rules.policy import HTTPS_ONLY

from .test_log import request

Reply = Callable[[dict[str, Any]], list[tuple[int, bytes]]]


class ScriptedStream:
    """
    A stream that answers each message by calling a function.
    """

    def __init__(self, reply: Reply) -> None:
        self._reply = reply
        self._output: queue.Queue[tuple[int, bytes]] = queue.Queue()
        self.sent: list[dict[str, Any]] = []

    def send(self, data: bytes) -> None:
        """
        Receive one message and queue the answers.
        """
        message = json.loads(data)
        self.sent.append(message)
        for each in self._reply(message):
            self._output.put(each)

    def receive(self) -> tuple[int, bytes]:
        """
        Return the next output.
        """
        return self._output.get()

    def close(self) -> None:
        """
        End the output.
        """
        self._output.put((0, b""))


def ok(message: dict[str, Any], **fields: Any) -> tuple[int, bytes]:
    """
    Return a reply to *message*.
    """
    return 1, json.dumps({"reply": message["id"], "ok": True, **fields}).encode() + b"\n"


def event(number: int = 1, workspace: str = "w1", **changes: Any) -> bytes:
    """
    Return the event that reports a request.
    """
    one = request(number)
    fields = {name: getattr(one, name) for name in one.__slots__}
    return (
        json.dumps({"event": "request", "workspace": workspace, **fields, **changes}).encode()
        + b"\n"
    )


def know(client: ProxyClient, *workspaces: str) -> None:
    """
    Register workspaces.
    """
    for number, workspace in enumerate(workspaces):
        client.register(f"172.30.0.{number}", workspace, "test")


@pytest.fixture
def client_of() -> Iterator[Callable[[Reply], ProxyClient]]:
    """
    Return a function that creates clients, which are closed after the test.
    """
    clients: list[ProxyClient] = []

    def make(reply: Reply) -> ProxyClient:
        client = ProxyClient(ScriptedStream(reply), describe=lambda: "its container is gone")
        clients.append(client)
        return client

    yield make
    for client in clients:
        client.close()


def test_configuring_returns_the_certificate_and_a_new_key(
    client_of: Callable[[Reply], ProxyClient],
) -> None:
    """
    The proxy returns its certificate, and the key of an authority that it created.
    """
    client = client_of(lambda message: [ok(message, ca_certificate="PEM", ca="KEY")])
    info = client.configure(None, b"bundle", "172.30.0.2", HTTPS_ONLY)
    [sent] = client._stream.sent

    assert (info.ca_certificate, info.new_ca) == (b"PEM", b"KEY")
    assert (sent["op"], sent["ca"], sent["listen"]) == ("configure", None, "172.30.0.2")
    assert (sent["port"], sent["dns_port"], sent["policy"]["name"]) == (8080, 53, "https-only")


def test_requests_arrive_before_the_barrier_ends(
    client_of: Callable[[Reply], ProxyClient],
) -> None:
    """
    Requests are read before the reply that follows them, however the stream is split.
    """
    data = event(1) + event(2, "w2") + event(3)
    client = client_of(
        lambda message: (
            [(1, data[:50]), (1, data[50:]), (2, b"a warning\n"), ok(message)]
            if message["op"] == "barrier"
            else [ok(message)]
        )
    )
    know(client, "w1", "w2")

    assert client.barrier("172.30.0.9").complete
    assert [each.id for each in client.requests("w1")] == [1, 3]
    assert client.requests("w3") == []
    client.forget("w1")
    assert client.requests("w1") == []
    assert len(client.requests("w2")) == 1


def test_an_incomplete_barrier_reports_pending_requests(
    client_of: Callable[[Reply], ProxyClient],
) -> None:
    """
    If requests are still under way, the barrier is incomplete and lists them.
    """
    waiting = asdict(request(explanation="There was no answer yet."))

    def reply(message: dict[str, Any]) -> list[tuple[int, bytes]]:
        one = {"event": "pending", "barrier": message["id"], **waiting}
        return [(1, json.dumps(one).encode() + b"\n"), ok(message, ok=False, more=2)]

    client = client_of(reply)

    barrier = client.barrier("172.30.0.9")

    assert not barrier.complete
    assert barrier.pending[0].explanation == "There was no answer yet."
    assert barrier.more == 2
    assert client.release("172.30.0.9") is False


def test_the_number_of_kept_requests_is_limited(
    client_of: Callable[[Reply], ProxyClient], monkeypatch: pytest.MonkeyPatch
) -> None:
    """
    Requests beyond the limit are counted, but not kept.
    """
    monkeypatch.setattr(proxy_module, "REQUEST_LIMIT", 2)
    client = client_of(
        lambda message: (
            [(1, b"".join(map(event, range(5)))), ok(message)]
            if message["op"] == "barrier"
            else [ok(message)]
        )
    )
    know(client, "w1")
    client.barrier("172.30.0.9")

    assert len(client.requests("w1")) == 2
    assert client.dropped("w1") == 3
    assert client.dropped("w2") == 0


def test_the_size_of_kept_requests_is_limited(
    client_of: Callable[[Reply], ProxyClient], monkeypatch: pytest.MonkeyPatch
) -> None:
    """
    Few long requests take as much memory as many short ones.
    """
    monkeypatch.setattr(proxy_module, "KEPT_BYTES", 3 * len(event(1)))
    client = client_of(lambda message: [(1, b"".join(map(event, range(5)))), ok(message)])
    know(client, "w1")

    assert len(client.requests("w1")) == 3
    assert client.dropped("w1") == 2


def test_what_is_reported_of_nobody_is_dropped(
    client_of: Callable[[Reply], ProxyClient],
) -> None:
    """
    What a workspace leaves behind after its end takes no memory.
    """
    client = client_of(lambda message: [(1, event(workspace="w1")), ok(message)])
    know(client, "w1", "w2")
    client.forget("w1")
    client.ping()

    assert list(client._requests) == ["w2"]


@pytest.mark.parametrize(
    "output",
    [
        event(status="200"),
        event(status=True),
        event(verdict="fine"),
        event(reason="because"),
        event(id=True),
        event(routes=[{}]),
        event(request_body="not base64!"),
        b'{"event": "request", "workspace": "w1"}\n',
        b'{"event": "lost", "workspace": "w1"}\n',
    ],
)
def test_a_request_that_makes_no_sense_costs_its_workspace(
    client_of: Callable[[Reply], ProxyClient], output: bytes
) -> None:
    """
    The log of that workspace is damaged; the proxy and other workspaces are not.
    """
    client = client_of(lambda message: [(1, output), ok(message)])
    know(client, "w1", "w2")
    client.ping()

    assert client.damage("w1")
    assert client.damage("w2") == client.damage("w3") == ""
    assert not client.lost


@pytest.mark.parametrize(
    "output",
    [
        b"not json\n",
        b"[]\n",
        b'{"neither": 1}\n',
        b'{"event": "request"}\n',
        b'{"event": "new"}\n',
        b"[" * 100_000 + b"\n",
        b"x" * (1 << 21) + b"\n",
        b'{"event": "request", "workspace": 1}\n',
        b'{"event": "request", "workspace": [1]}\n',
        b'{"reply": true}\n',
        event(workspace=5),
    ],
)
def test_a_message_about_nobody_costs_every_log_and_not_the_proxy(
    client_of: Callable[[Reply], ProxyClient], output: bytes
) -> None:
    """
    It may have been a request of any workspace of that moment, not of a later one.
    """
    client = client_of(
        lambda message: [(1, output), ok(message)] if message["op"] == "ping" else [ok(message)]
    )
    know(client, "w1", "w2")
    client.ping()
    know(client, "w3")

    assert client.damage("w1")
    assert client.damage("w2")
    assert client.damage("w3") == ""
    assert not client.lost


def test_a_pending_request_that_makes_no_sense_costs_its_call(
    client_of: Callable[[Reply], ProxyClient],
) -> None:
    """
    Whoever reads the log gets an error; the next call works.
    """

    def reply(message: dict[str, Any]) -> list[tuple[int, bytes]]:
        one = b'{"event": "pending", "barrier": %d}\n' % message["id"]
        return [(1, one)] if message["op"] == "barrier" else [ok(message)]

    client = client_of(reply)

    with pytest.raises(ProxyError, match="rejected 'barrier': it reported a request whose id"):
        client.barrier("172.30.0.9")
    client.ping()


def test_an_exchange_that_makes_no_sense_costs_its_cassette(
    client_of: Callable[[Reply], ProxyClient], monkeypatch: pytest.MonkeyPatch
) -> None:
    """
    It is counted, as are those beyond the limit.
    """
    one = {"method": "GET", "url": "https://example.org/", "status": 200}
    sent = [
        {"event": "exchange", "cassette": "a", "exchange": one, "whole": True},
        {"event": "exchange", "cassette": "a", "exchange": {**one, "status": "x"}},
        {"event": "lost", "cassette": "a"},
        {"event": "exchange", "cassette": "b", "exchange": one, "whole": False},
    ]
    data = b"".join(json.dumps(each).encode() + b"\n" for each in sent)
    client = client_of(lambda message: [(1, data), ok(message)])
    know(client, "w1")

    assert [len(client.recorded(name)) for name in "ab"] == [1, 0]
    assert [len(client.left_out(name)) for name in "ab"] == [0, 1]
    assert [client.lost_exchanges(name) for name in "ab"] == [2, 0]
    assert client.damage("w1") == ""
    monkeypatch.setattr(proxy_module, "KEPT_BYTES", 1)
    client.ping()
    assert [client.lost_exchanges(name) for name in "ab"] == [5, 1]


def test_long_lists_come_in_pieces(client_of: Callable[[Reply], ProxyClient]) -> None:
    """
    No answer is longer than a line may be.
    """
    numbers = list(range(7))

    def reply(message: dict[str, Any]) -> list[tuple[int, bytes]]:
        some = numbers[message["offset"] : message["offset"] + 3]
        return [ok(message, played=some, more=some[-1] < 6)]

    client = client_of(reply)

    assert client.played("c") == numbers
    client = client_of(lambda message: [ok(message, played=["1"])])
    with pytest.raises(ProxyError, match="did not say what was replayed"):
        client.played("c")


def test_a_dead_proxy_is_described(client_of: Callable[[Reply], ProxyClient]) -> None:
    """
    The error describes the container and shows the last output of the proxy.
    """
    client = client_of(lambda _: [(2, b"MemoryError\n"), (0, b"")])

    with pytest.raises(
        ProxyError, match=r"its output ended; its container is gone\n.*\nMemoryError"
    ):
        client.barrier("172.30.0.9")


def test_a_silent_proxy_is_a_timeout(client_of: Callable[[Reply], ProxyClient]) -> None:
    """
    A call to a proxy that does not respond ends after its timeout.
    """
    client = client_of(lambda _: [])

    with pytest.raises(ProxyError, match=r"did not respond to 'ping' within 0\.01 s"):
        client.ping(timeout=0.01)


def test_an_error_of_the_proxy_is_passed_on(client_of: Callable[[Reply], ProxyClient]) -> None:
    """
    The error contains the message of the proxy.
    """
    client = client_of(lambda message: [ok(message, error="release it first")])

    with pytest.raises(ProxyError, match="rejected 'register': release it first"):
        client.register("172.30.0.9", "w2", "test")


def test_a_broken_stream_is_a_proxy_error(client_of: Callable[[Reply], ProxyClient]) -> None:
    """
    A broken stream raises `ProxyError` instead of a bare `ConnectionError`.
    """

    def broken(_: dict[str, Any]) -> list[tuple[int, bytes]]:
        raise BrokenPipeError

    client = client_of(broken)
    client._stream.close()

    with pytest.raises(ProxyError, match="its output ended"):
        client.ping()


def test_requests_can_be_read_after_close(client_of: Callable[[Reply], ProxyClient]) -> None:
    """
    After `close`, the log can still be read, but commands raise.
    """
    client = client_of(lambda message: [(1, event()), ok(message)])
    know(client, "w1")
    client.close()
    client.close()

    assert len(client.requests("w1")) == 1
    with pytest.raises(ProxyError, match="its session has ended"):
        client.ping()


def asking(number: int = 1, workspace: str = "w1", **changes: Any) -> bytes:
    """
    Return the question of the proxy who has a socket.
    """
    ends = {"client": ["172.30.0.9", 40000], "server": ["172.30.0.2", 8080]}
    fields = {"event": "process", "workspace": workspace, "lookup": number, "protocol": "tcp"}
    return json.dumps({**fields, **ends, **changes}).encode() + b"\n"


class Asked:
    """
    A proxy that asks, and takes the answers.
    """

    def __init__(self, client_of: Callable[[Reply], ProxyClient], questions: bytes) -> None:
        self.answers: queue.Queue[dict[str, Any]] = queue.Queue()
        self._questions = questions
        self.client = client_of(self._reply)

    def _reply(self, message: dict[str, Any]) -> list[tuple[int, bytes]]:
        if message["op"] == "process":
            self.answers.put(message)
        if message["op"] == "ping":
            return [(1, self._questions), ok(message)]
        return [ok(message)]


def test_the_workspace_itself_says_who_has_a_socket(
    client_of: Callable[[Reply], ProxyClient],
) -> None:
    """
    No other is asked, and the next phase is still asked.
    """
    asked = Asked(client_of, asking(7))
    seen: list[object] = []
    client = asked.client
    client.register(
        "172.30.0.9", "w1", "setup", find_process=lambda *ends: seen.append(ends) or "x"
    )
    client.register("172.30.0.8", "w2", "test", find_process=lambda *_: "not me")
    client.register("172.30.0.9", "w1", "test")
    client.register("172.30.0.7", "w3", "test")
    client.ping()

    answer = asked.answers.get(timeout=10)
    assert (answer["lookup"], answer["process"]) == (7, "x")
    assert seen == [("tcp", ("172.30.0.9", 40000), ("172.30.0.2", 8080))]
    said = [each.get("names_processes") for each in client._stream.sent if each["op"] == "register"]
    assert said == [True, True, True, None]


def test_a_failing_search_is_an_empty_answer(client_of: Callable[[Reply], ProxyClient]) -> None:
    """
    Whatever a workspace does, only its process is not known.
    """
    asked = Asked(client_of, asking())
    asked.client.register("172.30.0.9", "w1", "setup", find_process=lambda *_: 1 / 0)
    asked.client.ping()

    assert asked.answers.get(timeout=10)["process"] == ""


def test_a_system_without_threads_costs_only_the_name(
    client_of: Callable[[Reply], ProxyClient], monkeypatch: pytest.MonkeyPatch
) -> None:
    """
    The messages of the proxy are still read, and the next question has an answer.
    """
    asked = Asked(client_of, b"".join(asking(number) for number in range(20)))
    asked.client.register("172.30.0.9", "w1", "setup", find_process=lambda *_: "x")

    def start(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", start)
        asked.client.ping()
    asked.client.ping()

    assert asked.answers.get(timeout=10)["process"] == "x"


def test_a_workspace_that_does_not_answer_keeps_nobody_waiting(
    client_of: Callable[[Reply], ProxyClient],
) -> None:
    """
    The proxy's other messages are read meanwhile, and the threads that wait are few.
    """
    asked = Asked(client_of, b"".join(asking(number) for number in range(100)))
    under_way, over = threading.Semaphore(0), threading.Event()

    def find(*_: object) -> str:
        under_way.release()
        over.wait(10)
        return "late"

    asked.client.register("172.30.0.9", "w1", "test", find_process=find)
    asked.client.ping()
    for _ in range(16):
        assert under_way.acquire(timeout=10)
    asked.client.ping()
    assert not under_way.acquire(blocking=False)
    over.set()
    for _ in range(16):
        asked.answers.get(timeout=10)


def test_an_ended_workspace_is_not_asked(client_of: Callable[[Reply], ProxyClient]) -> None:
    """
    Neither is one that nobody knows; the proxy does not wait for an answer for long.
    """
    asked = Asked(client_of, asking(1) + asking(2, "w9"))
    asked.client.register("172.30.0.9", "w1", "test", find_process=lambda *_: "x")
    asked.client.forget("w1")
    asked.client.ping()

    assert asked.answers.empty()


@pytest.mark.parametrize("change", [{"client": "x"}, {"server": [1, 2]}, {"client": ["a"]}])
def test_a_question_that_makes_no_sense_costs_its_workspace(
    client_of: Callable[[Reply], ProxyClient], change: dict[str, Any]
) -> None:
    """
    As every message that cannot be read.
    """
    asked = Asked(client_of, asking(**change))
    asked.client.register("172.30.0.9", "w1", "test", find_process=lambda *_: "x")
    asked.client.ping()

    assert "an end of a connection" in asked.client.damage("w1")

"""Tests of the HTTP client, on a stub that answers from a table."""

from __future__ import annotations

import http.client
import io
import json
import select
import socket
import threading
from pathlib import Path
from typing import Any

import pytest

from pytest_codex_workspace.engine.docker.engine import DockerEngine
from pytest_codex_workspace.engine.docker.http import Client
from pytest_codex_workspace.unpatched import modules

from ....helpers.stub_engine import stub_engine


class Server:
    """
    Sends prepared bytes on each connection, once something was received.
    """

    def __init__(self, *answers: bytes) -> None:
        self._answers = iter(answers)
        self.received: list[bytes] = []
        self.connections = 0

    def dial(self, timeout: float | None) -> Any:
        self.connections += 1
        ours, theirs = modules.socket.socketpair()
        threading.Thread(target=self._serve, args=(theirs,), daemon=True).start()
        return ours

    def _serve(self, connection: socket.socket) -> None:
        with connection:
            while data := _request(connection):
                self.received.append(data)
                answer = next(self._answers, b"")
                connection.sendall(answer)
                if not answer or b"close" in answer:
                    return


def _request(connection: socket.socket) -> bytes:
    data = b""
    while piece := connection.recv(65536):
        data += piece
        head, blank, body = data.partition(b"\r\n\r\n")
        length = head.partition(b"Content-Length: ")[2].partition(b"\r\n")[0]
        if not head.startswith((b"GET", b"POST", b"PUT")) or (
            blank and len(body) == int(length or 0)
        ):
            break
    return data


OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
CHUNKS = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\na\nb\r\n2\r\nc\n\r\n0\r\n\r\n"


def test_what_tests_replace_does_not_reach_the_engine(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """
    Neither functions and classes of the modules nor methods of the classes.
    """

    def broken(*_: object, **__: object) -> None:
        raise AssertionError("a test's own")

    with stub_engine(tmp_path) as stub:
        monkeypatch.setattr(select, "poll", broken)
        for owner, names in (
            (socket, ("create_connection", "socketpair")),
            # Not `makefile` and `settimeout`, which the stub's end of the connection needs.
            (socket.socket, ("connect", "connect_ex")),
            (http.client, ("HTTPResponse", "HTTPConnection")),
            (http.client.HTTPConnection, ("connect", "request", "getresponse", "send")),
        ):
            for name in names:
                monkeypatch.setattr(owner, name, broken)
        engine = DockerEngine(stub.url)
        assert engine.image("x") is None
        engine.close()

    assert stub.calls == ["GET /version", "GET /v1.41/images/x/json"]


def test_a_connection_is_used_again() -> None:
    """
    Unless its body was not read, or the engine has closed it.
    """
    server = Server(OK, CHUNKS, OK, OK.replace(b"Content", b"Connection: close\r\nContent"), OK)
    client = Client(server.dial)

    assert client.request("GET", "/a").text == "ok"
    answer = client.request("GET", "/b", stream=True)
    assert list(answer.lines()) == [b"a", b"bc"]
    assert server.connections == 1
    with client.request("GET", "/c", stream=True):
        pass
    assert client.request("GET", "/d").text == "ok"
    assert server.connections == 2
    assert client.request("GET", "/e").text == "ok"
    assert server.connections == 3
    client.close()


def test_a_request_says_what_it_sends() -> None:
    """
    A file has a length if it has an end; query parameters that are `None` are left out.
    """
    server = Server(OK, OK, OK)
    client = Client(server.dial, host="engine:1", prefix="/base", headers={"X-One": "1"})

    client.request("POST", "/a", params={"b": ["1", "2"], "c": None}, body={"d": 1})
    file = io.BytesIO(b"skipped rest")
    file.seek(8)
    client.request("PUT", "/f", data=file)
    client.request("POST", "/g")
    client.close()

    text = b"".join(server.received).decode()
    assert "POST /base/a?b=1&b=2 HTTP/1.1\r\n" in text
    assert "Host: engine:1\r\nX-One: 1\r\n" in text
    assert json.dumps({"d": 1}) in text
    assert "Content-Length: 4\r\n" in text
    assert "skipped" not in text
    assert "Content-Length: 0\r\n" in text


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"nonsense close\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 9\r\n\r\nshort",
        b"HTTP/1.1 200 OK\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n9\r\nshort",
    ],
)
def test_half_an_answer_is_an_error(answer: bytes) -> None:
    """
    It does not look like a short one.
    """
    client = Client(Server(answer).dial)

    with pytest.raises((OSError, modules.http_client.HTTPException)):
        client.request("GET", "/a")
    client.close()


def test_raw_bytes_that_follow_at_once_are_not_lost() -> None:
    """
    They may come with the answer.
    """
    head = b"HTTP/1.1 101 UPGRADED\r\nConnection: Upgrade\r\n\r\n"
    client = Client(Server(head + b"raw", b"more").dial)

    status, words, connection = client.upgrade("/attach", {"stream": 1}, None)

    with connection:
        assert (status, words, connection.recv(3)) == (101, "", b"raw")
        connection.sendall(b"x")
        assert connection.recv(4) == b"more"


def test_a_refused_upgrade_has_the_reason() -> None:
    """
    It is in the body.
    """
    client = Client(Server(b"HTTP/1.1 404 Not Found\r\nContent-Length: 4\r\n\r\ngone").dial)

    status, words, connection = client.upgrade("/attach", {}, None)

    connection.close()
    assert (status, words) == (404, "gone")


def test_idle_connections_end_with_the_socket() -> None:
    """
    An engine that is stopping closes its socket first, and goes on to answer on the connections
    that it has.
    """
    server = Server(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
    gone = False

    def dial(timeout: float | None) -> Any:
        if gone:
            raise FileNotFoundError(2, "gone")
        return server.dial(timeout)

    client = Client(dial)
    client.request("GET", "/version")
    gone = True
    with pytest.raises(FileNotFoundError):
        client.upgrade("/attach", {}, None)
    with pytest.raises(FileNotFoundError):
        client.request("GET", "/version")

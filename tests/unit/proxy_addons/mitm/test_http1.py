"""The HTTP/1 parsers: limits, and what is logged."""

from __future__ import annotations

from typing import Any

import h11
import pytest
from mitmproxy import http
from mitmproxy.options import Options
from mitmproxy.proxy import commands, events
from mitmproxy.proxy.context import Context
from mitmproxy.test import tflow

from proxy_addons.mitm.http1 import BoundedChunkedReader, BoundedHttp1Client, BoundedHttp1Server
from proxy_addons.mitm.private import (
    Http1Buffer,
    ReceiveHttp,
    RequestHeaders,
    ResponseHeaders,
    ResponseProtocolError,
)
from proxy_addons.state.limits import MAX_HEAD_BYTES, MAX_INTERIM_RESPONSES
from proxy_addons.state.responses import RefusalHook
from pytest_codex_workspace.network.rules.policy import Decision

REFUSED = Decision("blocked", "not-tls", "No.")
HEAD = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"


def _context() -> Context:
    options = Options()
    # Options of mitmproxy's server, which the parsers read.
    options.add_option("validate_inbound_headers", bool, True, "")
    context = Context(tflow.tclient_conn(), options)
    context.server = tflow.tserver_conn()
    return context


class FromClient:
    """
    The parser of a client's connection, and what it logged.
    """

    def __init__(self) -> None:
        self.logged: list[str] = []
        self.parser = BoundedHttp1Server(_context(), self._log)
        list(self.parser.handle_event(events.Start()))

    def _log(self, _: object, error: str) -> Decision:
        self.logged.append(error)
        return REFUSED

    def feed(self, data: bytes) -> list[Any]:
        """
        Feed bytes, and return the commands that follow.
        """
        client = self.parser.context.client
        found = list(self.parser.handle_event(events.DataReceived(client, data)))
        if found and isinstance(found[-1], RefusalHook):
            assert not self.logged
            # What comes meanwhile waits.
            assert not list(self.parser.handle_event(events.DataReceived(client, b"more")))
            found += self.parser.handle_event(events.HookCompleted(found[-1]))
        return found


def test_a_request_within_the_limit_is_parsed() -> None:
    """
    Nothing is logged.
    """
    client = FromClient()
    head = b"GET / HTTP/1.1\r\nHost: a\r\nX: " + b"x" * (MAX_HEAD_BYTES - 1000) + b"\r\n\r\n"
    found = [c.event for c in client.feed(head) if isinstance(c, ReceiveHttp)]

    assert isinstance(found[0], RequestHeaders)
    assert client.logged == []


def test_a_head_that_never_ends_is_refused() -> None:
    """
    The client gets a 403, its connection is closed, and what still comes is discarded.
    """
    client = FromClient()
    client.feed(b"GET / HTTP/1.1\r\nHost: a\r\nX: ")
    found = client.feed(b"x" * (MAX_HEAD_BYTES + 1))

    assert client.logged == [
        f"the head of the request is larger than the limit of {MAX_HEAD_BYTES} bytes"
    ]
    sent, closed = found[-2:]
    assert isinstance(sent, commands.SendData)
    assert sent.data.startswith(b"HTTP/1.1 403 ")
    assert isinstance(closed, commands.CloseConnection)
    client.feed(b"y" * 1_000_000)
    assert len(client.parser.buf) == 0


@pytest.mark.parametrize("head", [b"GET\r\n\r\n", b"GET / HTTP/1.1\r\nno colon\r\n\r\n"])
def test_a_head_that_cannot_be_parsed_is_logged(head: bytes) -> None:
    """
    mitmproxy calls no hook for it.
    """
    client = FromClient()
    client.feed(head)

    assert client.logged == ["the head of the request cannot be parsed"]


class FromServer:
    """
    The parser of a server's connection, after a request was sent.
    """

    def __init__(self) -> None:
        self.parser = BoundedHttp1Client(_context())
        list(self.parser.handle_event(events.Start()))
        request = http.Request.make("GET", "http://a/")
        list(self.parser.handle_event(RequestHeaders(1, request, True)))

    def feed(self, data: bytes) -> list[Any]:
        """
        Feed bytes, and return the HTTP events that follow.
        """
        server = self.parser.context.server
        found = self.parser.handle_event(events.DataReceived(server, data))
        return [command.event for command in found if isinstance(command, ReceiveHttp)]


def test_interim_responses_are_skipped() -> None:
    """
    The client gets the final response, also if all come in one segment.
    """
    interim = b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 100 Continue\r\n\r\n"
    found = FromServer().feed(interim + HEAD)

    heads = [each.response.status_code for each in found if isinstance(each, ResponseHeaders)]
    assert heads == [200]


def test_a_switch_of_protocols_is_a_final_response() -> None:
    """
    The gate has to judge it.
    """
    [head, *_] = FromServer().feed(b"HTTP/1.1 101 Switching Protocols\r\n\r\n")

    assert isinstance(head, ResponseHeaders)
    assert head.response.status_code == 101


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"HTTP/1.1 100 Continue\r\n\r\n" * (MAX_INTERIM_RESPONSES + 1), "interim responses"),
        (b"HTTP/1.1 200 OK\r\nX: " + b"x" * MAX_HEAD_BYTES, "larger than the limit"),
    ],
)
def test_a_server_that_sends_too_much_is_given_up(data: bytes, words: str) -> None:
    """
    The error goes to the client, and the bytes are discarded.
    """
    server = FromServer()
    found = server.feed(data)

    assert isinstance(found[-1], ResponseProtocolError)
    assert words in found[-1].message
    assert len(server.parser.buf) == 0


def test_trailers_are_dropped() -> None:
    """
    A chunked body ends without them.
    """
    reader, buffer = BoundedChunkedReader(), Http1Buffer()
    buffer += b"1\r\na\r\n0\r\nX-Trailer: y\r\n\r\n"

    assert bytes(reader(buffer).data) == b"a"
    end = reader(buffer)
    assert isinstance(end, h11.EndOfMessage)
    assert list(end.headers) == []


def test_a_line_between_chunks_is_limited() -> None:
    """
    The extension of a chunk, or a trailer, cannot fill the memory.
    """
    reader, buffer = BoundedChunkedReader(), Http1Buffer()
    buffer += b"1;" + b"x" * MAX_HEAD_BYTES

    with pytest.raises(h11.RemoteProtocolError, match="too long"):
        reader(buffer)

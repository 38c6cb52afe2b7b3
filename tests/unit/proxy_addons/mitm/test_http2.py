"""HTTP/2 with back-pressure: windows, merged pieces, and what is logged."""

from __future__ import annotations

from typing import Any

import h2.config
import h2.connection
import h2.events
import pytest
from h2.connection import ConnectionState
from mitmproxy.options import Options
from mitmproxy.proxy import commands, events
from mitmproxy.proxy.context import Context
from mitmproxy.test import tflow

from proxy_addons.mitm.http2 import AcknowledgeData, BoundedHttp2Client, BoundedHttp2Server
from proxy_addons.mitm.private import RequestData
from proxy_addons.state.limits import (
    CLIENT_WINDOW_BYTES,
    MAX_IDLE_FRAMES,
    MAX_STREAMS,
    MERGED_BYTES,
)
from proxy_addons.state.responses import RefusalHook
from pytest_codex_workspace.network.rules.policy import Decision

HEAD = [(":method", "POST"), (":scheme", "https"), (":authority", "a.test"), (":path", "/")]


def _context() -> Context:
    options = Options()
    # Options of mitmproxy's server, which the parsers read.
    options.add_option("validate_inbound_headers", bool, True, "")
    options.add_option("http2_ping_keepalive", int, 58, "")
    context = Context(tflow.tclient_conn(), options)
    context.server = tflow.tserver_conn()
    return context


class Connected:
    """
    The parser of a client's connection, and that client.
    """

    def __init__(self) -> None:
        self.logged: list[str] = []
        self.parser = BoundedHttp2Server(_context(), self._log)
        self.client = h2.connection.H2Connection(h2.config.H2Configuration())
        self.client.initiate_connection()
        self.seen: list[h2.events.Event] = []
        self._handle(events.Start())
        self.exchange()

    def _log(self, _: object, error: str) -> Decision:
        self.logged.append(error)
        return Decision("blocked", "not-tls", "No.")

    def _handle(self, event: events.Event) -> None:
        for command in self.parser.handle_event(event):
            if isinstance(command, commands.SendData):
                self.seen += self.client.receive_data(command.data)
            elif isinstance(command, RefusalHook):
                self._refused = command
        if refused := self._refused:
            self._refused = None
            self._handle(events.HookCompleted(refused))

    _refused: RefusalHook | None = None

    def receive(self, data: bytes) -> None:
        """
        Feed bytes to the parser.
        """
        self._handle(events.DataReceived(self.parser.context.client, data))

    def exchange(self) -> None:
        """
        Pass on everything that the client has to send.
        """
        while data := self.client.data_to_send():
            self.receive(data)

    def acknowledge(self, *blocked: int) -> None:
        """
        Let the client send more, except on the blocked streams.
        """
        self._handle(AcknowledgeData(lambda stream: stream in blocked))
        self.exchange()

    def post(self, stream: int, size: int) -> None:
        """
        Send a request with that many bytes of its body.
        """
        self.client.send_headers(stream, HEAD)
        for at in range(0, size, 16_384):
            self.client.send_data(stream, bytes(min(16_384, size - at)))
        self.exchange()


def test_a_client_may_send_only_one_window_ahead() -> None:
    """
    Its window stays closed until the data has been passed on.
    """
    connected = Connected()
    connected.post(1, CLIENT_WINDOW_BYTES)
    assert connected.client.local_flow_control_window(1) == 0

    connected.acknowledge()
    assert connected.client.local_flow_control_window(1) > 0


def test_a_blocked_stream_does_not_block_the_others() -> None:
    """
    Data of other streams is acknowledged meanwhile.
    """
    connected = Connected()
    for stream in (1, 3):
        connected.post(stream, CLIENT_WINDOW_BYTES)

    connected.acknowledge(1)
    assert connected.client.local_flow_control_window(1) == 0
    assert connected.client.local_flow_control_window(3) > 0
    assert list(connected.parser.h2_conn.unacknowledged) == [1]


def test_a_client_learns_how_many_requests_it_may_send() -> None:
    """
    The limit is in the settings.
    """
    settings = Connected().client.remote_settings

    assert settings.max_concurrent_streams == MAX_STREAMS
    assert settings.initial_window_size == CLIENT_WINDOW_BYTES


def test_a_protocol_error_is_logged() -> None:
    """
    mitmproxy calls no hook for it.
    """
    connected = Connected()
    # Data for a stream that does not exist.
    connected.receive(b"\x00\x00\x01\x00\x00\x00\x00\x00\x63x")

    assert len(connected.logged) == 1


@pytest.mark.parametrize("pieces", [1, 1000])
def test_small_pieces_that_wait_are_merged(pieces: int) -> None:
    """
    What a client does not read is kept in few pieces; each needs more memory than its bytes.
    """
    connected = Connected()
    connected.client.send_headers(1, HEAD, end_stream=True)
    connected.exchange()
    connection = connected.parser.h2_conn
    connection.send_headers(1, [(":status", "200")])
    for _ in range(10):
        connection.send_data(1, bytes(16_384))
    before = connection.waiting(1)
    for _ in range(pieces):
        connection.send_data(1, b"x")

    assert before > 0
    assert connection.waiting(1) == before + pieces
    assert len(connection.stream_buffers[1]) <= before // MERGED_BYTES + 2


def test_a_closed_connection_keeps_nothing() -> None:
    """
    Data that can no longer be sent is discarded.
    """
    connected = Connected()
    connected.post(1, 1000)
    connected.parser.h2_conn.send_headers(1, [(":status", "200")])
    connected.parser.h2_conn.send_data(1, bytes(1_000_000))
    assert connected.parser.h2_conn.waiting(1)
    connected.receive(b"\x00\x00\x01\x00\x00\x00\x00\x00\x63x")

    assert connected.parser.h2_conn.waiting(1) == 0
    assert not connected.parser.h2_conn.unacknowledged


def test_data_for_a_stream_that_cannot_begin_is_merged_and_counted() -> None:
    """
    A server that allows no further request must not make the proxy keep many pieces.
    """
    parser: Any = BoundedHttp2Client(_context())
    parser.stream_queue[1] = [RequestData(1, b"a")]
    for _ in range(1000):
        list(parser._handle_event(RequestData(1, b"b")))

    assert [each.data for each in parser.stream_queue[1]] == [b"a" + b"b" * 1000]
    assert parser.waiting_upstream(1) == 1001


def _frame(kind: int, payload: bytes = b"", stream: int = 0, flags: int = 0) -> bytes:
    """
    Return a frame as bytes.
    """
    size, head = len(payload).to_bytes(3, "big"), bytes([kind, flags])
    return size + head + stream.to_bytes(4, "big") + payload


@pytest.mark.parametrize(
    "frame",
    [
        pytest.param(_frame(0, stream=1), id="data"),
        pytest.param(_frame(0, b"\x05" + bytes(5), 1, flags=8), id="padding"),
        pytest.param(_frame(2, b"\0\0\0\0\1", 3), id="priority"),
        pytest.param(_frame(3, b"\0\0\0\x08", 1), id="reset"),
        pytest.param(_frame(4), id="settings"),
        pytest.param(_frame(6, bytes(8)), id="ping"),
        pytest.param(_frame(8, b"\0\0\0\1"), id="window"),
        pytest.param(_frame(9, b"", 1), id="continuation"),
        pytest.param(_frame(0xEE), id="unknown"),
    ],
)
def test_frames_that_carry_nothing_end_a_connection(frame: bytes) -> None:
    """
    Some are part of the protocol; thousands in a row keep the proxy from its work.
    """
    connected = Connected()
    connected.client.send_headers(1, HEAD)
    connected.exchange()
    connected.receive(frame * 2_000)

    assert connected.logged
    assert connected.parser.h2_conn.state_machine.state is ConnectionState.CLOSED


@pytest.mark.parametrize("size", [1, 1000])
def test_an_upload_may_go_on_for_ever(size: int) -> None:
    """
    What carries data allows the frames that belong to it.
    """
    connected = Connected()
    connected.client.send_headers(1, HEAD)
    for _ in range(MAX_IDLE_FRAMES // 3):
        connected.client.ping(bytes(8))
        connected.client.increment_flow_control_window(1)
        connected.client.increment_flow_control_window(1, 1)
        connected.client.send_data(1, bytes(size))
        connected.exchange()
        connected.acknowledge()

    assert connected.logged == []

"""
HTTP/2 with back-pressure.

mitmproxy gives its peers windows of 2 GB, and keeps what they do not take.
Here a peer may send what has been passed on, and a little ahead of that.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from h2.connection import ConnectionState, H2Connection  # type: ignore[import-untyped]
from h2.settings import SettingCodes  # type: ignore[import-untyped]
from mitmproxy.proxy import commands, events
from mitmproxy.proxy.layers import http as layers
from mitmproxy.proxy.layers.http._events import RequestData
from mitmproxy.proxy.layers.http._http2 import Http2Client, Http2Connection, Http2Server
from mitmproxy.proxy.layers.http._http_h2 import BufferedH2Connection, SendH2Data

from ..state.limits import MERGED_BYTES, STREAMS, WINDOW_FROM_CLIENTS, WINDOW_FROM_SERVERS

if TYPE_CHECKING:
    from h2.config import H2Configuration  # type: ignore[import-untyped]
    from mitmproxy.proxy.context import Context
    from mitmproxy.proxy.layer import CommandGenerator

    from .http1 import OnMalformed

__all__ = ["BoundedHttp2Client", "Settle", "StrictHttp2Server", "bound_http2"]

_FRAME_BYTES = 16 * 1024
_STREAMS_IN_A_WINDOW = 8
"""Streams that must stand still before the others of their connection do."""


@dataclass
class Settle(events.Event):
    """
    Let a peer send more, except on streams that are stuck.
    """

    stuck: Callable[[int], bool]


class _Windows(BufferedH2Connection):
    """
    Acknowledges what it received when it is told to.
    """

    def __init__(self, config: H2Configuration, window: int) -> None:
        super().__init__(config)
        self.owed: Counter[int] = Counter()
        self._window = window * _STREAMS_IN_A_WINDOW
        self.local_settings.initial_window_size = window
        self.local_settings.max_frame_size = self.max_inbound_frame_size = _FRAME_BYTES
        if config.client_side:
            self.local_settings.enable_push = 0
        self.local_settings.acknowledge()

    def initiate_connection(self) -> None:
        H2Connection.initiate_connection(self)
        self.increment_flow_control_window(self._window - self.inbound_flow_control_window)
        if not self.config.client_side:
            # It holds when the client has seen it: some send a hundred at once before that.
            self.update_settings({SettingCodes.MAX_CONCURRENT_STREAMS: STREAMS})

    def acknowledge_received_data(self, acknowledged_size: int, stream_id: int) -> None:
        self.owed[stream_id] += acknowledged_size

    def settle(self, stuck: Callable[[int], bool]) -> None:
        if self.state_machine.state is ConnectionState.CLOSED:
            self.owed.clear()
            return
        for stream_id in [each for each in self.owed if not stuck(each)]:
            super().acknowledge_received_data(self.owed.pop(stream_id), stream_id)

    def send_data(
        self,
        stream_id: int,
        data: bytes,
        end_stream: bool = False,
        pad_length: None = None,  # noqa: ARG002 -- mitmproxy does not pad
    ) -> None:
        """
        As it is, but of many small pieces that have to wait make fewer.
        """
        waiting = self.stream_buffers.get(stream_id)
        if waiting and len(waiting[-1].data) + len(data) <= MERGED_BYTES:
            data = waiting.pop().data + data
            waiting.append(SendH2Data(data, end_stream))
            return
        super().send_data(stream_id, data, end_stream)

    def waiting(self, stream_id: int) -> int:
        """
        Bytes that the peer does not take yet.
        """
        return sum(len(each.data) for each in self.stream_buffers.get(stream_id, ()))

    def unread(self) -> int:
        """
        Bytes of frames and heads that are not complete.
        """
        frames = self.incoming_buffer
        # The name depends on the version.
        data = frames.data if hasattr(frames, "data") else frames._data
        return len(data) + sum(len(each.data) for each in frames._headers_buffer)


class _Bounded(Http2Connection):
    """
    What both sides of the proxy have in common.
    """

    h2_conn: _Windows

    def _handle_event(self, event: events.Event) -> CommandGenerator[None]:
        if not isinstance(event, Settle):
            yield from super()._handle_event(event)
            return
        self.h2_conn.settle(event.stuck)
        if data := self.h2_conn.data_to_send():
            yield commands.SendData(self.conn, data)

    def close_connection(self, msg: str) -> CommandGenerator[None]:
        """
        Forget what can no longer be sent.
        """
        yield from super().close_connection(msg)
        self.h2_conn.owed.clear()
        self.h2_conn.stream_buffers.clear()


class StrictHttp2Server(_Bounded, Http2Server):
    """
    HTTP/2 from a client. The library bounds its heads.
    """

    def __init__(self, context: Context, on_malformed: OnMalformed) -> None:
        super().__init__(context)
        self._on_malformed = on_malformed
        self.h2_conn = _Windows(self.h2_conf, WINDOW_FROM_CLIENTS)

    def protocol_error(self, message: str, *rest: Any) -> CommandGenerator[None]:
        """
        End the connection, and say so to the log.
        """
        self._on_malformed(self.context.client, message)
        yield from super().protocol_error(message, *rest)


class BoundedHttp2Client(_Bounded, Http2Client):
    """
    HTTP/2 to a server.
    """

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self.h2_conn = _Windows(self.h2_conf, WINDOW_FROM_SERVERS)

    def _handle_event(self, event: events.Event) -> CommandGenerator[None]:
        if isinstance(event, RequestData):
            # For a stream that the server does not let begin.
            queue = self.stream_queue.get(event.stream_id)
            last = queue[-1] if queue else None
            if isinstance(last, RequestData) and len(last.data) <= MERGED_BYTES:
                last.data += event.data
                return
        yield from super()._handle_event(event)

    def waiting_up(self, stream_id: int) -> int:
        """
        Bytes of a client's stream that the server does not take yet.
        """
        queued = self.stream_queue.get(stream_id, ())
        size = sum(len(each.data) for each in queued if isinstance(each, RequestData))
        ours = self.our_stream_id.get(stream_id)
        return size if ours is None else size + self.h2_conn.waiting(ours)


def bound_http2() -> None:
    """
    Let mitmproxy speak HTTP/2 to servers that way.
    """
    vars(layers)["Http2Client"] = BoundedHttp2Client

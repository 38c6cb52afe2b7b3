"""
HTTP/2 with back-pressure.

mitmproxy gives its peers windows of 2 GB, and keeps what the other side does not
accept. Here a peer may send only a little more than what has been passed on.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from h2.connection import ConnectionState, H2Connection  # type: ignore[import-untyped]
from h2.exceptions import ProtocolError  # type: ignore[import-untyped]
from h2.settings import SettingCodes  # type: ignore[import-untyped]
from mitmproxy.proxy import commands, events

from ..state.limits import (
    CLIENT_WINDOW_BYTES,
    MAX_IDLE_FRAMES,
    MAX_STREAMS,
    MERGED_BYTES,
    SERVER_WINDOW_BYTES,
)
from ..state.responses import RefusalHook
from .private import (
    BufferedH2Connection,
    Http2Client,
    Http2Connection,
    Http2Server,
    RequestData,
    SendH2Data,
    unparsed_h2_bytes,
)

if TYPE_CHECKING:
    from h2.config import H2Configuration  # type: ignore[import-untyped]
    from mitmproxy.proxy.context import Context
    from mitmproxy.proxy.layer import CommandGenerator

    from ..state.responses import OnMalformed

__all__ = ["AcknowledgeData", "BoundedHttp2Client", "BoundedHttp2Server"]

_FRAME_BYTES = 16 * 1024
_DATA = 0
_HEADS = (1, 9)
"""The types of the frames HEADERS and CONTINUATION."""

_FRAMES_FOR_DATA = 4
_BYTES_FOR_A_FRAME = 1024
_STREAMS_IN_A_WINDOW = 8
"""Blocked streams that use up the window of their connection, and so block the others."""


@dataclass
class AcknowledgeData(events.Event):
    """
    Let a peer send more, except on blocked streams.

    Attributes:
        is_blocked: checks a stream by its number.
    """

    is_blocked: Callable[[int], bool]


class _WindowedH2Connection(BufferedH2Connection):
    """
    An HTTP/2 connection that acknowledges received data only when it is asked to.

    Args:
        config: h2's configuration.
        window: bytes that the peer may send ahead on one stream.
    """

    def __init__(self, config: H2Configuration, window: int) -> None:
        super().__init__(config)
        self.unacknowledged: Counter[int] = Counter()
        self._idle_frames = MAX_IDLE_FRAMES
        self._window = window * _STREAMS_IN_A_WINDOW
        self.local_settings.initial_window_size = window
        self.local_settings.max_frame_size = self.max_inbound_frame_size = _FRAME_BYTES
        if config.client_side:
            self.local_settings.enable_push = 0
        self.local_settings.acknowledge()

    def _receive_frame(self, frame: Any) -> Any:
        """
        Process a frame, unless too many before it carried nothing.

        Raises:
            ProtocolError: too many did.
        """
        if frame.type in _HEADS or (
            frame.type == _DATA and (frame.data or "END_STREAM" in frame.flags)
        ):
            self._allow_frames(_FRAMES_FOR_DATA)
        elif self._idle_frames == 0:
            raise ProtocolError(f"more than {MAX_IDLE_FRAMES} frames that carry nothing")
        else:
            self._idle_frames -= 1
        return super()._receive_frame(frame)

    def _allow_frames(self, number: int) -> None:
        self._idle_frames = min(MAX_IDLE_FRAMES, self._idle_frames + number)

    def initiate_connection(self) -> None:
        """
        Send the preface with our windows and settings.
        """
        H2Connection.initiate_connection(self)
        self.increment_flow_control_window(self._window - self.inbound_flow_control_window)
        if not self.config.client_side:
            # The limit is in force once the client has seen it: some clients send a hundred
            # requests at once before that.
            self.update_settings({SettingCodes.MAX_CONCURRENT_STREAMS: MAX_STREAMS})

    def acknowledge_received_data(self, acknowledged_size: int, stream_id: int) -> None:
        """
        Note that data was received; `acknowledge` tells the peer.
        """
        self.unacknowledged[stream_id] += acknowledged_size

    def acknowledge(self, is_blocked: Callable[[int], bool]) -> None:
        """
        Open the windows again of all streams that are not blocked.
        """
        if self.state_machine.state is ConnectionState.CLOSED:
            self.unacknowledged.clear()
            return
        for stream_id in [each for each in self.unacknowledged if not is_blocked(each)]:
            super().acknowledge_received_data(self.unacknowledged.pop(stream_id), stream_id)

    def send_data(
        self,
        stream_id: int,
        data: bytes,
        end_stream: bool = False,
        pad_length: None = None,  # noqa: ARG002 -- mitmproxy does not pad
    ) -> None:
        """
        Send data as mitmproxy does, but merge small pieces that have to wait.
        """
        # Peers confirm what they receive, some of them each frame and twice.
        self._allow_frames(_FRAMES_FOR_DATA + len(data) // _BYTES_FOR_A_FRAME)
        waiting = self.stream_buffers.get(stream_id)
        if waiting and len(waiting[-1].data) + len(data) <= MERGED_BYTES:
            data = waiting.pop().data + data
            waiting.append(SendH2Data(data, end_stream))
            return
        super().send_data(stream_id, data, end_stream)

    def waiting(self, stream_id: int) -> int:
        """
        Return the bytes that the peer does not accept yet.
        """
        return sum(len(each.data) for each in self.stream_buffers.get(stream_id, ()))

    def unparsed_bytes(self) -> int:
        """
        Return the bytes of incomplete frames and header blocks.
        """
        return unparsed_h2_bytes(self)


class _BoundedHttp2Connection(Http2Connection):
    """
    The common part of both sides of the proxy.
    """

    h2_conn: _WindowedH2Connection

    def _handle_event(self, event: events.Event) -> CommandGenerator[None]:
        if not isinstance(event, AcknowledgeData):
            yield from super()._handle_event(event)
            return
        self.h2_conn.acknowledge(event.is_blocked)
        if data := self.h2_conn.data_to_send():
            yield commands.SendData(self.conn, data)

    def close_connection(self, msg: str) -> CommandGenerator[None]:
        """
        Close the connection, and discard data that can no longer be sent.
        """
        yield from super().close_connection(msg)
        self.h2_conn.unacknowledged.clear()
        self.h2_conn.stream_buffers.clear()


class BoundedHttp2Server(_BoundedHttp2Connection, Http2Server):
    """
    HTTP/2 from a client. h2 itself limits the size of heads.

    Args:
        context: of the connection.
        on_malformed: logs input that is not a request.
    """

    def __init__(self, context: Context, on_malformed: OnMalformed) -> None:
        super().__init__(context)
        self._on_malformed = on_malformed
        self.h2_conn = _WindowedH2Connection(self.h2_conf, CLIENT_WINDOW_BYTES)

    def protocol_error(self, message: str, *rest: Any) -> CommandGenerator[None]:
        """
        Log the error and end the connection.
        """
        yield RefusalHook(self.context.client)
        self._on_malformed(self.context.client, message)
        yield from super().protocol_error(message, *rest)


class BoundedHttp2Client(_BoundedHttp2Connection, Http2Client):
    """
    HTTP/2 to a server.
    """

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self.h2_conn = _WindowedH2Connection(self.h2_conf, SERVER_WINDOW_BYTES)

    def _handle_event(self, event: events.Event) -> CommandGenerator[None]:
        if isinstance(event, RequestData):
            # Merge data for a stream that the server does not let begin.
            queue = self.stream_queue.get(event.stream_id)
            last = queue[-1] if queue else None
            if isinstance(last, RequestData) and len(last.data) <= MERGED_BYTES:
                last.data += event.data
                return
        yield from super()._handle_event(event)

    def waiting_upstream(self, stream_id: int) -> int:
        """
        Return the bytes of a client's stream that the server does not accept yet.
        """
        queued = self.stream_queue.get(stream_id, ())
        size = sum(len(each.data) for each in queued if isinstance(each, RequestData))
        ours = self.our_stream_id.get(stream_id)
        return size if ours is None else size + self.h2_conn.waiting(ours)

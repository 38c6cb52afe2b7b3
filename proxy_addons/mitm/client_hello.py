"""
The first message of TLS, read once and within limits.

mitmproxy parses the whole message again for each segment. That takes time that
grows with the square of its size, and blocks everybody: there is one thread.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from mitmproxy.proxy.layers import ClientTLSLayer

from ..state.connections import UNPARSABLE_HELLO
from ..state.limits import MAX_HELLO_BYTES, MAX_HELLO_RECORDS

if TYPE_CHECKING:
    from mitmproxy.proxy.context import Context
    from mitmproxy.proxy.layer import CommandGenerator

__all__ = ["BoundedClientTls", "ClientHelloBuffer"]

_RECORD_HEADER = 5
_MESSAGE_HEADER = 4
_HANDSHAKE = 0x16


class ClientHelloBuffer:
    """
    Collects a ClientHello, however it is split into records and segments.

    Each byte is looked at once.

    Attributes:
        received: everything that came, with the record headers.
        complete: the message is there, or the bytes are no ClientHello and mitmproxy's
            parser has to say so.
        error: why the handshake must not go on.
    """

    def __init__(self) -> None:
        self.received = bytearray()
        self.complete = False
        self.error: str | None = None
        self._at = 0
        self._records = 0
        self._body_bytes = 0
        self._start = bytearray()

    def feed(self, data: bytes) -> None:
        """
        Add the next bytes.
        """
        self.received += data
        while not self.complete and len(self.received) >= self._at + _RECORD_HEADER:
            size = int.from_bytes(self.received[self._at + 3 : self._at + 5], "big")
            if self.received[self._at] != _HANDSHAKE or not size:
                self.complete = True
                return
            body = self._at + _RECORD_HEADER
            self._check_length(self.received[body : body + min(size, _MESSAGE_HEADER)])
            if self.error or len(self.received) < body + size:
                return
            self._add_record(body, size)
            if self.error:
                return

    def _check_length(self, start: bytearray) -> None:
        """
        Refuse a message as soon as its announced length is known and too large.
        """
        announced = (bytes(self._start) + start)[1:_MESSAGE_HEADER]
        if len(announced) == _MESSAGE_HEADER - 1:
            length = int.from_bytes(announced, "big")
            if length > MAX_HELLO_BYTES:
                self.error = (
                    f"the ClientHello announces {length} bytes; the limit is {MAX_HELLO_BYTES}"
                )

    def _add_record(self, body: int, size: int) -> None:
        """
        Add one complete record.
        """
        missing = _MESSAGE_HEADER - len(self._start)
        self._start += self.received[body : body + min(size, missing)]
        self._at = body + size
        self._body_bytes += size
        self._records += 1
        if len(self._start) == _MESSAGE_HEADER:
            whole = _MESSAGE_HEADER + int.from_bytes(self._start[1:], "big")
            self.complete = self._body_bytes >= whole
        if not self.complete and self._records >= MAX_HELLO_RECORDS:
            self.error = f"the ClientHello is split into more than {MAX_HELLO_RECORDS} records"


class BoundedClientTls(ClientTLSLayer):
    """
    TLS from a client; mitmproxy gets the ClientHello once it is complete.
    """

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self.hello: ClientHelloBuffer | None = ClientHelloBuffer()

    def receive_handshake_data(self, data: bytes) -> CommandGenerator[tuple[bool, str | None]]:
        """
        Wait for the ClientHello, refuse it, or go on with the handshake.
        """
        if self.hello is None:
            return (yield from super().receive_handshake_data(data))
        self.hello.feed(data)
        if self.hello.error is not None:
            return False, f"{UNPARSABLE_HELLO}{self.hello.error}"
        if not self.hello.complete:
            return False, None
        whole, self.hello = bytes(self.hello.received), None
        return (yield from super().receive_handshake_data(whole))

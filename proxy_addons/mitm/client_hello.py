"""
The first message of TLS, read once and in bounds.

mitmproxy parses all of it again at each read. The time that takes grows with
the square of what was sent, and everybody waits for it: there is one thread.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from mitmproxy.proxy.layers import ClientTLSLayer

from ..state.limits import HELLO_BYTES, HELLO_RECORDS

if TYPE_CHECKING:
    from mitmproxy.proxy.context import Context
    from mitmproxy.proxy.layer import CommandGenerator

__all__ = ["BoundedClientTLS", "Hello"]

_RECORD_HEADER = 5
_MESSAGE_HEADER = 4
_HANDSHAKE = 0x16


class Hello:
    """
    Collects a ClientHello, whichever way it is cut into records and segments.
    Each byte is looked at once.

    Attributes:
        received: everything that came, records and all.
        complete: the message is there; or it is none, which is for whoever
            parses it to say.
        objection: why it must not go on.
    """

    def __init__(self) -> None:
        self.received = bytearray()
        self.complete = False
        self.objection: str | None = None
        self._at = 0
        self._records = 0
        self._got = 0
        self._start = bytearray()

    def feed(self, data: bytes) -> None:
        """
        Take the next bytes.
        """
        self.received += data
        while not self.complete and len(self.received) >= self._at + _RECORD_HEADER:
            size = int.from_bytes(self.received[self._at + 3 : self._at + 5], "big")
            if self.received[self._at] != _HANDSHAKE or not size:
                self.complete = True
                return
            body = self._at + _RECORD_HEADER
            self._begin(self.received[body : body + min(size, _MESSAGE_HEADER)])
            if self.objection or len(self.received) < body + size:
                return
            self._take(body, size)
            if self.objection:
                return

    def _begin(self, start: bytearray) -> None:
        """
        Object as soon as the announced length is known, if it is too long.
        """
        announced = (bytes(self._start) + start)[1:_MESSAGE_HEADER]
        if len(announced) == _MESSAGE_HEADER - 1:
            length = int.from_bytes(announced, "big")
            if length > HELLO_BYTES:
                self.objection = f"the handshake's first message announces {length} bytes"

    def _take(self, body: int, size: int) -> None:
        """
        One whole record.
        """
        missing = _MESSAGE_HEADER - len(self._start)
        self._start += self.received[body : body + min(size, missing)]
        self._at = body + size
        self._got += size
        self._records += 1
        if len(self._start) == _MESSAGE_HEADER:
            whole = _MESSAGE_HEADER + int.from_bytes(self._start[1:], "big")
            self.complete = self._got >= whole
        if not self.complete and self._records >= HELLO_RECORDS:
            self.objection = f"the handshake's first message is in over {HELLO_RECORDS} records"


class BoundedClientTLS(ClientTLSLayer):
    """
    TLS from a client, which mitmproxy sees once its first message is whole.
    """

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self.hello: Hello | None = Hello()

    def receive_handshake_data(self, data: bytes) -> CommandGenerator[tuple[bool, str | None]]:
        """
        Wait for the first message, refuse it, or go on with the handshake.
        """
        if self.hello is None:
            return (yield from super().receive_handshake_data(data))
        self.hello.feed(data)
        if self.hello.objection is not None:
            # The recorder knows this beginning, which is mitmproxy's own.
            return False, f"Cannot parse ClientHello: {self.hello.objection}"
        if not self.hello.complete:
            return False, None
        whole, self.hello = bytes(self.hello.received), None
        return (yield from super().receive_handshake_data(whole))

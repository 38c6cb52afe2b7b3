"""The standard input and outputs of a container, on a connection taken over from HTTP."""

from __future__ import annotations

import _socket
import fcntl
import select
import struct
import sys
import termios
import threading
from typing import TYPE_CHECKING, Any

from ...unpatched import modules
from ...unpatched.clock import monotonic
from ..life import note_stopped

if TYPE_CHECKING:
    import socket
    import ssl
    from collections.abc import Iterator

__all__ = ["AttachedStream", "Demultiplexer"]

_CHUNK = 256 * 1024
"""Bytes read from the socket at a time."""

_STALLED = 30.0
"""Seconds after which a container that takes no input is given up."""

_SETTLING = 1.0
"""Seconds that the engine may take to pass on what it has read last, once the stream is closed."""

_LOOK = 0.05
"""Seconds between looks at whether the engine has read all of the input."""

_END = (0, b"")

_poll = (select.poll,)
"""In a tuple, as `select` itself may be replaced by a test."""


class Demultiplexer:
    """
    Parses what an engine sends for a container without a terminal: frames of
    channel (1 byte), padding (3 bytes), length (4 bytes, big-endian) and data.
    """

    def __init__(self) -> None:
        self._head = b""
        self._channel = 0
        self._left = 0

    def feed(self, data: bytes) -> Iterator[tuple[int, bytes]]:
        """
        Yield the pieces that *data* completes, as `(channel, bytes)`. *data* may be
        split anywhere; adjacent pieces of one channel are joined, and none is empty.
        """
        channel, pieces = 0, list[bytes]()
        position = 0
        while position < len(data):
            if not self._left:
                take = 8 - len(self._head)
                self._head += data[position : position + take]
                position += take
                if len(self._head) < 8:
                    break
                self._channel, self._left = struct.unpack(">BxxxI", self._head)
                self._head = b""
                continue
            piece = data[position : position + self._left]
            position += len(piece)
            self._left -= len(piece)
            if pieces and channel != self._channel:
                yield channel, b"".join(pieces)
                pieces = []
            channel = self._channel
            pieces.append(piece)
        if pieces:
            yield channel, b"".join(pieces)


class AttachedStream:
    """
    `Stream` over a connection that the engine has switched to raw bytes.

    Args:
        connection: the connected socket, plain or TLS.
        container: whose streams they are, for the log.
    """

    def __init__(self, connection: socket.socket, container: str = "") -> None:
        self._container = container
        connection.settimeout(None)
        # Otherwise, a first process that is stopped would block senders for ever. Receiving has no
        # limit, because containers are silent for as long as they like.
        limit = struct.pack("ll", int(_STALLED), int(_STALLED % 1 * 1_000_000))
        connection.setsockopt(modules.socket.SOL_SOCKET, modules.socket.SO_SNDTIMEO, limit)
        # By what it can do: our class of TLS connections is not that of module `ssl`.
        secure = hasattr(connection, "getpeercert")
        self._wire: Any = _TlsWire(connection) if secure else connection  # type: ignore[arg-type]
        self._connection = connection
        self._sending = threading.Lock()
        self._receiving = threading.Lock()
        self._closed = False
        self._sent = 0.0
        self._demultiplexer = Demultiplexer()
        self._pieces: Iterator[tuple[int, bytes]] = iter(())

    def send(self, data: bytes) -> None:
        """
        Write all of *data* to standard input, not interleaved with other threads.
        """
        with self._sending:
            try:
                self._wire.sendall(data)
                # Not before: what a slow reader has not taken is the end of this.
                self._sent = monotonic()
            except (OSError, ValueError):
                self._shut_down()
                raise ConnectionError(
                    "The container accepts no more input: the container or the engine has ended, "
                    f"or its first process has read nothing for {_STALLED:g} s."
                ) from None
            except BaseException:
                # Half a message was sent, so no other message may follow.
                self._shut_down()
                raise

    def receive(self) -> tuple[int, bytes]:
        """
        Block until output arrives: `(channel, data)`, or `(0, b"")` at the end.
        """
        with self._receiving:
            while (piece := next(self._pieces, None)) is None:
                try:
                    data = self._wire.recv(_CHUNK)
                except (OSError, ValueError):
                    data = b""
                if not data or self._closed:
                    # Docker closes only its half when a container has ended, and leaves the other
                    # half to its garbage collector: a sender would wait for minutes.
                    self._shut_down()
                    return _END
                self._pieces = self._demultiplexer.feed(data)
            return piece

    def close(self, *, at_once: bool = False) -> None:
        """
        End standard input and the connection, and wake threads that wait for it.
        """
        if not self._closed:
            note_stopped(self._container)
        self._closed = True
        if not at_once and (monotonic() - self._sent < _SETTLING or self._is_untaken()):
            self._settle()
        self._shut_down()
        # Both threads have been woken. Only now may the descriptor be used again.
        with self._sending, self._receiving:
            if self._connection.fileno() < 0:
                return
            self._drain()
            self._connection.close()

    def _settle(self) -> None:
        """
        End standard input, and wait until the container has ended. Docker 28 drops the input that
        it still has when the connection is closed.
        """
        try:
            _socket.socket.shutdown(self._connection, _socket.SHUT_WR)
            poll = _poll[0]()
            poll.register(self._connection, select.POLLIN | getattr(select, "POLLRDHUP", 0))
            now = monotonic()
            settled, stalled = now + _SETTLING, now + _STALLED
            while (now := monotonic()) < (stalled if self._is_untaken() else settled):
                # Nothing tells when the engine takes the last of the input.
                events = poll.poll((settled - now if now < settled else _LOOK) * 1000)
                if not events:
                    continue
                if events[0][1] & ~select.POLLIN:
                    return
                # Output that nobody reads could keep the container from its end.
                if self._receiving.acquire(blocking=False):
                    try:
                        if not _socket.socket.recv(self._connection, _CHUNK):
                            return
                    finally:
                        self._receiving.release()
        except (OSError, ValueError):
            return

    def _is_untaken(self) -> bool:
        """
        Return whether the engine has yet to read some of the input. `False` if that is not known.
        """
        try:
            left = fcntl.ioctl(self._connection, termios.TIOCOUTQ, bytes(4))
        except (OSError, ValueError):
            return False
        return int.from_bytes(left, sys.byteorder) > 0

    def _shut_down(self) -> None:
        try:
            # The plain socket's method: with that of TLS, a reader would see encrypted bytes.
            _socket.socket.shutdown(self._connection, _socket.SHUT_RDWR)
        except OSError:
            return

    def _drain(self) -> None:
        """
        Read the remaining data: closing a connection with unread data resets the
        connection, and the engine might lose what was sent last.
        """
        try:
            self._connection.settimeout(0)
            # Bounded, because a TCP peer may go on sending.
            for _ in range(64):
                if not _socket.socket.recv(self._connection, _CHUNK):
                    return
        except (OSError, ValueError):
            return


class _TlsWire:
    """
    A TLS connection for one reader and one writer at a time.

    OpenSSL's object allows one call at a time, and a blocking read would lock
    out the writer for as long as the container is silent.
    """

    def __init__(self, connection: ssl.SSLSocket) -> None:
        connection.settimeout(0)
        self._connection = connection
        self._turn = threading.Lock()

    def recv(self, size: int) -> bytes:
        while True:
            try:
                with self._turn:
                    return self._connection.recv(size)
            except modules.ssl.SSLWantReadError:
                self._wait(select.POLLIN)
            except modules.ssl.SSLWantWriteError:
                self._wait(select.POLLOUT)

    def sendall(self, data: bytes) -> None:
        view = memoryview(data)
        while view:
            try:
                with self._turn:
                    sent = self._connection.send(view[:_CHUNK])
                view = view[sent:]
            except modules.ssl.SSLWantWriteError:
                self._wait(select.POLLOUT, _STALLED)
            except modules.ssl.SSLWantReadError:
                self._wait(select.POLLIN, _STALLED)

    def _wait(self, event: int, seconds: float | None = None) -> None:
        poll = _poll[0]()
        poll.register(self._connection, event)
        if not poll.poll(None if seconds is None else seconds * 1000):
            raise TimeoutError

"""Carries connections to ports of a workspace, all of them over one pair of streams.

The host sends this program to a workspace, where it reads frames from standard input and writes
frames to standard output, and imports it for its own end. A frame has a header, `HEADER` (type,
number of the connection, length of the payload), and a payload. Each side may send `WINDOW` bytes
of a connection that the other side has not passed on yet, so that a slow reader stops its own
connection only, and memory is bounded. What the other side sends is not trusted.
"""

# Python 3.8, and only the standard library.

from __future__ import annotations

import errno
import os
import selectors
import socket
import struct
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import Any

__all__ = [
    "CREDIT",
    "DATA",
    "END",
    "OPEN",
    "RESET",
    "WINDOW",
    "Connections",
    "FrameBuffer",
    "main",
]

HEADER = struct.Struct(">BII")
_PORT = struct.Struct(">H")
_COUNT = struct.Struct(">I")

OPEN = 1  # the port: connect to it. From the host only.
DATA = 2
END = 3  # no more data comes in this direction
CREDIT = 4  # the number of bytes that were passed on
RESET = 5  # the connection is broken, or was refused

WINDOW = 256 << 10
"""Bytes of one connection that are on their way in one direction."""

_PIECE = 64 << 10
_MOST = 1024
_LINGER = struct.pack("ii", 1, 0)
_ADDRESSES = ((socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1"))
_UNDER_WAY = (errno.EINPROGRESS, errno.EAGAIN)


class FrameBuffer:
    """
    Cuts a stream of bytes into frames.
    """

    def __init__(self) -> None:
        self._buffer = bytearray()

    def feed(self, data: bytes) -> Iterator[tuple[int, int, bytes]]:
        """
        Add *data*, and yield the frames that are complete: type, number and payload.

        Raises:
            ValueError: a frame is too long.
        """
        self._buffer += data
        while len(self._buffer) >= HEADER.size:
            kind, number, size = HEADER.unpack_from(self._buffer)
            if size > _PIECE:
                raise ValueError(f"a frame of {size} bytes")
            end = HEADER.size + size
            if len(self._buffer) < end:
                return
            payload = bytes(self._buffer[HEADER.size : end])
            del self._buffer[:end]
            yield kind, number, payload


class _Connection:
    """
    One connection, as one side sees it.
    """

    def __init__(self, number: int, sock: Any) -> None:
        self.number = number
        self.sock = sock
        self.connected = True
        self.retry: Callable[[], Any] | None = None
        self.outgoing = bytearray()
        self.passed_on = 0
        self.credit = WINDOW
        self.reads = True
        self.peer_ended = False
        self.shut = False


class Connections:
    """
    The connections of one side. One thread may use them.

    Args:
        send: sends a frame to the other side.
        connects: whether the other side may ask for connections. A workspace may not: it would
            reach what listens on the host.

    Attributes:
        selector: waits for their sockets; `ready` is called with the data of a key.
    """

    def __init__(self, send: Callable[[bytes], object], *, connects: bool) -> None:
        self._send = send
        self._connects = connects
        self._all: dict[int, _Connection] = {}
        self.selector = selectors.DefaultSelector()

    def __len__(self) -> int:
        return len(self._all)

    def accept(self, number: int, sock: Any, port: int) -> None:
        """
        Begin a connection of a client, to a port on the other side.
        """
        self._frame(OPEN, number, _PORT.pack(port))
        self._add(_Connection(number, sock))

    def take(self, kind: int, number: int, payload: bytes) -> None:
        """
        Handle a frame of the other side. One about a connection that has ended is dropped.

        Raises:
            ValueError: the frame makes no sense.
        """
        if kind == OPEN:
            if not self._connects:
                raise ValueError("a connection that is not for this side to make")
            if number in self._all or len(self._all) >= _MOST:
                raise ValueError("a connection too many")
            self._connect(number, _unpack(_PORT, payload))
            return
        connection = self._all.get(number)
        if connection is None:
            return
        if kind == DATA:
            if len(connection.outgoing) + connection.passed_on + len(payload) > WINDOW:
                raise ValueError("more data than was asked for")
            connection.outgoing += payload
        elif kind == CREDIT:
            connection.credit += _unpack(_COUNT, payload)
            if connection.credit > WINDOW:
                raise ValueError("more data was passed on than was sent")
        elif kind == END:
            connection.peer_ended = True
        elif kind == RESET:
            self._drop(connection, broken=True)
            return
        else:
            raise ValueError(f"a frame of type {kind}")
        self._go_on(connection)

    def ready(self, connection: _Connection, events: int) -> None:
        """
        Read from and write to the socket of a connection.
        """
        if self._all.get(connection.number) is not connection:
            return
        try:
            if events & selectors.EVENT_WRITE and not connection.connected:
                self._finish_connecting(connection)
            elif events & selectors.EVENT_READ:
                self._read(connection)
        except BlockingIOError:
            pass
        except OSError:
            self._break(connection)
        if connection.number in self._all:
            self._go_on(connection)

    def break_all(self) -> None:
        """
        End all connections: the other side is gone.
        """
        for connection in list(self._all.values()):
            self._drop(connection, broken=True)

    def close(self) -> None:
        """
        End all connections, and wait for nothing any more.
        """
        self.break_all()
        self.selector.close()

    def _connect(self, number: int, port: int) -> None:
        left = list(_ADDRESSES)

        def attempt() -> Any:
            while left:
                family, address = left.pop(0)
                try:
                    sock = socket.socket(family, socket.SOCK_STREAM)
                except OSError:
                    continue
                sock.settimeout(0)
                if sock.connect_ex((address, port)) in (0, *_UNDER_WAY):
                    return sock
                sock.close()
            return None

        sock = attempt()
        if sock is None:
            self._frame(RESET, number)
            return
        connection = _Connection(number, sock)
        connection.connected, connection.retry = False, attempt
        self._add(connection)

    def _finish_connecting(self, connection: _Connection) -> None:
        if not connection.sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR):
            connection.connected = True
            return
        self.selector.unregister(connection.sock)
        connection.sock.close()
        sock = connection.retry() if connection.retry is not None else None
        if sock is None:
            del self._all[connection.number]
            self._frame(RESET, connection.number)
            return
        connection.sock = sock
        self.selector.register(sock, selectors.EVENT_WRITE, connection)

    def _add(self, connection: _Connection) -> None:
        connection.sock.settimeout(0)
        connection.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._all[connection.number] = connection
        self.selector.register(connection.sock, selectors.EVENT_WRITE, connection)
        self._watch(connection)

    def _read(self, connection: _Connection) -> None:
        data = connection.sock.recv(min(_PIECE, connection.credit))
        if data:
            connection.credit -= len(data)
            self._frame(DATA, connection.number, data)
        else:
            connection.reads = False
            self._frame(END, connection.number)

    def _go_on(self, connection: _Connection) -> None:
        """
        Write what can be written, and wait for what is next.
        """
        try:
            if connection.connected:
                self._write(connection)
        except BlockingIOError:
            pass
        except OSError:
            self._break(connection)
            return
        if connection.shut and not connection.reads:
            self._drop(connection)
        else:
            self._watch(connection)

    def _write(self, connection: _Connection) -> None:
        while connection.outgoing:
            with memoryview(connection.outgoing) as view:
                count = connection.sock.send(view[:_PIECE])
            del connection.outgoing[:count]
            connection.passed_on += count
            if connection.passed_on >= WINDOW // 4 or not connection.outgoing:
                self._frame(CREDIT, connection.number, _COUNT.pack(connection.passed_on))
                connection.passed_on = 0
        if connection.peer_ended and not connection.shut:
            connection.shut = True
            connection.sock.shutdown(socket.SHUT_WR)

    def _watch(self, connection: _Connection) -> None:
        events = 0
        if not connection.connected or connection.outgoing:
            events |= selectors.EVENT_WRITE
        if connection.connected and connection.reads and connection.credit > 0:
            events |= selectors.EVENT_READ
        if not events:
            if connection.sock in self.selector.get_map():
                self.selector.unregister(connection.sock)
        elif connection.sock in self.selector.get_map():
            self.selector.modify(connection.sock, events, connection)
        else:
            self.selector.register(connection.sock, events, connection)

    def _break(self, connection: _Connection) -> None:
        self._frame(RESET, connection.number)
        self._drop(connection, broken=True)

    def _drop(self, connection: _Connection, *, broken: bool = False) -> None:
        if self._all.pop(connection.number, None) is None:
            return
        if connection.sock in self.selector.get_map():
            self.selector.unregister(connection.sock)
        if broken:
            try:
                connection.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _LINGER)
            except OSError:
                pass
        connection.sock.close()

    def _frame(self, kind: int, number: int, payload: bytes = b"") -> None:
        self._send(HEADER.pack(kind, number, len(payload)) + payload)


def _unpack(form: struct.Struct, payload: bytes) -> int:
    if len(payload) != form.size:
        raise ValueError("a payload of the wrong length")
    return int(form.unpack(payload)[0])


def main() -> None:
    """
    Serve until standard input ends.
    """
    connections = Connections(_write_all, connects=True)
    connections.selector.register(0, selectors.EVENT_READ)
    frames = FrameBuffer()
    while True:
        for key, events in connections.selector.select():
            if key.data is not None:
                connections.ready(key.data, events)
                continue
            data = os.read(0, _PIECE)
            if not data:
                return
            for frame in frames.feed(data):
                connections.take(*frame)


def _write_all(data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(1, view) :]


if __name__ == "__main__":
    try:
        main()
    except BrokenPipeError:
        sys.exit(1)

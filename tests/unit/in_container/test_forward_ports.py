"""Tests of the frames that carry connections, and of both of their ends."""

from __future__ import annotations

import select
import socket
import struct
from contextlib import suppress

import pytest

from pytest_codex_workspace.in_container.forward_ports import (
    CREDIT,
    DATA,
    END,
    HEADER,
    OPEN,
    RESET,
    WINDOW,
    Connections,
    FrameBuffer,
)

PIECE = 64 << 10


class Side:
    """
    One side, its frames, and the other end of the socket of its connection number 1.
    """

    def __init__(self, *, connects: bool = False) -> None:
        self.sent: list[tuple[int, int, bytes]] = []
        self._frames = FrameBuffer()
        self.connections = Connections(self._keep, connects=connects)

    def _keep(self, data: bytes) -> None:
        self.sent += self._frames.feed(data)

    def client(self, number: int = 1) -> socket.socket:
        ours, theirs = socket.socketpair()
        self.connections.accept(number, _Tcp(ours), 80)
        return theirs

    def run(self, until) -> None:
        """
        Handle what is ready until something holds.
        """
        for _ in range(1000):
            if until():
                return
            for key, events in self.connections.selector.select(5):
                self.connections.ready(key.data, events)
        raise AssertionError("it never came")

    def kinds(self) -> list[int]:
        return [kind for kind, _, _ in self.sent]


class _Tcp:
    """
    A socket that has the options of TCP.
    """

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock

    def __getattr__(self, name: str):
        return getattr(self._sock, name)

    def setsockopt(self, *_: object) -> None:
        pass


def test_frames_may_come_in_any_pieces():
    """
    None is longer than 64 KiB.
    """
    whole = HEADER.pack(DATA, 7, 3) + b"abc" + HEADER.pack(END, 8, 0)
    buffer = FrameBuffer()
    found = [frame for byte in whole for frame in buffer.feed(bytes([byte]))]

    assert found == [(DATA, 7, b"abc"), (END, 8, b"")]
    with pytest.raises(ValueError, match="a frame of 65537 bytes"):
        list(FrameBuffer().feed(HEADER.pack(DATA, 1, PIECE + 1)))


def test_a_side_stops_reading_when_its_window_is_full():
    """
    Until the other side has passed something on.
    """
    side = Side()
    client = side.client()
    client.settimeout(0)
    sent = 0
    while side.connections.selector.get_map():
        with suppress(BlockingIOError):
            sent += client.send(bytes(PIECE))
        side.run(lambda: not side.connections.selector.select(0))
    assert sent >= WINDOW
    assert sum(len(data) for kind, _, data in side.sent if kind == DATA) == WINDOW
    assert not side.connections.selector.get_map()
    client.send(bytes(20))
    side.connections.take(CREDIT, 1, struct.pack(">I", 10))
    side.run(lambda: len(side.sent[-1][2]) == 10)
    client.close()
    side.connections.close()


def test_each_direction_ends_by_itself():
    """
    The connection is gone when both have.
    """
    side = Side()
    client = side.client()
    side.connections.take(DATA, 1, b"last")
    side.connections.take(END, 1, b"")
    assert (client.recv(10), client.recv(10)) == (b"last", b"")
    client.sendall(b"still")
    side.run(lambda: DATA in side.kinds())
    client.shutdown(socket.SHUT_WR)
    side.run(lambda: END in side.kinds())

    assert len(side.connections) == 0
    client.close()
    side.connections.take(DATA, 1, b"late, and dropped")
    assert side.kinds() == [OPEN, CREDIT, DATA, END]


def test_a_client_that_has_gone_resets():
    """
    The other side is told when something cannot be written.
    """
    side = Side()
    side.client().close()
    side.connections.take(DATA, 1, b"x")

    side.run(lambda: RESET in side.kinds() or END in side.kinds())
    side.connections.take(DATA, 1, b"y")
    assert RESET in side.kinds()
    assert len(side.connections) == 0


def _take_often(side: Side, kind: int, payload: bytes) -> None:
    for _ in range(100):
        side.connections.take(kind, 1 if kind != OPEN else 2, payload)


@pytest.mark.parametrize(
    ("kind", "payload", "why"),
    [
        (OPEN, struct.pack(">H", 22), "not for this side"),
        (DATA, bytes(PIECE), "more data than was asked for"),
        (CREDIT, struct.pack(">I", 1), "more data was passed on"),
        (CREDIT, b"", "wrong length"),
        (9, b"", "type 9"),
    ],
)
def test_nonsense_is_an_error(kind, payload, why):
    """
    A workspace can neither use the memory of the host, nor connect to what listens there.
    """
    side = Side()
    client = side.client()
    with pytest.raises(ValueError, match=why):
        _take_often(side, kind, payload)
    client.close()
    side.connections.close()


def test_ports_are_connected_on_request():
    """
    A port on which nobody listens is reset. A number is used once.
    """
    server = socket.create_server(("127.0.0.1", 0))
    port = server.getsockname()[1]
    side = Side(connects=True)
    side.connections.take(OPEN, 1, struct.pack(">H", port))
    side.connections.take(DATA, 1, b"hello")
    side.run(lambda: CREDIT in side.kinds())
    served, _ = server.accept()
    assert served.recv(10) == b"hello"
    with pytest.raises(ValueError, match="a connection too many"):
        side.connections.take(OPEN, 1, struct.pack(">H", port))
    served.close()
    server.close()
    side.connections.take(OPEN, 2, struct.pack(">H", port))
    side.run(lambda: RESET in side.kinds())
    assert side.sent[-1][1] == 2
    side.connections.close()


def test_a_port_of_ipv6_is_found():
    """
    Servers that listen on `localhost` may have only that.
    """
    try:
        server = socket.create_server(("::1", 0), family=socket.AF_INET6)
    except OSError:
        pytest.skip("this machine has no IPv6")
    side = Side(connects=True)
    side.connections.take(OPEN, 1, struct.pack(">H", server.getsockname()[1]))
    side.run(lambda: select.select([server], [], [], 0)[0])
    served, _ = server.accept()
    served.sendall(b"six")
    side.run(lambda: DATA in side.kinds())
    served.close()
    server.close()
    side.connections.close()

"""Tests of parsing frames, and of the two ends of a connection."""

from __future__ import annotations

import socket
import struct
import threading
from contextlib import suppress
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_codex_workspace.engine.docker.stream import AttachedStream, Demultiplexer

if TYPE_CHECKING:
    from collections.abc import Iterator


def frame(channel: int, data: bytes) -> bytes:
    """
    Return a frame as an engine sends it.
    """
    return struct.pack(">BxxxI", channel, len(data)) + data


def joined(pieces: list[tuple[int, bytes]]) -> list[tuple[int, bytes]]:
    """
    Join adjacent pieces of one channel.
    """
    result: list[tuple[int, bytes]] = []
    for channel, data in pieces:
        if result and result[-1][0] == channel:
            result[-1] = (channel, result[-1][1] + data)
        elif data:
            result.append((channel, data))
    return result


@given(
    frames=st.lists(st.tuples(st.sampled_from([1, 2]), st.binary(max_size=40)), max_size=20),
    cuts=st.lists(st.integers(1, 30), min_size=1, max_size=20),
)
def test_frames_may_be_split_anywhere(frames: list[tuple[int, bytes]], cuts: list[int]) -> None:
    """
    The output is the same for every split, and no piece is empty.
    """
    wire = b"".join(frame(*one) for one in frames)
    demultiplexer = Demultiplexer()
    pieces: list[tuple[int, bytes]] = []
    turn = 0
    while wire:
        size = cuts[turn % len(cuts)]
        pieces += demultiplexer.feed(wire[:size])
        wire = wire[size:]
        turn += 1

    assert joined([one for one in frames if one[1]]) == joined(pieces)
    assert all(data for _, data in pieces)


def test_adjacent_frames_of_one_channel_are_one_piece() -> None:
    """
    Many small frames that arrive together need one call.
    """
    wire = frame(1, b"a") + frame(1, b"b") + frame(2, b"c") + frame(1, b"d")

    assert [(1, b"ab"), (2, b"c"), (1, b"d")] == list(Demultiplexer().feed(wire))


@pytest.fixture
def ends() -> Iterator[tuple[AttachedStream, socket.socket]]:
    """
    A stream, and the engine's end of it.
    """
    ours, theirs = socket.socketpair()
    stream = AttachedStream(ours)
    with theirs:
        yield stream, theirs
        stream.close()


def test_the_engine_receives_all_that_was_sent_before_the_end(
    ends: tuple[AttachedStream, socket.socket], monkeypatch: pytest.MonkeyPatch
) -> None:
    """
    Closing with unread output does not lose the sent data, and does not wait for ever.
    """
    for limit in ("_STALLED", "_SETTLING"):
        monkeypatch.setattr(f"pytest_codex_workspace.engine.docker.stream.{limit}", 0.01)
    stream, engine = ends
    engine.sendall(frame(1, b"never read"))
    stream.send(b"last words")

    stream.close()

    assert b"last words" == engine.recv(100)
    assert b"" == engine.recv(100)


@pytest.mark.parametrize("at_once", [True, False])
def test_a_stream_may_end_at_once(
    ends: tuple[AttachedStream, socket.socket], monkeypatch: pytest.MonkeyPatch, at_once: bool
) -> None:
    """
    Otherwise, it waits for a container that has just been sent something.
    """
    stream, _ = ends
    waits: list[AttachedStream] = []
    monkeypatch.setattr(AttachedStream, "_settle", lambda self: waits.append(self))
    stream.send(b"last words")

    stream.close(at_once=at_once)

    assert waits == ([] if at_once else [stream])


def test_the_end_waits_until_the_container_has_read_its_input(
    ends: tuple[AttachedStream, socket.socket],
) -> None:
    """
    An engine may drop what it has not passed on when the connection is closed, so only the input
    ends at first.
    """
    stream, engine = ends
    received: list[bytes] = []

    def pass_on() -> None:
        received.extend(iter(lambda: engine.recv(100), b""))
        with suppress(OSError):
            engine.sendall(frame(1, b"answer"))
            received.append(b"(connected)")
        engine.shutdown(socket.SHUT_RDWR)

    container = threading.Thread(target=pass_on)
    container.start()
    stream.send(b"last words")
    stream.close()
    container.join(5)

    assert [b"last words", b"(connected)"] == received


def test_the_end_waits_until_the_engine_has_taken_the_input(
    ends: tuple[AttachedStream, socket.socket], monkeypatch: pytest.MonkeyPatch
) -> None:
    """
    However long ago it was sent, and although the engine is silent for longer than usual.
    """
    monkeypatch.setattr("pytest_codex_workspace.engine.docker.stream._SETTLING", 0.01)
    monkeypatch.setattr("pytest_codex_workspace.engine.docker.stream._LOOK", 0.001)
    stream, engine = ends
    stream.send(b"last words")
    monkeypatch.setattr(stream, "_sent", -1e9)
    closing = threading.Thread(target=stream.close)
    closing.start()
    closing.join(0.05)

    assert closing.is_alive()
    engine.sendall(frame(1, b"still connected"))
    assert b"last words" == engine.recv(100)
    closing.join(5)
    assert not closing.is_alive()


def test_the_end_wakes_a_sender(ends: tuple[AttachedStream, socket.socket]) -> None:
    """
    An engine may close only its half of the connection.
    """
    stream, engine = ends
    failures: list[BaseException] = []

    def send() -> None:
        try:
            stream.send(b"x" * 10_000_000)
        except ConnectionError as error:
            failures.append(error)

    sender = threading.Thread(target=send)
    sender.start()
    engine.shutdown(socket.SHUT_WR)

    assert (0, b"") == stream.receive()
    sender.join(5)
    assert "accepts no more input" in str(failures[0])


def test_receive_after_the_end_returns_the_end(ends: tuple[AttachedStream, socket.socket]) -> None:
    """
    This holds for every further call.
    """
    stream, _ = ends
    stream.close()

    assert [(0, b"")] * 2 == [stream.receive(), stream.receive()]
    with pytest.raises(ConnectionError):
        stream.send(b"x")


def test_a_sender_does_not_wait_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    """
    The other end is open and reads nothing, as a stopped process does.
    """
    monkeypatch.setattr("pytest_codex_workspace.engine.docker.stream._STALLED", 0.05)
    ours, theirs = socket.socketpair()
    stream = AttachedStream(ours)
    with theirs:
        for _ in range(2):
            with pytest.raises(ConnectionError, match="read nothing"):
                stream.send(b"x" * 10_000_000)
        assert stream.receive() == (0, b"")
        stream.close()

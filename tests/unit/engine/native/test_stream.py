"""The streams of a container, on sockets of this process."""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Iterator

import pytest

from pytest_codex_workspace.engine.native.stream import Ends, SocketStream, open_ends


@pytest.fixture
def both() -> Iterator[tuple[SocketStream, Ends]]:
    """
    Our ends, and those of a container.
    """
    stream, ends = open_ends()
    yield stream, ends
    stream.close()
    for one in ends.descriptors():
        try:
            os.close(one)
        except OSError:
            continue


def test_what_is_sent_before_the_end_arrives(both: tuple[SocketStream, Ends]):
    """
    The end of input follows it exactly.
    """
    stream, ends = both
    stream.send(b"data")
    stream.close()

    assert b"data" == os.read(ends.inputs[0], 10)
    assert b"" == os.read(ends.inputs[0], 10)


def test_the_outputs_have_their_channels(both: tuple[SocketStream, Ends]):
    """
    The stream ends when both have.
    """
    stream, ends = both
    os.write(ends.inputs[1], b"out")
    assert (1, b"out") == stream.receive()
    os.close(ends.inputs[1])
    os.write(ends.inputs[2], b"error")
    assert (2, b"error") == stream.receive()
    os.close(ends.inputs[2])
    os.close(ends.client)

    assert (0, b"") == stream.receive() == stream.receive()


def test_the_end_of_output_waits_for_that_of_the_container(both: tuple[SocketStream, Ends]):
    """
    Whoever asks then why it has ended finds that it has.
    """
    stream, ends = both
    for one in ends.inputs[1:]:
        os.close(one)
    got: list[tuple[int, bytes]] = []
    waiting = threading.Thread(target=lambda: got.append(stream.receive()))
    waiting.start()
    waiting.join(0.1)
    early = list(got)

    os.close(ends.client)
    waiting.join(5)

    assert ([], [(0, b"")]) == (early, got)


def test_a_close_wakes_who_receives(both: tuple[SocketStream, Ends]):
    """
    So does a second one nothing.
    """
    stream, _ = both
    got: list[tuple[int, bytes]] = []
    waiting = threading.Thread(target=lambda: got.append(stream.receive()))
    waiting.start()

    stream.close()
    stream.close()
    waiting.join(5)

    assert [(0, b"")] == got
    with pytest.raises(ConnectionError, match="no more input"):
        stream.send(b"x")


def test_the_runner_learns_that_nobody_reads(both: tuple[SocketStream, Ends]):
    """
    Its end of the watch ends with the stream.
    """
    stream, ends = both
    watch = socket.socket(fileno=os.dup(ends.client))
    stream.close()

    with watch:
        assert b"" == watch.recv(1)

"""Tests of reading what a container prints."""

from __future__ import annotations

import logging
import tracemalloc

import pytest

from pytest_codex_workspace.engine.container_output import ContainerOutput
from pytest_codex_workspace.secrets.redaction import Redaction
from pytest_codex_workspace.text.loggers import hide


class FakeStream:
    """
    A stream from which *pieces* arrive, and then the end.
    """

    def __init__(self, *pieces):
        self._pieces = [*pieces, (0, b"")]

    def receive(self):
        return self._pieces.pop(0)


def test_standard_output_is_taken_and_the_end_of_errors_is_kept():
    """
    Each piece as it arrives.
    """
    output = ContainerOutput(
        FakeStream((1, b"a\nb"), (2, b"12345\n"), (1, b"c"), (2, b" 67\xff\n")), keep=7
    )
    taken = []

    assert "" == output.last_words
    output.read(taken.append)

    assert [b"a\nb", b"c"] == taken
    assert "5\n 67\ufffd" == output.errors
    assert "\nlast output on its standard error:\n5\n 67\ufffd" == output.last_words


def test_an_error_of_what_takes_ends_the_reading():
    """
    Whoever reads decides what follows from it.
    """
    output = ContainerOutput(FakeStream((2, b"said"), (1, b"bad"), (1, b"more")), keep=9)

    def take(data):
        raise ValueError(data)

    with pytest.raises(ValueError, match="bad"):
        output.read(take)
    assert "said" == output.errors


def test_lines_of_standard_error_are_logged(caplog, monkeypatch):
    """
    Whole lines with the name of the container, and not more than a bound: it may print for ever.
    """
    monkeypatch.setattr("pytest_codex_workspace.engine.container_output._LINES", 3)
    pieces = [(2, b"on"), (2, b"e\ntwo\x1b[2J\n"), (1, b"data"), (2, b"three\nfour\n"), (2, b"end")]

    with caplog.at_level(logging.DEBUG):
        ContainerOutput(FakeStream(*pieces), keep=9, name="proxy").read(lambda _: None)

    assert [
        "proxy prints: one",
        r"proxy prints: two\x1b[2J",
        "proxy prints: three",
        "proxy prints more than 3 lines: no more are logged",
    ] == caplog.messages


def test_no_more_of_a_line_is_logged_than_its_bound(caplog, monkeypatch):
    """
    Whether it comes at once or in pieces.
    """
    monkeypatch.setattr("pytest_codex_workspace.engine.container_output._LINE", 4)
    pieces = [(2, b"12345"), (2, b"6\nabcdefg\n")]

    with caplog.at_level(logging.DEBUG):
        ContainerOutput(FakeStream(*pieces), keep=9).read(lambda _: None)

    assert ["container prints: 1234", "container prints: abcd"] == caplog.messages


def test_a_line_without_an_end_does_not_fill_the_memory(caplog):
    """
    What is over the bound is not even kept.
    """
    piece = b"x" * 2**20
    output = ContainerOutput(FakeStream(*[(2, piece)] * 50), keep=9)

    with caplog.at_level(logging.DEBUG):
        tracemalloc.start()
        try:
            output.read(lambda _: None)
            _, most = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()

    assert most < 10 * len(piece)


@pytest.mark.parametrize("length", [4090, 8190, 16380])
def test_a_long_line_ends_with_no_half_secret(caplog, length):
    """
    Wherever it is cut.
    """
    values = Redaction(["s3cr3t-value"])
    hide(values)
    pieces = [(2, b"x" * length + b"s3cr3t-"), (2, b"value" + b"y" * 20_000 + b"\n")]

    with caplog.at_level(logging.DEBUG):
        ContainerOutput(FakeStream(*pieces), keep=9).read(lambda _: None)

    assert "s3cr" not in caplog.text
    assert len(caplog.text) < 10_000
    del values


def test_a_line_without_an_end_is_logged_at_the_end(caplog):
    """
    It may be the last word of a program that failed.
    """
    with caplog.at_level(logging.DEBUG):
        ContainerOutput(FakeStream((2, b"failed")), keep=9).read(lambda _: None)

    assert ["container prints: failed"] == caplog.messages

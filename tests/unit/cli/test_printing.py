"""What is printed where, the last lines of a script: once; and tables as lines of text."""

from __future__ import annotations

import argparse
import sys

import pytest

from pytest_codex_workspace.cli.printing import show_message, shown_on_stderr, table
from pytest_codex_workspace.codex import SETUP
from pytest_codex_workspace.errors import SetupError


@pytest.fixture
def files(tmp_path, monkeypatch):
    """
    Return a function that connects standard output and standard error to files.
    """
    opened = []

    def connect(*names):
        for stream, name in zip(("stdout", "stderr"), names, strict=True):
            opened.append((tmp_path / name).open("a"))
            monkeypatch.setattr(sys, stream, opened[-1])

    yield connect
    monkeypatch.undo()
    for file in opened:
        file.close()


@pytest.mark.parametrize(
    ("shown", "names", "on_stderr", "above"),
    [
        (True, ("one", "one"), False, True),
        (True, ("one", "two"), False, False),
        (True, ("one", "two"), True, True),
        (False, ("one", "one"), False, False),
        (False, ("one", "one"), True, False),
    ],
)
def test_lines_are_above_if_they_went_to_the_same_place(files, shown, names, on_stderr, above):
    """
    `run` shows scripts on standard output, `exec` and `shell` on standard error.
    """
    error = SetupError("it failed", script=SETUP, exit_code=1, shown=shown)
    arguments = argparse.Namespace(progress_on_stderr=True) if on_stderr else argparse.Namespace()

    files(*names)
    assert above == shown_on_stderr(arguments, error)


def test_a_stream_without_a_file_is_another_place(monkeypatch, capsys):
    """
    Tests replace the streams.
    """
    error = SetupError("it failed", script=SETUP, exit_code=1, shown=True)

    assert not shown_on_stderr(argparse.Namespace(), error)


def test_messages_are_on_standard_error(capsys):
    """
    They may quote a repository, which has no say about the terminal.
    """
    show_message("a\x1b]0;title\x07\r\nb\udcff")

    assert ("", "a\nb\ufffd\n") == tuple(capsys.readouterr())


def test_columns_are_aligned_and_lines_have_no_trailing_spaces():
    """
    Each column is as wide as its widest cell.
    """
    assert ["  NAME  AGE", "  a     1 h", "  bbbb"] == list(
        table([("NAME", "AGE"), ("a", "1 h"), ("bbbb", "")], indent=2)
    )


def test_a_cell_beyond_the_widest_column_moves_the_rest_of_its_line():
    """
    The other lines stay aligned.
    """
    assert ["aaaaaa  1", "b    2"] == list(table([("aaaaaa", "1"), ("b", "2")], widest=3))


def test_rows_of_different_length_are_an_error():
    """
    A missing cell is a mistake of the caller.
    """
    with pytest.raises(ValueError, match="zip"):
        list(table([("a", "b"), ("c",)]))

"""Standard output and standard error: which of their errors count."""

from __future__ import annotations

import errno
import io
import os
import select
import threading

import pytest

from pytest_codex_workspace.cli.streams import (
    NeutralText,
    OutputError,
    _Messages,
    _StandardOutput,
    _text,
)
from pytest_codex_workspace.reporting.github import neutral


@pytest.fixture
def full():
    """
    Return a descriptor of a disk that is full.
    """
    fd = os.open("/dev/full", os.O_WRONLY)
    yield fd
    os.close(fd)


@pytest.fixture
def unread():
    """
    Return a descriptor of a pipe that nobody reads.
    """
    reader, writer = os.pipe()
    os.close(reader)
    yield writer
    os.close(writer)


def test_a_full_disk_is_an_error_of_the_output(full):
    """
    It can be told from an error of any other file.
    """
    with _StandardOutput(full, "wb", closefd=False) as file, pytest.raises(OutputError) as caught:
        file.write(b"x")

    assert errno.ENOSPC == caught.value.errno
    assert "standard output cannot be written" in str(caught.value)


def test_a_reader_that_has_gone_is_a_broken_pipe(unread):
    """
    That is no failure, but the end.
    """
    with _StandardOutput(unread, "wb", closefd=False) as file, pytest.raises(BrokenPipeError):
        file.write(b"x")


def test_messages_are_never_an_error(full, unread):
    """
    What cannot be said does not stop the command.
    """
    for fd in (full, unread):
        with _Messages(fd, "wb", closefd=False) as file:
            assert file.write(b"abc") == 3


def test_an_output_that_does_not_block_is_waited_for():
    """
    Another process that shares the pipe may have changed its mode.
    """
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    late = threading.Timer(0.01, os.read, (reader, 1 << 16))
    with _StandardOutput(writer, "wb") as file:
        while select.select([], [writer], [], 0)[1]:
            os.write(writer, b"x" * 4096)
        late.start()
        assert file.write(b"y" * 4096) == 4096
    late.join()
    os.close(reader)


def test_what_is_printed_holds_no_command_of_a_ci_service(tmp_path):
    """
    Wherever the pieces of a line are cut; but what is written as it is does.
    """
    with NeutralText(io.BytesIO(), neutral, encoding="utf-8", write_through=True) as stream:
        print("::error::a", "::warning::b\n::error::c ##[error]d", end="", file=stream)
        print("::error::e\n", file=stream, flush=True)
        print(" ::error::f", file=stream)
        stream.write_unchanged("::error::ours\n")
        lines = stream.buffer.getvalue().decode().splitlines()

    assert lines == [
        "\\::error::a ::warning::b",
        "\\::error::c ##\\[error]d::error::e",
        "",
        " \\::error::f",
        "::error::ours",
    ]


@pytest.mark.parametrize(("value", "kind"), [("true", NeutralText), ("", io.TextIOWrapper)])
def test_only_github_has_commands(monkeypatch, value, kind):
    """
    Elsewhere, text stays as it is.
    """
    monkeypatch.setenv("GITHUB_ACTIONS", value)
    stream = _text(_Messages(2, "wb", closefd=False), None, "replace")
    assert type(stream) is kind
    stream.detach()

"""The standard streams of the command, whatever its caller has made of them."""

from __future__ import annotations

import errno
import io
import os
import select
import sys
from collections.abc import Callable
from typing import Any, TextIO

__all__ = ["NeutralText", "OutputError", "discard_output", "open_standard_streams"]

_PLACEHOLDERS = ((0, os.O_RDONLY), (1, os.O_RDONLY), (2, os.O_WRONLY))
"""
What stands for a stream that the caller has closed: input that is at its end, output that cannot
be written, messages that nobody reads.
"""


class OutputError(OSError):
    """
    Standard output is closed, or its disk is full.
    """

    def __str__(self) -> str:
        return f"standard output cannot be written: {self.strerror}"


class _StandardOutput(io.FileIO):
    """
    A standard output whose errors can be told from those of other files.
    """

    def write(self, data: Any) -> int:
        try:
            return _written(self, data)
        except OSError as error:
            raise _output_error(error) from None


class _Messages(io.FileIO):
    """
    A standard error that takes everything. A message that cannot be written is no reason to stop.
    """

    def write(self, data: Any) -> int:
        try:
            return _written(self, data)
        except OSError:
            return len(data)


class NeutralText(io.TextIOWrapper):
    """
    A text stream without commands to the CI service that reads it, except by `write_unchanged`.

    Args:
        raw: where the bytes go.
        neutral: removes commands from text that begins a line.
        options: as for the base class.
    """

    def __init__(self, raw: Any, neutral: Callable[[str], str], **options: Any) -> None:
        super().__init__(raw, **options)
        self._neutral = neutral
        self._begins_line = True

    def write(self, text: str) -> int:
        # Behind a mark, the text of a line that has begun is not its beginning.
        shown = self._neutral(text if self._begins_line else f"|{text}")
        self.write_unchanged(shown if self._begins_line else shown[1:])
        return len(text)

    def write_unchanged(self, text: str) -> None:
        """
        Write a line of ours, which may be a command.
        """
        super().write(text)
        if text:
            self._begins_line = text.endswith(("\n", "\r"))


def open_standard_streams() -> None:
    """
    Make all three standard streams usable.

    A stream that the caller has closed (`>&-`) gets a placeholder; otherwise, the next file or
    socket that is opened would take its place, and receive our output.
    """
    for fd, flags in _PLACEHOLDERS:
        try:
            os.fstat(fd)
        except OSError:
            # The lowest free number is this one.
            os.set_inheritable(os.open(os.devnull, flags), True)  # noqa: FBT003
    if sys.stdin is None:
        sys.stdin = open(0, closefd=False, encoding="utf-8")  # noqa: SIM115
    sys.stdout = _text(_StandardOutput(1, "wb", closefd=False), sys.stdout, "replace")
    sys.stderr = _text(_Messages(2, "wb", closefd=False), sys.stderr, "backslashreplace")


def discard_output() -> None:
    """
    Discard output that a closed pipe or terminal does not accept. Python would try
    again when it exits, fail, and exit with code 120.
    """
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except OSError:
            os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


def _text(raw: io.FileIO, before: TextIO | None, errors: str) -> TextIO:
    buffer = io.BufferedWriter(raw)
    encoding = getattr(before, "encoding", None) or "utf-8"
    options: Any = {"encoding": encoding, "errors": errors, "line_buffering": True}
    if os.environ.get("GITHUB_ACTIONS") == "true":
        from ..reporting.github import neutral

        return NeutralText(buffer, neutral, **options)
    return io.TextIOWrapper(buffer, **options)


def _written(file: io.FileIO, data: Any) -> int:
    while (count := io.FileIO.write(file, data)) is None:
        # Another process that shares the terminal may have made it non-blocking.
        select.select([], [file], [])
    return count


def _output_error(error: OSError) -> OSError:
    """
    Return the error to raise; for a terminal that has hung up, that of a closed pipe.
    """
    if error.errno in (errno.EPIPE, errno.EIO):
        return BrokenPipeError(errno.EPIPE, "nobody reads the output")
    return OutputError(error.errno, error.strerror)

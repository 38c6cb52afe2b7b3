"""What a container prints while a client is attached to it."""

from __future__ import annotations

import logging
from collections.abc import Callable

from ..text.loggers import LONGEST, logger_of
from .protocol import Stream

__all__ = ["ContainerOutput"]

_LOG = logger_of(__name__)
_LINE = 2 * LONGEST
_LINES = 1000
"""
Lines of one container that are logged, and bytes of each: it may print for ever. The logger cuts
them once more, where no half secret is left.
"""


class ContainerOutput:
    """
    Reads the standard output of a container, keeps the end of its standard error, and logs that.

    Args:
        stream: the standard streams of the container.
        keep: how many bytes of standard error are kept.
        name: what the container is, for the log.
    """

    def __init__(self, stream: Stream, *, keep: int, name: str = "container") -> None:
        self._stream = stream
        self._keep = keep
        self._errors = b""
        self._name = name
        self._line = b""
        self._logged = 0

    @property
    def errors(self) -> str:
        """
        The end of standard error so far, without space around it.
        """
        return self._errors.decode("utf-8", "replace").strip()

    @property
    def last_words(self) -> str:
        """
        What an error adds to its text: the end of standard error, if there is any.
        """
        return f"\nlast output on its standard error:\n{self.errors}" if self.errors else ""

    def read(self, take: Callable[[bytes], object]) -> None:
        """
        Call *take* with each piece of standard output, until the streams end.
        """
        while True:
            channel, data = self._stream.receive()
            if channel == 1:
                take(data)
            elif channel == 2:
                self._errors = (self._errors + data)[-self._keep :]
                if _LOG.isEnabledFor(logging.DEBUG):
                    self._log(data)
            else:
                if self._line:
                    self._log(b"\n")
                return

    def _log(self, data: bytes) -> None:
        *lines, rest = (self._line + data).split(b"\n")
        self._line = rest[:_LINE]
        for line in lines[: _LINES - self._logged]:
            _LOG.debug("%s prints: %s", self._name, line[:_LINE].decode("utf-8", "replace"))
        if self._logged < _LINES <= self._logged + len(lines):
            _LOG.debug("%s prints more than %d lines: no more are logged", self._name, _LINES)
        self._logged = min(_LINES, self._logged + len(lines))

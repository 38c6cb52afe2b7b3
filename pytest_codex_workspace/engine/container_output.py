"""What a container prints while a client is attached to it."""

from __future__ import annotations

from collections.abc import Callable

from .protocol import Stream

__all__ = ["ContainerOutput"]


class ContainerOutput:
    """
    Reads the standard output of a container, and keeps the end of its standard error.

    Args:
        stream: the standard streams of the container.
        keep: how many bytes of standard error are kept.
    """

    def __init__(self, stream: Stream, *, keep: int) -> None:
        self._stream = stream
        self._keep = keep
        self._errors = b""

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
            else:
                return

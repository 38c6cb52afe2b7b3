"""The standard input and outputs of a container, on descriptors of this process."""

from __future__ import annotations

import os
import select
import struct
import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ...unpatched import modules
from ..life import note_stopped

if TYPE_CHECKING:
    import socket

__all__ = ["Ends", "SocketStream", "open_ends"]

_CHUNK = 256 * 1024
_STALLED = 30.0
"""Seconds after which a container that takes no input is given up."""

_ENDING = 10.0
"""Seconds that the processes of a container may take to end after its output."""

_END = (0, b"")

_poll = (select.poll,)
_os = (os,)
"""In tuples, as tests replace `select`, and `os` while they have files in memory."""


@dataclass(frozen=True, slots=True)
class Ends:
    """
    The ends of a container's streams that the container gets.

    Attributes:
        client: is closed when nobody reads the outputs any more.
        inputs: standard input, output and error of the command.
        outputs: our ends of the outputs.
    """

    client: int
    inputs: tuple[int, int, int]
    outputs: tuple[int, int]

    def descriptors(self) -> list[int]:
        """
        Return all of them, in the order in which the runner takes them.
        """
        return [self.client, *self.inputs, *self.outputs]

    def close(self) -> None:
        """
        Close them in this process.
        """
        for one in self.descriptors():
            _os[0].close(one)


def open_ends(container: str = "") -> tuple[SocketStream, Ends]:
    """
    Return our ends and the ends of a new container, whose id is for the log.
    """
    module = modules.socket
    ours, theirs = module.socketpair()
    watched, watch = module.socketpair()
    out, out_end = module.socketpair()
    error, error_end = module.socketpair()
    ends = Ends(
        watch.detach(),
        (theirs.detach(), out_end.detach(), error_end.detach()),
        (_os[0].dup(out.fileno()), _os[0].dup(error.fileno())),
    )
    return SocketStream(ours, watched, out.detach(), error.detach(), container), ends


class SocketStream:
    """
    `Stream` over a socket for the input and for each output.

    They are no pipes: a program that splices from something silent into a pipe holds the pipe's
    lock, and whoever reads at the other end could not even be killed.

    Args:
        connection: the input.
        watched: is closed with the stream, and by the other side when the container has ended.
        out: our end of standard output.
        error: our end of standard error.
        container: whose streams they are, for the log.
    """

    def __init__(
        self,
        connection: socket.socket,
        watched: socket.socket,
        out: int,
        error: int,
        container: str = "",
    ) -> None:
        self._container = container
        limit = struct.pack("ll", int(_STALLED), int(_STALLED % 1 * 1_000_000))
        connection.setsockopt(modules.socket.SOL_SOCKET, modules.socket.SO_SNDTIMEO, limit)
        self._connection = connection
        self._watched = watched
        self._channels = {out: 1, error: 2}
        self._open = {out, error}
        self._wake = _os[0].eventfd(0, _os[0].EFD_CLOEXEC | _os[0].EFD_NONBLOCK)
        self._sending = threading.Lock()
        self._receiving = threading.Lock()
        self._closed = False
        self._ended = False

    def send(self, data: bytes) -> None:
        """
        Write all of *data* to standard input, not interleaved with other threads.
        """
        with self._sending:
            try:
                if self._closed:
                    raise OSError
                self._connection.sendall(data)
            except (OSError, ValueError):
                self.end_input()
                raise ConnectionError(
                    "The container accepts no more input: it has ended, or its first process has "
                    f"read nothing for {_STALLED:g} s."
                ) from None
            except BaseException:
                # Half a message was sent, so no other message may follow.
                self.end_input()
                raise

    def receive(self) -> tuple[int, bytes]:
        """
        Block until output arrives: `(channel, data)`, or `(0, b"")` at the end.
        """
        with self._receiving:
            if self._closed or self._ended:
                return _END
            poll = _poll[0]()
            poll.register(self._wake, select.POLLIN)
            for one in self._open:
                poll.register(one, select.POLLIN)
            while self._open:
                for descriptor, _ in poll.poll():
                    if descriptor == self._wake:
                        return _END
                    if data := _os[0].read(descriptor, _CHUNK):
                        return self._channels[descriptor], data
                    poll.unregister(descriptor)
                    self._open.discard(descriptor)
            # The first process closes its output before the others are ended. Whoever asks why it
            # has ended must find that it has.
            poll.register(self._watched, select.POLLIN)
            poll.poll(_ENDING * 1000)
            self._ended = True
            return _END

    def discard_output(self) -> None:
        """
        Let the runner take all output, for a container that nobody is attached to.
        """
        self._watched.close()

    def close(self, *, at_once: bool = False) -> None:  # noqa: ARG002 -- what was sent arrives
        """
        End standard input and the connection, and wake threads that wait for it.
        """
        if not self._closed and self._container:
            note_stopped(self._container)
        self._closed = True
        self.end_input()
        try:
            _os[0].eventfd_write(self._wake, 1)
        except OSError:
            return
        # Both threads have been woken. Only now may the descriptors be used again.
        with self._sending, self._receiving:
            if self._connection.fileno() < 0:
                return
            self._connection.close()
            for one in (*self._channels, self._wake):
                _os[0].close(one)
            # Now the runner takes the rest of the output.
            self._watched.close()

    def end_input(self) -> None:
        """
        End standard input; what was sent before arrives.
        """
        try:
            self._connection.shutdown(modules.socket.SHUT_WR)
        except OSError:
            return

"""A port of a workspace on this machine's loopback address."""

from __future__ import annotations

import selectors
import threading
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from importlib import resources
from types import TracebackType
from typing import Protocol

from ..errors import CodexWorkspaceError, WorkspaceLost
from ..in_container.forward_ports import WINDOW, Connections, FrameBuffer
from ..unpatched.modules import socket

__all__ = ["Forward", "Helper", "program"]

_LOCAL = "127.0.0.1"
_MOST = 256
"""Connections at a time. Further ones wait in the kernel."""

_INBOX = 1 << 20
_OUTBOX = 2 * _MOST * WINDOW
"""Bytes that may wait for the helper: twice the windows of all connections, for their frames."""

_PATIENCE = 10.0


class HelperOutput(Protocol):
    """
    The output of a process.
    """

    def piece(self) -> bytes:
        """
        Wait for output, and return it; return nothing after the end.
        """


class Helper(Protocol):
    """
    The process in the workspace that connects to its ports.
    """

    @property
    def stdout(self) -> HelperOutput:
        """
        Its frames.
        """

    def send(self, data: bytes) -> None:
        """
        Send it frames.
        """

    def abandon(self) -> None:
        """
        Kill it.
        """


def program() -> list[str]:
    """
    Return the program of the helper, and its arguments.
    """
    file = resources.files("pytest_codex_workspace.in_container") / "forward_ports.py"
    return ["python3", "-I", "-S", "-c", file.read_text("utf-8")]


class Forward:
    """
    A port of a workspace on this machine: a context manager that gives its address. Connections
    are carried over the channel of the workspace. They end with the block, or with the workspace.

    Only programs of this machine can connect, and only to `127.0.0.1`.

    Args:
        start: starts the helper in the workspace.
        port: the port there.
    """

    def __init__(self, start: Callable[[], Helper], port: int) -> None:
        if isinstance(port, bool) or not isinstance(port, int) or not 0 < port < 1 << 16:
            raise ValueError(f"port {port!r} is not a number from 1 to 65535")
        self._start = start
        self._port = port
        self._over = False
        self._link: _Link | None = None
        self._thread: threading.Thread | None = None

    def __enter__(self) -> str:
        """
        Listen, and return the address, as `http://127.0.0.1:49152`.

        Raises:
            WorkspaceLost: the workspace has ended.
            OSError: the helper cannot be started there.
        """
        self._listener = socket.create_server((_LOCAL, 0), backlog=_MOST)
        self._wakes, self._wake = socket.socketpair()
        try:
            for one in (self._listener, self._wakes, self._wake):
                one.settimeout(0)
            self._link = _Link(self._start(), self._wake_up)
        except BaseException:
            self._close()
            raise
        self._over = False
        number = self._listener.getsockname()[1]
        self._thread = threading.Thread(
            target=self._serve, name=f"codex-workspace-forward-{self._port}", daemon=True
        )
        self._thread.start()
        return f"http://{_LOCAL}:{number}"

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """
        End all connections.
        """
        self._over = True
        self._wake_up()
        if self._thread is not None:
            self._thread.join(_PATIENCE)

    def _wake_up(self) -> None:
        # Full, it wakes already; closed, there is nobody to wake.
        with suppress(OSError):
            self._wake.send(b"\0")

    def _serve(self) -> None:
        connections = Connections(self._send, connects=False)
        selector = connections.selector
        selector.register(self._wakes, selectors.EVENT_READ)
        listens, last = False, 0
        try:
            while not self._over:
                if listens != (len(connections) < _MOST):
                    listens = not listens
                    if listens:
                        selector.register(self._listener, selectors.EVENT_READ)
                    else:
                        selector.unregister(self._listener)
                for key, events in selector.select():
                    if key.fileobj is self._wakes:
                        self._wakes.recv(4096)
                        self._take(connections)
                    elif key.fileobj is self._listener:
                        last += 1
                        self._accept(connections, last)
                    else:
                        connections.ready(key.data, events)
        finally:
            connections.close()
            if self._link is not None:
                self._link.close()
            self._close()

    def _accept(self, connections: Connections, number: int) -> None:
        try:
            client, _ = self._listener.accept()
        except OSError:
            return  # The client has gone meanwhile.
        if self._link is None:
            # Processes of a workspace end with its phase.
            try:
                self._link = _Link(self._start(), self._wake_up)
            except (CodexWorkspaceError, OSError) as error:
                client.close()
                self._over = isinstance(error, WorkspaceLost)
                return
        connections.accept(number, client, self._port)

    def _send(self, data: bytes) -> None:
        if self._link is not None:
            self._link.send(data)

    def _take(self, connections: Connections) -> None:
        """
        Handle a piece of what the helper has sent. A helper that has ended, or sends nonsense, has
        lost its connections.
        """
        link = self._link
        if link is None:
            return
        try:
            if (data := link.receive()) is not None:
                # More may have come, but others have their turn first.
                self._wake_up()
                for frame in link.frames.feed(data):
                    connections.take(*frame)
        except ValueError:
            link.ended = True
        if link.ended:
            self._link = None
            link.close()
            connections.break_all()
            self._over = self._over or link.lost

    def _close(self) -> None:
        for one in (self._listener, self._wakes, self._wake):
            one.close()


class _Link:
    """
    The two streams of a helper, each with a thread, so that nobody waits for both.

    Args:
        helper: the process.
        arrived: called when something has come, or the helper has ended.

    Attributes:
        frames: cuts what has come.
        ended: whether the helper has ended, and everything was received.
        lost: whether its workspace has ended.
    """

    def __init__(self, helper: Helper, arrived: Callable[[], None]) -> None:
        self.frames = FrameBuffer()
        self.ended = self.lost = False
        self._helper = helper
        self._arrived = arrived
        self._changed = threading.Condition()
        self._inbox: deque[bytes] = deque()
        self._waiting = 0
        self._outbox = bytearray()
        self._unsent = 0
        self._closed = False
        for work in (self._pump_in, self._pump_out):
            threading.Thread(target=work, name="codex-workspace-forward", daemon=True).start()

    def send(self, data: bytes) -> None:
        """
        Send *data* soon. How much of it waits is limited by the windows of the connections. A
        helper that makes this side answer, and does not read, is taken for ended.
        """
        with self._changed:
            self._unsent += len(data)
            if self._unsent <= _OUTBOX:
                self._outbox += data
                self._changed.notify_all()
                return
            self.ended = True
        self._arrived()

    def receive(self) -> bytes | None:
        """
        Return what has come, without waiting; `None` if nothing has.
        """
        with self._changed:
            if not self._inbox:
                return None
            data = self._inbox.popleft()
            self._waiting -= len(data)
            if not data:
                self.ended = True
                return None
            self._changed.notify_all()
            return data

    def close(self) -> None:
        """
        End the helper.
        """
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        with suppress(CodexWorkspaceError):
            self._helper.abandon()

    def _pump_in(self) -> None:
        data = b"-"
        while data:
            try:
                data = self._helper.stdout.piece()
            except OSError as error:
                data, self.lost = b"", isinstance(error, WorkspaceLost)
            with self._changed:
                self._changed.wait_for(lambda: self._closed or self._waiting < _INBOX)
                if self._closed:
                    return
                self._inbox.append(data)
                self._waiting += len(data)
            self._arrived()

    def _pump_out(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._closed or bool(self._outbox))
                if self._closed:
                    return
                data = bytes(self._outbox)
                self._outbox.clear()
            try:
                self._helper.send(data)
            except OSError:
                return  # The other thread finds out why.
            with self._changed:
                self._unsent -= len(data)

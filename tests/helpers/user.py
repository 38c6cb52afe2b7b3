"""Somebody at a terminal in which a command runs."""

from __future__ import annotations

import fcntl
import os
import re
import select
import signal
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

__all__ = ["COMMAND", "TerminalUser", "set_size"]

COMMAND = (sys.executable, "-m", "pytest_codex_workspace.cli")


_PASTE = re.compile("\x1b\\[\\?2004(h|l\r)")
"""What bash says around each line that it lets one edit."""


def set_size(terminal: int, rows: int, columns: int) -> None:
    """
    What a window manager does when a window is resized.
    """
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))


class TerminalUser:
    """
    Starts `codex-workspace`, or another *program*, with *arguments* on a terminal of its own.
    """

    def __init__(
        self,
        *arguments: str,
        cwd: Path,
        size: tuple[int, int] = (30, 100),
        term: str = "xterm",
        program: Sequence[str] = COMMAND,
    ) -> None:
        self.master, self._slave = os.openpty()
        set_size(self.master, *size)
        self.modes = self.modes_now()
        self.seen = ""
        self.run = subprocess.Popen(
            [*program, *arguments],
            cwd=cwd,
            env={**os.environ, "TERM": term},
            stdin=self._slave,
            stdout=self._slave,
            stderr=self._slave,
            start_new_session=True,
            preexec_fn=self._take_terminal,
        )

    @staticmethod
    def _take_terminal() -> None:
        fcntl.ioctl(0, termios.TIOCSCTTY, 0)
        for number in (signal.SIGINT, signal.SIGHUP, signal.SIGQUIT):
            signal.signal(number, signal.SIG_DFL)

    def modes_now(self) -> list[Any]:
        """
        Return the modes of the terminal.
        """
        return termios.tcgetattr(self._slave)

    @property
    def unchanged(self) -> bool:
        """
        Whether the terminal has the modes that it had at the start.
        """
        return self.modes == self.modes_now()

    def type(self, text: str) -> None:
        """
        Press keys.
        """
        os.write(self.master, text.encode())

    def until(self, pattern: str, seconds: float = 60) -> re.Match[str]:
        """
        Wait until what is shown matches; what was before is not looked at again.
        """
        deadline = time.monotonic() + seconds
        while not (match := re.search(pattern, self.seen)):
            assert self._read(deadline), f"no {pattern!r} in {self.seen!r}"
        self.seen = self.seen[match.end() :]
        return match

    def say(self, line: str, answer: str) -> re.Match[str]:
        """
        Type a line to a shell, and wait for an answer and for the next prompt.
        """
        self.type(line + "\n")
        match = self.until(answer)
        self.until(r"[#$] ")
        return match

    def end(self, seconds: float = 60) -> int:
        """
        Wait for the end; the exit code.
        """
        deadline = time.monotonic() + seconds
        while self.run.poll() is None:
            assert time.monotonic() < deadline, self.seen
            self._read(time.monotonic() + 0.05)
        while self._read(time.monotonic() + 0.05):
            pass
        return self.run.returncode

    def hang_up(self) -> None:
        """
        Close the window.
        """
        os.close(self._slave)
        os.close(self.master)
        self.master = -1

    def leave(self) -> None:
        """
        End what a failed test left.
        """
        if self.run.poll() is None:
            self.run.kill()
        self.run.wait()
        if self.master >= 0:
            self.hang_up()

    def _read(self, deadline: float) -> bool:
        patience = max(0.0, deadline - time.monotonic())
        if not select.select([self.master], [], [], patience)[0]:
            return False
        self.seen += os.read(self.master, 65536).decode("utf-8", "replace")
        self.seen = _PASTE.sub("", self.seen)
        return True

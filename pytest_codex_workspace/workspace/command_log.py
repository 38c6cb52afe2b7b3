"""The last commands of a workspace, with the end of their output, in bounded memory."""

from __future__ import annotations

import shlex
import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Literal, Protocol

from ..errors import ExecTimeout, WorkspaceLost
from ..text.printable import printable
from ..unpatched import clock

__all__ = ["CommandLog", "CommandRecord", "CommandState", "Finished"]

CommandState = Literal["started", "exited", "timed out", "failed", "lost"]
"""`started`: nobody has waited for its end. `failed`: it could not be started."""

_COMMANDS = 100
_TAIL = 4096
_TEXT = 1000


class Finished(Protocol):
    """
    What the log keeps of a command that has ended.
    """

    @property
    def exit_code(self) -> int:
        """
        The exit code.
        """

    @property
    def duration(self) -> float:
        """
        Seconds.
        """

    @property
    def stdout_bytes(self) -> bytes:
        """
        Standard output.
        """

    @property
    def stderr_bytes(self) -> bytes:
        """
        Standard error.
        """


@dataclass(slots=True)
class CommandRecord:
    """
    One command.

    Attributes:
        text: the command as one line of shell, cut after 1,000 characters.
        cwd: its directory.
        user: the user it ran as; empty for root.
        began: seconds since the epoch.
        state: whether it has ended, and how.
        exit_code: its exit code; `None` unless it has ended.
        duration: seconds; `None` unless it has ended.
        stdout: the last 4 KiB of its standard output.
        stderr: the last 4 KiB of its standard error.
    """

    text: str
    cwd: str
    user: str
    began: float
    state: CommandState = "started"
    exit_code: int | None = None
    duration: float | None = None
    stdout: str = ""
    stderr: str = ""


class CommandLog:
    """
    The last 100 commands of a workspace. Threads may add commands at the same time.

    Attributes:
        began: seconds since the epoch at which the workspace was ready.
        omitted: number of commands before these.
        lost: why the workspace ended early; empty if it did not.

    Args:
        redact: removes secrets.
    """

    def __init__(self, redact: Callable[[bytes], bytes] = bytes) -> None:
        self._redact = redact
        self._lock = threading.Lock()
        self._records: deque[CommandRecord] = deque(maxlen=_COMMANDS)
        self.began: float = clock.wall_time()
        self.omitted: int = 0
        self.lost: str = ""

    def __iter__(self) -> Iterator[CommandRecord]:
        """
        Iterate over the commands, oldest first.
        """
        with self._lock:
            return iter(list(self._records))

    @contextmanager
    def record(
        self, command: str | Sequence[str], cwd: str, user: str | None = None
    ) -> Iterator[Callable[[Finished, CommandState], None]]:
        """
        Record a command that starts within the context.

        Yields:
            A function that takes the result and its state, now or after the context.
        """
        text = command if isinstance(command, str) else shlex.join(map(str, command))
        record = CommandRecord(
            text=self._clean(text)[:_TEXT], cwd=cwd, user=user or "", began=clock.wall_time()
        )
        with self._lock:
            self.omitted += len(self._records) == _COMMANDS
            self._records.append(record)

        def finish(result: Finished, state: CommandState) -> None:
            record.state = state
            record.exit_code = result.exit_code if state == "exited" else None
            record.duration = result.duration
            record.stdout = self._tail(result.stdout_bytes)
            record.stderr = self._tail(result.stderr_bytes)

        try:
            yield finish
        except ExecTimeout as error:
            finish(error.result, "timed out")
            raise
        except WorkspaceLost as error:
            record.state = "lost"
            self.lost = self.lost or self._clean(str(error))
            raise
        except (OSError, TypeError, ValueError):
            record.state = "failed"
            raise

    def _tail(self, data: bytes) -> str:
        # The whole output is searched: a cut could split a secret.
        return printable(self._redact(data)[-_TAIL:].decode("utf-8", "replace"))

    def _clean(self, text: str) -> str:
        return printable(self._redact(text.encode("utf-8", "replace")).decode("utf-8", "replace"))

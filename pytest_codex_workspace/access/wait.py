"""Wait until a workspace is as expected, with a bound."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Protocol

from ..errors import WaitError, WorkspaceLost
from ..in_container.list_processes import PORT_TABLES, ports_in
from ..unpatched import clock

__all__ = ["FileReader", "is_listening", "wait_until"]

_PAUSES = (0.01, 0.5)
_TABLE_LIMIT = 16 << 20


class FileReader(Protocol):
    """
    Reads files of a workspace.
    """

    def read_file(self, path: str, *, limit: int = ...) -> bytes:
        """
        Return the content of a file.

        Raises:
            OSError: the file cannot be read, or is larger than *limit* bytes.
        """


def wait_until(missing: Callable[[], str], timeout: float, ended: Callable[[], str]) -> None:
    """
    Wait until nothing is missing.

    Args:
        missing: returns what does not hold yet; empty if everything does.
        timeout: seconds to wait.
        ended: returns why it will never hold; empty if it may.

    Raises:
        ValueError: the timeout is no number of seconds.
        WaitError: it does not hold in time, or never will.
    """
    __tracebackhide__ = True
    if not (timeout > 0 and math.isfinite(timeout)):
        raise ValueError(f"the timeout must be a number of seconds above 0, not {timeout}")
    deadline, pause = clock.monotonic() + timeout, _PAUSES[0]
    while True:
        # Before it is looked: what has ended had its chance.
        never = ended()
        if not (why := missing()):
            return
        if never:
            raise WaitError(f"{why}, and {never}")
        left = deadline - clock.monotonic()
        if left <= 0:
            raise WaitError(f"{why}, after {timeout:g} s")
        clock.sleep(min(pause, left))
        pause = min(1.5 * pause, _PAUSES[1])


def is_listening(files: FileReader, port: int) -> bool:
    """
    Check whether a process of the workspace listens on a TCP port, without connecting to it.
    """
    return any(port in ports_in(_text(files, table)).values() for table in PORT_TABLES)


def _text(files: FileReader, table: str) -> str:
    try:
        return files.read_file(table, limit=_TABLE_LIMIT).decode("ascii", "replace")
    except WorkspaceLost:
        raise
    except OSError:
        return ""  # A kernel without IPv6 has no such table.

"""The result of a command that has ended, and its errors."""

from __future__ import annotations

import shlex
import signal as signals
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, NoReturn

from ..errors import CodexWorkspaceError, ExecError, ExecTimeout
from ..text.option_names import spell_option
from ..text.phrases import cut_end, cut_middle, first_line
from ..text.printable import printable
from ..text.questions import NOBODY_ANSWERS, question_in

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = [
    "ExecResult",
    "not_ended",
    "out_of_memory",
    "still_running",
    "timed_out",
    "was_interrupted",
]

_LINES = 12
"""Lines of output that an error shows."""

_WIDTH = 200
_TAIL_LENGTH = 20_000
_SHOWN = 200


@dataclass(frozen=True)
class ExecResult:
    """
    The result of a command that has ended.

    Attributes:
        args: the command as it was given.
        exit_code: the exit code; 128 + n if signal n ended the command, 127 if
            the program does not exist, 126 if it cannot be executed, -1 if the command has
            not ended.
        stdout_bytes: its standard output.
        stderr_bytes: its standard error.
        duration: seconds from start to end.
        truncated: whether a stream exceeded the limit and was cut there.
        cwd: the directory in which the command ran.
        out_of_memory: whether the kernel killed a process of the workspace while the command
            ran, because the workspace had reached its memory limit.
    """

    args: str | Sequence[str]
    exit_code: int
    stdout_bytes: bytes = field(default=b"", repr=False)
    stderr_bytes: bytes = field(default=b"", repr=False)
    duration: float = 0.0
    truncated: bool = False
    cwd: str = ""
    out_of_memory: bool = False

    @cached_property
    def stdout(self) -> str:
        """
        Standard output as text; bytes that are not UTF-8 are replaced.
        """
        return self.stdout_bytes.decode("utf-8", "replace")

    @cached_property
    def stderr(self) -> str:
        """
        Standard error as text; bytes that are not UTF-8 are replaced.
        """
        return self.stderr_bytes.decode("utf-8", "replace")

    @property
    def ok(self) -> bool:
        """
        Whether the exit code is 0.
        """
        return self.exit_code == 0

    def __bool__(self) -> NoReturn:
        """
        Raise an error: whether a result of a failed command is true or false, readers of
        `assert ws.exec(...)` would have to guess.

        Raises:
            TypeError: always.
        """
        raise TypeError(
            "the result of a command is neither true nor false: use `.ok`, or `.check()` to "
            f"raise an error if it failed. It was {self!r}"
        )

    def check(self) -> ExecResult:
        """
        Raise an error unless the command succeeded.

        Returns:
            The result itself.

        Raises:
            ExecError: the exit code is not 0.
        """
        __tracebackhide__ = True
        if not self.ok:
            raise ExecError(self.describe(_ended_by(self.exit_code)), result=self)
        return self

    def describe(self, what: str, waits: str = "") -> str:
        """
        Return *what* happened to the command, what it seems to wait for, and the last lines of
        its output, without control sequences.
        """
        lines = [f"{what}, after {self.duration:.2f} s: {self._first_line()}"]
        out, err = _tail(self.stdout_bytes), _tail(self.stderr_bytes)
        if waits:
            lines.append(f"it seemed to wait for input: {waits}")
        if asked := question_in("".join(out)) or question_in("".join(err)):
            lines.append(f"it asked {cut_middle(asked, _WIDTH)!r}, and {NOBODY_ANSWERS}")
        if self.out_of_memory:
            lines.append(out_of_memory())
        if self.cwd:
            lines.append(f"in {self.cwd}")
        for name, tail, other in (("stdout", out, err), ("stderr", err, out)):
            if tail:
                room = max(_LINES // 2, _LINES - len(other))
                lines.append(f"the end of its {name}:")
                lines += [f"  | {cut_middle(line.rstrip(), _WIDTH)}" for line in tail[-room:]]
            else:
                lines.append(f"nothing on its {name}")
        return printable("\n".join(lines))

    @property
    def command(self) -> str:
        """
        The command as one line of shell.
        """
        return self.args if isinstance(self.args, str) else shlex.join(self.args)

    def __repr__(self) -> str:
        # pytest shows the first and the last 118 characters of a `repr`, so the end of the output
        # comes last: it says why a command failed.
        shown = [f"exit_code={self.exit_code}", f"args={self._short_command()}"]
        shown.append(f"duration={self.duration:.3f}")
        flags = ("truncated", "out_of_memory")
        shown += [f"{name}=True" for name in flags if getattr(self, name)]
        streams = [("stdout", self.stdout_bytes), ("stderr", self.stderr_bytes)]
        for name, output in sorted(streams, key=lambda one: bool(one[1])):
            if len(output) > 2 * _SHOWN:
                first, last = _text(output[:_SHOWN]), _text(output[-_SHOWN:])
                shown.append(f"{name}={first!r} ... ({len(output)} bytes) ... {last!r}")
            else:
                shown.append(f"{name}={_text(output)!r}")
        return f"ExecResult({', '.join(shown)})"

    def _first_line(self) -> str:
        return first_line(self.command.strip(), 2 * _WIDTH)

    def _short_command(self) -> str:
        text = repr(self.args if isinstance(self.args, str) else list(self.args))
        return cut_end(text, _SHOWN)


def _tail(data: bytes) -> list[str]:
    return data[-_TAIL_LENGTH:].decode("utf-8", "replace").splitlines(keepends=True)


def _text(data: bytes) -> str:
    return data.decode("utf-8", "replace")


def out_of_memory() -> str:
    """
    Return what is said of a process that the out-of-memory killer ended.
    """
    return (
        "a process was killed because the workspace had reached its memory limit; "
        f"{spell_option('memory')} sets the limit"
    )


def timed_out(result: ExecResult, timeout: float, waits: str = "") -> ExecTimeout:
    """
    Return the error of a command that was killed after *timeout* seconds.

    Args:
        result: what it had printed until then.
        timeout: the limit in seconds.
        waits: what it seemed to wait for.
    """
    what = f"command exceeded its timeout of {timeout:g} s and was killed"
    return ExecTimeout(result.describe(what, waits), result=result, timeout=timeout, waits=waits)


def not_ended(result: ExecResult, timeout: float, waits: str = "") -> ExecTimeout:
    """
    Return the error of a process that was waited for, and runs on. The arguments are those of
    `timed_out`.
    """
    what = f"command has not ended within {timeout:g} s and runs on (wait again, or `kill()` it)"
    return ExecTimeout(result.describe(what, waits), result=result, timeout=timeout, waits=waits)


def was_interrupted(error: BaseException) -> bool:
    """
    Return whether *error* came from outside while a command ran: from Ctrl-C, or from the time
    limit of a test.
    """
    return not isinstance(error, CodexWorkspaceError | OSError | ValueError | TypeError)


def still_running(result: ExecResult) -> str:
    """
    Return what a command had printed when it was interrupted.
    """
    return result.describe("a command was still running")


def _ended_by(code: int) -> str:
    names = {int(one): one.name for one in signals.Signals}
    by = f" ({names[code - 128]})" if code - 128 in names else ""
    return f"command exited with {code}{by}"

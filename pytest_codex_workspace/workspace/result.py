"""The result of a command that has ended, and its errors."""

from __future__ import annotations

import shlex
import signal as signals
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING

from ..errors import ExecError, ExecTimeout
from ..text.printable import printable

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["ExecResult", "timed_out"]

_TAIL_LINES = 20
_TAIL_LENGTH = 4000
_SHOWN = 200


@dataclass(frozen=True)
class ExecResult:
    """
    The result of a command that has ended.

    Attributes:
        args: the command as it was given.
        exit_code: the exit code; 128 + n if signal n ended the command, 127 if
            the program does not exist, 126 if it cannot be executed.
        stdout_bytes: its standard output.
        stderr_bytes: its standard error.
        duration: seconds from start to end.
        truncated: whether a stream exceeded the limit and was cut there.
        cwd: the directory in which the command ran.
    """

    args: str | Sequence[str]
    exit_code: int
    stdout_bytes: bytes = field(default=b"", repr=False)
    stderr_bytes: bytes = field(default=b"", repr=False)
    duration: float = 0.0
    truncated: bool = False
    cwd: str = ""

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

    def describe(self, what: str) -> str:
        """
        Return *what* happened to the command, and the last lines of its output, without
        control sequences.
        """
        lines = [f"{what}, after {self.duration:.2f} s: {self.command}"]
        if self.cwd:
            lines.append(f"in {self.cwd}")
        for name, text in (("stdout", self.stdout_bytes), ("stderr", self.stderr_bytes)):
            tail = text[-_TAIL_LENGTH:].decode("utf-8", "replace").splitlines()[-_TAIL_LINES:]
            if tail:
                lines.append(f"the end of its {name}:")
                lines += [f"  | {line}" for line in tail]
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
        if self.truncated:
            shown.append("truncated=True")
        streams = [("stdout", self.stdout_bytes), ("stderr", self.stderr_bytes)]
        for name, output in sorted(streams, key=lambda one: bool(one[1])):
            if len(output) > 2 * _SHOWN:
                first, last = _text(output[:_SHOWN]), _text(output[-_SHOWN:])
                shown.append(f"{name}={first!r} ... ({len(output)} bytes) ... {last!r}")
            else:
                shown.append(f"{name}={_text(output)!r}")
        return f"ExecResult({', '.join(shown)})"

    def _short_command(self) -> str:
        text = repr(self.args if isinstance(self.args, str) else list(self.args))
        return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}..."


def _text(data: bytes) -> str:
    return data.decode("utf-8", "replace")


def timed_out(result: ExecResult, timeout: float, waits: str = "") -> ExecTimeout:
    """
    Return the error of a command that was killed after *timeout* seconds.

    Args:
        result: what it had printed until then.
        timeout: the limit in seconds.
        waits: what it seemed to wait for.
    """
    what = f"command exceeded its timeout of {timeout:g} s and was killed"
    text = result.describe(what)
    if waits:
        text += f"\nit seemed to wait for input: {waits}"
    return ExecTimeout(text, result=result, timeout=timeout)


def _ended_by(code: int) -> str:
    names = {int(one): one.name for one in signals.Signals}
    by = f" ({names[code - 128]})" if code - 128 in names else ""
    return f"command exited with {code}{by}"

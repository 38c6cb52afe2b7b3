"""The exit codes of the command: docs/command.md has the table."""

from __future__ import annotations

import signal

from ..codex import SELECT_RUNTIMES
from ..errors import SetupError

__all__ = ["BROKEN_PIPE", "EXIT_CODES", "FAILED", "exit_code_of"]

FAILED = 125
"""The command itself has failed, as with `docker run`: scripts and programs rarely use this."""

BROKEN_PIPE = 128 + signal.SIGPIPE
"""Nobody reads the output any more."""

EXIT_CODES = f"""\
Exit codes:
  {FAILED}      codex-workspace itself failed: wrong arguments, no engine, no image
  128+N    ended by signal N, after cleaning up: 130 Ctrl-C, 143 SIGTERM
  other    that of the script or the command; 0 on success
"""
"""For the help of commands that run a script or a command."""


def exit_code_of(error: BaseException) -> int:
    """
    Return the exit code for *error*: that of the script that failed, if one did.
    """
    # Our own script, which selects the runtimes, is none of the user's.
    if isinstance(error, SetupError) and error.script != SELECT_RUNTIMES and error.exit_code:
        return error.exit_code
    return FAILED

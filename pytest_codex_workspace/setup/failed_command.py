"""Where a setup script ended: bash notes the last command that failed."""

from __future__ import annotations

import re
from dataclasses import dataclass

__all__ = ["NOTE", "TRAP", "FailedCommand"]

NOTE = "/opt/codex/failed-command"
"""File in a container in which bash notes a failed command."""

# The script's shell reads this as BASH_ENV, after its profile. The shells that it starts do not.
# Of what a script can see, `trap -p ERR` and the E in `$-` differ; `$?`, `$_` and PIPESTATUS do
# not. A trap on ERR of its own replaces this one. Files and not a descriptor, because a daemon
# would inherit the descriptor and seem to be a part of the script.
TRAP = r"""rm -f "$BASH_ENV"
unset BASH_ENV
set -E
trap 'printf "%s\0%s\0%s\0%.0s" "$?" "$LINENO" "${BASH_SOURCE[0]}" "$_" 2>/dev/null >|NOTE' ERR
"""
"""Text for BASH_ENV; NOTE stands for the file to write."""

_LIMIT = 200
_NUMBER = re.compile("[0-9]{1,9}")
_WORDS = re.compile(r"\w")


@dataclass(frozen=True, slots=True)
class FailedCommand:
    """
    The last command of a script that failed. bash does not tell the text of a
    pipeline or a subshell, so its line in the file is shown instead.

    Attributes:
        exit_code: of the command.
        line: its line in *file*, the last of several.
        file: the script, or a file that it sources.
    """

    exit_code: int
    line: int
    file: str

    @classmethod
    def parse(cls, note: bytes) -> FailedCommand | None:
        """
        Return the command of a note; `None` if there is no valid note, because
        the script can write anything there.
        """
        code, line, file, *rest = [*note.decode("utf-8", "replace").split("\0"), "", "", ""]
        if rest != [""] * 4 or not (_NUMBER.fullmatch(code) and _NUMBER.fullmatch(line)):
            return None
        return cls(int(code), int(line), file[:_LIMIT])

    def describe(self, text: str) -> str:
        """
        Return one line: `line 3: curl -f https://example.org/`.

        Args:
            text: the content of the file.
        """
        lines = text.splitlines()
        found = lines[self.line - 1].strip() if 0 < self.line <= len(lines) else ""
        if len(found) > _LIMIT:
            found = f"{found[:_LIMIT]} ..."
        return f"line {self.line}" + (f": {found}" if _WORDS.search(found) else "")

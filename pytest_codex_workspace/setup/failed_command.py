"""Where a setup script ended: bash notes the last command that failed."""

from __future__ import annotations

import re
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Protocol

from ..codex import NO_REMOTE
from ..text.option_names import spell_option
from ..text.phrases import cut_middle
from ..text.questions import NOBODY_ANSWERS, question_in

__all__ = ["FailedCommand", "LastFailure", "advice_on"]

# The script's shell reads this as BASH_ENV, after its profile. The shells that it starts do not.
# Of what a script can see, `trap -p ERR` and the E in `$-` differ; `$?`, `$_` and PIPESTATUS do
# not. A trap on ERR of its own replaces this one. Files and not a descriptor, because a daemon
# would inherit the descriptor and seem to be a part of the script.
_TRAP = r"""unset BASH_ENV
set -E
trap 'printf "%s\0%s\0%s\0%.0s" "$?" "$LINENO" "${BASH_SOURCE[0]}" "$_" 2>/dev/null >|NOTE' ERR
"""
_LIMIT = 200
_NOTE_LIMIT = 8 << 10
_SCRIPT_LIMIT = 1 << 20
_NUMBER = re.compile("[0-9]{1,9}")
_WORDS = re.compile(r"\w")


_NO_REMOTE = re.compile(
    r"batch request: missing protocol|"
    r"'(?:origin|upstream)' does not appear to be a git repository|"
    r"Not a valid object name '?(?:origin|upstream)/|"
    r"(?:ambiguous argument|bad revision|invalid reference:|pathspec) '?(?:origin|upstream)/|"
    r"No such remote|No remote repository specified|No configured push destination|"
    r"no tracking information for the current branch|"
    r"fatal: couldn't find remote ref|(?:missing|unknown) revision '?(?:origin|upstream)/",
    re.IGNORECASE,
)
"""What git and git-lfs say where there is no remote."""


_NO_TAGS = re.compile(
    r"No names found, cannot describe anything|No tags can describe|"
    r"setuptools[-_]scm was unable to detect version|"
    r"poetry-dynamic-versioning.*no (?:tags|version)",
    re.IGNORECASE,
)
"""What git and tools that make versions of tags say where there are none."""

_BESIDE = re.compile(
    r"^/tmp/\w{6}-(?:setup|maintenance)_script\.sh: line \d+: (?:cd: |pushd: )?(/tmp/\S+): "
    r"No such file or directory$",
    re.MULTILINE,
)
"""What bash says where a script looks beside itself, and is not in the repository."""


def advice_on(tail: str) -> list[str]:
    """
    Return what the last lines of a failed script reveal beyond their words, with what to do.

    Args:
        tail: the lines, without secrets.
    """
    found = []
    if asked := question_in(tail):
        found.append(f"it asked {cut_middle(asked, _LIMIT)!r}, and {NOBODY_ANSWERS}")
    if _NO_REMOTE.search(tail):
        found.append(f"{NO_REMOTE[0]}. {NO_REMOTE[1]}")
    if _NO_TAGS.search(tail):
        found.append(
            "it looked for tags, and Codex's git sync fetches none: give the version in a "
            "variable such as SETUPTOOLS_SCM_PRETEND_VERSION. Whether Codex's first clone has tags "
            f"is not known; {spell_option('git-tags', 'true')} brings them"
        )
    if beside := _BESIDE.search(tail):
        found.append(
            f"it looked for {beside[1]} beside itself, and Codex stores the text of its settings "
            "in /tmp: write paths from the working directory, which is the repository"
        )
    return found


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

    def describe(self, text: str, redact: Callable[[str], str] = str) -> str:
        """
        Return one line: `line 3: curl -f https://example.org/`.

        Args:
            text: the content of the file.
            redact: removes secrets from a line.
        """
        lines = text.splitlines()
        found = lines[self.line - 1].strip() if 0 < self.line <= len(lines) else ""
        # Before the cut, which could split a secret.
        found = redact(found)
        if len(found) > _LIMIT:
            found = f"{found[:_LIMIT]} ..."
        return f"line {self.line}" + (f": {found}" if _WORDS.search(found) else "")


class ScriptFiles(Protocol):
    """
    The files of a workspace.
    """

    def read_file(self, path: str, *, limit: int) -> bytes:
        """
        Return the content of a file of at most *limit* bytes.
        """

    def write_file(self, path: str, data: bytes) -> None:
        """
        Write a file.
        """

    def unlink(self, path: str) -> None:
        """
        Remove a file.
        """


class LastFailure:
    """
    The note of one run of a script. Where it cannot be written, nothing is known.

    Args:
        files: the files of the workspace.
        directory: a directory in it for two files, which exist during the run.
        redact: removes secrets from text.
    """

    def __init__(
        self, files: ScriptFiles, directory: str, redact: Callable[[str], str] = str
    ) -> None:
        self._files = files
        self._redact = redact
        self._note = f"{directory}/failed-command"
        self.bash_env = f"{directory}/on-error.sh"

    def prepare(self) -> None:
        """
        Write the file that `bash_env` names, for the variable BASH_ENV of the script's shell.
        """
        # What an earlier script has left in the background may have noted its own end.
        with suppress(OSError):
            self._files.unlink(self._note)
        with suppress(OSError):
            self._files.write_file(self.bash_env, _TRAP.replace("NOTE", self._note).encode())

    def take(self, exit_code: int, project: str) -> str:
        """
        Return where a script ended with *exit_code*, and remove the files.

        Args:
            exit_code: of the script.
            project: the directory in which the script ran.

        Returns:
            Text such as `line 3: curl -f https://example.org/`, without secrets; empty if it
            is not known. The line may be one of a file that the script sources.
        """
        try:
            found = FailedCommand.parse(self._files.read_file(self._note, limit=_NOTE_LIMIT))
            if found is None or found.exit_code != exit_code:
                return ""
            return found.describe(self._text_of(found.file, project), self._redact)
        except OSError:
            return ""
        finally:
            for path in (self._note, self.bash_env):
                with suppress(OSError):
                    self._files.unlink(path)

    def _text_of(self, file: str, project: str) -> str:
        path = file if file.startswith("/") else f"{project}/{file}"
        with suppress(OSError):
            return self._files.read_file(path, limit=_SCRIPT_LIMIT).decode("utf-8", "replace")
        return ""

"""Checks of the setup scripts: of codex-workspace-scripts/, or those that options give."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ..codex import RESUME, SCRIPTS, SETUP
from ..options.script_text import GivenScripts
from ..projection.git import git, inside, reading_environment
from ..projection.repository import RepositorySnapshot
from ..text.option_names import spell_option
from .result import Result, error, ok, some, warning

__all__ = [
    "Script",
    "executable_bits",
    "line_endings",
    "presence",
    "scripts_at",
    "stops_on_error",
    "syntax",
]

NONE_GIVEN = GivenScripts()

_TIMEOUT = 5.0

_SET_E = re.compile(
    r"^(?:.*(?:;|&&)\s*)?\s*set\b(?:\s+[+-]?\w+)*?\s+-(?:[A-Za-z]*e[A-Za-z]*\b|[A-Za-z]*o\s+errexit\b)",
    re.MULTILINE,
)


@dataclass(frozen=True, slots=True)
class Script:
    """
    A script as committed, or as an option gives it.
    """

    path: str
    mode: str  # Empty if no commit has one.
    content: bytes


def scripts_at(
    snapshot: RepositorySnapshot, environ: Mapping[str, str], given: GivenScripts = NONE_GIVEN
) -> list[Script]:
    """
    Return the scripts that run: those that are *given*, and otherwise the committed ones.
    """
    found = [Script(one.name, "", one.text) for one in (given.setup, given.maintenance) if one]
    wanted = () if given.setup else (SETUP,) if given.maintenance else (SETUP, RESUME)
    return [*_committed(snapshot, environ, wanted), *found]


def _committed(
    snapshot: RepositorySnapshot, environ: Mapping[str, str], wanted: Sequence[str]
) -> list[Script]:
    if not wanted:
        return []
    env = reading_environment(environ)
    listed = git(
        *(*inside(snapshot.git_dir), "ls-tree", "-z", "--full-tree", snapshot.head, "--"),
        *wanted,
        env=env,
    )
    found = []
    for entry in os.fsdecode(listed).split("\0")[:-1]:
        facts, _, path = entry.partition("\t")
        mode, kind, blob = facts.split(" ")
        if kind == "blob":
            content = git(*inside(snapshot.git_dir), "cat-file", "blob", blob, env=env)
            found.append(Script(path, mode, content))
    return found


def presence(
    snapshot: RepositorySnapshot, environ: Mapping[str, str], given: GivenScripts = NONE_GIVEN
) -> Result:
    """
    Check that the scripts are in the commit, where this package looks for them.
    """
    if given.setup:
        names = [one.name for one in (given.setup, given.maintenance) if one]
        unused = f"; {SCRIPTS}/ is not used" if snapshot.scripts_tree else ""
        return ok(f"{' and '.join(names)}{unused}")
    ignored = _ignored(snapshot, environ)
    if ignored:
        return error(
            f"git ignores {some(ignored)}, so it is not in the workspace",
            f"Remove the pattern from .gitignore or run git add --force, and commit {SCRIPTS}/.",
        )
    if snapshot.scripts_tree is None:
        if given.maintenance:
            return error(
                f"{given.maintenance.name} is the maintenance script, and there is no setup script",
                f"Give the setup script with {spell_option('setup-script', 'PATH')}, or commit "
                f"{SETUP}.",
            )
        if (snapshot.path / SCRIPTS).is_dir():
            return warning(
                f"{SCRIPTS}/ is in the work tree, but not in the commit: no script runs",
                f"Run git add {SCRIPTS} and git commit.",
            )
        return ok(f"no {SCRIPTS}/: no setup needed")
    if not snapshot.has_setup:
        return error(
            f"{SCRIPTS}/ is in the commit, but has no setup-script.sh, which this folder must have",
            f"Add and commit {SETUP}, or remove the directory.",
        )
    resume = "setup-from-cache-script.sh" if snapshot.has_resume else ""
    resume = given.maintenance.name if given.maintenance else resume
    rest = f" and {resume}" if resume else ""
    return ok(f"setup-script.sh{rest}")


def _ignored(snapshot: RepositorySnapshot, environ: Mapping[str, str]) -> list[str]:
    listed = git(
        *("ls-files", "-z", "--others", "--ignored", "--exclude-standard", "--"),
        *(f":(top){SETUP}", f":(top){RESUME}"),
        cwd=snapshot.path,
        env=reading_environment(environ),
        timeout=_TIMEOUT,
    )
    return [name for name in os.fsdecode(listed).split("\0") if name]


def line_endings(scripts: Sequence[Script]) -> Result:
    """
    Check that the scripts have Unix line endings.
    """
    found = [one.path for one in scripts if b"\r\n" in one.content]
    if not found:
        return ok("LF")
    return warning(
        f"{some(found)} is committed with CRLF line endings; a workspace runs a copy with LF",
        "Commit it with LF: add `*.sh text eol=lf` to .gitattributes, then run "
        "git add --renormalize . and git commit.",
    )


def executable_bits(scripts: Sequence[Script]) -> Result:
    """
    Report the executable bit (informational only).
    """
    found = [one.path for one in scripts if one.mode not in ("100755", "")]
    if not found:
        return ok("set")
    return ok(f"not set on {some(found)}, and not needed: bash reads the script")


def syntax(scripts: Sequence[Script], environ: Mapping[str, str]) -> Result:
    """
    Check the syntax with bash of this machine.
    """
    bash = shutil.which("bash", path=environ.get("PATH"))
    if bash is None:
        return ok("not checked: bash is not installed on this machine")
    problems = []
    for script in scripts:
        done = subprocess.run(
            [bash, "-n"],
            input=script.content.replace(b"\r\n", b"\n"),
            env={**environ, "LC_ALL": "C"},
            capture_output=True,
            timeout=_TIMEOUT,
            check=False,
        )
        if done.returncode:
            message = done.stderr.decode("utf-8", "replace").strip()
            problems.append(re.sub(r"^\S*bash: ", f"{script.path}: ", message, flags=re.MULTILINE))
    if not problems:
        return ok("valid")
    if _is_old(bash):
        return warning(
            "\n".join(problems),
            "This machine's bash is older than 4, and workspaces have a newer one. Install a newer "
            "bash to be sure.",
        )
    return error("\n".join(problems), "Fix the line and commit.")


def _is_old(bash: str) -> bool:
    output = subprocess.run(
        [bash, "--version"], capture_output=True, timeout=_TIMEOUT, check=False
    ).stdout
    number = re.search(rb"version (\d+)", output)
    return number is not None and int(number[1]) < 4


def stops_on_error(scripts: Sequence[Script]) -> Result:
    """
    Check that the scripts stop at the first command that fails.
    """
    found = [one.path for one in scripts if not has_set_e(one.content.decode("utf-8", "replace"))]
    if not found:
        return ok("set: the first command that fails ends the script")
    return warning(
        f"{some(found)} continues after a failed command, and returns the exit code of the last "
        "command: an incomplete setup can be cached",
        "Add `set -euo pipefail` at the top. (Options in the #! line have no effect.)",
    )


def has_set_e(text: str) -> bool:
    """
    Check whether a script has a line that sets `-e`.
    """
    return _SET_E.search(text.replace("\r", "")) is not None

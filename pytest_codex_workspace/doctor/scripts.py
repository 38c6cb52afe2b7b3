"""Checks of codex-workspace-scripts/."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ..codex import RESUME, SETUP
from ..git import git, inside, reading_environment
from ..repository import RepositorySnapshot
from .results import Result, error, ok, some, warning

__all__ = ["Script", "exits_early", "line_ends", "presence", "run_bits", "scripts_at", "syntax"]

_DIRECTORY = "codex-workspace-scripts"
_PATIENCE = 5.0

_SET_E = re.compile(
    r"^(?:.*(?:;|&&)\s*)?\s*set\b(?:\s+[+-]?\w+)*?\s+-(?:[A-Za-z]*e[A-Za-z]*\b|[A-Za-z]*o\s+errexit\b)",
    re.MULTILINE,
)


@dataclass(frozen=True, slots=True)
class Script:
    """
    A script as it is committed.
    """

    path: str
    mode: str
    content: bytes


def scripts_at(snapshot: RepositorySnapshot, environ: Mapping[str, str]) -> list[Script]:
    """
    The scripts that Codex runs, of those that are there.
    """
    env = reading_environment(environ)
    listed = git(
        *(*inside(snapshot.git_dir), "ls-tree", "-z", "--full-tree", snapshot.head, "--"),
        *(SETUP, RESUME),
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


def presence(snapshot: RepositorySnapshot, environ: Mapping[str, str]) -> Result:
    """
    Whether the scripts are where Codex looks: in the commit.
    """
    ignored = _ignored(snapshot, environ)
    if ignored:
        return error(
            f".gitignore keeps {some(ignored)} out of commits, so no workspace has it",
            f"Take the pattern out of .gitignore, or git add --force, and commit {_DIRECTORY}/.",
        )
    if snapshot.scripts_tree is None:
        if (snapshot.path / _DIRECTORY).is_dir():
            return warning(
                f"{_DIRECTORY}/ is in the work tree, but not in the commit: nothing is set up",
                f"git add {_DIRECTORY} and git commit.",
            )
        return ok(f"there is no {_DIRECTORY}/, so nothing to set up")
    if not snapshot.has_setup:
        return error(
            f"{_DIRECTORY}/ is in the commit, but no setup-script.sh in it, which Codex requires",
            f"Add and commit {SETUP}, or remove the directory.",
        )
    rest = " and setup-from-cache-script.sh" if snapshot.has_resume else ""
    return ok(f"setup-script.sh{rest}")


def _ignored(snapshot: RepositorySnapshot, environ: Mapping[str, str]) -> list[str]:
    listed = git(
        *("ls-files", "-z", "--others", "--ignored", "--exclude-standard", "--"),
        *(f":(top){SETUP}", f":(top){RESUME}"),
        cwd=snapshot.path,
        env=reading_environment(environ),
        timeout=_PATIENCE,
    )
    return [name for name in os.fsdecode(listed).split("\0") if name]


def line_ends(scripts: Sequence[Script]) -> Result:
    """
    Whether they have the line ends of Unix.
    """
    found = [one.path for one in scripts if b"\r\n" in one.content]
    if not found:
        return ok("LF")
    return warning(
        f"{some(found)} is committed with CRLF line ends; it runs from a copy without them here",
        "Commit it with LF: `*.sh text eol=lf` in .gitattributes, then "
        "git add --renormalize . and git commit.",
    )


def run_bits(scripts: Sequence[Script]) -> Result:
    """
    Which makes no difference.
    """
    found = [one.path for one in scripts if one.mode != "100755"]
    if not found:
        return ok("set")
    return ok(f"{some(found)} has none, and needs none: bash is given its text")


def syntax(scripts: Sequence[Script], environ: Mapping[str, str]) -> Result:
    """
    What this machine's bash thinks of them.
    """
    bash = shutil.which("bash", path=environ.get("PATH"))
    if bash is None:
        return ok("not checked: there is no bash on this machine")
    problems = []
    for script in scripts:
        done = subprocess.run(
            [bash, "-n"],
            input=script.content.replace(b"\r\n", b"\n"),
            env={**environ, "LC_ALL": "C"},
            capture_output=True,
            timeout=_PATIENCE,
            check=False,
        )
        if done.returncode:
            said = done.stderr.decode("utf-8", "replace").strip()
            problems.append(re.sub(r"^\S*bash: ", f"{script.path}: ", said, flags=re.MULTILINE))
    if not problems:
        return ok("bash can read them" if len(scripts) > 1 else "bash can read it")
    if _is_old(bash):
        return warning(
            "\n".join(problems),
            "This machine's bash is older than 4, and workspaces have a newer one: install a newer "
            "bash to be sure.",
        )
    return error("\n".join(problems), "Mend the line, and commit.")


def _is_old(bash: str) -> bool:
    said = subprocess.run(
        [bash, "--version"], capture_output=True, timeout=_PATIENCE, check=False
    ).stdout
    number = re.search(rb"version (\d+)", said)
    return number is not None and int(number[1]) < 4


def exits_early(scripts: Sequence[Script]) -> Result:
    """
    Whether they end at the first command that fails.
    """
    found = [one.path for one in scripts if not has_set_e(one.content.decode("utf-8", "replace"))]
    if not found:
        who = "they end" if len(scripts) > 1 else "it ends"
        return ok(f"{who} at the first command that fails")
    return warning(
        f"{some(found)} goes on after a command that failed, and its exit code is the last "
        "command's: half a setup is cached as a whole one",
        "Let it begin with `set -euo pipefail`. (Options in its first line do not count.)",
    )


def has_set_e(text: str) -> bool:
    """
    Whether a script has a line that sets `-e`.
    """
    return _SET_E.search(text.replace("\r", "")) is not None

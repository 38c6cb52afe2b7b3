"""`codex-workspace init`: write a draft of the scripts and of the configuration file."""

from __future__ import annotations

import argparse
import os
import shlex
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import ConfigError
from ..text.printable import printable
from .options import add_command, add_json, add_repo
from .printing import finish, show, table

if TYPE_CHECKING:
    from ..drafts.draft import Draft
    from .options import Commands

__all__ = ["SUMMARY", "register"]

SUMMARY = "write a draft of the scripts and of .codex-workspace.yaml"

_INIT = """\
Write a draft of the setup scripts and of .codex-workspace.yaml.

The draft is made from the lock files and tool files of the repository: it
installs what they lock, with the versions of runtimes that they ask for.
What only a person can decide (packages of the system, services) is a comment.
No file is ever overwritten: what exists is named, and left as it is.

Examples:
  codex-workspace init
  codex-workspace init ../other --print
"""

_IMAGE = (
    "check downloads Codex's own image, of several GB; with --image=slim, it builds a smaller one "
    "from Debian packages"
)

_MESSAGE = "Add the scripts of a Codex workspace"


def register(commands: Commands) -> None:
    """
    Add the command.
    """
    parser = add_command(commands, "init", SUMMARY, _INIT, _init, "[REPO]")
    add_repo(parser)
    add_json(parser)
    parser.add_argument(
        "--print", dest="only_print", action="store_true", help="print the files, and write nothing"
    )


def _init(arguments: argparse.Namespace) -> int:
    from ..drafts.detect import draft_of
    from ..drafts.render import render
    from ..drafts.tree import find_top, work_tree
    from ..drafts.write import existing, write_draft

    top = find_top(arguments.repo, os.environ)
    draft = draft_of(work_tree(top, os.environ))
    files = render(draft)
    there = existing(top, files)
    if arguments.only_print:
        return _print(arguments, files, there)
    written = list(write_draft(top, files))
    if arguments.json:
        return finish(arguments, 0, written=written, existing=there)
    _report(draft, files, written, there)
    return _offer(top, written) if written else 0


def _print(arguments: argparse.Namespace, files: Mapping[str, str], there: Sequence[str]) -> int:
    if not arguments.json:
        if not files:
            show(_NOTHING)
        for path, text in files.items():
            show(f"==> {path}{' (exists, and would be left as it is)' if path in there else ''}")
            for line in text.splitlines():
                show(line)
            show("")
    return finish(arguments, 0, files=dict(files), existing=list(there))


_NOTHING = (
    "found no lock file or tool file that says what to install, so there is nothing to write: a "
    "repository without codex-workspace-scripts/ is ready as it is"
)


def _report(
    draft: Draft, files: Mapping[str, str], written: Sequence[str], there: Sequence[str]
) -> None:
    if not files:
        show(_NOTHING)
        return
    for path in files:
        if path in written:
            show(f"wrote {path}")
        elif path in there:
            show(f"left {path} as it is: it exists")
    if not written:
        show("nothing was written: --print shows the drafts")
        return
    rows = [(line, one.source) for one in draft.installs for line in one.lines]
    rows += [(f"{one.name}: {one.value}", one.source) for one in (*draft.runtimes, *draft.env)]
    if rows:
        show("because of:")
        for line in table(rows, indent=2, widest=60):
            show(line)
    hints = [
        *(f"{one.source} {one.text}" for one in draft.hints),
        *(f"{one.source} has {one.name}, which may be a service" for one in draft.services),
    ]
    if hints:
        show("left to you, as comments:")
    for hint in hints:
        show(f"  {hint}")
    for test in draft.tests:
        show(f"tests: {test.command} ({test.source})")


def _offer(top: Path, written: Sequence[str]) -> int:
    """
    Name the next step, and on a terminal take it if the user says so.
    """
    from .main import execute

    where = [] if top == Path.cwd() else [str(top)]
    add = shlex.join(["git", *(["-C", *where] if where else []), "add", *written])
    run = shlex.join(["codex-workspace", "check", *where])
    show(f"next: read the files, then {add} && git commit, and {run}")
    if not os.environ.get("CODEX_WORKSPACE_IMAGE"):
        show(_IMAGE)
    if not (sys.stdin and sys.stdin.isatty() and sys.stdout.isatty()):
        return 0
    try:
        answer = input(f"Commit these files and run `{printable(run)}` now? [y/N] ")
    except EOFError:
        answer = ""
    if answer.strip().lower() not in ("y", "yes"):
        return 0
    _commit(top, written)
    return execute(["check", str(top)])[0]


def _commit(top: Path, written: Sequence[str]) -> None:
    """
    Commit the files that were written, and nothing else that is in the index.
    """
    import subprocess

    for words in (["add"], ["commit", "--quiet", "--message", _MESSAGE, "--only"]):
        done = subprocess.run(
            ["git", *words, "--", *written], cwd=top, capture_output=True, text=True, check=False
        )
        if done.returncode:
            raise ConfigError(
                f"git {words[0]} failed: {done.stderr.strip() or done.stdout.strip()}",
                remedy="The files are written: commit them yourself.",
            )

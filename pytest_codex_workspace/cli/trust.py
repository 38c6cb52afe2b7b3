"""`codex-workspace trust`: allow what the file of a repository asks for."""

from __future__ import annotations

import argparse
import os
from typing import TYPE_CHECKING

from ..text.phrases import counted
from .options import add_command, add_json, add_options, add_repo
from .printing import finish, show

if TYPE_CHECKING:
    from .options import Commands

__all__ = ["SUMMARY", "register"]

SUMMARY = "allow what a repository's file asks for"

_TRUST = """\
Allow what .codex-workspace.yaml of a repository asks for.

A repository may choose its variables, versions and narrower network policies by
itself. To give it secrets of your environment, other base images, plain HTTP or
private networks, a cache registry or an upstream proxy, its file needs your
trust. This command prints what the file would do, and remembers its content
and that of the policy files that it names: after a change you are asked again.

The file is that of the commit. Runs in CI do not use what is remembered: they
need --repo-config=trust, or --codex-repo-config=trust of pytest.

Examples:
  codex-workspace trust --show ../other
  codex-workspace trust ../other
  codex-workspace trust --forget ../other
"""


def register(commands: Commands) -> None:
    """
    Add the command.
    """
    parser = add_command(commands, "trust", SUMMARY, _TRUST, _trust, "[REPO]")
    add_repo(parser)
    add_options(parser, ("rev",))
    add_json(parser)
    what = parser.add_mutually_exclusive_group()
    what.add_argument("--show", action="store_true", help="only print what the file asks for")
    what.add_argument(
        "--forget", action="store_true", help="trust no file of this repository any more"
    )


def _trust(arguments: argparse.Namespace) -> int:
    from ..host.trusted_files import TrustedFiles
    from ..options.committed_file import read_committed
    from ..options.trust import widenings
    from ..projection.repository import find_commit

    rev = arguments.rev or os.environ.get("CODEX_WORKSPACE_REV") or "HEAD"
    find_commit(arguments.repo, rev, environ=os.environ)
    file = read_committed(arguments.repo, rev, os.environ)
    assert file is not None  # noqa: S101 -- the commit exists
    trusted = TrustedFiles()
    if arguments.forget:
        number = trusted.forget(file.repository)
        if not arguments.json:
            show(f"forgot {counted(number, 'trusted file')} of {file.top}")
        return finish(arguments, 0, forgotten=number)
    found = widenings(file.values)
    before = trusted.has(file.repository, file.digest)
    if found and not arguments.show:
        trusted.add(file.repository, file.digest)
    now = bool(found) and (before or not arguments.show)
    if not arguments.json:
        for note in file.notes:
            show(note)
        name = file.path or f"{file.top}: no .codex-workspace.yaml"
        if not found:
            show(f"{name}: nothing in it needs your trust" if file.path else f"{name} in {rev}")
        else:
            show(f"{name}{' is trusted' if now else ' is not trusted'}:")
        for one in found:
            show(f"  {one}")
    asks = [one.to_dict() for one in found]
    return finish(arguments, 0, file=str(file.path or ""), trusted=now, asks=asks)

"""Bringing a workspace to a commit that it has already, and why git would not."""

from __future__ import annotations

import io
import json
import re
import tarfile
from importlib import resources
from typing import TYPE_CHECKING, BinaryIO

from ..errors import SetupError
from ..text.phrases import first_of
from ..text.printable import printable
from .archive import ROOT
from .pack import history_plan, without_objects

if TYPE_CHECKING:
    from .repository import RepositorySnapshot

__all__ = ["switch_archive", "switch_error"]

_SAID_LIMIT = 1 << 20
_SHOWN = 10
_PATH = re.compile(r"^\t(.+)$", re.MULTILINE)
_CHANGED = "local changes to the following files would be"
_UNTRACKED = "untracked working tree files would be"
_DIRECTORIES = "Updating the following directories would lose untracked files"


def switch_archive(snapshot: RepositorySnapshot) -> BinaryIO:
    """
    Return an archive like that of `Projection`, but without objects: some kilobytes,
    whatever the size of the repository. It is unpacked and applied in the same way; the
    exit code is `apply_projection.OBJECTS_MISSING` if the workspace does not have the commit.

    Applied after setup, it does what Codex does then: the workspace is on the branch `work` at
    the commit, whatever setup did to the repository.
    """
    script = resources.files("pytest_codex_workspace.in_container") / "apply_projection.py"
    plan = {
        "target": f"/workspace/{snapshot.name}",
        "repository": "",
        "head": snapshot.head,
        "object_format": snapshot.object_format,
        **history_plan(snapshot.tags or (), snapshot.depth),
        "submodules": [without_objects(one, snapshot.object_format) for one in snapshot.submodules],
    }
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w", format=tarfile.GNU_FORMAT) as tar:
        directory = tarfile.TarInfo(ROOT)
        directory.type, directory.mode = tarfile.DIRTYPE, 0o755
        tar.addfile(directory)
        for name, content in (
            ("apply_projection.py", script.read_bytes()),
            ("plan.json", json.dumps(plan).encode()),
        ):
            entry = tarfile.TarInfo(f"{ROOT}/{name}")
            entry.mode, entry.size = 0o644, len(content)
            tar.addfile(entry, io.BytesIO(content))
    archive.seek(0)
    return archive


def switch_error(commit: str, said: str, *, script: str) -> SetupError:
    """
    Return the error for a workspace in which git would not switch to a commit after setup.

    Args:
        commit: id of the commit, as it is shown.
        said: what `apply_projection` printed, or whatever setup has put in its place.
        script: name of the setup script.
    """
    try:
        text = printable(str(json.loads(said[:_SAID_LIMIT])["refused"]))
    except (KeyError, TypeError, ValueError, RecursionError):
        text = ""
    kinds = [
        (f"{what} {first_of(paths, _SHOWN)}", how)
        for title, what, how in (
            (
                _CHANGED,
                "it changed files that the commit changes, too:",
                "Let setup leave tracked files as they are (`npm ci` in place of `npm install`; "
                "`git restore FILE` at its end), or commit what it changes.",
            ),
            (
                _UNTRACKED,
                "it made files that the commit adds or removes:",
                "Let setup write such files elsewhere, or remove them at its end.",
            ),
            (
                _DIRECTORIES,
                "it made files in directories that the commit replaces:",
                "Let setup write such files elsewhere, or remove them at its end.",
            ),
        )
        if (paths := _listed(text, title))
    ]
    happened = "; ".join(one for one, _ in kinds) or f"git said: {text[-2000:] or 'nothing'}"
    what_to_do = " ".join(dict.fromkeys(how for _, how in kinds)) or (
        "Let setup leave the repository in a state in which `git switch` works."
    )
    return SetupError(
        f"{script} has left the repository so that git refuses to switch to the commit {commit}: "
        f"{happened}. Codex switches after setup in the same way, and stops there",
        script=script,
        remedy=f"{what_to_do} In Codex, reset the environment's cache once the commit has the "
        "change, so that setup runs there.",
    )


def _listed(said: str, title: str) -> list[str]:
    """
    Return the paths that git lists below a line with *title*.
    """
    _, found, after = said.partition(title)
    below = after.partition("\n")[2]
    block = re.match(r"(?:\t.+(?:\n|$))*", below)
    return [path[:200] for path in _PATH.findall(block[0])] if found and block else []

"""What a script that runs a second time leaves behind, compared with having run once."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from .engine.protocol import Engine
from .workspace import Workspace

__all__ = ["differences"]

_PASSING = (
    "/dev",
    "/etc/hostname",
    "/etc/hosts",
    "/etc/resolv.conf",
    "/proc",
    "/run",
    "/sys",
    "/tmp",  # noqa: S108 -- looked past, not used
    "/var/tmp",  # noqa: S108
)
"""Where things may come and go, and what each container has of its own."""

_DESCRIBE = r"""
import hashlib, json, os, stat, sys
found = {}
for path in json.load(sys.stdin):
    try:
        state = os.lstat(path)
    except OSError:
        continue
    kind = stat.S_IFMT(state.st_mode)
    about = [kind, stat.S_IMODE(state.st_mode), state.st_uid, state.st_gid]
    if kind == stat.S_IFLNK:
        about.append(os.readlink(path))
    elif kind == stat.S_IFREG:
        with open(path, "rb") as file:
            digest = hashlib.sha256()
            while piece := file.read(1 << 20):
                digest.update(piece)
        about.append(digest.hexdigest())
    found[path] = about
json.dump(found, sys.stdout)
"""


def differences(engine: Engine, repeated: Workspace, pristine: Workspace) -> list[str]:
    """
    How the files of two workspaces that were started from one image differ.

    Times do not count, nor what lies in directories for passing things.

    Args:
        engine: where they are.
        repeated: in which something was run.
        pristine: in which nothing was.

    Returns:
        One line for each path: `added`, `removed`, or `changed` and what of it.
    """
    paths = [
        change.path
        for change in engine.changes(repeated.container)
        if not any(change.path == one or change.path.startswith(f"{one}/") for one in _PASSING)
    ]
    before, after = _described(pristine, paths), _described(repeated, paths)
    return [
        line
        for path in paths
        if (line := _difference(path, before.get(path), after.get(path))) is not None
    ]


def _difference(path: str, before: Sequence[Any] | None, after: Sequence[Any] | None) -> str | None:
    if before == after:
        return None
    if before is None or after is None:
        return f"{'added' if before is None else 'removed'} {path}"
    if before[0] != after[0]:
        what = "its type"
    elif before[4:] != after[4:]:
        what = "its content"
    else:
        what = "its mode or owner"
    return f"changed {path}: {what}"


def _described(workspace: Workspace, paths: Sequence[str]) -> Mapping[str, Sequence[Any]]:
    if not paths:
        return {}
    said = workspace.exec(
        ["python3", "-I", "-c", _DESCRIBE], input=json.dumps(paths), cwd="/", check=True
    )
    found: Mapping[str, Sequence[Any]] = json.loads(said.stdout)
    return found

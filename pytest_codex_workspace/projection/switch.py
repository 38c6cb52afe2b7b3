"""The archive that brings a workspace to a commit that it has already."""

from __future__ import annotations

import io
import json
import tarfile
from importlib import resources
from typing import TYPE_CHECKING, BinaryIO

from .archive import ROOT
from .pack import portable

if TYPE_CHECKING:
    from collections.abc import Iterable

    from .repository import RepositorySnapshot
    from .submodules import Submodule

__all__ = ["switch_archive"]


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
        "submodules": _plans(snapshot.submodules, snapshot.object_format),
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


def _plans(submodules: Iterable[Submodule], object_format: str) -> list[dict[str, object]]:
    return [
        {
            "repository": "",
            "head": module.commit,
            "object_format": object_format,
            "path": portable(module.path),
            "name": portable(module.name),
            "submodules": _plans(module.submodules, object_format),
        }
        for module in submodules
    ]

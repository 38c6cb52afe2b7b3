"""Copy single commits with their history into bare repositories, with git's own packer."""

from __future__ import annotations

import os
import shlex
from typing import TYPE_CHECKING

from ..errors import ProjectionError
from .borrow import borrow, create_bare
from .git import git, inside, run_git
from .integrity import Damage, damage_error, find_damage

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from .submodules import Submodule

__all__ = ["Copier", "portable"]

_PACK_TIMEOUT = 1800.0
_SEARCH_TIMEOUT = 20.0
_PACK = (
    # Git maps whole packs into memory otherwise, and reads whole large files.
    *("-c", "core.packedGitWindowSize=8m", "-c", "core.packedGitLimit=32m"),
    *("-c", "core.bigFileThreshold=4m", "-c", "pack.threads=1"),
    "pack-objects",
    "--quiet",
    "--revs",
    "--delta-base-offset",
    # Existing packs are reused as they are. For loose objects, these options are
    # three times as fast as the defaults, and the result is a third larger.
    "--window=0",
    "--compression=1",
)


class Copier:
    """
    Creates bare repositories in a scratch directory, one for each source.

    Args:
        scratch: an empty directory.
        object_format: `sha1` or `sha256`.
        env: the result of `isolated_environment`.
    """

    def __init__(self, scratch: Path, object_format: str, env: Mapping[str, str]) -> None:
        self._scratch = scratch
        self._object_format = object_format
        self._env = env
        self._copies: list[Path] = []

    def copy(self, shown: Path, source: Path, commit: str) -> dict[str, object]:
        """
        Copy a commit and its history.

        Args:
            shown: work tree of the repository, for errors.
            source: git directory to copy from.
            commit: full commit id.

        Returns:
            The entry of this repository in the projection's plan.

        Raises:
            ProjectionError: objects are missing, or git failed.
        """
        bare = self._scratch / f"{len(self._copies)}.git"
        self._copies.append(bare)
        create_bare(bare, self._object_format, commit)
        env = borrow(bare, source, self._env)
        # Unlike a fetch, this does not have to index the pack.
        packed = run_git(
            *(*inside(bare), *_PACK, str(bare / "objects/pack/pack")),
            input=f"{commit}\n".encode(),
            env=env,
            timeout=_PACK_TIMEOUT,
        )
        if packed.code:
            raise _why_not_packed(shown, source, bare, commit, packed.stderr, env)
        if (bare / "shallow").exists():
            self._trim(bare)
        return {"repository": bare.name, "head": commit, "object_format": self._object_format}

    def copy_all(self, parent: Path, submodules: tuple[Submodule, ...]) -> list[dict[str, object]]:
        """
        Copy submodules recursively, and return their entries in the plan.
        """
        return [
            {
                **self.copy(parent / module.path, module.git_dir, module.commit),
                "path": portable(module.path),
                "name": portable(module.name),
                "submodules": self.copy_all(parent / module.path, module.submodules),
            }
            for module in submodules
        ]

    def files(self) -> list[Path]:
        """
        Return all files that were created in the scratch directory.
        """
        return [path for bare in self._copies for path in sorted(bare.rglob("*")) if path.is_file()]

    def _trim(self, bare: Path) -> None:
        """
        Remove the commits that were not copied from the list of shallow commits.
        """
        boundary = bare / "shallow"
        listed = git(
            *(*inside(bare), "cat-file", "--batch-check=%(objectname)"),
            input=boundary.read_bytes(),
            env=self._env,
        )
        copied = [line for line in listed.splitlines(keepends=True) if b" " not in line]
        boundary.write_bytes(b"".join(copied))


def portable(text: str) -> str:
    """
    Encode a path or name so that the workspace can restore its bytes.

    The result does not depend on the host's locale.
    """
    return os.fsencode(text).decode("utf-8", "surrogateescape")


def _why_not_packed(
    shown: Path, source: Path, bare: Path, commit: str, said: str, env: Mapping[str, str]
) -> ProjectionError:
    """
    Return the error for a commit that git could not copy.
    """
    try:
        damage = find_damage(bare, commit, env, timeout=_SEARCH_TIMEOUT)
    except TimeoutError:
        damage = Damage((), said)
    if damage is not None:
        return damage_error(shown, source, commit, damage)
    return ProjectionError(
        f"git could not copy commit {commit} of {shown}: {said}",
        remedy=f"Check for damaged objects with git -C {shlex.quote(str(shown))} fsck",
    )

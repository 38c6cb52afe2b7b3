"""Copy single commits with their history into bare repositories, with git's own packer."""

from __future__ import annotations

import os
import shlex
import shutil
from typing import TYPE_CHECKING

from ..errors import ProjectionError
from .git import git, inside, run_git

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from .submodules import Submodule

__all__ = ["Copier"]

_PACK_TIMEOUT = 1800.0
_PACK = (
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
        self._create(bare, commit)
        boundary = source / "shallow"
        if boundary.exists():
            shutil.copyfile(boundary, bare / "shallow")
        # Only the objects of the source are visible. Without its references,
        # configuration, grafts and replacements, nothing but the commit can be
        # copied, and objects that a partial clone lacks cannot be fetched.
        # Unlike a fetch, this does not have to index the pack.
        packed = run_git(
            *(*inside(bare), *_PACK, str(bare / "objects/pack/pack")),
            input=f"{commit}\n".encode(),
            env={**self._env, "GIT_ALTERNATE_OBJECT_DIRECTORIES": _quoted(source / "objects")},
            timeout=_PACK_TIMEOUT,
        )
        if packed.code:
            raise _why_not_packed(shown, source, commit, packed.stderr)
        if boundary.exists():
            self._trim(bare)
        return {"repository": bare.name, "head": commit, "object_format": self._object_format}

    def copy_all(self, parent: Path, submodules: tuple[Submodule, ...]) -> list[dict[str, object]]:
        """
        Copy submodules recursively, and return their entries in the plan.
        """
        return [
            {
                **self.copy(parent / module.path, module.git_dir, module.commit),
                "path": _portable(module.path),
                "name": _portable(module.name),
                "submodules": self.copy_all(parent / module.path, module.submodules),
            }
            for module in submodules
        ]

    def files(self) -> list[Path]:
        """
        Return all files that were created in the scratch directory.
        """
        return [path for bare in self._copies for path in sorted(bare.rglob("*")) if path.is_file()]

    def _create(self, bare: Path, commit: str) -> None:
        """
        Create a repository like `git init`, but without the machine's configuration.
        """
        (bare / "objects/pack").mkdir(parents=True)
        (bare / "refs/heads").mkdir(parents=True)
        (bare / "refs/heads/work").write_text(f"{commit}\n")
        (bare / "HEAD").write_text("ref: refs/heads/work\n")
        config = "[core]\n\tbare = true\n\trepositoryformatversion = "
        if self._object_format == "sha1":
            config += "0\n"
        else:
            config += f"1\n[extensions]\n\tobjectformat = {self._object_format}\n"
        (bare / "config").write_text(config)

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


def _portable(text: str) -> str:
    """
    Encode a path or name so that the workspace can restore its bytes.

    The result does not depend on the host's locale.
    """
    return os.fsencode(text).decode("utf-8", "surrogateescape")


def _quoted(path: Path) -> str:
    """
    Quote *path* as an entry of a list of object directories.
    """
    text = str(path).replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    return f'"{text}"'


def _why_not_packed(shown: Path, source: Path, commit: str, said: str) -> ProjectionError:
    """
    Return the error for a commit that git could not copy.
    """
    place = shlex.quote(str(shown))
    if any((source / "objects/pack").glob("*.promisor")):
        return ProjectionError(
            f"{shown} is a partial clone and lacks part of the history of commit {commit}, "
            f"and nothing is fetched automatically ({said})",
            remedy=f"Fetch the rest with git -C {place} fetch --refetch --no-filter origin",
        )
    return ProjectionError(
        f"git could not copy commit {commit} of {shown}: {said}",
        remedy=f"Check for missing objects with git -C {place} fsck",
    )

"""Copy single commits with their history into bare repositories, with git's own packer."""

from __future__ import annotations

import os
import shlex
from typing import TYPE_CHECKING

from ..errors import ProjectionError
from .borrow import borrow, create_bare
from .git import git, inside, is_commit_id, run_git
from .integrity import Damage, damage_error, find_damage

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from .repository import Tag
    from .submodules import Submodule

__all__ = ["Copier", "history_plan", "portable", "without_objects"]

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

    def copy(
        self,
        shown: Path,
        source: Path,
        commit: str,
        *,
        tags: Sequence[Tag] = (),
        depth: int | None = None,
        have: str | None = None,
    ) -> dict[str, object]:
        """
        Copy a commit and its history.

        Args:
            shown: work tree of the repository, for errors.
            source: git directory to copy from.
            commit: full commit id.
            tags: the tags to copy, as far as their commits are.
            depth: the number of commits of history, as for `git clone --depth`; `None` for all.
            have: a commit that is there already, with its history: only what is not in it is
                copied, if the source has it, too, and all of the history is asked for.

        Returns:
            The entry of this repository in the projection's plan.

        Raises:
            ProjectionError: objects are missing, or git failed.
        """
        bare = self._scratch / f"{len(self._copies)}.git"
        self._copies.append(bare)
        create_bare(bare, self._object_format, commit)
        env = borrow(bare, source, self._env)
        if depth is not None and (kept := _cut(bare, commit, depth, env)) is not None:
            tags = [one for one in tags if one.commit in kept]
        if have and (depth is not None or not _has_whole(bare, have, env)):
            have = None
        without = [f"^{have}"] if have else []
        # Unlike a fetch, this does not have to index the pack.
        packed = run_git(
            *(*inside(bare), *_PACK, str(bare / "objects/pack/pack")),
            input="".join(f"{one}\n" for one in (commit, *(t.id for t in tags), *without)).encode(),
            env=env,
            timeout=_PACK_TIMEOUT,
        )
        if packed.code:
            raise _why_not_packed(shown, source, bare, commit, packed.stderr, env)
        if (bare / "shallow").exists():
            self._trim(bare)
        if tags:
            listed = sorted((os.fsencode(f"refs/tags/{one.name}"), one.id) for one in tags)
            lines = [b"%s %s\n" % (each.encode(), name) for name, each in listed]
            (bare / "packed-refs").write_bytes(b"# pack-refs with: sorted \n" + b"".join(lines))
        return {
            "repository": bare.name,
            "head": commit,
            "object_format": self._object_format,
            **({"have": have} if have else {}),
            **(history_plan(tags, depth)),
        }

    def copy_with_submodules(
        self,
        shown: Path,
        source: Path,
        commit: str,
        submodules: tuple[Submodule, ...],
        *,
        tags: Sequence[Tag] = (),
        depth: int | None = None,
        have: str | None = None,
    ) -> dict[str, object]:
        """
        Copy a commit and its history, and those of its submodules recursively.

        Args:
            submodules: the submodules that it names. One that *have* names at the same commit is
                not copied.
            shown, source, commit, tags, depth, have: as for `copy`.

        Returns:
            The entry of this repository in the projection's plan.

        Raises:
            ProjectionError: objects are missing, or git failed.
        """
        copy = self.copy(shown, source, commit, tags=tags, depth=depth, have=have)
        had = self._named_by(have, source, submodules) if have and "have" in copy else {}
        return {
            **copy,
            "submodules": [
                self._copy_submodule(shown / module.path, module, had.get(module.path))
                for module in submodules
            ],
        }

    def _copy_submodule(
        self, shown: Path, module: Submodule, have: str | None
    ) -> dict[str, object]:
        if module.commit == have:
            return without_objects(module, self._object_format)
        return {
            **self.copy_with_submodules(
                *(shown, module.git_dir, module.commit, module.submodules), have=have
            ),
            "path": portable(module.path),
            "name": portable(module.name),
        }

    def _named_by(
        self, commit: str, source: Path, submodules: tuple[Submodule, ...]
    ) -> dict[str, str]:
        """
        Return which commits of *submodules* another *commit* names, by their paths.
        """
        if not submodules:
            return {}
        bare = self._scratch / f"submodules-{len(self._copies)}.git"
        create_bare(bare, self._object_format, commit)
        paths = [os.fsencode(module.path) for module in submodules]
        names = ("ls-tree", "-z", commit, "--")
        env = borrow(bare, source, self._env)
        listed = git(*inside(bare), *names, *paths, env=env)
        found = {}
        for entry in listed.split(b"\0"):
            facts, _, path = entry.partition(b"\t")
            if facts.startswith(b"160000 "):
                found[os.fsdecode(path)] = facts.split()[2].decode("ascii")
        return found

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


def without_objects(module: Submodule, object_format: str) -> dict[str, object]:
    """
    Return the entry of a submodule that the workspace has already in the projection's plan.
    """
    return {
        "repository": "",
        "head": module.commit,
        "object_format": object_format,
        "path": portable(module.path),
        "name": portable(module.name),
        "submodules": [without_objects(one, object_format) for one in module.submodules],
    }


def _has_whole(bare: Path, commit: str, env: Mapping[str, str]) -> bool:
    """
    Return whether the source of *bare* has a commit, and does not cut its history off. The name of
    the commit is that of an image's label, which may say anything.
    """
    if not is_commit_id(commit) or (bare / "shallow").exists():
        return False
    return not run_git(*inside(bare), "cat-file", "-e", f"{commit}^{{tree}}", env=env).code


def history_plan(tags: Sequence[Tag], depth: int | None) -> dict[str, object]:
    """
    Return what the plan says of tags and depth; nothing where there is nothing special.
    """
    return {
        **({"tags": [[portable(one.name), one.id] for one in tags]} if tags else {}),
        **({"depth": depth} if depth is not None else {}),
    }


def _cut(bare: Path, commit: str, depth: int, env: Mapping[str, str]) -> set[str] | None:
    """
    Let *bare* be a shallow clone of *depth* commits, counted along each line of history, and
    return these commits; `None` if the whole history is no longer.
    """
    asked = 4 * depth
    while True:
        # The newest commits, until all of those that are near enough are among them.
        listed = run_git(
            *(*inside(bare), "rev-list", "--parents", f"--max-count={asked}", commit), env=env
        )
        if listed.code:
            return None  # What is missing is explained when it cannot be packed.
        lines = [line.split() for line in listed.stdout.decode("ascii").splitlines()]
        parents = {words[0]: words[1:] for words in lines}
        kept, level = {commit}, [commit]
        for _ in range(depth - 1):
            if not level or not all(one in parents for one in level):
                break
            level = list({above for one in level for above in parents[one]} - kept)
            kept.update(level)
        if len(lines) < asked or all(one in parents for one in kept):
            break
        asked *= 4
    boundary = {one for one in level if parents.get(one)}
    if not boundary:
        return None
    shallow = bare / "shallow"
    before = set(shallow.read_text().split()) if shallow.exists() else set()
    shallow.write_text("".join(f"{one}\n" for one in sorted(boundary | (before & kept))))
    return kept


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

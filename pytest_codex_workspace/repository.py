"""What is to be projected: one commit of a user's repository, read and never written to."""

from __future__ import annotations

import difflib
import hashlib
import os
import re
import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from .codex import RESUME, SCRIPTS, SETUP
from .errors import ProjectionError
from .git import git, inside, reading_environment, run_git, shared_dir
from .submodules import find_submodules

if TYPE_CHECKING:
    from collections.abc import Mapping

    from .submodules import Submodule

__all__ = ["RepositorySnapshot", "open_repository", "project_name", "skips_submodules"]

_FACTS = ("--is-bare-repository", "--is-shallow-repository", "--show-object-format")


@dataclass(frozen=True, slots=True)
class RepositorySnapshot:
    """
    A repository at one commit.

    Attributes:
        path: top level of the work tree.
        name: name of the repository, in the characters a hosting service
            allows. A linked worktree has the name of the repository it
            belongs to, so that all worktrees share one cache.
        git_dir: the work tree's git directory.
        common_dir: the repository's; differs from `git_dir` in a linked
            worktree.
        head: full commit id.
        object_format: `sha1` or `sha256`.
        shallow: whether the clone's history is cut off.
        identity: what tells this repository's cached images from those of
            others. Clones of one repository have the same, if they have the
            same name; a shallow clone, which does not know its root, has its own.
        scripts_tree: tree id of `codex-workspace-scripts/` at that commit;
            `None` if there is no such directory.
        has_setup: whether it holds `setup-script.sh`.
        has_resume: whether it holds `setup-from-cache-script.sh`.
        submodules: those directly below; each holds its own.
    """

    path: Path
    name: str
    git_dir: Path
    common_dir: Path
    head: str
    object_format: str
    shallow: bool
    identity: str
    scripts_tree: str | None
    has_setup: bool
    has_resume: bool
    submodules: tuple[Submodule, ...]

    def __fspath__(self) -> str:
        return str(self.path)


def open_repository(
    path: str | Path, rev: str = "HEAD", *, environ: Mapping[str, str]
) -> RepositorySnapshot:
    """
    Look up a commit of the repository that *path* is in.

    Nothing in the repository or its work tree changes, not even a time stamp,
    and nothing is fetched from anywhere.

    Args:
        path: a work tree or a directory in one; `~` is the home directory.
        rev: what names the commit, as for `git rev-parse`.
        environ: `CODEX_SKIP_SUBMODULES=1` in it leaves submodules out; git is
            found and configured by the rest.

    Raises:
        ProjectionError: there is no such commit, or not all of it is here.

    Example:
        >>> open_repository(".", environ=os.environ).head  # doctest: +SKIP
        '5d3f0c3a0b4e7a9a6f2b7a3a8b1c2d3e4f5a6b7c'
    """
    directory = _directory(path)
    env = reading_environment(environ)
    shallow, object_format, named, git_dir, top = _facts(directory, rev, env)
    commit, tree, scripts, setup, resume, modules = _objects(
        top,
        git_dir,
        env,
        f"{named}^{{commit}}",
        f"{named}^{{tree}}",
        f"{named}^{{commit}}:{SCRIPTS}",
        f"{named}^{{commit}}:{SETUP}",
        f"{named}^{{commit}}:{RESUME}",
        f"{named}^{{commit}}:.gitmodules",
    )
    if commit is None:
        raise ProjectionError(_unknown(directory, rev, env))
    head = commit[1]
    if tree is None:
        raise ProjectionError(_incomplete(top, head))
    common_dir = shared_dir(git_dir)
    name = _name(top, git_dir, common_dir)
    if shallow:
        origin = os.fsencode(common_dir)
    else:
        origin = git(
            *inside(git_dir), "rev-list", "--first-parent", "--max-parents=0", head, env=env
        )
    return RepositorySnapshot(
        path=top,
        name=name,
        git_dir=git_dir,
        common_dir=common_dir,
        head=head,
        object_format=object_format,
        shallow=shallow,
        identity=hashlib.sha256(name.encode() + b"\0" + origin.strip()).hexdigest()[:32],
        scripts_tree=scripts[1] if scripts and scripts[0] == "tree" else None,
        has_setup=setup is not None and setup[0] == "blob",
        has_resume=resume is not None and resume[0] == "blob",
        submodules=(
            find_submodules(top, head, git_dir=git_dir, common_dir=common_dir, env=env)
            if modules and not skips_submodules(environ)
            else ()
        ),
    )


def skips_submodules(environ: Mapping[str, str]) -> bool:
    """
    Whether `CODEX_SKIP_SUBMODULES` leaves submodules out.
    """
    return environ.get("CODEX_SKIP_SUBMODULES", "").strip().lower() in {"1", "true", "yes", "on"}


def _directory(path: str | Path) -> Path:
    """
    *path* as an absolute directory.
    """
    try:
        directory = Path(path).expanduser().resolve()
        if directory.is_dir():
            return directory
        there = directory.exists()
    except (OSError, RuntimeError, ValueError) as error:
        raise ProjectionError(f"{str(path)!r} cannot be a repository: {error}") from None
    if there:
        raise ProjectionError(f"{directory} is not a directory: give that of a git work tree")
    raise ProjectionError(f"{directory} does not exist: give the path of a git work tree")


def _facts(directory: Path, rev: str, env: Mapping[str, str]) -> tuple[bool, str, str, Path, Path]:
    """
    Shallow or not, object format, the id of what *rev* names, git directory
    and top level.
    """
    # An option would be obeyed, and no name of a commit begins like one.
    asked = rev if not rev.startswith("-") else ""
    result = run_git(
        *("rev-parse", *_FACTS, asked, "--absolute-git-dir", "--show-toplevel"),
        cwd=directory,
        env=env,
    )
    bare, *rest = os.fsdecode(result.stdout).removesuffix("\n").split("\n")
    if bare == "true":
        raise ProjectionError(
            f"{directory} is a bare repository: give the path of a work tree of it "
            f"(git clone {shlex.quote(str(directory))}, or git worktree add)"
        )
    if result.code and (len(rest) < 2 or "must be run in a work tree" in result.stderr):
        raise ProjectionError(_why_not(directory, result.stderr))
    if result.code or not re.fullmatch("[0-9a-f]{40,64}", rest[2]) or rest[3][:1] != "/":
        raise ProjectionError(_unknown(directory, rev, env))
    # Paths may contain line ends; the second of the two is above *directory*.
    paths = rest[3:]
    above = {str(directory), *map(str, directory.parents)}
    cut = next((at for at in range(1, len(paths)) if "\n".join(paths[at:]) in above), 1)
    git_dir, top = Path("\n".join(paths[:cut])), Path("\n".join(paths[cut:]))
    return rest[0] == "true", rest[1], rest[2], git_dir, top


def _why_not(directory: Path, said: str) -> str:
    """
    What to do about a directory in which git finds no work tree.
    """
    if "dubious ownership" in said or "unsafe repository" in said:
        owned = re.search(r"safe\.directory (.+)$", said, re.MULTILINE)
        place = owned[1] if owned else shlex.quote(str(directory))
        return (
            f"{directory} is in a repository owned by another user, which git will not open: "
            f"if you trust it, run git config --global --add safe.directory {place}"
        )
    if "(or any" in said:
        return (
            f"{directory} is not in a git repository: give the path of one, or run git init "
            "there and commit what the workspace is to hold"
        )
    if "must be run in a work tree" in said:
        return f"{directory} is inside a .git directory: give the work tree that it belongs to"
    return (
        f"git cannot open the repository that {directory} is in: {said} "
        "(git worktree repair and git fsck help with moved and damaged ones)"
    )


def _unknown(directory: Path, rev: str, env: Mapping[str, str]) -> str:
    """
    What to do about a revision that names no commit.
    """
    names = git(
        "for-each-ref",
        "--format=%(refname:short)",
        *("refs/heads", "refs/tags", "refs/remotes"),
        cwd=directory,
        env=env,
    )
    known = os.fsdecode(names).splitlines()
    if rev == "HEAD":
        hint = f" ({known[0]!r} has one: git switch {shlex.quote(known[0])})" if known else ""
        return (
            f"the repository at {directory} has no commit at HEAD yet: git add and git commit "
            f"what the workspace is to hold{hint}"
        )
    near = [name for name in known if name.endswith(f"/{rev}")]
    near += [name for name in difflib.get_close_matches(rev, known) if name not in near]
    hint = f"did you mean {' or '.join(map(repr, near))}?" if near else "git log --all lists them;"
    return (
        f"{rev!r} names no commit in {directory}: {hint} what is only on a remote "
        "has to be fetched first"
    )


def _incomplete(top: Path, what: str) -> str:
    """
    What to do about a partial clone that lacks what is asked for.
    """
    return (
        f"the files of {what} are not all in {top}, and nothing is fetched behind your back: "
        f"make the clone whole with git -C {shlex.quote(str(top))} "
        "fetch --refetch --no-filter origin"
    )


def _name(top: Path, git_dir: Path, common_dir: Path) -> str:
    """
    A file name for the project directory.
    """
    name = top.name
    if git_dir != common_dir:
        # `.bare` is a habit of those who work in linked worktrees only.
        hidden = common_dir.name.startswith(".")
        name = common_dir.parent.name if hidden else common_dir.name.removesuffix(".git")
    return project_name(name)


def project_name(name: str) -> str:
    """
    *name* in the characters that a project directory may have.
    """
    name = re.sub(r"[^A-Za-z0-9._-]+", "-", name).strip("-")[:100]
    return name if name.strip(".") and name != ".git" else "repository"


def _objects(
    top: Path, git_dir: Path, env: Mapping[str, str], *names: str
) -> list[tuple[str, str] | None]:
    """
    Type and id of each object, `None` for one that is not there.
    """
    answer = run_git(
        *inside(git_dir),
        *("cat-file", "--batch-check=%(objecttype) %(objectname)"),
        input="".join(f"{name}\n" for name in names).encode(),
        env=env,
    )
    if answer.code:
        raise ProjectionError(f"{_incomplete(top, names[0])} ({answer.stderr})")
    found = [line.split(" ") for line in answer.stdout.decode().splitlines()]
    return [(kind, name) if name != "missing" else None for kind, name in found]

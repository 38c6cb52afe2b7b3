"""Look up a commit of a user's repository, without writing to the repository."""

from __future__ import annotations

import hashlib
import os
import posixpath
import re
import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ..codex import RESUME, SCRIPTS, SETUP
from ..errors import ProjectionError
from ..text.phrases import did_you_mean
from .git import git, inside, reading_environment, run_git, shared_dir
from .integrity import Damage, damage_error
from .submodules import find_submodules

if TYPE_CHECKING:
    from collections.abc import Mapping

    from .submodules import Submodule

__all__ = [
    "FoundCommit",
    "RepositorySnapshot",
    "Tag",
    "find_commit",
    "find_tags",
    "open_repository",
    "project_name",
    "skips_submodules",
]

_UNRESOLVED = frozenset({b"dangling", b"loop", b"notdir", b"symlink"})
"""What `git cat-file --follow-symlinks` says in place of an object, with a text in a next line."""

_MOST_HOPS = 40
"""Links that are followed one after the other, as in the kernel."""

_MOST_FOLDERS = 100
"""Folders that are listed, each by a call of git."""

_FACTS = ("--is-bare-repository", "--is-shallow-repository", "--show-object-format")


@dataclass(frozen=True, slots=True)
class Tag:
    """
    A tag: its name, the object that it is, and the commit that it leads to.
    """

    name: str
    id: str
    commit: str


@dataclass(frozen=True, slots=True)
class RepositorySnapshot:
    """
    A repository at one commit.

    Attributes:
        path: top level of the work tree.
        name: name of the repository, limited to characters that a hosting
            service allows. A linked worktree has the name of its repository,
            so that all worktrees share one cache.
        git_dir: git directory of the work tree.
        common_dir: git directory of the repository; differs from `git_dir` in a
            linked worktree.
        head: full commit id.
        object_format: `sha1` or `sha256`.
        shallow: whether the repository is a shallow clone.
        identity: an id that keeps the cached images of different repositories
            apart. Clones of one repository with the same name share an id; a
            shallow clone has an id of its own, since its root commit is unknown.
        scripts_tree: tree id of `codex-workspace-scripts/` in the commit;
            `None` if there is no such directory.
        has_setup: whether that directory holds `setup-script.sh`.
        has_resume: whether that directory holds `setup-from-cache-script.sh`.
        submodules: direct submodules; each lists its own submodules.
        skips_submodules: whether the user has submodules left out.
        tags: the tags to project; `None` for none, as from `open_repository`.
        depth: the number of commits of history to project; `None` for all.
        linked_scripts: a digest of what links in the scripts' folder lead to; empty if there are
            none.
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
    skips_submodules: bool = False
    tags: tuple[Tag, ...] | None = None
    depth: int | None = None
    linked_scripts: str = ""

    def __fspath__(self) -> str:
        return str(self.path)


@dataclass(frozen=True, slots=True)
class FoundCommit:
    """
    The object that a revision of a repository names, which is a commit or leads to one.

    Attributes:
        id: full id of the object.
        top: top level of the work tree.
        git_dir: git directory of the work tree.
        object_format: `sha1` or `sha256`.
        shallow: whether the repository is a shallow clone.
    """

    id: str
    top: Path
    git_dir: Path
    object_format: str
    shallow: bool


def find_commit(path: str | Path, rev: str = "HEAD", *, environ: Mapping[str, str]) -> FoundCommit:
    """
    Find the object that *rev* names in the repository that contains *path*.

    Raises:
        ProjectionError: there is no repository, or the revision names nothing in it.
    """
    directory = _directory(path)
    shallow, object_format, named, git_dir, top = _facts(
        directory, rev, reading_environment(environ)
    )
    return FoundCommit(named, top, git_dir, object_format, shallow)


def open_repository(
    path: str | Path, rev: str = "HEAD", *, environ: Mapping[str, str]
) -> RepositorySnapshot:
    """
    Look up a commit of the repository that contains *path*.

    Nothing in the repository or its work tree changes, not even a timestamp,
    and nothing is fetched.

    Args:
        path: a work tree or a directory in one; `~` is the home directory.
        rev: a revision, as for `git rev-parse`.
        environ: environment for git; `CODEX_SKIP_SUBMODULES=1` skips
            submodules.

    Raises:
        ProjectionError: the commit does not exist, or some of its objects are
            missing.

    Example:
        >>> open_repository(".", environ=os.environ).head  # doctest: +SKIP
        '5d3f0c3a0b4e7a9a6f2b7a3a8b1c2d3e4f5a6b7c'
    """
    directory = _directory(path)
    env = reading_environment(environ)
    shallow, object_format, named, git_dir, top = _facts(directory, rev, env)
    known, commit, tree, scripts, setup, resume, modules = _objects(
        top,
        git_dir,
        env,
        named,
        f"{named}^{{commit}}",
        f"{named}^{{tree}}",
        f"{named}^{{commit}}:{SCRIPTS}",
        f"{named}^{{commit}}:{SETUP}",
        f"{named}^{{commit}}:{RESUME}",
        f"{named}^{{commit}}:.gitmodules",
    )
    common_dir = shared_dir(git_dir)
    if known is None:
        raise damage_error(top, common_dir, named, Damage((), "the commit itself is missing"))
    if commit is None:
        raise _unknown_revision(directory, rev, env)
    head = commit[1]
    if tree is None:
        raise damage_error(top, common_dir, head, Damage((), "the list of its files is missing"))
    name = _name(top, git_dir, common_dir)
    if shallow:
        origin = os.fsencode(common_dir)
    else:
        roots = run_git(
            *inside(git_dir), "rev-list", "--first-parent", "--max-parents=0", head, env=env
        )
        if roots.code:
            raise damage_error(top, common_dir, head, Damage((), roots.stderr.splitlines()[-1]))
        origin = roots.stdout
    scripts_tree = scripts[1] if scripts and scripts[0] == "tree" else None
    submodules = (
        find_submodules(top, head, git_dir=git_dir, common_dir=common_dir, env=env)
        if modules and not skips_submodules(environ)
        else ()
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
        scripts_tree=scripts_tree,
        has_setup=setup is not None and setup[0] == "blob",
        has_resume=resume is not None and resume[0] == "blob",
        submodules=submodules,
        skips_submodules=skips_submodules(environ),
        linked_scripts=(
            _linked_scripts(_Links(top, git_dir, head, name, env), scripts_tree, submodules)
            if scripts_tree
            else ""
        ),
    )


def find_tags(snapshot: RepositorySnapshot, environ: Mapping[str, str]) -> tuple[Tag, ...]:
    """
    Return the tags in the history of a commit, and no other: they may be of other branches, which
    are not projected.

    Raises:
        ProjectionError: git failed, such as for objects that are missing.
    """
    env, place = reading_environment(environ), inside(snapshot.git_dir)
    listed = git(
        *(*place, "for-each-ref", f"--merged={snapshot.head}"),
        *("--format=%(objectname) %(refname:lstrip=2)", "refs/tags"),
        env=env,
    )
    lines = [line.split(" ", 1) for line in os.fsdecode(listed).split("\n") if line]
    if not lines:
        return ()
    # `%(*objectname)` is the next tag, for a tag of a tag, in git before 2.45.
    asked = "".join(f"{one}^{{commit}}\n" for one, _ in lines).encode()
    found = git(*place, "cat-file", "--batch-check=%(objectname)", env=env, input=asked)
    commits = found.decode().splitlines()
    return tuple(Tag(name, one, commit) for (one, name), commit in zip(lines, commits, strict=True))


def skips_submodules(environ: Mapping[str, str]) -> bool:
    """
    Check whether `CODEX_SKIP_SUBMODULES` is set to skip submodules.
    """
    return environ.get("CODEX_SKIP_SUBMODULES", "").strip().lower() in {"1", "true", "yes", "on"}


def _directory(path: str | Path) -> Path:
    """
    Return *path* as an absolute path, after checking that it is a directory.
    """
    try:
        directory = Path(path).expanduser().resolve()
        if directory.is_dir():
            return directory
        there = directory.exists()
    except (OSError, RuntimeError, ValueError) as error:
        raise ProjectionError(f"{str(path)!r} cannot be a repository: {error}") from None
    if there:
        raise ProjectionError(
            f"{directory} is not a directory", remedy="Give the directory of a git work tree."
        )
    raise ProjectionError(f"{directory} does not exist", remedy="Give the path of a git work tree.")


def _facts(directory: Path, rev: str, env: Mapping[str, str]) -> tuple[bool, str, str, Path, Path]:
    """
    Return whether the clone is shallow, the object format, the id that *rev*
    names, the git directory and the top level.
    """
    # Git would treat this as an option; no revision starts with a dash.
    asked = rev if not rev.startswith("-") else ""
    result = run_git(
        *("rev-parse", *_FACTS, asked, "--absolute-git-dir", "--show-toplevel"),
        cwd=directory,
        env=env,
    )
    bare, *rest = os.fsdecode(result.stdout).removesuffix("\n").split("\n")
    if bare == "true":
        raise _bare(directory)
    if result.code and (len(rest) < 2 or "must be run in a work tree" in result.stderr):
        raise _no_work_tree(directory, result.stderr)
    if result.code or not re.fullmatch("[0-9a-f]{40,64}", rest[2]) or rest[3][:1] != "/":
        raise _unknown_revision(directory, rev, env)
    # Paths may contain line ends; the second path is *directory* or one of its parents.
    paths = rest[3:]
    above = {str(directory), *map(str, directory.parents)}
    cut = next((at for at in range(1, len(paths)) if "\n".join(paths[at:]) in above), 1)
    git_dir, top = Path("\n".join(paths[:cut])), Path("\n".join(paths[cut:]))
    return rest[0] == "true", rest[1], rest[2], git_dir, top


def _bare(directory: Path) -> ProjectionError:
    """
    Return the error for a directory that is not a work tree, but a repository itself.
    """
    return ProjectionError(
        f"{directory} is a bare repository",
        remedy="Give the path of one of its work trees (git clone "
        f"{shlex.quote(str(directory))}, or git worktree add).",
    )


def _no_work_tree(directory: Path, said: str) -> ProjectionError:
    """
    Return the error for a directory in which git finds no work tree.
    """
    if "dubious ownership" in said or "unsafe repository" in said:
        owned = re.search(r"safe\.directory (.+)$", said, re.MULTILINE)
        place = owned[1] if owned else shlex.quote(str(directory))
        return ProjectionError(
            f"{directory} is in a repository owned by another user, which git will not open",
            remedy="If you trust the repository, run git config --global --add "
            f"safe.directory {place}",
        )
    if "(or any" in said:
        return ProjectionError(
            f"{directory} is not in a git repository",
            remedy="Give the path of a repository, or run git init there and commit the files "
            "that the workspace needs.",
        )
    refused = "cannot use bare repository" in said
    if refused and ".git" not in directory.parts:
        return _bare(directory)
    if refused or "must be run in a work tree" in said:
        return ProjectionError(
            f"{directory} is inside a .git directory",
            remedy="Give the path of the work tree that it belongs to.",
        )
    return ProjectionError(
        f"git cannot open the repository that {directory} is in: {said}",
        remedy="For a repository that was moved, try git worktree repair; for a damaged one, "
        "git fsck.",
    )


def _unknown_revision(directory: Path, rev: str, env: Mapping[str, str]) -> ProjectionError:
    """
    Return the error for a revision that names no commit.
    """
    names = run_git(
        "for-each-ref",
        "--format=%(refname:short)",
        *("refs/heads", "refs/tags", "refs/remotes"),
        cwd=directory,
        env=env,
    )
    if names.code or "broken ref" in names.stderr:
        return ProjectionError(
            f"the clone {directory} is damaged, and {rev!r} names no commit in it: {names.stderr}",
            remedy=f"git -C {shlex.quote(str(directory))} fsck lists the damage; git reflog shows "
            "the commits that a branch was at.",
        )
    known = os.fsdecode(names.stdout).splitlines()
    if rev == "HEAD":
        hint = f" ({known[0]!r} has one: git switch {shlex.quote(known[0])})" if known else ""
        return ProjectionError(
            f"the repository at {directory} has no commit at HEAD yet",
            remedy=f"Run git add and git commit for the files that the workspace needs{hint}.",
        )
    remote = [name for name in known if name.endswith(f"/{rev}")]
    return ProjectionError(
        f"{rev!r} names no commit in {directory}{did_you_mean(rev, known, first=remote)}",
        remedy="git log --all lists the commits of the clone. If the commit is only on a remote, "
        "run git fetch first.",
    )


def _name(top: Path, git_dir: Path, common_dir: Path) -> str:
    """
    Return the name of the repository, for the project directory.
    """
    name = top.name
    if git_dir != common_dir:
        # Users of linked worktrees often keep the bare repository in a directory such as `.bare`.
        hidden = common_dir.name.startswith(".")
        name = common_dir.parent.name if hidden else common_dir.name.removesuffix(".git")
    return project_name(name)


def project_name(name: str) -> str:
    """
    Replace the characters of *name* that a project directory may not have.
    """
    name = re.sub(r"[^A-Za-z0-9._-]+", "-", name).strip("-")[:100]
    return name if name.strip(".") and name != ".git" else "repository"


def _objects(
    top: Path, git_dir: Path, env: Mapping[str, str], *names: str
) -> list[tuple[str, str] | None]:
    """
    Return type and id of each object, `None` for a missing one.
    """
    answer = run_git(
        *inside(git_dir),
        *("cat-file", "--batch-check=%(objecttype) %(objectname)"),
        input="".join(f"{name}\n" for name in names).encode(),
        env=env,
    )
    if answer.code:
        raise damage_error(top, shared_dir(git_dir), names[0], Damage((), answer.stderr))
    found = [line.split(" ") for line in answer.stdout.decode().splitlines()]
    return [(kind, name) if name != "missing" else None for kind, name in found]


@dataclass(frozen=True, slots=True)
class _Links:
    """
    The links of a commit.

    Attributes:
        top: top level of the work tree.
        git_dir: git directory of the work tree.
        head: full commit id.
        name: name of the repository.
        env: environment for git.
    """

    top: Path
    git_dir: Path
    head: str
    name: str
    env: Mapping[str, str]

    def below(self, folder: bytes, tree: bytes) -> list[bytes]:
        """
        Return the paths of the links below *folder*, which leads to *tree*. What the clone lacks is
        told later, when all of the commit is read.
        """
        listed = run_git(*inside(self.git_dir), "ls-tree", "-r", "-z", tree, env=self.env).stdout
        entries = (one.partition(b"\t") for one in listed.split(b"\0"))
        return [folder + b"/" + name for facts, _, name in entries if facts.startswith(b"120000 ")]

    def follow(self, paths: list[bytes]) -> list[tuple[bytes, bytes]]:
        """
        Follow each of *paths* in the commit.

        Returns:
            The kind and the id of each object; for a path that leads to none, git's word for it;
            then, if it leads out of the commit, where to.

        Raises:
            ProjectionError: the clone is damaged.
        """
        answer = run_git(
            *inside(self.git_dir),
            *("cat-file", "--batch-check", "--follow-symlinks"),
            input=b"".join(f"{self.head}:".encode() + path + b"\n" for path in paths),
            env=self.env,
        )
        if answer.code:
            # A folder that cannot be read, where one that is missing is a path to nothing.
            said = answer.stderr.rpartition("\n")[2]
            raise damage_error(self.top, shared_dir(self.git_dir), self.head, Damage((), said))
        rest, found = answer.stdout, []
        while rest:
            line, _, rest = rest.partition(b"\n")
            first, _, second = line.partition(b" ")
            if first in _UNRESOLVED:
                size = int(second)
                # Of the others, the text has the question.
                found.append((first, rest[:size] if first == b"symlink" else b""))
                rest = rest[size + 1 :]
            elif line.endswith(b" missing"):
                found.append((b"missing", b""))
            else:
                found.append((second.partition(b" ")[0], first))
        return found

    def back_inside(self, target: bytes) -> bytes | None:
        """
        Return the path in the commit of what a link out of the repository leads to in a workspace,
        where the project has a place of its own; `None` if it leads to something else.
        """
        project = f"/workspace/{self.name}/".encode()
        path = posixpath.normpath(posixpath.join(project, target)) + b"/"
        return path[len(project) : -1] if path.startswith(project) else None


def _linked_scripts(links: _Links, tree: str, submodules: tuple[Submodule, ...]) -> str:
    """
    Return a digest of what the links in the scripts' folder *tree* lead to, and those in folders
    that they lead to. Where that is not known, the digest is one of all that it may be: of the
    submodules for a path into one, of the commit if there are too many links.
    """
    met: dict[bytes, bytes] = {}
    listed: set[bytes] = set()
    asked: list[bytes] = []
    folders = [(SCRIPTS.encode(), tree.encode())]
    for _ in range(_MOST_HOPS):
        new = {found: folder for folder, found in folders if found not in listed}
        if len(listed) + len(new) > _MOST_FOLDERS:
            break
        listed.update(new)
        asked += [path for found, folder in new.items() for path in links.below(folder, found)]
        asked = [path for path in dict.fromkeys(asked) if path not in met]
        if not asked or any(b"\n" in path for path in asked):
            break
        following, asked, folders = asked, [], []
        for path, (kind, found) in zip(following, links.follow(following), strict=True):
            met[path] = kind + b" " + found
            if kind == b"tree":
                folders.append((path, found))
            elif kind == b"symlink" and (led := links.back_inside(found)) is not None:
                asked.append(led)
    known = [path + b"\0" + found + b"\0" for path, found in sorted(met.items())]
    if any(found.startswith((b"dangling ", b"missing ", b"notdir ")) for found in met.values()):
        known += [os.fsencode(f"{one.path}\0{one.commit}\0") for one in submodules]
    if asked or not listed.issuperset(found for _, found in folders):
        known.append(links.head.encode())
    return hashlib.sha256(b"".join(known)).hexdigest() if known else ""

"""Check out a projected commit inside a container, with git and Python 3.8 only.

    python3 -I apply_projection.py [TARGET]

The script reads `plan.json` and the bare repositories beside this file, and then
removes the directory that holds them. The project directory is TARGET, or the one
in the plan.

A new project directory gets the files of the commit. An existing one is brought to the
commit as `git switch` would do it: files that the commit does not change are not
touched, whether setup changed them or not. Where git would refuse, because setup and
the commit change the same file, the file of the commit takes precedence, and a line of
JSON on standard output names it. Untracked and ignored files stay.

Without bare repositories (a plan that names none), a directory can only be brought to
a commit that it has. With one that has the objects since a commit only (`have` in the plan), the
directory must have that commit. The exit code is 3 if objects are missing.

If the variable CODEX_PROJECTION_REFUSES is set, git itself decides, as Codex's sync lets it:
where `git switch` refuses, the exit code is 4, and a line of JSON on standard output has what git
said.
"""

# Paths in a repository are bytes, which pathlib does not support.

from __future__ import annotations

import json
import os
import shutil
import stat
import subprocess
import sys
import time

TYPE_CHECKING = False  # Importing `typing` would cost more than the rest.
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

__all__ = ["Failure", "Tree", "main"]

OPTIONS = (
    # A setup script may have changed the configuration of the repository;
    # that must not run a program now.
    *("-c", "core.hooksPath=/dev/null"),
    *("-c", "core.fsmonitor=false"),
    # What Git LFS has downloaded is a change of setup, and a commit has pointers.
    *("-c", "filter.lfs.clean="),
    *("-c", "filter.lfs.process="),
    *("-c", "filter.lfs.smudge="),
    *("-c", "filter.lfs.required=false"),
    *("-c", "submodule.recurse=false"),
    # In an image, files differ from the index in all that a check may be limited to.
    *("-c", "core.checkStat=default"),
    *("-c", "core.trustctime=true"),
    *("-c", "core.logAllRefUpdates=false"),
    *("-c", "gc.auto=0"),
    *("-c", "maintenance.auto=false"),
)
LOCKS = (
    b"HEAD.lock",
    b"config.lock",
    b"index.lock",
    b"packed-refs.lock",
    b"refs/heads/work.lock",
    b"shallow.lock",
)
LEFT_OVER = (
    b"FETCH_HEAD",
    b"ORIG_HEAD",
    # Operations that setup began and did not end.
    b"AUTO_MERGE",
    b"CHERRY_PICK_HEAD",
    b"MERGE_HEAD",
    b"MERGE_MODE",
    b"MERGE_MSG",
    b"REBASE_HEAD",
    b"REVERT_HEAD",
    b"SQUASH_MSG",
    b"rebase-apply",
    b"rebase-merge",
    b"sequencer",
)
OBJECTS_MISSING = 3
REFUSED = 4
PROJECTS = b"/workspace/"
TOLD = 20
GITLINK = b"160000"
PROGRESS = "CODEX_PROJECTION_PROGRESS"
"""If this variable is set, standard error has lines such as `checked out 12 of 345 files`."""

REFUSES = "CODEX_PROJECTION_REFUSES"
"""If this variable is set, a file that setup and the commit both change is an error."""

SAID = 1 << 16
REFUSAL = 1 << 14
FETCHED = b"refs/codex-projection/"


class Failure(Exception):
    """
    An error that is shown to the user without a traceback.
    """


class ObjectsMissing(Failure):
    """
    The commit is not in the repository, and the archive has no objects.
    """


class Refused(Failure):
    """
    Git would not switch to the commit.
    """


class Tree:
    """
    A work tree, its git directory, and the directory of bare repositories.
    """

    def __init__(self, path: bytes, git_dir: bytes, source: bytes) -> None:
        self.path = path
        self.git_dir = git_dir
        self.source = source

    def bring_to(
        self, plan: dict[str, Any], branch: str = "", refuses: bool = False
    ) -> list[bytes]:
        """
        Check out the commit of the plan on *branch* or detached, submodules included.

        Returns:
            The paths of files that had other changes, which are lost. If the switch *refuses* to
            lose any, there are none of the repository itself.
        """
        os.makedirs(self.path, exist_ok=True)
        self._follow_link()
        bare = os.path.join(self.source, plan["repository"].encode()) if plan["repository"] else b""
        head = plan["head"]
        base = b""
        if os.path.exists(os.path.join(self.git_dir, b"HEAD")):
            # Locks remain if git was killed when the image was committed.
            for lock in LOCKS:
                remove(os.path.join(self.git_dir, lock))
            self._mend_head()
            self._fetch(bare, plan)
            base = self._run("rev-parse", "--quiet", "--verify", "HEAD^{commit}").stdout.strip()
            self._mend_index(base)
        elif refuses:
            raise Refused("fatal: not a git repository: there is no .git/HEAD any more")
        elif bare and not plan.get("have"):
            self._create(bare, plan["object_format"])
        else:
            raise ObjectsMissing("there is no repository")
        modules = plan["submodules"]
        for module in modules:
            # Before any file is changed: what follows cannot be repeated.
            self._complete(module)
        self._set_tags(plan)
        wanted = {raw(each["path"]): raw(each["name"]) for each in modules}
        aside = self._clear_submodules(wanted, head)
        switch = Switch(self, base, head.encode(), branch, refuses)
        lost = switch.run()
        for module in modules:
            kept = switch.keeps(raw(module["path"]))
            lost += self._submodule(module, aside.get(raw(module["name"])), kept)
        for name in LEFT_OVER:
            remove(os.path.join(self.git_dir, name))
        return lost

    def _follow_link(self) -> None:
        """
        Use the git directory that a file `.git` names.
        """
        if os.path.isfile(self.git_dir):
            to = read(self.git_dir)[len(b"gitdir: ") :].rstrip(b"\n")
            there = os.path.join(self.path, to)
            if to and os.path.exists(os.path.join(there, b"HEAD")):
                self.git_dir = os.path.normpath(there)
            else:
                remove(self.git_dir)

    def _mend_head(self) -> None:
        """
        Replace a damaged HEAD, without which git sees no repository.
        """
        path = os.path.join(self.git_dir, b"HEAD")
        text = read(path).strip()
        if not text.startswith(b"ref: refs/") and not set(text) <= set(b"0123456789abcdef"):
            remove(path)
            write(path, b"ref: refs/heads/work\n")

    def _mend_index(self, base: bytes) -> None:
        """
        Make a damaged or missing index again from the commit *base*.
        """
        index = os.path.join(self.git_dir, b"index")
        if not os.path.exists(index) or self._run("ls-files", "--stage").returncode:
            remove(index)
            if base:
                self._git("read-tree", base)

    def _create(self, bare: bytes, object_format: str) -> None:
        """
        Create a repository and move the objects into it.
        """
        os.makedirs(self.git_dir, exist_ok=True)
        options = [] if object_format == "sha1" else ["--object-format=" + object_format]
        self._git("init", "--quiet", "--template=", *options)
        for name in (b"hooks", b"info"):
            os.makedirs(os.path.join(self.git_dir, name), exist_ok=True)
        self._move_packs(bare)
        boundary = read(os.path.join(bare, b"shallow"))
        if boundary:
            write(os.path.join(self.git_dir, b"shallow"), boundary)

    def _move_packs(self, bare: bytes) -> None:
        """
        Move all objects of a bare repository into this one.
        """
        packs = os.path.join(bare, b"objects", b"pack")
        mine = os.path.join(self.git_dir, b"objects", b"pack")
        os.makedirs(mine, exist_ok=True)
        for name in os.listdir(packs):
            shutil.move(
                os.fsdecode(os.path.join(packs, name)), os.fsdecode(os.path.join(mine, name))
            )

    def _add(self, bare: bytes, head: str, have: str, tags: list[str]) -> None:
        """
        Add the objects in *bare*, those since the commit *have*, to the repository, if that has the
        others.
        """
        shallow = os.path.exists(os.path.join(self.git_dir, b"shallow"))
        takes = os.path.isdir(os.path.join(self.git_dir, b"objects", b"pack"))
        if shallow or not takes or self._missing([have + "^{tree}"]):
            raise ObjectsMissing("the commit before is not in the repository")
        # As git does after a fetch.
        check = ("rev-list", "--objects", "--quiet", head, *tags, "--not", have)
        new = {b"GIT_ALTERNATE_OBJECT_DIRECTORIES": os.path.join(bare, b"objects")}
        if self._run(*check, more=new).returncode:
            raise ObjectsMissing("objects of the commit before are missing")
        self._move_packs(bare)

    def _complete(self, plan: dict[str, Any]) -> None:
        """
        Add the objects of a submodule since a commit, with those in it, and check that it has what
        the archive does not have. Afterwards the plan names no repository for it.
        """
        git_dir = os.path.join(self.git_dir, b"modules", raw(plan["name"]))
        child = Tree(self.path, git_dir, self.source)
        head, have = plan["head"], plan.pop("have", None)
        if have or not plan["repository"]:
            if not os.path.exists(os.path.join(git_dir, b"HEAD")):
                raise ObjectsMissing("a submodule is not in the repository")
            if have:
                child._add(os.path.join(self.source, plan["repository"].encode()), head, have, [])
                plan["repository"] = ""
            elif child._missing([head + "^{tree}"]):
                raise ObjectsMissing("the commit of a submodule is not in the repository")
        for each in plan["submodules"]:
            child._complete(each)

    def _fetch(self, bare: bytes, plan: dict[str, Any]) -> None:
        """
        Fetch missing objects, including history that a shallow clone lacked.
        """
        head = plan["head"]
        tags = [one for _, one in plan.get("tags", ())]
        if not bare:
            missing = self._missing([head + "^{tree}", *tags])
            if missing and "depth" in plan and head + "^{tree}" not in missing:
                # Tags that are older than the history were left out when the others arrived.
                plan["tags"] = [each for each in plan["tags"] if each[1] not in missing]
            elif missing:
                raise ObjectsMissing("the commit or a tag is not in the repository")
            return
        if plan.get("have"):
            self._add(bare, head, plan["have"], tags)
            return
        mine = read(os.path.join(self.git_dir, b"shallow"))
        deepen = []
        if mine != read(os.path.join(bare, b"shallow")):
            deepen = ["--unshallow"] if mine else []
            if "depth" in plan:
                deepen = ["--depth=" + str(plan["depth"])]
        elif not self._missing([head + "^{commit}", *tags]):
            return
        options = ("--quiet", "--no-tags", "--update-shallow", *deepen)
        names = ("refs/heads/work", b"+refs/tags/*:" + FETCHED + b"*")
        if mine or deepen:
            self._git("fetch", *options, bare, *names)
        elif self._run("fetch", *options, bare, *names).returncode:
            # git takes for granted that what its references lead to is there.
            self._move_packs(bare)

    def _missing(self, names: list[str]) -> set[str]:
        """
        Return the names of objects that are not there.
        """
        given = "".join(name + "\n" for name in names).encode()
        done = self._run("cat-file", "--batch-check=%(objecttype)", given=given)
        said = done.stdout.splitlines()
        if done.returncode or len(said) != len(names):
            return set(names)
        return {name for name, line in zip(names, said) if line.endswith(b" missing")}

    def _set_tags(self, plan: dict[str, Any]) -> None:
        """
        Let the tags of the plan be where it says. Those of setup stay, unless they are in the way.
        """
        wanted = {b"refs/tags/" + raw(name): one.encode() for name, one in plan.get("tags", ())}
        if not wanted:
            return
        if not self._update_references(wanted):
            # The tag `v1` of setup would be in the way of the tag `v1/a`, and the other way round.
            above = {each for one in wanted for each in _above(one)}
            self._update_references(
                dict.fromkeys(
                    one
                    for one in self._references(b"refs/tags/")
                    if one in above or not wanted.keys().isdisjoint(_above(one))
                )
            )
            if not self._update_references(wanted):
                raise Failure("the tags of the commit could not be set")
        self._update_references(dict.fromkeys(self._references(FETCHED)))

    def _references(self, below: bytes) -> list[bytes]:
        return self._git("for-each-ref", "--format=%(refname)", below).split()

    def _update_references(self, wanted: Mapping[bytes, bytes | None]) -> bool:
        """
        Set references, or delete those for which nothing is *wanted*, and return whether git did.
        """
        given = b"".join(
            b"delete %s\0\0" % name if one is None else b"update %s\0%s\0\0" % (name, one)
            for name, one in wanted.items()
        )
        return not self._run("update-ref", "--no-deref", "-z", "--stdin", given=given).returncode

    def _clear_submodules(self, wanted: dict[bytes, bytes], head: str) -> dict[bytes, bytes]:
        """
        Empty the work trees of submodules that *head* does not have, which git would leave.

        One that *head* has stays, even if it is not *wanted*: setup has checked it out. A
        submodule that has moved is kept with its ignored files. The result has the temporary
        paths of moved submodules by name.
        """
        modules = os.path.join(self.git_dir, b"modules")
        if not os.path.isdir(modules):
            return {}
        aside: dict[bytes, bytes] = {}
        for entry in self._git("ls-files", "--stage", "-z").split(b"\0"):
            facts, _, path = entry.partition(b"\t")
            place = os.path.join(self.path, path)
            link = os.path.join(place, b".git")
            if not facts.startswith(b"160000 ") or not os.path.lexists(link):
                continue
            to = read(link)[len(b"gitdir: ") :].rstrip(b"\n")
            name = os.path.relpath(os.path.join(place, to), modules)
            if wanted.get(path) == name:
                continue
            if name in wanted.values():
                aside[name] = os.path.join(self.git_dir, b"moving-%d" % len(aside))
                os.rename(place, aside[name])
                continue
            if path not in wanted and self._git("ls-tree", head, "--", path)[:6] == GITLINK:
                continue
            remove(place)
            if not name.startswith(b".."):
                remove(os.path.join(modules, name))
                self._run("config", "--remove-section", b"submodule." + name)
        return aside

    def _submodule(self, plan: dict[str, Any], aside: bytes | None, kept: bool) -> list[bytes]:
        """
        Check out a submodule like `git submodule update --init`, but without a URL. One
        that is to be *kept* stays as setup left it, if it is checked out.

        Returns:
            The paths of files whose other changes are lost.
        """
        path, name = raw(plan["path"]), raw(plan["name"])
        place = os.path.join(self.path, path)
        link = os.path.join(place, b".git")
        child = Tree(place, os.path.join(self.git_dir, b"modules", name), self.source)
        if os.path.islink(place) or not os.path.isdir(place):
            remove(place)
            os.makedirs(place)
        if aside is not None:
            if os.listdir(place):
                remove(aside)
            else:
                os.rmdir(place)
                os.rename(aside, place)
        link_to = b"gitdir: " + os.path.relpath(child.git_dir, place) + b"\n"
        linked = aside is None and read(link) == link_to
        if linked and kept and child.is_whole():
            return []
        # A link of another layout leads elsewhere.
        if not linked:
            remove(link)
        lost = child.bring_to(plan)
        if not linked:
            write(link, link_to)
            child._git("config", "core.worktree", os.path.relpath(place, child.git_dir))
            self._git("config", b"submodule." + name + b".active", "true")
        return [os.path.join(path, one) for one in lost]

    def exists(self, path: bytes) -> bool:
        """
        Return whether there is anything at *path*.
        """
        return os.path.lexists(os.path.join(self.path, path))

    def is_directory(self, path: bytes) -> bool:
        """
        Return whether there is a directory at *path*, and not a link to one.
        """
        there = os.path.join(self.path, path)
        return os.path.isdir(there) and not os.path.islink(there)

    def blocked(self, path: bytes) -> bytes:
        """
        Return the first parent of *path* that exists and is no directory; empty if there
        is none.
        """
        parts = path.split(b"/")
        for count in range(1, len(parts)):
            parent = b"/".join(parts[:count])
            if not self.is_directory(parent):
                return parent if self.exists(parent) else b""
        return b""

    def is_whole(self) -> bool:
        """
        Return whether this is a repository at a commit, with an index.
        """
        commands = (("cat-file", "-e", "HEAD^{tree}"), ("ls-files", "--stage"))
        there = os.path.exists(os.path.join(self.git_dir, b"index"))
        return there and not any(self._run(*each).returncode for each in commands)

    def _git(
        self,
        *args: str | bytes,
        given: bytes = b"",
        more: dict[bytes, bytes] | None = None,
        reports: bool = False,
    ) -> bytes:
        """
        Run git, check that it succeeds, and return its output.
        """
        done = self._run(*args, given=given, more=more, reports=reports)
        if done.returncode:
            said = done.stderr.decode("utf-8", "replace").strip()
            where = self.path.decode("utf-8", "backslashreplace")
            raise Failure(f"git {os.fsdecode(args[0])} in {where} failed: {said}")
        return done.stdout

    def _run(
        self,
        *args: str | bytes,
        given: bytes = b"",
        more: dict[bytes, bytes] | None = None,
        reports: bool = False,
    ) -> subprocess.CompletedProcess[bytes]:
        """
        Run git with the configuration of the repository only, the input *given*, and
        *more* variables. If it *reports* its progress, pass that on.
        """
        kept = {name: value for name, value in os.environb.items() if name[:4] != b"GIT_"}
        home = self.source
        environment = {
            **kept,
            b"GIT_CONFIG_GLOBAL": os.path.join(home, b".gitconfig"),
            b"GIT_CONFIG_NOSYSTEM": b"1",
            b"GIT_DEFAULT_REF_FORMAT": b"files",
            b"GIT_DIR": self.git_dir,
            b"GIT_LITERAL_PATHSPECS": b"1",
            b"GIT_NO_LAZY_FETCH": b"1",
            b"GIT_TERMINAL_PROMPT": b"0",
            b"GIT_WORK_TREE": self.path,
            b"HOME": home,
            b"LC_ALL": b"C",
            b"XDG_CONFIG_HOME": home,
            **(more or {}),
        }
        try:
            if reports:
                return _report_progress(["git", *OPTIONS, *args], self.path, environment)
            return subprocess.run(
                ["git", *OPTIONS, *args],
                check=False,
                cwd=self.path,
                env=environment,
                input=given,
                capture_output=True,
            )
        except FileNotFoundError:
            raise Failure("git is not installed in the image: add it to the base image") from None


class CommitChange:
    """
    How a commit changes a path: mode and object, before and afterwards. An absent file
    has the mode `000000`.
    """

    def __init__(self, facts: bytes) -> None:
        before, self.mode, self.old, self.new = facts[1:].split(b" ")[:4]
        self.existed = before != b"000000"
        self.exists = self.mode != b"000000"
        self.was_gitlink = before == GITLINK


class Switch:
    """
    Brings a tree from the commit *base* to *head*, as `git switch` does.
    """

    def __init__(
        self, tree: Tree, base: bytes, head: bytes, branch: str, refuses: bool = False
    ) -> None:
        self.refuses = refuses
        self.tree = tree
        self.base = base
        self.head = head
        self.branch = branch
        self._changes: dict[bytes, CommitChange] | None = None

    def keeps(self, submodule: bytes) -> bool:
        """
        Return whether both commits have the same commit of *submodule*.
        """
        return self._changes is not None and submodule not in self._changes

    def run(self) -> list[bytes]:
        """
        Switch, and return the paths of files whose other changes are lost.
        """
        if not self.base:
            return self._force()
        tree = self.tree
        listed = tree._run(
            *("diff-tree", "-r", "-z", "--raw", "--no-renames"), self.base, self.head
        )
        if listed.returncode:
            return self._force()
        fields = listed.stdout.split(b"\0")
        changes = {path: CommitChange(facts) for facts, path in zip(fields[::2], fields[1::2])}
        image_made = self._index_time()
        if self.refuses:
            self._refresh()
            if changes:
                self._await_second_after(image_made)
            self._ask_git()
            self._changes = changes
            self._point()
            return []
        self._settle_conflicts()
        if changes:
            self._unhide(changes)
        # An image has other inodes and coarser times than the index says, so git compares the
        # content here. What is saved then holds for every workspace of the image.
        self._refresh()
        lost: list[bytes] = []
        if changes:
            self._await_second_after(image_made)
            try:
                lost = self._apply(changes)
            except Failure:
                return self._force()
        self._changes = changes
        self._point()
        return lost

    def _ask_git(self) -> None:
        """
        Switch as git does, which refuses to lose changes, and leave no remote.
        """
        done = self.tree._run("switch", "--quiet", "--detach", self.head)
        if b"is not a git command" in done.stderr:  # Before git 2.23.
            done = self.tree._run("checkout", "--quiet", "--detach", self.head)
        if done.returncode:
            raise Refused(done.stderr.decode("utf-8", "replace").strip())
        # Its own remote is the last thing that the sync removes, and setup may have added one.
        self.tree._run("remote", "remove", "origin")

    def _force(self) -> list[bytes]:
        """
        Check out the commit, whatever is there.
        """
        tree = self.tree
        lost: list[bytes] = []
        if set(os.listdir(tree.path)) - {b".git"}:
            if not self.base:
                tree._git("read-tree", "--reset", self.head)
            # With an index that is up to date, git does not write files that are right.
            self._refresh()
            lost = [path for path in self._unlike_index() if tree.exists(path)]
        reports = bool(os.environ.get(PROGRESS))
        tree._git(
            *("checkout", "--progress" if reports else "--quiet", "--force", "--detach", self.head),
            more={b"GIT_PROGRESS_DELAY": b"0"},
            reports=reports,
        )
        self._point()
        return lost

    def _point(self) -> None:
        """
        Let HEAD be the branch, and the branch the commit.
        """
        tree = self.tree
        if not self.branch:
            tree._git("update-ref", "--no-deref", "HEAD", self.head)
            return
        reference = "refs/heads/" + self.branch
        if tree._run("update-ref", reference, self.head).returncode:
            # A branch below it, such as work/mine, takes the place of the branch.
            listed = tree._git("for-each-ref", "--format=%(refname)", reference + "/")
            for below in listed.split():
                tree._git("update-ref", "--no-deref", "-d", below)
            tree._git("update-ref", reference, self.head)
        tree._git("symbolic-ref", "HEAD", reference)

    def _apply(self, changes: dict[bytes, CommitChange]) -> list[bytes]:
        """
        Make *changes* in the index and the files.
        """
        tree = self.tree
        forced, obstacles = self._forced(changes)
        told = {path for path in forced if not self._is_unchanged(path, changes[path])}
        entries = [
            b"%s %s\t%s\0" % (changes[path].mode.replace(b"000000", b"0"), changes[path].new, path)
            for path in sorted(forced)
        ]
        base = self._base_with(entries) if entries else self.base
        for path in obstacles:
            remove(os.path.join(tree.path, path))
        tree._git("read-tree", "-m", "-u", base, self.head)
        if not forced:
            return []
        self._refresh()
        # Setup may have made the very change that the commit makes.
        unlike = {path for path in self._unlike_index() if path in forced}
        # Attributes apply to the files that are written after them.
        order = sorted(unlike, key=lambda path: (not path.endswith(b".gitattributes"), path))
        tree._git(
            *("checkout-index", "--quiet", "--force", "--index", "-z", "--stdin"),
            given=b"".join(path + b"\0" for path in order),
        )
        gone = {path for path in forced if not changes[path].exists}
        return sorted(told & (unlike | gone))

    def _base_with(self, entries: list[bytes]) -> bytes:
        """
        Make *entries* in the index, and return the tree of *base* with them. Between that
        tree and the commit, git has nothing to do for their paths.
        """
        tree, given = self.tree, b"".join(entries)
        index = os.path.join(tree.source, b"index")
        aside = {b"GIT_INDEX_FILE": index}
        tree._git("update-index", "-z", "--index-info", given=given)
        tree._git("read-tree", self.base, more=aside)
        tree._git("update-index", "-z", "--index-info", given=given, more=aside)
        return tree._git("write-tree", more=aside).strip()

    def _forced(self, changes: dict[bytes, CommitChange]) -> tuple[set[bytes], list[bytes]]:
        """
        Return the paths of *changes* for which `git switch` would refuse, and what has
        to be removed for them.
        """
        tree = self.tree
        other = (*("-z", "--name-only", "--ignore-submodules=all", "--no-renames"), self.base)
        dirty = set(tree._git("diff-index", *other).split(b"\0"))
        dirty |= set(tree._git("diff-index", "--cached", *other).split(b"\0"))
        forced, obstacles = set(), []
        for path, change in changes.items():
            parent = tree.blocked(path)
            if path in dirty:
                forced.add(path)
            if not change.exists:
                if path in forced and not parent and not tree.is_directory(path):
                    obstacles.append(path)
            elif parent:
                if parent not in changes or parent in dirty:
                    forced.add(path)
                    obstacles.append(parent)
            elif change.mode == GITLINK or change.was_gitlink:
                if tree.exists(path) and not tree.is_directory(path) and not change.existed:
                    forced.add(path)
                    obstacles.append(path)
            elif tree.is_directory(path):
                forced.add(path)
                obstacles.append(path)
            elif not change.existed and tree.exists(path):
                forced.add(path)
        return forced, obstacles

    def _is_unchanged(self, path: bytes, change: CommitChange) -> bool:
        """
        Return whether a file is as the commit *base* writes it, or holds nothing.

        Git calls a file changed whose line ends are not those that its attributes ask
        for, even if nobody has touched it.
        """
        tree = self.tree
        if tree.blocked(path) or (tree.is_directory(path) and not change.exists):
            return not change.exists
        if tree.is_directory(path):
            return not tree._git("ls-files", "--others", "-z", "--", path)
        if not tree.exists(path):
            return not (change.existed and change.exists)
        if not change.existed:
            return False
        there = os.path.join(tree.path, path)
        if os.path.islink(there):
            return False
        facts = tree._git("ls-tree", "-z", self.base, "--", path)
        runs = bool(os.stat(there).st_mode & stat.S_IXUSR)
        if facts[:6] != (b"100755" if runs else b"100644"):
            return False
        written = tree._run("cat-file", "--filters", self.base + b":" + path)
        return not written.returncode and written.stdout == read(there)

    def _unhide(self, changes: dict[bytes, CommitChange]) -> None:
        """
        Let git look at the files of *changes* that setup told it not to look at.
        """
        tree = self.tree
        marked = (entry.partition(b" ") for entry in tree._git("ls-files", "-v", "-z").split(b"\0"))
        sparse = tree._run("config", "--bool", "core.sparseCheckout").stdout.strip() == b"true"
        hidden: dict[str, list[bytes]] = {"--no-assume-unchanged": [], "--no-skip-worktree": []}
        for mark, _, path in marked:
            if path in changes and mark.islower():
                hidden["--no-assume-unchanged"].append(path)
            if path in changes and mark in (b"S", b"s") and not sparse:
                hidden["--no-skip-worktree"].append(path)
        for option, paths in hidden.items():
            if paths:
                given = b"".join(path + b"\0" for path in paths)
                tree._git("update-index", option, "-z", "--stdin", given=given)

    def _settle_conflicts(self) -> None:
        """
        Let entries of the index with several versions be those of *base*.
        """
        tree = self.tree
        paths = {
            entry.partition(b"\t")[2] for entry in tree._git("ls-files", "-u", "-z").split(b"\0")
        }
        paths.discard(b"")
        if not paths:
            return
        known = tree._git("ls-tree", "-r", "-z", self.base).split(b"\0")
        entries = {path: b"0 " + b"0" * len(self.head) + b"\t" + path for path in paths}
        for entry in known:
            path = entry.partition(b"\t")[2]
            if path in paths:
                entries[path] = entry
        given = b"".join(entry + b"\0" for entry in entries.values())
        tree._git("update-index", "-z", "--index-info", given=given)

    def _refresh(self) -> None:
        # The exit code says whether files differ.
        self.tree._run("update-index", "-q", "--refresh")

    def _unlike_index(self) -> list[bytes]:
        options = ("-z", "--name-only", "--ignore-submodules=all")
        return self.tree._git("diff-files", *options).split(b"\0")[:-1]

    def _index_time(self) -> float:
        try:
            return os.stat(os.path.join(self.tree.git_dir, b"index")).st_mtime
        except FileNotFoundError:
            return 0.0

    @staticmethod
    def _await_second_after(image_made: float) -> None:
        """
        Wait while what setup has built could be as old as what is written now.

        Images keep whole seconds. With equal times, make and others rebuild nothing.
        """
        now = time.time()
        if int(now) == int(image_made):
            time.sleep(1 - now % 1)


def _report_progress(
    command: list[str | bytes], cwd: bytes, env: dict[bytes, bytes]
) -> subprocess.CompletedProcess[bytes]:
    """
    Run a checkout of git, and write how many files there are, now and then, as git says it.
    """
    said = b""
    with subprocess.Popen(
        command,
        cwd=cwd,
        env=env,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
    ) as process:
        assert process.stderr is not None
        rest = b""
        while True:
            piece = os.read(process.stderr.fileno(), 4096)
            *lines, rest = (rest + piece).replace(b"\r", b"\n").split(b"\n")
            for line in [*lines, *([] if piece else [rest])]:
                # `Updating files:  12% (4608/38402)`; `Checking out files:` before 2.24.
                done, slash, total = line.partition(b"(")[2].partition(b")")[0].partition(b"/")
                if slash and b" files: " in line and done.isdigit() and total.isdigit():
                    sys.stderr.write(f"checked out {int(done)} of {int(total)} files\n")
                    sys.stderr.flush()
                else:
                    said = (said + line + b"\n")[-SAID:]
            if not piece:
                break
    return subprocess.CompletedProcess(command, process.returncode, b"", said)


def trust(tree: Tree, plan: dict[str, Any]) -> None:
    """
    Let every user of the workspace use git in the project, which belongs to root.

    The system's configuration is the only one that users without a home directory have,
    and that leaves the user's own alone.
    """
    wanted = [tree.path, os.path.join(tree.path, b".git")]
    waiting = [(tree.path, each) for each in plan["submodules"]]
    for place, module in waiting:
        path = os.path.join(place, raw(module["path"]))
        wanted.append(path)
        waiting += [(path, each) for each in module["submodules"]]
    system = os.environb.get(b"GIT_CONFIG_SYSTEM")
    more = {b"GIT_CONFIG_SYSTEM": system} if system else {}
    option = ("config", "--system")
    listed = tree._run(*option, "-z", "--get-all", "safe.directory", more=more)
    known = set(listed.stdout.split(b"\0"))
    for path in wanted:
        # Where this is not possible, as in a read-only directory, git itself says what to do.
        if path not in known and b"*" not in known:
            tree._run(*option, "--add", "safe.directory", path, more=more)


def _above(reference: bytes) -> list[bytes]:
    """
    Return the names of references that cannot exist beside the tag *reference*.
    """
    parts = reference.split(b"/")
    return [b"/".join(parts[:count]) for count in range(3, len(parts))]


def raw(text: str) -> bytes:
    """
    Return the bytes of a path or name in the plan.
    """
    return text.encode("utf-8", "surrogateescape")


def read(path: bytes) -> bytes:
    """
    Return the content of a file; empty if there is no file.
    """
    try:
        with open(path, "rb") as file:
            return file.read()
    except (FileNotFoundError, IsADirectoryError):
        return b""


def write(path: bytes, data: bytes) -> None:
    """
    Write *data* to the file *path*.
    """
    with open(path, "wb") as file:
        file.write(data)


def remove(path: bytes) -> None:
    """
    Remove the file, link or directory at *path*, if it exists.
    """
    if os.path.isdir(path) and not os.path.islink(path):
        shutil.rmtree(path)
    elif os.path.lexists(path):
        os.unlink(path)


def main(arguments: list[str]) -> int:
    """
    Apply the projection beside this file, and return the exit code.
    """
    source = os.path.dirname(os.path.abspath(os.fsencode(__file__)))
    # Whatever the umask of the image, files get the same modes as in a clone.
    os.umask(0o022)
    try:
        plan = json.loads(read(os.path.join(source, b"plan.json")) or b"null")
        if plan is None:
            raise Failure("there is no plan.json beside apply_projection.py: unpack the archive")
        try:
            # The bare repositories may have been unpacked by another user.
            write(os.path.join(source, b".gitconfig"), b"[safe]\n\tdirectory = *\n")
            target = os.path.realpath(os.fsencode(arguments[0] if arguments else plan["target"]))
            tree = Tree(target, os.path.join(target, b".git"), source)
            lost = tree.bring_to(plan, "work", refuses=bool(os.environ.get(REFUSES)))
            if target.startswith(PROJECTS):
                trust(tree, plan)
        finally:
            remove(source)
    except ObjectsMissing:
        return OBJECTS_MISSING
    except Refused as error:
        sys.stdout.write(json.dumps({"refused": str(error)[:REFUSAL]}) + "\n")
        return REFUSED
    except (Failure, OSError) as error:
        sys.stderr.write(f"The commit could not be projected: {error}\n")
        return 1
    if lost:
        names = [path.decode("utf-8", "backslashreplace") for path in lost[:TOLD]]
        sys.stdout.write(json.dumps({"lost": len(lost), "paths": names}) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

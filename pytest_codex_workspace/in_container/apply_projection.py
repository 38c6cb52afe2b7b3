"""Check out a projected commit inside a container, with git and Python 3.8 only.

    python3 -I apply_projection.py [TARGET]

The script reads `plan.json` and the bare repositories beside this file, and then
removes the directory that holds them. The project directory is TARGET, or the one
in the plan. An existing project directory keeps its untracked and ignored files;
tracked files become those of the commit.
"""

# Paths in a repository are bytes, which pathlib does not support.

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys

TYPE_CHECKING = False  # Importing `typing` would cost more than the rest.
if TYPE_CHECKING:
    from typing import Any

__all__ = ["Failure", "Tree", "main"]

OPTIONS = (
    # A setup script may have changed the configuration of the repository;
    # that must not run a program now.
    *("-c", "core.hooksPath=/dev/null"),
    *("-c", "core.fsmonitor=false"),
    *("-c", "filter.lfs.process="),
    *("-c", "filter.lfs.smudge="),
    *("-c", "filter.lfs.required=false"),
    *("-c", "submodule.recurse=false"),
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
LEFT_OVER = (b"FETCH_HEAD", b"ORIG_HEAD")


class Failure(Exception):
    """
    An error that is shown to the user without a traceback.
    """


class Tree:
    """
    A work tree, its git directory, and the directory of bare repositories.
    """

    def __init__(self, path: bytes, git_dir: bytes, source: bytes) -> None:
        self.path = path
        self.git_dir = git_dir
        self.source = source

    def bring_to(self, plan: dict[str, Any], *branch: str) -> None:
        """
        Check out the commit of the plan, submodules included.
        """
        os.makedirs(self.path, exist_ok=True)
        bare = os.path.join(self.source, plan["repository"].encode())
        if os.path.exists(os.path.join(self.git_dir, b"HEAD")):
            # Locks remain if git was killed when the image was committed.
            for lock in LOCKS:
                remove(os.path.join(self.git_dir, lock))
            self._fetch(bare, plan["head"])
        else:
            self._create(bare, plan["object_format"])
        modules = plan["submodules"]
        aside = self._clear_submodules({raw(each["path"]): raw(each["name"]) for each in modules})
        self._git("checkout", "--quiet", "--force", *branch, plan["head"])
        for module in modules:
            self._submodule(module, aside.get(raw(module["name"])))
        for name in LEFT_OVER:
            remove(os.path.join(self.git_dir, name))

    def _create(self, bare: bytes, object_format: str) -> None:
        """
        Create a repository and move the objects into it.
        """
        os.makedirs(self.git_dir, exist_ok=True)
        options = [] if object_format == "sha1" else ["--object-format=" + object_format]
        self._git("init", "--quiet", "--template=", *options)
        for name in (b"hooks", b"info"):
            os.makedirs(os.path.join(self.git_dir, name), exist_ok=True)
        packs = os.path.join(bare, b"objects", b"pack")
        for name in os.listdir(packs):
            shutil.move(
                os.fsdecode(os.path.join(packs, name)),
                os.fsdecode(os.path.join(self.git_dir, b"objects", b"pack", name)),
            )
        boundary = read(os.path.join(bare, b"shallow"))
        if boundary:
            write(os.path.join(self.git_dir, b"shallow"), boundary)

    def _fetch(self, bare: bytes, head: str) -> None:
        """
        Fetch missing objects, including history that a shallow clone lacked.
        """
        mine = read(os.path.join(self.git_dir, b"shallow"))
        deepen = []
        if mine != read(os.path.join(bare, b"shallow")):
            deepen = ["--unshallow"] if mine else []
        elif not self._run("cat-file", "-e", head + "^{commit}").returncode:
            return
        options = ("--quiet", "--no-tags", "--update-shallow", *deepen)
        self._git("fetch", *options, bare, "refs/heads/work")

    def _clear_submodules(self, wanted: dict[bytes, bytes]) -> dict[bytes, bytes]:
        """
        Remove the work trees of removed submodules, which git would leave.

        A submodule that has moved is kept with its ignored files. The result has
        the temporary paths of moved submodules by name.
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
            remove(place)
            if not name.startswith(b".."):
                remove(os.path.join(modules, name))
                self._run("config", "--remove-section", b"submodule." + name)
        return aside

    def _submodule(self, plan: dict[str, Any], aside: bytes | None) -> None:
        """
        Check out a submodule like `git submodule update --init`, but without a URL.
        """
        name = raw(plan["name"])
        place = os.path.join(self.path, raw(plan["path"]))
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
        child.bring_to(plan, "--detach")
        link_to = b"gitdir: " + os.path.relpath(child.git_dir, place) + b"\n"
        if aside is not None or read(link) != link_to:
            remove(link)
            write(link, link_to)
            child._git("config", "core.worktree", os.path.relpath(place, child.git_dir))
            self._git("config", b"submodule." + name + b".active", "true")

    def _git(self, *args: str | bytes) -> bytes:
        """
        Run git, check that it succeeds, and return its output.
        """
        done = self._run(*args)
        if done.returncode:
            said = done.stderr.decode("utf-8", "replace").strip()
            where = self.path.decode("utf-8", "backslashreplace")
            raise Failure(f"git {os.fsdecode(args[0])} in {where} failed: {said}")
        return done.stdout

    def _run(self, *args: str | bytes) -> subprocess.CompletedProcess[bytes]:
        """
        Run git with the configuration of the repository only.
        """
        kept = {name: value for name, value in os.environb.items() if name[:4] != b"GIT_"}
        home = self.source
        environment = {
            **kept,
            b"GIT_CONFIG_GLOBAL": os.path.join(home, b".gitconfig"),
            b"GIT_CONFIG_NOSYSTEM": b"1",
            b"GIT_DEFAULT_REF_FORMAT": b"files",
            b"GIT_DIR": self.git_dir,
            b"GIT_TERMINAL_PROMPT": b"0",
            b"GIT_WORK_TREE": self.path,
            b"HOME": home,
            b"LC_ALL": b"C",
            b"XDG_CONFIG_HOME": home,
        }
        try:
            return subprocess.run(
                ["git", *OPTIONS, *args],
                check=False,
                cwd=self.path,
                env=environment,
                stdin=subprocess.DEVNULL,
                capture_output=True,
            )
        except FileNotFoundError:
            raise Failure("git is not installed in the image: add it to the base image") from None


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
            tree.bring_to(plan, "-B", "work")
        finally:
            remove(source)
    except (Failure, OSError) as error:
        sys.stderr.write(f"The commit could not be projected: {error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

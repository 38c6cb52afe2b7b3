"""Says how the files of a git work tree differ from a commit. The host sends it.

Git is asked with an index, objects and a configuration of its own, so that nothing of the
repository changes and no option of it changes how a difference is written. What the program prints
is not trusted: the commands that ran in the workspace may have replaced anything that it runs.
"""

from __future__ import annotations

import json
import os
import stat
import subprocess
import sys
import tempfile

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from typing import Any

__all__ = ["Difference", "GitFailure", "Trees", "main", "patch", "report"]

MOST_CHANGES = 10000
MOST_TEXT = 4 << 20
LARGEST_TEXT = 1 << 20
MOST_READ = 16 << 20
MOST_PACKED = 20
MOST_NAMES = 64 << 20
MOST_SUBMODULES = 1000
_SUBMODULE = "160000"
_NEXT = b"\ndiff --git "
_KINDS = {"A": "added", "D": "removed"}
_SETTINGS = (
    *("-c", "core.fsmonitor=false", "-c", "core.hooksPath=/dev/null", "-c", "core.safecrlf=false"),
    *("-c", "core.sparseCheckout=false", "-c", "core.splitIndex=false", "-c", "index.sparse=false"),
    *("-c", "core.looseCompression=0"),
)


class GitFailure(Exception):
    """
    Git cannot say it.
    """


class Difference:
    """
    One file that differs.

    Attributes:
        name: its path in its own repository, as bytes.
        path: the same from the top of the work tree.
        kind: `added`, `changed` or `removed`.
        pieces: how many pieces of a patch are about it: two where a file becomes a link.
    """

    def __init__(self, name: bytes, path: bytes, status: str) -> None:
        self.name = name
        self.path = path
        self.kind = _KINDS.get(status, "changed")
        self.pieces = 2 if status == "T" else 1


class Trees:
    """
    One repository: a commit and its work tree.

    Args:
        top: the directory of the work tree.
        prefix: what the paths of this repository begin with: a submodule has its own.
        commit: the commit to compare with.
        scratch: an empty directory.
    """

    def __init__(self, top: bytes, prefix: bytes, commit: str, scratch: str) -> None:
        self._top = top
        self._prefix = prefix
        self._commit = commit
        self._scratch = scratch
        self._git_dir = os.path.join(scratch, "git")
        objects = os.path.join(scratch, "objects")
        os.mkdir(objects)
        own = self._ask("rev-parse", "--git-path", "objects").rstrip(b"\n")
        own = os.path.join(top, own)
        self._alternates = b":".join([own, objects.encode()])
        self._objects = {
            "GIT_OBJECT_DIRECTORY": objects,
            "GIT_ALTERNATE_OBJECT_DIRECTORIES": os.fsdecode(own),
        }
        self.submodules: list[tuple[bytes, str]] = []
        self._base = self._ask("rev-parse", "--verify", commit + "^{tree}").decode().strip()
        self._begin_git_dir()
        self._read_files("names")

    def differences(self, index: str = "names") -> list[Difference]:
        """
        Return what differs, sorted by path. A submodule has its own differences.
        """
        options = ("--raw", "-z", "--no-renames", "--no-abbrev")
        said, cut = self._compare(index, options, MOST_NAMES)
        if cut:
            raise GitFailure("more files differ than can be listed")
        inner = {name for name, _ in self.submodules}
        found = []
        parts = iter(said.split(b"\0"))
        for about in parts:
            name = next(parts, b"")
            if about.startswith(b":") and name not in inner:
                status = about[-1:].decode("ascii", "replace")
                found.append(Difference(name, self._prefix + name, status))
        return found

    def patches(
        self, wanted: Sequence[Difference], *, binary: bool, most: int
    ) -> tuple[dict[bytes, bytes], bool]:
        """
        Return the patch of each file by its path, and whether there are more than *most* bytes. A
        file in whose middle it ends has none.
        """
        # Objects are made of these only. Git would touch those that the repository has, too, and a
        # container would copy them for that.
        self._ask("read-tree", self._commit, variables=self._with("contents"))
        self._update("contents", [one.name for one in wanted], "--force-remove")
        added = [one.name for one in wanted if one.kind != "removed"]
        self._update("contents", added, "--add")
        found = self.differences("contents")
        whole, cut = self._patch(("--binary",) if binary else (), most)
        if cut:
            whole = whole[: whole.rfind(_NEXT) + 1]
        # No line of a file's content begins like this.
        parts = [_NEXT[1:] + one + b"\n" for one in (b"\n" + whole[:-1]).split(_NEXT)[1:]]
        texts = {}
        for one in found:
            own, parts = parts[: one.pieces], parts[one.pieces :]
            if len(own) == one.pieces:
                texts[one.path] = b"".join(own)
        return texts, cut

    def as_binary(self, one: Difference, most: int) -> tuple[bytes, bool]:
        """
        Return the patch of a file of the last `patches`, written as if it were no text.
        """
        attributes = os.path.join(self._git_dir, "info", "attributes")
        with open(attributes, "w", encoding="ascii") as file:
            file.write("* -diff\n")
        try:
            return self._patch(("--binary", b":(literal)" + one.name), most)
        finally:
            os.unlink(attributes)

    def _patch(self, words: Sequence[str | bytes], most: int) -> tuple[bytes, bool]:
        options = ["-p", "--full-index", "--no-renames"]
        options += [f"--src-prefix=a/{os.fsdecode(self._prefix)}"]
        options += [f"--dst-prefix=b/{os.fsdecode(self._prefix)}"]
        # Those of submodules are asked there.
        inner = [b":(exclude,literal)" + name for name, _ in self.submodules]
        flags = [one for one in words if isinstance(one, str)]
        names = [one for one in words if isinstance(one, bytes)] or inner
        return self._compare("contents", [*options, *flags], most, names)

    def _compare(
        self, index: str, options: Sequence[str], most: int, names: Sequence[bytes] = ()
    ) -> tuple[bytes, bool]:
        # A repository without work tree: the attributes of the files name no program here.
        variables = {
            "GIT_INDEX_FILE": os.path.join(self._scratch, index),
            "GIT_DIR": self._git_dir,
            "GIT_ALTERNATE_OBJECT_DIRECTORIES": os.fsdecode(self._alternates),
            "GIT_CONFIG_GLOBAL": "/dev/null",
            "GIT_CONFIG_NOSYSTEM": "1",
            "HOME": "/nonexistent",
        }
        words: list[str | bytes] = ["git", "diff-index", "--cached", *options, self._base, "--"]
        words += names
        return _run(words, self._git_dir, variables, most=most)

    def _begin_git_dir(self) -> None:
        kind = "sha256" if len(self._base) == 64 else "sha1"
        os.makedirs(os.path.join(self._git_dir, "info"))
        for name in ("objects", "refs"):
            os.mkdir(os.path.join(self._git_dir, name))
        with open(os.path.join(self._git_dir, "HEAD"), "w", encoding="ascii") as file:
            file.write("ref: refs/heads/none\n")
        with open(os.path.join(self._git_dir, "config"), "w", encoding="ascii") as file:
            file.write("[core]\n\tbare = true\n\trepositoryformatversion = 1\n")
            file.write(f"[extensions]\n\tobjectformat = {kind}\n" if kind == "sha256" else "")

    def _read_files(self, index: str) -> None:
        """
        Make an index of the files in the work tree: those of the commit, those that git tracks now,
        and those that are new and not ignored. What the repository's index says does not count.
        """
        variables = self._with(index)
        known = self._ask("ls-files", "--stage", "-z").split(b"\0")
        tracked = {line.partition(b"\t")[2] for line in known if line}
        self._ask("read-tree", self._commit, variables=variables)
        listed = self._ask("ls-files", "--stage", "-z", variables=variables).split(b"\0")
        for line in listed:
            about, _, name = line.partition(b"\t")
            if about.startswith(_SUBMODULE.encode()) and len(self.submodules) < MOST_SUBMODULES:
                commit = about.split()[1].decode("ascii", "replace")
                # One that was not projected is an empty directory.
                if os.path.lexists(os.path.join(self._top, name, b".git")):
                    self.submodules.append((name, commit))
            if name:
                tracked.add(name)
        inner = {name for name, _ in self.submodules}
        new = self._ask("ls-files", "--others", "--exclude-standard", "-z", variables=variables)
        # A repository in the work tree ends with a slash; git follows it no more than we do.
        tracked.update(name for name in new.split(b"\0") if name and not name.endswith(b"/"))
        present, gone = self._sorted_out(tracked - inner)
        self._update(index, gone, "--force-remove")
        self._update(index, present, "--add", "--info-only")

    def _sorted_out(self, names: Iterable[bytes]) -> tuple[list[bytes], list[bytes]]:
        """
        Return which files can be added, and which are no longer there: not behind a link either.
        """
        present: list[bytes] = []
        gone: list[bytes] = []
        folders: dict[bytes, bool] = {b"": True}
        for name in sorted(names):
            try:
                mode = os.lstat(os.path.join(self._top, name)).st_mode
            except OSError:
                mode = 0
            is_file = stat.S_ISREG(mode) or stat.S_ISLNK(mode)
            there = is_file and self._is_folder(os.path.dirname(name), folders)
            # An empty directory is what stands for a submodule that is not there.
            if not there and stat.S_ISDIR(mode) and not os.listdir(os.path.join(self._top, name)):
                continue
            (present if there else gone).append(name)
        return present, gone

    def _is_folder(self, name: bytes, known: dict[bytes, bool]) -> bool:
        if name not in known:
            try:
                mode = os.lstat(os.path.join(self._top, name)).st_mode
            except OSError:
                mode = 0
            known[name] = stat.S_ISDIR(mode) and self._is_folder(os.path.dirname(name), known)
        return known[name]

    def _update(self, index: str, names: Sequence[bytes], *options: str) -> None:
        if names:
            given = b"\0".join(names) + b"\0"
            words = ("update-index", *options, "--replace", "-z", "--stdin")
            self._ask(*words, given=given, variables=self._with(index))

    def _with(self, index: str) -> dict[str, str]:
        return {"GIT_INDEX_FILE": os.path.join(self._scratch, index), **self._objects}

    def _ask(
        self, *words: str, given: bytes = b"", variables: dict[str, str] | None = None
    ) -> bytes:
        said, cut = _run(
            ["git", *_SETTINGS, *words],
            self._top,
            {"GIT_WORK_TREE": os.fsdecode(self._top), **(variables or {})},
            given=given,
            most=MOST_NAMES,
        )
        if cut:
            raise GitFailure("the repository has more files than can be listed")
        return said


def _run(
    words: Sequence[str | bytes],
    cwd: str | bytes,
    variables: dict[str, str],
    *,
    most: int,
    given: bytes = b"",
) -> tuple[bytes, bool]:
    """
    Return the first bytes that a program prints, and whether there are more.
    """
    kept = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    kept.update(variables, GIT_OPTIONAL_LOCKS="0", GIT_TERMINAL_PROMPT="0", LC_ALL="C")
    with tempfile.TemporaryFile() as errors, tempfile.TemporaryFile() as source:
        source.write(given)
        source.seek(0)
        program = subprocess.Popen(
            words, cwd=cwd, env=kept, stdin=source, stdout=subprocess.PIPE, stderr=errors
        )
        assert program.stdout is not None
        with program.stdout:
            said = program.stdout.read(most + 1)
            if len(said) > most:
                program.kill()
        code = program.wait()
        if code and len(said) <= most:
            errors.seek(0)
            raise GitFailure(errors.read(4096).decode("utf-8", "replace").strip() or f"exit {code}")
    return said[:most], len(said) > most


def _repositories(top: bytes, commit: str, scratch: str) -> Iterator[Trees]:
    """
    Yield the repository and its submodules, recursively.
    """
    waiting = [(top, b"", commit)]
    number = 0
    while waiting and number < MOST_SUBMODULES:
        where, prefix, at = waiting.pop(0)
        number += 1
        own = os.path.join(scratch, str(number))
        os.mkdir(own)
        trees = Trees(where, prefix, at, own)
        yield trees
        for name, inner in trees.submodules:
            waiting.append((os.path.join(where, name), prefix + name + b"/", inner))


def report(top: bytes, commit: str, scratch: str) -> dict[str, Any]:
    """
    Return the changes, each with its path, kind, size, and patch if it is text.
    """
    listed: list[list[Any]] = []
    more, left, cut = 0, MOST_TEXT, False
    for trees in _repositories(top, commit, scratch):
        found = trees.differences()
        more += max(0, len(listed) + len(found) - MOST_CHANGES)
        found = found[: MOST_CHANGES - len(listed)]
        sizes = {one.path: _size(top, one) for one in found}
        texts = [one for one in found if _is_text(top, one)]
        wanted, unread = [], MOST_READ
        for one in texts:
            if sizes[one.path] <= min(LARGEST_TEXT, unread):
                unread -= sizes[one.path]
                wanted.append(one)
        cut = cut or len(wanted) < len(texts)
        shown, was_cut = trees.patches(wanted, binary=False, most=left) if wanted else ({}, False)
        cut = cut or was_cut
        for one in found:
            text = shown.get(one.path, b"")
            left -= len(text)
            if len(text) > LARGEST_TEXT:
                text, cut = b"", True
            said = text.decode("utf-8", "replace")
            listed.append([os.fsdecode(one.path), one.kind, sizes[one.path], said])
    return {"changes": sorted(listed), "more": more, "cut": cut}


def _size(top: bytes, one: Difference) -> int:
    try:
        return 0 if one.kind == "removed" else os.lstat(os.path.join(top, one.path)).st_size
    except OSError:
        return 0


def _is_text(top: bytes, one: Difference) -> bool:
    """
    Return whether git takes the file for text, as far as that is known without its old content.
    """
    path = os.path.join(top, one.path)
    if one.kind == "removed" or os.path.islink(path):
        return True
    try:
        number = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
        with open(number, "rb") as file:
            return b"\0" not in file.read(8000)
    except OSError:
        return False


def patch(top: bytes, commit: str, scratch: str, most: int) -> bytes:
    """
    Return what `git apply` takes, as UTF-8: a file in another encoding is written as binary.
    """
    made: list[bytes] = []
    for trees in _repositories(top, commit, scratch):
        found = trees.differences()
        if not found:
            continue
        if sum(_size(top, one) for one in found) > MOST_PACKED * most:
            raise GitFailure("the patch is too large")
        texts, cut = trees.patches(found, binary=True, most=most)
        for one in found:
            piece = texts.get(one.path, b"")
            try:
                piece.decode("utf-8")
            except UnicodeDecodeError:
                piece, cut = trees.as_binary(one, most)
            made.append(piece)
            most -= len(piece)
            if cut or most < 0:
                raise GitFailure("the patch is too large")
    return b"".join(made)


def main(words: Sequence[str]) -> int:
    """
    Print what the first word asks for. The others are the directory, the commit, and for a patch
    the largest number of bytes.
    """
    top = os.fsencode(words[1])
    try:
        with tempfile.TemporaryDirectory(prefix="codex-changes-") as scratch:
            if words[0] == "patch":
                sys.stdout.buffer.write(patch(top, words[2], scratch, int(words[3])))
            else:
                json.dump(report(top, words[2], scratch), sys.stdout)
    except (GitFailure, OSError) as error:
        sys.stderr.write(str(error))
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

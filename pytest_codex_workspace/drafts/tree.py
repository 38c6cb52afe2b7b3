"""The files of a work tree that a draft is made from."""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path, PurePosixPath
from typing import Any

from ..checks.documents import json_of, toml_of
from ..errors import ProjectionError
from ..projection.git import git, reading_environment, run_git

__all__ = ["ProjectFiles", "find_top", "work_tree"]

_LARGEST = 1 << 20
_DEEPEST = 3
_MOST = 10
_TIMEOUT = 60.0
_VERSION = re.compile(r"\d+(?:\.\d+)+")
_OTHERS = frozenset(
    (
        *("node_modules", "vendor", "third_party", "site-packages", "docs", "doc"),
        *("test", "tests", "testdata", "fixtures", "__fixtures__", "spec"),
        *("example", "examples", "sample", "samples", "demo", "demos", "template", "templates"),
    )
)
"""Folders whose lock files belong to something else."""


class ProjectFiles:
    """
    The files of a work tree that are committed or could be.

    Args:
        files: their paths from its top.
        read: returns the text of a file; empty if it cannot be read.
        version: that of the last tag; empty if there is none.

    Attributes:
        files: as above, without names that cannot be printed.
        version: as above.
    """

    def __init__(self, files: Iterable[str], read: Callable[[str], str], version: str = "") -> None:
        self.version = version
        # A name becomes a part of a script and of its comments.
        self.files = frozenset(one for one in files if one.isprintable())
        self._read = read
        self._texts: dict[str, str] = {}

    def __contains__(self, path: str) -> bool:
        return path in self.files

    def text(self, path: str) -> str:
        """
        Return the text of a file, at most its first MiB; empty if there is none.
        """
        if path not in self.files:
            return ""
        if path not in self._texts:
            self._texts[path] = self._read(path)
        return self._texts[path]

    def json(self, path: str) -> Mapping[str, Any]:
        """
        Return the object in a JSON file; empty if there is none.
        """
        return json_of(self.text(path))

    def toml(self, path: str) -> Mapping[str, Any]:
        """
        Return the table in a TOML file; empty if there is none.
        """
        return toml_of(self.text(path))

    def folders_with(self, *names: str) -> list[str]:
        """
        Return the folders that have a file of one of these names, the top as an empty text: the
        shallowest first, at most ten, without those of tests and examples.
        """
        found = set()
        for path in self.files:
            folder, _, name = path.rpartition("/")
            parts = folder.split("/") if folder else []
            if name in names and len(parts) <= _DEEPEST and _OTHERS.isdisjoint(parts):
                found.add(folder)
        return sorted(found, key=lambda one: (one.count("/") + bool(one), one))[:_MOST]

    def in_folder(self, folder: str) -> list[str]:
        """
        Return the names of the files in a folder, sorted.
        """
        prefix = f"{folder}/" if folder else ""
        rest = (one[len(prefix) :] for one in self.files if one.startswith(prefix))
        return sorted(one for one in rest if "/" not in one)


def find_top(path: str | Path, environ: Mapping[str, str]) -> Path:
    """
    Return the top level of the work tree that contains *path*.

    Raises:
        ProjectionError: there is none.
    """
    directory = Path(path).expanduser()
    if not directory.is_dir():
        raise ProjectionError(f"{directory} is not a directory", remedy="Give that of a git clone.")
    env = reading_environment(environ)
    found = git("rev-parse", "--show-toplevel", cwd=directory, env=env, timeout=_TIMEOUT)
    return Path(os.fsdecode(found).removesuffix("\n"))


def work_tree(top: Path, environ: Mapping[str, str]) -> ProjectFiles:
    """
    Return the files of a work tree that git knows, or that it does not ignore.

    Raises:
        ProjectionError: git failed.
    """
    env = reading_environment(environ)

    def listed(*options: str) -> set[str]:
        found = git("ls-files", "-z", *options, cwd=top, env=env, timeout=_TIMEOUT)
        return {os.fsdecode(one) for one in found.split(b"\0") if one}

    files = listed("--cached", "--others", "--exclude-standard") - listed("--deleted")
    described = run_git("describe", "--tags", "--abbrev=0", cwd=top, env=env, timeout=_TIMEOUT)
    found = _VERSION.search(os.fsdecode(described.stdout)) if not described.code else None
    return ProjectFiles(files, lambda path: _read(top, path), found[0] if found else "")


def _read(top: Path, path: str) -> str:
    """
    Read a regular file of the tree, and nothing that a link leads to.
    """
    folder = PurePosixPath(path).parent
    try:
        if (top / folder).resolve(strict=True) != top.resolve() / folder:
            return ""
        flags = os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC
        with os.fdopen(os.open(top / path, flags), "rb") as file:
            if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                return ""
            return file.read(_LARGEST).decode("utf-8", "replace")
    except (OSError, RuntimeError):  # Of a circle of links.
        return ""

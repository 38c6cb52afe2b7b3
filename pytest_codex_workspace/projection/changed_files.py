"""Which files that a setup depends on have changed between two commits."""

from __future__ import annotations

import os
import re
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING

from ..codex import SCRIPTS
from ..errors import ProjectionError
from .git import git, inside, is_commit_id, reading_environment

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from .repository import RepositorySnapshot

__all__ = ["NamedFiles", "changed_dependencies", "declares_dependencies"]

_TIMEOUT = 5.0
_SCRIPT_LIMIT = 1 << 20
_SCRIPT_FILES = 50
_LONGEST = 4096
"""Characters of a path, as far as Linux opens it."""

_DEEPEST = 16
_MOST_PATTERNS = 50
_LONGEST_PATTERN = 200
_WORDS = re.compile(r"[^\s'\"`;|&()<>{}=,:$#!\\]+")

_DECLARATIONS = (
    # Versions of runtimes
    *(".nvmrc", ".node-version", ".python-version", ".ruby-version", ".java-version"),
    *(".go-version", ".tool-versions", ".sdkmanrc", "mise.toml", ".mise.toml"),
    *("rust-toolchain", "rust-toolchain.toml", "global.json"),
    # JavaScript
    *("package.json", "package-lock.json", "npm-shrinkwrap.json", "yarn.lock", "pnpm-lock.yaml"),
    *("pnpm-workspace.yaml", "bun.lock", "bun.lockb", "deno.lock", ".yarnrc.yml", ".npmrc"),
    # Python
    *("pyproject.toml", "setup.py", "setup.cfg", "poetry.lock", "uv.lock", "pdm.lock"),
    *("Pipfile", "Pipfile.lock", "pylock.toml", "pylock.*.toml", "environment.y*ml"),
    *("requirements*.txt", "requirements*.in", "constraints*.txt", "*requirements.txt"),
    # Others
    *("Cargo.toml", "Cargo.lock", "go.mod", "go.sum", "go.work", "go.work.sum"),
    *("Gemfile", "Gemfile.lock", "*.gemspec", "composer.json", "composer.lock"),
    *("pom.xml", "build.gradle", "build.gradle.kts", "settings.gradle", "settings.gradle.kts"),
    *("gradle.lockfile", "libs.versions.toml", "gradle-wrapper.properties"),
    *("Package.swift", "Package.resolved", "Podfile.lock", "mix.exs", "mix.lock"),
    *("pubspec.yaml", "pubspec.lock", "packages.lock.json", "flake.lock", "conanfile.*"),
)
"""Names of files that say which packages or runtimes are installed."""

_NAMES = frozenset(one for one in _DECLARATIONS if "*" not in one)
_PATTERNS = [one for one in _DECLARATIONS if "*" in one]

_FOLDERS = ("requirements/*.txt", "requirements/*.in")


def changed_dependencies(
    snapshot: RepositorySnapshot,
    since: str,
    environ: Mapping[str, str],
    *,
    scripts: Iterable[bytes] = (),
) -> list[str] | None:
    """
    Return the files that have changed between a commit and that of *snapshot*, and that its
    scripts name or that say which packages are installed.

    Args:
        snapshot: the repository at the newer commit.
        since: id of the other commit. It may be anybody's text.
        environ: environment for git.
        scripts: the texts of scripts that are not in the repository, beside its own.

    Returns:
        Paths; `None` if it is not known, such as for a commit that this clone does not have.
    """
    if not is_commit_id(since):
        return None  # git would take `--output=FILE` for an option.
    env = reading_environment(environ)
    try:
        listed = git(
            *(*inside(snapshot.git_dir), "diff-tree", "-r", "-z", "--name-only", "--no-renames"),
            *(f"{since}^{{commit}}", snapshot.head),
            env=env,
            timeout=_TIMEOUT,
        )
        changed = [name for name in os.fsdecode(listed).split("\0") if name]
        if not changed:
            return []
        words = _words_of_scripts(snapshot, env)
        words.update(word for text in scripts for word in _words_of(text))
        named = NamedFiles(words)
    except ProjectionError:
        return None
    return [name for name in changed if declares_dependencies(name) or name in named]


def declares_dependencies(path: str) -> bool:
    """
    Return whether a file of this name says which packages or runtimes are installed.
    """
    name = path.rpartition("/")[2]
    return (
        name in _NAMES
        or any(fnmatchcase(name, one) for one in _PATTERNS)
        or any(fnmatchcase(path, one) or fnmatchcase(path, f"*/{one}") for one in _FOLDERS)
    )


class NamedFiles:
    """
    The files that the words of scripts name: as they are, seen from a directory above or below the
    top of the repository, or with a pattern.

    An update may have changed 100,000 files, and scripts may have as many words. So words are
    looked up, and the patterns are few.

    Args:
        words: the words.
    """

    def __init__(self, words: Iterable[str]) -> None:
        names = {word.removeprefix("./").strip("/") for word in words if len(word) <= _LONGEST}
        # A plain word such as `install` is no name of a file in some directory.
        self._below = {name for name in names if "." in name or "/" in name}
        self._above = {end for name in names for end in _ends(name)}
        self._patterns = sorted(name for name in self._below if _is_pattern(name))[:_MOST_PATTERNS]

    def __contains__(self, path: str) -> bool:
        return (
            path in self._above
            or not self._below.isdisjoint(_ends(path))
            or any(fnmatchcase(path, one) for one in self._patterns)
        )


def _ends(path: str) -> Iterator[str]:
    """
    Yield *path* and what is behind each of its last slashes.
    """
    yield path
    parts = path.split("/")[-_DEEPEST:]
    for at in range(1, len(parts)):
        yield "/".join(parts[at:])


def _is_pattern(name: str) -> bool:
    # Of `**/*`, every file would be a member.
    return (
        len(name) <= _LONGEST_PATTERN
        and any(sign in name for sign in "*?[")
        and any(one.isalnum() for one in name)
    )


def _words_of_scripts(snapshot: RepositorySnapshot, env: Mapping[str, str]) -> set[str]:
    """
    Return the words of the scripts, and of what lies beside them.
    """
    listed = git(
        *(*inside(snapshot.git_dir), "ls-tree", "-r", "-z", "--long", "--full-tree"),
        *(snapshot.head, "--", f"{SCRIPTS}/"),
        env=env,
        timeout=_TIMEOUT,
    )
    words: set[str] = set()
    left = _SCRIPT_LIMIT
    for entry in os.fsdecode(listed).split("\0")[:_SCRIPT_FILES]:
        facts = entry.partition("\t")[0].split()
        if len(facts) != 4 or facts[1] != "blob" or not facts[3].isdecimal():
            continue
        left -= int(facts[3])
        if left < 0:
            break
        content = git(*inside(snapshot.git_dir), "cat-file", "blob", facts[2], env=env)
        words.update(_words_of(content))
    return words


def _words_of(script: bytes) -> Iterator[str]:
    for line in script.decode("utf-8", "surrogateescape").splitlines():
        if not line.lstrip().startswith("#"):
            yield from _WORDS.findall(line)

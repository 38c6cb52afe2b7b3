"""Files as they are committed: line ends, modes, and what git stores in another form."""

from __future__ import annotations

import re
from collections.abc import Iterator

from ...text.phrases import counted, first_of
from ..finding import Finding
from ..repository import CheckedRepository
from ..scripts import Script

__all__ = ["not_executable", "stored_otherwise", "windows_line_ends"]

_SHOWN = 5
_POINTER = b"version https://git-lfs.github.com/spec/v1\n"
_SIZES = range(120, 200)
"""Bytes of a pointer. One with extensions has more, and is looked for where git is told of LFS."""

_SIZES_WITH_LFS = range(100, 1024)
_FILTER = re.compile(r"\bfilter=([^\s]+)")


def windows_line_ends(repo: CheckedRepository) -> Iterator[Finding]:
    """
    Find scripts that are committed with Windows line endings.
    """
    for script in _files(repo):
        line = _first_crlf(repo, script)
        if not line:
            continue
        own = script.role in ("setup", "resume")
        yield Finding.of(
            "script-crlf",
            f"{script.path} is committed with CRLF line endings"
            + ("; a workspace runs a copy with LF" if own else ""),
            "Not known for the text of a setup script. Bash takes the carriage return for a part "
            "of each command."
            if own
            else "Linux looks for an interpreter whose name ends in a carriage return, and bash "
            "takes it for a part of each command.",
            "Commit it with LF: add `*.sh text eol=lf` to .gitattributes, then run "
            "git add --renormalize . and git commit.",
            path=script.path,
            line=line,
            level="warning" if own else "error",
        )


def _first_crlf(repo: CheckedRepository, script: Script) -> int:
    text = repo.tree.text(script.path or "")
    at = text.find("\r\n")
    return text.count("\n", 0, at) + 1 if at >= 0 else 0


def _files(repo: CheckedRepository) -> list[Script]:
    return [one for one in repo.scripts if one.mode]


def not_executable(repo: CheckedRepository) -> Iterator[Finding]:
    """
    Find commands that run a file of the commit which is not executable.
    """
    files = repo.tree.files
    seen: set[str] = set()
    if any(
        "chmod" in found.command.words and not {"find", "xargs"}.isdisjoint(found.command.words)
        for _, found in repo.commands()
    ):
        return
    made = {
        word.removeprefix("./")
        for _, found in repo.commands()
        if found.command.name in ("chmod", "install")
        for word in found.command.plain[1:]
    }
    for script, found in repo.commands():
        words = found.command.plain
        if not words or "/" not in words[0] or found.tolerated:
            continue
        path = words[0].removeprefix("./")
        file = files.get(path)
        if file is None or file.mode != "100644" or path in seen or _matches(path, made):
            continue
        seen.add(path)
        yield Finding.of(
            "script-executable",
            f"{path} is run as a program, but is not executable in the commit",
            "The shell answers `Permission denied` (exit code 126).",
            f"Run git update-index --chmod=+x {path} and git commit, or run it with "
            "`bash {path}`.".replace("{path}", path),
            path=script.path,
            line=found.line,
        )


def _matches(path: str, made: set[str]) -> bool:
    folder = path.rpartition("/")[0]
    return path in made or any(
        one.rstrip("/*") in (folder, path.rpartition("/")[2])
        or ("*" in one and one.partition("*")[0] and path.startswith(one.partition("*")[0]))
        for one in made
    )


def stored_otherwise(repo: CheckedRepository) -> Iterator[Finding]:
    """
    Find LFS pointers, and files that are committed through other filters.
    """
    tree = repo.tree
    attributes = [path for path in tree.files if path.rpartition("/")[2] == ".gitattributes"]
    named: dict[str, tuple[str, int]] = {}
    for path, text in tree.texts(attributes):
        for number, line in enumerate(text.splitlines(), 1):
            if not line.lstrip().startswith("#"):
                for name in _FILTER.findall(line):
                    named.setdefault(name, (path, number))
    sizes = _SIZES_WITH_LFS if "lfs" in named else _SIZES
    small = {
        path: file.blob
        for path, file in tree.files.items()
        if file.size in sizes and file.mode != "120000"
    }
    contents = tree.contents(set(small.values()))
    pointers = [path for path, blob in small.items() if contents.get(blob, b"")[:43] == _POINTER]
    if pointers:
        yield Finding.of(
            "git-lfs",
            f"the commit has {counted(len(pointers), 'LFS pointer')}, and the workspace gets the "
            f"pointers instead of the files: {first_of(pointers, _SHOWN)}",
            "Not known whether Codex downloads the files when it clones; afterwards there is no "
            "remote for `git lfs pull`.",
            "Download the files over HTTPS in setup-script.sh (a workspace has no remote for "
            "`git lfs pull`), or commit them without LFS.",
            path=pointers[0],
            line=1,
        )
    for name in sorted(set(named) - {"lfs"}):
        path, number = named[name]
        yield Finding.of(
            "git-filter",
            f".gitattributes names the filter {name}; the workspace gets the files as committed, "
            "without the filter",
            "Codex does not have your git configuration, which defines the filter.",
            "Apply the filter in setup-script.sh, or commit the files without it.",
            path=path,
            line=number,
        )

"""Checks of the repository."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from urllib.parse import urlsplit

from ..config import Config
from ..errors import ProjectionError
from ..git import git, inside, reading_environment, run_git
from ..network.hosts import is_private, literal_address
from ..repository import RepositorySnapshot, open_repository, skips_submodules
from ..settings import FILE, find_file
from .results import Result, advised, counted, error, ok, some, warning

__all__ = [
    "changes",
    "commit",
    "configuration",
    "history",
    "submodule_urls",
    "submodules",
    "without_submodules",
]

_PATIENCE = 5.0

_SCP = re.compile(r"(?:[^/:@]+@)?[^/:]+:(?!//)")
"""`user@host:path`, which is ssh."""

_OF_A_COMPANY = (".internal", ".local", ".lan", ".corp", ".home", ".localdomain", ".localhost")


def without_submodules(path: Path, rev: str, environ: Mapping[str, str]) -> RepositorySnapshot:
    """
    The repository, whatever is wrong with its submodules.

    Raises:
        ProjectionError: it cannot be projected.
    """
    return open_repository(path, rev, environ={**environ, "CODEX_SKIP_SUBMODULES": "1"})


def configuration(config: Config, complaint: str) -> Result:
    """
    What the repository's own file and the environment say of the options.
    """
    if complaint:
        return error(
            complaint, "Mend it there; `codex-workspace config` prints where each value comes from."
        )
    file = find_file(config.repo or ".")
    return ok(f"{FILE} is read" if file else f"no {FILE}")


def commit(snapshot: RepositorySnapshot, environ: Mapping[str, str]) -> Result:
    """
    What is projected.
    """
    env = reading_environment(environ)
    at = run_git(*inside(snapshot.git_dir), "symbolic-ref", "--short", "-q", "HEAD", env=env).stdout
    branch = os.fsdecode(at).strip() or "no branch"
    return ok(f"{snapshot.name} at {snapshot.head[:12]}; HEAD is on {branch}")


def changes(snapshot: RepositorySnapshot, environ: Mapping[str, str]) -> Result:
    """
    What is in the work tree and not in a commit.
    """
    try:
        listed = git(
            *("-c", "core.fsmonitor=false", "status", "--porcelain=v1", "-z", "--no-renames"),
            "--untracked-files=normal",
            cwd=snapshot.path,
            env=reading_environment(environ),
            timeout=_PATIENCE,
        )
    except ProjectionError as problem:
        # A large work tree takes its time, and a workspace needs none of this.
        return replace(advised(problem), status="warning")
    found = [entry for entry in os.fsdecode(listed).split("\0") if entry]
    if not found:
        return ok("all is committed")
    names = [entry[3:] for entry in found]
    new = sum(entry.startswith("??") for entry in found)
    parts = [
        counted(number, noun)
        for number, noun in ((len(found) - new, "uncommitted change"), (new, "untracked file"))
        if number
    ]
    return warning(
        f"{' and '.join(parts)}, which the workspace will not have: {some(names)}",
        "git add and git commit what it is to have.",
    )


def history(snapshot: RepositorySnapshot) -> Result:
    """
    Whether the clone is whole.
    """
    if not snapshot.shallow:
        return ok("the clone is whole")
    return warning(
        "this is a shallow clone: the workspace's history is cut off as well, and the cache is "
        "this clone's alone",
        "git fetch --unshallow, or in CI a checkout of full depth.",
    )


def submodules(path: Path, rev: str, environ: Mapping[str, str]) -> Result:
    """
    Whether each submodule's commit is in the clone.

    Raises:
        ProjectionError: one is not.
    """
    if skips_submodules(environ):
        return ok("CODEX_SKIP_SUBMODULES is set: they are left out")
    found = [one.path for one in open_repository(path, rev, environ=environ).submodules]
    return ok(f"{some(found)}: in the clone" if found else "none")


def submodule_urls(path: Path, rev: str, environ: Mapping[str, str]) -> Result | None:
    """
    Whether real Codex, which has no clone of yours, can fetch them.
    """
    snapshot = without_submodules(path, rev, environ)
    urls = _modules(snapshot.git_dir, snapshot.head, environ)
    if not urls or skips_submodules(environ):
        return None
    env = reading_environment(environ)
    told = run_git(*inside(snapshot.git_dir), "config", "remote.origin.url", env=env)
    origin = os.fsdecode(told.stdout).strip()
    bad = [
        f"{name} ({_shown(url)}: {why})" for name, url in urls if (why := unreachable(url, origin))
    ]
    if not bad:
        return ok(f"{len(urls)}, each of HTTPS")
    return warning(
        f"Codex itself cannot fetch {some(bad)}; here they come from your clone",
        "Give their https:// URLs in .gitmodules, or leave them out with CODEX_SKIP_SUBMODULES=1 "
        "to see what Codex would have.",
    )


def unreachable(url: str, origin: str) -> str | None:
    """
    Why nobody can fetch *url* from inside Codex; `None` if nothing speaks against it.

    Args:
        url: as in `.gitmodules`.
        origin: what a relative one starts at.
    """
    if url.startswith(("./", "../")):
        if not origin:
            return "relative, and the clone has no origin"
        # What is beside it has its scheme and host.
        url = origin
    if url.startswith(("/", "file:")):
        return "a directory of this machine"
    parts = urlsplit(url) if "://" in url else None
    if parts is None:
        return "ssh" if _SCP.match(url) else "no URL"
    if parts.scheme != "https":
        return {"git+ssh": "ssh", "http": "plain HTTP"}.get(parts.scheme, parts.scheme)
    host = (parts.hostname or "").lower()
    literal = literal_address(host)
    if literal is not None:
        return "a private address" if is_private(literal, (), ()) else None
    if "." not in host or host.endswith(_OF_A_COMPANY):
        return "a private host"
    return None


def _shown(url: str) -> str:
    head, at, tail = url.rpartition("@")
    scheme, slashes, _ = head.partition("://")
    return f"{scheme}{slashes}{tail}" if at and slashes else url


def _modules(git_dir: Path, head: str, environ: Mapping[str, str]) -> list[tuple[str, str]]:
    """
    Name and URL of each entry in `.gitmodules` at a commit.
    """
    env = reading_environment(environ)
    content = run_git(*inside(git_dir), "cat-file", "blob", f"{head}:.gitmodules", env=env)
    if content.code:
        return []
    listed = run_git(
        *("config", "--file=-", "-z", "--get-regexp", r"^submodule\..*\.url$"),
        input=content.stdout,
        cwd=git_dir,
        env=env,
    )
    return list(_pairs(os.fsdecode(listed.stdout)))


def _pairs(text: str) -> Iterator[tuple[str, str]]:
    for entry in text.split("\0"):
        key, newline, value = entry.partition("\n")
        if newline:
            yield key.removeprefix("submodule.").removesuffix(".url"), value

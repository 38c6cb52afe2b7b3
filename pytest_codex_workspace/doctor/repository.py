"""Checks of the repository."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from urllib.parse import urlsplit

from ..errors import ConfigError, PolicyError, ProjectionError
from ..network.rules.hosts import is_private, literal_address
from ..options.committed_file import read_committed
from ..options.config import Config
from ..options.sources import FILE
from ..projection.git import inside, reading_environment, run_git
from ..projection.integrity import check_integrity
from ..projection.repository import RepositorySnapshot, open_repository, skips_submodules
from ..projection.work_tree import describe_place, find_changes
from ..text.phrases import counted
from ..text.urls import without_credentials
from .result import Result, error, from_error, ok, some, warning

__all__ = [
    "changes",
    "commit",
    "configuration",
    "history",
    "objects",
    "place",
    "submodule_urls",
    "submodules",
    "without_submodules",
]

_TIMEOUT = 5.0
_OBJECTS_TIMEOUT = 2.0

_SCP = re.compile(r"(?:[^/:@]+@)?[^/:]+:(?!//)")
"""Matches `user@host:path`, which is ssh."""

_PRIVATE_DOMAINS = (".internal", ".local", ".lan", ".corp", ".home", ".localdomain", ".localhost")


def without_submodules(path: Path, rev: str, environ: Mapping[str, str]) -> RepositorySnapshot:
    """
    Open the repository without its submodules, which other checks look at.

    Raises:
        ProjectionError: the repository cannot be projected.
    """
    return open_repository(path, rev, environ={**environ, "CODEX_SKIP_SUBMODULES": "1"})


def configuration(config: Config, problem: ConfigError | PolicyError | None) -> Result:
    """
    Check the options in the repository's file and in the environment.
    """
    if problem is not None:
        result = from_error(problem)
        remedy = "Correct the value; `codex-workspace config` prints the source of each option."
        return result if problem.remedy else error(result.text, remedy)
    if config.repo_config == "ignore":
        return ok(f"{FILE} is ignored")
    if config.notes:
        return warning("; ".join(config.notes), "Commit the file, or restore it with git.")
    file = read_committed(config.repo or ".", config.rev, os.environ)
    return ok(f"{FILE} is valid" if file and file.path else f"no {FILE}")


def commit(snapshot: RepositorySnapshot, environ: Mapping[str, str]) -> Result:
    """
    Report the commit that is projected.
    """
    env = reading_environment(environ)
    at = run_git(*inside(snapshot.git_dir), "symbolic-ref", "--short", "-q", "HEAD", env=env).stdout
    branch = os.fsdecode(at).strip() or "no branch"
    return ok(f"{snapshot.name} at {snapshot.head[:12]}; HEAD is on {branch}")


def place(path: Path, snapshot: RepositorySnapshot) -> Result | None:
    """
    Check whether the directory that the user named is the top of a repository.
    """
    text = describe_place(path.expanduser().resolve(), snapshot.path)
    if not text:
        return None
    return warning(text, f"Give {snapshot.path}, and keep scripts and options at its top.")


def changes(snapshot: RepositorySnapshot, environ: Mapping[str, str]) -> Result:
    """
    Check for changes in the work tree that are not committed.
    """
    try:
        found = find_changes(snapshot.path, environ, timeout=_TIMEOUT)
    except ProjectionError as problem:
        # The check is slow for a large work tree, but a workspace does not need it.
        return replace(from_error(problem), status="warning")
    parts = [
        counted(len(names), noun)
        for names, noun in (
            (found.changed, "uncommitted change"),
            (found.untracked, "untracked file"),
        )
        if names
    ]
    if not parts:
        return ok("everything is committed")
    return warning(
        f"{' and '.join(parts)}, not included in the workspace: "
        f"{some([*found.changed, *found.untracked])}",
        "Run git add and git commit for the files that the workspace needs.",
    )


def objects(snapshot: RepositorySnapshot, environ: Mapping[str, str]) -> Result:
    """
    Check that all objects of the commit and its history are in the clone, and those of its
    submodules.

    Raises:
        ProjectionError: objects are missing.
    """
    whole = snapshot
    with suppress(ProjectionError):  # Another check reports a missing submodule.
        whole = open_repository(snapshot.path, snapshot.head, environ=environ)
    try:
        check_integrity(whole, environ, timeout=_OBJECTS_TIMEOUT)
    except TimeoutError:
        return ok(f"none missing, as far as {_OBJECTS_TIMEOUT:g} s were enough to look")
    return ok("none missing")


def history(snapshot: RepositorySnapshot) -> Result:
    """
    Check that the clone has the whole history.
    """
    if not snapshot.shallow:
        return ok("not shallow")
    return warning(
        "this is a shallow clone: the workspace has the same incomplete history, and no other "
        "clone can use its cache",
        "Run git fetch --unshallow; in CI, check out the full history.",
    )


def submodules(path: Path, rev: str, environ: Mapping[str, str]) -> Result:
    """
    Check that the commit of each submodule is in the clone.

    Raises:
        ProjectionError: a commit is missing.
    """
    if skips_submodules(environ):
        return ok("skipped, because CODEX_SKIP_SUBMODULES is set")
    found = [one.path for one in open_repository(path, rev, environ=environ).submodules]
    return ok(f"in the clone: {some(found)}" if found else "none")


def submodule_urls(path: Path, rev: str, environ: Mapping[str, str]) -> Result | None:
    """
    Check that real Codex, which does not have your clone, can fetch the submodules.
    """
    snapshot = without_submodules(path, rev, environ)
    urls = _modules(snapshot.git_dir, snapshot.head, environ)
    if not urls or skips_submodules(environ):
        return None
    env = reading_environment(environ)
    output = run_git(*inside(snapshot.git_dir), "config", "remote.origin.url", env=env)
    origin = os.fsdecode(output.stdout).strip()
    bad = [
        f"{name} ({without_credentials(url)}: {why})"
        for name, url in urls
        if (why := unreachable(url, origin))
    ]
    if not bad:
        return ok(f"{counted(len(urls), 'URL')}, all HTTPS")
    return warning(
        f"real Codex cannot fetch {some(bad)}; workspaces here copy them from your clone",
        "Use https:// URLs in .gitmodules, or set CODEX_SKIP_SUBMODULES=1 to get a workspace "
        "without submodules.",
    )


def unreachable(url: str, origin: str) -> str | None:
    """
    Return why Codex cannot fetch *url*; `None` if no reason is known.

    Args:
        url: the URL in `.gitmodules`.
        origin: the URL that a relative *url* is resolved against.
    """
    if url.startswith(("./", "../")):
        if not origin:
            return "relative, but the clone has no origin"
        # A relative URL has the scheme and the host of the origin.
        url = origin
    if url.startswith(("/", "file:")):
        return "a directory on this machine"
    parts = urlsplit(url) if "://" in url else None
    if parts is None:
        return "ssh" if _SCP.match(url) else "not a URL"
    if parts.scheme != "https":
        return {"git+ssh": "ssh", "http": "plain HTTP"}.get(parts.scheme, parts.scheme)
    host = (parts.hostname or "").lower()
    literal = literal_address(host)
    if literal is not None:
        return "a private address" if is_private(literal, (), ()) else None
    if "." not in host or host.endswith(_PRIVATE_DOMAINS):
        return "a private host"
    return None


def _modules(git_dir: Path, head: str, environ: Mapping[str, str]) -> list[tuple[str, str]]:
    """
    Return name and URL of each entry in `.gitmodules` at a commit.
    """
    env = reading_environment(environ)
    content = run_git(*inside(git_dir), "cat-file", "blob", f"{head}:.gitmodules", env=env)
    if content.code:
        return []
    listed = run_git(
        *("config", "--file=-", "--no-includes", "-z", "--get-regexp", r"^submodule\..*\.url$"),
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

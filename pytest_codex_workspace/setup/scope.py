"""Which clones of a repository share a cached setup."""

from __future__ import annotations

import re
from collections.abc import Mapping

from ..errors import ConfigError
from ..projection.git import inside, reading_environment, run_git
from ..projection.repository import RepositorySnapshot
from ..text.option_names import spell_option
from ..text.urls import without_credentials

__all__ = ["scope_of"]

_NAMED = "name:"


def scope_of(
    choice: str, snapshot: RepositorySnapshot, rev: str, environ: Mapping[str, str]
) -> str:
    """
    Return what is added to the key of a setup, so that other clones do not share it. It is
    empty for the choice `repository`: clones with the same root commits share setups.

    Args:
        choice: `repository`, `branch`, `remote`, `path` or `name:TEXT`.
        snapshot: the repository.
        rev: the revision as the user gave it.
        environ: the environment of git.

    Raises:
        ConfigError: the repository has no remote `origin`.
    """
    if choice == "branch":
        return f"branch {_branch(snapshot, rev, environ)}"
    if choice == "remote":
        return f"remote {_remote(snapshot, environ)}"
    if choice == "path":
        return f"path {snapshot.path.resolve()}"
    return choice if choice.startswith(_NAMED) else ""


def _branch(snapshot: RepositorySnapshot, rev: str, environ: Mapping[str, str]) -> str:
    """
    Return the branch of HEAD; without one, the commit, which no other branch shares by chance.
    """
    if rev != "HEAD":
        return rev
    return _read(snapshot, environ, "symbolic-ref", "--quiet", "HEAD") or snapshot.head


def _remote(snapshot: RepositorySnapshot, environ: Mapping[str, str]) -> str:
    """
    Return the address of `origin`, without a user and a password.
    """
    address = _read(
        snapshot, environ, "config", "--local", "--no-includes", "--get", "remote.origin.url"
    )
    if not address:
        raise ConfigError(
            f"{spell_option('cache-scope', 'remote')}, but {snapshot.path} has no remote 'origin'",
            remedy=f"Use {spell_option('cache-scope', 'path')}: it depends on where the clone is.",
        )
    return re.sub(r"(\.git)?/*$", "", without_credentials(address))


def _read(snapshot: RepositorySnapshot, environ: Mapping[str, str], *args: str) -> str:
    result = run_git(*inside(snapshot.git_dir), *args, env=reading_environment(environ))
    return result.stdout.decode("utf-8", "replace").strip() if result.code == 0 else ""

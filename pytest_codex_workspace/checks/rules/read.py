"""All rules that read a commit: the table, those of other distributions, and running them."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import islice
from pathlib import Path

from ...extensions import CHECK_GROUP, Extension, describe_error, extensions_of
from ...text.phrases import counted, first_of, was
from ..clone import Clone
from ..default_registries import default_hosts
from ..finding import ADDED_ID, LEVELS, Check, Finding
from ..repository import CheckedRepository, Choices
from ..tree import CommittedTree
from . import (
    browsers,
    clone_state,
    dependencies,
    failures,
    files,
    git_commands,
    hosts,
    prompts,
    runtimes,
    shell_commands,
    tags,
)

__all__ = [
    "RULES",
    "apply_rules",
    "arranged",
    "load_check",
    "read_added",
    "read_repository",
    "sort_key",
]

Rule = Callable[[CheckedRepository], Iterable[Finding]]
CloneRule = Callable[[Clone, CheckedRepository], Iterable[Finding]]

RULES: tuple[Rule, ...] = (
    tags.versions_from_tags,
    git_commands.uses_of_remotes,
    git_commands.uses_of_branches,
    git_commands.commits,
    files.stored_otherwise,
    dependencies.ssh_dependencies,
    dependencies.old_httpx,
    dependencies.packages_of_debian,
    dependencies.packages_of_the_system,
    runtimes.runtime_versions,
    runtimes.missing_runtimes,
    runtimes.other_runtimes,
    shell_commands.uses_of_docker,
    shell_commands.uses_of_sudo,
    shell_commands.global_yarn,
    shell_commands.beside_itself,
    shell_commands.lost_exports,
    shell_commands.left_running,
    browsers.containers_of_tests,
    browsers.browser_libraries,
    browsers.trust_stores,
    files.windows_line_ends,
    files.not_executable,
    failures.goes_on,
    failures.hidden_downloads,
    prompts.prompts,
    hosts.outside_presets,
    hosts.yarn_by_corepack,
    hosts.without_resume,
)
"""Rules that need nothing but the files of the commit."""

CLONE_RULES: tuple[CloneRule, ...] = (
    clone_state.clone_history,
    clone_state.uncommitted_changes,
    clone_state.submodule_addresses,
    clone_state.missing_scripts,
    clone_state.files_not_committed,
    clone_state.script_syntax,
)
"""Rules that ask git or bash of this machine."""

_SHOWN = 5
_MOST_ADDED = 1_000
"""Findings that are taken of a check of another distribution."""

_MOST = 20
"""Findings of one id that are shown. A hundred calls of `git fetch` are one problem."""


def read_repository(
    path: str | Path,
    rev: str,
    environ: Mapping[str, str],
    choices: Choices,
) -> list[Finding]:
    """
    Return what is found by reading a commit, without an engine and without running anything of it.

    Args:
        path: a directory in the repository.
        rev: the commit.
        environ: environment for git.
        choices: what the user has chosen for its workspaces.

    Raises:
        ProjectionError: there is no such repository or commit, or git failed.
    """
    clone = Clone.of(path, rev, environ)
    repo = CheckedRepository(clone.tree(), choices, default_hosts(environ))
    found = [one for rule in CLONE_RULES for one in rule(clone, repo)]
    return arranged([*found, *apply_rules(repo)])


def apply_rules(repo: CheckedRepository) -> Iterator[Finding]:
    """
    Yield what the rules find that need nothing but the files of the commit.
    """
    for rule in RULES:
        yield from rule(repo)
    if unread := sorted(repo.tree.unread):
        yield Finding.of(
            "not-read",
            f"{counted(len(unread), 'file')} that the checks would read "
            f"{was(len(unread))} not: {first_of(unread, _SHOWN)}",
            "What is in them counts there, and is not known here.",
            "Split the files if they are manifests; otherwise silence the finding.",
            path=unread[0],
        )


def read_added(path: str | Path, rev: str, environ: Mapping[str, str]) -> list[Finding]:
    """
    Return what the checks of other distributions find in a commit.

    Args:
        path: a directory in the repository.
        rev: the commit.
        environ: environment for git.

    Raises:
        PluginError: one of them cannot be used.
        ProjectionError: there is no such repository or commit, or git failed.
    """
    added = extensions_of(CHECK_GROUP)
    if not added:
        return []
    tree = Clone.of(path, rev, environ).tree()
    return arranged(finding for one in added for finding in _apply_added(one, tree))


def load_check(extension: Extension) -> Check:
    """
    Import a check of another distribution.

    Raises:
        PluginError: it cannot be imported, or is no check.
    """
    check = extension.load()
    if not isinstance(check, Check):
        raise extension.failed(f"is of the type {type(check).__name__}, and not a Check")
    if not re.fullmatch(ADDED_ID, extension.name):
        raise extension.failed("needs a name such as acme.pinned-image: a prefix, a dot, a name")
    if check.id != extension.name or check.level not in LEVELS:
        raise extension.failed(
            f"has the id {check.id!r:.200} and the level {check.level!r:.200}: the id must be that "
            f"name, and the level one of {', '.join(LEVELS)}"
        )
    return check


def _apply_added(extension: Extension, tree: CommittedTree) -> Iterator[Finding]:
    check = load_check(extension)
    try:
        for one in islice(check.find(tree), _MOST_ADDED):
            if one.id != check.id or one.level not in LEVELS:
                raise ValueError(f"a finding {one.id!r} of the level {one.level!r}")
            if not isinstance(one.path, str | None) or not isinstance(one.line, int | None):
                raise TypeError(f"a finding at the path {one.path!r} and the line {one.line!r}")
            # Once more, with its texts cut.
            texts = one.what, one.in_codex, one.remedy
            yield check.finding(*texts, path=one.path, line=one.line, level=one.level)
    except Exception as error:
        raise extension.failed(f"raised {describe_error(error)}") from None


def arranged(findings: Iterable[Finding]) -> list[Finding]:
    """
    Return *findings* in order, each once, and a bounded number of each kind.
    """
    return list(_bounded(sorted(dict.fromkeys(findings), key=sort_key)))


def sort_key(finding: Finding) -> tuple[int, str, str, int]:
    """
    Return the key that sorts findings: the worst first, then by id and place.
    """
    level = LEVELS.index(finding.level)
    return level, finding.id, finding.path or "", finding.line or 0


def _bounded(findings: Sequence[Finding]) -> Iterator[Finding]:
    """
    Yield the first findings of each id. The last of many says how many more there are.
    """
    count = Counter(one.id for one in findings)
    seen: Counter[str] = Counter()
    for one in findings:
        seen[one.id] += 1
        more = count[one.id] - _MOST
        if seen[one.id] < _MOST or (seen[one.id] == _MOST and not more):
            yield one
        elif seen[one.id] == _MOST:
            yield replace(one, what=f"{one.what} (and {more} more findings of this id)")

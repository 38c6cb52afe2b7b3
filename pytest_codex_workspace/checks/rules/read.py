"""All rules that read a commit: the table, those of other distributions, and running them."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any

from ...errors import PluginError
from ...extensions import CHECK_GROUP, Extension, extensions_of
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
    "added_ids",
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


def read_added(path: str | Path, rev: str, environ: Mapping[str, str]) -> Iterator[Finding]:
    """
    Yield what the checks of other distributions find in a commit. One that fails does not keep the
    findings of the others from the user.

    Args:
        path: a directory in the repository.
        rev: the commit.
        environ: environment for git.

    Raises:
        PluginError: some of them cannot be used: raised behind the findings of the others.
        ProjectionError: there is no such repository or commit, or git failed.
    """
    added = extensions_of(CHECK_GROUP)
    if not added:
        return
    tree = Clone.of(path, rev, environ).tree()
    found: list[Finding] = []
    failures: list[PluginError] = []
    for one in added:
        try:
            found += _apply_added(one, tree)
        except PluginError as error:
            failures.append(error)
    yield from arranged(found)
    if len(failures) > 1:
        raise PluginError("\n".join(map(str, failures)))
    if failures:
        raise failures[0]


def added_ids() -> list[str]:
    """
    Return the ids of the checks of other distributions, without importing them; none if they
    cannot be told apart, which is an error of whoever runs them.
    """
    try:
        return [one.name for one in extensions_of(CHECK_GROUP)]
    except PluginError:
        return []


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


def _apply_added(extension: Extension, tree: CommittedTree) -> list[Finding]:
    """
    Return what a check of another distribution finds.

    Raises:
        PluginError: it cannot be used, or what it has yielded is no finding of it.
    """
    check = load_check(extension)
    yielded: list[tuple[Any, str]] = []
    with extension.running():
        found: Any = check.find(tree)
        if found is not None:
            yielded += ((one, _line_of(found)) for one in islice(found, _MOST_ADDED))
    if found is None:
        raise extension.failed("returned None, expected findings: yield them, or return a list")
    for one, line in yielded:
        if problem := _problem(one, check):
            raise extension.failed(f"yielded {problem}{line}")
    # Once more, with their texts cut.
    return [
        check.finding(
            one.what, one.in_codex, one.remedy, path=one.path, line=one.line, level=one.level
        )
        for one, _ in yielded
    ]


def _line_of(generator: Any) -> str:
    """
    Return where a generator is; empty if it is none, as a list.
    """
    frame = getattr(generator, "gi_frame", None)
    return f" ({frame.f_code.co_filename}:{frame.f_lineno})" if frame else ""


def _problem(one: Any, check: Check) -> str:
    """
    Return what is wrong with what a check has yielded; empty if it is a finding of it.
    """
    kind = type(one).__name__
    if not isinstance(one, Finding):
        return f"{kind}, expected Finding: use the method `finding` of the check"
    for name in ("what", "in_codex", "remedy"):
        if not isinstance(text := getattr(one, name), str):
            return f"a finding whose {name} is {type(text).__name__}, expected str"
    if one.id != check.id:
        return f"a finding with the id {one.id!r:.200}, expected {check.id!r}"
    if one.level not in LEVELS:
        return f"a finding of the level {one.level!r:.200}, expected one of {', '.join(LEVELS)}"
    if not isinstance(one.path, str | None):
        return (
            f"a finding whose path is {type(one.path).__name__}, expected str, "
            "from the top of the repository, or None"
        )
    if one.line is not None and (type(one.line) is not int or one.line < 1):
        return f"a finding with the line {one.line!r:.200}, expected a number from 1, or None"
    return ""


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

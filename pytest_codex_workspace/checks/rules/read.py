"""All rules that read a commit: the table, and running them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from ...text.phrases import counted, first_of, was
from ..clone import Clone
from ..default_registries import default_hosts
from ..finding import LEVELS, Finding
from ..repository import CheckedRepository, Choices
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

__all__ = ["RULES", "apply_rules", "arranged", "read_repository", "sort_key"]

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

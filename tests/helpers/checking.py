"""What the rules find in files that are in memory."""

from __future__ import annotations

from collections.abc import Mapping

from pytest_codex_workspace.checks.default_registries import DefaultHosts
from pytest_codex_workspace.checks.finding import Finding
from pytest_codex_workspace.checks.repository import CheckedRepository, Choices
from pytest_codex_workspace.checks.rules.read import apply_rules, arranged
from pytest_codex_workspace.codex import SETUP

from ..fakes.trees import memory_tree

__all__ = ["findings_in", "found_by_setup", "found_in"]


def findings_in(
    files: Mapping[str, str | bytes],
    *,
    variables: Mapping[str, str] | None = None,
    test_command: str = "",
    image: str = "",
    default_hosts: DefaultHosts = lambda _: frozenset(),
) -> list[Finding]:
    """
    Return the findings in *files*.
    """
    choices = Choices(variables or {}, test_command, image=image)
    repo = CheckedRepository(memory_tree(files), choices, default_hosts)
    return arranged(apply_rules(repo))


def found_in(
    files: Mapping[str, str | bytes],
    *,
    variables: Mapping[str, str] | None = None,
    test_command: str = "",
) -> list[str]:
    """
    Return level, id and place of each finding in *files*.
    """
    every = findings_in(files, variables=variables, test_command=test_command)
    return [f"{one.level} {one.id} {one.where}".rstrip() for one in every]


def found_by_setup(text: str, files: Mapping[str, str | bytes] | None = None) -> list[str]:
    """
    Return level, id and line of each finding in a setup script, which stops at errors.
    """
    found = found_in({SETUP: f"set -euo pipefail\n{text}\n", **(files or {})})
    return [one.replace(f" {SETUP}:", " ") for one in found]

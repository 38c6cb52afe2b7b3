"""The findings as tests of pytest."""

from __future__ import annotations

from dataclasses import replace
from unittest.mock import Mock

import pytest

from pytest_codex_workspace.checks.finding import CHECKS, Finding
from pytest_codex_workspace.conformance.check import Conformance, conclude
from pytest_codex_workspace.errors import EngineUnavailable
from pytest_codex_workspace.extensions import CHECK_GROUP

from ...helpers.distributions import add_distribution
from .conftest import seen
from .test_network_rules import PRESETS

PACKAGE = "pytest_codex_workspace.conformance"
RUN = (
    "--pyargs",
    "pytest_codex_workspace.conformance",
    "-c",
    "tox.ini",
    "-p",
    "no:randomly",
    "-Wdefault",
)


def finding(check: str) -> Finding:
    """
    Return a finding of a kind, at its level.
    """
    return Finding.of(check, f"{check} happened", "it fails", "fix it", path="script.sh", line=3)


def outcome() -> Conformance:
    """
    Return an outcome with a finding of each level, and one that is silenced.
    """
    silenced = replace(finding("login-shell"), silenced="we know")
    found = (finding("tests-fail"), finding("time-limit"), finding("untracked-files"), silenced)
    usual = conclude(seen(), PRESETS)
    return replace(usual, findings=found, unknown={"resume-fails": "not known: setup failed"})


@pytest.fixture
def run(pytester, monkeypatch, make_repo):
    """
    Return a function that runs the tests of the package with that outcome.
    """
    monkeypatch.setattr(f"{PACKAGE}.check.check_everything", lambda session: outcome())
    pytester.makeini("[pytest]\n")
    repo = make_repo()

    def run(*words: str) -> pytest.RunResult:
        return pytester.runpytest_inprocess(*RUN, f"--codex-repo={repo}", *words)

    return run


def test_each_check_is_a_test(run):
    """
    An error fails, a warning is one of pytest's, what is silenced or not known is skipped.
    """
    result = run("-rs")

    result.assert_outcomes(failed=1, skipped=2, warnings=1, passed=len(CHECKS) - 2)
    result.stdout.fnmatch_lines_random(
        [
            "*script.sh:3: tests-fail happened*",
            "*In Codex: it fails*",
            "*FindingWarning: script.sh:3: time-limit happened*",
            "SKIPPED *: silenced: we know",
            "SKIPPED *: not known: setup failed",
        ]
    )
    result.stdout.no_fnmatch_line("*untracked-files happened*")


def test_a_check_of_another_distribution_is_a_test(run, tmp_path, monkeypatch):
    """
    Of two that have one name, neither is: the repository cannot be checked then.
    """
    monkeypatch.syspath_prepend(tmp_path)
    add_distribution(tmp_path, "one", CHECK_GROUP, {"acme.it": "one:CHECK"})
    run("-v").stdout.fnmatch_lines(["*::test_check[[]acme.it[]] PASSED*"])

    add_distribution(tmp_path, "two", CHECK_GROUP, {"acme.it": "two:CHECK"})
    run("-v").stdout.no_fnmatch_line("*acme.it*")


def test_notes_are_shown_on_demand(run):
    """
    They are a section of their test.
    """
    run("-rA").stdout.fnmatch_lines(["*codex notes*", "script.sh:3: untracked-files happened"])


def test_without_a_repository_a_line_says_that_nothing_was_checked(pytester):
    """
    A run whose tests are all skipped is green.
    """
    pytester.makeini("[pytest]\n")

    result = pytester.runpytest_inprocess(*RUN)

    result.assert_outcomes(skipped=len(CHECKS) + 1)
    result.stdout.fnmatch_lines(["codex workspaces: * were skipped, because no repository was*"])


def test_what_cannot_be_checked_is_one_failure(run, monkeypatch):
    """
    Its reason is shown once, not for each check.
    """

    def fail(session: object) -> None:
        raise EngineUnavailable("no engine answers")

    monkeypatch.setattr(f"{PACKAGE}.check.check_everything", fail)

    result = run()

    result.assert_outcomes(failed=1, skipped=len(CHECKS))
    result.stdout.fnmatch_lines(["EngineUnavailable: no engine answers"])


def test_an_error_of_ours_is_one_failure(run, monkeypatch):
    """
    It says where, and what to do.
    """
    monkeypatch.setattr(f"{PACKAGE}.check.check_everything", Mock(side_effect=IndexError("x")))

    result = run()

    result.assert_outcomes(failed=1, skipped=len(CHECKS))
    result.stdout.fnmatch_lines(["a bug of ours: IndexError: x; please report it", "Traceback *"])


def test_without_a_repository(pytester, monkeypatch):
    """
    There is nothing to check, and what to give is said.
    """
    monkeypatch.delenv("CODEX_WORKSPACE_REPO", raising=False)
    pytester.makeini("[pytest]\n")

    result = pytester.runpytest_inprocess(*RUN, "-rs")

    result.assert_outcomes(skipped=len(CHECKS) + 1)
    result.stdout.fnmatch_lines(["SKIPPED *: no repository to check: give --codex-repo=PATH"])

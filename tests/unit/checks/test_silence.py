"""Silencing findings."""

from __future__ import annotations

import pytest

from pytest_codex_workspace.checks.finding import Finding
from pytest_codex_workspace.checks.silence import problem_of_silence, silenced, unknown_silences


@pytest.mark.parametrize(
    ("check", "reason", "problem"),
    [
        ("git-tags", "we do not use versions", ""),
        ("git-tag", "x", "there is no check 'git-tag' (did you mean 'git-tags'?)"),
        ("nonsense", "x", "there is no check 'nonsense'; docs/checks.md lists them"),
        ("acme.pinned-image", "of a distribution that may not be here", ""),
        ("docker:a.sh", "x", "'docker:a.sh' is no id: docker is silenced as a whole"),
        ("acme.it:file=a", "x", "'acme.it:file=a' is no id: acme.it is silenced as a whole"),
        ("docker", "", "docker is silenced without a reason"),
        ("docker", " \n", "docker is silenced without a reason"),
        ("docker", "x" * 501, "the reason of docker is longer than 500 characters"),
    ],
)
def test_problems(check, reason, problem):
    """
    The id must be known, and the reason must say something.
    """
    assert problem_of_silence(check, reason).startswith(problem)
    assert bool(problem) == bool(problem_of_silence(check, reason))


def test_an_id_with_the_prefix_of_a_distribution_may_be_misspelt():
    """
    Ids of distributions that are not installed are no mistake.
    """
    reasons = dict.fromkeys(("docker", "acme.imagee", "acme.image", "other.check"), "x")

    assert [
        "acme.imagee is silenced, and no check that is installed has this id "
        "(did you mean 'acme.image'?)"
    ] == list(unknown_silences(reasons, ["acme.image"]))
    assert [] == list(unknown_silences(reasons, []))


def test_silenced_findings_are_kept():
    """
    With their reason, in one line.
    """
    findings = [Finding.of(check, "w", "c", "r") for check in ("docker", "sudo")]

    found = list(silenced(findings, {"docker": "it is\n not run"}))

    assert ["it is not run", ""] == [one.silenced for one in found]
    assert findings[1] == found[1]

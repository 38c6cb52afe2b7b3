"""Tests of the words for what a check has found."""

from __future__ import annotations

import pytest

from pytest_codex_workspace.checks.finding import Finding
from pytest_codex_workspace.checks.summary import (
    count_levels,
    finding_text,
    runs_text,
    summarize,
)


def finding(level="error", silenced=""):
    return Finding("docker", level, "a\nb", "c.", "r.", path="f", line=1, silenced=silenced)


def test_lines_of_a_finding():
    """
    Further lines are indented, and colours are those of the level.
    """
    assert [
        "error    docker  f:1: a",
        "         b",
        "         In Codex: c.",
        "         Remedy: r.",
    ] == list(finding_text(finding(), coloured=False))
    assert next(finding_text(finding(), coloured=True)).startswith("\x1b[31;1merror")


def test_a_finding_need_not_say_what_codex_would_do():
    """
    A rule of a company may have nothing to do with it.
    """
    assert [
        "warning  acme.it  here",
        "         Remedy: Do it.",
    ] == list(finding_text(Finding("acme.it", "warning", "here", "", "Do it."), coloured=False))


def test_lines_of_a_silenced_finding():
    """
    Its reason stands in place of a remedy.
    """
    assert [
        "silenced docker  f:1: a",
        "         b",
        "         silenced: not ours",
    ] == list(finding_text(finding(silenced="not ours"), coloured=False))
    assert next(finding_text(finding(silenced="x"), coloured=True)).startswith("\x1b[2msilenced")


@pytest.mark.parametrize(
    ("findings", "text"),
    [
        ([], "0 findings: 0 errors, 0 warnings, 0 notes"),
        ([finding("note")], "1 finding: 0 errors, 0 warnings, 1 note"),
        (
            [finding(), finding(), finding("warning"), finding(silenced="x")],
            "3 findings: 2 errors, 1 warning, 0 notes; 1 silenced",
        ),
    ],
)
def test_silenced_findings_are_counted_apart(findings, text):
    """
    Whatever their level.
    """
    assert text == summarize(count_levels(findings))


def use(hosts, allow=None):
    return {
        "requests": len(hosts),
        "hosts": hosts,
        "outside_presets": {"most": [], "few": hosts},
        "smallest_policy": {"allow": allow} if allow else {},
    }


RUNS = {
    "has_setup": True,
    "setup_seconds": 300.0,
    "time_limit": 1200.0,
    "resume_seconds": 1.0,
    "tests": {
        "command": "make test",
        "source": "Makefile",
        "exit_code": 3,
        "seconds": 2.0,
        "policy": "",
    },
    "network": {"scripts": use(["a.test"], ["a.test"]), "tests": use([])},
}


def test_lines_of_runs():
    """
    How long each took, how the tests ended, and what the requests were.
    """
    assert [
        "setup took 300.0 s, 25% of the 1200 s that Codex seems to give it (not documented)",
        "resuming at a newer commit took 1.0 s",
        "the scripts made 1 request: a.test",
        "  the smallest list of hosts that admits them is [a.test]",
        "  most would admit all of them",
        "  few would refuse a.test",
        "`make test` (from Makefile) failed in 2.0 s under the policy 'offline'",
    ] == list(runs_text(RUNS))


def test_what_did_not_run_has_no_line():
    """
    A setup that failed leaves nothing to resume, and no tests. A long list of hosts is cut, and
    no list of them is suggested.
    """
    hosts = [f"{number}.test" for number in range(9)]
    network = {"scripts": use(hosts, hosts), "tests": use([])}
    nothing = {"setup_seconds": None, "resume_seconds": None, "tests": None, "network": network}

    first, *others = runs_text({**RUNS, **nothing})

    assert first.startswith("the scripts made 9 requests: 0.test, ")
    assert "8.test" not in first
    assert not [one for one in others if "smallest list" in one]


def test_a_list_of_hosts_is_not_enough_for_plain_http():
    """
    What the policy needs besides is said with it.
    """
    needs = use(["a.test"], ["a.test"])
    needs["smallest_policy"] |= {"extends": "offline", "http": "allow", "ports": [443, 8080]}

    lines = list(runs_text({**RUNS, "network": {"scripts": needs, "tests": use([])}}))

    assert (
        "  the smallest list of hosts that admits them is [a.test], "
        "with http: allow, ports: [443, 8080]"
    ) in lines


def test_a_repository_without_scripts_says_so():
    """
    Its tests run all the same. One whose tests did not end has not passed.
    """
    tests = {**RUNS["tests"], "exit_code": None}
    nothing = {"has_setup": False, "setup_seconds": None, "resume_seconds": None, "tests": tests}

    lines = list(runs_text({**RUNS, **nothing}))

    assert lines[0].startswith("there is no setup script")
    assert "`make test` (from Makefile) failed in 2.0 s under the policy 'offline'" in lines

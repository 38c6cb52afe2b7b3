"""Tests of what went wrong in workspaces, as a CI service shows it."""

from __future__ import annotations

from pathlib import Path

import pytest

from pytest_codex_workspace.checks.finding import Finding
from pytest_codex_workspace.checks.sarif import CheckedTarget
from pytest_codex_workspace.errors import EngineUnavailable, ProxyError, SetupError
from pytest_codex_workspace.network.rules.request import Request
from pytest_codex_workspace.reporting.account import CiFinding, RunAccount
from pytest_codex_workspace.reports.findings import (
    account_of_check,
    finding_of_error,
    redaction_of,
    report_workspace,
)
from pytest_codex_workspace.workspace.command_log import CommandLog
from pytest_codex_workspace.workspace.handle import SetupResult

from .test_section import blocked, workspace

SCRIPT = "codex-workspace-scripts/setup-script.sh"


@pytest.mark.parametrize(
    ("where", "line"),
    [
        ("line 2: curl -f http://a.example", 2),
        ("line 2: curl -f ...", 2),
        ("line 2", 2),
        ("line 2: make", 0),  # Of another file, which the script sources.
        ("line 9: curl", 0),
        ("line 0", 0),
        ("", 0),
    ],
)
def test_a_setup_that_failed_is_an_error_at_its_line(tmp_path: Path, where: str, line: int) -> None:
    """
    Its file is named from the top of the checkout.
    """
    script = tmp_path / "sub" / SCRIPT
    script.parent.mkdir(parents=True)
    script.write_text("set -e\n  curl -f http://a.example\n")
    text = f"{SCRIPT} exited with 22 after 0.3 s.\nthe rest"
    error = SetupError(text, script=SCRIPT, exit_code=22, where=where)
    environ = {"GITHUB_WORKSPACE": str(tmp_path)}

    found = finding_of_error(error, tmp_path / "sub", environ)

    file = f"sub/{SCRIPT}"
    assert found == CiFinding("error", f"{SCRIPT} exited with 22", text, file, line)
    elsewhere = {"GITHUB_WORKSPACE": str(tmp_path / "other")}
    assert finding_of_error(error, tmp_path / "sub", elsewhere).file == ""
    assert finding_of_error(error, None, environ).line == 0
    script.unlink()
    assert finding_of_error(error, tmp_path / "sub", environ).line == 0


def test_any_other_error_is_named() -> None:
    """
    It has no place.
    """
    found = finding_of_error(EngineUnavailable("no engine"), Path("/"), {})
    assert found == CiFinding("error", "EngineUnavailable", "no engine")


def test_the_network_of_a_workspace_is_told(tmp_path: Path) -> None:
    """
    What its setup was refused, now or earlier, and what it was refused itself.
    """
    account = RunAccount("run")
    setup = SetupResult("hit", duration=2.0, requests=(blocked("setup", "s.example"),))
    environ = {"GITHUB_WORKSPACE": str(tmp_path)}

    report_workspace(
        account, workspace(CommandLog(), lambda: [blocked()], setup), tmp_path, environ
    )

    assert account.facts == {
        "repository": "demo at aaaaaaaaaaaa",
        "setup": "cache hit, 2.0 s",
        "network": "1 request, 1 blocked or failed",
    }
    first, second = account.findings
    assert (first.level, first.file) == ("warning", SCRIPT)
    assert "when its result was cached" in first.title
    assert "s.example" in first.message
    assert "http: allow" in second.message
    assert second.message.count("a.example") > 0


def test_a_log_that_cannot_be_read_is_told() -> None:
    """
    Nothing else fails for it.
    """

    def lost() -> list[Request]:
        raise ProxyError("The proxy has ended.")

    account = RunAccount("run")
    report_workspace(account, workspace(CommandLog(), lost), None, {})
    assert account.facts["network"] == "unknown: The proxy has ended."
    assert account.findings == []


def test_secrets_are_removed_as_far_as_they_are_set() -> None:
    """
    A secret that is not set ends the command with an error of its own.
    """
    redact = redaction_of(["TOKEN", "NONE", "EMPTY"], {"TOKEN": "hunter22", "EMPTY": ""})
    assert redact("it is hunter22") == "it is ***"


def test_a_check_has_annotations_for_errors_and_warnings_and_rows_for_notes(tmp_path: Path) -> None:
    """
    What is silenced is counted, and a repository that could not be checked comes first.
    """
    findings = [
        Finding("git-remote", "error", "git fetch", "no remote", "compare", SCRIPT, 3),
        Finding("git-tags", "warning", "tags", "none", "a tag", silenced="no versions"),
        Finding("docker-services", "note", "services", "none", "declare", "compose.yaml"),
    ]
    targets = [
        CheckedTarget(tmp_path / "one", "c0ffee", findings),
        CheckedTarget(tmp_path / "two", "", [], "no commit"),
    ]

    account = account_of_check(targets, {"GITHUB_WORKSPACE": str(tmp_path)})

    assert account.findings == [
        CiFinding("error", f"{tmp_path}/two could not be checked", "no commit"),
        CiFinding(
            "error",
            "git-remote: A command needs a remote",
            "git fetch\nIn Codex: no remote\nRemedy: compare",
            file=f"one/{SCRIPT}",
            line=3,
        ),
    ]
    assert account.rows == [("docker-services", "compose.yaml", "services")]
    assert account.facts == {
        f"{tmp_path}/one": "2 findings: 1 error, 0 warnings, 1 note; 1 silenced",
        f"{tmp_path}/two": "0 findings: 0 errors, 0 warnings, 0 notes; not checked completely",
    }


def test_a_finding_of_another_distribution_has_its_own_title(tmp_path: Path) -> None:
    """
    Our table does not know it. It need not say what Codex would do.
    """
    one = Finding("acme.it", "warning", "here", "", "Do it.", title="It is there")

    account = account_of_check([CheckedTarget(tmp_path, "1", [one])], {})

    assert [("acme.it: It is there", "here\nRemedy: Do it.")] == [
        (each.title, each.message) for each in account.findings
    ]

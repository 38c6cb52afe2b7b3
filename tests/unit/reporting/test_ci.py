"""Tests of how a CI service is recognised."""

from __future__ import annotations

import pytest

from pytest_codex_workspace.reporting.account import RunAccount
from pytest_codex_workspace.reporting.ci import CiService, service_of
from pytest_codex_workspace.reporting.github import GitHub
from pytest_codex_workspace.reporting.gitlab import GitLab


@pytest.mark.parametrize(
    ("environ", "kind"),
    [
        ({}, CiService),
        ({"CI": "true"}, CiService),
        ({"GITHUB_ACTIONS": "false", "GITLAB_CI": ""}, CiService),
        ({"GITHUB_ACTIONS": "true", "GITLAB_CI": "true"}, GitHub),
        ({"GITHUB_STEP_SUMMARY": "/file"}, GitHub),
        ({"GITLAB_CI": "true"}, GitLab),
    ],
)
def test_a_service_is_recognised_by_its_variables(environ, kind):
    """
    Any other CI has a log that nobody interprets.
    """
    assert type(service_of(environ)) is kind


def test_without_a_service_nothing_is_added():
    """
    Lines are as they are.
    """
    lines: list[str] = []
    service = CiService()
    with service.without_commands(lines.append):
        service.output("progress", lines.append).script("::error::x")
    service.tell(RunAccount("run", {"a": "b"}), lines.append, str)

    assert lines == ["  | ::error::x"]
    assert service.neutral("##[error]") == "##[error]"

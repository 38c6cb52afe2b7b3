"""What is concluded, and what users get of it."""

from __future__ import annotations

import json
import os
from types import SimpleNamespace

import pytest

from pytest_codex_workspace.checks.finding import CHECKS, RUN
from pytest_codex_workspace.codex import SETUP
from pytest_codex_workspace.conformance.check import (
    agent_policy,
    check_everything,
    conclude,
    find_tests,
)
from pytest_codex_workspace.extensions import CHECK_GROUP
from pytest_codex_workspace.network.rules.policy import HTTPS_ONLY, OFFLINE
from pytest_codex_workspace.options.config import Config
from pytest_codex_workspace.projection.repository import open_repository
from pytest_codex_workspace.services.daemons import Left
from pytest_codex_workspace.setup.spec import WorkspaceSpec
from pytest_codex_workspace.workspace.handle import Daemon

from ...conftest import commit
from ...helpers.distributions import add_distribution
from .conftest import FAILED, failure, seen
from .test_network_rules import OK, OTHER, PRESETS, REFUSED

IDS = {one.id for one in RUN}


def test_the_worst_comes_first():
    """
    Findings of all kinds are in the order of their levels.
    """
    outcome = conclude(
        seen(test_run=FAILED, setup_status={"a": "??"}, setup_duration=800.0, requests=[REFUSED]),
        PRESETS,
    )

    assert [(one.id, one.level) for one in outcome.findings] == [
        ("tests-network", "error"),
        ("tests-fail", "error"),
        ("time-limit", "warning"),
        ("untracked-files", "note"),
    ]
    assert all(one.id in CHECKS for one in outcome.findings)


def test_what_a_workspace_says_is_one_line_without_secrets():
    """
    A process, a file or a tool may be called anything.
    """
    found = seen(
        left=Left((Daemon("evil", "evil\x1b[2J --token=s3cret", (80,)),)),
        setup_status={"a\nb\x07": " M"},
        redact=lambda text: text.replace("s3cret", "***"),
    )

    server, changed = conclude(found, PRESETS).findings

    assert "`evil --token=***`" in server.what
    assert "changes a b, which" in changed.what
    assert all(one.what.isprintable() for one in (server, changed))


def test_the_summary():
    """
    It says how near the time limit is, what was contacted, and which preset would do.
    """
    found = seen(setup_duration=300.0, requests=[OK, OTHER, REFUSED], policy=OFFLINE)

    outcome = conclude(found, PRESETS)

    assert list(outcome.lines()) == [
        "setup took 300.0 s, 25% of the 1200 s that Codex seems to give it (not documented)",
        "resuming at a newer commit took 1.0 s",
        "the scripts made 2 requests: other.example, pkg.example",
        "  the smallest list of hosts that admits them is [other.example, pkg.example]",
        "  codex-common-dependencies would refuse other.example",
        "  codex-package-managers would refuse other.example",
        "`make test` (from Makefile) passed in 1.0 s under the policy 'offline'",
        "the tests made 1 request: pkg.example",
        "  the smallest list of hosts that admits them is [pkg.example]",
        "  codex-common-dependencies would admit all of them",
        "  codex-package-managers would admit all of them",
    ]
    facts = json.loads(json.dumps(outcome.to_dict()))
    assert facts["tests"]["exit_code"] == 0
    assert facts["network"]["scripts"]["smallest_policy"]["allow"] == [
        "other.example",
        "pkg.example",
    ]


def test_a_repository_without_scripts_says_so():
    """
    Its tests run all the same.
    """
    outcome = conclude(seen(setup_script="", setup_duration=None, resume_duration=None), PRESETS)

    first, second = outcome.lines()
    assert first.startswith("there is no setup script")
    assert second.startswith("`make test` (from Makefile) passed")


def test_nothing_ran():
    """
    A repository whose setup fails has no tests, and says what is not known.
    """
    outcome = conclude(seen(setup_error=failure(), setup_duration=None, test_run=None), PRESETS)

    assert [one.id for one in outcome.findings] == ["setup-fails"]
    assert outcome.unknown["tests-fail"] == "not known: setup failed"
    assert set(outcome.unknown) < IDS
    assert outcome.to_dict()["tests"] is None


@pytest.mark.parametrize(
    ("changes", "unknown"),
    [
        ({}, set()),
        ({"tests": None, "test_run": None}, {"tests-fail", "tests-network", "login-shell"}),
        ({"resume_error": failure()}, {"variable-lost", "tests-fail"}),
    ],
)
def test_what_is_not_known(changes, unknown):
    """
    What did not run cannot be without a finding.
    """
    found = set(conclude(seen(**changes), PRESETS).unknown)

    assert unknown <= found
    assert found <= IDS
    assert bool(found) == bool(unknown)


def test_the_agent_phase_is_offline_unless_another_policy_is_chosen():
    """
    Codex has no internet access there by default.
    """
    assert agent_policy(Config()) == "offline"
    assert agent_policy(Config(network="codex-package-managers")) == "codex-package-managers"
    assert HTTPS_ONLY.name == Config().network


@pytest.mark.needs_git
def test_the_tests_are_those_of_the_commit(make_repo):
    """
    Not those of the work tree; behind a link, those of the commit. What is configured comes first.
    """
    repo = make_repo()
    commit(repo, {"real": "test:\n\tpytest\n", "tox.ini": "[tox]\n"})
    (repo / "Makefile").symlink_to("real")
    commit(repo, {"other": ""})
    (repo / "go.mod").write_text("module x\n")
    spec = WorkspaceSpec(open_repository(repo, environ=os.environ))

    found = [find_tests(spec, configured, os.environ) for configured in ("", "./run")]

    assert [("make test", "Makefile"), ("./run", ".codex-workspace.yaml")] == [
        (one.command, one.source) for one in found if one
    ]


@pytest.mark.needs_git
def test_everything_is_what_reading_running_and_the_checks_of_others_find(
    tmp_path, monkeypatch, make_repo
):
    """
    Each can be silenced.
    """
    monkeypatch.syspath_prepend(tmp_path)
    module = (
        "from pytest_codex_workspace import Check\n"
        "CHECK = Check('acme.it', 'note', 'It is there', "
        "lambda tree: [CHECK.finding('a', 'b', 'c')])\n"
    )
    add_distribution(tmp_path, "acme-it", CHECK_GROUP, {"acme.it": "acme_it:CHECK"}, module)
    ran = conclude(seen(test_run=FAILED), PRESETS)
    monkeypatch.setattr(f"{check_everything.__module__}.check_repository", lambda *_, **__: ran)
    repo = make_repo(**{SETUP: "set -e\ngit fetch\n"})
    silence = {"acme.it": "we know"}
    session = SimpleNamespace(config=Config(repo=repo, silence=silence))

    found = check_everything(session).findings

    assert {"git-remote": "", "tests-fail": "", "acme.it": "we know"} == {
        one.id: one.silenced for one in found
    }

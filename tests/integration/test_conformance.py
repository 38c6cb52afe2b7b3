"""A check runs repositories: each fault gets its finding, and a repository without faults none."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from pytest_codex_workspace.checks.finding import CHECKS
from pytest_codex_workspace.conformance.check import Conformance, check_repository
from pytest_codex_workspace.options.config import Config
from pytest_codex_workspace.reporting.output import Output
from pytest_codex_workspace.session import Session

from ..broken.when_run import BROKEN, CLEAN, Broken, joined
from ..conftest import init_repo, named_engine
from .runs import PYTEST

pytestmark = pytest.mark.slow

ALONE = os.environ.get("CODEX_BROKEN", "") == "alone"
"""Whether each fault has a repository of its own, which takes three times as long."""


@pytest.fixture(scope="module")
def session() -> Iterator[Session]:
    """
    Start a session that all repositories here share.
    """
    secret = ("CODEX_TEST_TOKEN",)
    config = Config(image="slim", engine=named_engine(), setup_timeout=120, secret=secret)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CODEX_TEST_TOKEN", "t0ken-that-nobody-else-has")
        with Session(config, Output("quiet", lambda _: None)) as made:
            yield made


@pytest.fixture(scope="module")
def host(session: Session, tmp_path_factory: pytest.TempPathFactory) -> str:
    """
    Return the host of the package index, which both of Codex's presets have.
    """
    return str(session.policies._registries()["python"][0])


def checked(session: Session, repo: Path) -> Conformance:
    """
    Check a repository.
    """
    return check_repository(session, repo=repo, test_command=command_of(repo))


def command_of(repo: Path) -> str:
    """
    Return the command of the tests that a repository configures; the session's options are those of
    none.
    """
    file = repo / ".codex-workspace.yaml"
    return str(yaml.safe_load(file.read_text())["check"]["test"]) if file.exists() else ""


@pytest.mark.parametrize("broken", BROKEN if ALONE else joined(), ids=lambda one: one.fault)
def test_each_fault_gets_its_finding(session, host, tmp_path, broken: Broken):
    """
    It gets that finding, and no other.
    """
    repo = init_repo(tmp_path / "broken", broken.content(host))

    outcome = checked(session, repo)

    assert {(one.id, one.level) for one in outcome.findings} == broken.found


def test_a_repository_without_faults_gets_none(session, tmp_path):
    """
    Setup, the second one, resuming and tests are all seen to work, and nothing is written to it.
    """
    repo = init_repo(tmp_path / "clean", CLEAN)
    before = {path: path.read_bytes() for path in repo.rglob("*") if path.is_file()}

    outcome = checked(session, repo)

    assert outcome.findings == ()
    assert outcome.seen.test_run.ok
    assert outcome.seen.resume_duration is not None
    assert outcome.seen.again_error is None
    assert before == {path: path.read_bytes() for path in repo.rglob("*") if path.is_file()}
    # The layer is that of the first setup, and a run finds it.
    spec = session.spec(session.repository(repo), {})
    workspace = session.workspace(spec, "ready")
    assert workspace.setup.cache == "hit"
    session.stop(workspace)


def test_the_findings_are_tests(host, tmp_path):
    """
    Without test code in the repository, whose own tests are not collected.
    """
    fault = next(one for one in BROKEN if one.setup.startswith("echo 'Installed.'"))
    repo = init_repo(tmp_path / "repo", {**fault.content(host), "test_own.py": "assert False\n"})

    done = subprocess.run(
        [
            *(*PYTEST, "--pyargs", "pytest_codex_workspace.conformance", "--codex-repo=."),
            *("--codex-image=slim", "-rA", "-c", os.devnull),
        ],
        cwd=repo,
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 0, done.stdout
    assert "FindingWarning: codex-workspace-scripts/setup-script.sh: " in done.stdout
    assert "changes README.md, which the repository tracks" in done.stdout
    assert "`make test` (from Makefile) passed" in done.stdout
    assert f"{len(CHECKS) + 1} passed, 1 warning" in done.stdout

"""S15, S19: Doctor reports the state of the real engine, the machine and a repository."""

from __future__ import annotations

import os
import pty
import subprocess
import sys

import pytest

from pytest_codex_workspace.engine import labels

from ..conftest import commit, init_repo, scripts
from ..helpers.events import read_events

COMMAND = [sys.executable, "-m", "pytest_codex_workspace.cli", "doctor", "--image=slim"]

SETUP = "set -euo pipefail\necho hello\n"


@pytest.fixture
def healthy(tmp_path):
    """
    Return a repository without problems.
    """
    return init_repo(tmp_path / "healthy", {"README": "hello\n", **scripts(SETUP, SETUP)})


def doctor(*arguments, **environ):
    """
    Run doctor; run it again if the machine was too busy for a check.
    """
    for _ in range(3):
        run = subprocess.run(
            [*COMMAND, *map(str, arguments)],
            env={**os.environ, **environ},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=60,
        )
        if "was stopped" not in run.stdout:
            break
    return run


def findings(run):
    return {(one["group"], one["check"]): one for one in read_events(run.stdout.splitlines())}


def ours(engine):
    """
    Return the names of the objects that doctor has left on the engine.
    """
    found = [*engine.containers({labels.SESSION: None}), *engine.networks({labels.SESSION: None})]
    return {one.name for one in found if "doctor" in one.name}


def test_a_healthy_repository_passes_all_checks(healthy, codex_engine, codex_image):
    """
    A run has everything that it needs, and the exit code is 0.
    """
    run = doctor("--json", healthy)

    assert (0, "") == (run.returncode, run.stderr)
    found = findings(run)
    for check in (
        ("engine", "found"),
        ("engine", "version"),
        ("repository", "commit"),
        ("repository", "changes"),
        ("codex", "findings"),
        ("workspace", "image"),
    ):
        assert "ok" == found[check]["status"], found[check]
    assert "slim: built" in found["workspace", "image"]["text"]
    assert "error" not in {one["status"] for one in found.values()}
    assert set() == ours(codex_engine)


def test_what_is_printed_for_people(healthy, codex_image):
    """
    Each check has a line below its group, and the last line has the totals.
    """
    run = doctor(healthy)

    assert 0 == run.returncode
    assert run.stdout.startswith("engine\n  ok       found            ")
    for group in ("network", "machine", "repository", "workspace"):
        assert f"\n{group}\n" in run.stdout
    assert run.stdout.splitlines()[-1].endswith("0 errors")


@pytest.mark.promise("S15")
def test_runtimes_are_asked_of_the_image(healthy, codex_engine, codex_image):
    """
    S15: A version that the image lacks is an error that lists the versions it has; a version that
    it has is not.
    """
    refused = doctor("--json", "--env=CODEX_ENV_NODE_VERSION=99", healthy)
    taken = doctor("--json", "--env=CODEX_ENV_NODE_VERSION=22", healthy)

    one = findings(refused)["workspace", "runtimes"]
    assert (1, "error") == (refused.returncode, one["status"])
    assert "CODEX_ENV_NODE_VERSION=99: not in this image, which has Node 18" in one["text"]
    assert "slim has" not in one["text"]
    assert "--env" in one["remedy"]
    assert 0 == taken.returncode
    assert "Node" not in findings(taken)["workspace", "runtimes"]["text"]
    assert set() == ours(codex_engine)


@pytest.mark.promise("S19")
def test_no_repository_is_an_error(tmp_path, codex_image):
    """
    S19: The error says what to specify, and the other checks run.
    """
    run = doctor("--json", tmp_path)

    found = findings(run)
    assert 1 == run.returncode
    assert "not in a git repository" in found["repository", "commit"]["text"]
    assert "git init" in found["repository", "commit"]["remedy"]
    assert "ok" == found["workspace", "image"]["status"]


@pytest.mark.promise("S19")
def test_a_submodule_that_is_not_there_can_be_left_out(healthy, codex_image):
    """
    S19: The remedy names CODEX_SKIP_SUBMODULES, and works.
    """
    module = init_repo(healthy / "lib", {"a": "1"})
    url = '[submodule "lib"]\n\tpath = lib\n\turl = git@example.org:lib.git\n'
    commit(healthy, {".gitmodules": url})
    module.rename(healthy.parent / "elsewhere")
    (healthy / "lib").mkdir()

    missing = doctor("--json", healthy)
    skipped = doctor("--json", healthy, CODEX_SKIP_SUBMODULES="1")

    found = findings(missing)
    assert (1, "error") == (missing.returncode, found["repository", "submodules"]["status"])
    assert "CODEX_SKIP_SUBMODULES=1" in found["repository", "submodules"]["remedy"]
    assert "ssh" in found["codex", "git-submodule"]["text"]
    assert 0 == skipped.returncode


@pytest.mark.parametrize("host", ["unix:///nowhere/docker.sock", "tcp://127.0.0.1:1"])
def test_an_engine_that_does_not_answer_is_an_error(healthy, host):
    """
    The error says what was tried and what to do, without a traceback.
    """
    run = doctor(healthy, DOCKER_HOST=host)

    assert (1, "") == (run.returncode, run.stderr)
    assert f"DOCKER_HOST, {host}" in run.stdout
    assert "Correct or unset DOCKER_HOST, or name an engine with --engine=URL." in run.stdout


def test_the_default_image_is_asked_for_and_not_pulled(healthy, codex_engine):
    """
    If no registry answers, slim is suggested; if one does, the check passes. Nothing is pulled.
    """
    reference = "registry.invalid/never/made:1"
    found = findings(doctor("--json", f"--image={reference}", healthy))["workspace", "image"]

    assert "error" == found["status"]
    assert f"{reference} is not on the engine, and cannot be pulled: " in found["text"]
    assert "--image=slim" in found["remedy"]
    assert codex_engine.image(reference) is None


@pytest.mark.parametrize(("no_color", "coloured"), [("", True), ("1", False)])
def test_colours_are_for_terminals(tmp_path, no_color, coloured):
    """
    Colours are used on terminals only, and not with NO_COLOR.
    """
    ours_end, theirs = pty.openpty()
    environ = {"NO_COLOR": no_color, "DOCKER_HOST": "unix:///nowhere/docker.sock"}
    run = subprocess.Popen(
        [*COMMAND, str(tmp_path)],
        env={**os.environ, **environ},
        stdin=subprocess.DEVNULL,
        stdout=theirs,
        stderr=subprocess.DEVNULL,
    )
    os.close(theirs)
    printed = b""
    try:
        while piece := os.read(ours_end, 65536):
            printed += piece
    except OSError:
        # Linux says so when the other end is closed.
        pass
    finally:
        os.close(ours_end)

    assert 1 == run.wait(60)
    assert b"No container engine answers" in printed
    assert coloured == (b"\x1b[31;1merror" in printed)

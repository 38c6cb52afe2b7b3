"""S16: Several engines in one run: many repositories, and the tests of one, with an engine lost."""

from __future__ import annotations

import json
import secrets
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from pytest_codex_workspace.engine import labels
from pytest_codex_workspace.engine.docker.find import find_engine

from ..conftest import init_repo, scripts
from ..helpers.events import read_events
from ..helpers.private_engine import PrivateEngine
from .runs import COMMAND, PYTEST, running, until

pytestmark = [pytest.mark.slow, pytest.mark.promise("S16")]

ON_PRIVATE = "grep -q /private /proc/self/mountinfo"
"""A command that succeeds in containers of the private engine: their disks lie below its folder."""


def test_repositories_of_a_lost_engine_are_checked_on_the_other(
    codex_engine, private, small_image, tmp_path
):
    """
    Each repository has a result, and those that cannot be checked end nothing.
    """
    for number in range(2):
        hang = f"if {ON_PRIVATE}; then echo hanging; sleep 300; fi\n" if number == 1 else ""
        init_repo(tmp_path / f"repo-{number}", {"a": "1", **scripts(f"{hang}echo done\n")})
    (tmp_path / "no-repository").mkdir()
    init_repo(tmp_path / "fails", {"a": "1", **scripts("exit 3\n")})
    listed = [*(f"repo-{number}" for number in range(2)), "no-repository", "fails"]
    (tmp_path / "list").write_text("# all of them\n" + "\n".join(listed))
    words = (
        *("check", "--from-file=list", f"--image={small_image}", "--json", "--jobs=1"),
        *(f"--engine={codex_engine.url}", f"--engine={private.url}"),
        *("--sarif=found.sarif", "--report=report"),
    )
    with running(*COMMAND, *words, cwd=tmp_path) as run, brought_back(private):
        run.until("hanging")
        private.stop()
        code = run.end()

    printed = [line for line in run.output.splitlines() if line.startswith("{")]
    events = read_events(printed)
    results = {Path(one["repo"]).name: one for one in events if one["event"] == "repository"}
    assert code == 125, run.output
    assert sorted(results) == sorted(listed)
    failed = {name: one["error"] for name, one in results.items() if one["failure"]}
    assert failed == {"no-repository": "ProjectionError"}, run.output
    assert results["repo-1"]["engine"] == codex_engine.url
    assert results["fails"]["errors"] == 1
    assert all(results[f"repo-{number}"]["errors"] == 0 for number in range(2)), run.output
    assert any("does not answer any more" in one.get("text", "") for one in events)
    end = events[-1]
    assert (end["repositories"], end["failed"]) == (4, 1), run.output
    assert [one["lost"] for one in end["engines"]] == [False, True]
    sarif = json.loads((tmp_path / "found.sarif").read_text())
    roots = [one["originalUriBaseIds"]["SRCROOT"]["uri"] for one in sarif["runs"]]
    assert [Path(one).name for one in roots] == listed
    report = json.loads((tmp_path / "report/report.json").read_text())
    outcomes = {
        Path(one["test"].removeprefix("check ")).name: one["outcome"] for one in report["tests"]
    }
    assert {name for name, outcome in outcomes.items() if outcome == "failed"} == set(listed[-2:])
    assert {one["repository"] for one in report["workspaces"]} >= {"repo-0", "repo-1", "fails"}


def test_an_interrupt_ends_all_processes(codex_engine, small_image, tmp_path):
    """
    A table tells what was done.
    """
    names = [f"repo-{number}" for number in range(3)]
    for name in names:
        init_repo(tmp_path / name, {"a": "1", **scripts("echo hanging\nsleep 300\n")})
    words = ("check", f"--image={small_image}", f"--engine={codex_engine.url}", "--output=stream")
    with running(*COMMAND, *words, "--jobs=2", *names, cwd=tmp_path) as run:
        run.until(": hanging")
        run.kill(signal.SIGINT)
        code = run.end()

    assert code == -signal.SIGINT, run.output
    assert "interrupted: 0 of 3 repositories were checked" in run.output
    assert run.output.count("  interrupted  ") == 3
    assert "Traceback" not in run.output


NAME = f"on-several-engines-{secrets.token_hex(4)}"

TESTS = f"""
import pathlib, pytest

@pytest.mark.parametrize("number", range(4))
def test_it(codex_engine, codex_workspace, number):
    assert codex_engine.container(codex_workspace.container).running
    assert codex_workspace.exec("cat /root/made", check=True).stdout
    if codex_workspace.exec("{ON_PRIVATE}").ok:
        pathlib.Path("private-is-used").touch()
        codex_workspace.exec("sleep 900", check=True)
"""


def test_tests_on_a_lost_engine(codex_engine, private, small_image, tmp_path):
    """
    One setup is made and copied; the error of the test on the engine names it, the test runs again
    on the other one, and so does what comes later on its worker.
    """
    init_repo(tmp_path / NAME, {"a": "1", **scripts("date +%s.%N >/root/made\n")})
    (tmp_path / "test_it.py").write_text(TESTS)
    words = (
        *("-n2", "--reruns=1", f"--codex-repo={NAME}", f"--codex-image={small_image}"),
        *(
            f"--codex-engine={codex_engine.url}",
            f"--codex-engine={private.url}",
            "--codex-report=report",
        ),
    )
    with running(*PYTEST, *words, "test_it.py", cwd=tmp_path) as run, brought_back(private):
        assert until((tmp_path / "private-is-used").exists, 300)
        assert until(lambda: all(map(setups_of, (codex_engine.url, private.url))), 300)
        has, private_has = map(setups_of, (codex_engine.url, private.url))
        private.stop()
        code = run.end()

    assert has == private_has
    assert code == 0, run.output
    assert "4 passed, 1 rerun" in run.output
    assert run.output.count("comes from the engine") == 1
    assert run.output.count("others go on without it") == 1
    tests = json.loads((tmp_path / "report/report.json").read_text())["tests"]
    (lost,) = [one["message"] for one in tests if one["outcome"] == "failed"]
    assert "WorkspaceLost" in lost
    assert private.url in lost


@contextmanager
def brought_back(engine: PrivateEngine) -> Iterator[None]:
    """
    Start the engine again at the end, for the other tests.
    """
    try:
        yield
    finally:
        engine.stop()
        engine.start()


def setups_of(url: str) -> set[str]:
    engine = find_engine(url)
    try:
        return {one.id for one in engine.images({labels.KIND: "setup", labels.NAME: NAME})}
    finally:
        engine.close()

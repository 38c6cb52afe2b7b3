"""Doctor: running all checks, and printing the results."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from pytest_codex_workspace.cli.doctor import finding_lines
from pytest_codex_workspace.cli.main import main
from pytest_codex_workspace.doctor.checks import run_all
from pytest_codex_workspace.doctor.result import NamedResult, error, from_error, ok, some, warning
from pytest_codex_workspace.doctor.runner import DoctorCheck, in_thread, needs, run_checks
from pytest_codex_workspace.errors import CodexWorkspaceError, EngineError, ProjectionError
from pytest_codex_workspace.options.config import Config

from ...helpers.events import read_events
from ...helpers.repositories import Repository, host_environment

pytestmark = [pytest.mark.needs_bash, pytest.mark.needs_git, pytest.mark.slow]


@pytest.fixture
def machine(tmp_path, monkeypatch):
    """
    Set up a machine that has only git and bash, and no engine.
    """
    tools = tmp_path / "bin"
    tools.mkdir()
    for name in ("git", "bash"):
        (tools / name).symlink_to(shutil.which(name))
    environ = {
        **host_environment(tmp_path / "home"),
        "PATH": str(tools),
        "DOCKER_HOST": f"unix://{tmp_path}/none.sock",
        "PIP_INDEX_URL": "file:///srv/wheels",
        "PIP_CONFIG_FILE": os.devnull,
        "XDG_CACHE_HOME": str(tmp_path / "cache"),
        "XDG_DATA_HOME": str(tmp_path / "data"),
    }
    for name in set(os.environ) - set(environ):
        monkeypatch.delenv(name)
    for name, value in environ.items():
        monkeypatch.setenv(name, value)
    return environ


@pytest.fixture
def doctor(capsys):
    """
    Return a function that runs the command and returns exit code and output.
    """
    before = signal.getsignal(signal.SIGTERM)

    def run(*arguments):
        code = main(["doctor", *map(str, arguments)])
        return code, capsys.readouterr().out

    yield run
    signal.signal(signal.SIGTERM, before)


def raises(problem):
    def run():
        raise problem

    return run


def results(*runs, limit=5.0):
    checks = [DoctorCheck("group", str(number), run) for number, run in enumerate(runs)]
    return {int(one.check): one.result for one in run_checks(checks, limit)}


def test_results_come_in_order_even_if_an_earlier_check_is_slower():
    """
    All checks run at the same time, and a check without a result is left out.
    """
    gate = threading.Event()

    def first():
        assert gate.wait(5)
        return ok("first")

    def second():
        gate.set()
        return ok("second")

    assert {0: ok("first"), 2: ok("second")} == results(first, lambda: None, second)


@pytest.mark.parametrize("problem", [ValueError("odd"), SystemExit(3), KeyboardInterrupt()])
def test_a_check_that_raises_is_an_error(problem):
    """
    The other checks still run.
    """
    got = results(raises(problem), lambda: ok("fine"))

    assert "error" == got[0].status
    assert f"{type(problem).__name__}: {problem}" in got[0].text
    assert got[0].remedy
    assert ok("fine") == got[1]


def test_a_check_that_hangs_is_given_up():
    """
    The result is a warning, because nothing is known.
    """
    gate = threading.Event()

    got = results(lambda: gate.wait(30) and None, lambda: ok("fine"), limit=0.05)

    gate.set()
    assert ("warning", True) == (got[0].status, "0.05 s" in got[0].text)
    assert ok("fine") == got[1]


def test_a_hanging_thread_does_not_keep_the_process_alive():
    """
    A thread in a system call cannot be stopped.
    """
    code = (
        "import threading; from pytest_codex_workspace.doctor.runner import in_thread; "
        "in_thread(threading.Event().wait)"
    )

    assert 0 == subprocess.run([sys.executable, "-c", code], timeout=30).returncode


def test_what_a_check_creates_is_removed_before_the_end():
    """
    Also when the reader has gone, or after Ctrl-C; other checks are not waited for.
    """
    removed, go, never = [], threading.Event(), threading.Event()

    def create():
        go.wait(5)
        removed.append("network")
        return ok("it can be created")

    findings = run_checks(
        [
            DoctorCheck("x", "1", lambda: ok("first")),
            DoctorCheck("x", "2", create, creates=True),
            DoctorCheck("x", "3", lambda: never.wait(60) and None),
        ]
    )
    next(findings)
    threading.Timer(0.01, go.set).start()
    findings.close()

    assert removed == ["network"]
    never.set()


def test_a_failure_to_start_a_thread_is_an_error(monkeypatch):
    """
    The machine may be out of threads.
    """
    monkeypatch.setattr(threading.Thread, "start", lambda _: raises(RuntimeError("no thread"))())

    assert "no thread" in results(lambda: ok("fine"))[0].text


def test_a_check_without_its_value_has_no_result():
    """
    The check of the missing value itself reports the problem.
    """
    never = in_thread(threading.Event().wait)

    assert needs(in_thread(raises(ValueError())), ok)() is None
    assert needs(never, ok, 0.01)() is None
    assert ok("value") == needs(in_thread(lambda: "value"), ok)()


@pytest.mark.parametrize(
    ("problem", "text", "remedy"),
    [
        (EngineError("disk full", remedy="Free some: x"), "disk full", "Free some: x"),
        (CodexWorkspaceError("a\nb: c; d", remedy="Set A"), "a\nb: c; d", "Set A"),
        (ProjectionError("git x failed: oh; no"), "git x failed: oh; no", "Fix the cause"),
    ],
)
def test_one_of_our_errors_keeps_its_remedy(problem, text, remedy):
    """
    Message and remedy stay apart, and a remedy is always present.
    """
    got = from_error(problem)

    assert "error" == got.status
    assert text == got.text
    assert got.remedy.startswith(remedy)


def test_some_of_many():
    """
    At most five names are listed, then the number of the others.
    """
    assert "a, b" == some("ab")
    assert "a, b, c, d, e and 2 more" == some("abcdefg")


@pytest.mark.promise("S19")
def test_without_repository_and_engine(machine, tmp_path, doctor):
    """
    S19: each is one error with a remedy, checks that depend on them are left out, and the exit
    code is 1.
    """
    code, printed = doctor(tmp_path)

    assert 1 == code
    lines = printed.splitlines()
    assert ["engine", "network", "machine", "repository"] == [x for x in lines if x[0] != " "][:-1]
    errors = [number for number, line in enumerate(lines) if line.startswith("  error")]
    assert 2 == len(errors)
    assert "found            No container engine answers" in lines[errors[0]]
    assert f"commit           {tmp_path} is not in a git repository" in lines[errors[1]]
    assert "           Give the path of a repository, or run git init" in lines[errors[1] + 1]
    assert lines[-1].endswith("2 errors")
    assert "\x1b" not in printed


def test_json_has_one_event_per_line(machine, tmp_path, doctor):
    """
    Each check is an event, and the last line is the result with the same fields.
    """
    repository = Repository(tmp_path / "demo", machine)
    repository.commit({"codex-workspace-scripts/setup-script.sh": "if\n"})

    code, printed = doctor("--json", repository.path)

    assert 1 == code
    found = read_events(printed.splitlines())
    fields = ["group", "check", "status", "text", "remedy"]
    assert {"check"} == {one["event"] for one in found[:-1]}
    assert ("result", 1, "error") == tuple(
        found[-1][name] for name in ("event", "exit_code", "status")
    )
    for one in found:
        assert fields == [name for name in one if name in fields]
        assert (one["status"] == "ok") == (one["remedy"] == "")
    by_check = {one["check"]: one["status"] for one in found}
    names = ("commit", "script-syntax", "findings")
    assert ("ok", "error", "ok") == tuple(by_check[one] for one in names)


def test_nothing_is_written_except_the_own_directories(machine, tmp_path):
    """
    The checks write neither to the repository nor elsewhere in the user's home.
    """
    repository = Repository(tmp_path / "demo", machine)
    repository.commit({"a": "1"})
    before = sorted(tmp_path.rglob("*"))

    list(run_all(Config(repo=repository.path), machine))

    left = sorted(set(tmp_path.rglob("*")) - set(before))
    own = [tmp_path / name for name in ("cache", "data")]
    assert sorted([*own, *(one / "codex-workspace" for one in own)]) == left


def test_names_in_a_repository_cannot_control_the_terminal(machine, tmp_path, doctor):
    """
    A file name can contain escape sequences.
    """
    repository = Repository(tmp_path / "demo", machine)
    repository.commit({"a": "1"})
    (repository.path / "x\x1b]0;owned\x07\x1b[2Jy").write_text("")

    _, printed = doctor(repository.path)

    assert "1 untracked file, not included" in printed
    assert "\x1b" not in printed


def test_a_finding_is_printed_with_its_status_and_remedy():
    """
    On a terminal, the status is coloured.
    """
    plain = NamedResult("g", "name", warning("one\ntwo", "fix it"))
    red = NamedResult("g", "n", error("x", "y"))

    assert ["  warning  name             one", "           two", "           fix it"] == list(
        finding_lines(plain, coloured=False)
    )
    assert "  \x1b[31;1merror  \x1b[0m  n                x" == next(
        iter(finding_lines(red, coloured=True))
    )


def test_the_command_imports_nothing_heavy_at_its_start():
    """
    Modules that only the checks need are imported when they run.
    """
    heavy = "{'docker', 'requests', 'urllib3', 'yaml'} & set(sys.modules)"
    code = f"import pytest_codex_workspace.cli.main, sys; sys.exit(len({heavy}))"

    assert 0 == subprocess.run([sys.executable, "-c", code]).returncode


def test_an_invalid_configuration_file_is_one_error(tmp_path):
    """
    The other checks run with the options of the command line.
    """
    env = host_environment(tmp_path / "home")
    repo = Repository(tmp_path / "repo", env)
    repo.commit({"a.txt": "1\n", ".codex-workspace.yaml": "imgae: slim\n"})

    done = subprocess.run(
        [sys.executable, "-m", "pytest_codex_workspace.cli", "doctor", "--json", str(repo.path)],
        env={**env, "DOCKER_HOST": f"unix://{tmp_path}/none.sock"},
        capture_output=True,
        text=True,
        check=False,
    )

    found = {one["check"]: one for one in read_events(done.stdout.splitlines())}
    assert 1 == done.returncode
    assert "error" == found["configuration"]["status"]
    assert "did you mean 'image'" in found["configuration"]["text"]
    assert "ok" == found["git"]["status"]


def test_a_damaged_clone_is_one_error(tmp_path):
    """
    Other checks do not repeat it in git's words.
    """
    env = host_environment(tmp_path / "home")
    repo = Repository(tmp_path / "repo", env)
    repo.commit({"a.txt": "1\n"})
    blob = repo.git("rev-parse", "HEAD:a.txt")
    (repo.path / ".git/objects" / blob[:2] / blob[2:]).unlink()
    env["DOCKER_HOST"] = f"unix://{tmp_path}/none.sock"

    found = [
        one
        for one in run_all(Config(repo=repo.path, upstream_proxy="none"), env)
        if one.group == "repository" and one.result.status == "error"
    ]

    assert ["objects"] == [one.check for one in found]
    assert "a.txt (object" in found[0].result.text
    assert "fsck" in found[0].result.remedy


def test_the_sample_in_the_manual_adds_up():
    """
    Its last line counts the lines above it.
    """
    page = Path(__file__).parents[3] / "docs" / "doctor.md"
    sample = page.read_text().partition("```console\n")[2].partition("```")[0]

    shown = re.findall(r"^  (ok|warning|error) +\S", sample, re.MULTILINE)

    counts = (
        f"{len(shown)} checks: {shown.count('warning')} warnings, {shown.count('error')} errors"
    )
    assert counts == sample.splitlines()[-1]

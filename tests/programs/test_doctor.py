"""Doctor: all checks at once, and how they are printed."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import threading

import pytest

from pytest_codex_workspace.cli import main
from pytest_codex_workspace.cli.doctor import lines_of
from pytest_codex_workspace.config import Config
from pytest_codex_workspace.doctor.examination import examine
from pytest_codex_workspace.doctor.results import Finding, advised, error, ok, some, warning
from pytest_codex_workspace.doctor.running import Check, begin, needs, run_checks
from pytest_codex_workspace.errors import CodexWorkspaceError, EngineError, ProjectionError

from ..unit.repositories import Repository, host_environment


@pytest.fixture
def machine(tmp_path, monkeypatch):
    """
    A machine with git and bash and nothing else, on which no engine runs.
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
    }
    for name in set(os.environ) - set(environ):
        monkeypatch.delenv(name)
    for name, value in environ.items():
        monkeypatch.setenv(name, value)
    return environ


@pytest.fixture
def doctor(capsys):
    """
    Run the command: exit code and output.
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
    checks = [Check("group", str(number), run) for number, run in enumerate(runs)]
    return {int(one.check): one.result for one in run_checks(checks, limit)}


def test_results_come_in_order_whatever_takes_longer():
    """
    All run at once, and what has nothing to say says nothing.
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
def test_a_check_that_fails_is_an_error_of_its_own(problem):
    """
    The others go on.
    """
    got = results(raises(problem), lambda: ok("fine"))

    assert "error" == got[0].status
    assert f"{type(problem).__name__}: {problem}" in got[0].text
    assert got[0].remedy
    assert ok("fine") == got[1]


def test_a_check_that_hangs_is_given_up():
    """
    As a warning: nothing is known.
    """
    gate = threading.Event()

    got = results(lambda: gate.wait(30) and None, lambda: ok("fine"), limit=0.05)

    gate.set()
    assert ("warning", True) == (got[0].status, "0.05 s" in got[0].text)
    assert ok("fine") == got[1]


def test_what_hangs_does_not_keep_the_process():
    """
    A thread in a system call cannot be ended.
    """
    code = (
        "import threading; from pytest_codex_workspace.doctor.running import begin; "
        "begin(threading.Event().wait)"
    )

    assert 0 == subprocess.run([sys.executable, "-c", code], timeout=30).returncode


def test_no_thread_is_an_error_too(monkeypatch):
    """
    On a machine that has none left.
    """
    monkeypatch.setattr(threading.Thread, "start", lambda _: raises(RuntimeError("no thread"))())

    assert "no thread" in results(lambda: ok("fine"))[0].text


def test_what_needs_something_that_is_not_there_is_silent():
    """
    The check of that thing speaks.
    """
    never = begin(threading.Event().wait)

    assert needs(begin(raises(ValueError())), ok)() is None
    assert needs(never, ok, 0.01)() is None
    assert ok("value") == needs(begin(lambda: "value"), ok)()


@pytest.mark.parametrize(
    ("problem", "text", "remedy"),
    [
        (EngineError("no room\nmake some: --codex-x"), "no room", "Make some: --x"),
        (CodexWorkspaceError("neither; set A"), "neither", "Set A"),
        (ProjectionError("lost: find it"), "lost", "Find it"),
        (ProjectionError("none: git log lists them"), "none", "git log lists them"),
        (ProjectionError("git x failed: oh"), "git x failed: oh", "Mend what it names"),
        (ProjectionError("'.' cannot be a repository: gone"), "'.' cannot be", "Mend what"),
        (CodexWorkspaceError("all there is"), "all there is", "Mend what it names"),
    ],
)
def test_our_errors_are_parted(problem, text, remedy):
    """
    Nothing of them is lost, and a remedy is always there.
    """
    got = advised(problem)

    assert "error" == got.status
    assert got.text.startswith(text)
    assert got.remedy.startswith(remedy)


def test_some_of_many():
    """
    Five, and a number.
    """
    assert "a, b" == some("ab")
    assert "a, b, c, d, e and 2 more" == some("abcdefg")


@pytest.mark.promise("S19")
def test_without_repository_and_engine(machine, tmp_path, doctor):
    """
    S19: each is one error with a remedy, what depends on them is left out, and the exit code is 1.
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


def test_json_has_one_object_a_line(machine, tmp_path, doctor):
    """
    With the fields that are promised, and nothing else around.
    """
    repository = Repository(tmp_path / "demo", machine)
    repository.commit({"codex-workspace-scripts/setup-script.sh": "if\n"})

    code, printed = doctor("--json", repository.path)

    assert 1 == code
    found = [json.loads(line) for line in printed.splitlines()]
    for one in found:
        assert ["group", "check", "status", "text", "remedy"] == list(one)
        assert (one["status"] == "ok") == (one["remedy"] == "")
    by_check = {one["check"]: one["status"] for one in found if one["group"] == "repository"}
    assert ("ok", "error", "warning") == tuple(by_check[n] for n in ("commit", "syntax", "set -e"))


def test_nothing_is_written_but_the_cache_directory(machine, tmp_path):
    """
    Not into the repository, not elsewhere in the user's home.
    """
    repository = Repository(tmp_path / "demo", machine)
    repository.commit({"a": "1"})
    before = sorted(tmp_path.rglob("*"))

    list(examine(Config(repo=repository.path), machine))

    left = sorted(set(tmp_path.rglob("*")) - set(before))
    assert [tmp_path / "cache", tmp_path / "cache/codex-workspace"] == left


def test_what_a_repository_names_cannot_steer_the_terminal(machine, tmp_path, doctor):
    """
    File names are anybody's.
    """
    repository = Repository(tmp_path / "demo", machine)
    repository.commit({"a": "1"})
    (repository.path / "x\x1b]0;owned\x07\x1b[2Jy").write_text("")

    _, printed = doctor(repository.path)

    assert "1 untracked file, which" in printed
    assert "\x1b" not in printed


def test_a_finding_has_a_mark_and_what_to_do_below():
    """
    Colours mark it where they are wanted.
    """
    plain = Finding("g", "name", warning("one\ntwo", "mend it"))
    red = Finding("g", "n", error("x", "y"))

    assert ["  warning  name             one", "           two", "           mend it"] == list(
        lines_of(plain, coloured=False)
    )
    assert "  \x1b[31;1merror  \x1b[0m  n                x" == next(
        iter(lines_of(red, coloured=True))
    )


def test_the_command_starts_light():
    """
    What only its checks need is imported when they run.
    """
    heavy = "{'docker', 'requests', 'urllib3', 'yaml'} & set(sys.modules)"
    code = f"import pytest_codex_workspace.cli, sys; sys.exit(len({heavy}))"

    assert 0 == subprocess.run([sys.executable, "-c", code]).returncode


def test_a_mistake_in_the_file_is_an_error_among_others(tmp_path):
    """
    The other checks go on with what the options say.
    """
    env = host_environment(tmp_path / "home")
    repo = Repository(tmp_path / "repo", env)
    repo.commit({"a.txt": "1\n"})
    (repo.path / ".codex-workspace.yaml").write_text("imgae: slim\n")

    done = subprocess.run(
        [sys.executable, "-m", "pytest_codex_workspace.cli", "doctor", "--json", str(repo.path)],
        env={**env, "DOCKER_HOST": f"unix://{tmp_path}/none.sock"},
        capture_output=True,
        text=True,
        check=False,
    )

    found = {one["check"]: one for one in map(json.loads, done.stdout.splitlines())}
    assert 1 == done.returncode
    assert "error" == found["configuration"]["status"]
    assert "did you mean 'image'" in found["configuration"]["text"]
    assert "ok" == found["git"]["status"]

"""The steps of the GitHub action, as a runner starts them: with its variables, in a checkout."""

from __future__ import annotations

import json
import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from ci import action
from pytest_codex_workspace.codex import SETUP

from ...helpers.repositories import Repository, host_environment

SCRIPT = Path(action.__file__)

RECORDER = """\
#!/bin/sh
printf '%s\\n' "$@" >>"$RECORD"
echo "=== end" >>"$RECORD"
for word in "$@"; do
  case $word in
    list) cat "$LISTED" ;;
    export) exports=yes ;;
    *.tar) [ -z "$exports" ] || echo setups >"$word" ;;
  esac
done
exit "${CODE:-0}"
"""
"""A Python that writes down its words."""


class Runner:
    """
    A runner of GitHub, in a directory of its own.

    Attributes:
        place: where its temporary files are.
    """

    def __init__(self, place: Path) -> None:
        self.place = place / "temp"
        self.place.mkdir()
        self._record = place / "record"
        self._listed = place / "listed"
        self._python = place / "python"
        self._python.write_text(RECORDER)
        self._python.chmod(stat.S_IRWXU)
        self._files = {name: place / name for name in ("GITHUB_OUTPUT", "GITHUB_STEP_SUMMARY")}
        self._workspace = place

    def start(
        self, step: str, cwd: Path | None = None, code: int = 0, **inputs: str
    ) -> subprocess.CompletedProcess[str]:
        """
        Run a step with *inputs*, as action.yml names them.
        """
        command = [sys.executable, "-I", str(SCRIPT), step]
        return subprocess.run(
            command,
            cwd=cwd or self.place,
            env=self.environment(code, **inputs),
            capture_output=True,
            text=True,
        )

    def environment(self, code: int = 0, **inputs: str) -> dict[str, str]:
        """
        Return the variables of a step.
        """
        given = {f"CODEX_ACTION_{name.upper()}": value for name, value in inputs.items()}
        return {
            **{name: os.environ[name] for name in ("HOME", "PATH") if name in os.environ},
            "CODE": str(code),
            "GITHUB_ACTIONS": "true",
            "GITHUB_ACTION_PATH": "/the/action",
            "GITHUB_WORKSPACE": str(self._workspace),
            "LISTED": str(self._listed),
            "RECORD": str(self._record),
            "RUNNER_ARCH": "X64",
            "RUNNER_OS": "Linux",
            "RUNNER_TEMP": str(self.place),
            "CODEX_ACTION_PYTHON": str(self._python),
            **{name: str(path) for name, path in self._files.items()},
            **given,
        }

    def outputs(self) -> dict[str, str]:
        """
        Return the outputs of the steps until now.
        """
        file = self._files["GITHUB_OUTPUT"]
        lines = file.read_text().splitlines() if file.exists() else []
        return dict(line.split("=", 1) for line in lines)

    def summary(self) -> str:
        """
        Return the summary of the job.
        """
        return self._files["GITHUB_STEP_SUMMARY"].read_text()

    def words(self) -> list[list[str]]:
        """
        Return the words of each program that was started.
        """
        text = self._record.read_text() if self._record.exists() else ""
        return [one.splitlines() for one in text.split("=== end\n") if one]

    def lists(self, *keys: str) -> None:
        """
        Make the cache have these setups.
        """
        events = [{"kind": "setup", "key": one} for one in keys]
        events.append({"kind": "clean", "key": "not a setup"})
        self._listed.write_text("".join(f"{json.dumps(one)}\n" for one in events))


@pytest.fixture
def runner(tmp_path):
    return Runner(tmp_path)


@pytest.mark.slow
@pytest.mark.needs_git
def test_reading_fails_with_summary_annotations_and_sarif(runner, tmp_path):
    """
    Nothing of it is started by a shell, and nothing of the repository is imported.
    """
    repo = Repository(tmp_path / "shop", host_environment(tmp_path / "home"))
    repo.commit(
        {
            SETUP: "set -e\ngit fetch\n",
            "pytest_codex_workspace/__init__.py": "raise SystemExit('imported')\n",
        }
    )

    done = runner.start("run", cwd=repo.path, command="read", python=sys.executable)

    assert done.returncode == 1, done.stderr
    assert "error    git-remote" in done.stdout
    assert f"file=shop/{SETUP},line=2::" in done.stderr
    assert "git-remote: A command needs a remote" in runner.summary()
    assert runner.outputs() == {"sarif": str(runner.place / "codex-workspace/codex.sarif")}
    (run,) = json.loads(Path(runner.outputs()["sarif"]).read_text())["runs"]
    assert {one["ruleId"] for one in run["results"]} == {"git-remote"}


def test_arguments_are_words_whatever_is_in_them(runner, tmp_path):
    """
    One a line, which no shell reads.
    """
    evil = "--silence=git-tags=$(touch evil); `touch evil`"

    done = runner.start("run", command="read", arguments=f"{evil}\n\n--rev=HEAD", repo="--help")

    assert done.returncode == 0
    (words,) = runner.words()
    assert words[-5:] == [evil, "--rev=HEAD", "--reads-only", "--", "--help"]
    assert not list(tmp_path.rglob("evil"))


@pytest.mark.parametrize("code", [0, 1, 125])
def test_the_exit_code_is_that_of_the_command(runner, code):
    """
    So the step fails as the command does.
    """
    done = runner.start("run", code=code, command="check", image="slim", repo="sub")

    assert done.returncode == code
    (words,) = runner.words()
    assert words[:4] == ["-P", "-m", "pytest_codex_workspace.cli", "check"]
    assert "--image=slim" in words
    assert "--reads-only" not in words


def test_pytest_runs_with_the_options_of_the_plugin(runner):
    """
    In the directory of the job, as its tests are there.
    """
    runner.start("run", command="pytest", image="slim", repo="..", arguments="-x\n-k a and b")

    (words,) = runner.words()
    report = runner.place / "codex-workspace/report"
    assert words == [
        *("-m", "pytest", "--codex-repo=..", f"--codex-report={report}", "--codex-image=slim"),
        *("-x", "-k a and b"),
    ]


def test_an_unknown_command_is_refused_before_anything_is_installed(runner):
    """
    The message has those that there are.
    """
    done = runner.start("install", command="test")

    assert done.returncode == 2
    assert "the input `command` is 'test': use check, read, pytest" in done.stderr
    assert runner.words() == []


def test_what_is_installed_is_the_version_of_the_action_or_another(runner):
    """
    The name of the cache differs by the image.
    """
    runner.start("install", command="check", image="slim")
    first = runner.outputs()
    runner.start("install", command="check", version="pytest-codex-workspace==1")

    installed = [words[-1] for words in runner.words()]
    assert installed == ["/the/action", "pytest-codex-workspace==1"]
    assert first["cache"].startswith("codex-workspace-Linux-X64-")
    assert first["cache"] != runner.outputs()["cache"]


@pytest.mark.slow
def test_installing_runs_nothing_of_the_repository(runner, tmp_path):
    """
    Reading a stranger's commit is safe: a module of the checkout is not taken for one of Python's.
    """
    repo = tmp_path / "shop"
    (repo / "pip").mkdir(parents=True)
    for name in ("argparse.py", "logging.py", "venv.py", "pip/__init__.py", "pip/__main__.py"):
        (repo / name).write_text("import os; open('ran', 'w').close(); os._exit(0)\n")

    done = runner.start("install", cwd=repo, command="read", python="", version="/nowhere")

    assert done.returncode == 1, done.stdout
    assert "/nowhere" in done.stderr
    assert not (repo / "ran").exists()


def test_a_failed_installation_fails_the_step(runner):
    """
    pip says why.
    """
    assert runner.start("install", code=1, command="check").returncode == 1


def test_new_setups_are_kept_under_a_key_of_their_own(runner):
    """
    The same setups have the same key, in whatever order, and are not written again.
    """
    runner.lists("b", "a")
    runner.start("save", cache="codex-")
    key = runner.outputs()["key"]
    runner.lists("a", "b")
    before = len(runner.words())

    runner.start("save", cache="codex-", restored=key)

    assert key.startswith("codex-")
    setups = str(runner.place / "codex-workspace/setups.tar")
    assert runner.words()[1][3:] == ["cache", "export", "--repo=.", setups]
    assert [words[4] for words in runner.words()[before:]] == ["list"]


def test_setups_that_github_would_not_keep_are_named(runner, monkeypatch, capsys):
    """
    With what to do in their place. They would push out what other jobs keep.
    """
    runner.lists("a")
    for name, value in runner.environment().items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(action, "LARGEST", 5)

    assert action.main(["save"], os.environ) == 0
    assert runner.outputs() == {}
    assert "is not kept: use --cache-registry, or --image=slim" in capsys.readouterr().out


def test_without_a_setup_there_is_nothing_to_keep(runner):
    """
    An engine that does not answer has no setups either.
    """
    runner.lists()

    assert runner.start("save", cache="codex-").returncode == 0
    assert runner.outputs() == {}


def test_what_was_restored_is_imported_once(runner):
    """
    A file that is refused is no error: setup runs then.
    """
    file = runner.place / "codex-workspace/setups.tar"
    file.parent.mkdir()
    file.write_text("setups")

    codes = [runner.start("restore", code=1).returncode for _ in range(2)]

    assert codes == [0, 0]
    assert [words[3:] for words in runner.words()] == [["cache", "import", str(file)]]


def test_an_output_of_two_lines_is_refused(runner):
    """
    The second would be another output.
    """
    done = runner.start("install", command="check", python="/bin/true\nkey=x")

    assert done.returncode != 0
    assert "key" not in runner.outputs()


def test_a_step_that_is_none_prints_the_usage(runner):
    """
    With the steps that there are.
    """
    done = runner.start("install-all")

    assert done.returncode == 2
    assert "action.py restore" in done.stderr

"""Tests of `codex-workspace check`, with real repositories and no engine."""

from __future__ import annotations

import io
import json
import sys
from contextlib import nullcontext
from types import SimpleNamespace

import pytest

from pytest_codex_workspace.cli import check
from pytest_codex_workspace.cli.main import main
from pytest_codex_workspace.codex import SETUP
from pytest_codex_workspace.conformance.check import conclude
from pytest_codex_workspace.extensions import CHECK_GROUP
from pytest_codex_workspace.fleet.engine_slots import EngineSlots
from pytest_codex_workspace.fleet.worker import Ended
from pytest_codex_workspace.options.config import Config
from pytest_codex_workspace.options.sources import FILE
from pytest_codex_workspace.reporting.ci import VARIABLES
from pytest_codex_workspace.reporting.output import Output

from ...helpers.distributions import add_distribution
from ...helpers.events import read_events
from ...helpers.repositories import Repository, host_environment
from ..conformance.conftest import FAILED, seen
from ..conformance.test_network_rules import PRESETS, REFUSED

pytestmark = pytest.mark.needs_git

BROKEN = {SETUP: "set -e\ngit fetch\n", "compose.yaml": "x\n", ".nvmrc": "22\n"}


@pytest.fixture(autouse=True)
def _environment(monkeypatch):
    monkeypatch.delenv("CODEX_WORKSPACE_REPO", raising=False)
    monkeypatch.setenv("DOCKER_HOST", "unix:///nowhere/docker.sock")
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def make(tmp_path):
    env = host_environment(tmp_path / "home")

    def make(name, files):
        repo = Repository(tmp_path / name, env)
        repo.commit(files)
        return repo

    return make


@pytest.fixture
def run(capsys):
    def run(*words):
        code = main(["check", "--reads-only", *map(str, words)])
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return run


def test_reading_says_what_a_run_will_need(make, run, monkeypatch):
    """
    Trust, and the values of secrets: without them, what reading finds fine does not start.
    """
    monkeypatch.delenv("SHOP_TOKEN", raising=False)
    repo = make("shop", {".codex-workspace.yaml": "secrets: [SHOP_TOKEN]\n"})

    code, _, errors = run(repo.path)
    quiet = run(repo.path, "--output=quiet")
    monkeypatch.setenv("SHOP_TOKEN", "abcdefgh")
    _, _, trusted = run(repo.path, "--repo-config=trust")

    assert code == 0
    assert f"codex-workspace trust {repo.path}" in errors
    assert "the secret SHOP_TOKEN is not set" in errors
    assert ("", "") == (quiet[2], trusted)


def test_findings_as_text(make, run):
    """
    The worst first, with place, Codex's behaviour and remedy; an error is the exit code 1.
    """
    code, printed, errors = run(make("shop", BROKEN).path)

    lines = printed.splitlines()
    assert (1, "") == (code, errors)
    assert lines[0].startswith(f"error    git-remote  {SETUP}:2: git fetch needs a remote")
    assert lines[1].startswith("         In Codex: ")
    assert lines[2].startswith("         Remedy: ")
    assert ["error", "warning", "note"] == [one.split()[0] for one in lines[:-1:3]]
    assert "3 findings: 1 error, 1 warning, 1 note" == lines[-1]


def test_a_clean_repository(make, run):
    """
    It says so.
    """
    code, printed, _ = run(make("shop", {"a": "1"}).path)

    assert 0 == code
    assert [
        "nothing found that does not work in Codex",
        "0 findings: 0 errors, 0 warnings, 0 notes",
    ] == printed.splitlines()


def test_silenced_findings_are_shown_and_do_not_count(make, run):
    """
    The file of the repository has their reasons; the command line, too.
    """
    file = "check:\n  silence:\n    git-remote: the script runs elsewhere\n"
    shop = make("shop", {**BROKEN, FILE: file})

    code, printed, _ = run(shop.path, "--silence=docker-services=for people")

    lines = printed.splitlines()
    assert 0 == code
    assert "silenced git-remote" in printed
    assert "         silenced: the script runs elsewhere" in lines
    assert "         silenced: for people" in lines
    assert "1 finding: 0 errors, 1 warning, 0 notes; 2 silenced" == lines[-1]


@pytest.mark.parametrize(
    ("file", "problem"),
    [
        ("git-tag: x", "line 3: check.silence: there is no check 'git-tag' (did you mean"),
        ("git-tags: ''", "line 3: check.silence.git-tags has no value"),
        ("git-tags:", "line 3: check.silence: git-tags is silenced without a reason"),
        ("git-tags: [x]", "check.silence.git-tags is a list; it must be a plain value"),
        ("git-tags: true", "check.silence.git-tags is a truth value; it must be text"),
    ],
)
def test_mistakes_in_the_file(make, run, file, problem):
    """
    They name the line, and the repository is not checked.
    """
    code, _, errors = run(make("shop", {FILE: f"check:\n  silence:\n    {file}\n"}).path)

    assert 125 == code
    assert problem in errors


@pytest.mark.parametrize(
    ("word", "problem"),
    [
        ("--silence=sudoo=x", "there is no check 'sudoo' (did you mean 'sudo'?)"),
        ("--silence=sudo", "sudo is silenced without a reason"),
    ],
)
def test_mistakes_on_the_command_line(make, run, word, problem):
    """
    They are errors of the same words.
    """
    code, _, errors = run(make("shop", {"a": "1"}).path, word)

    assert 125 == code
    assert f"--silence: {problem}" in errors


def test_a_file_without_trust_is_read(make, run, monkeypatch, tmp_path):
    """
    Nothing runs that could use what it asks for. That a run will not read it so is said.
    """
    monkeypatch.delenv("TOKEN", raising=False)
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    shop = make("shop", {FILE: "secrets: [TOKEN]\nimage: example.org/evil\n", ".nvmrc": "22\n"})

    code, printed, errors = run(shop.path)

    assert (0, 2) == (code, len(errors.splitlines()))
    assert "runtime-version" in printed


def test_several_repositories(make, run, tmp_path):
    """
    Each is reported; one that cannot be checked does not stop the others.
    """
    one, two = make("one", {"a": "1"}), make("two", BROKEN)

    code, printed, errors = run(one.path, tmp_path / "none", two.path, one.path)

    assert 125 == code
    assert f"codex-workspace: {tmp_path / 'none'}: ProjectionError: " in errors
    lines = printed.splitlines()
    assert [f"{one.path}:", f"{tmp_path / 'none'}:", f"{two.path}:"] == [
        line for line in lines if line.startswith("/")
    ]
    assert "not checked" in lines
    assert (
        "3 findings: 1 error, 1 warning, 1 note in 3 repositories, 1 of them not checked"
        == lines[-1]
    )


def test_repositories_of_a_file(make, run, tmp_path, monkeypatch):
    """
    Paths are relative to the file; `-` is standard input.
    """
    make("one", {"a": "1"})
    two = make("two", {"b": "1"})
    (tmp_path / "list").write_text("# ours\none\n\n  two  \n")

    code, printed, _ = run("--from-file", tmp_path / "list", two.path)
    assert (0, 2) == (code, printed.count("nothing found"))

    monkeypatch.setattr(sys, "stdin", io.StringIO(f"{two.path}\n"))
    assert 0 == run("--from-file=-")[0]


def test_a_line_that_is_no_repository(make, run, tmp_path):
    """
    The others are checked.
    """
    make("one", {"a": "1"})
    (tmp_path / "list").write_text("~nobody-has-this-name/a\none\na\0b\n", "utf-8-sig")

    code, printed, errors = run("--from-file", tmp_path / "list")

    assert (125, 1) == (code, printed.count("nothing found"))
    assert "in 3 repositories, 2 of them not checked" in printed
    assert "~nobody-has-this-name/a does not exist" in errors


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (None, "cannot be read: No such file"),
        ("# none\n", "lists no repository"),
        (b"\xff", "cannot be read"),
        (b"a\n" * (1 << 20), "has more than 1048576 characters"),
    ],
)
def test_a_list_that_cannot_be_used(run, tmp_path, content, problem):
    """
    The whole command fails.
    """
    if content is not None:
        (tmp_path / "list").write_bytes(content if isinstance(content, bytes) else content.encode())

    code, _, errors = run("--from-file", tmp_path / "list")

    assert 125 == code
    assert problem in errors


def test_events(make, run, tmp_path):
    """
    Findings, one event for each repository, and the result.
    """
    shop = make("shop", BROKEN)

    code, printed, _ = run("--json", shop.path, tmp_path / "none", "--silence=git-remote=no")

    events = read_events(printed.splitlines())
    assert 125 == code
    assert ["finding"] * 3 + ["repository", "repository", "result"] == [
        one["event"] for one in events
    ]
    remote = next(one for one in events if one.get("id") == "git-remote")
    assert (SETUP, 2, "no", str(shop.path)) == tuple(
        remote[k] for k in ("path", "line", "silenced", "repo")
    )
    assert [shop.head(), ""] == [one["commit"] for one in events[3:5]]
    assert (0, 1, 1, 1, 2, 1, 125) == tuple(
        events[-1][k]
        for k in ("errors", "warnings", "notes", "silenced", "repositories", "failed", "exit_code")
    )


def test_sarif(make, run, tmp_path):
    """
    The file has a run for each repository, and is written even if one fails.
    """
    code, _, _ = run(make("a", BROKEN).path, tmp_path / "none", "--sarif", tmp_path / "x.sarif")

    log = json.loads((tmp_path / "x.sarif").read_text())
    assert (125, 2, 3) == (code, len(log["runs"]), len(log["runs"][0]["results"]))
    code, _, errors = run(make("b", {"a": "1"}).path, "--sarif", tmp_path / "none/x.sarif")
    assert 125 == code
    assert "--sarif=" in errors
    assert "directory that exists" in errors


def test_github_shows_findings_at_their_lines(make, run, tmp_path, monkeypatch):
    """
    On standard error, as standard output may be read by a program; a note is only in the summary.
    """
    repo = make("shop", BROKEN)
    monkeypatch.setenv("GITHUB_ACTIONS", "true")
    monkeypatch.setenv("GITHUB_WORKSPACE", str(tmp_path))
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(tmp_path / "summary"))

    code, printed, errors = run(repo.path)

    assert code == 1
    assert "::" not in printed
    error, warning = (line.split("::")[1] for line in errors.splitlines())
    assert error == f"error title=git-remote%3A A command needs a remote,file=shop/{SETUP},line=2"
    assert warning.startswith("warning title=runtime-version%3A ")
    assert "%0AIn Codex: " in errors
    assert "%0ARemedy: " in errors
    summary = (tmp_path / "summary").read_text()
    assert "3 findings: 1 error, 1 warning, 1 note" in summary
    assert "<code>compose.yaml:1</code>" in summary


def test_variables_of_the_user_count(make, run):
    """
    They select another version.
    """
    shop = make("shop", {".nvmrc": "22\n"})

    assert "runtime-version" in run(shop.path)[1]
    assert "runtime-version" not in run(shop.path, "--env=CODEX_ENV_NODE_VERSION=22")[1]


def test_a_script_that_an_option_gives_is_read(make, run, tmp_path):
    """
    In place of those of the repository.
    """
    script = tmp_path / "pasted.sh"
    script.write_text("true\ngit fetch\n")
    code, printed, _ = run(make("shop", BROKEN).path, f"--setup-script={script}")

    assert 1 == code
    assert f"error    git-remote  {script}:2: " in printed
    assert SETUP not in printed


def test_the_default_is_the_current_directory(make, run, monkeypatch):
    """
    Or the variable.
    """
    shop = make("shop", BROKEN)
    monkeypatch.chdir(shop.path)
    assert 1 == run()[0]
    monkeypatch.setenv("CODEX_WORKSPACE_REPO", str(make("other", {"a": "1"}).path))
    assert 0 == run()[0]
    assert 125 == run("")[0]


def test_parts_that_run_something_can_be_left_out():
    """
    What is read is read in any case.
    """
    assert set(check.parts(reads_only=True)) < set(check.parts(reads_only=False))


def test_a_finding_cannot_control_the_terminal(make, run):
    """
    A name and a line may contain escape sequences.
    """
    shop = make(
        "shop", {"+\x1b[2Jx.csproj": "1", SETUP: "set -e\ngit diff origin/\x1b]0;x\x07main\n"}
    )

    assert "\x1b" not in run(shop.path)[1]


def test_what_was_read_counts_where_no_engine_answers(make, capsys):
    """
    The findings of the commit are shown, and the repository was not run.
    """
    code = main(["check", str(make("shop", BROKEN).path)])

    printed, errors = capsys.readouterr()
    assert 125 == code
    assert "error    git-remote" in printed
    assert "1 note; the check was not finished" in printed
    assert printed.endswith("; the check was not finished\n")
    assert "EngineUnavailable" in errors


@pytest.mark.parametrize(
    ("cache", "used"),
    [("auto", "auto"), ("refresh", "refresh"), ("off", "off"), ("require", "auto")],
)
def test_a_check_sets_up_where_a_cached_setup_is_required(monkeypatch, cache, used):
    """
    Its own setup is never the cached one, so nothing is missing for it.
    """
    modes = []

    def check_repository(config):
        modes.append(config.cache)
        return SimpleNamespace(to_dict=dict, findings=["one"])

    monkeypatch.setattr(
        "pytest_codex_workspace.session.Session", lambda config, _, **__: nullcontext(config)
    )
    monkeypatch.setattr(
        "pytest_codex_workspace.conformance.check.check_repository", check_repository
    )
    *_, runs = check.parts(reads_only=False)

    assert ["one"] == runs(Config(cache=cache), Output("quiet", print))
    assert [used] == modes


@pytest.fixture
def ran(monkeypatch):
    """
    What each run of a repository shows, without a run.
    """
    outcome = conclude(seen(test_run=FAILED, requests=[REFUSED]), PRESETS)
    monkeypatch.setattr(
        "pytest_codex_workspace.session.Session", lambda config, _, report: nullcontext(config)
    )
    monkeypatch.setattr(
        "pytest_codex_workspace.conformance.check.check_repository", lambda _: outcome
    )
    return outcome


def test_what_the_runs_have_shown_is_an_event(make, ran, capsys):
    """
    Programs get its fields before the findings, whatever the mode of the output.
    """
    repo = make("shop", {"a": "1"}).path

    main(["check", "--json", "--output=quiet", str(repo)])

    events = read_events(capsys.readouterr().out.splitlines())
    names = [one["event"] for one in events]
    event = events[names.index("runs")]
    assert names.index("runs") < names.index("finding")
    assert str(repo) == event["repo"]
    assert FAILED.command == event["tests"]["command"]
    assert 1 == event["network"]["tests"]["requests"] + event["network"]["scripts"]["requests"]


def test_what_the_runs_have_shown_stands_below_the_name_of_a_repository(make, ran, capsys):
    """
    With one repository, before the findings; a quiet command leaves it out.
    """
    paths = [str(make(name, {"a": "1"}).path) for name in ("one", "two")]
    said = [f"codex: {line}" for line in ran.lines()]

    main(["check", *paths])
    lines = capsys.readouterr().out.splitlines()
    for path in paths:
        at = lines.index(f"{path}:") + 1
        assert said == lines[at : at + len(said)]

    main(["check", paths[0]])
    assert said == capsys.readouterr().out.splitlines()[: len(said)]
    main(["check", "--output=quiet", *paths])
    assert not set(said) & set(capsys.readouterr().out.splitlines())


def test_what_other_processes_have_shown_stands_there_too(
    make, ran, capsys, monkeypatch, two_engines
):
    """
    They send it as an event, which is printed with the findings of its repository.
    """
    paths = [str(make(name, {"a": "1"}).path) for name in ("one", "two")]
    runs = {"event": "runs", "time": "now", "repo": "x", **ran.to_dict()}

    class FakeWorker:
        def __init__(self, words, **_):
            self._repo = words[-1]

        def run(self, _):
            about = {"repo": self._repo, "commit": "1", "failure": None, "error": None}
            return Ended((), about, "", "", runs={**runs, "repo": self._repo})

        def end(self):
            pass

    monkeypatch.setattr("pytest_codex_workspace.fleet.worker.Worker", FakeWorker)
    engines, _ = two_engines

    main(["check", *engines, *paths])
    lines = capsys.readouterr().out.splitlines()
    for path in paths:
        at = lines.index(f"{path}:") + 1
        assert f"codex: {next(iter(ran.lines()))}" == lines[at]

    main(["check", "--json", *engines, *paths])
    events = read_events(capsys.readouterr().out.splitlines())
    assert set(paths) == {one["repo"] for one in events if one["event"] == "runs"}


def test_an_error_of_ours_concerns_one_repository(make, run, monkeypatch, tmp_path):
    """
    The others are checked, and what was found is written.
    """
    parts = check.parts(reads_only=True)

    def fail(config, output):
        if config.repo.name == "odd":
            raise IndexError("out of \x1b[2Jrange")
        return []

    monkeypatch.setattr(check, "parts", lambda **_: [*parts, fail])
    paths = [make("odd", BROKEN).path, make("shop", {"a": "1"}).path]

    code, printed, errors = run(*paths, f"--sarif={tmp_path / 'found.sarif'}")

    assert 125 == code
    assert "error    git-remote" in printed
    assert "nothing found that does not work" in printed
    assert "odd: a bug of ours: IndexError: out of range; please report it" in errors
    assert "\x1b" not in errors
    assert "Traceback" in errors
    runs = json.loads((tmp_path / "found.sarif").read_text())["runs"]
    assert ["IndexError" in json.dumps(one) for one in runs] == [True, False]


@pytest.mark.needs_bash
def test_hostile_texts_are_read(make, run):
    """
    Nothing in a commit ends the check with an error of ours.
    """
    long = "9" * 5000
    files = {
        SETUP: f"curl https://[x/\nbash {'a' * 5000}\ngit clone https://[x\n",
        ".gitmodules": '[submodule "x"]\n\tpath = x\n\turl = https://me:secret@[x\n',
        ".nvmrc": long,
        ".python-version": f"3.{long}",
        "package.json": json.dumps(
            {"engines": {"node": long}, "scripts": {"install": "x https://[/"}}
        ),
        "pyproject.toml": f"{'a.' * 100_000}a = 1",
    }

    code, printed, errors = run(make("shop", files).path)

    assert (1, "") == (code, errors)
    assert "not a valid URL" in printed
    assert "secret" not in printed


def test_the_command_of_the_tests_is_read_with_the_repository(make, run):
    """
    The rules look at it as at any other script.
    """
    file = "check:\n  test: docker compose up -d && make check\n"

    _, printed, _ = run(make("shop", {"a": "1", FILE: file}).path)

    assert "error    docker" in printed


def test_a_table_at_the_end(make, run, tmp_path):
    """
    One line for each repository, however many lines its findings have.
    """
    paths = [make("one", {"a": "1"}).path, make("two", BROKEN).path, tmp_path / "none"]

    _, printed, _ = run(*paths)

    head, *rows, _ = printed.splitlines()[-5:]
    assert ["repository", "result", "time"] == head.split()
    assert [str(path) for path in paths] == [one.split()[0] for one in rows]
    assert ["no findings", "1 error, 1 warning, 1 note", "not checked: ProjectionError"] == [
        one.split("  ")[2].strip() or one.split("  ")[-2].strip() for one in rows
    ]


def test_an_interrupt_tells_what_is_done(make, capsys, monkeypatch, tmp_path):
    """
    The SARIF file has it, too. With `--json`, each of the others has an event.
    """
    paths = [str(make(name, BROKEN).path) for name in ("one", "two", "three")]
    parts = check.parts(reads_only=True)

    def interrupt(config, output):
        if config.repo.name == "two":
            raise KeyboardInterrupt
        return []

    monkeypatch.setattr(check, "parts", lambda **_: [*parts, interrupt])
    file = tmp_path / "found.sarif"

    assert 130 == main(["check", "--reads-only", *paths, f"--sarif={file}"])
    lines = capsys.readouterr().out.splitlines()
    assert "interrupted: 1 of 3 repositories were checked" == lines[-1]
    assert [True, False, False] == ["1 error" in line for line in lines[-4:-1]]
    assert [True, True] == ["  interrupted  " in line for line in lines[-3:-1]]
    assert [3, 0, 0] == [len(one["results"]) for one in json.loads(file.read_text())["runs"]]

    assert 130 == main(["check", "--reads-only", "--json", *paths])
    events = read_events(capsys.readouterr().out.splitlines())
    ends = [one["error"] for one in events if one["event"] == "repository"]
    assert [None, "Interrupted", "Interrupted"] == ends
    assert ("error", "Interrupted") == (events[-1]["event"], events[-1]["type"])


@pytest.fixture
def two_engines(monkeypatch, tmp_path):
    """
    Have two engines say that they are there, which do not answer when they are used.
    """
    places = [EngineSlots(f"unix://{tmp_path}/{name}.sock", 1) for name in ("one", "two")]
    asked = []

    def find(engines, *, cpus, jobs):
        asked.append((tuple(engines), cpus, jobs))
        return places, ["unix:///three: nothing answers"]

    monkeypatch.setattr("pytest_codex_workspace.fleet.engine_slots.find_slots", find)
    return [f"--engine={one.engine}" for one in places] + ["--engine=unix:///three"], asked


@pytest.mark.slow
def test_repositories_at_once(make, capsys, two_engines, tmp_path):
    """
    In processes that get the same options. Each has its result, whatever becomes of the engines,
    and what is written at the end has the order of the command line.
    """
    engines, asked = two_engines
    paths = [make("one", BROKEN).path, tmp_path / "none", make("-two", {"a": "1"}).path]
    options = ["--silence=docker-services=for people", "--cpus=0.5", "--jobs=3", "--image=slim"]
    file = tmp_path / "found.sarif"

    words = ["--json", "--output=quiet", f"--sarif={file}", *engines, *options]
    assert 125 == main(["check", *words, *map(str, paths)])

    printed, errors = capsys.readouterr()
    events = read_events(printed.splitlines())
    ends = {one["repo"]: one for one in events if one["event"] == "repository"}
    assert [(tuple(one.partition("=")[2] for one in engines), 0.5, 3)] == asked
    assert {str(path) for path in paths} == set(ends)
    assert ["EngineUnavailable", "ProjectionError", "EngineUnavailable"] == [
        ends[str(path)]["error"] for path in paths
    ]
    assert (1, 1) == (ends[str(paths[0])]["errors"], ends[str(paths[0])]["silenced"])
    assert all(one["engine"].startswith("unix://") for one in ends.values())
    assert [True, True] == [one["lost"] for one in events[-1]["engines"]]
    assert 3 == sum(one["repositories"] for one in events[-1]["engines"])
    assert f"codex-workspace: {paths[0]}: EngineUnavailable: " in errors
    runs = json.loads(file.read_text())["runs"]
    assert [3, 0, 0] == [len(one["results"]) for one in runs]


@pytest.mark.slow
def test_repositories_at_once_as_text(make, capsys, two_engines):
    """
    The table names the engines, and a line tells that one does not take part.
    """
    engines, _ = two_engines
    paths = [make(name, {"a": "1"}).path for name in ("one", "two")]

    assert 125 == main(["check", *engines, *map(str, paths)])

    lines = capsys.readouterr().out.splitlines()
    assert any("takes no repository: unix:///three" in line for line in lines)
    assert ["repository", "engine", "result", "time"] == lines[-4].split()
    assert all(line.split()[1].startswith("unix://") for line in lines[-3:-1])


@pytest.mark.parametrize("jobs", ["0", "-1", "x", "1000"])
def test_the_number_of_jobs_has_limits(run, capsys, jobs):
    """
    A mistake in it is one of the command line.
    """
    with pytest.raises(SystemExit):
        run(f"--jobs={jobs}")
    assert "must be a number from 1 to 256" in capsys.readouterr().err


def test_a_report_has_each_repository(make, run, tmp_path):
    """
    With its outcome, also if nothing ran.
    """
    paths = [make("one", {"a": "1"}).path, make("two", BROKEN).path, tmp_path / "none"]

    run(*paths, f"--report={tmp_path / 'report'}", "--json")

    tests = json.loads((tmp_path / "report/report.json").read_text())["tests"]
    assert [f"check {path}" for path in paths] == [one["test"] for one in tests]
    assert ["passed", "failed", "failed"] == [one["outcome"] for one in tests]
    assert "3 findings: 1 error, 1 warning, 1 note" == tests[1]["message"]


@pytest.fixture
def added(tmp_path, monkeypatch):
    """
    Add a check of another distribution, with control characters, and return its folder.
    """
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "ext_cli", raising=False)
    text = """
from pytest_codex_workspace import Check

def find(tree):
    yield CHECK.finding("here\\x1b[2J", "codex", "remedy", path="a", line=1)

CHECK = Check("acme.it", "error", "It\\x1b]0;x\\x07 is there", find)
"""
    add_distribution(tmp_path, "ext-cli", CHECK_GROUP, {"acme.it": "ext_cli:CHECK"}, text)
    return tmp_path


def test_findings_of_other_distributions(make, run, added):
    """
    They are shown, counted, silenced and written like ours.
    """
    shop = make("shop", {"a": "1"}).path

    code, printed, _ = run(shop, f"--sarif={added}/found")
    silenced = run(shop, "--silence=acme.it=we know")

    assert 1 == code
    assert "error    acme.it  a:1: here" == printed.splitlines()[0]
    assert "\x1b" not in printed
    (rule,) = json.loads((added / "found").read_text())["runs"][0]["tool"]["driver"]["rules"]
    assert ("acme.it", "It is there", "error") == (
        rule["id"],
        rule["shortDescription"]["text"],
        rule["defaultConfiguration"]["level"],
    )
    assert 0 == silenced[0]
    assert "         silenced: we know" in silenced[1].splitlines()


def test_a_broken_check_of_others_is_no_bug_of_ours(make, run, added):
    """
    What our checks have found is shown; the exit code says that the check was not finished.
    """
    (added / "ext_cli.py").write_text("raise OSError('broken')")

    code, printed, errors = run(make("shop", BROKEN).path)

    assert 125 == code
    assert "git-remote" in printed
    assert "PluginError: the check acme.it of ext-cli 1.0 cannot be imported: OSError" in errors
    assert "Traceback" not in errors


@pytest.mark.parametrize("fails", ["raise SystemExit(0)", "import os; raise GeneratorExit"])
def test_a_check_of_others_does_not_end_the_command(make, run, added, tmp_path, fails):
    """
    Neither with its exit code nor without the files that are asked for.
    """
    (added / "ext_cli.py").write_text(fails)

    code, printed, errors = run(make("shop", BROKEN).path, "--json", f"--sarif={tmp_path / 'f'}")

    assert 125 == code
    events = [json.loads(line) for line in printed.splitlines()]
    assert ("result", 125) == (events[-1]["event"], events[-1]["exit_code"])
    assert "PluginError: the check acme.it of ext-cli 1.0 cannot be imported" in errors
    assert (tmp_path / "f").exists()


def test_what_is_said_of_a_check_that_was_not_finished(make, run, added, tmp_path):
    """
    What was found counts, and a repository that was read was not left unchecked.
    """
    (added / "ext_cli.py").write_text("raise OSError('broken')")
    shop = make("shop", BROKEN).path

    alone = run(shop)[1].splitlines()
    missing = run(tmp_path / "none")[1].splitlines()
    both = run(shop, tmp_path / "none")[1].splitlines()

    end = "3 findings: 1 error, 1 warning, 1 note; the check was not finished"
    assert end == alone[-1]
    assert not {"not run", "not checked"} & set(alone)
    assert ["not checked"] == missing
    assert {end, "not checked"} <= set(both)
    assert any("not finished: PluginError" in line for line in both)
    assert both[-1].endswith("in 2 repositories, 2 of them not checked completely")


def test_a_silenced_id_that_is_misspelt_is_told(make, run, added):
    """
    If its prefix is that of a check that is installed.
    """
    printed = run(make("shop", {"a": "1"}).path, "--silence=acme.itt=x", "--silence=b.c=x")[1]

    assert "acme.itt is silenced, and no check that is installed has this id" in printed
    assert "(did you mean 'acme.it'?)" in printed
    assert "b.c" not in printed

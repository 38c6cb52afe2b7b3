"""The command without an engine: help, imports, and the events of --json."""

from __future__ import annotations

import re
import subprocess
import sys

import pytest

from pytest_codex_workspace.cli.main import command_parser, main
from pytest_codex_workspace.engine import labels
from pytest_codex_workspace.engine.docker import find
from pytest_codex_workspace.projection.repository import open_repository
from tests.fakes.engine import FakeEngine

from ...helpers.commands import all_commands, help_of
from ...helpers.events import read_events
from ...helpers.repositories import Repository, host_environment

HEAVY = ("docker", "filelock", "requests", "urllib3", "yaml")


@pytest.fixture
def engine(monkeypatch, cache_home):
    """
    Return an engine that the command finds.
    """
    made = FakeEngine()
    monkeypatch.setattr(find, "find_engine", lambda *_, **__: made)
    return made


@pytest.fixture
def events(capsys):
    """
    Return a function that runs the command with --json, and returns exit code and events.
    """

    def run(*words):
        code = main([*words, "--json"])
        return code, read_events(capsys.readouterr().out.splitlines())

    return run


def add_layer(engine, name, *, kind="setup", key="k", age=0.0, repo=""):
    """
    Add a cached layer to the engine.
    """
    marks = {
        labels.KIND: kind,
        labels.KEY: key,
        labels.NAME: name,
        labels.REPO: repo,
        labels.CREATED: f"{float(labels.now()) - age:.3f}",
    }
    return engine.add_image(f"codex-workspace-emulator:{kind}-{key}", labels=marks)


@pytest.mark.slow
@pytest.mark.parametrize(
    "words",
    [["--help"], ["run", "--help"], ["cache", "--help"], ["completion", "bash"], ["--version"]],
)
def test_printing_help_imports_nothing_heavy(words):
    """
    Shells run `completion` at each start, and users wait for it.
    """
    code = f"""\
import contextlib, sys
from pytest_codex_workspace.cli.main import main
with contextlib.suppress(SystemExit):
    main({words!r})
print(sorted(set({HEAVY!r}) & set(sys.modules)), file=sys.stderr)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert done.stderr == "[]\n"
    assert done.stdout


def test_the_help_has_each_command_once(capsys):
    """
    Commands are in groups, and the text says where to start.
    """
    with pytest.raises(SystemExit) as caught:
        main(["--help"])
    text = capsys.readouterr().out

    assert caught.value.code == 0
    assert "start with `codex-workspace doctor`" in text
    for title in ("Start a workspace", "Inspect", "Images and cache", "Other"):
        assert f"\n\n{title}:\n" in text
    listed = [path[0] for path in all_commands() if len(path) == 1]
    assert len(set(listed)) == len(listed) == 19


@pytest.mark.parametrize("path", [(), *all_commands()], ids=" ".join)
def test_each_help_begins_with_a_sentence_and_has_an_example(path):
    """
    The first line is also the description in shells, and all lines fit a terminal.
    """
    text = help_of(*path)
    usage, _, rest = text.partition("\n\n")

    assert usage.startswith(f"usage: {' '.join(['codex-workspace', *path])} ")
    assert re.match(r"[A-Z][^\n]*\.\n\n" if path else "[A-Z]", rest)
    assert f"codex-workspace {' '.join(path)}" in rest
    assert max(map(len, text.splitlines())) <= 100


def test_a_command_is_the_same_without_the_others(capsys):
    """
    The parser for one command knows no other, and shows the same help.
    """
    whole = command_parser()
    for name in {path[0] for path in all_commands()}:
        shown = []
        for parser in (command_parser(name), whole):
            with pytest.raises(SystemExit):
                parser.parse_args([name, "--help"])
            shown.append(capsys.readouterr().out)
        assert shown[0] == shown[1]
    with pytest.raises(SystemExit):
        command_parser("run").parse_args(["clean"])


def test_without_a_command_the_help_is_an_error(capsys):
    """
    The help goes to standard error, and the exit code is that of a usage error.
    """
    assert 125 == main([])

    printed = capsys.readouterr()
    assert printed.out == ""
    assert "Start a workspace:\n" in printed.err


@pytest.mark.parametrize(
    ("word", "hint"),
    [("doctr", " (did you mean 'doctor'?)"), ("zzz", "; commands: run, shell, exec, doctor")],
)
def test_an_unknown_command_is_an_error_with_a_suggestion(capsys, word, hint):
    """
    If no command is similar, all commands are listed.
    """
    with pytest.raises(SystemExit) as caught:
        main([word])

    assert caught.value.code == 125
    assert f"error: unknown command {word!r}{hint}" in capsys.readouterr().err


def test_the_installed_version_is_printed(capsys):
    """
    The version is that of the installed distribution.
    """
    with pytest.raises(SystemExit) as caught:
        main(["--version"])

    assert caught.value.code == 0
    assert re.fullmatch(r"codex-workspace \d+\.\d+\.\d+\S*\n", capsys.readouterr().out)


def test_cache_list_prints_events(engine, events):
    """
    Each layer is an event, and the result has the total.
    """
    add_layer(engine, "shop")

    code, (layer, result) = events("cache", "list")

    assert ("layer", "shop", "setup", "k", 0, None) == (
        layer["event"],
        layer["repository"],
        layer["kind"],
        layer["key"],
        layer["hits"],
        layer["last_used"],
    )
    assert (0, "result", 0, 1) == (code, result["event"], result["exit_code"], result["layers"])


def test_removals_are_events(engine, events):
    """
    `cache prune` removes expired layers, `cache clear` the others.
    """
    add_layer(engine, "shop", key="old", age=3600)
    add_layer(engine, "shop", key="new")

    for command, gone in (("prune", "old"), ("clear", "new")):
        words = ("cache", command, *(["--cache-ttl=30m"] if command == "prune" else []))
        code, (removed, result) = events(*words)
        assert f"image codex-workspace-emulator:setup-{gone}" == removed["object"]
        assert (0, "removed", 1) == (code, removed["event"], result["removed"])
    code, (result,) = events("clean")
    assert (0, 0) == (code, result["removed"])


def test_the_layers_of_one_repository_are_removed(engine, events, tmp_path):
    """
    Those of other repositories stay, also of those with the same name.
    """
    repo = Repository(tmp_path / "shop", host_environment(tmp_path / "home"))
    repo.commit({"a": "1"})
    identity = open_repository(repo.path, environ={}).identity
    add_layer(engine, "shop", key="ours", repo=identity)
    add_layer(engine, "shop", kind="ready", key="ours", repo=identity)
    add_layer(engine, "shop", key="theirs", repo="another")

    code, found = events("cache", "clear", f"--repo={repo.path}")

    gone = {event["object"] for event in found[:-1]}
    assert gone == {f"image codex-workspace-emulator:{kind}-ours" for kind in ("setup", "ready")}
    assert (code, found[-1]["removed"]) == (0, 2)
    assert engine.image("codex-workspace-emulator:setup-theirs") is not None

    code, (error,) = events("cache", "clear", f"--repo={tmp_path / 'nowhere'}")

    assert (code, error["type"]) == (125, "ProjectionError")
    assert engine.image("codex-workspace-emulator:setup-theirs") is not None


def test_an_error_is_an_event(events, monkeypatch, capsys):
    """
    The exit code and the message on standard error are the same as without --json.
    """
    monkeypatch.setenv("DOCKER_HOST", "unix:///nonexistent.sock")

    assert 125 == main(["cache", "list"])
    printed = capsys.readouterr().err.strip()
    code, (error,) = events("cache", "list")

    assert (125, "error", "EngineUnavailable", 125) == (
        code,
        error["event"],
        error["type"],
        error["exit_code"],
    )
    assert printed == f"codex-workspace: EngineUnavailable: {error['message']}"


def test_an_invalid_option_is_an_event(events):
    """
    The option is checked before the run starts.
    """
    code, (error,) = events("run", "--cache=maybe")

    assert (125, "ConfigError") == (code, error["type"])


def test_an_interruption_is_an_event(events, monkeypatch):
    """
    The exit code is 130, as in shells.
    """

    def interrupted(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(find, "find_engine", interrupted)

    code, (error,) = events("clean")

    assert (130, "Interrupted", 130) == (code, error["type"], error["exit_code"])

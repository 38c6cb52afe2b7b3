"""The command without an engine: its help, what it imports, and what --json prints."""

from __future__ import annotations

import json
import re
import subprocess
import sys

import pytest

from pytest_codex_workspace import labels
from pytest_codex_workspace.cli import _GROUPS, command_parser, main
from pytest_codex_workspace.cli.completion import tree_of
from pytest_codex_workspace.engine import find
from pytest_codex_workspace.engine.fake import FakeEngine

HEAVY = ("docker", "filelock", "requests", "urllib3", "yaml")


@pytest.fixture
def engine(monkeypatch, cache_home):
    """
    An engine that the command finds.
    """
    made = FakeEngine()
    monkeypatch.setattr(find, "find_engine", lambda *_, **__: made)
    return made


@pytest.fixture
def events(capsys):
    """
    Run the command with --json: its exit code, and the events.
    """

    def run(*words):
        code = main([*words, "--json"])
        return code, [json.loads(line) for line in capsys.readouterr().out.splitlines()]

    return run


def add_layer(engine, name, *, kind="setup", key="k", age=0.0):
    """
    Put a cached layer on the engine.
    """
    marks = {
        labels.KIND: kind,
        labels.KEY: key,
        labels.NAME: name,
        labels.CREATED: f"{float(labels.now()) - age:.3f}",
    }
    return engine.add_image(f"codex-workspace-emulator:{kind}-{key}", labels=marks)


@pytest.mark.parametrize(
    "words",
    [["--help"], ["run", "--help"], ["cache", "--help"], ["completion", "bash"], ["--version"]],
)
def test_what_only_prints_imports_nothing_heavy(words):
    """
    A completion is waited for at each start of a shell.
    """
    code = f"""\
import contextlib, sys
from pytest_codex_workspace.cli import main
with contextlib.suppress(SystemExit):
    main({words!r})
print(sorted(set({HEAVY!r}) & set(sys.modules)), file=sys.stderr)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert done.stderr == "[]\n"
    assert done.stdout


def test_the_help_has_each_command_once(capsys):
    """
    In its group, and says where to begin.
    """
    with pytest.raises(SystemExit) as caught:
        main(["--help"])
    text = capsys.readouterr().out

    assert caught.value.code == 0
    assert "Begin in your repository with `codex-workspace doctor`" in text
    for title in _GROUPS:
        assert f"{title}:\n" in text
    for node in tree_of(command_parser()).below:
        assert 1 == len(re.findall(rf"^  {node.path[0]} +\S", text, re.MULTILINE))


@pytest.mark.parametrize("path", [node.path for node in tree_of(command_parser()).walk()])
def test_each_help_has_an_example(path, capsys):
    """
    Which begins with the command itself, and fits a terminal.
    """
    with pytest.raises(SystemExit):
        main([*path, "--help"])
    text = capsys.readouterr().out.partition("\n\n")[2]

    assert re.search(rf"codex-workspace {' '.join(path)}", text), text
    assert max(map(len, text.splitlines())) <= 85


def test_version(capsys):
    """
    The one that is installed.
    """
    with pytest.raises(SystemExit) as caught:
        main(["--version"])

    assert caught.value.code == 0
    assert re.fullmatch(r"codex-workspace \d+\.\d+\.\d+\S*\n", capsys.readouterr().out)


def test_layers_as_events(engine, events):
    """
    One for each, and a sum.
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


def test_removals_as_events(engine, events):
    """
    What is too old goes, then everything.
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


def test_an_error_as_an_event(events, monkeypatch, capsys):
    """
    The same exit code and words as without --json, which are on standard error too.
    """
    monkeypatch.setenv("DOCKER_HOST", "unix:///nonexistent.sock")

    assert 2 == main(["cache", "list"])
    said = capsys.readouterr().err.strip()
    code, (error,) = events("cache", "list")

    assert (2, "error", "EngineUnavailable", 2) == (
        code,
        error["event"],
        error["type"],
        error["exit_code"],
    )
    assert said == f"codex-workspace: EngineUnavailable: {error['message']}"


def test_a_wrong_option_as_an_event(events):
    """
    Which is found before anything begins.
    """
    code, (error,) = events("run", "--cache=maybe")

    assert (2, "ConfigError") == (code, error["type"])


def test_an_interruption_as_an_event(events, monkeypatch):
    """
    130, as shells have it.
    """

    def interrupted(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(find, "find_engine", interrupted)

    code, (error,) = events("clean")

    assert (130, "Interrupted", 130) == (code, error["type"], error["exit_code"])

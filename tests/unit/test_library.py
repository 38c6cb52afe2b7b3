"""Tests of a workspace without pytest, on the fake engine."""

from __future__ import annotations

from functools import partial
from typing import get_type_hints

import pytest

import pytest_codex_workspace
from pytest_codex_workspace.errors import ConfigError, WorkspaceLost
from pytest_codex_workspace.library import OpenOptions
from pytest_codex_workspace.network.rules.policy import Policy
from pytest_codex_workspace.options.table import OPTIONS
from pytest_codex_workspace.session import Session

from ..conftest import init_repo
from ..helpers.fake_workspaces import BASE, LocalAgent, World

pytestmark = [pytest.mark.usefixtures("cache_home"), pytest.mark.needs_git, pytest.mark.needs_bash]


@pytest.fixture
def world(monkeypatch):
    """
    An engine that `open` finds, with the real agent.
    """
    world = World(LocalAgent)
    connected = partial(Session, connect=lambda _: world.engine)
    monkeypatch.setattr("pytest_codex_workspace.library.Session", connected)
    return world


def test_a_workspace_lives_as_long_as_its_block(world, tmp_path, capsys):
    """
    It has the options of the command, and shows nothing.
    """
    repo = init_repo(tmp_path / "demo", {"a": "1"})

    with pytest_codex_workspace.open(
        repo,
        image=BASE,
        cache="off",
        env={"GREETING": "hello"},
        cpus=1,
        network=Policy(name="mine", offline=True),
    ) as ws:
        assert ws.exec("cat a; echo $GREETING", check=True).stdout == "1hello\n"
        assert world.registered[-1][1] == "mine"
    with pytest.raises(WorkspaceLost):
        ws.exec("true")
    assert [] == world.leftovers()
    assert ("", "") == tuple(capsys.readouterr())


def test_progress_is_shown_on_request_and_a_failed_block_keeps_its_workspace(
    world, tmp_path, capsys
):
    """
    Its image is named.
    """
    repo = init_repo(tmp_path / "demo", {"a": "1"})

    with (
        pytest.raises(KeyError),
        pytest_codex_workspace.open(repo, image=BASE, output="progress", keep="failed"),
    ):
        raise KeyError
    assert "codex: projecting demo at" in (shown := capsys.readouterr().err)
    assert "the workspace is kept as the image codex-workspace-emulator:kept-" in shown


def test_wrong_options_are_errors(tmp_path):
    """
    Before anything is started.
    """
    for options, error, words in (
        ({"imge": "slim"}, TypeError, "no option 'imge'.*image"),
        ({"cache": "never"}, ConfigError, "cache=never: must be one of"),
        ({"engine": ["docker", "podman"]}, ConfigError, "a workspace is on one engine"),
    ):
        with (
            pytest.raises(error, match=words),
            pytest_codex_workspace.open(init_repo(tmp_path / words[:3], {"a": ""}), **options),
        ):
            pass


def test_every_option_is_a_keyword():
    """
    But for those of other commands.
    """
    others = {"repo", "test_command", "silence"}

    assert set(get_type_hints(OpenOptions)) == {option.key for option in OPTIONS} - others

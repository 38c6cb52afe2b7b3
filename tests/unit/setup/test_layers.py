"""Tests of the recipes of layers. What their builds do is tested with the start of workspaces."""

from __future__ import annotations

import pytest

from pytest_codex_workspace.cache.store import Layer
from pytest_codex_workspace.errors import ProjectionError, SetupError
from pytest_codex_workspace.setup.spec import WorkspaceSpec

from ...helpers.fake_workspaces import StubProjection, World, snapshot

pytestmark = pytest.mark.usefixtures("cache_home")


@pytest.fixture
def session(monkeypatch):
    """
    A session whose builder has recipes.
    """
    monkeypatch.setattr("pytest_codex_workspace.setup.layers.Projection", StubProjection)
    with World().session() as found:
        yield found


@pytest.fixture
def builder(session):
    """
    The builder of that session.
    """
    return session.builder


def spec(env=None, **changes):
    return WorkspaceSpec(snapshot(**changes), env or {})


def setup_layer(builder, **changes):
    known = {"kind": "setup", "image": "sha256:s", "key": "k", "head": "a" * 40}
    return Layer(**{**known, "ca": builder._launcher.authority, **changes})


@pytest.mark.parametrize(
    ("changes", "clean", "setup"),
    [
        ({}, True, True),
        ({"head": "b" * 40}, False, True),
        ({"scripts_tree": "u"}, True, False),
        ({"identity": "j"}, False, False),
        ({"name": "other"}, False, False),
        ({"submodules": (None,)}, False, True),
        ({"skips_submodules": True}, True, False),
        ({"env": {"CODEX_ENV_NODE_VERSION": "22"}}, False, False),
        ({"env": {"A": "1"}}, True, False),
    ],
)
def test_what_layers_are_shared_by(builder, changes, clean, setup):
    """
    A clean layer is for one commit and its runtimes, a setup layer for its scripts and variables.
    """
    assert clean == (builder.clean(spec()).key == builder.clean(spec(**changes)).key)
    assert setup == (builder.setup(spec()).key == builder.setup(spec(**changes)).key)


def test_a_setup_layer_stands_on_the_clean_layer_of_its_commit(builder):
    """
    The recipe below has the same key as the recipe of a clean workspace.
    """
    recipe = builder.setup(spec())

    assert ("setup", "clean", None) == (recipe.kind, recipe.below.kind, recipe.below.below)
    assert builder.clean(spec()).key == recipe.below.key
    assert builder.setup_key(spec()) == recipe.key
    assert ("i", "demo", "a" * 40) == (recipe.labels.repo, recipe.labels.name, recipe.labels.head)
    assert recipe.labels.parts["scripts"] == "t"


@pytest.mark.parametrize(
    ("layer", "commit", "needed"),
    [
        pytest.param({}, {"has_resume": False}, False, id="nothing to do"),
        pytest.param({}, {}, True, id="a script to run"),
        pytest.param({}, {"has_resume": False, "head": "b" * 40}, True, id="another commit"),
        pytest.param({"ca": "other"}, {"has_resume": False}, True, id="another authority"),
    ],
)
def test_when_a_ready_layer_is_needed(builder, layer, commit, needed):
    """
    Without anything to do, tests start from the setup layer itself.
    """
    recipe = builder.ready(spec(**commit), setup_layer(builder, **layer))

    assert needed == (recipe is not None)


def test_a_ready_layer_is_of_one_setup_image_and_commit(builder):
    """
    A setup that was built again has a ready layer of its own.
    """
    one = builder.ready(spec(), setup_layer(builder))
    other = builder.ready(spec(), setup_layer(builder, image="sha256:t"))
    later = builder.ready(spec(head="b" * 40), setup_layer(builder))

    assert 3 == len({one.key, other.key, later.key})
    assert one.below == setup_layer(builder)


def test_a_commit_that_cannot_be_checked_out(session, monkeypatch):
    """
    The error has what git said, and no layer is left.
    """
    command = ("bash", "--login", "-c", "git is missing")
    monkeypatch.setattr("pytest_codex_workspace.setup.layers.COMMAND", command)
    world = session.engine._world
    world.shell_results = {"git is missing": (1, b"bash: git: command not found")}

    with pytest.raises(ProjectionError, match="git: command not found"):
        session.workspace(session.spec(snapshot(), {}), "clean")
    assert [] == world.layers()


def test_a_runtime_that_the_image_does_not_have(session):
    """
    The error has what the selection said, and is remembered.
    """
    world = session.engine._world
    world.shell_results = {"select_runtimes": (1, b"there is no Node.js 99")}
    for _ in range(2):
        with pytest.raises(SetupError, match=r"test-base:1.*\nthere is no Node\.js 99"):
            session.workspace(session.spec(snapshot(), {}), "ready")

    assert 1 == len(world.shell_commands)


def test_what_the_selection_prints_is_shown_once(session):
    """
    Not for each layer that is built in a session.
    """
    world = session.engine._world
    world.shell_results = {"select_runtimes": (0, b"python 3.13 in place of 3.12")}
    for head in ("a" * 40, "b" * 40):
        session.workspace(session.spec(snapshot(head=head), {}), "clean")

    assert 2 == len(world.shell_commands)
    assert 1 == sum("python 3.13 in place of 3.12" in line for line in world.shown)

"""Tests of the errors: their builtin base classes, their text, and pickling."""

from __future__ import annotations

import pickle
from pathlib import Path

import pytest

from pytest_codex_workspace import errors
from pytest_codex_workspace.errors import EngineUnavailable, ProxyError, SetupError, WorkspaceLost


@pytest.mark.parametrize("name", sorted(errors.__all__))
def test_every_error_has_the_common_base_class(name):
    """
    So all errors of the package can be caught at once.
    """
    assert issubclass(getattr(errors, name), errors.CodexWorkspaceError)


def test_the_page_of_errors_has_each():
    """
    With when it is raised.
    """
    page = (Path(__file__).parents[2] / "docs/errors.md").read_text()

    assert {name for name in errors.__all__ if f"`{name}`" not in page} == set()


@pytest.mark.parametrize(
    ("name", "builtin"),
    [
        ("EngineUnavailable", ConnectionError),
        ("ImageBuildError", RuntimeError),
        ("ProjectionError", ValueError),
        ("ServiceError", RuntimeError),
        ("SetupError", RuntimeError),
        ("ExecError", RuntimeError),
        ("ExecTimeout", TimeoutError),
        ("WorkspaceLost", ConnectionError),
        ("PolicyError", ValueError),
        ("ProxyError", RuntimeError),
        ("CacheMiss", LookupError),
        ("ChangesError", RuntimeError),
        ("SnapshotError", LookupError),
    ],
)
def test_an_error_is_also_a_builtin_error(name, builtin):
    """
    The base classes are part of the public interface.
    """
    assert issubclass(getattr(errors, name), builtin)


def test_a_setup_error_can_be_pickled(tmp_path):
    """
    pytest-xdist sends errors between processes.
    """
    error = SetupError("words", script="s", exit_code=3, log_path=tmp_path, tail="t")

    again = pickle.loads(pickle.dumps(error))

    assert isinstance(again, SetupError)
    assert ("words", "s", 3, tmp_path, "t") == (
        str(again),
        again.script,
        again.exit_code,
        again.log_path,
        again.tail,
    )


@pytest.mark.parametrize("kind", [EngineUnavailable, WorkspaceLost, ProxyError])
def test_the_text_of_an_error_cannot_control_a_terminal(kind):
    """
    The text may quote the output of a workspace. Colours are kept, also by pickling.
    """
    error = kind("a\x1b]0;title\x07\x1b[31mred\x1b[2Jb\rc\udcff")

    again = pickle.loads(pickle.dumps(error))

    assert "a\x1b[31mredbc\ufffd\x1b[0m" == str(error) == str(again)


def test_the_remedy_is_a_field_and_part_of_the_text():
    """
    Message and remedy survive pickling apart from each other.
    """
    again = pickle.loads(pickle.dumps(EngineUnavailable("no answer", remedy="Start it.")))

    assert ("no answer", "Start it.") == (again.message, again.remedy)
    assert "no answer. Start it." == str(again)


@pytest.mark.parametrize(
    ("message", "remedy", "text"),
    [
        ("a is missing", "Add it.", "a is missing. Add it."),
        ("Did you add a?", "Add it.", "Did you add a? Add it."),
        ("tried:\n  a", "Add it.", "tried:\n  a\nAdd it."),
        ("a is missing", "", "a is missing"),
        ("a", "b\x1b[2J", "a. b"),
    ],
)
def test_the_text_joins_message_and_remedy(message, remedy, text):
    """
    A message of several lines is followed by a line with the remedy.
    """
    assert text == str(errors.CodexWorkspaceError(message, remedy=remedy))

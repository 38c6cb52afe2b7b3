"""Engines of other distributions: what is chosen, and what is wrong with them."""

from __future__ import annotations

import sys

import pytest

from pytest_codex_workspace.doctor import machine
from pytest_codex_workspace.engine.docker.find import locate_engine
from pytest_codex_workspace.engine.places.choose import likely_place
from pytest_codex_workspace.errors import EngineUnavailable, PluginError
from pytest_codex_workspace.extensions import CHECK_GROUP, ENGINE_GROUP
from tests.fakes.engine import FakeEngine

from ...helpers.distributions import add_distribution

WORKS = """
from tests.fakes.engine import FakeEngine

def f(choice, environ):
    engine = FakeEngine()
    engine.asked = (choice, environ["WHO"])
    return engine
"""


@pytest.fixture
def add(tmp_path, monkeypatch):
    """
    Return a function that adds an engine `acme`, whose module has a text.
    """
    monkeypatch.syspath_prepend(tmp_path)

    def add(module: str, name: str = "acme", distribution: str = "ext-engine") -> None:
        monkeypatch.delitem(sys.modules, "ext_engine", raising=False)
        add_distribution(tmp_path, distribution, ENGINE_GROUP, {name: "ext_engine:f"}, module)

    return add


@pytest.mark.parametrize("choice", ["acme", "acme://", "acme://far/away"])
def test_it_is_chosen_by_its_name_or_as_a_scheme(add, tmp_path, choice):
    """
    The function gets what the user has written.
    """
    add(WORKS)

    located = locate_engine(choice, {"HOME": str(tmp_path), "WHO": "me"})

    assert isinstance(located.engine, FakeEngine)
    assert (choice, "me") == located.engine.asked
    assert "the engine acme of ext-engine 1.0" == located.origin


def test_the_header_of_a_run_imports_nothing(add, tmp_path):
    """
    It only says what will be used.
    """
    add("raise AssertionError")

    place = likely_place("acme", {"HOME": str(tmp_path)})

    assert "the engine acme of ext-engine 1.0, acme://" == str(place)


def test_nothing_is_imported_for_another_engine(add, tmp_path):
    """
    A broken distribution does not stop who does not use it, and is suggested for a slip of the pen.
    """
    add("raise AssertionError")
    environ = {"HOME": str(tmp_path)}

    with pytest.raises(EngineUnavailable, match="no such socket"):
        locate_engine(f"unix://{tmp_path}/none.sock", environ)
    with pytest.raises(EngineUnavailable, match=r"did you mean 'acme'\?"):
        locate_engine("acmee", environ)


@pytest.mark.parametrize(
    ("module", "said"),
    [
        ("raise OSError('broken')", "cannot be imported: OSError: broken"),
        ("f = 3", "is int, and no function"),
        ("def f(choice, environ): raise KeyError('x')", "raised KeyError: 'x'"),
        ("def f(choice, environ): raise SystemExit(0)", "raised SystemExit: 0 ("),
        ("def f(choice): pass", "raised TypeError: f() takes 1 positional"),
        ("def f(choice, environ): return object()", "returned object, which has no method version"),
    ],
)
def test_a_broken_one_is_named(add, tmp_path, module, said):
    """
    Its distribution, too.
    """
    add(module)

    with pytest.raises(PluginError) as info:
        locate_engine("acme", {"HOME": str(tmp_path)})
    assert str(info.value).startswith(f"the engine acme of ext-engine 1.0 {said}")


def test_one_that_does_not_answer_says_so_itself(add, tmp_path):
    """
    As every engine.
    """
    add(
        "from pytest_codex_workspace import EngineUnavailable\n"
        "def f(choice, environ): raise EngineUnavailable('the cloud is down')"
    )

    with pytest.raises(EngineUnavailable, match=r"the engine acme .*: the cloud is down"):
        locate_engine("acme", {"HOME": str(tmp_path)})


def test_two_of_one_name_are_an_error_where_it_is_needed(add, tmp_path):
    """
    The header of a run leaves it to whoever needs the engine.
    """
    add(WORKS)
    add(WORKS, distribution="ext-other")
    environ = {"HOME": str(tmp_path)}

    assert likely_place("acme", environ) is None
    with pytest.raises(PluginError, match=r"twice: in ext-engine 1.0 and in ext-other 1.0"):
        locate_engine("acme", environ)


@pytest.mark.parametrize("name", ["docker", "unix", "Acme", "a b"])
def test_a_name_that_cannot_be_chosen_is_shown_by_doctor(add, name):
    """
    It would never be used.
    """
    add(WORKS, name)

    found = machine.extensions()

    assert found is not None
    assert "warning" == found.status
    assert f"the engine {name} of ext-engine 1.0 cannot be chosen by this name" == found.text


def test_doctor_says_that_a_broken_check_is_an_error(add, tmp_path):
    """
    `codex-workspace check` ends with 125; a broken engine is for those who choose it.
    """
    add("raise OSError('engine')")
    add_distribution(
        tmp_path, "ext-check", CHECK_GROUP, {"acme.it": "ext_none:CHECK"}, "raise OSError"
    )

    found = machine.extensions()

    assert found is not None
    assert "error" == found.status
    assert "the check acme.it of ext-check 1.0 cannot be imported" in found.text


def test_doctor_lists_what_works(add):
    """
    And has no such line without extensions.
    """
    assert machine.extensions() is None
    add(WORKS)

    found = machine.extensions()

    assert found is not None
    assert ("ok", "engine acme of ext-engine 1.0") == (found.status, found.text)

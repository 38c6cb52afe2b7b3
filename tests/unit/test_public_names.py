"""Tests of what the package exports: names, and the types of what they return."""

from __future__ import annotations

import ast
import inspect
import os
import sys
import typing
from collections.abc import Iterator
from contextlib import suppress
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

import pytest_codex_workspace
from pytest_codex_workspace import plugin

PUBLIC = {name: getattr(pytest_codex_workspace, name) for name in pytest_codex_workspace.__all__}
CLASSES = {name: one for name, one in PUBLIC.items() if isinstance(one, type)}
ENTERED = ("__enter__", "__iter__", "__next__", "__call__")


@cache
def namespace(module: Any) -> dict[str, Any]:
    """
    Return the names of *module*, with those that only a type checker imports.
    """
    names = dict(vars(module))
    for node in ast.walk(ast.parse(inspect.getsource(module))):
        if isinstance(node, ast.ImportFrom):
            where = import_module("." * node.level + (node.module or ""), module.__package__)
            for alias in node.names:
                names.setdefault(alias.asname or alias.name, getattr(where, alias.name, None))
        elif isinstance(node, ast.Import):
            for alias in node.names:
                names.setdefault(alias.name, import_module(alias.name))
    return names


def types_in(hint: Any) -> Iterator[type]:
    """
    Return our types in an annotation.
    """
    if isinstance(hint, type) and hint.__module__.startswith(pytest_codex_workspace.__name__):
        yield hint
    for one in typing.get_args(hint):
        # A list has what a function takes.
        if not isinstance(one, list):
            yield from types_in(one)


def returned(function: Any) -> Iterator[type]:
    """
    Return our types that *function* returns.
    """
    names = namespace(sys.modules[function.__module__])
    yield from types_in(typing.get_type_hints(function, names).get("return"))


@pytest.mark.parametrize("name", sorted(CLASSES))
def test_what_a_public_class_gives_is_public(name):
    """
    So tests can name it in their own annotations.
    """
    found: dict[str, list[type]] = {}
    owner = CLASSES[name]
    for attribute, hint in typing.get_type_hints(
        owner, localns=namespace(sys.modules[owner.__module__])
    ).items():
        found[attribute] = list(types_in(hint))
    for attribute, value in inspect.getmembers(owner):
        function = value.fget if isinstance(value, property) else value
        if inspect.isfunction(function) and (attribute[0] != "_" or attribute in ENTERED):
            found[attribute] = list(returned(function))

    private = {
        attribute: hidden
        for attribute, types in found.items()
        if attribute[0] != "_" or attribute in ENTERED
        if (hidden := [one for one in types if one not in CLASSES.values()])
    }
    assert private == {}


@pytest.mark.parametrize("name", [one for one in dir(plugin) if one.startswith("codex_")])
def test_what_a_fixture_returns_is_public(name):
    """
    Each of them.
    """
    function = inspect.unwrap(getattr(plugin, name)._get_wrapped_function())

    assert [one for one in returned(function) if one not in CLASSES.values()] == []


def test_every_exported_name_exists():
    """
    And no other.
    """
    assert len(set(pytest_codex_workspace.__all__)) == len(pytest_codex_workspace.__all__)
    with pytest.raises(AttributeError, match="has no attribute 'Session'"):
        _ = pytest_codex_workspace.Session


@pytest.mark.parametrize("name", sorted(PUBLIC))
def test_no_default_is_a_value_of_this_machine(name):
    """
    The reference shows defaults as they were when it was made, and everybody reads it.
    """
    one = PUBLIC[name]
    functions = [one, *vars(one).values()] if isinstance(one, type) else [one]
    shown = ""
    for function in functions:
        function = getattr(function, "__func__", function)
        if callable(function):
            with suppress(ValueError, TypeError):
                shown += str(inspect.signature(function))

    places = {os.environ["PATH"], str(Path.home()), str(Path(__file__).parents[2])}
    assert [] == [place for place in places if place in shown]

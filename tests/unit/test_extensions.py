"""Entry points of other distributions: found, told apart, and imported only when needed."""

from __future__ import annotations

import sys

import pytest

from pytest_codex_workspace.errors import PluginError
from pytest_codex_workspace.extensions import (
    CHECK_GROUP,
    ENGINE_GROUP,
    extensions_of,
    find_extension,
)

from ..helpers.distributions import add_distribution


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """
    A directory of Python's path.
    """
    monkeypatch.syspath_prepend(tmp_path)
    return tmp_path


def test_they_are_listed_without_an_import(folder):
    """
    In the order of their names, each with its distribution.
    """
    fails = "raise AssertionError('imported')"
    add_distribution(folder, "one", ENGINE_GROUP, {"zeta": "one:f", "alpha": "one:f"}, fails)
    add_distribution(folder, "two", CHECK_GROUP, {"acme.x": "two:f"}, fails)

    assert ["engine alpha of one 1.0", "engine zeta of one 1.0"] == list(
        map(str, extensions_of(ENGINE_GROUP))
    )
    assert "check acme.x of two 1.0" == str(find_extension(CHECK_GROUP, "acme.x"))
    assert find_extension(CHECK_GROUP, "alpha") is None


def test_two_with_one_name_are_an_error_that_names_both(folder):
    """
    Nobody could tell which of them is meant. Other groups still work.
    """
    add_distribution(folder, "one", ENGINE_GROUP, {"same": "one:f"})
    add_distribution(folder, "two", ENGINE_GROUP, {"same": "two:f", "other": "two:f"})

    with pytest.raises(PluginError) as info:
        find_extension(ENGINE_GROUP, "other")
    assert "the engine same is there twice: in one 1.0 and in two 1.0. Uninstall one" in str(
        info.value
    )
    assert [] == extensions_of(CHECK_GROUP)


@pytest.mark.parametrize(
    ("target", "module", "said"),
    [
        ("ext_a:f", "raise OSError('no \\x1b[2Jroom\\nhere')", "OSError: no room here"),
        ("ext_a:f", "import sys; sys.exit(3)", "SystemExit: 3"),
        ("ext_a:gone", "", "AttributeError: module 'ext_a' has no attribute 'gone'"),
        ("ext_missing:f", "", "ModuleNotFoundError: No module named 'ext_missing'"),
        ("not a target", "", ""),
    ],
)
def test_a_broken_one_is_told_by_name_and_distribution(folder, monkeypatch, target, module, said):
    """
    Without a traceback of its code.
    """
    monkeypatch.delitem(sys.modules, "ext_a", raising=False)
    add_distribution(folder, "ext-a", ENGINE_GROUP, {"acme": target}, module)
    extension = find_extension(ENGINE_GROUP, "acme")
    assert extension is not None

    with pytest.raises(PluginError) as info:
        extension.load()
    text = str(info.value)
    assert text.startswith(f"the engine acme of ext-a 1.0 cannot be imported: {said}")
    assert text.endswith("otherwise update that distribution, or uninstall it.")
    assert info.value.__cause__ is None
    assert "\x1b" not in text

"""Tests of variables that can be changed."""

from __future__ import annotations

import pytest

from pytest_codex_workspace.access.variables import Variables
from pytest_codex_workspace.errors import ConfigError


def test_own_variables_come_before_given_ones():
    """
    It is an ordinary mapping, also in messages.
    """
    own = {}
    variables = Variables({"A": "1", "B": "2"}, own)
    variables["B"] = "3"
    variables["C"] = "4"

    assert variables == {"A": "1", "B": "3", "C": "4"}
    assert (len(variables), "C" in variables, list(variables)) == (3, True, ["A", "B", "C"])
    assert repr(variables) == "{'A': '1', 'B': '3', 'C': '4'}"
    del variables["B"], variables["C"]
    assert variables == {"A": "1", "B": "2"}
    assert own == {}


@pytest.mark.parametrize(("name", "value"), [("A=B", "x"), ("", "x"), ("A", 1), ("A", "x\0")])
def test_invalid_variables_are_refused(name, value):
    """
    At once, not with the next command.
    """
    with pytest.raises(ConfigError, match=r"ws\.env"):
        Variables({}, {})[name] = value

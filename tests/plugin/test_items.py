"""Tests of what is known of a test before it runs."""

from __future__ import annotations

import pytest

from pytest_codex_workspace.errors import ConfigError
from pytest_codex_workspace.plugin.items import (
    is_overridden,
    may_be_skipped,
    uses_workspace,
    workspace_request,
)


def test_a_workspace_may_be_used_through_another_fixture(pytester):
    """
    A test that only has a similar name does not use one.
    """
    direct, through, without = pytester.getitems(
        """
        import pytest
        @pytest.fixture
        def built(codex_workspace_factory): pass
        def test_direct(codex_workspace): pass
        def test_through(built): pass
        def test_codex_workspace(codex_env): pass
        """
    )

    assert uses_workspace(direct)
    assert uses_workspace(through)
    assert not uses_workspace(without)


def test_a_fixture_of_a_project_is_known_from_ours(pytester):
    """
    What ours returns is known before a test runs, so that its layers can be made.
    """
    source = "def test_func(codex_workspace): pass"
    ours = pytester.getitem(source)
    pytester.makeconftest("import pytest\n@pytest.fixture\ndef codex_env(): return {'A': '1'}")
    theirs = pytester.getitem(source)

    assert not is_overridden(ours, "codex_env")
    assert is_overridden(theirs, "codex_env")
    assert not is_overridden(theirs, "codex_network_policy")


@pytest.mark.parametrize(
    ("marker", "expected"),
    [
        ("skip", True),
        ("skipif(True, reason='x')", True),
        ("skipif(False, reason='x')", False),
        ("skipif('1 > 2')", True),
        ("xfail", False),
    ],
)
def test_a_test_that_may_be_skipped(pytester, marker, expected):
    """
    Nothing is made for it ahead. A condition that is text counts, whatever it says.
    """
    item = pytester.getitem(f"import pytest\n@pytest.mark.{marker}\ndef test_func(): pass")

    assert expected == may_be_skipped(item)


def test_a_parameter_changes_what_markers_request(pytester):
    """
    Variables are merged; a parameter that is not a dict is an error.
    """
    good, bad = pytester.getitems(
        """
        import pytest
        values = [{"env": {"B": "2"}, "cache_miss": True}, None]
        @pytest.mark.codex_env(A="1")
        @pytest.mark.parametrize("codex_workspace", values, indirect=True)
        def test_it(codex_workspace): pass
        """
    )
    wanted = workspace_request(good)

    assert ({"A": "1", "B": "2"}, "miss") == (wanted.env, wanted.state)
    with pytest.raises(ConfigError, match="the parameter of codex_workspace is None"):
        workspace_request(bad)


def test_a_fixture_that_a_test_asks_for_is_known_from_then_on(pytester):
    """
    Also if it was set up for another test.
    """
    pytester.makepyfile(
        """
        import pytest
        from pytest_codex_workspace.plugin.items import fixtures_of, fixtures_so_far

        @pytest.fixture(scope="module")
        def wide():
            pass

        @pytest.mark.parametrize("number", [1, 2])
        def test_it(request, number):
            assert "wide" not in fixtures_so_far(request.node)
            request.getfixturevalue("wide")
            assert "wide" in fixtures_so_far(request.node)
            assert "wide" not in fixtures_of(request.node)
        """
    )

    pytester.runpytest_inprocess().assert_outcomes(passed=2)

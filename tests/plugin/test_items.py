"""Tests of what is known of a test before it runs."""

from __future__ import annotations

import pytest

from pytest_codex_workspace.errors import ConfigError
from pytest_codex_workspace.plugin.items import (
    is_overridden,
    may_be_skipped,
    next_of_kind,
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


FOLLOWING = """
    import pytest
    {marks}
    def test_first(codex_workspace): pass
    def test_without(): pass
    @pytest.mark.skip
    @pytest.mark.cache_miss
    def test_skipped(codex_workspace): pass
    {next}
"""


def first_and_next(pytester, following, marks=""):
    pytester.makepyfile(FOLLOWING.format(marks=marks, next=following))
    items, _ = pytester.inline_genitems()
    items[0].session.items = items
    return items


@pytest.mark.parametrize(
    ("following", "expected"),
    [
        ("def test_it(codex_workspace): pass", True),
        ("@pytest.mark.codex_network(deny=['*'])\n    def test_it(codex_workspace): pass", True),
        ("@pytest.mark.codex_cassette('x')\n    def test_it(codex_workspace): pass", True),
        ("@pytest.mark.cache_hit\n    def test_it(codex_workspace): pass", False),
        ("@pytest.mark.codex_env(A='1')\n    def test_it(codex_workspace): pass", False),
        ("def test_it(codex_workspace_factory): pass", False),
        ("def test_it(codex_workspace_class): pass", False),
        ("def test_it(): pass", False),
        *(
            (
                f"@pytest.mark.parametrize('codex_workspace', [{value}], indirect=True)\n"
                "    def test_it(codex_workspace): pass",
                value == "{}",
            )
            for value in ("{}", "{'env': {'A': '1'}}", "1", "{'unknown': 1}")
        ),
        (
            "@pytest.mark.parametrize('codex_env', [{'A': '1'}], indirect=True)\n"
            "    def test_it(codex_workspace): pass",
            False,
        ),
    ],
)
def test_the_next_workspace_may_be_like_this_one(pytester, following, expected):
    """
    Tests without a workspace in between do not matter.
    """
    items = first_and_next(pytester, following)

    assert expected == next_of_kind(items[0], workspace_request(items[0]), items[1])


def test_a_test_with_files_in_memory_has_none_started_beside_it(pytester):
    """
    The files of the engine would be those in memory, too.
    """
    items = first_and_next(
        pytester,
        "def test_it(codex_workspace): pass",
        "@pytest.fixture\n    def fs(): pass\n    @pytest.mark.usefixtures('fs')",
    )

    assert not next_of_kind(items[0], workspace_request(items[0]), items[1])


def test_another_order_than_that_of_collection(pytester):
    """
    Only the test that follows is known then, whether the others were collected or not.
    """
    items = first_and_next(pytester, "def test_it(codex_workspace): pass")

    assert not next_of_kind(items[0], workspace_request(items[0]), items[2])
    assert next_of_kind(items[0], workspace_request(items[0]), items[-1])
    items[0].session.items = items[1:]
    assert next_of_kind(items[0], workspace_request(items[0]), items[-1])


def test_nothing_follows_the_last_test(pytester):
    """
    Whatever else was collected.
    """
    items = first_and_next(pytester, "def test_it(codex_workspace): pass")

    assert not next_of_kind(items[-1], workspace_request(items[-1]), None)


def test_a_worker_of_xdist_knows_one_test_more(pytester):
    """
    Which of the others it will run is not known to it.
    """
    items = first_and_next(pytester, "def test_it(codex_workspace): pass")
    items[0].config.workerinput = {}

    assert not next_of_kind(items[0], workspace_request(items[0]), items[1])
    assert next_of_kind(items[0], workspace_request(items[0]), items[-1])


def test_a_path_in_a_marker_means_another_repository_beside_another_file(pytester):
    """
    It is relative to the file.
    """
    marks = "@pytest.mark.codex_repo('repo')"
    pytester.makepyfile(
        **{
            f"{folder}/test_{folder}": f"import pytest\n{marks}\ndef test_it(codex_workspace): pass"
            for folder in ("a", "b")
        }
    )
    items, _ = pytester.inline_genitems()
    items[0].session.items = items

    assert not next_of_kind(items[0], workspace_request(items[0]), items[1])

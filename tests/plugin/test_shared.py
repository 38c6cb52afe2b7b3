"""Tests of shared workspaces without an engine; integration/test_shared_workspaces.py has more."""

from __future__ import annotations

import pytest

MARK = "@pytest.mark.codex_env(A='1')"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            f"{MARK}\ndef test_it(codex_workspace_module): pass",
            "*test_it: @pytest.mark.codex_env is for the workspace of one test, but "
            "codex_workspace_module belongs to all tests of the module: mark the module, with "
            "pytestmark, or use codex_workspace",
        ),
        (
            f"class TestIt:\n    {MARK}\n    def test_it(self, codex_workspace_class): pass",
            "*codex_workspace_class belongs to all tests of the class: mark the class, or *",
        ),
        (
            f"{MARK}\nclass TestIt:\n    def test_it(self, codex_workspace_module): pass",
            "*codex_workspace_module belongs to all tests of the module: *",
        ),
        (
            "pytestmark = pytest.mark.cache_hit\ndef test_it(codex_workspace_session): pass",
            "*codex_workspace_session belongs to all tests of the session: give the option of *",
        ),
        # Through another fixture.
        (
            "@pytest.fixture\ndef ready(codex_workspace_module): pass\n"
            "@pytest.mark.codex_setup(False)\ndef test_it(ready): pass",
            "*@pytest.mark.codex_setup is for the workspace of one test*",
        ),
        (
            "@pytest.mark.parametrize('codex_env', [{'A': '1'}], indirect=True)\n"
            "def test_it(codex_workspace_module, codex_env): pass",
            "*codex_env has a parameter of its own for each test, but codex_workspace_module *",
        ),
    ],
)
def test_what_contradicts_a_scope_is_a_collection_error(
    pytester: pytest.Pytester, text: str, expected: str
) -> None:
    """
    A test cannot change what other tests have already.
    """
    pytester.makepyfile(f"import pytest\n\n{text}\n")

    pytester.runpytest_inprocess("--collect-only").stdout.fnmatch_lines([expected])


@pytest.mark.parametrize(
    "text",
    [
        "pytestmark = pytest.mark.codex_env(A='1')\ndef test_it(codex_workspace_module): pass",
        f"{MARK}\nclass TestIt:\n    def test_it(self, codex_workspace_class): pass",
        # The marker is for the other workspace.
        f"{MARK}\ndef test_it(codex_workspace, codex_workspace_session): pass",
        f"{MARK}\ndef test_it(codex_workspace_factory, codex_workspace_session): pass",
        # Without a class, the workspace is this test's own.
        f"{MARK}\ndef test_it(codex_workspace_class): pass",
        "@pytest.mark.usefixtures('codex_workspace_session')\ndef test_it(): pass",
    ],
)
def test_markers_of_the_scope_are_collected(pytester: pytest.Pytester, text: str) -> None:
    """
    They describe the workspace of the class or module.
    """
    pytester.makepyfile(f"import pytest\n\n{text}\n")

    pytester.runpytest_inprocess("--collect-only").stdout.fnmatch_lines(["*1 test collected*"])


@pytest.mark.parametrize("fixture", ["class", "module", "session"])
def test_a_shared_fixture_takes_no_parameter(pytester: pytest.Pytester, fixture: str) -> None:
    """
    The error says which fixtures do.
    """
    pytester.makepyfile(
        f"""
        import pytest

        @pytest.mark.parametrize("codex_workspace_{fixture}", [{{}}], indirect=True)
        def test_it(codex_workspace_{fixture}): pass
        """
    )

    result = pytester.runpytest_inprocess()

    assert result.parseoutcomes().get("errors") == 1
    result.stdout.fnmatch_lines([f"*codex_workspace_{fixture}*parameter*"])


def test_without_a_repository_tests_are_skipped(pytester: pytest.Pytester) -> None:
    """
    As those with a workspace of their own.
    """
    pytester.makepyfile(
        """
        def test_one(codex_workspace_module): pass
        def test_two(codex_workspace_session): pass
        """
    )

    pytester.runpytest_inprocess("-rs").assert_outcomes(skipped=2)

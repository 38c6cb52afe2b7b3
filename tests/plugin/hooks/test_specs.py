"""Registering implementations of our hooks, without an engine."""

from __future__ import annotations

import inspect
import re

import pytest

from pytest_codex_workspace.plugin.hooks import specs

HOOKS = {name: one for name, one in vars(specs).items() if name.startswith("pytest_codex_")}


def test_names_do_not_change():
    """
    Plugins of others implement them by these names and arguments.
    """
    assert {name: list(inspect.signature(one).parameters) for name, one in HOOKS.items()} == {
        "pytest_codex_policy_chosen": ["policy", "node", "config"],
        "pytest_codex_setup_finished": ["setup", "error", "node", "config"],
        "pytest_codex_workspace_started": ["workspace", "node", "config"],
        "pytest_codex_request_judged": ["request", "workspace", "node", "config"],
        "pytest_codex_workspace_stopped": ["workspace", "kept", "node", "config"],
        "pytest_codex_report_written": ["path", "kind", "config"],
    }


@pytest.mark.parametrize("name", HOOKS)
def test_each_argument_is_described(name):
    """
    And nothing else is.
    """
    text = inspect.getdoc(HOOKS[name]) or ""
    described = re.findall(r"^    (\w+): ", text.partition("\nArgs:\n")[2], re.MULTILINE)

    assert described == list(inspect.signature(HOOKS[name]).parameters)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("def pytest_codex_workspace_started(container): pass", "*Argument(s) {'container'}*"),
        ("def pytest_codex_workspace_began(workspace): pass", "*unknown hook*workspace_began*"),
    ],
)
def test_a_misspelled_one_is_refused_at_the_start(
    pytester: pytest.Pytester, text: str, problem: str
) -> None:
    """
    It would never be called.
    """
    pytester.makeconftest(text)
    pytester.makepyfile("def test_it(): pass")

    result = pytester.runpytest_inprocess()

    assert "1 passed" not in result.stdout.str()
    pytest.LineMatcher([*result.outlines, *result.errlines]).fnmatch_lines([problem])


def test_implementations_in_a_conftest_file_are_accepted(pytester: pytest.Pytester) -> None:
    """
    With some of the arguments.
    """
    pytester.makeconftest("\n".join(f"def {name}(config): pass" for name in HOOKS))
    pytester.makepyfile("def test_it(): pass")

    pytester.runpytest_inprocess().assert_outcomes(passed=1)


@pytest.mark.needs_git
@pytest.mark.slow
def test_the_path_of_a_policy_starts_where_pytest_was_started(example, make_repo) -> None:
    """
    Wherever a fixture of the test has gone.
    """
    example.makeconftest("def pytest_codex_policy_chosen(): return 'policies/own.yaml'")
    (example.path / "policies").mkdir()
    (example.path / "policies" / "own.yaml").write_text("methods: [GET]\n")
    example.makepyfile(
        """
        import pytest

        @pytest.fixture
        def elsewhere(tmp_path, monkeypatch):
            monkeypatch.chdir(tmp_path)

        def test_it(elsewhere, codex_workspace): pass
        """
    )

    result = example.runpytest_subprocess(f"--codex-repo={make_repo()}")

    # The policy has been read, and nothing else is there.
    assert "EngineUnavailable" in result.stdout.str()

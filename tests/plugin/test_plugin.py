"""Tests of the plugin in pytest, without an engine."""

from __future__ import annotations

import pytest

from ..conftest import init_repo

pytestmark = pytest.mark.needs_git


@pytest.fixture
def example(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> pytest.Pytester:
    """
    A project whose only test uses a workspace, on a machine without an engine.
    """
    monkeypatch.setenv("DOCKER_HOST", f"unix://{pytester.path}/no.sock")
    pytester.makepyfile("def test_it(codex_workspace): pass")
    return pytester


@pytest.mark.promise("S19")
def test_without_a_repository_tests_are_skipped(example):
    """
    S19: the reason names the option. In the seed, this was an unset HOST_REPO.
    """
    result = example.runpytest("-rs")

    result.assert_outcomes(skipped=1)
    result.stdout.fnmatch_lines(["*--codex-repo=PATH*"])


def test_without_an_engine_the_error_says_what_was_tried(example):
    """
    The error names the socket and has no traceback of a library.
    """
    repo = init_repo(example.path / "repo", {"a": "1"})

    result = example.runpytest(f"--codex-repo={repo}", "--tb=short")

    result.assert_outcomes(errors=1)
    text = result.stdout.str()
    assert "EngineUnavailable" in text
    assert "no.sock" in text
    assert "site-packages/docker" not in text
    assert "site-packages/requests" not in text


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--codex-cache=maybe"], "*--codex-cache=maybe: must be one of auto, refresh*"),
        (["--codex-env=X"], "*--codex-env=X: must have the form NAME=VALUE*"),
        (["--codex-setup-timeout=0"], "*must be a number of seconds above 0*"),
        (["--codex-output=loud"], "*--codex-output=loud: must be one of*"),
        (["--codex-network-bodies=1M"], "*must be a number of bytes from 0 to 262144*"),
        (["--codex-cassette=record", "--codex-cache=require"], "*=require forbids*"),
        (
            ["--codex-network=ofline"],
            "*-network: *named 'ofline' (did you mean 'offline'?)*",
        ),
        (["--codex-network-setup=no.yaml"], "*--codex-network-setup: *no.yaml cannot be read*"),
    ],
)
def test_a_wrong_option_is_a_usage_error(example, arguments, words):
    """
    The error has one line and comes before any test runs.
    """
    result = example.runpytest(*arguments)

    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines([words])


@pytest.mark.parametrize(
    ("marker", "words"),
    [
        ("cache_hit(1)", "*cache_hit takes no arguments*"),
        ("codex_env('A=1')", "*codex_env takes keywords only*"),
        ("codex_env(A=1)", "*A is 1; the value of a variable is text*"),
        ("codex_setup('no')", "*codex_setup takes one argument, True or False*"),
        ("codex_repo()", "*codex_repo takes a path*"),
    ],
)
def test_wrong_marker_arguments_are_a_collection_error(example, marker, words):
    """
    The error names the test, the marker and its valid arguments.
    """
    example.makepyfile(
        f"import pytest\n@pytest.mark.{marker}\ndef test_it(codex_workspace): pass\n"
    )

    result = example.runpytest()

    assert result.ret == pytest.ExitCode.INTERRUPTED
    result.stdout.fnmatch_lines(["*ERROR collecting*", words])


def test_the_command_line_takes_precedence_over_the_ini_file(example):
    """
    The header of the report shows the values.
    """
    repo = init_repo(example.path / "repo", {"a": "1"})
    example.makeini("[pytest]\ncodex_repo = repo\ncodex_image = slim\ncodex_cache = off\n")

    result = example.runpytest("--codex-cache=require", "--collect-only")

    result.stdout.fnmatch_lines(
        [f"codex: repo {repo} at HEAD, image slim, cache require, network https-only"]
    )


def test_markers_and_options_are_registered(example):
    """
    `--markers`, `--strict-markers` and `--help` know them.
    """
    markers = example.runpytest("--markers").stdout.str()
    options = example.runpytest("--help").stdout.str()

    for name in ("cache_hit", "cache_miss", "codex_repo", "codex_env", "codex_setup"):
        assert f"@pytest.mark.{name}" in markers
    for name in ("repo", "rev", "image", "env", "cache", "engine", "output", "keep"):
        assert f"--codex-{name}=" in options


@pytest.mark.slow
def test_a_run_without_workspaces_imports_nothing_heavy(pytester):
    """
    The plugin must not slow down other test runs.
    """
    pytester.makepyfile(
        """
        import sys
        def test_it():
            heavy = {"docker", "requests", "yaml", "filelock", "urllib3"} & set(sys.modules)
            assert not heavy
        """
    )

    result = pytester.runpytest_subprocess("-p", "no:randomly", "-p", "no:hypothesispytest")

    result.assert_outcomes(passed=1)

"""Tests of the plugin in pytest, without an engine."""

from __future__ import annotations

import pytest

from ..conftest import init_repo

pytestmark = pytest.mark.needs_git


@pytest.mark.promise("S19")
def test_without_a_repository_tests_are_skipped(example):
    """
    S19: the reason names the option. In the seed, this was an unset HOST_REPO.
    """
    result = example.runpytest("-rs")

    result.assert_outcomes(skipped=1)
    result.stdout.fnmatch_lines(["*--codex-repo=PATH*"])


@pytest.mark.parametrize("workers", [(), ("-n1",)], ids=["here", "xdist"])
def test_tests_that_were_skipped_without_a_repository_are_counted(example, workers):
    """
    A run whose tests are all skipped is green: a line says so, without any option. Tests that are
    skipped for another reason do not count.
    """
    example.makepyfile(
        test_other="""
        import pytest

        def test_two(codex_workspace): pass

        @pytest.mark.skip(reason="not today")
        def test_three(codex_workspace): pass
        """
    )

    result = example.runpytest_subprocess("-q", *workers)

    assert result.ret == 0
    assert (
        "codex workspaces: 2 tests were skipped, because no repository was given: --codex-repo=PATH"
        in result.outlines
    )


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
def test_a_run_without_workspaces_imports_nothing_heavy(pytester, monkeypatch):
    """
    The plugin must not slow down other test runs.
    """
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")
    pytester.makepyfile(
        """
        import sys
        def test_it():
            heavy = {"docker", "requests", "yaml", "filelock", "urllib3", "tomllib"}
            assert not heavy & set(sys.modules)
            # Of ours: the names of options, and what pytest tells the plugin.
            ours = {tuple(one.split(".")[1:]) for one in sys.modules
                    if one.startswith("pytest_codex_workspace.")}
            assert {one[0] for one in ours} == {
                "errors", "options", "plugin", "reporting", "text", "unpatched"
            }
            assert {one[1] for one in ours if one[0] == "options" and len(one) > 1} == {
                "markers", "table"
            }
            assert ("plugin", "starter") not in ours
        """
    )

    result = pytester.runpytest_subprocess("-p", "pytest_codex_workspace.plugin")

    result.assert_outcomes(passed=1)


def test_the_marks_of_tests_without_a_workspace_are_their_own(pytester):
    """
    A project may have marks of the same names, with arguments of its own.
    """
    pytester.makeini(
        "[pytest]\nmarkers =\n    cache_hit(name): our own\n    codex_env: ours, too\n"
    )
    pytester.makepyfile(
        """
        import pytest
        @pytest.mark.cache_hit("redis")
        @pytest.mark.codex_env("x", 1)
        @pytest.mark.codex_network(polcy="offline")
        def test_it(): pass
        """
    )

    result = pytester.runpytest("--strict-markers")

    result.assert_outcomes(passed=1)


@pytest.mark.parametrize(
    "fixture", ["codex_engine", "codex_image", "codex_proxy", "codex_repo", "codex_workspace"]
)
def test_a_parameter_that_a_fixture_cannot_take_is_an_error(example, fixture):
    """
    It is not ignored.
    """
    repo = init_repo(example.path / "repo", {"a": "1"})
    example.makeconftest(
        """
        import pytest
        @pytest.fixture(scope="session")
        def _codex_session(): pass
        """
    )
    example.makepyfile(
        f"""
        import pytest
        @pytest.mark.parametrize("{fixture}", [7], indirect=True)
        def test_it({fixture}): pass
        """
    )

    result = example.runpytest(f"--codex-repo={repo}")

    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines(["*ConfigError: *parameter*7*"])


def test_parameters_of_what_a_workspace_is_made_with_are_used(pytester):
    """
    Variables and policies may come from `parametrize`.
    """
    pytester.makepyfile(
        """
        import pytest
        @pytest.mark.parametrize("codex_env", [{"A": "1"}], indirect=True)
        @pytest.mark.parametrize("codex_network_policy", ["offline"], indirect=True)
        def test_it(codex_env, codex_network_policy):
            assert ({"A": "1"}, "offline") == (codex_env, codex_network_policy)
        """
    )

    pytester.runpytest().assert_outcomes(passed=1)


def test_a_wider_fixture_is_told_how_long_a_workspace_lives(example):
    """
    pytest's own error does not say what to do instead.
    """
    example.makepyfile(
        """
        import pytest
        @pytest.fixture(scope="module")
        def built(codex_workspace_factory): pass
        def test_it(built): pass
        """
    )

    result = example.runpytest()

    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines(
        ["*ScopeMismatch*", "*takes codex_workspace_class, codex_workspace_module or*"]
    )


@pytest.mark.parametrize(
    ("file", "table"),
    [
        ("pyproject.toml", "[tool.pytest]"),
        ("pytest.toml", "[pytest]"),
        ("pyproject.toml", "[tool.pytest.ini_options]"),
    ],
)
def test_a_toml_file_may_have_numbers_and_tables(pytester, file, table):
    """
    pytest's own tables keep the types of TOML.
    """
    own = "" if "ini_options" in table else 'codex_env = {A = "1", B = 2}\n'
    values = "codex_setup_timeout = 600\ncodex_network_bodies = 1000\ncodex_cache_size = 1000000\n"
    (pytester.path / file).write_text(f"{table}\n{values}{own}")
    pytester.makepyfile(
        f"""
        from pytest_codex_workspace.plugin.settings import settings_of
        def test_it(request):
            found = settings_of(request.config)
            assert (600.0, 1000) == (found.setup_timeout, found.network_bodies)
            assert 1000000 == found.cache_size
            assert {{"A": "1", "B": "2"}} == found.env or {not own}
        """
    )

    pytester.runpytest().assert_outcomes(passed=1)


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("codex_setup_timeout = true", "*codex_setup_timeout in *is True; it must be text or a*"),
        ("codex_image = ['slim']", "*codex_image in *is [['slim']; it must be text*"),
        (
            "codex_setup_timeout = 0",
            "*codex_setup_timeout in *must be a number of seconds above 0*",
        ),
        ("codex_env = 'A=1'", "*codex_env in *is 'A=1'; it must be a list of texts*"),
    ],
)
def test_a_wrong_value_in_a_toml_file_is_a_usage_error(pytester, line, words):
    """
    The error names the option and the file.
    """
    (pytester.path / "pytest.toml").write_text(f"[pytest]\n{line}\n")

    result = pytester.runpytest()

    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines([words.replace("[[", "[[]")])


@pytest.mark.parametrize("where", ["option", "ini", "variable"])
@pytest.mark.parametrize("wrong", ["repo", "rev"])
def test_a_wrong_repository_is_one_usage_error(example, monkeypatch, where, wrong):
    """
    It is not one error for each test.
    """
    init_repo(example.path / "here", {"a": "1"})
    example.makepyfile("def test_a(codex_workspace): pass\ndef test_b(codex_workspace): pass")
    values = {"repo": "nowhere"} if wrong == "repo" else {"repo": "here", "rev": "nobranch"}
    arguments = []
    for name, value in values.items():
        if where == "option":
            arguments.append(f"--codex-{name}={value}")
        elif where == "variable":
            monkeypatch.setenv(f"CODEX_WORKSPACE_{name.upper()}", value)
    if where == "ini":
        lines = "".join(f"codex_{name} = {value}\n" for name, value in values.items())
        example.makeini(f"[pytest]\n{lines}")

    result = example.runpytest(*arguments)

    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines([f"ERROR: *{list(values.values())[-1]}*"])


def test_runs_without_workspaces_ignore_what_is_set_for_others(pytester, monkeypatch):
    """
    Variables for the command, and a repository in the ini file, are of no concern to them.
    """
    monkeypatch.setenv("CODEX_WORKSPACE_OUTPUT", "jsonl")
    monkeypatch.setenv("CODEX_WORKSPACE_REPO", "nowhere")
    pytester.makepyfile("def test_it(): pass")

    pytester.runpytest().assert_outcomes(passed=1)

    pytester.makepyfile("def test_it(codex_workspace): pass")
    result = pytester.runpytest()
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["*CODEX_WORKSPACE_OUTPUT*jsonl*"])


def test_paths_are_those_of_the_directory_that_pytest_was_started_in(pytester, monkeypatch):
    """
    A test may go to another one, before the repository and the policy are read.
    """
    init_repo(pytester.path / "repo", {"a": "1"})
    (pytester.path / "mine.yaml").write_text("allow: [example.org]\n")
    pytester.makepyfile(
        """
        import os
        from pytest_codex_workspace.plugin.settings import settings_of
        def test_it(request, monkeypatch, tmp_path):
            monkeypatch.chdir(tmp_path)
            found = settings_of(request.config)
            assert found.repo.is_dir() and os.path.isfile(found.network)
        """
    )

    result = pytester.runpytest("--codex-repo=repo", "--codex-network=mine.yaml")

    result.assert_outcomes(passed=1)


@pytest.mark.parametrize("without", ["terminal", "setupplan", "setuponly", "faulthandler"])
def test_other_plugins_may_be_missing(pytester, without):
    """
    Their options are missing as well.
    """
    pytester.makepyfile("def test_a(): assert 0\ndef test_b(codex_workspace): pass")

    result = pytester.runpytest_subprocess("-p", f"no:{without}", "--junitxml=out.xml")

    assert result.ret == pytest.ExitCode.TESTS_FAILED, result.stderr.str()
    report = (pytester.path / "out.xml").read_text()
    assert 'errors="0" failures="1" skipped="1" tests="2"' in report

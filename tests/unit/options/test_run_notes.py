"""Tests of what is said at the beginning of a run."""

from __future__ import annotations

from dataclasses import replace

import pytest

from pytest_codex_workspace.options.config import Config
from pytest_codex_workspace.options.run_notes import (
    describe_engine,
    describe_history,
    describe_rules,
    describe_scripts,
    same_rules,
)
from pytest_codex_workspace.options.script_text import FROM_STANDARD_INPUT, ScriptText
from pytest_codex_workspace.options.sources import ResolvedOptions
from pytest_codex_workspace.projection.repository import open_repository

from ...helpers.fake_workspaces import snapshot
from ...helpers.repositories import Repository, host_environment

TEXT = ScriptText("s.sh", b"make\n")


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({}, ["profile seed: tests reach every host over HTTPS (the seed's rule)", "=codex"]),
        ({"profile": "codex"}, ["profile codex: tests are offline, as Codex's agent phase"]),
        ({"network": "offline"}, ["profile seed: tests are offline, as Codex's"]),
        ({"network": "open"}, ["what the policy open allows (your choice)", "=codex"]),
        (
            {"profile": "codex", "network": "codex-package-managers"},
            ["profile codex: tests reach what the policy codex-package-managers allows"],
        ),
        ({"profile": "current", "network": "https-only"}, ["Codex's default is offline"]),
    ],
)
def test_where_a_run_is_kinder_than_codex_is_said(options, words):
    """
    With the option that gives Codex's rules.
    """
    line = describe_rules(ResolvedOptions.of(options, spell="--codex-{}", environ={}).config)

    assert [] == [one for one in words if one not in line]
    assert ("--codex-profile=codex" in line) == ("=codex" in words)


@pytest.mark.parametrize(
    ("options", "command"),
    [
        ({}, []),
        ({"profile": "codex"}, ["--profile=codex"]),
        (
            {"profile": "codex", "git_depth": "all", "git_tags": "true"},
            ["--profile=codex", "--git-tags=true", "--git-depth=all"],
        ),
        ({"git_depth": "5"}, ["--git-depth=5"]),
    ],
)
def test_a_workspace_of_a_test_can_be_started_by_hand(options, command):
    """
    With the same rules: otherwise it would be another one.
    """
    config = ResolvedOptions.of(options, spell="--codex-{}", environ={}).config
    assert command == same_rules(config)

    given = replace(config, setup_script=replace(TEXT, name="a b.sh"), maintenance_script=TEXT)
    scripts = ["--setup-script='a b.sh'", "--maintenance-script=s.sh"]
    assert [one for one in same_rules(given) if "script" in one] == scripts
    piped = replace(config, setup_script=replace(TEXT, name=FROM_STANDARD_INPUT))
    assert "--setup-script=-" in same_rules(piped)


def test_a_policy_of_a_file_is_called_by_its_name():
    """
    As in the other line of the header.
    """
    assert "the policy ours allows" in describe_rules(Config(network={"name": "ours"}))


@pytest.mark.parametrize(
    ("given", "repository", "words"),
    [
        ({}, {}, ""),
        (
            {"setup_script": TEXT},
            {},
            "s.sh runs in place of codex-workspace-scripts/, and no maintenance script runs",
        ),
        (
            {"setup_script": TEXT, "maintenance_script": TEXT},
            {},
            "s.sh runs in place of codex-workspace-scripts/",
        ),
        ({"setup_script": TEXT}, {"scripts_tree": None}, ""),
        ({"maintenance_script": TEXT}, {}, "s.sh runs in place of codex-workspace-scripts/setup-f"),
        ({"maintenance_script": TEXT}, {"has_resume": False}, ""),
    ],
)
def test_scripts_that_do_not_run_are_named(given, repository, words):
    """
    Those of a repository, if others are given.
    """
    line = describe_scripts(Config(**given), snapshot(**repository))

    assert line.startswith(words)
    assert bool(line) == bool(words)


@pytest.mark.needs_git
def test_what_is_missing_of_the_history_is_told_where_codex_is_not_known(tmp_path):
    """
    Not under the seed's rules, which have always been the same, unless a version would be wrong;
    and not what is asked for.
    """
    repo = Repository(tmp_path / "r", host_environment(tmp_path / "home"))
    for _ in range(3):
        repo.commit()
    repo.git("tag", "v1", "HEAD~1")
    found = open_repository(repo.path, environ=repo.env)

    def told(**options):
        return describe_history(Config(**options), found, repo.env)

    assert told() == told(git_depth=1) == ""
    both = told(profile="codex", git_depth=2)
    assert "warning: workspaces have none of 1 tag and 2 commits of the history" in both
    assert "not known" in both
    assert "--codex-git-tags=true, or --codex-git-depth=all" in both
    assert "commits" not in told(profile="codex", git_depth=3)
    assert told(profile="codex", git_depth=3, git_tags=True) == ""
    repo.git("tag", "-d", "v1")
    assert told(profile="codex") == ""


@pytest.mark.needs_git
@pytest.mark.parametrize(
    ("file", "text", "warns"),
    [
        ("pyproject.toml", 'requires = ["setuptools-scm>=8"]', True),
        ("pyproject.toml", '[tool.pdm.version]\nsource = "scm"', True),
        ("setup.py", "use_scm_version=True, setup_requires=['setuptools_scm']", True),
        ("setup.cfg", "[versioneer]", True),
        ("codex-workspace-scripts/setup-script.sh", "git describe --tags", True),
        ("package.json", '{"version": "1"}', False),
        ("docs/x.md", "setuptools-scm", False),
    ],
)
def test_a_wrong_version_is_told_under_the_seeds_rules_too(tmp_path, file, text, warns):
    """
    Tools that make a version of tags make a wrong one without them, and no error.
    """
    repo = Repository(tmp_path / "r", host_environment(tmp_path / "home"))
    repo.commit({file: text})
    found = open_repository(repo.path, environ=repo.env)
    assert describe_history(Config(), found, repo.env) == ""
    repo.git("tag", "v1")

    line = describe_history(Config(), found, repo.env)

    assert bool(line) == warns
    assert (f"none of 1 tag ({file}: " in line) == warns
    assert ("SETUPTOOLS_SCM_PRETEND_VERSION" in line) == warns
    assert describe_history(Config(git_tags=True), found, repo.env) == ""


def test_the_engine_of_a_run_is_described_without_asking_it(tmp_path):
    """
    With the setting that leads to it.
    """
    far = {"HOME": str(tmp_path), "DOCKER_HOST": "ssh://me@far"}

    assert "engine ssh://me@far (DOCKER_HOST)" == describe_engine("auto", far)
    assert "engine tcp://h:1 (the engine option)" == describe_engine("tcp://h:1", far)
    assert "none found" in describe_engine("nonsense", far)

"""Tests of the precedence of options, environment and files, and of the source of each value."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from pytest_codex_workspace.cli.main import main
from pytest_codex_workspace.errors import ConfigError, PolicyError
from pytest_codex_workspace.options.sources import FILE, Given, ResolvedOptions, Source

from ...helpers.configuration import read_directory, resolve
from ...helpers.events import read_events
from ...helpers.repositories import Repository, host_environment

PLACES = ("file", "ini", "environment", "option")
"""Each beats those before it."""


@pytest.fixture
def repo(tmp_path: Path) -> Path:
    """
    A directory in place of a commit.
    """
    return tmp_path


@pytest.fixture
def committed(tmp_path: Path) -> Callable[[str], Path]:
    """
    Return a function that makes a repository with a configuration file.
    """

    def make(text: str) -> Path:
        repo = Repository(tmp_path / "repo", host_environment(tmp_path / "home"))
        repo.commit({FILE: text})
        return repo.path

    return make


def gather(repo: Path, places: tuple[str, ...]) -> ResolvedOptions:
    """
    Return the resolved options when each of *places* sets options to its own name.
    """
    if "file" in places:
        (repo / FILE).write_text(
            "image: file\nenv: {WHO: file, FILE: x}\nsecrets: [S_FILE]\nnetwork: offline\n"
        )
    ini_file = Source("ini", "codex_x", repo / "pytest.ini")
    ini = {key: Given("ini", ini_file) for key in ("image", "env.WHO", "env.INI")}
    ini["secret.S_INI"] = Given("", ini_file)
    environ = {
        "CODEX_WORKSPACE_IMAGE": "environment",
        "CODEX_WORKSPACE_ENV": "WHO=environment\nENVIRONMENT=two words\n",
        "CODEX_WORKSPACE_SECRET": "S_ENVIRONMENT, S_MORE",
    }
    options = {"image": "option", "env": ["WHO=option", "OPTION=x"], "secret": ["S_OPTION"]}
    return resolve(
        repo,
        options=options if "option" in places else {},
        spell="--codex-{}",
        ini=ini if "ini" in places else {},
        environ=environ if "environment" in places else {},
    )


@pytest.mark.parametrize(
    "places", [some for n in range(1, 5) for some in itertools.combinations(PLACES, n)]
)
def test_the_precedence_is_option_environment_ini_file(repo: Path, places: tuple[str, ...]) -> None:
    """
    Variables and secrets are merged by name.
    """
    resolved = gather(repo, places)

    assert resolved.config.image == places[-1]
    assert resolved.source("image").kind == places[-1]
    assert resolved.config.env["WHO"] == places[-1]
    assert {place.upper() for place in places} == set(resolved.config.env) - {"WHO"}
    assert {f"S_{place.upper()}" for place in places} == set(resolved.config.secret) - {"S_MORE"}
    assert ("offline" if "file" in places else "https-only") == resolved.config.network


@pytest.mark.parametrize(
    ("environ", "words"),
    [
        ({"CODEX_WORKSPACE_CACHE_TTL": "soon"}, "CODEX_WORKSPACE_CACHE_TTL=soon: must be a"),
        ({"CODEX_WORKSPACE_ENV": "A=1\nB"}, "CODEX_WORKSPACE_ENV=B: must have the form NAME=VALUE"),
        ({"CODEX_WORKSPACE_ENV": "1=1"}, "CODEX_WORKSPACE_ENV: '1' is not a valid name"),
        ({"CODEX_WORKSPACE_SECRET": "A B-C"}, "CODEX_WORKSPACE_SECRET: 'B-C' is not a valid name"),
        ({"CODEX_WORKSPACE_NETWORK": "ofline"}, "CODEX_WORKSPACE_NETWORK: there is no policy"),
        (
            {"CODEX_WORKSPACE_ENV": "A=1", "CODEX_WORKSPACE_SECRET": "A"},
            "A is both a secret (CODEX_WORKSPACE_SECRET) and a plain variable (CODEX_WORKSPACE_E",
        ),
    ],
)
def test_an_error_names_the_source_of_the_value(
    repo: Path, environ: dict[str, str], words: str
) -> None:
    """
    Here the source is an environment variable.
    """
    with pytest.raises((ConfigError, PolicyError)) as caught:
        ResolvedOptions.of({}, spell="--{}", environ=environ)

    assert words in str(caught.value)


def test_nothing_is_read_without_a_repository(
    committed: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """
    A file in the current directory does not belong to a run without a repository.
    """
    monkeypatch.chdir(committed("imgae: slim"))

    assert ResolvedOptions.of({}, spell="--{}", environ={}).config.repo is None
    with pytest.raises(ConfigError, match="imgae"):
        ResolvedOptions.of({}, spell="--{}", environ={"CODEX_WORKSPACE_REPO": "."})


def test_a_file_can_be_ignored(repo: Path) -> None:
    """
    An option and the environment can do that; the file itself cannot.
    """
    (repo / FILE).write_text("secrets: [TOKEN]")
    options = {"repo": str(repo)}
    of = partial(ResolvedOptions.of, spell="--{}", read=read_directory)
    ignore = {"CODEX_WORKSPACE_REPO_CONFIG": "ignore"}

    for given, environ in (({"repo_config": "ignore"}, {}), ({}, ignore)):
        resolved = of({**options, **given}, environ=environ)
        assert () == resolved.config.secret
        assert resolved.file is None
    with pytest.raises(ConfigError, match="REPO_CONFIG=no: must be one of read, trust, ignore"):
        of(options, environ={"CODEX_WORKSPACE_REPO_CONFIG": "no"})
    (repo / FILE).write_text("repo-config: ignore")
    with pytest.raises(ConfigError, match="cannot be set by a repository"):
        of(options, environ={})


def test_the_command_prints_the_source_of_each_value(
    committed: Callable[[str], Path],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """
    Secrets are printed by name only, and passwords not at all.
    """
    repo = committed("image: slim\nenv: {A: 1}\nsecrets: [TOKEN, ABSENT]\n")
    monkeypatch.setenv("CODEX_WORKSPACE_CACHE_TTL", "2h")
    monkeypatch.setenv("CODEX_WORKSPACE_IMGE", "x")
    monkeypatch.setenv("TOKEN", "very-secret")
    monkeypatch.delenv("ABSENT", raising=False)

    code = main(["config", str(repo), "--env=B=2", "--upstream-proxy=http://me:hush@a.test:1"])
    text = capsys.readouterr().out

    assert 0 == code
    lines = {line.split()[0]: line.split(maxsplit=1)[1] for line in text.splitlines()}
    for name, value, where in (
        ("repo", str(repo), "REPO"),
        ("image", "slim", f"{repo / FILE}, line 1"),
        ("env.A", "1", f"{repo / FILE}, line 2"),
        ("env.B", "2", "--env"),
        ("secret.TOKEN", "(set)", f"{repo / FILE}, line 3"),
        ("secret.ABSENT", "(not set)", f"{repo / FILE}, line 3"),
        ("cache-ttl", "2h", "CODEX_WORKSPACE_CACHE_TTL"),
        ("cache", "auto", "default"),
        ("upstream-proxy", "http://a.test:1", "--upstream-proxy"),
    ):
        assert lines[name].startswith(value), name
        assert lines[name].endswith(where), name
    assert "unknown variable CODEX_WORKSPACE_IMGE (did you mean 'CODEX_WORKSPACE_IMAGE'?)" in text
    assert "very-secret" not in text
    assert "hush" not in text


def test_the_command_prints_the_sources_as_json(
    committed: Callable[[str], Path],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """
    File and line are separate fields.
    """
    repo = committed("\nsecrets: [TOKEN]\nnetwork: {allow: [a.test]}\n")
    monkeypatch.setenv("TOKEN", "very-secret")

    assert 0 == main(["config", str(repo), "--json"])
    text = capsys.readouterr().out
    data = read_events([text])[0]
    assert ("result", 0) == (data["event"], data["exit_code"])

    assert str(repo / FILE) == data["file"]
    source = {"from": "file", "name": "secrets", "file": str(repo / FILE), "line": 2}
    assert {"value": {"set": True}, "source": source} == data["options"]["secret.TOKEN"]
    assert ["a.test"] == data["options"]["network"]["value"]["allow"]
    assert {"value": "universal", "source": {"from": "default"}} == data["options"]["image"]
    assert "very-secret" not in text


def test_a_mistake_ends_the_command_with_exit_code_2(
    committed: Callable[[str], Path], capsys: pytest.CaptureFixture[str]
) -> None:
    """
    The error has one line. `run` fails before it starts anything.
    """
    repo = committed("image: slim\nimgae: slim")

    for command in ("config", "run"):
        assert 125 == main([command, str(repo)])
        error = capsys.readouterr().err
        assert f"{repo / FILE}, line 2: unknown key 'imgae' (did you mean 'image'?)" in error
        assert 1 == len(error.splitlines())


def test_the_environment_names_the_commands_repository(
    repo: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """
    The argument of the command is left out.
    """
    monkeypatch.setenv("CODEX_WORKSPACE_REPO", str(repo))

    assert 0 == main(["config"])
    first = capsys.readouterr().out.splitlines()[0]

    assert first.split() == ["repo", str(repo), "CODEX_WORKSPACE_REPO"]


@pytest.mark.parametrize("key", ["image", "rev", "cache", "engine", "upstream_proxy"])
def test_an_empty_option_is_not_the_default(key: str) -> None:
    """
    It is an unset variable of a script. In the environment, an empty variable is as none.
    """
    name = key.replace("_", "-")
    with pytest.raises(ConfigError, match=f"^--{name} has no value: give one, or leave out --"):
        ResolvedOptions.of({key: ""}, spell="--{}", environ={})

    variable = f"CODEX_WORKSPACE_{key.upper()}"
    assert ResolvedOptions.of({}, spell="--{}", environ={variable: ""}).values == {}


@pytest.mark.parametrize("what", ["a file", "nothing"])
def test_the_command_needs_a_directory(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], what: str
) -> None:
    """
    The options of a repository that does not exist are not printed.
    """
    path = tmp_path / "it"
    if what == "a file":
        path.touch()

    assert 125 == main(["config", str(path)])
    assert f"{path} is not a directory" in capsys.readouterr().err


def test_a_misspelled_variable_is_told_before_the_command_runs(
    repo: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """
    On standard error, and not with `--output=quiet`.
    """
    monkeypatch.setenv("CODEX_WORKSPACE_IMGE", "slim")
    words = ["run", str(repo), "--env=CODEX_ENV_PYTON_VERSION=3", "--engine=unix:///no.sock"]

    assert 125 == main(words)
    said = capsys.readouterr().err
    assert "warning: unknown variable CODEX_ENV_PYTON_VERSION (did you mean 'CODEX_ENV_PY" in said
    assert "warning: unknown variable CODEX_WORKSPACE_IMGE (did you mean 'CODEX_WORKSPACE" in said
    assert 125 == main([*words, "--output=quiet"])
    assert "warning" not in capsys.readouterr().err


@pytest.mark.parametrize("place", PLACES)
def test_several_engines_come_from_one_source(repo: Path, place: str) -> None:
    """
    The first is the one of a process that is told no other. One that is given twice counts once.
    """
    given = ["docker", "tcp://b:1", "docker"]
    source = Source("ini", "codex_engine", repo / "pytest.ini")
    ini = {"engine": Given(["podman"], source)} if place in ("environment", "option") else {}
    if place == "ini":
        ini["engine"] = Given(given, source)
    if place == "file":
        (repo / FILE).write_text(f"engine: {given}\n")
    environ = {"CODEX_WORKSPACE_ENGINE": " docker, tcp://b:1\ndocker"}
    config = ResolvedOptions.of(
        {"engine": given if place == "option" else None, "repo_config": "trust"},
        spell="--{}",
        ini=ini,
        environ=environ if place == "environment" else {},
        repo=str(repo),
        read=read_directory,
    ).config

    assert (config.engine, config.engines) == ("docker", ("docker", "tcp://b:1"))


@pytest.mark.parametrize("given", [["podman"], "podman", ["podman", "podman"]])
def test_one_engine_is_no_list(given: object) -> None:
    """
    A run on one engine has nothing to spread.
    """
    config = ResolvedOptions.of({"engine": given}, spell="--{}", environ={}).config

    assert (config.engine, config.engines) == ("podman", ())
    with pytest.raises(ConfigError, match="--engine has no value"):
        ResolvedOptions.of({"engine": ["podman", ""]}, spell="--{}", environ={})


def test_a_command_without_a_repository_takes_one_engine(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """
    It does not choose one of them by itself.
    """
    assert 125 == main(["cache", "list", "--engine=unix:///a", "--engine=unix:///b"])

    said = capsys.readouterr().err
    assert "works on one engine, and 2 are given: unix:///a, unix:///b" in said

"""Tests of reading `.codex-workspace.yaml`: its valid values, and each mistake with its line."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from pytest_codex_workspace.errors import ConfigError
from pytest_codex_workspace.options.config import Config
from pytest_codex_workspace.options.repo_file import GROUPS, shape_of, top_level
from pytest_codex_workspace.options.sources import FILE
from pytest_codex_workspace.options.table import OPTIONS

from ...helpers.configuration import resolve


@pytest.fixture
def repo(tmp_path: Path) -> Path:
    """
    A directory in place of a commit.
    """
    return tmp_path


def config_of(repo: Path, text: str) -> Config:
    """
    Return the configuration of a file with *text*.
    """
    (repo / FILE).write_text(text)
    return resolve(repo).config


WHOLE = """\
image: slim
env:
  PORT: 8080
  DEBUG: off
  EMPTY: ""
runtimes: {python: 3.10, node: "22"}
secrets: [TOKEN]
network:
  setup: {extends: offline, allow: [pypi.test]}
  tests: offline
  bodies: 1024
cache: {mode: off, ttl: 90, size: 5GB, registry: ghcr.io/me/cache, push: never}
cassette: off
timeouts: {setup: 60}
git: {tags: true, depth: 100}
upstream-proxy: none
"""


def test_a_file_can_set_every_option_of_a_repository(repo: Path) -> None:
    """
    Values are read as they are written: 3.10 is not 3.1, and `off` is not false.
    """
    config = config_of(repo, WHOLE)

    assert config == Config(
        repo=repo,
        repo_config="trust",
        image="slim",
        env={
            "PORT": "8080",
            "DEBUG": "off",
            "EMPTY": "",
            "CODEX_ENV_PYTHON_VERSION": "3.10",
            "CODEX_ENV_NODE_VERSION": "22",
        },
        secret=("TOKEN",),
        git_tags=True,
        git_depth=100,
        network="offline",
        network_setup={
            "extends": "offline",
            "allow": ["pypi.test"],
            "name": "codex-workspace.yaml",
        },
        network_bodies=1024,
        cache="off",
        cache_ttl=90.0,
        cache_size=5_000_000_000,
        cache_registry="ghcr.io/me/cache",
        cache_push="never",
        setup_timeout=60.0,
        upstream_proxy="none",
        started=config.started,
    )


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", {}),
        ("# nothing\n", {}),
        ("{}", {}),
        ("cache: require", {"cache": "require"}),
        ("cache: 'off'", {"cache": "off"}),
        ("cache-ttl: 2h", {"cache_ttl": 7200.0}),
        ("setup-timeout: 2.5", {"setup_timeout": 2.5}),
        ("git: {tags: True, depth: all}", {"git_tags": True, "git_depth": None}),
        ("git-tags: false\ngit-depth: '7'", {"git_tags": False, "git_depth": 7}),
        ("network: open", {"network": "open"}),
        ("network-setup: offline", {"network_setup": "offline"}),
        ("network: {}", {"network": "https-only"}),
        (
            "network: {allow: [a.test]}",
            {"network": {"allow": ["a.test"], "name": "codex-workspace.yaml"}},
        ),
        ("network: {setup: {name: ours, http: allow}}", {"network": "https-only"}),
    ],
)
def test_options_may_be_written_in_several_ways(
    repo: Path, text: str, expected: dict[str, Any]
) -> None:
    """
    There are short forms, and the usual names of the options.
    """
    config = config_of(repo, text)

    assert expected == {key: getattr(config, key) for key in expected}


def test_the_path_of_a_policy_starts_at_the_file(
    repo: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """
    The current directory makes no difference, and a file there is not read.
    """
    monkeypatch.chdir(repo / "..")
    (repo / "../elsewhere").write_text("allow: [b.test]")
    with pytest.raises(ConfigError, match="there is no policy or file named 'elsewhere'"):
        config_of(repo, "network: elsewhere")
    (repo / "net").mkdir()
    (repo / "net/ours.yaml").write_text("allow: [a.test]")

    policy = {"allow": ["a.test"], "name": "ours"}
    assert policy == config_of(repo, "network: net/ours.yaml").network


MISTAKES = [
    ("imgae: slim", "line 1: unknown key 'imgae' (did you mean 'image'?)"),
    ("image: slim\ncache:\n  tll: 2h", "line 3: unknown key 'tll' in cache (did you mean 'ttl'?)"),
    ("zzz: 1", "line 1: unknown key 'zzz'; known keys: cache, "),
    ("1: 2", "line 1: unknown key '1'"),
    ("<<: {image: slim}", "unknown key '<<'"),
    ("engine: []", "line 1: engine has no value; write one, or remove the line"),
    ("engine: {a: b}", "line 1: engine is a mapping; it must be a plain value"),
    ("engine: [docker, 1]", "line 1: engine is a number; it must be text: write '1'"),
    ("keep: always", "line 1: 'keep' cannot be set by a repository"),
    ("keep: always", "CODEX_WORKSPACE_KEEP"),
    ("setup-script: x.sh", "line 1: 'setup-script' cannot be set by a repository"),
    ("git: {tags: yes}", "line 1: git.tags is text; it must be true or false"),
    ("git:\n  tags: 1", "line 2: git.tags is a number; it must be true or false"),
    ("git: {depth: 0}", "line 1: git.depth=0: must be a number of commits"),
    ("git: {depth: true}", "line 1: git.depth is a truth value"),
    ("git: true", "line 1: git is a truth value; it must be a mapping"),
    ("git: {taggs: true}", "unknown key 'taggs' in git (did you mean 'tags'?)"),
    ("image: [a]", "line 1: image is a list; it must be a plain value"),
    ("image: {a: b}", "image is a mapping; it must be a plain value"),
    ("image: 12", "line 1: image is a number; it must be text: write '12'"),
    ("image: true", "image is a truth value; it must be text: write 'true'"),
    ("\nimage:", "line 2: image has no value; write one, or remove the line"),
    ("image: ''", "line 1: image has no value"),
    ("image: !x y", "image is tagged"),
    ("env: [A=1]", "line 1: env is a list; it must be a mapping of names to values"),
    ("env:\n  A: 1\n  B: [1]", "line 3: env.B is a list"),
    ("env:\n  A:\n", "line 2: env.A has no value"),
    ("env:\n  A-B: 1", "line 2: env: 'A-B' is not a valid name of a variable"),
    ('env: {A: "\\0"}', "line 1: env: A contains a NUL byte"),
    ("runtimes: {pyhton: 3.12}", "unknown key 'pyhton' in runtimes (did you mean 'python'?)"),
    ("runtimes: 3.12", "runtimes is a number; it must be a mapping, such as {python: 3.12}"),
    ("runtimes: {go: true}", "runtimes.go is a truth value"),
    (
        "env: {CODEX_ENV_GO_VERSION: 1}\nruntimes:\n  go: 1",
        "line 3: runtimes.go is the same as env.CODEX_ENV_GO_VERSION on line 1",
    ),
    ("secrets: TOKEN", "secrets is text; it must be a list of names"),
    ("secrets:\n- A\n- B\n- A", "line 4: secrets: A is defined twice (first on line 2)"),
    ("secrets: [1]", "an entry of secrets is a number"),
    ("secrets: [A B]", "line 1: secrets: 'A B' is not a valid name"),
    ("env: {A: 1}\nsecrets: [A]", f"{FILE}, line 1); remove one of the two"),
    ("cache: maybe", "line 1: cache=maybe: must be one of auto, refresh"),
    ("cache:\n  ttl: soon", "line 2: cache.ttl=soon: must be a duration above 0"),
    ("cache: {size: -1}", "cache.size=-1: must be a size"),
    ("cache: {registry: me}", "cache.registry=me: must be a registry's host"),
    ("cassette: on", "cassette=on: must be one of record"),
    ("cassette: record\ncache: require", "line 1: cassette=record runs the scripts"),
    ("timeouts: 4", "timeouts is a number; it must be a mapping"),
    ("timeouts: {setup: soon}", "timeouts.setup=soon: must be a number of seconds"),
    ("timeouts: {tests: 4}", "unknown key 'tests' in timeouts"),
    ("network: ofline", "line 1: network: there is no policy or file named 'ofline'"),
    ("network: no.yaml", "line 1: network: the policy file"),
    ("network:\n  test: offline", "line 2: unknown key 'test' in network (did you mean 'tests'?)"),
    ("network:\n  alow: [a.test]", "line 2: unknown key 'alow' in network (did you mean 'allow'?)"),
    (
        "network: {allow: [a.test], setup: offline}",
        "allow is a field of a policy and cannot stand next to setup",
    ),
    ("network:\n  tests:\n    metods: [GET]", "line 3: unknown field metods (did you mean"),
    ("network:\n  allow: a.test", "line 2: allow: 'a.test' is not a list"),
    ("network: [offline]", "network is a list; it must be a name, a path or a mapping"),
    (
        "network-setup: offline\nnetwork: {setup: open}",
        "line 2: network.setup is the same as network-setup on line 1",
    ),
    ("upstream-proxy: ftp://me:hush@a.test", "line 1: upstream-proxy: 'ftp://***@a.test'"),
    ("image: a\nimage: b", "line 2: image is defined twice (first on line 1); keep one of the two"),
    ("image: ]", "line 1, column 8: this is not YAML"),
    ("image: ü\n\x01", "line 2: this is not YAML"),
    ("a: &a [x]\nb: *a", "anchors and aliases"),
    ("? [a]\n: b", "line 1: a key must be a name"),
    ("- a", "line 1: this is a list; write options, such as `image: slim`"),
    ("slim", "line 1: this is text; write options"),
    ("a: 1\n---\nb: 1", "line 2, column 1: this is not YAML"),
    ("[" * 200, "line 1: the file is nested too deeply, by more than the limit of 64 levels"),
]


@pytest.mark.parametrize(("text", "words"), MISTAKES)
def test_a_mistake_is_explained(repo: Path, text: str, words: str) -> None:
    """
    The error names the file, the line, and what is valid or was probably meant.
    """
    with pytest.raises(ConfigError) as caught:
        config_of(repo, text)

    assert str(repo / FILE) in str(caught.value)
    assert words in str(caught.value)
    assert "hush" not in str(caught.value)


def test_a_file_cannot_control_the_terminal(repo: Path) -> None:
    """
    Somebody else may have written the repository, but its mistakes are shown.
    """
    with pytest.raises(ConfigError) as caught:
        config_of(repo, 'env: {"\\e]0;title\\x07\\e[2JA": [1]}')

    assert "env.A is a list" in str(caught.value)
    assert "\x1b" not in str(caught.value)


def test_a_file_that_cannot_be_read_is_an_error(repo: Path) -> None:
    """
    It ends in `.yml`, or has another encoding.
    """
    (repo / ".codex-workspace.yml").touch()
    with pytest.raises(ConfigError, match=r"rename it to \.codex-workspace\.yaml"):
        resolve(repo)
    (repo / ".codex-workspace.yml").unlink()
    (repo / FILE).write_bytes(b"image: \xfc")
    with pytest.raises(ConfigError, match="line 1: this is not text in UTF-8"):
        resolve(repo)


def test_each_option_has_one_place_in_the_file() -> None:
    """
    Options that depend on the user have none.
    """
    options = [*top_level().values()] + [one for g in GROUPS.values() for one in g.below.values()]

    assert {one.name for one in OPTIONS if one.place is None} == {
        "repo",
        "rev",
        "repo-config",
        "output",
        "keep",
        "cache-scope",
        "report",
        "cpus",
        "debug",
        "memory",
        "setup-script",
        "maintenance-script",
    }
    assert {one.name for one in options} == {one.name for one in OPTIONS if one.place is not None}
    assert not set(top_level()) & {*GROUPS, "runtimes"}
    assert {shape_of(one) for one in options} == {
        *("text", "choice", "truth", "count", "number", "quantity", "policy"),
        *("variables", "names", "reasons", "texts"),
    }

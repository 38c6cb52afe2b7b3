"""Tests of what a repository's file may decide alone, and what needs the user's trust."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from pytest_codex_workspace.errors import ConfigError
from pytest_codex_workspace.host.trusted_files import TrustedFiles
from pytest_codex_workspace.network.rules.policy import OPEN, Policy
from pytest_codex_workspace.options.sources import FILE
from pytest_codex_workspace.options.table import OPTIONS
from pytest_codex_workspace.options.trust import FIELDS, NARROWER, in_ci, opened_by

from ...helpers.configuration import read_directory, resolve

FREE = """\
image: slim
env: {A: 1}
runtimes: {node: 22}
network:
  setup: codex-package-managers
  tests: {extends: offline, allow: [a.test], deny: [b.test], methods: [GET], ports: [443]}
  bodies: 0
cache: {mode: require, ttl: 2d, push: never}
cassette: replay
timeouts: {setup: 60}
upstream-proxy: environment
engine: [auto]
"""

WIDER = [
    ("image: ghcr.io/me/x", "line 1: image starts from the image ghcr.io/me/x, whose programs"),
    ("network-secrets: {TOKEN: a.test}", "sends the variable TOKEN of your environment to hosts"),
    ("secrets: [TOKEN]", "line 1: secrets: TOKEN gives the variable TOKEN of your environment"),
    ("network: open", "line 1: network opens plain HTTP, WebSocket, every port"),
    ("network: {http: allow}", "network opens plain HTTP"),
    ("network: {websocket: allow}", "network opens WebSocket"),
    ("network: {ports: [443, 22]}", "network opens ports 443, 22"),
    ("network: {ports: []}", "network opens every port"),
    ("network: {private: [10.0.0.0/8]}", "network opens the private networks 10.0.0.0/8"),
    ("network-setup: {extends: open, http: block}", "network-setup opens WebSocket, every port"),
    ("network: {extends: offline, allow: [a], http: allow}", "network opens plain HTTP"),
    ("network: ours.yaml", "line 1: network opens the private networks 127.0.0.0/8"),
    ("profile: codex", "line 1: profile sets network-setup to codex-setup, which opens plain HTTP"),
    ("network: {bodies: 1}", "network.bodies keeps bodies of requests"),
    ("cassette: record", "cassette writes recorded requests and responses into the work tree"),
    ("cache: {registry: evil.test/x}", "cache.registry downloads setups from evil.test/x and"),
    ("cache-size: 1MB", "cache-size changes the disk space"),
    ("timeouts: {setup: 1e9}", "timeouts.setup lets a setup script run for 1e9 s"),
    ("engine: tcp://evil.test:2375", "engine runs everything on the container engine tcp://evil"),
    ("engine: [auto, ssh://evil.test]", "on the container engine auto, ssh://evil.test"),
    ("upstream-proxy: none", "upstream-proxy decides which proxy requests take"),
    ("upstream-proxy: http://me:hush@a.test:1", "from this machine: http://a.test:1"),
]


@pytest.fixture
def repo(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """
    Return a directory in place of a commit. Nothing is trusted yet.
    """
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    (tmp_path / "repo").mkdir()
    (tmp_path / "repo/ours.yaml").write_text("private: [127.0.0.0/8]")
    return tmp_path / "repo"


def untrusted(repo: Path, text: str, **options: object) -> list[str]:
    """
    Return what is refused in a file with *text*.
    """
    (repo / FILE).write_text(text)
    return [
        str(one)
        for one in resolve(repo, options={"repo_config": None, **options}, refuse=False).untrusted
    ]


def test_every_option_says_what_a_file_may_do_with_it() -> None:
    """
    Whoever adds an option decides it. Without a decision, a file may not set the option.
    """
    for option in OPTIONS:
        if option.place is None:
            assert option.from_file is None, option.name
            continue
        assert option.from_file in ("free", "narrower", "trusted"), option.name
        policy = option.metavar == "POLICY"
        says = option.widens != type(option)._field_defaults["widens"]
        assert says == (option.from_file != "free" and not policy), option.name
    narrower = {option.key for option in OPTIONS if option.from_file == "narrower"}
    policies = {option.key for option in OPTIONS if option.metavar == "POLICY"}
    # What these open has functions of its own.
    assert narrower - policies - {"profile"} == set(NARROWER)


def test_every_field_of_a_policy_is_judged() -> None:
    """
    A new field cannot be forgotten. All that `open` opens is named.
    """
    assert {field.name for field in dataclasses.fields(Policy)} == set(FIELDS)
    assert opened_by(Policy()) == []
    assert opened_by(OPEN) == ["plain HTTP", "WebSocket", "every port"]


def test_what_narrows_is_free(repo: Path) -> None:
    """
    The usual settings of a repository need no trust.
    """
    assert untrusted(repo, FREE) == []


@pytest.mark.parametrize(("text", "words"), WIDER)
def test_what_widens_is_refused(repo: Path, text: str, words: str) -> None:
    """
    The error names the key, what it would do, and how to allow it.
    """
    (found,) = untrusted(repo, text)

    assert words in found
    with pytest.raises(ConfigError) as caught:
        resolve(repo, options={"repo_config": None})
    said = str(caught.value)
    assert words in said
    assert f"codex-workspace trust {repo}" in said
    assert "--repo-config=trust" in said
    assert "hush" not in said


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("network: https-only", "network opens HTTPS under https-only"),
        ("network: codex-package-managers", "network opens HTTPS under codex-package-managers"),
        ("network: {extends: offline, allow: [a.test]}", "network opens HTTPS under codex-work"),
        ("network: {tests: open}", "opens HTTPS under open, plain HTTP, WebSocket, every port"),
        ("network-setup: {http: allow, websocket: allow}", "network-setup opens WebSocket"),
        ("network-setup: {http: allow}\nnetwork: offline", ""),
        ("network-setup: offline\nprofile: seed", ""),
    ],
)
def test_a_file_may_not_widen_the_users_profile(repo: Path, text: str, words: str) -> None:
    """
    Under a profile whose tests are offline, the usual default is more than the user has chosen.
    """
    found = untrusted(repo, text, profile="codex")
    assert len(found) == bool(words)
    assert all(words in one for one in found)


@pytest.mark.parametrize(
    ("text", "options"),
    [
        ("profile: seed", {}),
        ("profile: codex\nnetwork: {setup: https-only}", {}),
        ("profile: current\nnetwork: {setup: offline, tests: codex-package-managers}", {}),
        ("profile: codex", {"network_setup": "open"}),
        ("profile: codex", {"profile": "seed"}),
    ],
)
def test_a_files_profile_needs_no_trust_for_what_it_does_not_decide(
    repo: Path, text: str, options: dict[str, object]
) -> None:
    """
    A profile is judged by those of its values that apply.
    """
    assert untrusted(repo, text, **options) == []


def test_all_that_widens_is_named_at_once(repo: Path) -> None:
    """
    In the order of the file.
    """
    found = untrusted(repo, "secrets: [A, B]\nimage: x\nnetwork: {setup: open, tests: offline}\n")

    assert [one.partition(" ")[2].split(" ")[1].rstrip(":") for one in found] == [
        *("secrets", "secrets", "image", "network.setup")
    ]


def test_the_users_own_value_needs_no_trust(repo: Path) -> None:
    """
    It takes precedence over the file's.
    """
    text = "image: x\nsecrets: [A]\n"

    assert untrusted(repo, text, image="slim", secret=["A"]) == []
    assert len(untrusted(repo, text, image="slim")) == 1


def test_trust_is_for_one_content_in_one_repository(repo: Path, tmp_path: Path) -> None:
    """
    Any change of the file, or of a policy file that it names, is asked about again.
    """
    text = "secrets: [A]\nnetwork: ours.yaml\n"
    assert len(untrusted(repo, text)) == 2
    file = read_directory(repo)
    TrustedFiles().add(file.repository, file.digest)

    assert untrusted(repo, text) == []
    assert len(untrusted(repo, text + "env: {B: 1}\n")) == 2
    assert untrusted(repo, text) == []
    (repo / "ours.yaml").write_text("private: [127.0.0.0/8, 10.0.0.0/8]")
    assert len(untrusted(repo, text)) == 2
    (repo / "ours.yaml").write_text("private: [127.0.0.0/8]")
    (tmp_path / "other").mkdir()
    (tmp_path / "other/ours.yaml").write_text("private: [127.0.0.0/8]")
    assert len(untrusted(tmp_path / "other", text)) == 2


@pytest.mark.parametrize(
    ("value", "ci"), [("", False), ("0", False), ("false", False), ("true", True), ("1", True)]
)
def test_ci_needs_the_option(repo: Path, value: str, ci: bool) -> None:
    """
    What is remembered on a machine does not count where nobody watches.
    """
    (repo / FILE).write_text("secrets: [A]")
    file = read_directory(repo)
    TrustedFiles().add(file.repository, file.digest)

    assert in_ci({"CI": value}) == ci
    asked = {"options": {"repo_config": None}, "environ": {"CI": value}}
    if not ci:
        assert resolve(repo, **asked).config.secret == ("A",)
        return
    with pytest.raises(ConfigError, match=r"does not count: give --repo-config=trust"):
        resolve(repo, **asked)
    environ = {"CI": value, "CODEX_WORKSPACE_REPO_CONFIG": "trust"}
    assert resolve(repo, options={"repo_config": None}, environ=environ).config.secret == ("A",)

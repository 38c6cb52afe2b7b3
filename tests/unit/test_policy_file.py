"""Policies that people write: names, files, and every kind of mistake."""

from __future__ import annotations

import pickle
from pathlib import Path

import pytest

from pytest_codex_workspace.errors import PolicyError
from pytest_codex_workspace.network.policy import OFFLINE, OPEN, Policy, RequestFacts, decide
from pytest_codex_workspace.network.policy_file import NAMES, PolicyReader
from pytest_codex_workspace.network.presets import PRESETS, preset_hosts

REGISTRIES = {"python": ["index.test", "files.test"], "npm": ["registry.test"], "debian": []}


def reader() -> PolicyReader:
    """
    One whose image has mirrors for registries.
    """
    return PolicyReader(lambda: REGISTRIES)


def reason(policy: Policy, host: str, **facts: object) -> str | None:
    """
    Why a request for *host* is refused.
    """
    return decide(RequestFacts(host, **facts), policy).reason  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("policy", "host", "expected"),
    [
        ("https-only", "any.example", None),
        ("offline", "any.example", "offline"),
        ("open", "any.example", None),
        ("open", "10.0.0.1", "private-address"),
        ("codex-common-dependencies", "github.com", None),
        ("codex-common-dependencies", "api.github.com", None),
        ("codex-common-dependencies", "a.registry.test", None),
        ("codex-common-dependencies", "notgithub.com", "host-not-allowed"),
        ("codex-common-dependencies", "example.com", "host-not-allowed"),
        ("codex-package-managers", "github.com", None),
        ("codex-package-managers", "www.github.com", None),
        ("codex-package-managers", "api.github.com", "host-not-allowed"),
        ("codex-package-managers", "index.test", None),
        ("codex-package-managers", "files.test", None),
        ("codex-package-managers", "www.index.crates.io", "host-not-allowed"),
    ],
)
def test_names(policy: str, host: str, expected: str | None) -> None:
    """
    What the built-in policies allow.
    """
    assert reason(reader().read(policy), host) == expected


def test_presets_have_the_entries_of_the_documentation() -> None:
    """
    71 with the registries, of which placeholders stand for some.
    """
    words = PRESETS["codex-common-dependencies"].split()

    assert len(words) == len(set(words)) == 71 - 3
    assert {"{python}", "{npm}", "{debian}"} <= set(words)
    assert "*.crates.io" in preset_hosts("codex-common-dependencies", {})


def test_registries_are_asked_for_only_when_a_preset_is_used() -> None:
    """
    It costs a container.
    """

    def fail() -> dict[str, list[str]]:
        raise AssertionError("asked")

    assert PolicyReader(fail).read("offline") is OFFLINE
    with pytest.raises(AssertionError, match="asked"):
        PolicyReader(fail).read("codex-package-managers")


@pytest.mark.parametrize(
    ("text", "host", "facts", "expected"),
    [
        ("allow: [a.test]", "a.test", {}, None),
        ("allow: [a.test]", "b.test", {}, "host-not-allowed"),
        ("allow: ['*.a.test']", "x.y.a.test", {}, None),
        ("allow: ['*.a.test']", "a.test", {}, "host-not-allowed"),
        ("deny: [a.test]", "a.test", {}, "host-not-allowed"),
        ("deny: [a.test]", "b.test", {}, None),
        ("allow: [a.test]\ndeny: [a.test]", "a.test", {}, "host-not-allowed"),
        ("extends: offline\nallow: [a.test]", "a.test", {}, None),
        ("extends: offline\nallow: [a.test]", "b.test", {}, "host-not-allowed"),
        ("extends: codex-package-managers\nallow: [a.test]", "a.test", {}, None),
        ("extends: codex-package-managers\nallow: [a.test]", "registry.test", {}, None),
        ("extends: codex-package-managers\nallow: [a.test]", "b.test", {}, "host-not-allowed"),
        ("extends: offline\nallow: [codex-package-managers]", "registry.test", {}, None),
        ("methods: [get, HEAD]", "a.test", {"method": "GET"}, None),
        ("methods: [GET]", "a.test", {"method": "POST"}, "method-not-allowed"),
        ("ports: [443, 8443]", "a.test", {"port": 8443}, None),
        ("ports: []", "a.test", {"port": 1}, None),
        ("private: [10.1.0.0/16]", "10.1.2.3", {}, None),
        ("private: [10.1.0.0/16]", "10.2.0.1", {}, "private-address"),
        ("refuse: [203.0.113.0/24]", "203.0.113.9", {}, "private-address"),
        ("http: allow", "a.test", {"scheme": "http", "port": 80, "encrypted": False}, None),
        ("websocket: allow", "a.test", {"websocket": True}, None),
        ("{}", "a.test", {}, None),
    ],
)
def test_files(
    tmp_path: Path, text: str, host: str, facts: dict[str, object], expected: str | None
) -> None:
    """
    What a file's fields allow, and how they combine with what it extends.
    """
    (tmp_path / "ours.yaml").write_text(text)

    policy = reader().read("ours.yaml", tmp_path)

    assert reason(policy, host, **facts) == expected
    assert policy.name == "ours"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("\nmetods: [GET]", "line 2: unknown field metods; was 'methods' meant?"),
        ("allow: example.com", "line 1: allow: 'example.com' is not a list; write [example.com]"),
        ("allow:\n- https://a.test/x", "line 1: allow: 'https://a.test/x' is neither"),
        ("allow:\n- https://a.test/x", "was 'a.test' meant?"),
        ("allow: ['*a.test']", "was '*.a.test' meant?"),
        ("allow: ['a.test:443']", "was 'a.test' meant?"),
        ("allow: ['a b']", "'a b' is neither a host nor *.domain"),
        ("allow: ['']", "'' is neither"),
        ("allow: [1]", "1 is not a host"),
        ("allow: [a.*.test]", "'a.*.test' is neither"),
        ("deny: [[a]]", "is not a host"),
        ("private: [10.0.0.0/33]", "'10.0.0.0/33' is not a network"),
        ("private: [10.0.0.1/8]", "was '10.0.0.0/8' or '10.0.0.1/32' meant?"),
        ("refuse: [here]", "'here' is not a network"),
        ("ports: [https]", "'https' is not a port number"),
        ("ports: [70000]", "70000 is not a port number"),
        ("ports: 443", "443 is not a list; write [443]"),
        ("methods: ['GET /']", "'GET /' is not an HTTP method"),
        ("http: maybe", "line 1: http: 'maybe' is not block or allow"),
        ("offline: 1", "1 is neither true nor false"),
        ("name: 'a/b'", "is not a short plain name"),
        ("extends: nothing", "line 1: extends: 'nothing' is not one of https-only"),
        ("extends: [offline]", "line 1: extends:"),
        ("a: 1\nhttp: block\nhttp: allow", "line 3: http is defined twice (first on line 2)"),
        ("allow: [", "line 1, column 9: this is not YAML"),
        ("allow: &a [x]\ndeny: *a", "anchors and aliases"),
        ("- a", "a policy is a mapping of fields"),
        ("", "this is empty"),
        ("!!python/object:os.system {}", "not YAML"),
        ("a: 2001-99-99", "cannot be read"),
        ("1: 2", "unknown field 1"),
    ],
)
def test_mistakes(tmp_path: Path, text: str, words: str) -> None:
    """
    Each names the file and says what was meant.
    """
    (tmp_path / "ours.yaml").write_text(text)

    with pytest.raises(PolicyError) as caught:
        reader().read("ours.yaml", tmp_path)

    assert str(tmp_path / "ours.yaml") in str(caught.value)
    assert words in str(caught.value)
    assert str(pickle.loads(pickle.dumps(caught.value))) == str(caught.value)


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    """
    A directory, another encoding, far too much.
    """
    (tmp_path / "latin.yaml").write_bytes(b"name: x\nallow: ['b\xfccher.test']\n")
    (tmp_path / "long.yaml").write_bytes(b"#" * 2_000_000)

    for path, words in (
        (tmp_path, "Is a directory"),
        (tmp_path / "latin.yaml", "line 2: this is not text in UTF-8"),
        (tmp_path / "long.yaml", "larger than"),
        (tmp_path / "none.yaml", "No such file"),
    ):
        with pytest.raises(PolicyError, match=words):
            reader().read(path)


@pytest.mark.parametrize("wrong", ["nothing", "https_only", ""])
def test_a_name_that_is_none(wrong: str, tmp_path: Path) -> None:
    """
    Both ways to say it are named.
    """
    with pytest.raises(PolicyError) as caught:
        reader().read(wrong, tmp_path / "nowhere")

    assert "https-only" in str(caught.value)


@pytest.mark.parametrize("wrong", [None, 7, ["https-only"]])
def test_what_is_no_policy(wrong: object) -> None:
    """
    A value of another type.
    """
    with pytest.raises(PolicyError, match="is no policy"):
        reader().read(wrong)  # type: ignore[arg-type]


def test_plain_fields() -> None:
    """
    A mapping is read like a file.
    """
    policy = reader().read({"extends": "open", "methods": ["GET"]})

    assert policy.http == "allow"
    assert reason(policy, "a.test", method="POST") == "method-not-allowed"
    assert reader().read(OPEN) is OPEN
    assert set(NAMES) >= {"https-only", "offline", "open", *PRESETS}

"""Tests of policies that users write: names, files, and every kind of mistake."""

from __future__ import annotations

import pickle
from pathlib import Path

import pytest

from pytest_codex_workspace.errors import PolicyError
from pytest_codex_workspace.network.policy_reader import NAMES, PolicyReader
from pytest_codex_workspace.network.presets import PRESETS
from pytest_codex_workspace.network.rules.policy import OFFLINE, OPEN, Policy, RequestFacts, decide

REGISTRIES = {"python": ["index.test", "files.test"], "npm": ["registry.test"], "debian": []}


def reader() -> PolicyReader:
    """
    Return a reader for an image that uses mirrors of the package registries.
    """
    return PolicyReader(lambda: REGISTRIES)


def reason(policy: Policy, host: str, **facts: object) -> str | None:
    """
    Return the reason why a request for *host* is blocked.
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
def test_built_in_policies_are_read_by_name(policy: str, host: str, expected: str | None) -> None:
    """
    Each built-in policy allows and blocks the documented hosts.
    """
    assert reason(reader().read(policy), host) == expected


def test_registries_are_looked_up_only_for_a_preset() -> None:
    """
    The look-up needs a container, so it happens only if a preset is used.
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
def test_fields_combine_with_the_extended_policy(
    tmp_path: Path, text: str, host: str, facts: dict[str, object], expected: str | None
) -> None:
    """
    The fields of a file change the policy that the file extends.
    """
    (tmp_path / "ours.yaml").write_text(text)

    policy = reader().read("ours.yaml", tmp_path)

    assert reason(policy, host, **facts) == expected
    assert policy.name == "ours"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("\nmetods: [GET]", "line 2: unknown field metods (did you mean 'methods'?)"),
        ("allow: example.com", "line 1: allow: 'example.com' is not a list; write [example.com]"),
        ("allow:\n- https://a.test/x", "line 1: allow: 'https://a.test/x' is neither"),
        ("allow:\n- https://a.test/x", "did you mean 'a.test'?"),
        ("allow: ['*a.test']", "did you mean '*.a.test'?"),
        ("allow: ['a.test:443']", "did you mean 'a.test'?"),
        ("allow: ['a b']", "'a b' is neither a host nor *.domain"),
        ("allow: ['']", "'' is neither"),
        ("allow: [1]", "1 is not a host"),
        ("allow: [a.*.test]", "'a.*.test' is neither"),
        ("deny: [[a]]", "is not a host"),
        ("private: [10.0.0.0/33]", "'10.0.0.0/33' is not a network"),
        ("private: [10.0.0.1/8]", "did you mean '10.0.0.0/8' or '10.0.0.1/32'?"),
        ("refuse: [here]", "'here' is not a network"),
        ("ports: [https]", "'https' is not a port number"),
        ("ports: [70000]", "70000 is not a port number"),
        ("ports: 443", "443 is not a list; write [443]"),
        ("methods: ['GET /']", "'GET /' is not an HTTP method"),
        ("http: maybe", "line 1: http: 'maybe' is not 'block' or 'allow'"),
        ("offline: 1", "1 is not true or false"),
        ("name: 'a/b'", "must be 1 to 64 letters, digits"),
        ("extends: nothing", "line 1: extends: 'nothing' is not one of https-only"),
        ("extends: [offline]", "line 1: extends:"),
        ("a: 1\nhttp: block\nhttp: allow", "line 3: http is defined twice (first on line 2)"),
        ("allow: [", "line 1, column 9: this is not YAML"),
        ("allow: &a [x]\ndeny: *a", "anchors and aliases"),
        ("- a", "a policy must be a mapping of fields"),
        ("", "this file is empty"),
        ("!!python/object:os.system {}", "not YAML"),
        ("a: 2001-99-99", "cannot be read"),
        ("1: 2", "unknown field 1"),
    ],
)
def test_mistakes_in_a_file_are_explained(tmp_path: Path, text: str, message: str) -> None:
    """
    Each error names the file, the line and the problem, and survives pickling.
    """
    (tmp_path / "ours.yaml").write_text(text)

    with pytest.raises(PolicyError) as caught:
        reader().read("ours.yaml", tmp_path)

    assert str(tmp_path / "ours.yaml") in str(caught.value)
    assert message in str(caught.value)
    assert str(pickle.loads(pickle.dumps(caught.value))) == str(caught.value)


def test_unreadable_files_are_explained(tmp_path: Path) -> None:
    """
    A directory, another encoding, a huge file and a missing file are errors.
    """
    (tmp_path / "latin.yaml").write_bytes(b"name: x\nallow: ['b\xfccher.test']\n")
    (tmp_path / "long.yaml").write_bytes(b"#" * 2_000_000)

    for path, message in (
        (tmp_path, "Is a directory"),
        (tmp_path / "latin.yaml", "line 2: this is not text in UTF-8"),
        (tmp_path / "long.yaml", "larger than"),
        (tmp_path / "none.yaml", "No such file"),
    ):
        with pytest.raises(PolicyError, match=message):
            reader().read(path)


@pytest.mark.parametrize("wrong", ["nothing", "https_only", ""])
def test_unknown_names_are_rejected(wrong: str, tmp_path: Path) -> None:
    """
    The error lists the built-in policies.
    """
    with pytest.raises(PolicyError) as caught:
        reader().read(wrong, tmp_path / "nowhere")

    assert "https-only" in str(caught.value)


@pytest.mark.parametrize("wrong", [None, 7, ["https-only"]])
def test_values_of_other_types_are_rejected(wrong: object) -> None:
    """
    A value that is neither a name, a path nor a mapping is an error.
    """
    with pytest.raises(PolicyError, match="is not a policy"):
        reader().read(wrong)  # type: ignore[arg-type]


def test_a_mapping_is_read_like_a_file() -> None:
    """
    A mapping of fields may extend a policy; a `Policy` is returned as it is.
    """
    policy = reader().read({"extends": "open", "methods": ["GET"]})

    assert policy.http == "allow"
    assert reason(policy, "a.test", method="POST") == "method-not-allowed"
    assert reader().read(OPEN) is OPEN
    assert set(NAMES) >= {"https-only", "offline", "open", *PRESETS}

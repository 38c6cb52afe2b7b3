"""Tests of what the keys of layers are made of."""

from __future__ import annotations

import dataclasses
from dataclasses import replace
from pathlib import Path

import pytest

from pytest_codex_workspace.images.content_key import differing, fingerprint, key_of
from pytest_codex_workspace.network.rules.policy import Policy
from pytest_codex_workspace.options.profiles import CODEX, CURRENT
from pytest_codex_workspace.options.script_text import GivenScripts, ScriptText
from pytest_codex_workspace.projection.repository import RepositorySnapshot, Tag
from pytest_codex_workspace.setup.keys import clean_parts, ready_parts, setup_parts
from pytest_codex_workspace.setup.spec import WorkspaceSpec

from ...helpers.fake_workspaces import snapshot

TEXT = ScriptText("s.sh", b"make\n")


def spec(**changes) -> WorkspaceSpec:
    """
    Return a specification that differs in *changes* from the default.
    """
    fields = {field.name for field in dataclasses.fields(RepositorySnapshot)}
    own = {name: changes.pop(name) for name in list(changes) if name in fields}
    return WorkspaceSpec(snapshot(**own), **changes)


def parts(base="b", platform="linux/amd64", **changes):
    return setup_parts(spec(**changes), base=base, platform=platform)


@pytest.mark.parametrize(
    ("changes", "name"),
    [
        ({"base": "c"}, "base"),
        ({"platform": "linux/arm64"}, "platform"),
        ({"identity": "j"}, "repository"),
        ({"name": "other"}, "name"),
        ({"scripts_tree": "u"}, "scripts"),
        ({"linked_scripts": "d"}, "linked scripts"),
        ({"skips_submodules": True}, "submodules"),
        ({"env": {"A": "1"}}, "environment.A"),
        ({"setup_policy": Policy(http="allow")}, "policy.http"),
        ({"setup_policy": Policy(allow=("example.org",))}, "policy.allow"),
        ({"setup_cassette_digest": "digest"}, "cassette"),
        ({"scope": "path /home/me"}, "scope.name"),
        ({"given": GivenScripts(setup=TEXT)}, "setup script"),
        ({"tags": ()}, "git tags"),
        ({"depth": 100}, "git depth"),
        ({"given": GivenScripts(maintenance=TEXT)}, "maintenance script"),
        ({"profile": CODEX}, "profile"),
        ({"profile": CURRENT}, "environment.CODEX_ENV_NODE_VERSION"),
    ],
)
def test_each_input_of_a_setup_image_changes_its_key(changes, name):
    """
    The difference names the input.
    """
    usual, other = parts(), parts(**changes)

    assert key_of(usual) != key_of(other)
    assert name in differing(fingerprint(usual), fingerprint(other))


@pytest.mark.parametrize(
    "changes",
    [
        {"head": "b" * 40},
        {"policy": Policy(offline=True)},
        {"path": Path("/s")},
        {"submodules": (None,)},
    ],
)
def test_other_values_do_not_change_the_key(changes):
    """
    Examples are another commit, a commit with submodules where the other has none, the network
    policy of tests, and the path of the clone.
    """
    assert key_of(parts()) == key_of(parts(**changes))


def test_tags_belong_to_a_commit_and_not_to_a_setup():
    """
    A new tag makes no setup run again, and is in the next workspace.
    """
    tagged = [{"tags": (Tag("v1", one * 40, "a" * 40),)} for one in "bc"]
    setups = [key_of(parts(**one)) for one in tagged]
    others = [
        [key_of(make(spec(**one))) for one in tagged]
        for make in (
            lambda each: clean_parts(each, base="b", platform="p", authority="a"),
            lambda each: ready_parts(each, setup="s", authority="a"),
        )
    ]

    assert setups[0] == setups[1]
    assert all(first != second for first, second in others)


def test_a_given_setup_script_takes_the_place_of_the_repositorys():
    """
    Its text counts, and neither its name nor what the repository has.
    """
    given = GivenScripts(setup=TEXT, maintenance=ScriptText("m.sh", b"true\n"))
    renamed = replace(given, setup=replace(TEXT, name="other.sh"))
    usual = key_of(parts(given=given))

    assert usual == key_of(parts(given=renamed))
    assert usual == key_of(parts(given=given, scripts_tree=None))
    for changed in (
        replace(given, setup=replace(TEXT, text=b"make all\n")),
        replace(given, maintenance=replace(TEXT, text=b"make all\n")),
        replace(given, maintenance=None),
    ):
        assert usual != key_of(parts(given=changed))


def test_the_encoding_of_variables_is_unambiguous():
    """
    The order of variables does not matter.
    """
    one = parts(env={"A": "1", "B": "2"})
    same = parts(env={"B": "2", "A": "1"})
    other = parts(env={"A": '1","B":"2'})

    assert key_of(one) == key_of(same) != key_of(other)


def test_each_difference_is_one_word():
    """
    Values of variables are not shown.
    """
    old = fingerprint(parts(env={"GONE": "x", "OTHER": "secret"}))
    new = fingerprint(parts(env={"OTHER": "changed", "NEW": "y"}))

    assert {
        "environment.GONE": "removed",
        "environment.NEW": "added",
        "environment.OTHER": "changed",
    } == differing(old, new)
    assert "secret" not in str(old)
    assert "/home/me" not in str(fingerprint(parts(scope="path /home/me")))


def test_the_seed_has_the_keys_from_before_profiles():
    """
    An update runs no setup again: these keys are those of the release before.
    """
    assert "830e614f53bc227e0119d341" == key_of(
        parts(env={"A": "1", "CODEX_ENV_GO_VERSION": "1.2"})
    )
    clean = clean_parts(
        spec(env={"CODEX_ENV_GO_VERSION": "1.2"}), base="b", platform="p", authority="a"
    )
    assert "a79a78f562e745af34918af9" == key_of(clean)

"""Tests of reading markers and factory keywords."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from pytest_codex_workspace.errors import ConfigError
from pytest_codex_workspace.options.markers import WorkspaceRequest, read_keywords, read_markers
from pytest_codex_workspace.snapshots.prepared import StateName
from pytest_codex_workspace.snapshots.snapshot import Snapshot


def mark(name, *args, **kwargs):
    return SimpleNamespace(name=name, args=args, kwargs=kwargs)


@pytest.mark.parametrize(
    ("marks", "wish"),
    [
        ([], WorkspaceRequest()),
        ([mark("slow", 1)], WorkspaceRequest()),
        ([mark("cache_hit")], WorkspaceRequest("hit")),
        ([mark("cache_miss")], WorkspaceRequest("miss")),
        ([mark("codex_setup", False)], WorkspaceRequest("clean")),
        ([mark("codex_setup", True)], WorkspaceRequest()),
        ([mark("codex_repo", "a")], WorkspaceRequest(repo="a")),
        ([mark("codex_repo", "a", rev="v1")], WorkspaceRequest(repo="a", rev="v1")),
        ([mark("codex_cassette", "api")], WorkspaceRequest(cassette="api")),
        ([mark("codex_repo", "near"), mark("codex_repo", "far")], WorkspaceRequest(repo="near")),
        (
            [mark("codex_env", A="near"), mark("codex_env", A="far", B="far")],
            WorkspaceRequest(env={"A": "near", "B": "far"}),
        ),
        (
            [mark("codex_network", allow=["a.test"]), mark("codex_network", "offline")],
            WorkspaceRequest(network=({"policy": "offline"}, {"allow": ["a.test"]})),
        ),
    ],
)
def test_markers_make_a_request(marks, wish):
    """
    The marker closest to the test takes precedence; variables are merged.
    """
    assert wish == read_markers(marks)


@pytest.mark.parametrize(
    ("marks", "words"),
    [
        ([mark("cache_hit", 1)], "cache_hit takes no arguments"),
        ([mark("cache_hit"), mark("cache_miss")], "contradict"),
        ([mark("cache_miss"), mark("codex_setup", False)], "contradict"),
        ([mark("codex_setup")], "codex_setup(False)"),
        ([mark("codex_setup", "no")], "True or False"),
        ([mark("codex_env", "A=1")], "NAME='value'"),
        ([mark("codex_env", A=1)], "A is 1"),
        ([mark("codex_repo")], "takes a path"),
        ([mark("codex_repo", "a", "b", "c")], "takes a path"),
        ([mark("codex_repo", 3)], "path is 3"),
        ([mark("codex_repo", "a", rev=3)], "rev is 3"),
        ([mark("codex_repo", "a", ref="b")], "takes a path"),
        ([mark("codex_network", "a", "b")], "takes a policy and keywords"),
        ([mark("codex_cassette")], "takes one name"),
        ([mark("codex_snapshot")], "takes the name of a fixture"),
        ([mark("codex_snapshot", "")], "takes the name of a fixture"),
        ([mark("codex_snapshot", 5)], "codex_snapshot('installed', key='1')"),
        ([mark("codex_snapshot", "a", key=1)], "takes the name of a fixture"),
        ([mark("codex_snapshot", "a", kye="b")], "takes the name of a fixture"),
        ([mark("codex_snapshot", "a", key="b"), mark("cache_miss")], "cache_miss reads no cache"),
        ([mark("codex_network", 7)], "policy is 7"),
        ([mark("codex_network", alow=["a"])], "did you mean 'allow'?"),
        ([mark("codex_network", polcy="offline")], "did you mean 'policy'?"),
        ([mark("codex_network", nmae="x")], "the fields are policy, name"),
        ([mark("codex_network", allow="a.test")], "'a.test' is not a list"),
        ([mark("codex_network", http="no")], "is not 'block' or 'allow'"),
    ],
)
def test_invalid_arguments_are_explained(marks, words):
    """
    The error names the marker and its valid arguments.
    """
    with pytest.raises(ConfigError) as caught:
        read_markers(marks)

    assert words in str(caught.value)


def test_keywords_are_the_names_of_the_markers():
    """
    The prefix `codex_` is optional.
    """
    expected = WorkspaceRequest("hit", "r", "v", {"A": "1"})

    assert expected == read_keywords(
        {"cache_hit": True, "codex_repo": "r", "rev": "v", "codex_env": {"A": "1"}}
    )
    assert expected == read_keywords(
        {"cache_hit": True, "repo": ("r", "v"), "env": {"A": "1"}, "setup": True}
    )


def test_a_network_is_a_policy_or_changes_to_one():
    """
    The value is one policy, or has the marker's keywords.
    """
    assert read_keywords({"network": "offline"}).network == ({"policy": "offline"},)
    assert read_keywords({"codex_network": {"http": "allow"}}).network == ({"http": "allow"},)


def test_an_unknown_keyword_is_a_type_error():
    """
    The error lists the known keywords.
    """
    with pytest.raises(TypeError, match="cache_hit, cache_miss"):
        read_keywords({"cache": "hit"})
    with pytest.raises(TypeError, match="did you mean 'cache_miss'"):
        read_keywords({"cache_mis": True})
    with pytest.raises(TypeError, match="did you mean 'network'"):
        read_keywords({"codex_netwrok": "offline"})


def test_a_request_is_changed_by_another():
    """
    What the other does not ask for stays, and a revision stays with its repository.
    """
    first = WorkspaceRequest("hit", "r", "v", {"A": "1", "B": "1"}, ({"http": "allow"},), "api")

    assert first == first.changed_by(WorkspaceRequest())
    assert WorkspaceRequest(
        "miss", "q", None, {"A": "2", "B": "1"}, ({"http": "allow"}, {"policy": "offline"}), "api"
    ) == first.changed_by(
        WorkspaceRequest("miss", "q", env={"A": "2"}, network=({"policy": "offline"},))
    )


def test_a_snapshot_is_one_or_a_name():
    """
    One has its repository, commit and setup already; a name is prepared in what the others say.
    """
    made = Snapshot("sha256:1", "demo", "sha256:0")

    assert read_keywords({"snapshot": made, "env": {"A": "1"}}).snapshot is made
    named = read_markers([mark("codex_snapshot", "near"), mark("codex_snapshot", "far")])
    assert named.snapshot == StateName("near")
    keyed = read_markers([mark("codex_snapshot", "near", key="1")]).snapshot
    assert keyed == read_keywords({"snapshot": ("near", "1")}).snapshot == StateName("near", "1")
    assert read_keywords({"snapshot": "x", "setup": False}).state == "clean"
    for other in ({"repo": "r"}, {"rev": "v"}, {"cache_miss": True}, {"setup": False}):
        with pytest.raises(ConfigError, match="goes with none of repo, rev, setup"):
            read_keywords({"snapshot": made, **other})
    for wrong in (5, "", b"sha256:1"):
        with pytest.raises(ConfigError, match=r"it must be what ws.snapshot\(\) returns"):
            read_keywords({"snapshot": wrong})


def test_markers_and_a_parameter_together_are_checked():
    """
    Each may be right by itself.
    """
    made = WorkspaceRequest(snapshot=Snapshot("sha256:1", "demo", "sha256:0"))

    with pytest.raises(ConfigError, match="goes with none of repo"):
        WorkspaceRequest("miss").changed_by(made)

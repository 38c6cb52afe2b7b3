"""Tests of what is said of a cached setup before it is used."""

from __future__ import annotations

from dataclasses import replace

import pytest

from pytest_codex_workspace.cache import provenance
from pytest_codex_workspace.cache.provenance import CachedSetup, CachedSetups
from pytest_codex_workspace.cache.store import Layer
from pytest_codex_workspace.reporting.output import Output
from pytest_codex_workspace.unpatched import clock

from ...helpers.fake_workspaces import snapshot

OLD = "b" * 40
NAMES = {"setup": "setup-script.sh", "resume": "setup-from-cache-script.sh"}
SETUP = CachedSetup("shop", OLD, same_commit=False, age=11000, changed=())


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"same_commit": True}, "made 3 h 3 min ago at this commit"),
        ({}, "made 3 h 3 min ago at commit bbbbbbbbbbbb"),
        ({"age": None}, "made at commit bbbbbbbbbbbb"),
        (
            {"changed": ["uv.lock"]},
            "made 3 h 3 min ago at commit bbbbbbbbbbbb; uv.lock has changed since: "
            "--cache=refresh runs setup-script.sh again",
        ),
        (
            {
                "changed": ["a", "b", "c", "d", "e", "f", "g"],
                "resume": "setup-from-cache-script.sh",
            },
            "made 3 h 3 min ago at commit bbbbbbbbbbbb; a, b, c, d, e and 2 more have changed "
            "since: setup-from-cache-script.sh can follow, or --cache=refresh runs "
            "setup-script.sh again",
        ),
        (
            {"changed": None},
            "made 3 h 3 min ago at commit bbbbbbbbbbbb; what has changed since then is not known "
            "in this clone",
        ),
    ],
)
def test_a_cached_setup_is_one_line(changes, words, monkeypatch):
    """
    With its age, its commit, what has changed since, and what to do.
    """
    monkeypatch.setattr(provenance, "spell_option", lambda name, value: f"--{name}={value}")

    assert str(replace(SETUP, **changes)) == f"the cached setup of shop is used, {words}"


class Told(Output):
    """
    Remembers facts.
    """

    def __init__(self, mode="progress"):
        super().__init__(mode, lambda _: None)
        self.facts = []

    def tell(self, event, text, **fields):
        self.facts.append((event, text, fields))


def layer(**changes):
    found = Layer("setup", "sha256:1", "key", snapshot().head, created=clock.wall_time() - 100)
    return replace(found, **changes)


def test_a_cached_setup_is_told_once():
    """
    Not for each workspace, and not if this run has made it.
    """
    output, started = Told(), clock.wall_time()
    setups = CachedSetups(output, started)

    for found in (layer(), layer(), layer(image="sha256:2", created=started + 1)):
        setups.tell(snapshot(), found, **NAMES)

    ((event, text, fields),) = output.facts
    assert event == "cached-setup"
    assert text == "the cached setup of demo is used, made 1 min ago at this commit"
    assert fields.pop("created") < started
    head = snapshot().head
    assert fields == {
        "repository": "demo",
        "key": "key",
        "image": "sha256:1",
        "commit": head,
        "changed": [],
    }


def test_labels_of_an_image_are_anybodys(tmp_path):
    """
    A commit that is none is no option of git, and a date that is none has no age.
    """
    output = Told()
    own = replace(snapshot(), git_dir=tmp_path)

    CachedSetups(output, 5.0).tell(own, layer(head="--output=x", created=0.0), **NAMES)

    ((_, text, fields),) = output.facts
    assert "made at commit --output=x; what has changed since then is not known" in text
    assert (fields["changed"], fields["created"]) == (None, None)


def test_nothing_is_told_in_silence():
    """
    Then the commits are not compared either.
    """
    output = Told("quiet")

    CachedSetups(output, clock.wall_time()).tell(snapshot(), layer(head=OLD), **NAMES)

    assert output.facts == []

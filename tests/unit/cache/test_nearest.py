"""What is told of the layer that is most like a missing one."""

from __future__ import annotations

import json

import pytest

from pytest_codex_workspace.cache.nearest import describe_difference, nearest_image, parts_of
from pytest_codex_workspace.engine import labels
from pytest_codex_workspace.engine.protocol import ImageInfo

OWN = {"repository": "r", "scripts": "s2", "environment.A": "1"}
WANTED = {labels.REPO: "r", labels.HEAD: "h2", labels.CA: "ca"}


def image(key, parts=None, *, created=1, **more):
    about = {labels.KEY: key, labels.CREATED: str(created), labels.PARTS: json.dumps(parts or {})}
    return ImageInfo(key, labels={**about, **more})


def test_the_image_with_the_fewest_differences_is_nearest():
    """
    Of several, the newest. An image of another repository is none, whatever its key is made of.
    """
    images = [
        image("other", {**OWN, "repository": "x"}),
        image("far", {"repository": "r"}),
        image("old", {**OWN, "scripts": "s1"}),
        image("new", {**OWN, "scripts": "s1"}, created=2),
    ]

    found, differences = nearest_image(OWN, images)

    assert found is not None
    assert ("new", {"scripts": "changed"}) == (found.id, differences)
    assert (None, {}) == nearest_image(OWN, images[:1])
    assert {"secret values": "changed"} == nearest_image(OWN, [image("same", OWN)])[1]


@pytest.mark.parametrize("label", ["", "[", "[1]", "7"])
def test_a_label_may_be_anybodys(label):
    """
    What is no mapping has no parts.
    """
    assert {} == parts_of(ImageInfo("x", labels={labels.PARTS: label}))


def test_the_difference_is_described():
    """
    Of a setup by the parts of its key, of others by what their labels say.
    """
    setups = [image("k1", {**OWN, "scripts": "s1", "policy.name": "p"})]
    of_commit = {labels.REPO: "r", labels.HEAD: "h1", labels.CA: "ca"}

    def described(kind, images):
        return describe_difference(kind, OWN if kind == "setup" else {}, WANTED, images)

    assert "k1 differs in: policy.name removed, scripts changed" == described("setup", setups)
    assert "there is none of this repository" == described("setup", [])
    assert "k differs in: commit" == described("ready", [image("k", **of_commit)])
    same = image("k", **{**of_commit, labels.HEAD: "h2"})
    assert described("clean", [same]).startswith("k differs in: what it is built on")
    assert "there is none of this repository" == described("clean", [image("k")])

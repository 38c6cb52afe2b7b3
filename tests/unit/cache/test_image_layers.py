"""Tests of what is remembered of images."""

from __future__ import annotations

import json

import pytest

from pytest_codex_workspace.cache.image_layers import with_layers
from pytest_codex_workspace.engine.protocol import ImageInfo

pytestmark = pytest.mark.usefixtures("cache_home")


class ListingEngine:
    """
    An engine with images, which counts how often it is asked for one.
    """

    def __init__(self, host="here"):
        self.host = host
        self.layers = {}
        self.asked = []

    def version(self):
        return {"host": self.host, "root": "/var/lib/engine"}

    def images(self):
        return [ImageInfo(one, (f"tag-of-{one[-1]}",)) for one in self.layers]

    def image(self, reference):
        self.asked.append(reference)
        layers = self.layers[reference]
        return None if layers is None else ImageInfo(reference, ("old",), layers=layers)


def image_id(letter):
    return f"sha256:{letter * 64}"


@pytest.fixture
def engine():
    engine = ListingEngine()
    engine.layers = {image_id("a"): ("1",), image_id("b"): ("1", "2")}
    return engine


def test_an_image_is_asked_for_once(engine):
    """
    What the list has is taken from the list, and images that are gone are forgotten.
    """
    first = with_layers(engine, engine.images())
    del engine.layers[image_id("a")]
    engine.layers[image_id("c")] = ("3",)
    second = with_layers(engine, engine.images())
    engine.layers[image_id("a")] = ("1",)
    with_layers(engine, engine.images())

    assert [("1",), ("1", "2")] == [one.layers for one in first]
    assert [("tag-of-b",), ("tag-of-c",)] == [one.tags for one in second]
    assert [image_id(one) for one in "abca"] == engine.asked


def test_an_image_that_is_gone_is_left_out(engine):
    """
    It is not remembered.
    """
    engine.layers[image_id("a")] = None

    assert [image_id("b")] == [one.id for one in with_layers(engine, engine.images())]
    engine.layers[image_id("a")] = ("1",)
    assert [("1",), ("1", "2")] == [one.layers for one in with_layers(engine, engine.images())]


def test_other_engines_and_names_have_memories_of_their_own(engine):
    """
    An id that is no digest may name another image tomorrow.
    """
    other = ListingEngine("there")
    other.layers = {image_id("a"): ("9",), "named": ("1",)}
    with_layers(engine, engine.images())

    assert [("9",), ("1",)] == [one.layers for one in with_layers(other, other.images())]
    other.layers["named"] = ("2",)
    assert [("9",), ("2",)] == [one.layers for one in with_layers(other, other.images())]


@pytest.mark.parametrize(
    "text", ["", "[]", "{", '{"a": 1}', '{"sha256": null}', "[" * 100_000, "\0", "null"]
)
def test_a_damaged_file_is_replaced(engine, cache_home, text):
    """
    The engine knows it all.
    """
    with_layers(engine, engine.images())
    (path,) = cache_home.glob("*/layers/*.json")
    path.write_text(text)

    assert [("1",), ("1", "2")] == [one.layers for one in with_layers(engine, engine.images())]
    assert {image_id("a"), image_id("b")} == set(json.loads(path.read_text()))


def test_a_directory_that_cannot_be_written_costs_time_only(engine, cache_home):
    """
    A file is in its place.
    """
    (cache_home / "codex-workspace").mkdir(parents=True)
    (cache_home / "codex-workspace" / "layers").write_text("")

    assert 2 == len(with_layers(engine, engine.images()))

"""Tests of listing the cache, of the sizes of layers, and of removing layers."""

from __future__ import annotations

import io
import tarfile
import time
from dataclasses import replace

import pytest

from pytest_codex_workspace.cache.entries import clear, entries, evict, is_old, prune
from pytest_codex_workspace.cache.usage import Usage
from pytest_codex_workspace.codex import IMAGE
from pytest_codex_workspace.engine import labels
from pytest_codex_workspace.engine.protocol import ContainerSpec
from tests.fakes.engine import FakeEngine

DAY = 86400.0


class Shelf:
    """
    An engine with layers of known sizes on a base of 1000 bytes.
    """

    def __init__(self, directory):
        self.engine = FakeEngine()
        self.usage = Usage(directory)
        self.base = self.put(None, "base", "b", 1000)

    def put(self, below, kind, key, size, *, age=0.0):
        engine = self.engine
        if below is None:
            engine.add_image("scratch:1")
        container = engine.create(ContainerSpec(below or "scratch:1", ["x"], f"make-{key}"))
        archive = io.BytesIO()
        with tarfile.open(fileobj=archive, mode="w") as tar:
            member = tarfile.TarInfo(f"file-{key}")
            member.size = size
            tar.addfile(member, io.BytesIO(bytes(size)))
        archive.seek(0)
        engine.put_archive(container, "/", archive)
        marks = {
            labels.KIND: kind,
            labels.KEY: key,
            labels.NAME: "demo",
            labels.CREATED: f"{time.time() - age:.3f}",
        }
        image = engine.commit(container, tag=f"{IMAGE}:{kind}-{key}", labels=marks)
        engine.remove(container)
        return image.id

    def keys(self):
        return {entry.key for entry in entries(self.engine, self.usage)}


@pytest.fixture
def shelf(tmp_path):
    return Shelf(tmp_path)


def test_a_layer_has_own_and_shared_bytes(shelf):
    """
    Its own bytes belong to no other known image.
    """
    clean = shelf.put(shelf.base, "clean", "c", 10)
    setup = shelf.put(clean, "setup", "s", 200)
    shelf.put(setup, "ready", "r", 3)
    shelf.usage.note(setup)

    found = {entry.key: entry for entry in entries(shelf.engine, shelf.usage)}

    assert {"c": 10, "s": 200, "r": 3} == {key: one.own for key, one in found.items()}
    assert {"c": 1000, "s": 1010, "r": 1210} == {key: one.shared for key, one in found.items()}
    assert [0, 1, 2] == [len(found[key].below) for key in "csr"]
    assert ("demo", 1, 0) == (found["s"].repository, found["s"].use.hits, found["r"].use.hits)


def test_sizes_are_those_on_the_disk(shelf, monkeypatch):
    """
    Docker's containerd image store counts compressed bytes in the description of an image, and
    all of them in the list.
    """
    shelf.put(shelf.base, "clean", "c", 5000)
    plain = shelf.engine.image

    monkeypatch.setattr(
        shelf.engine, "image", lambda one: replace(plain(one), size=plain(one).size // 100)
    )

    (entry,) = entries(shelf.engine)
    assert (5000, 1000) == (entry.own, entry.shared)


def test_the_least_recently_used_layers_are_removed_first(shelf):
    """
    Removal stops when the budget is met. The last use counts, not the age.
    """
    old = shelf.put(shelf.base, "setup", "old-but-used", 100, age=DAY)
    shelf.put(shelf.base, "setup", "idle", 100, age=3600)
    shelf.put(shelf.base, "setup", "new", 100)
    shelf.usage.note(old)

    removed = evict(shelf.engine, entries(shelf.engine, shelf.usage), 200)

    assert [f"image {IMAGE}:setup-idle"] == removed
    assert {"old-but-used", "new"} == shelf.keys()


def test_a_layer_is_removed_after_the_layers_based_on_it(shelf):
    """
    Removing it earlier would free nothing.
    """
    setup = shelf.put(shelf.base, "setup", "s", 500, age=DAY)
    shelf.put(setup, "ready", "r", 1)

    evict(shelf.engine, entries(shelf.engine, shelf.usage), 500)
    assert {"s"} == shelf.keys()
    evict(shelf.engine, entries(shelf.engine, shelf.usage), 0)
    assert set() == shelf.keys()


def test_layers_in_use_and_protected_layers_are_kept(shelf):
    """
    This holds for every budget, and the search ends.
    """
    used = shelf.put(shelf.base, "setup", "used", 100)
    kept = shelf.put(shelf.base, "setup", "protected", 100)
    shelf.put(shelf.base, "setup", "idle", 100)
    container = shelf.engine.create(ContainerSpec(used, ["x"], "user"))

    evict(shelf.engine, entries(shelf.engine, shelf.usage), 0, {kept})

    shelf.engine.remove(container)
    assert {"used", "protected"} == shelf.keys()


def test_pruning_removes_old_layers_and_those_above_the_budget(shelf):
    """
    A layer from the future counts as old.
    """
    shelf.put(shelf.base, "setup", "old", 10, age=DAY)
    shelf.put(shelf.base, "setup", "future", 10, age=-DAY)
    shelf.put(shelf.base, "setup", "idle", 10, age=60)
    shelf.put(shelf.base, "setup", "new", 10)

    removed = prune(shelf.engine, shelf.usage, ttl=DAY / 2, size=10)

    assert {"new"} == shelf.keys()
    assert 3 == len(removed)


def test_clearing_keeps_the_base_image(shelf):
    """
    Images that the user has tagged are kept, too.
    """
    kept = shelf.put(shelf.base, "setup", "s", 10)
    shelf.put(kept, "ready", "r", 10)
    shelf.engine.tag(kept, "mine:1")

    clear(shelf.engine, shelf.usage)

    assert shelf.engine.image(f"{IMAGE}:base-b") is not None
    assert shelf.engine.image(f"{IMAGE}:setup-s") is None
    assert kept == shelf.engine.image("mine:1").id


def test_the_uses_of_removed_images_are_forgotten(shelf):
    """
    Otherwise the directory would grow without limit.
    """
    setup = shelf.put(shelf.base, "setup", "s", 10)
    shelf.usage.note(setup)
    entries(shelf.engine, shelf.usage)
    assert 1 == shelf.usage.of(setup).hits

    clear(shelf.engine, shelf.usage)

    assert 0 == shelf.usage.of(setup).hits


def test_labels_that_somebody_else_has_written_do_no_harm():
    """
    A name cannot control the terminal, and a time can be shown as a duration.
    """
    engine = FakeEngine()
    for number, created in enumerate(("nan", "inf", "-1", "1e300", "x")):
        marks = {labels.KIND: "setup", labels.KEY: str(number), labels.CREATED: created}
        engine.add_image(f"x:{number}", {**marks, labels.NAME: "a\x1b]0;owned\x07"})

    found = entries(engine)

    assert {0.0} == {one.created for one in found}
    assert not [one for one in found if "\x1b" in one.repository]
    assert all(is_old(one.image, 3600.0) for one in found)

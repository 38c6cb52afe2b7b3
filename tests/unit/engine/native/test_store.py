"""What the engine of namespaces keeps."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from pytest_codex_workspace.engine.native.store import Image, Store, full_name

from .runner.test_removal import nest


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """
    An empty directory.
    """
    return Store(tmp_path)


def kept(store: Store, *layers: str, **config: object) -> Image:
    for layer in layers:
        store.layer(layer).mkdir(exist_ok=True)
        store.write("sizes", layer, {"size": 10})
    return store.add_image(Image(layers, config, "amd64"))


def test_an_image_is_found_by_its_names(store: Store):
    """
    By its tag, whatever registry is meant, by its id, and by the beginning of its id.
    """
    image = kept(store, "a", Labels={"x": "1"})
    store.set_tag("name", image)

    for reference in ("name", "name:latest", "docker.io/library/name", image.id, image.id[7:20]):
        assert image == store.find_image(reference)
    assert store.find_image("name:other") is None
    assert store.find_image("name@sha256:0") is None
    info = store.info(image)
    assert (("name:latest",), {"x": "1"}, 10) == (info.tags, info.labels, info.size)


def test_a_layer_goes_with_the_last_image_that_has_it(store: Store):
    """
    One that another image has stays.
    """
    below = kept(store, "a")
    above = kept(store, "a", "b")

    store.drop_image(above)
    assert (True, False) == (store.layer("a").exists(), store.layer("b").exists())
    store.drop_image(below)
    assert not store.layer("a").exists()
    assert [] == store.every_image()


def test_equal_images_have_ids_of_their_own(store: Store):
    """
    One can be removed without the other.
    """
    assert kept(store, "a").id != kept(store, "a").id


def test_a_name_cannot_leave_the_directory(store: Store):
    """
    A container's name and a tag are names, not paths.
    """
    image = kept(store, "a")
    store.set_tag("registry.example/../../x:1", image)

    assert ["registry.example%2F..%2F..%2Fx:1"] == [
        one.name for one in (store.root / "tags").iterdir()
    ]
    assert store.find_container("../networks") is None


@pytest.mark.parametrize(
    ("reference", "name"),
    [
        ("debian", "debian:latest"),
        ("docker.io/library/debian:trixie", "debian:trixie"),
        ("localhost:5000/x", "localhost:5000/x:latest"),
    ],
)
def test_a_reference_has_a_full_name(reference: str, name: str):
    """
    With its tag, without Docker's registry.
    """
    assert name == full_name(reference)


def test_what_was_left_half_done_is_removed(store: Store):
    """
    But not what another process may just be making.
    """
    for name in ("abc-1234", "abc-new", "archive-abc", "old-new"):
        (store.root / "trash" / name / "files").mkdir(parents=True)
    os.utime(store.root / "trash" / "old-new", (1, 1))

    store.empty_trash()

    assert ["abc-new", "archive-abc"] == sorted(
        one.name for one in (store.root / "trash").iterdir()
    )


@pytest.mark.slow
def test_a_deep_directory_does_not_outlive_its_container(store: Store):
    """
    Whether the container is removed here, or was left in the trash by a killed process.
    """
    for name in ("containers/abc", "trash/def-1234"):
        (store.root / name).mkdir()
        nest(store.root / name)

    store.discard(store.root / "containers/abc")
    store.empty_trash()

    assert [] == [*(store.root / "containers").iterdir(), *(store.root / "trash").iterdir()]

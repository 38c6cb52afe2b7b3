"""How the images of the tests get from one engine to another."""

from __future__ import annotations

from types import SimpleNamespace

import copy_images
import pytest


@pytest.fixture
def engines(monkeypatch):
    """
    Return two engines; the first one has three images, and the second one of them.
    """

    def load(archive):
        loaded.append(archive.read())

    loaded: list[bytes] = []
    saved: list[list[str]] = []
    full = SimpleNamespace(
        image=lambda tag: SimpleNamespace(id=f"id of {tag}"),
        save=lambda tags: saved.append(tags) or (tag.encode() for tag in tags),
        close=lambda: None,
    )
    other = SimpleNamespace(
        image=lambda tag: tag if tag == "b" else None, load=load, close=lambda: None
    )
    monkeypatch.setattr(copy_images, "find_engine", {"full": full, "other": other}.get)
    monkeypatch.setattr(copy_images, "images_of", lambda _: ["a", "b", "c"])
    return SimpleNamespace(saved=saved, loaded=loaded, other=other)


def test_only_what_is_missing_is_copied(engines):
    """
    The content of an image is in its tag.
    """
    copy_images.main("full", "other")

    assert [["a", "c"]] == engines.saved
    assert [b"ac"] == engines.loaded


def test_nothing_is_copied_where_nothing_is_missing(engines):
    """
    The second run of `make test` has all of them.
    """
    engines.other.image = lambda tag: tag

    copy_images.main("full", "other")

    assert [] == engines.saved == engines.loaded


def test_a_file_serves_several_engines(engines, tmp_path):
    """
    It is made once, and again if an image is another one.
    """
    for _ in range(2):
        copy_images.main("full", "other", tmp_path)

    assert [["a", "b", "c"]] == engines.saved
    assert [b"abc", b"abc"] == engines.loaded
    assert 1 == len(list(tmp_path.iterdir()))

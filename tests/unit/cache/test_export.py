"""Tests of exporting and importing setup images."""

from __future__ import annotations

import io
import tarfile

import pytest

from pytest_codex_workspace.cache.entries import entries
from pytest_codex_workspace.cache.export import export_setups, import_setups
from pytest_codex_workspace.cache.usage import Usage
from pytest_codex_workspace.codex import IMAGE
from pytest_codex_workspace.engine import labels
from pytest_codex_workspace.errors import CacheFileError
from tests.fakes.engine import FakeEngine


def add(engine, key="k", kind="setup", tag=None):
    marks = {labels.KIND: kind, labels.KEY: key, labels.CREATED: labels.now()}
    return engine.add_image(tag or f"{IMAGE}:{kind}-{key}", labels=marks)


@pytest.fixture
def filled(tmp_path):
    """
    An engine with two setup images, and their cache entries.
    """
    engine = FakeEngine()
    add(engine, "one")
    add(engine, "two")
    return engine, entries(engine, Usage(tmp_path / "uses"))


@pytest.mark.parametrize("name", ["setups.tar", "setups.tar.gz"])
def test_an_exported_image_can_be_imported(filled, tmp_path, name):
    """
    The other engine has the same images under the same names.
    """
    engine, found = filled
    export_setups(engine, found, tmp_path / name)
    other = FakeEngine()

    assert ["one", "two"] == sorted(import_setups(other, tmp_path / name))
    for key in ("one", "two"):
        tag = f"{IMAGE}:setup-{key}"
        assert engine.image(tag).labels == other.image(tag).labels
    assert (tmp_path / name).read_bytes().startswith(b"\x1f\x8b") == name.endswith("gz")


def test_a_failed_export_keeps_the_old_file(filled, tmp_path):
    """
    No part of a new file is left behind.
    """
    engine, found = filled
    path = tmp_path / "setups.tar"
    path.write_text("older")

    def break_off(_):
        yield b"half"
        raise OSError(28, "No space left on device")

    engine.save = break_off
    with pytest.raises(CacheFileError, match="No space left"):
        export_setups(engine, found, path)

    assert "older" == path.read_text()
    assert {"setups.tar", "uses"} >= {one.name for one in tmp_path.iterdir()}


@pytest.mark.parametrize(
    "image",
    [
        {"kind": "base"},
        {"tag": "python:3.12"},
        {"tag": f"{IMAGE}:latest"},
        {"tag": f"{IMAGE}:setup-other"},
    ],
)
def test_a_file_with_other_images_is_refused(tmp_path, image):
    """
    Such a file could replace the user's own images.
    """
    engine, path = FakeEngine(), tmp_path / "file.tar"
    made = add(engine, **image)
    path.write_bytes(b"".join(engine.save([made.tags[0]])))
    other = FakeEngine()

    with pytest.raises(CacheFileError, match="nothing was imported"):
        import_setups(other, path)

    assert [] == other.images({labels.KIND: None})


@pytest.mark.parametrize("content", [b"", b"no tar", b"\x1f\x8bhalf", bytes(10240)])
def test_a_file_of_another_format_is_refused(tmp_path, content):
    """
    The error names the file.
    """
    path = tmp_path / "file.tar"
    path.write_bytes(content)

    with pytest.raises(CacheFileError, match=r"file\.tar"):
        import_setups(FakeEngine(), path)


def test_a_manifest_that_names_a_missing_file_is_refused(tmp_path):
    """
    The missing file is the description of an image.
    """
    path = tmp_path / "file.tar"
    with tarfile.open(path, "w") as tar:
        text = b'[{"Config": "gone.json"}]'
        member = tarfile.TarInfo("manifest.json")
        member.size = len(text)
        tar.addfile(member, io.BytesIO(text))

    with pytest.raises(CacheFileError, match=r"gone\.json"):
        import_setups(FakeEngine(), path)


def test_a_missing_file_or_directory_is_an_error(tmp_path, filled):
    """
    The error is a `CacheFileError`.
    """
    engine, found = filled
    with pytest.raises(CacheFileError, match="cannot be read: No such file"):
        import_setups(engine, tmp_path / "none.tar")
    with pytest.raises(CacheFileError, match="cannot be written: No such file"):
        export_setups(engine, found, tmp_path / "no" / "such.tar")

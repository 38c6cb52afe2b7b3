"""Tests of exporting and importing setup images."""

from __future__ import annotations

import io
import json
import tarfile

import pytest

from pytest_codex_workspace.cache.entries import entries
from pytest_codex_workspace.cache.export import export_setups, import_setups
from pytest_codex_workspace.cache.usage import Usage
from pytest_codex_workspace.codex import IMAGE
from pytest_codex_workspace.engine import labels
from pytest_codex_workspace.errors import CacheFileError
from tests.fakes.engine import FakeEngine

LIMIT = 10_000_000


def add(engine, key="k", kind="setup", tag=None, created=None):
    marks = {labels.KIND: kind, labels.KEY: key, labels.CREATED: created or labels.now()}
    return engine.add_image(tag or f"{IMAGE}:{kind}-{key}", labels=marks)


def take_in(engine, path, ttl=3600.0, limit=LIMIT):
    return import_setups(engine, path, ttl=ttl, limit=limit)


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

    found = take_in(other, tmp_path / name)

    assert [("one", True), ("two", True)] == sorted((one.key, one.added) for one in found)
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
        take_in(other, path)

    assert [] == other.images({labels.KIND: None})


@pytest.mark.parametrize("content", [b"", b"no tar", b"\x1f\x8bhalf", bytes(10240)])
def test_a_file_of_another_format_is_refused(tmp_path, content):
    """
    The error names the file.
    """
    path = tmp_path / "file.tar"
    path.write_bytes(content)

    with pytest.raises(CacheFileError, match=r"file\.tar"):
        take_in(FakeEngine(), path)


def test_a_manifest_that_names_a_missing_file_is_refused(tmp_path):
    """
    The missing file is the description of an image.
    """
    path = tmp_path / "file.tar"
    with tarfile.open(path, "w") as tar:
        text = b'[{"Config": "gone.json", "Layers": []}]'
        member = tarfile.TarInfo("manifest.json")
        member.size = len(text)
        tar.addfile(member, io.BytesIO(text))

    with pytest.raises(CacheFileError, match=r"gone\.json"):
        take_in(FakeEngine(), path)


def test_a_missing_file_or_directory_is_an_error(tmp_path, filled):
    """
    The error is a `CacheFileError`.
    """
    engine, found = filled
    with pytest.raises(CacheFileError, match="cannot be read: No such file"):
        take_in(engine, tmp_path / "none.tar")
    with pytest.raises(CacheFileError, match="cannot be written: No such file"):
        export_setups(engine, found, tmp_path / "no" / "such.tar")


def saved(engine, path, *references):
    path.write_bytes(b"".join(engine.save(references)))
    return path


def append(path, name, content=b"", **fields):
    """
    Add a member to a tar, as somebody else would who has the file.
    """
    with tarfile.open(path, "a") as tar:
        member = tarfile.TarInfo(name)
        member.size = len(content)
        for field, value in fields.items():
            setattr(member, field, value)
        tar.addfile(member, io.BytesIO(content))


def manifest_of(path):
    with tarfile.open(path) as tar:
        return json.load(tar.extractfile("manifest.json"))


@pytest.fixture
def victim(tmp_path):
    """
    An engine with an image of its user, and a file with a setup image.
    """
    source, engine = FakeEngine(), FakeEngine()
    for number in range(9):
        # Fake engines count their ids, and these two must not have the same.
        source.add_image(f"other:{number}")
    add(source)
    engine.add_image("python:3.12", {"of": "user"})
    return engine, saved(source, tmp_path / "file.tar", f"{IMAGE}:setup-k")


@pytest.mark.parametrize(
    "name", ["./manifest.json", "manifest.json", "x/../manifest.json", "/manifest.json", "x//y"]
)
def test_a_second_manifest_under_any_name_is_refused(victim, name):
    """
    An engine would take the later one, and tag what it says.
    """
    engine, path = victim
    manifest = manifest_of(path)
    manifest[0]["RepoTags"] = ["python:3.12"]
    append(path, name, json.dumps(manifest).encode())

    with pytest.raises(CacheFileError, match=r"nothing was imported"):
        take_in(engine, path)

    assert {"of": "user"} == engine.image("python:3.12").labels
    assert [] == engine.images({labels.KIND: None})


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("index.json", {"manifests": [{"annotations": {"io.containerd.image.name": "a:b"}}]}),
        ("repositories", {"python": {"3.12": "0" * 64}}),
    ],
)
def test_an_index_that_names_another_image_is_refused(victim, name, content):
    """
    Engines differ in which of the indexes they read.
    """
    engine, path = victim
    append(path, name, json.dumps(content).encode())

    with pytest.raises(CacheFileError, match="its index names an image"):
        take_in(engine, path)


@pytest.mark.parametrize("host", ["", "docker.io/library/"])
def test_an_index_may_name_the_image_of_the_manifest(victim, host):
    """
    Docker 28 writes the whole name there.
    """
    engine, path = victim
    name = {"io.containerd.image.name": f"{host}{IMAGE}:setup-k"}
    append(path, "index.json", json.dumps({"manifests": [{"annotations": name}]}).encode())

    assert [True] == [one.added for one in take_in(engine, path)]


def test_the_engine_gets_no_name_of_the_file(victim):
    """
    What is loaded has no tag; we give the one that belongs to its key.
    """
    engine, path = victim
    given = []
    load = engine.load
    engine.load = lambda file: given.append(file.read()) or load(io.BytesIO(given[0]))

    (found,) = take_in(engine, path)

    with tarfile.open(fileobj=io.BytesIO(given[0])) as tar:
        assert [None] == [one["RepoTags"] for one in json.load(tar.extractfile("manifest.json"))]
    assert engine.image(f"{IMAGE}:setup-k").id == found.image.id


@pytest.mark.parametrize(
    ("marks", "replaced"),
    [
        ({labels.KIND: "setup", labels.KEY: "k", labels.CREATED: labels.now()}, False),
        ({labels.KIND: "setup", labels.KEY: "k", labels.CREATED: "1"}, True),
        ({}, False),
    ],
)
def test_only_an_expired_setup_is_replaced(victim, marks, replaced):
    """
    A valid setup with the same key stays, and so does an image of the user with that name.
    """
    engine, path = victim
    before = engine.add_image(f"{IMAGE}:setup-k", marks)

    (found,) = take_in(engine, path)

    assert replaced == found.added
    assert replaced == (engine.image(f"{IMAGE}:setup-k").id != before.id)
    loaded = [one for one in engine.images({labels.KEY: "k"}) if one.id != before.id]
    assert replaced == bool(loaded)


def test_a_description_that_the_engine_reads_otherwise_is_not_tagged(victim):
    """
    What counts is what the engine says about the image that it has loaded.
    """
    engine, path = victim
    load = engine.load

    def other(file):
        reported = load(file)
        for image in engine._images.values():
            if image.labels.get(labels.KEY):
                image.labels[labels.KIND] = "base"
        return reported

    engine.load = other
    with pytest.raises(CacheFileError, match="did not load its image k as it is described"):
        take_in(engine, path)

    assert engine.image(f"{IMAGE}:setup-k") is None
    assert [] == engine.images({labels.KEY: "k"})


def test_an_image_with_instructions_for_builds_is_refused(tmp_path):
    """
    They would run outside of any workspace.
    """
    source, engine = FakeEngine(), FakeEngine()
    add(source)
    next(iter(source._images.values())).on_build = ("RUN curl evil",)
    path = saved(source, tmp_path / "file.tar", f"{IMAGE}:setup-k")

    with pytest.raises(CacheFileError, match="ONBUILD"):
        take_in(engine, path)

    assert [] == engine.images({labels.KIND: None})

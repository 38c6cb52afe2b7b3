"""Images in the form of `docker save`."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import tarfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

import pytest

from pytest_codex_workspace.engine.native import docker_archive
from pytest_codex_workspace.engine.native.docker_archive import (
    read_archive,
    read_folder,
    write_archive,
)
from pytest_codex_workspace.engine.native.store import Image, Store

IMAGE = Image(("a" * 64,), {"Labels": {"x": "1"}}, "amd64", id=f"sha256:{'b' * 64}")
DIGEST = hashlib.sha256(b"layer").hexdigest()


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """
    A store without any image.
    """
    return Store(tmp_path / "store")


def written(tmp_path: Path, note=lambda *_: None) -> bytes:
    @contextmanager
    def folder() -> Iterator[Path]:
        yield tmp_path

    return b"".join(
        write_archive(
            [("n:1", IMAGE)], {IMAGE.id: ["n:1"]}, lambda _: iter([b"layer"]), note, folder
        )
    )


def read(
    data: bytes, folder: Path, store: Store
) -> tuple[list[tuple[Image, list[str]]], dict[str, bytes]]:
    kept: dict[str, bytes] = {}

    def keep(name: str, file: BinaryIO) -> None:
        kept[name] = file.read()

    folder.mkdir()
    return list(read_archive(io.BytesIO(data), folder, keep, store)), kept


def test_an_image_comes_back_with_its_names(tmp_path: Path, store: Store):
    """
    Its id and its layers are named by what they are, and its tag is the same.
    """
    [(image, names)], layers = read(written(tmp_path), tmp_path / "in", store)

    assert ["n:1"] == names
    assert ((DIGEST,), IMAGE.config) == (image.layers, image.config)
    assert {DIGEST: b"layer"} == layers


def test_an_image_that_is_still_here_is_the_same(tmp_path: Path, store: Store):
    """
    Its layers are not unpacked again.
    """
    store.layer("a" * 64).mkdir()
    store.add_image(IMAGE)

    [(image, _)], layers = read(written(tmp_path, store.note_digest), tmp_path / "in", store)

    assert image == IMAGE
    assert {} == layers


@pytest.mark.parametrize("lie", ["layer", "absent layer", "image"])
def test_an_image_cannot_take_the_name_of_another(tmp_path: Path, store: Store, lie: str):
    """
    Its configuration says whatever its maker wants: that a layer of it is one that is here, or one
    that somebody will load later, or that it is an image that is here.
    """
    data = written(tmp_path)
    if lie != "absent layer":
        store.layer("a" * 64).mkdir()
        store.add_image(IMAGE)
    store.note_digest("a" * 64, "c" * 64 if lie == "layer" else DIGEST)
    if lie == "image":
        with tarfile.open(fileobj=io.BytesIO(data)) as tar:
            config = next(one for one in tar.getnames() if one.endswith(".json") and len(one) > 60)
            text = tar.extractfile(config).read().replace(b'"x": "1"', b'"x": "2"')
        data = changed(data, config, text)

    [(image, _)], layers = read(data, tmp_path / "in", store)

    assert image.id != IMAGE.id
    assert list(layers) == ([] if lie == "image" else [DIGEST])
    assert image.layers == (("a" * 64,) if lie == "image" else (DIGEST,))


def test_what_came_from_a_registry_is_read(tmp_path: Path, store: Store):
    """
    The files of a folder are named by digests, and checked.
    """
    config = json.dumps({"rootfs": {"diff_ids": [f"sha256:{DIGEST}"]}, "config": {"User": "x"}})
    named = hashlib.sha256(config.encode()).hexdigest()
    manifest = {"config": {"digest": f"sha256:{named}"}, "layers": [{"digest": f"sha256:{DIGEST}"}]}
    for name, text in (("manifest.json", json.dumps(manifest)), (named, config), (DIGEST, "layer")):
        (tmp_path / name).write_text(text)
    kept = {}

    image = read_folder(tmp_path, lambda name, file: kept.update({name: file.read()}), store)

    assert {DIGEST: b"layer"} == kept
    assert Image((DIGEST,), {"User": "x"}, "", id=f"sha256:{named}") == image
    (tmp_path / DIGEST).write_text("another")
    with pytest.raises(ValueError, match="invalid diffID"):
        read_folder(tmp_path, lambda *_: None, store)


def test_a_long_header_of_a_member_is_refused(tmp_path: Path, store: Store):
    """
    `tarfile` would read it into memory.
    """
    entry = tarfile.TarInfo("a")
    entry.pax_headers = {"comment": "x" * (1 << 20)}
    data = entry.tobuf(tarfile.PAX_FORMAT) + bytes(1024)

    with pytest.raises(ValueError, match="one of its headers is too long"):
        read(data, tmp_path / "in", store)


@pytest.mark.parametrize("name", ["manifest.json", "config"])
def test_a_description_has_a_bound(
    tmp_path: Path, store: Store, monkeypatch: pytest.MonkeyPatch, name: str
):
    """
    It is read into memory.
    """
    config = json.dumps({"rootfs": {"diff_ids": []}})
    named = hashlib.sha256(config.encode()).hexdigest()
    manifest = json.dumps({"config": {"digest": f"sha256:{named}"}, "layers": []})
    monkeypatch.setattr(docker_archive, "_LARGEST_TEXT", len(manifest))
    (tmp_path / "manifest.json").write_text(manifest + " " * (name == "manifest.json"))
    (tmp_path / named).write_text(config + " " * len(manifest) * (name == "config"))

    with pytest.raises(ValueError, match="its description is too long"):
        read_folder(tmp_path, lambda *_: None, store)


def test_what_a_registry_has_compressed_twice_is_not_unpacked(tmp_path: Path, store: Store):
    """
    The limit of a download counts what was compressed once.
    """
    (tmp_path / DIGEST).write_bytes(gzip.compress(b"layer"))
    config = json.dumps({"rootfs": {"diff_ids": [f"sha256:{DIGEST}"]}})
    named = hashlib.sha256(config.encode()).hexdigest()
    manifest = {"config": {"digest": f"sha256:{named}"}, "layers": [{"digest": f"sha256:{DIGEST}"}]}
    (tmp_path / "manifest.json").write_text(json.dumps(manifest))
    (tmp_path / named).write_text(config)

    with pytest.raises(ValueError, match="invalid diffID"):
        read_folder(tmp_path, lambda *_: None, store)


def test_another_engine_finds_what_it_expects(tmp_path: Path):
    """
    The configuration names the digest of each layer's tar.
    """
    with tarfile.open(fileobj=io.BytesIO(written(tmp_path))) as tar:
        files = {one.name: tar.extractfile(one).read() for one in tar}
    (about,) = json.loads(files["manifest.json"])
    config = json.loads(files[about["Config"]])

    digest = hashlib.sha256(b"layer").hexdigest()
    assert [f"sha256:{digest}"] == config["rootfs"]["diff_ids"]
    assert [f"{digest}/layer.tar"] == about["Layers"]
    assert f"{hashlib.sha256(files[about['Config']]).hexdigest()}.json" == about["Config"]
    assert b"layer" == files[about["Layers"][0]]


def changed(data: bytes, name: str, content: bytes) -> bytes:
    output = io.BytesIO()
    with (
        tarfile.open(fileobj=io.BytesIO(data)) as old,
        tarfile.open(fileobj=output, mode="w") as new,
    ):
        for member in old:
            found = content if member.name.endswith(name) else old.extractfile(member).read()
            member.size = len(found)
            new.addfile(member, io.BytesIO(found))
    return output.getvalue()


def test_a_layer_that_is_not_the_one_named_is_refused(tmp_path: Path, store: Store):
    """
    Nothing of the image is kept.
    """
    with pytest.raises(ValueError, match="invalid diffID"):
        read(changed(written(tmp_path), "layer.tar", b"other"), tmp_path / "in", store)


@pytest.mark.parametrize("name", ["../../etc", "A" * 64, "a" * 63])
def test_a_name_that_is_no_digest_is_refused(tmp_path: Path, store: Store, name: str):
    """
    It would become the name of a directory.
    """
    data = written(tmp_path)
    with tarfile.open(fileobj=io.BytesIO(data)) as tar:
        config = next(one for one in tar.getnames() if one.endswith(".json") and len(one) > 60)
        text = tar.extractfile(config).read().replace(b"a" * 64, name.encode())

    with pytest.raises(ValueError, match="is no digest"):
        read(changed(data, config, text), tmp_path / "in", store)


def test_other_files_are_no_images(tmp_path: Path, store: Store):
    """
    The error says what is missing.
    """
    with pytest.raises(ValueError, match="no archive of images"):
        read(b"no tar at all", tmp_path / "in", store)


@pytest.mark.parametrize(
    "config",
    [
        {"Labels": [1]},
        {"Labels": {"a": None}},
        {"Labels": {"a": 1}},
        {"Env": "A=1"},
        {"Env": [None]},
        {"Cmd": {"a": 1}},
        {"User": 0.5},
        ["no mapping"],
    ],
)
def test_a_configuration_is_checked(tmp_path: Path, store: Store, config: object):
    """
    What is kept is read by every later command.
    """
    about = json.dumps({"rootfs": {"diff_ids": []}, "config": config})
    named = hashlib.sha256(about.encode()).hexdigest()
    manifest = json.dumps({"config": {"digest": f"sha256:{named}"}, "layers": []})
    (tmp_path / "manifest.json").write_text(manifest)
    (tmp_path / named).write_text(about)

    with pytest.raises((ValueError, TypeError)):
        read_folder(tmp_path, lambda *_: None, store)


def test_a_layer_has_to_be_what_its_digest_says(tmp_path: Path, store: Store):
    """
    The random name of a layer that is here is no digest of it.
    """
    store.layer("a" * 64).mkdir()
    about = json.dumps({"rootfs": {"diff_ids": [f"sha256:{'a' * 64}"]}})
    named = hashlib.sha256(about.encode()).hexdigest()
    layers = [{"digest": f"sha256:{'a' * 64}"}]
    manifest = json.dumps({"config": {"digest": f"sha256:{named}"}, "layers": layers})
    for name, text in (("manifest.json", manifest), (named, about), ("a" * 64, "other")):
        (tmp_path / name).write_text(text)

    with pytest.raises(ValueError, match="invalid diffID"):
        read_folder(tmp_path, lambda *_: None, store)

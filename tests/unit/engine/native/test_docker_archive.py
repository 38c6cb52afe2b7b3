"""Images in the form of `docker save`."""

from __future__ import annotations

import hashlib
import io
import json
import tarfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

import pytest

from pytest_codex_workspace.engine.native.docker_archive import read_archive, write_archive
from pytest_codex_workspace.engine.native.store import Image

IMAGE = Image(("a" * 64,), {"Labels": {"x": "1"}}, "amd64", id=f"sha256:{'b' * 64}")


def written(tmp_path: Path) -> bytes:
    @contextmanager
    def folder() -> Iterator[Path]:
        yield tmp_path

    return b"".join(
        write_archive([("n:1", IMAGE)], {IMAGE.id: ["n:1"]}, lambda _: iter([b"layer"]), folder)
    )


def read(data: bytes, folder: Path) -> tuple[list[tuple[Image, list[str]]], dict[str, bytes]]:
    kept: dict[str, bytes] = {}

    def keep(name: str, file: BinaryIO) -> None:
        kept[name] = file.read()

    folder.mkdir()
    return list(read_archive(io.BytesIO(data), folder, keep)), kept


def test_an_image_comes_back_with_its_names(tmp_path: Path):
    """
    Its id, its layers and its tag are the same.
    """
    images, layers = read(written(tmp_path), tmp_path / "in")

    assert [(IMAGE, ["n:1"])] == images
    assert {"a" * 64: b"layer"} == layers


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


def test_a_layer_that_is_not_the_one_named_is_refused(tmp_path: Path):
    """
    Nothing of the image is kept.
    """
    with pytest.raises(ValueError, match="invalid diffID"):
        read(changed(written(tmp_path), "layer.tar", b"other"), tmp_path / "in")


@pytest.mark.parametrize("name", ["../../etc", "A" * 64, "a" * 63])
def test_a_name_that_is_no_digest_is_refused(tmp_path: Path, name: str):
    """
    It would become the name of a directory.
    """
    data = written(tmp_path)
    with tarfile.open(fileobj=io.BytesIO(data)) as tar:
        config = next(one for one in tar.getnames() if one.endswith(".json") and len(one) > 60)
        text = tar.extractfile(config).read().replace(b"a" * 64, name.encode())

    with pytest.raises(ValueError, match="is no digest"):
        read(changed(data, config, text), tmp_path / "in")


def test_other_files_are_no_images(tmp_path: Path):
    """
    The error says what is missing.
    """
    with pytest.raises(ValueError, match="no archive of images"):
        read(b"no tar at all", tmp_path / "in")

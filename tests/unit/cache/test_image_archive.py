"""Tests of reading and rewriting files of images."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import tarfile

import pytest

from pytest_codex_workspace.cache.image_archive import ImageArchive, Pieces

LAYER = b"the files of a layer"
LIMIT = 1_000_000


def member(name, content=b"", **fields):
    made = tarfile.TarInfo(name)
    made.size = len(content)
    for field, value in fields.items():
        setattr(made, field, value)
    return made, content


def image(layers=1, **more):
    digest = f"sha256:{hashlib.sha256(LAYER).hexdigest()}"
    about = {"config": {"Labels": {"a": "b"}}, "rootfs": {"diff_ids": [digest] * layers}}
    return json.dumps({**about, **more}).encode()


def manifest(*layers, tags=("x:y",)):
    return json.dumps([{"Config": "c.json", "RepoTags": tags, "Layers": layers}]).encode()


def write(path, *members, packed=False):
    plain = io.BytesIO()
    with tarfile.open(fileobj=plain, mode="w") as tar:
        for made, content in members:
            tar.addfile(made, io.BytesIO(content))
    path.write_bytes(gzip.compress(plain.getvalue()) if packed else plain.getvalue())
    return path


WHOLE = (
    member("l/layer.tar", LAYER),
    member("c.json", image()),
    member("manifest.json", manifest("l/layer.tar")),
)


@pytest.mark.parametrize("packed", [False, True])
def test_a_file_is_rewritten_with_what_was_checked(tmp_path, packed):
    """
    The new file has the description and the layers, under new names, and nothing else.
    """
    extra = member("l/VERSION", b"1.0")
    path = write(tmp_path / "file", extra, *WHOLE, packed=packed)

    archive = ImageArchive(path, LIMIT)

    (found,) = archive.images
    assert ({"a": "b"}, ("x:y",)) == (found.labels, found.tags)
    with archive.rewritten() as file, tarfile.open(fileobj=file, mode="r|") as tar:
        content = {one.name: tar.extractfile(one).read() for one in tar}
    (said,) = json.loads(content.pop("manifest.json"))
    assert said["RepoTags"] is None
    assert image() == content.pop(said["Config"])
    assert {said["Layers"][0]: LAYER} == content


def test_a_layer_that_comes_twice_is_a_link(tmp_path):
    """
    Docker writes it like that; the new file has the layer once.
    """
    link = member("m/layer.tar", type=tarfile.SYMTYPE, linkname="../l/layer.tar")
    described = (
        member("c.json", image(2)),
        member("manifest.json", manifest("l/layer.tar", "m/layer.tar")),
    )
    archive = ImageArchive(write(tmp_path / "file", WHOLE[0], link, *described), LIMIT)

    with archive.rewritten() as file, tarfile.open(fileobj=file, mode="r|") as tar:
        names = [one.name for one in tar]

    assert 3 == len(names)


def test_a_description_may_lie_among_the_layers(tmp_path):
    """
    Newer engines write it as a blob.
    """
    named = manifest("l/layer.tar").replace(b"c.json", b"blobs/sha256/c")
    parts = (WHOLE[0], member("blobs/sha256/c", image()), member("manifest.json", named))

    (found,) = ImageArchive(write(tmp_path / "file", *parts), LIMIT).images

    assert image() == found.config


@pytest.mark.parametrize(
    ("tag", "index"),
    [
        ("x:y", "docker.io/library/x:y"),
        ("me/x:y", "docker.io/me/x:y"),
        ("docker.io/library/x:y", "docker.io/library/x:y"),
        ("localhost/x:y", "localhost/x:y"),
        ("host.example/x:y", "host.example/x:y"),
    ],
)
def test_the_index_of_a_newer_engine_names_the_same_images(tmp_path, tag, index):
    """
    Docker 25 and newer write whole names there, and short ones into the manifest.
    """
    marks = {"annotations": {"io.containerd.image.name": index}}
    parts = (
        *WHOLE[:2],
        member("manifest.json", manifest("l/layer.tar", tags=(tag,))),
        member("index.json", json.dumps({"manifests": [marks]}).encode()),
    )
    write(tmp_path / "a.tar", *parts)

    (found,) = ImageArchive(tmp_path / "a.tar", LIMIT).images

    assert (tag,) == found.tags


@pytest.mark.parametrize(
    ("members", "words"),
    [
        ([member("./c.json", image())], "a member with the name"),
        ([member("../c.json", image())], "a member with the name"),
        ([member("a\\b")], "a member with the name"),
        ([member("l/layer.tar", LAYER)], "two members"),
        ([member("pipe", type=tarfile.FIFOTYPE)], "neither a file nor a directory"),
        ([member("big.json", bytes(LIMIT))], "unpacks to more than"),
        ([member("n" * 8192)], "headers is too long"),
        ([member("a", pax_headers={"a": "b" * 8192})], "headers is too long"),
        ([member("g", b"9 a=bcde\n", type=tarfile.XGLTYPE)], "a header of type b'g'"),
        (
            [member("repositories", b"[" * 100_000)],
            "nested too deeply|Expecting value",
        ),
    ],
)
def test_odd_members_are_refused(tmp_path, members, words):
    """
    Names that two readers may read differently, special files, and what is too large.
    """
    with pytest.raises(ValueError, match=words):
        ImageArchive(write(tmp_path / "file", *WHOLE, *members), LIMIT)


@pytest.mark.parametrize(
    ("members", "words"),
    [
        (WHOLE[:2], "no manifest"),
        ((WHOLE[0], WHOLE[2]), "c.json is missing"),
        ((WHOLE[1], WHOLE[2]), "layer l/layer.tar is missing"),
        ((WHOLE[0], member("c.json", image(2)), WHOLE[2]), "do not match"),
        ((*WHOLE[:2], member("manifest.json", b"[]")), "no image"),
        ((*WHOLE[:2], member("manifest.json", b"[1]")), "subscriptable|indices"),
    ],
)
def test_what_does_not_fit_together_is_refused(tmp_path, members, words):
    """
    A manifest, its description and its layers.
    """
    with pytest.raises(ValueError, match=words):
        ImageArchive(write(tmp_path / "file", *members), LIMIT)


def test_a_header_cannot_fill_the_memory(tmp_path):
    """
    A few compressed bytes can stand for a name of many gigabytes.
    """
    made = tarfile.TarInfo("././@LongLink")
    made.type, made.size = tarfile.GNUTYPE_LONGNAME, 40 * 1024 * 1024
    path = tmp_path / "file"
    path.write_bytes(made.tobuf() + bytes(1024))

    with pytest.raises(ValueError, match="headers is too long"):
        ImageArchive(path, LIMIT)


def test_a_file_that_changes_meanwhile_is_not_loaded(tmp_path):
    """
    The engine gets an error instead of another layer.
    """
    path = write(tmp_path / "file", *WHOLE)
    archive = ImageArchive(path, LIMIT)
    write(path, member("l/layer.tar", b"longer than it was"), *WHOLE[1:])

    with pytest.raises(ValueError, match="has changed"), archive.rewritten() as file:
        file.read()


@pytest.mark.parametrize(
    ("tag", "index"),
    [
        ("x:y", "docker.io/library/x:y"),
        ("a/x:y", "docker.io/a/x:y"),
        ("registry.example/x:y", "registry.example/x:y"),
        ("localhost/x:y", "x:y"),
    ],
)
@pytest.mark.parametrize("other", ["", "docker.io/library/of-a-user:1", "registry.example/a/x:y"])
def test_an_index_may_name_the_same_images_in_full(tmp_path, tag, index, other):
    """
    Since Docker 25, a saved image has an index with full names. Another image in it is refused.
    """
    entries = [{"annotations": {"io.containerd.image.name": one}} for one in (index, other) if one]
    parts = (
        *WHOLE[:2],
        member("manifest.json", manifest("l/layer.tar", tags=(tag,))),
        member("index.json", json.dumps({"manifests": entries}).encode()),
    )
    path = write(tmp_path / "file", *parts)

    if other:
        with pytest.raises(ValueError, match=f"names an image {other}"):
            ImageArchive(path, LIMIT)
    else:
        assert (tag,) == ImageArchive(path, LIMIT).images[0].tags


@pytest.mark.parametrize("size", [1, 3, 100])
def test_pieces_are_read_as_a_file(size):
    """
    An empty piece is not the end.
    """
    file = io.BufferedReader(Pieces(iter([b"ab", b"", b"cdef", b"g"])), size)

    assert b"abcdefg" == b"".join(iter(lambda: file.read(2), b""))

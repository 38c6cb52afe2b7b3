"""Images in a tar, that of `docker save`, which any engine loads, or from a registry.

A layer made here has a name of its own, so that a commit need not read its files. Its digest is
that of its tar, made when it is saved, and noted. The configuration says which names the layers and
the image have where it was saved. An image may come from anybody, so a name counts only if a layer
of that name is there, and its noted digest is the one of the image; any other layer is named by its
digest.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import posixpath
import re
import tarfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, BinaryIO, cast

from ..tar_headers import bounded_header
from .store import Image, Store, full_name

__all__ = ["read_archive", "read_folder", "write_archive"]

_PIECE = 1 << 20
_OWN = "org.codex-workspace.native"
"""The key in a configuration below which the names lie."""

_MOST_LAYERS = 500
"""As many as overlayfs takes."""

_LONGEST_HEADER = 1 << 20
"""Bytes of the name of one member."""

_LARGEST_TEXT = 16 << 20
"""Bytes of a manifest or a configuration: four times as many as registries take."""

_TEXTS = ("User", "WorkingDir")
_LISTS = ("Cmd", "Entrypoint", "Env", "OnBuild")
"""What containers take of a configuration, and what it is."""

_NAME = re.compile(r"[0-9a-f]{64}")
_GZIP = b"\x1f\x8b"

_HISTORY = {"created": "1970-01-01T00:00:00Z", "created_by": "codex-workspace"}

Folder = Callable[[], AbstractContextManager[Path]]
Pack = Callable[[str], Iterator[bytes]]
Keep = Callable[[str, BinaryIO], None]
Open = Callable[[Path], BinaryIO]


def write_archive(
    images: Sequence[tuple[str, Image]],
    tags: Mapping[str, Sequence[str]],
    pack: Pack,
    note: Callable[[str, str], object],
    folder: Folder,
) -> Iterator[bytes]:
    """
    Yield a tar of images in pieces.

    Args:
        images: what was asked for, and the image that it is.
        tags: the tags of each image by its id.
        pack: yields the tar of a layer.
        note: takes the name of a layer and its digest.
        folder: makes a directory for the time of a block.
    """
    with folder() as place:
        digests: dict[str, str] = {}
        manifest: dict[str, dict[str, Any]] = {}
        for reference, image in images:
            for layer in image.layers:
                if layer in digests:
                    continue
                digest = hashlib.sha256()
                path = place / layer
                with path.open("wb") as file:
                    for piece in pack(layer):
                        digest.update(piece)
                        file.write(piece)
                digests[layer] = digest.hexdigest()
                note(layer, digests[layer])
                yield from _member(f"{digests[layer]}/layer.tar", path)
                path.unlink()
            about = _config(image, [digests[layer] for layer in image.layers])
            data = json.dumps(about, sort_keys=True).encode()
            name = f"{hashlib.sha256(data).hexdigest()}.json"
            if image.id not in manifest:
                yield from _small_member(name, data)
                manifest[image.id] = {
                    "Config": name,
                    "RepoTags": [],
                    "Layers": [f"{digests[layer]}/layer.tar" for layer in image.layers],
                }
            named = [one for one in tags.get(image.id, ()) if one == full_name(reference)]
            manifest[image.id]["RepoTags"] += named
        yield from _small_member("manifest.json", json.dumps(list(manifest.values())).encode())
        yield bytes(2 * tarfile.BLOCKSIZE)


def _config(image: Image, digests: Sequence[str]) -> dict[str, Any]:
    return {
        "architecture": image.architecture,
        "config": dict(image.config),
        "created": _HISTORY["created"],
        "history": [_HISTORY for _ in digests],
        "os": "linux",
        "rootfs": {"type": "layers", "diff_ids": [f"sha256:{one}" for one in digests]},
        _OWN: {"id": image.id, "layers": list(image.layers)},
    }


def _head(name: str, size: int) -> bytes:
    member = tarfile.TarInfo(name)
    member.size, member.mode = size, 0o644
    return member.tobuf(tarfile.PAX_FORMAT)


def _small_member(name: str, data: bytes) -> Iterator[bytes]:
    yield _head(name, len(data)) + data + bytes(-len(data) % tarfile.BLOCKSIZE)


def _member(name: str, path: Path) -> Iterator[bytes]:
    size = path.stat().st_size
    yield _head(name, size)
    with path.open("rb") as file:
        while piece := file.read(_PIECE):
            yield piece
    yield bytes(-size % tarfile.BLOCKSIZE)


def read_archive(
    archive: BinaryIO, folder: Path, keep: Keep, store: Store
) -> Iterator[tuple[Image, list[str]]]:
    """
    Yield the images of a tar with their tags, when their layers are kept.

    Of two members with one path the later wins, as for other engines.

    Args:
        archive: the tar, compressed or not.
        folder: an empty directory for its members.
        keep: keeps a layer: takes its name and its tar.
        store: knows the images and layers that are here.

    Raises:
        ValueError: it is no such tar, or a layer is not what the configuration says.
        KeyError, TypeError, AttributeError: its JSON is not what it should be.
    """
    members: dict[str, Path] = {}
    links: dict[str, str] = {}
    try:
        header = bounded_header(_LONGEST_HEADER)
        with tarfile.open(fileobj=archive, mode="r|*", tarinfo=header) as tar:
            for number, member in enumerate(tar):
                name = posixpath.normpath(member.name)
                if member.issym() or member.islnk():
                    above = posixpath.dirname(name) if member.issym() else ""
                    links[name] = posixpath.normpath(posixpath.join(above, member.linkname))
                elif (file := tar.extractfile(member)) is not None:
                    members[name] = folder / str(number)
                    with members[name].open("wb") as target:
                        while piece := file.read(_PIECE):
                            target.write(piece)
    except tarfile.TarError as error:
        raise ValueError(f"it is no archive of images: {error}") from None
    while archive.read(_PIECE):
        pass
    for name, other in links.items():
        if other in members:
            members.setdefault(name, members[other])
    if "manifest.json" not in members:
        raise ValueError("it is no archive of images: there is no manifest.json")
    for one in json.loads(_text(members["manifest.json"])):
        yield _image(one, members, keep, store, _open_decompressed), list(one.get("RepoTags") or ())


def read_folder(folder: Path, keep: Keep, store: Store) -> Image:
    """
    Return the image of a folder that skopeo has filled, when its layers are kept.

    Args:
        folder: `manifest.json`, and files named by their digests.
        keep: keeps a layer: takes its name and its tar.
        store: knows the images and layers that are here.

    Raises:
        ValueError: a layer is not what the configuration says.
        KeyError, TypeError, AttributeError: its JSON is not what it should be.
    """
    manifest = json.loads(_text(folder / "manifest.json"))
    config = _bare(manifest["config"]["digest"])
    layers = [_bare(one["digest"]) for one in manifest["layers"]]
    members = {name: folder / name for name in (config, *layers)}
    # skopeo has decompressed the layers. To do that again would evade the limit of the download.
    return _image({"Config": config, "Layers": layers}, members, keep, store, _open_raw)


def _image(
    one: Mapping[str, Any], members: Mapping[str, Path], keep: Keep, store: Store, open_file: Open
) -> Image:
    data = _text(_file(members, one["Config"]))
    about = json.loads(data)
    digests = [_bare(text) for text in about["rootfs"]["diff_ids"]]
    if len(one["Layers"]) != len(digests):
        raise ValueError("the number of layers is not that of the configuration")
    if len(digests) > _MOST_LAYERS:
        raise ValueError(f"it has more than {_MOST_LAYERS} layers")
    own = about.get(_OWN) or {}
    theirs = [_bare(text) for text in own.get("layers", ())]
    if len(theirs) != len(digests):
        theirs = digests
    names = tuple(
        name if store.digest(name) == digest else digest
        for name, digest in zip(theirs, digests, strict=True)
    )
    for name, digest, path in zip(names, digests, one["Layers"], strict=True):
        if store.digest(name) == digest:
            continue
        _check(open_file, _file(members, path), digest)
        with open_file(_file(members, path)) as file:
            keep(name, file)
        store.note_digest(name, digest)
    here = store.find_image(f"sha256:{_bare(own['id'])}") if own else None
    config = _checked(about.get("config") or {})
    if here is not None and (here.layers, here.config) == (names, config):
        return here
    image = f"sha256:{hashlib.sha256(data).hexdigest()}"
    return Image(names, config, str(about.get("architecture") or ""), id=image)


def _checked(config: Any) -> dict[str, Any]:
    """
    Return a configuration, which anybody may have written, if what we take of it is what it is by
    the specification of OCI.
    """
    found = dict(config)
    texts = [found.get(name) or "" for name in _TEXTS]
    for name in _LISTS:
        values = found.get(name) or []
        if not isinstance(values, list):
            raise ValueError(f"{name} of its configuration is no list")
        texts += values
    labels = found.get("Labels") or {}
    if not isinstance(labels, dict):
        raise ValueError("the labels of its configuration are no mapping")
    texts += labels.values()
    if not all(isinstance(text, str) for text in texts):
        raise ValueError("its configuration has other values than texts")
    return found


def _file(members: Mapping[str, Path], name: str) -> Path:
    path = members.get(posixpath.normpath(name))
    if path is None:
        raise ValueError(f"it has no {name}")
    return path


def _text(path: Path) -> bytes:
    """
    Return a file that is read as a whole.
    """
    with path.open("rb") as file:
        data = file.read(_LARGEST_TEXT + 1)
    if len(data) > _LARGEST_TEXT:
        raise ValueError("its description is too long")
    return data


def _open_raw(path: Path) -> BinaryIO:
    return path.open("rb")


def _open_decompressed(path: Path) -> BinaryIO:
    file = path.open("rb")
    if file.read(2) == _GZIP:
        file.seek(0)
        return cast("BinaryIO", io.BufferedReader(gzip.GzipFile(fileobj=file)))
    file.seek(0)
    return file


def _check(open_file: Open, path: Path, digest: str) -> None:
    found = hashlib.sha256()
    with open_file(path) as file:
        while piece := file.read(_PIECE):
            found.update(piece)
    if found.hexdigest() != digest:
        raise ValueError(f"invalid diffID: expected sha256:{digest}, got {found.hexdigest()}")


def _bare(text: str) -> str:
    """
    Return the hexadecimal part of a digest, which becomes the name of a directory.
    """
    bare = str(text).removeprefix("sha256:")
    if not _NAME.fullmatch(bare):
        raise ValueError(f"{text!r} is no digest")
    return bare

"""Files of `docker save`: what one says, checked, and a new one with nothing else in it.

An engine would read such a file with another parser than ours: the later of two
names wins, or the index of another format. So the engine never gets a file that
somebody else has written. It gets a new one, whose names and manifest are ours.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import posixpath
import re
import tarfile
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, BinaryIO, cast

from ..engine.protocol import Advance, OnAdvance
from ..engine.tar_headers import bounded_header
from ..text.option_names import spell_option

__all__ = ["ImageArchive", "ImageFound", "Pieces", "with_progress"]

_DESCRIPTION_LIMIT = 16 * 1024 * 1024
"""The largest number of bytes of all descriptions."""

_MEMBER_LIMIT = 20_000
_HEADER_LIMIT = 8192
"""The largest extended header of a member; each is kept until the archive is closed."""

_READ_LIMIT = 32 * 1024 * 1024
"""The most that is read into memory at once."""

_PIECE = 1024 * 1024
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")


@dataclass(frozen=True, slots=True)
class ImageFound:
    """
    An image in a file.

    Attributes:
        config: its description, as the file has it.
        layers: digests of its unpacked layers, the lowest first.
        labels: its labels.
        tags: the names that the file gives it. They have no effect.
        sources: the members of the file with its layers.
    """

    config: bytes
    layers: tuple[str, ...]
    labels: Mapping[str, str]
    tags: tuple[str, ...]
    sources: tuple[str, ...]

    @property
    def digest(self) -> str:
        """
        The digest of the description: on most engines, the image's id.
        """
        return f"sha256:{hashlib.sha256(self.config).hexdigest()}"


class ImageArchive:
    """
    A file in the format of `docker save`, plain or compressed by gzip.

    Every member is looked at: a name that is not normal, comes twice or leads out, and a
    member that is neither a file nor a directory nor a link to a layer, is an error.

    Args:
        path: the file.
        limit: the largest number of bytes of all members.

    Attributes:
        images: the images of its manifest.

    Raises:
        OSError: the file cannot be read.
        ValueError: it has another format or is not consistent. The text says why.
    """

    def __init__(self, path: Path, limit: int) -> None:
        self._path = path
        self._limit = limit
        try:
            self._sizes, self._links, described = self._scan()
            self.images = tuple(self._images(described))
        except (tarfile.TarError, EOFError, KeyError, TypeError, gzip.BadGzipFile) as error:
            raise ValueError(str(error) or type(error).__name__) from None
        except RecursionError:
            raise ValueError("its descriptions are nested too deeply") from None

    def rewritten(self, on_advance: OnAdvance = lambda _: None) -> BinaryIO:
        """
        Return the same images as a file of the same format, without their tags.

        Args:
            on_advance: called with the number of bytes that were read so far.
        """
        pieces = with_progress(self._pieces(), on_advance)
        return cast("BinaryIO", io.BufferedReader(Pieces(pieces), _PIECE))

    def _pieces(self) -> Iterator[bytes]:
        manifest = [
            {
                "Config": f"{image.digest[7:]}.json",
                "RepoTags": None,
                "Layers": [self._new_name(source) for source in image.sources],
            }
            for image in self.images
        ]
        yield from _member("manifest.json", json.dumps(manifest).encode("ascii"))
        for name, config in {f"{one.digest[7:]}.json": one.config for one in self.images}.items():
            yield from _member(name, config)
        wanted = {self._resolved(source) for image in self.images for source in image.sources}
        with self._open() as tar:
            for member in tar:
                if member.name not in wanted:
                    continue
                wanted.remove(member.name)
                if member.size != self._sizes.get(member.name):
                    raise ValueError(f"{self._path} has changed while it was read")
                yield _header(self._new_name(member.name), member.size)
                yield from _content(tar, member)
                yield bytes(-member.size % tarfile.BLOCKSIZE)
        if wanted:
            raise ValueError(f"{self._path} has changed while it was read")
        yield bytes(2 * tarfile.BLOCKSIZE)

    def _new_name(self, source: str) -> str:
        name = self._resolved(source)
        return f"{hashlib.sha256(name.encode('utf-8', 'surrogateescape')).hexdigest()}.tar"

    def _resolved(self, source: str) -> str:
        """
        Return the file that has a layer. Docker writes a link for one that comes twice.
        """
        found = self._links.get(source, source)
        if found not in self._sizes:
            raise ValueError(f"its layer {source} is missing")
        return found

    def _scan(self) -> tuple[dict[str, int], dict[str, str], dict[str, bytes]]:
        """
        Return the sizes of all files, the targets of all links, and the content of what
        could be a description.
        """
        sizes: dict[str, int] = {}
        links: dict[str, str] = {}
        described: dict[str, bytes] = {}
        seen: set[str] = set()
        total = 0
        with self._open() as tar:
            for member in tar:
                name = member.name
                if not _is_normal(name):
                    raise ValueError(f"it has a member with the name {name!r}")
                if name in seen:
                    raise ValueError(f"it has two members with the name {name}")
                seen.add(name)
                total += member.size
                if len(seen) > _MEMBER_LIMIT:
                    raise ValueError(f"it has more than {_MEMBER_LIMIT} members")
                if total > self._limit:
                    raise ValueError(
                        f"it unpacks to more than {self._limit} bytes "
                        f"({spell_option('cache-size')} sets the limit)"
                    )
                if member.issym() or member.islnk():
                    links[name] = _target(member)
                elif member.isreg() and not member.issparse():
                    sizes[name] = member.size
                    # The manifest may come last; layers are not kept in memory.
                    if _may_describe(name):
                        described[name] = _description(tar, member, described)
                elif not member.isdir():
                    raise ValueError(f"{name} is neither a file nor a directory")
        return sizes, links, described

    def _images(self, described: Mapping[str, bytes]) -> Iterator[ImageFound]:
        if "manifest.json" not in described:
            raise ValueError("it has no manifest.json")
        manifest = json.loads(described["manifest.json"])
        if not isinstance(manifest, list) or not manifest:
            raise ValueError("it contains no image")
        configs = self._configs({str(one["Config"]) for one in manifest}, described)
        for one in manifest:
            name, tags = str(one["Config"]), one.get("RepoTags") or ()
            config = configs[name]
            about = json.loads(config)
            layers = tuple(map(str, about["rootfs"]["diff_ids"]))
            sources = tuple(map(str, one["Layers"]))
            if len(layers) != len(sources) or not all(map(_DIGEST.fullmatch, layers)):
                raise ValueError(f"the layers of {name} do not match its description")
            for source in sources:
                self._resolved(source)
            marks = (about.get("config") or {}).get("Labels") or {}
            yield ImageFound(
                config,
                layers,
                {str(key): str(value) for key, value in marks.items()},
                tuple(map(str, tags)),
                sources,
            )
        self._check_names(described)

    def _check_names(self, described: Mapping[str, bytes]) -> None:
        """
        Check that the indexes of other formats name no image that the manifest does not.
        """
        manifest = json.loads(described["manifest.json"])
        known = {_familiar(tag) for one in manifest for tag in _tags(one)}
        for tag in (*_names_of_index(described), *_names_of_repositories(described)):
            short = _familiar(tag)
            if short not in known and not any(one.endswith(f"/{short}") for one in known):
                raise ValueError(f"its index names an image {tag} that its manifest does not name")

    def _configs(self, names: Collection[str], described: Mapping[str, bytes]) -> dict[str, bytes]:
        """
        Return the descriptions of images. Newer engines keep them among the layers.
        """
        found = {name: described[name] for name in names if name in described}
        late = set(names) - set(found)
        if missing := late - set(self._sizes):
            raise ValueError(f"its {min(missing)} is missing")
        if late:
            with self._open() as tar:
                for member in tar:
                    if member.name in late:
                        found[member.name] = _description(tar, member, found)
        return found

    def _open(self) -> _Tar:
        return _Tar(self._path)


class _Tar:
    """
    A tar, open for one pass over its members.
    """

    def __init__(self, path: Path) -> None:
        self._file = path.open("rb")
        try:
            packed = self._file.read(2) == b"\x1f\x8b"
            self._file.seek(0)
            self._plain = cast(
                "IO[bytes]", gzip.GzipFile(fileobj=self._file) if packed else self._file
            )
            bounded = cast("IO[bytes]", _Bounded(self._plain))
            header = bounded_header(_HEADER_LIMIT, refused=(tarfile.XGLTYPE,))
            self._tar = tarfile.TarFile(fileobj=bounded, tarinfo=header)
        except BaseException:
            self._file.close()
            raise

    def __enter__(self) -> tarfile.TarFile:
        return self._tar

    def __exit__(self, *_: object) -> None:
        self._tar.close()
        self._plain.close()
        self._file.close()


class _Bounded(io.RawIOBase):
    """
    A file that no header can make a reader load into memory as a whole.
    """

    def __init__(self, file: IO[bytes]) -> None:
        self._below = file

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def read(self, size: int = -1) -> bytes:
        if not 0 <= size <= _READ_LIMIT:
            raise ValueError("one of its headers is too long")
        return self._below.read(size)

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        return self._below.seek(offset, whence)

    def tell(self) -> int:
        return self._below.tell()


def with_progress(pieces: Iterable[bytes], on_advance: OnAdvance) -> Iterator[bytes]:
    """
    Yield *pieces*, and report the number of bytes after each.
    """
    done = 0
    for piece in pieces:
        yield piece
        done += len(piece)
        on_advance(Advance(done, 0, "bytes"))


class Pieces(io.RawIOBase):
    """
    Pieces of bytes as a file that can be read once.
    """

    def __init__(self, pieces: Iterator[bytes]) -> None:
        self._pieces = pieces
        self._rest = b""

    def readable(self) -> bool:
        """
        Return `True`.
        """
        return True

    def readinto(self, buffer: Any) -> int:
        """
        Fill *buffer* with what comes next, and return its length; 0 at the end.
        """
        while not self._rest:
            piece = next(self._pieces, None)
            if piece is None:
                return 0
            self._rest = piece
        count = min(len(buffer), len(self._rest))
        buffer[:count] = self._rest[:count]
        self._rest = self._rest[count:]
        return count


def _is_normal(name: str) -> bool:
    return (
        name == posixpath.normpath(name)
        and not name.startswith(("/", "../"))
        and name not in ("", ".", "..")
        and not any(ord(one) < 32 or one in "\\\x7f" for one in name)
    )


def _target(member: tarfile.TarInfo) -> str:
    if member.islnk():
        return member.linkname
    return posixpath.normpath(posixpath.join(posixpath.dirname(member.name), member.linkname))


def _may_describe(name: str) -> bool:
    return "/" not in name and (name.endswith(".json") or name == "repositories")


def _description(
    tar: tarfile.TarFile, member: tarfile.TarInfo, others: Mapping[str, bytes]
) -> bytes:
    if member.size + sum(map(len, others.values())) > _DESCRIPTION_LIMIT:
        raise ValueError(f"its {member.name} is too large")
    return b"".join(_content(tar, member))


def _content(tar: tarfile.TarFile, member: tarfile.TarInfo) -> Iterator[bytes]:
    file = tar.extractfile(member)
    left = member.size
    while left:
        piece = file.read(min(left, _PIECE)) if file else b""
        if not piece:
            raise ValueError(f"it ends in the middle of {member.name}")
        left -= len(piece)
        yield piece


def _header(name: str, size: int) -> bytes:
    member = tarfile.TarInfo(name)
    member.size, member.mode = size, 0o644
    return member.tobuf(tarfile.GNU_FORMAT)


def _member(name: str, content: bytes) -> Iterator[bytes]:
    yield _header(name, len(content))
    yield content + bytes(-len(content) % tarfile.BLOCKSIZE)


def _tags(one: Mapping[str, Any]) -> tuple[str, ...]:
    return tuple(map(str, one.get("RepoTags") or ()))


def _familiar(tag: str) -> str:
    """
    Return a name as the docker command shows it. Since Docker 25, the index has it in full.
    """
    return tag.removeprefix("docker.io/").removeprefix("library/")


def _names_of_index(described: Mapping[str, bytes]) -> Iterator[str]:
    index = json.loads(described.get("index.json", b"{}"))
    for one in index.get("manifests") or ():
        marks = one.get("annotations") or {}
        if name := marks.get("io.containerd.image.name"):
            yield str(name)


def _names_of_repositories(described: Mapping[str, bytes]) -> Iterator[str]:
    for repository, tags in json.loads(described.get("repositories", b"{}")).items():
        for tag in tags:
            yield f"{repository}:{tag}"

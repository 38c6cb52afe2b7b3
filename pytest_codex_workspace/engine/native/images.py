"""Images of this engine."""

from __future__ import annotations

import gzip
import shutil
import tempfile
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from ...errors import EngineError, EngineUnavailable
from .. import skopeo
from ..labels import has_labels
from ..protocol import Advance
from ..skopeo import SkopeoError
from .docker_archive import read_archive, read_folder, write_archive
from .dockerfile import read_changes
from .refusal import refused
from .store import Image, Store, full_name
from .workers import JobRefused, Workers

if TYPE_CHECKING:
    from ..protocol import ImageInfo, OnAdvance

__all__ = ["NativeImages"]


class NativeImages:
    """
    The part of `NativeEngine` that is about images.
    """

    _store: Store
    _workers: Workers

    @property
    def _architecture(self) -> str:
        raise NotImplementedError

    def image(self, reference: str) -> ImageInfo | None:
        """
        Return the image that *reference* names; `None` if the engine does not have it.
        """
        image = self._store.find_image(reference)
        return self._store.info(image) if image else None

    def images(self, labels: Mapping[str, str | None]) -> list[ImageInfo]:
        """
        Return the images with all *labels*.
        """
        tags = self._store.tags()
        return [
            self._store.info(one, tags)
            for one in self._store.every_image()
            if has_labels(one.labels, labels) and not one.hidden
        ]

    def pull(
        self,
        reference: str,
        on_line: Callable[[str], None],
        patience: float | None = None,
        on_advance: OnAdvance | None = None,
        *,
        limit: int | None = None,
    ) -> ImageInfo:
        """
        Fetch *reference* from its registry.
        """
        with self._told(f"pull the image {reference}"), self._folder() as folder:
            # By its digest, so that it is the same image if the tag moves meanwhile.
            digest = skopeo.find_digest(_remote_name(reference), patience)
            name = f"{_repository(reference)}@{digest}"
            skopeo.download(
                name,
                folder,
                architecture=self._architecture,
                on_line=on_line,
                on_advance=on_advance,
                patience=patience,
                limit=limit,
            )
            names = (name, reference) if "@" in reference else (name,)
            image = self._keep(read_folder(folder, self._keep_layer, self._store), *names)
            if "@" not in reference:
                self.tag(image.id, reference)
            return self._store.info(image)

    def registry_digest(self, reference: str, patience: float) -> str:
        """
        Return the digest of *reference* in its registry.
        """
        with self._told(f"look the image {reference} up in its registry"):
            return skopeo.find_digest(_remote_name(reference), patience)

    def push(
        self,
        reference: str,
        on_line: Callable[[str], None],
        patience: float | None = None,
        on_advance: OnAdvance | None = None,
    ) -> None:
        """
        Send the image *reference* to its registry.
        """
        with self._told(f"push the image {reference}"), self._folder() as folder:
            archive, done = folder / "image.tar", 0
            with archive.open("wb") as file:
                for piece in self.save([reference]):
                    done += file.write(piece)
                    if on_advance is not None:
                        on_advance(Advance(done, 0, "bytes"))
            skopeo.upload(archive, full_name(reference), on_line=on_line, patience=patience)

    def save(self, references: Sequence[str]) -> Iterator[bytes]:
        """
        Yield a tar of images, as `docker save` writes it.
        """
        what = f"save {', '.join(references)}"
        images = [(one, self._require_image(one, what)) for one in references]

        def pack(layer: str) -> Iterator[bytes]:
            return self._workers.fetch({"do": "pack", "path": str(self._store.layer(layer))})

        archive = write_archive(
            images, self._store.tags(), pack, self._store.note_digest, self._folder
        )
        return self._saved(archive, what)

    def _saved(self, archive: Iterator[bytes], what: str) -> Iterator[bytes]:
        with self._told(what):
            yield from archive

    def load(self, archive: BinaryIO) -> list[str]:
        """
        Add every image of a tar that `docker save` or this engine wrote. Return the tags, or the
        ids of images without one.
        """
        tags, ids = list[str](), list[str]()
        with self._told("load images"), self._folder() as folder:
            for image, names in read_archive(archive, folder, self._keep_layer, self._store):
                kept = self._keep(image)
                ids.append(kept.id)
                for name in names:
                    self.tag(kept.id, name)
                    tags.append(name)
        return tags or ids

    def _keep(self, image: Image, *digests: str) -> Image:
        """
        Keep an image whose layers are there, with the names that registries have for it.
        """
        with self._store.lock():
            gone = [one for one in image.layers if not self._store.layer(one).is_dir()]
            if gone:
                raise refused("keep the image", f"its layer {gone[0][:12]} was removed meanwhile")
            known = self._store.find_image(image.id) or image
            names = tuple(dict.fromkeys((*known.digests, *digests)))
            return self._store.add_image(replace(known, digests=names))

    def _keep_layer(self, name: str, archive: BinaryIO) -> None:
        """
        Unpack a layer under its name, unless it is there.
        """
        target = self._store.layer(name)
        if target.is_dir():
            while archive.read(1 << 20):
                pass
            return
        beside = self._store.root / "trash" / f"{name}-{id(archive)}-new"
        beside.mkdir(mode=0o755)
        try:
            size = self._workers.feed({"do": "unpack", "path": str(beside)}, archive)
            self._store.write("sizes", name, size)
            with self._store.lock():
                if not target.is_dir():
                    self._workers.ask({"do": "move", "path": str(beside), "to": str(target)})
        finally:
            self._store.discard(beside)

    def import_image(self, layer: BinaryIO, *, tag: str, changes: Sequence[str]) -> ImageInfo:
        """
        Make an image of one root file system tar.
        """
        what = f"import the image {tag}"
        name = self._store.new_layer()
        with self._told(what):
            self._keep_layer(name, layer)
        config = read_changes(changes)
        image = self._store.add_image(Image((name,), config, self._architecture))
        self.tag(image.id, tag)
        return self._store.info(image)

    def tag(self, image: str, reference: str) -> None:
        """
        Make *reference* a name of *image*.
        """
        with self._store.lock():
            found = self._require_image(image, f"tag {image} as {reference}")
            self._store.set_tag(reference, found)

    def remove_image(self, reference: str) -> None:
        """
        Remove a tag, and with its last tag the image.
        """
        what = f"remove the image {reference}"
        with self._store.lock():
            image = self._store.find_image(reference)
            if image is None:
                return
            names = self._store.tags().get(image.id, [])
            named = full_name(reference) in names
            if len(names) > 1:
                if not named:
                    raise refused(what, "conflict: it has several tags")
                self._store.drop_tag(reference)
                return
            users = [
                one["name"] for one in self._store.container_records() if one["image"] == image.id
            ]
            if users:
                raise refused(what, f"conflict: a container is using it: {users[0]}")
            for name in names:
                self._store.drop_tag(name)
            self._store.drop_image(image)

    def _require_image(self, reference: str, what: str) -> Image:
        image = self._store.find_image(reference)
        if image is None:
            raise refused(what, f"No such image: {reference}")
        return image

    @contextmanager
    def _told(self, what: str) -> Iterator[None]:
        """
        Raise what goes wrong with an image from outside as an error for users.
        """
        try:
            yield
        except (EngineError, EngineUnavailable):
            raise
        except (
            *(ValueError, KeyError, TypeError, AttributeError, RecursionError),
            *(EOFError, zlib.error, gzip.BadGzipFile),
        ) as error:
            raise refused(what, f"it is damaged: {error}") from None
        except (JobRefused, SkopeoError, OSError) as error:
            raise refused(what, str(error)) from None

    @contextmanager
    def _folder(self) -> Iterator[Path]:
        """
        Make a directory for the time of the block.
        """
        folder = Path(tempfile.mkdtemp(prefix="archive-", dir=self._store.root / "trash"))
        try:
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)


def _repository(reference: str) -> str:
    """
    Return *reference* without its tag and its digest.
    """
    return full_name(reference.partition("@")[0]).rpartition(":")[0]


def _remote_name(reference: str) -> str:
    """
    Return *reference* without its tag if it has a digest, which says more: skopeo takes only one.
    """
    digest = reference.partition("@")[2]
    return f"{_repository(reference)}@{digest}" if digest else reference

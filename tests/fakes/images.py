"""Images of the fake engine."""

from __future__ import annotations

import hashlib
import io
import json
import posixpath
import re
import string
import tarfile
from dataclasses import replace
from typing import TYPE_CHECKING, BinaryIO

from pytest_codex_workspace.engine.labels import has_labels
from pytest_codex_workspace.engine.messages.progress import Progress
from pytest_codex_workspace.engine.protocol import Advance, ContainerSpec, ImageInfo, OnAdvance
from pytest_codex_workspace.errors import ImageBuildError

from .filetree import FileTree
from .state import FakeState, Image, full_name, refusal

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Mapping, Sequence

__all__ = ["FakeImages", "image_info"]


class FakeImages(FakeState):
    """
    The part of `FakeEngine` that is about images.
    """

    _pullable: Collection[str]
    _pushed: dict[str, Image]

    def add_image(self, reference: str, labels: Mapping[str, str] | None = None) -> ImageInfo:
        """
        Add an image without files.
        """
        with self._lock:
            image = self._new_image(labels or {}, FileTree())
            self.tag(image.id, reference)
            return self._info(image)

    def damage_image(self, reference: str) -> None:
        """
        Lose the image's files: no container of it starts any more.
        """
        with self._lock:
            self._require_image(reference, f"damage {reference}").damaged = True

    def parent(self, reference: str) -> str | None:
        """
        Return the id of the image that *reference* was committed from.
        """
        with self._lock:
            return self._require_image(reference, f"look up {reference}").parent or None

    def image(self, reference: str) -> ImageInfo | None:
        """
        Return the image that *reference* names; `None` if the engine does not have it.
        """
        with self._lock:
            image = self._find_image(reference)
            return self._info(image) if image else None

    def images(self, labels: Mapping[str, str | None]) -> list[ImageInfo]:
        """
        Return the images with all *labels*, except untagged parents of other images.
        """
        with self._lock:
            parents = {one.parent for one in self._images.values()}
            return [
                image_info(one)
                for one in self._images.values()
                if has_labels(one.labels, labels) and (one.tags or one.id not in parents)
            ]

    def registry_digest(self, reference: str, patience: float) -> str:
        """
        Return the digest of a *pullable* image, or of an image that was pushed.
        """
        name = full_name(reference)
        with self._lock:
            if name in self._pushed:
                return self._pushed[name].id
            if name in self._pullable:
                return f"sha256:{hashlib.sha256(name.encode()).hexdigest()}"
        raise refusal(f"look the image {reference} up in its registry", "no registry has it")

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
        Fetch a *pullable* image, or an image that was pushed.
        """
        name = full_name(reference)
        with self._lock:
            if name in self._pushed:
                on_line(f"Pulling {reference}")
                _advance(on_advance)
                pushed = self._pushed[name]
                self._images.setdefault(pushed.id, pushed)
                self.tag(pushed.id, reference)
                return self._info(pushed)
            if name not in self._pullable:
                raise refusal(f"pull the image {reference}", f"pull access denied for {reference}")
            on_line(f"Pulling {reference}")
            _advance(on_advance)
            return self.image(reference) or self.add_image(reference)

    def push(
        self,
        reference: str,
        on_line: Callable[[str], None],
        patience: float | None = None,
        on_advance: OnAdvance | None = None,
    ) -> None:
        """
        Send an image to a registry. Every registry exists.
        """
        what = f"push the image {reference}"
        with self._lock:
            image = self._require_image(reference, what)
            on_line(f"Pushing {reference}")
            _advance(on_advance)
            self._pushed[full_name(reference)] = replace(image, tags=[])

    def save(self, references: Sequence[str]) -> Iterator[bytes]:
        """
        Yield a tar of images in the format of `docker save`.
        """
        archive = io.BytesIO()
        manifest = []
        with self._lock, tarfile.open(fileobj=archive, mode="w") as tar:
            for reference in references:
                image = self._require_image(reference, f"save {reference}")
                layer = image.files.pack("/") or b""
                digest = f"sha256:{hashlib.sha256(layer).hexdigest()}"
                about = json.dumps(
                    {
                        "id": image.id,
                        "config": {"Labels": image.labels, "OnBuild": image.on_build},
                        "rootfs": {"type": "layers", "diff_ids": [digest]},
                    }
                ).encode()
                config = f"{hashlib.sha256(about).hexdigest()}.json"
                if config in tar.getnames():
                    continue
                _add(tar, config, about)
                _add(tar, f"{config[:64]}/layer.tar", layer)
                manifest.append(
                    {
                        "Config": config,
                        "RepoTags": [full_name(reference)],
                        "Layers": [f"{config[:64]}/layer.tar"],
                    }
                )
            _add(tar, "manifest.json", json.dumps(manifest).encode())
        return iter([archive.getvalue()])

    def load(self, archive: BinaryIO) -> list[str]:
        """
        Add every image of a tar that `save` made. As for real engines, the later of two
        members with the same path wins, and a path may be written in any way.
        """
        what, tags, ids = "load images", list[str](), list[str]()
        with self._lock, tarfile.open(fileobj=archive, mode="r|*") as tar:
            members = {
                posixpath.normpath(one.name): file.read()
                for one in tar
                if (file := tar.extractfile(one))
            }
            for one in json.loads(members["manifest.json"]):
                config = members[posixpath.normpath(one["Config"])]
                about = json.loads(config)
                files = FileTree()
                for name, digest in zip(one["Layers"], about["rootfs"]["diff_ids"], strict=True):
                    layer = members[posixpath.normpath(name)]
                    if digest != f"sha256:{hashlib.sha256(layer).hexdigest()}":
                        raise refusal(what, f"invalid diffID for layer 0: expected {digest}")
                    files.unpack("/", io.BytesIO(layer))
                image = Image(
                    about.get("id") or f"sha256:{hashlib.sha256(config).hexdigest()}",
                    about["config"]["Labels"],
                    files,
                    on_build=tuple(about["config"].get("OnBuild") or ()),
                    diff_ids=tuple(about["rootfs"]["diff_ids"]),
                )
                self._images.setdefault(image.id, image)
                ids.append(image.id)
                for tag in one.get("RepoTags") or ():
                    self.tag(image.id, tag)
                    tags.append(tag)
        return tags or ids

    def build(
        self,
        context: BinaryIO,
        *,
        dockerfile: str,
        tag: str,
        labels: Mapping[str, str],
        args: Mapping[str, str],
        on_line: Callable[[str], None],
        on_advance: OnAdvance | None = None,
        target: str = "",
        no_cache: bool = False,
        offline: bool = False,
    ) -> ImageInfo:
        """
        Execute the Dockerfile in *context*. Only `FROM` and `RUN` have an effect, a stage that
        another one is built from adds nothing, and what has run in such a build does not again.
        """
        steps = _instructions(context, dockerfile)
        base, command, stages = "scratch", "", set[str]()
        progress = Progress(on_line, on_advance)
        done: tuple[object, ...] = (offline, *sorted(args.items()))
        for number, step in enumerate(steps, 1):
            progress.feed({"stream": f"Step {number}/{len(steps)} : {step}\n"})
            word, _, rest = step.partition(" ")
            if word.upper() == "FROM":
                if target and target in stages:
                    break
                name, *stage = string.Template(rest).safe_substitute(args).split()
                if name not in stages:
                    base = name
                    if base != "scratch" and not self.image(base):
                        progress.error = f"pull access denied for {base}"
                stages.update(stage[1:])
            elif word.upper() == "RUN":
                output, command = io.BytesIO(), rest.strip()
                network = "none" if offline else "bridge"
                spec = ContainerSpec(base, ["/bin/sh", "-c", command], "build", network=network)
                done = (*done, base, command)
                if done in self._steps_done and not no_cache:
                    continue
                if code := self._run(spec, io.BytesIO(), output):
                    progress.error = f"{command!r} returned a non-zero code: {code}"
                else:
                    self._steps_done.add(done)
                progress.feed({"stream": output.getvalue().decode(errors="replace")})
            progress.finish()
            if progress.error:
                raise ImageBuildError(
                    f"The container engine could not build the image {tag}: {progress.error}\n"
                    f"The failed step: {progress.step}\n"
                    f"Last lines of output:\n{progress.tail}"
                )
        with self._lock:
            below = self._find_image(base)
            image = self._new_image(
                {**(below.labels if below else {}), **labels},
                below.files.copy() if below else FileTree(),
                below.id if below else "",
            )
            if tag:
                self.tag(image.id, tag)
            return self._info(image)

    def import_image(self, layer: BinaryIO, *, tag: str, changes: Sequence[str]) -> ImageInfo:
        """
        Make an image of a tar. Of *changes*, only `LABEL "name"="value"` has an effect.
        """
        files = FileTree()
        files.unpack("/", layer)
        text = r'"((?:[^"\\]|\\.)*)"'
        labels: dict[str, str] = {}
        for change in changes:
            if found := re.fullmatch(f"LABEL {text}={text}", change):
                name, value = (re.sub(r"\\(.)", r"\1", one) for one in found.groups())
                labels[name] = value
        with self._lock:
            image = self._new_image(labels, files)
            self.tag(image.id, tag)
            return self._info(image)

    def tag(self, image: str, reference: str) -> None:
        """
        Make *reference* a name of *image*.
        """
        with self._lock:
            target = self._require_image(image, f"tag {image} as {reference}")
            for one in self._images.values():
                one.tags = [tag for tag in one.tags if tag != full_name(reference)]
            target.tags.append(full_name(reference))

    def remove_image(self, reference: str) -> None:
        """
        Remove a tag, and with its last tag the image.
        """
        what = f"remove the image {reference}"
        with self._lock:
            image = self._find_image(reference)
            if image is None:
                return
            by_tag = full_name(reference) in image.tags
            if len(image.tags) > 1:
                if not by_tag:
                    raise refusal(what, "conflict: it has several tags")
                image.tags.remove(full_name(reference))
                return
            if any(one.image == image.id for one in self._containers.values()):
                raise refusal(what, "conflict: a container is using it")
            if any(one.parent == image.id for one in self._images.values()):
                if not by_tag:
                    raise refusal(what, "conflict: image has dependent child images")
                image.tags.clear()
                return
            self._drop_image(image)

    def _new_image(self, labels: Mapping[str, str], files: FileTree, parent: str = "") -> Image:
        image = Image(f"sha256:{self._new_id()}", dict(labels), files, parent)
        self._images[image.id] = image
        return image

    def _info(self, image: Image) -> ImageInfo:
        if image.diff_ids:
            return replace(image_info(image), layers=image.diff_ids)
        layers = [image.id]
        parent = self._images.get(image.parent)
        while parent:
            layers.insert(0, parent.id)
            parent = self._images.get(parent.parent)
        return replace(image_info(image), layers=tuple(layers))

    def _drop_image(self, image: Image) -> None:
        del self._images[image.id]
        parent = self._images.get(image.parent)
        if parent is None or parent.tags:
            return
        users = [one.image for one in self._containers.values()]
        users += [one.parent for one in self._images.values()]
        if parent.id not in users:
            self._drop_image(parent)


def image_info(image: Image) -> ImageInfo:
    return ImageInfo(
        image.id,
        tuple(image.tags),
        dict(image.labels),
        architecture="amd64",
        size=image.files.size,
        on_build=image.on_build,
    )


def _add(tar: tarfile.TarFile, name: str, data: bytes) -> None:
    member = tarfile.TarInfo(name)
    member.size = len(data)
    tar.addfile(member, io.BytesIO(data))


def _instructions(context: BinaryIO, dockerfile: str) -> list[str]:
    with tarfile.open(fileobj=context, mode="r:*") as tar:
        try:
            file = tar.extractfile(dockerfile)
        except KeyError:
            raise ImageBuildError(f"Cannot locate specified Dockerfile: {dockerfile}") from None
        text = file.read().decode() if file else ""
    lines = re.sub(r"\\\n", " ", text).splitlines()
    return [line.strip() for line in lines if line.strip() and not line.startswith("#")]


def _advance(on_advance: OnAdvance | None) -> None:
    if on_advance is not None:
        on_advance(Advance(1, 1, "layers", 100))

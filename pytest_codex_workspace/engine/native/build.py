"""Builds: the instructions of a Dockerfile, a container and a layer for each stage."""

from __future__ import annotations

import hashlib
import io
import json
import os
import posixpath
import secrets
import tarfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from ...errors import EngineError, ImageBuildError
from ..messages.progress import Progress
from ..protocol import ContainerSpec
from .containers import NativeContainers
from .dockerfile import Instruction, Stage, apply_to_config, expand, read_command, read_dockerfile
from .runner.processes import is_alive, mark
from .store import Image, write_json

if TYPE_CHECKING:
    from ..protocol import ImageInfo, OnAdvance

__all__ = ["Builds"]

_SHELL = ("/bin/sh", "-c")


class Builds(NativeContainers):
    """
    The part of `NativeEngine` that builds images.

    A stage is one container, whose files become one layer. Stages that are no image of somebody
    (those before the last, and a target without a tag) are kept, and used again by builds that
    begin in the same way.
    """

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
        Build the tar *context*. Programs have the network of the machine, and none with *offline*.
        """
        what = f"build the image {tag or dockerfile}"
        progress = Progress(on_line, on_advance)
        with self._folder() as folder:
            try:
                files = _Context(context, folder)
                arguments, stages = read_dockerfile(files.text(dockerfile))
                if target:
                    stages = stages[: _position(stages, target) + 1]
                build = _Build(self, files, {**arguments, **args}, progress, offline, no_cache)
                # A stage that gets no name is a step on the way to an image.
                image = build.run(stages, labels, hidden=bool(target) and not tag)
            except (ValueError, tarfile.TarError) as error:
                raise _failure(what, str(error), progress) from None
            except EngineError as error:
                raise _failure(what, error.message, progress) from None
        if tag:
            self.tag(image.id, tag)
        return self._store.info(image)

    def _remove_lost_builds(self) -> None:
        """
        Remove the containers of builds that were killed.
        """
        for record in self._store.container_records():
            if (builder := record.get("builder")) and not is_alive(builder):
                self.remove(record["id"])


class _Build:
    """
    One build.
    """

    def __init__(
        self,
        engine: Builds,
        files: _Context,
        outer: Mapping[str, str],
        progress: Progress,
        offline: bool,
        no_cache: bool,
    ) -> None:
        self._engine = engine
        self._files = files
        self._outer = outer
        self._progress = progress
        self._network = "none" if offline else engine.egress_network
        self._no_cache = no_cache
        self._done: dict[str, Image] = {}
        self._number = 0

    def run(self, stages: list[Stage], labels: Mapping[str, str], *, hidden: bool) -> Image:
        """
        Build *stages*, and return the image of the last, which is kept like the others if *hidden*.
        """
        self._total = sum(1 + len(one.steps) for one in stages)
        image: Image | None = None
        for number, stage in enumerate(stages):
            is_last = number == len(stages) - 1
            image = self._stage(stage, labels if is_last else {}, hidden=hidden or not is_last)
            if stage.name:
                self._done[stage.name] = image
            self._done[str(number)] = image
        assert image is not None  # noqa: S101 -- a Dockerfile has a FROM
        return image

    def _stage(self, stage: Stage, labels: Mapping[str, str], *, hidden: bool) -> Image:
        store = self._engine._store
        self._tell(Instruction("FROM", expand(stage.start.rest, self._outer)))
        base = self._base(expand(stage.base, self._outer))
        key = self._key(base, stage)
        if hidden and not self._no_cache and (known := self._known(key)):
            self._number += len(stage.steps)
            self._progress.feed({"stream": " ---> Using cache\n"})
            return known
        what = f"build from {stage.base}"
        spec = ContainerSpec(
            image=base.id,
            command=_SHELL,
            name=f"codex-workspace-build-{secrets.token_hex(6)}",
            network=self._network,
            user="",
            auto_remove=False,
        )
        config, arguments = dict(base.config), dict[str, str]()
        container = self._engine._create(spec, base, what, builder=mark(os.getpid()))
        try:
            for step in stage.steps:
                self._tell(step)
                self._step(container, step, config, arguments)
            record = self._engine._require_container(container, what)
            # The labels of the image come from its configuration, not from the container.
            record["labels"] = dict(config.get("Labels") or {})
            image = self._engine._layer_of(record, what, labels, config, hidden=hidden)
        finally:
            self._engine.remove(container)
        if hidden:
            store.write("builds", key, {"image": image.id})
        return image

    def _base(self, name: str) -> Image:
        if (stage := self._done.get(name.lower())) is not None:
            return stage
        return self._engine._require_image(name, f"build from {name}")

    def _key(self, base: Image, stage: Stage) -> str:
        """
        Return what the result of a stage depends on.
        """
        about = [base.id, self._network, sorted(self._outer.items())]
        about += [
            [str(step), self._files.digest(step) if step.word == "COPY" else ""]
            for step in stage.steps
        ]
        return hashlib.sha256(json.dumps(about).encode()).hexdigest()

    def _known(self, key: str) -> Image | None:
        store = self._engine._store
        found = store.read("builds", key)
        return store.find_image(found["image"]) if found else None

    def _tell(self, step: Instruction) -> None:
        self._number += 1
        self._progress.feed({"stream": f"Step {self._number}/{self._total} : {step}\n"})

    def _step(
        self,
        container: str,
        step: Instruction,
        config: dict[str, Any],
        arguments: dict[str, str],
    ) -> None:
        environment = dict(one.split("=", 1) for one in config.get("Env") or ())
        variables = {**arguments, **environment}
        if step.word == "ARG":
            name, separator, default = step.rest.partition("=")
            value = self._outer.get(name, default if separator else None)
            if value is not None:
                arguments[name] = expand(value, variables)
        elif step.word == "COPY":
            self._copy(container, expand(step.rest, variables), config)
        elif step.word == "RUN":
            self._run(container, step.rest, {**arguments, **environment}, config)
        else:
            apply_to_config(config, step, variables)

    def _copy(self, container: str, rest: str, config: Mapping[str, Any]) -> None:
        words = rest.split()
        if any(one.startswith("--") for one in words):
            raise ValueError(f"COPY {rest}: options are not supported")
        *sources, target = words
        above = str(config.get("WorkingDir") or "/")
        place = target if target.startswith("/") else posixpath.join(above, target)
        archive = self._files.copied(sources, place)
        self._engine.put_archive(container, "/", archive)

    def _run(
        self,
        container: str,
        command: str,
        environment: Mapping[str, str],
        config: Mapping[str, Any],
    ) -> None:
        engine = self._engine
        record = engine._require_container(container, "build")
        words = read_command(command)
        record |= {
            "command": words,
            "environment": {**record["environment"], **environment},
            "user": str(config.get("User") or ""),
            "workdir": str(config.get("WorkingDir") or "/"),
        }
        path = engine._path(record)
        write_json(path / "container.json", record)
        (path / "state.json").unlink(missing_ok=True)
        stream = engine.attach(container)
        try:
            stream.end_input()
            engine.start(container)
            while (piece := stream.receive())[0]:
                self._progress.feed({"stream": piece[1].decode(errors="replace")})
            self._progress.finish()
        finally:
            stream.close()
        engine.wait(container)
        info = engine.container(container)
        if info is None or info.exit_code:
            code = info.exit_code if info else "unknown"
            raise ValueError(f"{' '.join(words)!r} returned a non-zero code: {code}")


class _Context:
    """
    The files of a build.

    Args:
        archive: their tar.
        folder: an empty directory for them.
    """

    def __init__(self, archive: BinaryIO, folder: Path) -> None:
        self._members: dict[str, tuple[tarfile.TarInfo, Path | None]] = {}
        with tarfile.open(fileobj=archive, mode="r|*") as tar:
            for number, member in enumerate(tar):
                name = posixpath.normpath(member.name).lstrip("/")
                path = None
                if (file := tar.extractfile(member)) is not None:
                    path = folder / str(number)
                    path.write_bytes(file.read())
                self._members[name] = (member, path)

    def text(self, name: str) -> str:
        """
        Return the content of a file.

        Raises:
            ValueError: there is none.
        """
        _, path = self._members.get(posixpath.normpath(name), (None, None))
        if path is None:
            raise ValueError(f"Cannot locate specified Dockerfile: {name}")
        return path.read_text(encoding="utf-8")

    def digest(self, step: Instruction) -> str:
        """
        Return a digest of what an instruction copies.
        """
        *sources, target = step.rest.split()
        return hashlib.sha256(self.copied(sources, target).getvalue()).hexdigest()

    def copied(self, sources: list[str], target: str) -> io.BytesIO:
        """
        Return a tar of *sources* for the root of a container, where *target* is their place.

        Raises:
            ValueError: a source is missing.
        """
        output = io.BytesIO()
        into = target.endswith("/") or len(sources) > 1
        with tarfile.open(fileobj=output, mode="w", format=tarfile.PAX_FORMAT) as tar:
            for source in sources:
                for name, place in self._places(source, target.strip("/"), into=into):
                    member, path = self._members[name]
                    copy = tarfile.TarInfo(place)
                    copy.mode, copy.mtime, copy.type = member.mode, member.mtime, member.type
                    copy.linkname = member.linkname
                    data = path.read_bytes() if path else b""
                    copy.size = len(data)
                    tar.addfile(copy, io.BytesIO(data))
        output.seek(0)
        return output

    def _places(self, source: str, target: str, *, into: bool) -> Iterator[tuple[str, str]]:
        name = posixpath.normpath(source).lstrip("/")
        below = [one for one in self._members if one.startswith(f"{name}/") or name == "."]
        if below or (name in self._members and self._members[name][0].isdir()):
            # The entries of a directory are copied, not the directory.
            for one in below:
                rest = one if name == "." else one[len(name) + 1 :]
                yield one, posixpath.join(target, rest)
        elif name in self._members:
            yield name, posixpath.join(target, posixpath.basename(name)) if into else target
        else:
            raise ValueError(f"COPY failed: file not found in build context: {source}")


def _position(stages: list[Stage], target: str) -> int:
    names = [one.name for one in stages]
    if target.lower() not in names:
        raise ValueError(f"failed to reach build target {target} in Dockerfile")
    return names.index(target.lower())


def _failure(what: str, words: str, progress: Progress) -> ImageBuildError:
    progress.finish()
    step = f"\nThe failed step: {progress.step}" if progress.step else ""
    tail = f"\nLast lines of output:\n{progress.tail}" if progress.tail else ""
    return ImageBuildError(f"The container engine could not {what}: {words}{step}{tail}")

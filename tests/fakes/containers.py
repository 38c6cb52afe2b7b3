"""Containers of the fake engine."""

from __future__ import annotations

import io
import itertools
import socket
import struct
import threading
from typing import TYPE_CHECKING, BinaryIO, cast

from pytest_codex_workspace.engine.docker.stream import AttachedStream
from pytest_codex_workspace.engine.labels import has_labels
from pytest_codex_workspace.engine.protocol import ContainerChange, ContainerInfo

from .images import FakeImages
from .state import Container, refusal

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from pytest_codex_workspace.engine.protocol import ContainerSpec, ImageInfo, Stream

__all__ = ["FakeContainers"]

_KILLED = 137


class FakeContainers(FakeImages):
    """
    The part of `FakeEngine` that is about containers.
    """

    _out_of_memory: set[str]

    def kill_for_memory(self, container: str) -> None:
        """
        Kill a container as the kernel does.
        """
        self._out_of_memory.add(container)
        self.remove(container)

    def create(self, spec: ContainerSpec) -> str:
        """
        Create a container and return its id.
        """
        what = f"create the container {spec.name} from {spec.image}"
        with self._lock:
            image = self._require_image(spec.image, what)
            if self._find_container(spec.name):
                raise refusal(what, f"Conflict. The container name {spec.name} is already in use")
            client, inside = socket.socketpair()
            container = Container(
                id=self._new_id(),
                spec=spec,
                image=image.id,
                labels={**image.labels, **spec.labels},
                files=image.files.copy(),
                networks=[spec.network] if spec.network in self._networks else [],
                client=client,
                inside=inside,
                number=self._free_number(),
            )
            self._containers[container.id] = container
            return container.id

    def attach(self, container: str) -> Stream:
        """
        Attach to a container that has not been started yet.
        """
        with self._lock:
            what = f"attach to the container {container}"
            found = self._require_container(container, what)
            if found.state == "exited":
                raise refusal(what, "it has ended")
            return AttachedStream(found.client.dup())

    def start(self, container: str) -> None:
        """
        Start a created container.
        """
        what = f"start the container {container}"
        with self._lock:
            found = self._require_container(container, what)
            if found.state != "created":
                return
            image = self._images.get(found.image)
            if image is not None and image.damaged:
                # As Docker says it when the files of a layer are gone from its disk.
                raise refusal(what, f"error creating overlay mount to {found.image}: no such file")
            mode, _, joined = found.spec.network.partition(":")
            if mode == "container":
                target = self._find_container(joined)
                if target is None or target.state != "running":
                    raise refusal(what, f"cannot join network of {joined}: it does not run")
            elif mode != "none" and mode not in self._networks:
                raise refusal(what, f"network {mode} not found")
            found.state = "running"
            found.thread = threading.Thread(
                target=self._live, args=(found,), name=found.spec.name, daemon=True
            )
            found.thread.start()

    def container(self, container: str) -> ContainerInfo | None:
        """
        Return the container with this name or id; `None` if there is none.
        """
        with self._lock:
            found = self._find_container(container)
            return self._container_info(found) if found else None

    def ran_out_of_memory(self, container: str) -> bool:
        """
        Return whether `kill_for_memory` was called for the container.
        """
        return container in self._out_of_memory

    def containers(self, labels: Mapping[str, str | None]) -> list[ContainerInfo]:
        """
        Return the containers with all *labels*.
        """
        with self._lock:
            found = [one for one in self._containers.values() if has_labels(one.labels, labels)]
            return [self._container_info(one) for one in found]

    def remove(self, container: str) -> None:
        """
        Kill and remove a container. Its *run* function sees the end of its input.
        """
        with self._lock:
            found = self._find_container(container)
            if found is None:
                return
            self._drop_container(found, _KILLED)
        if found.thread and found.thread is not threading.current_thread():
            found.thread.join(5)

    def commit(
        self,
        container: str,
        *,
        tag: str | None,
        labels: Mapping[str, str],
        ends: bool = False,
    ) -> ImageInfo:
        """
        Make an image of the container's files.
        """
        with self._lock:
            found = self._require_container(container, f"commit the container {container}")
            image = self._new_image(
                {**found.labels, **labels}, found.files.copy(), parent=found.image
            )
            if tag is not None:
                self.tag(image.id, tag)
            return self._info(image)

    def changes(self, container: str) -> list[ContainerChange]:
        """
        Return the differences between the container's files and its image's files.
        """
        with self._lock:
            found = self._require_container(container, f"compare the container {container}")
            return found.files.changes_from(self._images[found.image].files)

    def put_archive(self, container: str, path: str, archive: BinaryIO) -> None:
        """
        Unpack the tar *archive* below the directory *path*.
        """
        what = f"unpack files below {path} in the container {container}"
        with self._lock:
            found = self._require_container(container, what)
            if not found.files.is_dir(path):
                raise refusal(what, f"Could not find the file {path} in container {container}")
            found.files.unpack(path, archive)

    def get_archive(self, container: str, path: str) -> Iterator[bytes]:
        """
        Yield a tar of *path* in pieces.
        """
        what = f"read {path} in the container {container}"
        with self._lock:
            archive = self._require_container(container, what).files.pack(path)
        if archive is None:
            raise refusal(what, f"Could not find the file {path} in container {container}")
        return iter([archive])

    def _free_number(self) -> int:
        """
        Return the lowest number that no container has: addresses do not change
        while a container lives, and are given to others afterwards.
        """
        taken = {one.number for one in self._containers.values()}
        return next(number for number in itertools.count(2) if number not in taken)

    def _live(self, container: Container) -> None:
        code = 1
        try:
            with container.inside.makefile("rb") as stdin:
                output = cast("BinaryIO", _Output(container))
                code = self._run(container.spec, stdin, output)
        except BrokenPipeError:
            code = _KILLED
        finally:
            with self._lock:
                if container.spec.auto_remove:
                    self._drop_container(container, code)
                else:
                    self._end(container, code)

    def _end(self, container: Container, code: int) -> None:
        if container.state == "exited":
            return
        container.state, container.exit_code = "exited", code
        for end in (container.client, container.inside):
            try:
                end.shutdown(socket.SHUT_RDWR)
            except OSError:
                continue
        container.client.close()
        container.inside.close()

    def _drop_container(self, container: Container, code: int) -> None:
        self._end(container, code)
        self._containers.pop(container.id, None)

    def _container_info(self, container: Container) -> ContainerInfo:
        running = container.state == "running"
        places = {name: place for place, name in enumerate(self._networks)}
        return ContainerInfo(
            id=container.id,
            name=container.spec.name,
            running=running,
            image=container.image,
            exit_code=container.exit_code,
            labels=container.labels,
            addresses={
                name: f"172.{17 + places[name]}.0.{container.number}"
                for name in container.networks
                if running and name in places
            },
        )


class _Output(io.RawIOBase):
    """
    A container's standard output, in the frames that an engine sends.
    """

    def __init__(self, container: Container) -> None:
        self._container = container

    def writable(self) -> bool:
        return True

    def write(self, data: bytes) -> int:  # type: ignore[override]
        if self._container.state == "exited":
            raise BrokenPipeError
        try:
            self._container.inside.sendall(struct.pack(">BxxxI", 1, len(data)) + data)
        except OSError:
            # No client is attached any more. A real engine drops the output, too.
            return len(data)
        return len(data)

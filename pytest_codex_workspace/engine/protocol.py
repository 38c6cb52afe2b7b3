"""The container engine as the rest of the package uses it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, BinaryIO, Literal, Protocol

from ..text.phrases import counted
from ..text.units import show_size

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence


__all__ = [
    "CGROUPS_V1",
    "CONTAINERD_STORE",
    "MAPPED_USERS",
    "NO_SECCOMP",
    "ROOTLESS",
    "Advance",
    "Capacity",
    "ContainerChange",
    "ContainerInfo",
    "ContainerSpec",
    "Engine",
    "ImageInfo",
    "NetworkInfo",
    "OnAdvance",
    "Stream",
]

ROOTLESS = "rootless"
MAPPED_USERS = "users mapped (userns-remap)"
CONTAINERD_STORE = "containerd image store"
NO_SECCOMP = "no seccomp profile"
CGROUPS_V1 = "cgroups v1"
"""Modes of an engine (`Engine.version`) that limit what it can do."""


@dataclass(frozen=True, slots=True)
class ImageInfo:
    """
    An image of the engine.

    `layers` are the digests of its layers, the lowest first; `size` is their total
    number of bytes; `on_build` are the instructions that a build from the image would
    run first. Lists of images leave `layers`, `architecture` and `on_build` empty.
    """

    id: str
    tags: tuple[str, ...] = ()
    labels: Mapping[str, str] = field(default_factory=dict)
    digests: tuple[str, ...] = ()
    size: int = 0
    architecture: str = ""
    layers: tuple[str, ...] = ()
    on_build: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class ContainerInfo:
    """
    A container of the engine.

    `addresses` maps the name of each network to the container's IPv4 address, and
    `image` is the id of its image.
    """

    id: str
    name: str
    running: bool
    image: str = ""
    exit_code: int | None = None
    oom_killed: bool = False
    labels: Mapping[str, str] = field(default_factory=dict)
    addresses: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ContainerChange:
    """
    A difference between a container and its image: a path that was `added`,
    `changed` (a directory changes with its entries) or `removed`.
    """

    path: str
    kind: Literal["added", "changed", "removed"]


@dataclass(frozen=True, slots=True)
class NetworkInfo:
    """
    A network of the engine.
    """

    id: str
    name: str
    labels: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Capacity:
    """
    What the engine's machine has, and whether the engine can limit what a container uses of it.

    Attributes:
        cpus: number of processors; 0 if it is not known.
        memory: bytes; 0 if it is not known.
        limits_cpus: whether `ContainerSpec.cpu_limit` has an effect.
        limits_memory: whether `ContainerSpec.memory_limit` has an effect.
        limits_processes: whether `ContainerSpec.pids_limit` has an effect.
    """

    cpus: int = 0
    memory: int = 0
    limits_cpus: bool = True
    limits_memory: bool = True
    limits_processes: bool = True


@dataclass(frozen=True, slots=True)
class ContainerSpec:
    """
    A container to create. Its standard input is open, and it has no terminal.

    `network` is the name of a network, `none`, or `container:<id>` to join
    the network namespace of another container. With `auto_remove` the engine
    removes the container when its first process ends. `memory_limit` is in
    bytes, swap included; `cpu_limit` is a number of processors. An engine that cannot
    limit something ignores the limit. With `no_new_privileges`, no program gains rights by
    being started (`sudo` does not work). An empty `user` is the image's. An image committed
    from the container keeps its labels and its `environment`: no secrets here.
    """

    image: str
    command: Sequence[str]
    name: str
    labels: Mapping[str, str] = field(default_factory=dict)
    environment: Mapping[str, str] = field(default_factory=dict)
    network: str = "none"
    aliases: Sequence[str] = ()
    dns: Sequence[str] = ()
    sysctls: Mapping[str, str] = field(default_factory=dict)
    cap_add: Sequence[str] = ()
    cap_drop: Sequence[str] = ()
    no_new_privileges: bool = False
    pids_limit: int | None = None
    memory_limit: int | None = None
    cpu_limit: float | None = None
    user: str = ""
    auto_remove: bool = True


class Stream(Protocol):
    """
    The attached standard input and outputs of one container.

    Several threads may call `send`, and each call is atomic. Only one thread may
    call `receive`.
    """

    def send(self, data: bytes) -> None:
        """
        Write all of *data* to standard input. Raise `ConnectionError` if the
        container is gone, or takes nothing for half a minute.
        """

    def receive(self) -> tuple[int, bytes]:
        """
        Block until output arrives: `(1, data)` is standard output, `(2,
        data)` standard error, `(0, b"")` the end. Never raise an error for a
        connection that has ended.
        """

    def close(self, *, at_once: bool = False) -> None:
        """
        End standard input and the connection, and wake a blocked `receive`. A
        second call has no effect.

        The container gets what was sent before, for which this may wait a second, and half a
        minute for a container that takes nothing; what was sent last may be lost with *at_once*.
        """


class Engine(Protocol):
    """
    A container engine.

    Every method raises `EngineUnavailable` if the engine does not answer, and
    `EngineError` with the engine's own message if it refuses. Removing an object
    that is gone is not an error. Many threads may use one client.
    """

    @property
    def url(self) -> str:
        """
        The address on which the engine listens.
        """

    @property
    def egress_network(self) -> str:
        """
        The name of the engine's default network, which has Internet access (`bridge`).
        """

    @property
    def platform(self) -> str:
        """
        The platform of the engine's images, such as `linux/amd64`.
        """

    @property
    def looks_up_digests(self) -> bool:
        """
        Whether `registry_digest` works: some engines do not ask a registry without a pull.
        """

    def version(self) -> Mapping[str, str]:
        """
        Return `name`, `version`, `api`, `os`, `arch` and `storage` of the engine, and
        `root`, the directory on its machine that holds the images; `modes`, how it was set up,
        in words with commas between them.
        """

    @property
    def capacity(self) -> Capacity:
        """
        What the engine's machine has, and what the engine can limit.
        """

    def close(self) -> None:
        """
        Close the client's connections. Containers are left alone.
        """

    # Images.

    def image(self, reference: str) -> ImageInfo | None:
        """
        Return the image that *reference* (tag, digest or id) names; `None` if the
        engine does not have it.
        """

    def images(self, labels: Mapping[str, str | None]) -> list[ImageInfo]:
        """
        Return the images with all *labels*; `None` matches any value.
        """

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
        Fetch *reference* from its registry. If the registry is silent for
        *patience* seconds, or the engine reports that it has sent more than *limit*
        bytes, `EngineError` is raised and the engine stops. *on_advance* is called with
        the progress, if the engine reports any.
        """

    def registry_digest(self, reference: str, patience: float) -> str:
        """
        Return the digest of *reference* in its registry, without fetching the image.
        If the registry does not answer within *patience* seconds, `EngineError` is raised.
        """

    def push(
        self,
        reference: str,
        on_line: Callable[[str], None],
        patience: float | None = None,
        on_advance: OnAdvance | None = None,
    ) -> None:
        """
        Send the image *reference* to the registry at the beginning of its name.
        """

    def save(self, references: Sequence[str]) -> Iterator[bytes]:
        """
        Yield a tar of images with their tags and all their layers, in pieces.
        """

    def load(self, archive: BinaryIO) -> list[str]:
        """
        Add every image of a tar that `save` made to the engine, tags included. Return the
        tags, or the ids if no image of the tar has a tag.
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
        Build the tar *context*, up to the stage *target* if one is given; with *no_cache*,
        without the cache of earlier builds; with *offline*, without a network for its
        programs, and no step may be silent for long. An empty *tag* leaves the image
        without a name.
        A failed build raises `ImageBuildError` with the failed step and the last
        lines that the step printed.
        """

    def import_image(self, layer: BinaryIO, *, tag: str, changes: Sequence[str]) -> ImageInfo:
        """
        Make an image of one root file system tar. *changes* are Dockerfile
        instructions (`LABEL`, `ENV`, `CMD`) without quotes, backslashes and `$` in their
        values, which engines read differently.
        """

    def tag(self, image: str, reference: str) -> None:
        """
        Make *reference* a name of *image*, even if it names another image now.
        """

    def remove_image(self, reference: str) -> None:
        """
        Remove a tag, and with its last tag the image. For an image that a container
        uses, `EngineError` is raised.
        """

    # Containers.

    def create(self, spec: ContainerSpec) -> str:
        """
        Create a container and return its id.
        """

    def attach(self, container: str) -> Stream:
        """
        Attach to a container that has not been started yet.
        """

    def start(self, container: str) -> None:
        """
        Start a created container.
        """

    def container(self, container: str) -> ContainerInfo | None:
        """
        Return the container with this name or id; `None` if there is none.
        """

    def ran_out_of_memory(self, container: str) -> bool:
        """
        Return whether a process of the container was killed for its memory, even if the
        container is gone. `False` if that is not known.
        """

    def containers(self, labels: Mapping[str, str | None]) -> list[ContainerInfo]:
        """
        Return the containers with all *labels*, whether running or not. Only some fields are
        filled in.
        """

    def remove(self, container: str) -> None:
        """
        Kill and remove a container. Return when the container is gone. Some engines also remove
        the containers that have joined its network namespace.
        """

    def commit(
        self, container: str, *, tag: str | None, labels: Mapping[str, str], ends: bool = False
    ) -> ImageInfo:
        """
        Make an image of the container's file system, with *labels* added to
        those of the container and its image. The container is paused while
        its files are copied. Without *tag* the image has no name. If the container
        *ends*, it is only removed afterwards: an engine that need not copy the files
        of a container that has ended may end it.
        """

    def changes(self, container: str) -> list[ContainerChange]:
        """
        Return the differences between the container's files and its image's files.
        """

    def put_archive(self, container: str, path: str, archive: BinaryIO) -> None:
        """
        Unpack the tar *archive* below the directory *path*, which exists.
        """

    def get_archive(self, container: str, path: str) -> Iterator[bytes]:
        """
        Yield a tar of *path* in pieces. A tar that ends too early is an `EngineError`.
        """

    # Networks.

    def create_network(
        self, name: str, *, internal: bool, labels: Mapping[str, str]
    ) -> NetworkInfo:
        """
        Create a bridge network.
        """

    def connect(self, network: str, container: str, *, aliases: Sequence[str] = ()) -> None:
        """
        Connect a container to a second network.
        """

    def host_addresses(self, network: str) -> list[str]:
        """
        Return the addresses of the engine's machine on a network. It has none on an internal
        network of most engines, whose first address a container may have then.
        """

    def networks(self, labels: Mapping[str, str | None]) -> list[NetworkInfo]:
        """
        Return the networks with all *labels*.
        """

    def remove_network(self, network: str) -> None:
        """
        Remove a network.
        """


@dataclass(frozen=True, slots=True)
class Advance:
    """
    The progress of something that takes long.

    Attributes:
        done: the number of complete layers or files, of bytes, or of the current build step.
        total: the number of all of them; 0 if that is not known.
        unit: what is counted.
        percent: the share of the bytes of all layers; `None` if it is not known.
    """

    done: int
    total: int
    unit: Literal["layers", "steps", "bytes", "files"]
    percent: int | None = None

    def __str__(self) -> str:
        """
        Describe the progress: `43 %, 3 of 12 layers`, `step 5 of 12`, `3 MB of 1.2 GB`.
        """
        if self.unit == "bytes":
            of = f" of {show_size(self.total)}" if self.total else ""
            return f"{show_size(self.done)}{of}"
        if self.unit == "files":
            return f"{self.done} of {counted(self.total, 'file')}"
        if self.unit == "steps":
            return f"step {self.done} of {self.total}"
        layers = f"{self.done} of {counted(self.total, 'layer')}"
        return layers if self.percent is None else f"{self.percent} %, {layers}"


OnAdvance = Callable[[Advance], object]

"""What the rest of the package asks of a container engine, and nothing more."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, BinaryIO, Literal, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from .progress import OnAdvance

__all__ = [
    "Change",
    "ContainerInfo",
    "ContainerSpec",
    "Engine",
    "ImageInfo",
    "NetworkInfo",
    "Stream",
]


@dataclass(frozen=True, slots=True)
class ImageInfo:
    """
    An image the engine has.

    `layers` are the digests of its layers, the lowest first, and like
    `architecture` only known of an image that was looked up by itself. `size` is the bytes of all.
    """

    id: str
    tags: tuple[str, ...] = ()
    labels: Mapping[str, str] = field(default_factory=dict)
    digests: tuple[str, ...] = ()
    size: int = 0
    architecture: str = ""
    layers: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class ContainerInfo:
    """
    A container the engine has.

    `addresses` maps the name of each network to the container's IPv4 address,
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
class Change:
    """
    What a container did to one path of its image: `added`, `changed` (a directory
    changes with what is in it) or `removed`.
    """

    path: str
    kind: Literal["added", "changed", "removed"]


@dataclass(frozen=True, slots=True)
class NetworkInfo:
    """
    A network the engine has.
    """

    id: str
    name: str
    labels: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ContainerSpec:
    """
    A container to create. Standard input is open, there is no terminal.

    `network` is the name of a network, `none`, or `container:<id>` to join
    the network namespace of another container. With `auto_remove` the engine
    removes the container when its first process ends. `memory_limit` is in
    bytes, swap included. An image committed from the container keeps its labels
    and its `environment`: no secrets here.
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
    pids_limit: int | None = None
    memory_limit: int | None = None
    auto_remove: bool = True


class Stream(Protocol):
    """
    The attached standard input and outputs of one container.

    `send` may be called from several threads (it is atomic per call);
    `receive` from one.
    """

    def send(self, data: bytes) -> None:
        """
        Write all of *data* to standard input. Raises `ConnectionError` when
        the container is gone.
        """

    def receive(self) -> tuple[int, bytes]:
        """
        Block until output arrives: `(1, data)` is standard output, `(2,
        data)` standard error, `(0, b"")` the end. Never raises for an ended
        connection.
        """

    def close(self) -> None:
        """
        End standard input and the connection. May be called twice, and wakes
        a blocked `receive`.
        """


class Engine(Protocol):
    """
    A container engine.

    Every method raises `EngineUnavailable` when the engine does not answer
    and `EngineError`, with the engine's own words, when it refuses. Removing
    what is gone is not an error. A single client is used from many threads.
    """

    @property
    def url(self) -> str:
        """
        Where the engine listens.
        """

    @property
    def egress_network(self) -> str:
        """
        The name of the engine's default network with a way out (`bridge`).
        """

    @property
    def platform(self) -> str:
        """
        What its images run on, such as `linux/amd64`.
        """

    def version(self) -> Mapping[str, str]:
        """
        `name`, `version`, `api`, `os`, `arch` and `storage` of the engine, and
        `root`, the directory on its machine that images are in.
        """

    def close(self) -> None:
        """
        Close the client's connections. Containers are not touched.
        """

    # Images.

    def image(self, reference: str) -> ImageInfo | None:
        """
        The image that *reference* (tag, digest or id) names, `None` if the
        engine does not have it.
        """

    def images(self, labels: Mapping[str, str | None]) -> list[ImageInfo]:
        """
        Images with all *labels*; a value of `None` matches any value.
        """

    def pull(
        self,
        reference: str,
        on_line: Callable[[str], None],
        patience: float | None = None,
        on_advance: OnAdvance | None = None,
    ) -> ImageInfo:
        """
        Fetch *reference* from its registry. With *patience*, a registry from
        which nothing comes for so many seconds is given up with `EngineError`.
        *on_advance* is told how far it has come, if the engine tells.
        """

    def registry_digest(self, reference: str, patience: float) -> str:
        """
        The digest that *reference* has in its registry. Nothing is fetched; a
        registry that does not answer within *patience* seconds is given up
        with `EngineError`.
        """

    def push(
        self,
        reference: str,
        on_line: Callable[[str], None],
        patience: float | None = None,
        on_advance: OnAdvance | None = None,
    ) -> None:
        """
        Send the image *reference* to the registry that its name begins with.
        """

    def save(self, references: Sequence[str]) -> Iterator[bytes]:
        """
        A tar of images with their tags and all their layers, in pieces.
        """

    def load(self, archive: BinaryIO) -> None:
        """
        Take over every image of a tar that `save` made, tags included.
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
        anew: bool = False,
    ) -> ImageInfo:
        """
        Build the tar *context*; *anew* without what is left of earlier builds.
        A failed build raises `ImageBuildError` with the step that failed and
        the last lines it printed.
        """

    def import_image(self, layer: BinaryIO, *, tag: str, changes: Sequence[str]) -> ImageInfo:
        """
        Make an image of one root file system tar. *changes* are Dockerfile
        instructions (`LABEL`, `ENV`, `CMD`).
        """

    def tag(self, image: str, reference: str) -> None:
        """
        Let *reference* name *image*, taking it from whatever had it.
        """

    def remove_image(self, reference: str) -> None:
        """
        Remove a tag, and the image with its last tag. An image in use by a
        container raises `EngineError`.
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
        The container, `None` if there is none of that name or id.
        """

    def containers(self, labels: Mapping[str, str | None]) -> list[ContainerInfo]:
        """
        Containers, running or not, with all *labels*.
        """

    def remove(self, container: str) -> None:
        """
        Kill and remove. Returns when the container is gone.
        """

    def commit(self, container: str, *, tag: str | None, labels: Mapping[str, str]) -> ImageInfo:
        """
        Make an image of the container's file system, with *labels* added to
        those of the container and its image. The container is paused while
        its files are copied. Without *tag* the image has no name.
        """

    def changes(self, container: str) -> list[Change]:
        """
        What differs between the container's files and its image's.
        """

    def put_archive(self, container: str, path: str, archive: BinaryIO) -> None:
        """
        Unpack the tar *archive* below the directory *path*.
        """

    def get_archive(self, container: str, path: str) -> Iterator[bytes]:
        """
        A tar of *path*, in pieces.
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
        Give a container a second network.
        """

    def networks(self, labels: Mapping[str, str | None]) -> list[NetworkInfo]:
        """
        Networks with all *labels*.
        """

    def remove_network(self, network: str) -> None:
        """
        Remove a network.
        """

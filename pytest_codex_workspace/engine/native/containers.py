"""Containers of this engine."""

from __future__ import annotations

import math
import os
import secrets
import select
import signal
import threading
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from ...unpatched import clock, modules
from ..labels import has_labels
from ..life import note_committed, note_created, note_removed, note_started
from ..protocol import ContainerChange, ContainerInfo
from .images import NativeImages
from .refusal import refused
from .runner.kernel.cgroups import Cgroup
from .runner.processes import is_alive, members, open_process
from .store import Image, read_json, write_json
from .stream import Ends, SocketStream, open_ends
from .workers import JobRefused

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from ..protocol import ContainerSpec, ImageInfo

__all__ = ["NativeContainers"]

_PATH = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_KILLED = 128 + signal.SIGKILL
_HOSTS = "127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\n"
_FREEZE = 2.0
"""Seconds that the kernel may take to stop the processes of a group."""

_REMOVAL = 30.0
"""Seconds to wait for a container to end once its first process is killed."""

_OUTSIDE = ("192.0.2.1", 9)
"""An address by which the kernel is asked which of its own it would use; nothing is sent."""


class NativeContainers(NativeImages):
    """
    The part of `NativeEngine` that is about containers.
    """

    _waiting: dict[str, tuple[SocketStream, Ends]]
    _held: dict[str, SocketStream]
    _guard: threading.Lock

    @property
    def egress_network(self) -> str:
        """
        The name of the network with Internet access: that of the machine itself.
        """
        return "host"

    def create(self, spec: ContainerSpec) -> str:
        """
        Create a container and return its id.
        """
        what = f"create the container {spec.name} from {spec.image}"
        image = self._require_image(spec.image, what)
        container = self._create(spec, image, what)
        note_created(container, spec)
        return container

    def _create(
        self,
        spec: ContainerSpec,
        image: Image,
        what: str,
        builder: tuple[int, str] | None = None,
    ) -> str:
        name = secrets.token_hex(32)
        environment = dict(
            one.split("=", 1) for one in (_PATH, *(image.config.get("Env") or ())) if "=" in one
        )
        record = {
            "id": name,
            "name": spec.name,
            "image": image.id,
            "layers": list(image.layers),
            "command": list(spec.command),
            "environment": {"HOSTNAME": name[:12], **environment, **spec.environment},
            "kept": {**environment, **spec.environment},
            "labels": {**image.labels, **spec.labels},
            "network": spec.network,
            "connected": [],
            "workdir": image.config.get("WorkingDir") or "/",
            "builder": builder,
            "user": spec.user or image.config.get("User") or "",
            "sysctls": dict(spec.sysctls),
            "cap_add": list(spec.cap_add),
            "cap_drop": list(spec.cap_drop),
            "no_new_privileges": spec.no_new_privileges,
            "pids": spec.pids_limit,
            "memory": spec.memory_limit,
            "cpus": spec.cpu_limit,
            "auto_remove": spec.auto_remove,
            "hostname": name[:12],
        }
        path = self._store.root / "containers" / name
        beside = self._store.root / "trash" / f"{name}-new"
        for each in ("upper", "work", "merged"):
            (beside / each).mkdir(parents=True)
            (beside / each).chmod(0o755)
        (beside / "hosts").write_text(f"{_HOSTS}127.0.0.1\t{name[:12]}\n")
        (beside / "hostname").write_text(f"{name[:12]}\n")
        (beside / "resolv.conf").write_text(_resolver(spec.dns))
        for each in ("hosts", "hostname", "resolv.conf"):
            (beside / each).chmod(0o644)
        write_json(beside / "container.json", record)
        try:
            with self._store.lock():
                if self._store.find_container(spec.name):
                    words = f"Conflict. The container name {spec.name} is already in use"
                    raise refused(what, words)
                if not all(self._store.layer(one).is_dir() for one in image.layers):
                    raise refused(what, f"layer does not exist: the image {image.id} is damaged")
                beside.rename(path)
                (self._store.root / "names" / spec.name).write_text(name, "ascii")
        finally:
            self._store.discard(beside)
        return name

    def attach(self, container: str) -> SocketStream:
        """
        Attach to a container that has not been started yet.
        """
        what = f"attach to the container {container}"
        record = self._require_container(container, what)
        if self._state(record):
            raise refused(what, "it has been started already")
        with self._guard:
            if record["id"] not in self._waiting:
                self._waiting[record["id"]] = open_ends(record["id"])
            return self._waiting[record["id"]][0]

    def start(self, container: str) -> None:
        """
        Start a created container.
        """
        what = f"start the container {container}"
        record = self._require_container(container, what)
        if self._state(record):
            return
        request = {"do": "start", "id": record["id"], **self._networks_of(record, what)}
        with self._guard:
            _, ends = self._waiting.pop(record["id"], None) or (None, None)
        if ends is None:
            # Nobody reads its output, but its input is open for as long as this engine is.
            held, ends = open_ends()
            held.discard_output()
            with self._guard:
                self._held[record["id"]] = held
        try:
            self._workers.ask(request, ends.descriptors())
        except JobRefused as refusal:
            raise refused(what, str(refusal)) from None
        finally:
            ends.close()
        note_started(container)

    def wait(self, container: str) -> None:
        """
        Wait until a started container has ended.
        """
        record = self._store.find_container(container)
        monitor = open_process(self._state(record).get("monitor", (0, ""))) if record else None
        if monitor is not None:
            _ends(monitor, math.inf)
            os.close(monitor)

    def _networks_of(self, record: Mapping[str, Any], what: str) -> dict[str, Any]:
        """
        Return what a container is connected to, in the words of the runner.
        """
        mode, _, other = record["network"].partition(":")
        if mode == "container":
            joined = self._store.find_container(other)
            state = self._state(joined) if joined else {}
            if not joined or not is_alive(state.get("first", (0, ""))):
                raise refused(what, f"cannot join network of {other}: it does not run")
            return {"joins": state["first"], "networks": [], "egress": False}
        names = [record["network"], *record["connected"]]
        networks = []
        for name in names:
            if name in ("none", self.egress_network):
                continue
            network = self._store.find_network(name)
            if network is None:
                raise refused(what, f"network {name} not found")
            networks.append(network["id"])
        return {"networks": networks, "egress": self.egress_network in names}

    def connect(self, network: str, container: str, *, aliases: Sequence[str] = ()) -> None:  # noqa: ARG002 -- no names here
        """
        Connect a container, which has not been started yet, to a second network.
        """
        what = f"connect the container {container} to the network {network}"
        record = self._require_container(container, what)
        if network != self.egress_network and not self._store.find_network(network):
            raise refused(what, f"network {network} not found")
        if self._state(record):
            raise refused(what, "it has been started already")
        record["connected"].append(network)
        write_json(self._path(record) / "container.json", record)

    def container(self, container: str) -> ContainerInfo | None:
        """
        Return the container with this name or id; `None` if there is none.
        """
        record = self._store.find_container(container)
        return self._info(record) if record else None

    def containers(self, labels: Mapping[str, str | None]) -> list[ContainerInfo]:
        """
        Return the containers with all *labels*.
        """
        found = (
            one for one in self._store.container_records() if has_labels(one["labels"], labels)
        )
        return [info for one in found if (info := self._info(one))]

    def _info(self, record: Mapping[str, Any]) -> ContainerInfo | None:
        state = self._state(record)
        if state.get("lost") and record["auto_remove"]:
            # What watches it was killed, and has removed nothing.
            self._discard(record)
            return None
        running = is_alive(state.get("first", (0, "")))
        addresses = {}
        if running and state["networks"]:
            names = {one["id"]: one["name"] for one in self._store.network_records()}
            addresses = {
                names[network]: one["address"]
                for network, one in state["networks"].items()
                if network in names
            }
        if running and self.egress_network in (record["network"], *record["connected"]):
            addresses[self.egress_network] = _own_address()
        ended = bool(state) and not running
        return ContainerInfo(
            id=record["id"],
            name=record["name"],
            running=running,
            image=record["image"],
            exit_code=state.get("exit", _KILLED) if ended else None,
            oom_killed=bool(state.get("oom")),
            labels=record["labels"],
            addresses=addresses,
        )

    def ran_out_of_memory(self, container: str) -> bool:
        """
        Return whether a process of the container was killed for its memory.
        """
        info = self.container(container)
        if info is not None:
            return info.oom_killed
        return "/" not in container and (self._store.root / "oom" / container).exists()

    def remove(self, container: str) -> None:
        """
        Kill and remove a container. Return when the container is gone.
        """
        record = self._store.find_container(container)
        if record is None:
            return
        with self._guard:
            waiting = self._waiting.pop(record["id"], None)
            held = self._held.pop(record["id"], None)
        self._kill(record, f"remove the container {container}")
        self._discard(record)
        if waiting is not None:
            stream, ends = waiting
            ends.close()
            stream.close()
        if held is not None:
            held.close()
        note_removed(record["id"])

    def _kill(self, record: Mapping[str, Any], what: str) -> None:
        """
        Kill a container, and wait until its processes have ended and what they had is removed.
        """
        state = self._state(record)
        if (first := open_process(state.get("first", (0, "")))) is not None:
            with suppress(OSError):
                signal.pidfd_send_signal(first, signal.SIGKILL)
            os.close(first)
        if (monitor := open_process(state.get("monitor", (0, "")))) is not None:
            # It waits for all processes of the container, and removes what it has made.
            ended = _ends(monitor, _REMOVAL)
            os.close(monitor)
            # Once it is no longer in its place, only its files are still being removed.
            if not ended and self._path(record).exists():
                raise refused(what, f"its processes have not ended within {_REMOVAL:g} s")

    def _end(self, record: Mapping[str, Any], what: str) -> None:
        """
        Kill a container, and keep its files.
        """
        try:
            # The process that watches it removes it otherwise.
            (self._path(record) / "kept").touch()
        except OSError as error:
            raise refused(what, str(error)) from None
        self._kill(record, what)

    def _discard(self, record: Mapping[str, Any]) -> None:
        with suppress(OSError):
            Cgroup(record["id"]).remove()
        with self._store.lock():
            name = self._store.root / "names" / record["name"]
            with suppress(OSError):
                if name.read_text("ascii") == record["id"]:
                    name.unlink()
        self._store.discard(self._path(record))

    def commit(
        self, container: str, *, tag: str | None, labels: Mapping[str, str], ends: bool = False
    ) -> ImageInfo:
        """
        Make an image of the container's file system.

        The files of a container that has ended, or *ends*, are moved, which takes no time. Those
        of one that runs on are copied while it is paused.
        """
        what = f"commit the container {container}"
        record = self._require_container(container, what)
        if ends:
            self._end(record, what)
        image = self._layer_of(record, what, labels)
        if tag is not None:
            self.tag(image.id, tag)
        info = self._store.info(image)
        note_committed(record["id"], info, tag)
        return info

    def _layer_of(
        self,
        record: dict[str, Any],
        what: str,
        labels: Mapping[str, str],
        config: Mapping[str, Any] | None = None,
        *,
        hidden: bool = False,
    ) -> Image:
        path, layer = self._path(record), self._store.new_layer()
        target, layers = self._store.layer(layer), tuple(record["layers"])
        first = self._state(record).get("first", (0, ""))
        try:
            if is_alive(first):
                with _paused(record["id"], first[0]):
                    self._workers.ask(
                        {"do": "copy", "path": str(path / "upper"), "to": str(target)}
                    )
            else:
                self._workers.ask({"do": "move", "path": str(path / "upper"), "to": str(target)})
                (path / "upper").mkdir(0o755)
                record["layers"].append(layer)
                write_json(path / "container.json", record)
            size = self._workers.ask({"do": "size", "path": str(target)})
        except (JobRefused, OSError) as error:
            self._store.discard(target)
            raise refused(what, str(error)) from None
        self._store.write("sizes", layer, size)
        below = self._store.find_image(record["image"])
        if config is None:
            kept = [f"{name}={value}" for name, value in record["kept"].items()]
            config = {**(below.config if below else {}), "Env": kept}
        known = {**config, "Labels": {**record["labels"], **labels}}
        return self._store.add_image(
            Image((*layers, layer), known, below.architecture if below else "", hidden=hidden)
        )

    def changes(self, container: str) -> list[ContainerChange]:
        """
        Return the differences between the container's files and its image's files.
        """
        what = f"compare the container {container}"
        record = self._require_container(container, what)
        try:
            found = self._workers.ask({"do": "changes", "id": record["id"]})["changes"]
        except JobRefused as refusal:
            raise refused(what, str(refusal)) from None
        return [ContainerChange(path, kind) for path, kind in found]

    def put_archive(self, container: str, path: str, archive: BinaryIO) -> None:
        """
        Unpack the tar *archive* below the directory *path*.
        """
        what = f"unpack files below {path} in the container {container}"
        record = self._require_container(container, what)
        try:
            self._workers.feed({"do": "put", "id": record["id"], "path": path}, archive)
        except JobRefused as refusal:
            raise refused(what, str(refusal)) from None

    def get_archive(self, container: str, path: str) -> Iterator[bytes]:
        """
        Yield a tar of *path* in pieces.
        """
        what = f"read {path} in the container {container}"
        record = self._require_container(container, what)
        return self._fetch({"do": "get", "id": record["id"], "path": path}, what)

    def _fetch(self, request: dict[str, Any], what: str) -> Iterator[bytes]:
        try:
            pieces = self._workers.fetch(request)
        except JobRefused as refusal:
            raise refused(what, str(refusal)) from None

        def rest() -> Iterator[bytes]:
            try:
                yield from pieces
            except JobRefused as refusal:
                raise refused(what, str(refusal)) from None

        return rest()

    def _require_container(self, container: str, what: str) -> dict[str, Any]:
        record = self._store.find_container(container)
        if record is None:
            raise refused(what, f"No such container: {container}")
        return record

    def _path(self, record: Mapping[str, Any]) -> Path:
        return self._store.root / "containers" / str(record["id"])

    def _state(self, record: Mapping[str, Any]) -> dict[str, Any]:
        """
        Return what the process that watches a container has noted; nothing if it was not started.
        """
        state = read_json(self._path(record) / "state.json") or {}
        if "monitor" in state and not is_alive(state["monitor"]):
            # It may just have noted the end.
            state = read_json(self._path(record) / "state.json") or {}
            if "monitor" in state:
                state["lost"] = True
        return state


@contextmanager
def _paused(container: str, first: int) -> Iterator[None]:
    """
    Stop every process of a container for the time of the block.
    """
    groups, stopped = Cgroup(container), list[int]()
    try:
        if not (groups.pause(paused=True) and _until(groups.is_paused, _FREEZE)):
            # Those that begin meanwhile are stopped in the next round.
            while new := [one for one in members(first) if one not in stopped]:
                for process in new:
                    _signal(process, signal.SIGSTOP)
                stopped += new
        yield
    finally:
        groups.pause(paused=False)
        for process in stopped:
            _signal(process, signal.SIGCONT)


def _signal(process: int, number: signal.Signals) -> None:
    with suppress(OSError):
        os.kill(process, number)


def _until(holds: Callable[[], bool], seconds: float) -> bool:
    """
    Return whether something holds within *seconds*.
    """
    deadline = clock.monotonic() + seconds
    while not (found := holds()) and clock.monotonic() < deadline:
        clock.sleep(0.001)
    return found


def _ends(process: int, seconds: float) -> bool:
    """
    Return whether a process ends within *seconds*.
    """
    poll = select.poll()
    poll.register(process, select.POLLIN)
    deadline = clock.monotonic() + seconds
    while (left := deadline - clock.monotonic()) > 0:
        if poll.poll(None if math.isinf(left) else left * 1000):
            return True
    return False


def _resolver(servers: Sequence[str]) -> str:
    if servers:
        return "".join(f"nameserver {one}\n" for one in servers)
    try:
        return Path("/etc/resolv.conf").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""


def _own_address() -> str:
    module = modules.socket
    with module.socket(module.AF_INET, module.SOCK_DGRAM) as probe:
        try:
            probe.connect(_OUTSIDE)
            return str(probe.getsockname()[0])
        except OSError:
            return "127.0.0.1"

"""Containers, over the Docker Engine API."""

from __future__ import annotations

import email.utils
import json
from typing import TYPE_CHECKING, Any, BinaryIO, Literal

from docker.utils import parse_repository_tag

from ...errors import EngineError
from ...unpatched import clock
from ..labels import has_labels
from ..life import note_committed, note_created, note_removed, note_started
from ..messages.archives import without_padding
from ..protocol import ContainerChange, ContainerInfo
from .api import LONG, label_filter
from .failures import to_engine_error
from .images import Images, image_made, known_name

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from ..protocol import ContainerSpec, ImageInfo
    from .http import Answer
    from .stream import AttachedStream

__all__ = ["Containers"]

_CHANGES: Sequence[Literal["changed", "added", "removed"]] = ("changed", "added", "removed")
"""Indexed by the number that the API uses."""

_EVENTS_TIMEOUT = (5.0, 10.0)
"""Seconds to connect and to answer, for what is asked only for a better message."""

_EVENTS_AGE = 24 * 3600
"""Seconds of an engine's events that are looked at."""

_ARCHIVE_END = bytes(1024)
"""How every tar ends."""

_UNMOUNTING = (0.02, 0.1, 0.5, 1.0)
"""Seconds to wait before an archive that was empty is asked for again."""

_REMOVAL = 30.0
"""Seconds to wait for a removal that another process or the engine began."""


_CANNOT_PAUSE = "can not pause containers"


class Containers(Images):
    """
    The part of `DockerEngine` that is about containers.
    """

    def create(self, spec: ContainerSpec) -> str:
        """
        Create a container and return its id.
        """
        host: dict[str, Any] = {
            "NetworkMode": spec.network,
            "AutoRemove": spec.auto_remove,
            "Dns": list(spec.dns),
            "Sysctls": dict(spec.sysctls),
            "CapAdd": list(spec.cap_add),
            "CapDrop": list(spec.cap_drop),
            "SecurityOpt": ["no-new-privileges"] if spec.no_new_privileges else [],
            "PidsLimit": spec.pids_limit,
            "Memory": spec.memory_limit or 0,
            "MemorySwap": spec.memory_limit or 0,
            "NanoCpus": int((spec.cpu_limit or 0) * 1e9),
            # Otherwise the engine writes everything that passes through the stream to its disk.
            "LogConfig": {"Type": "none"},
        }
        body: dict[str, Any] = {
            "Image": known_name(self._api, spec.image),
            # Not an empty list, which for Podman means the image's entrypoint.
            "Entrypoint": [""],
            "Cmd": list(spec.command),
            "Env": [f"{name}={value}" for name, value in spec.environment.items()],
            "Labels": dict(spec.labels),
            "AttachStdin": True,
            "AttachStdout": True,
            "AttachStderr": True,
            "OpenStdin": True,
            "StdinOnce": True,
            "Tty": False,
            "HostConfig": host,
            **({"User": spec.user} if spec.user else {}),
        }
        if spec.aliases:
            endpoint = {"Aliases": list(spec.aliases)}
            body["NetworkingConfig"] = {"EndpointsConfig": {spec.network: endpoint}}
        answer = self._api.call(
            "POST",
            "/containers/create",
            f"create the container {spec.name} from {spec.image}",
            params={"name": spec.name},
            body=body,
            finish=True,
        )
        container = str(answer.json()["Id"])
        note_created(container, spec)
        return container

    def attach(self, container: str) -> AttachedStream:
        """
        Attach to a container that has not been started yet.
        """
        return self._api.attach(container, f"attach to the container {container}")

    def start(self, container: str) -> None:
        """
        Start a created container.
        """
        what = f"start the container {container}"
        self._api.call("POST", f"/containers/{container}/start", what)
        note_started(container)

    def container(self, container: str) -> ContainerInfo | None:
        """
        Return the container with this name or id; `None` if there is none.
        """
        path, what = f"/containers/{container}/json", f"look up the container {container}"
        try:
            answer = self._api.call("GET", path, what, allow={404})
        except EngineError as error:
            # Podman's answer of a container that is removed meanwhile has status 500.
            if "no such container" in str(error):
                return None
            raise
        if answer.status_code == 404:
            return None
        about = answer.json()
        state = about["State"]
        ended = not state["Running"] and state.get("Status") != "created"
        return ContainerInfo(
            id=about["Id"],
            name=about["Name"].lstrip("/"),
            running=state["Running"],
            image=about["Image"],
            exit_code=state["ExitCode"] if ended else None,
            oom_killed=bool(state.get("OOMKilled")),
            labels=about["Config"].get("Labels") or {},
            addresses=_addresses(about),
        )

    def ran_out_of_memory(self, container: str) -> bool:
        """
        Return whether a process of the container was killed for its memory. Engines
        remember such events for a while after the container is gone.
        """
        what = f"look up the end of the container {container}"
        answer = self._api.call("GET", "/_ping", what, timeout=_EVENTS_TIMEOUT)
        # By the engine's own clock; an end in the past would leave out the last second.
        now = email.utils.parsedate_to_datetime(answer.headers["Date"]).timestamp()
        filters = {"container": [container], "event": ["oom"], "type": ["container"]}
        answer = self._api.call(
            "GET",
            "/events",
            what,
            params={
                "since": str(int(now - _EVENTS_AGE)),
                "until": str(int(now + 1)),
                "filters": json.dumps(filters),
            },
            timeout=_EVENTS_TIMEOUT,
        )
        return bool(answer.text.strip())

    def containers(self, labels: Mapping[str, str | None]) -> list[ContainerInfo]:
        """
        Return the containers with all *labels*, without `exit_code` and `oom_killed`.
        """
        params = {"all": "1", **label_filter(labels)}
        answer = self._api.call("GET", "/containers/json", "list containers", params=params)
        return [
            ContainerInfo(
                id=one["Id"],
                name=(one.get("Names") or [""])[0].lstrip("/"),
                running=one["State"] in ("running", "paused", "restarting"),
                image=one.get("ImageID") or "",
                labels=one.get("Labels") or {},
                addresses=_addresses(one),
            )
            for one in answer.json()
            if has_labels(one.get("Labels") or {}, labels)
        ]

    def remove(self, container: str) -> None:
        """
        Kill and remove a container. Return when the container is gone.
        """
        what = f"remove the container {container}"
        path, params = f"/containers/{container}", {"force": "1", "v": "1"}
        if not self._api.dialect.removal_kills:
            # Podman's own call can do it. What has joined the container's network goes with it.
            path = f"/libpod{path}"
            params = {"force": "1", "volumes": "1", "timeout": "0", "depend": "1"}
        # 409: auto-removal, or a removal by another thread, is under way. Podman says 500 then, and
        # also if the container ends while it is being killed.
        busy = {409} if self._api.dialect.removal_kills else {409, 500}
        deadline = clock.monotonic() + _REMOVAL
        pause = 0.01
        while True:
            late = clock.monotonic() > deadline
            answer = self._api.call(
                "DELETE",
                path,
                what,
                params=params,
                allow={404} if late else {404, *busy},
                timeout=LONG,
            )
            if answer.status_code not in busy:
                note_removed(container)
                return
            clock.sleep(pause)
            pause = min(pause * 2, 0.2)

    def commit(
        self,
        container: str,
        *,
        tag: str | None,
        labels: Mapping[str, str],
        ends: bool = False,  # noqa: ARG002 -- its files are copied anyway
    ) -> ImageInfo:
        """
        Make an image of the container's file system.

        The container is paused meanwhile, which takes 20 ms: a process that setup
        left running must not change a file while the file is copied. An engine
        that cannot pause, without root on cgroups v1, copies it as it runs.
        """
        what = f"commit the container {container}"
        params: dict[str, Any] = {"container": container, "pause": "1"}
        named = tag is None or self._api.dialect.names_what_it_makes
        if tag is not None and named:
            repository, name = parse_repository_tag(tag)
            params |= {"repo": repository, "tag": name or "latest"}
        body = {"Labels": dict(labels)}
        try:
            answer = self._api.call("POST", "/commit", what, params=params, body=body, timeout=LONG)
        except EngineError as error:
            if _CANNOT_PAUSE not in str(error):
                raise
            params["pause"] = "0"
            answer = self._api.call("POST", "/commit", what, params=params, body=body, timeout=LONG)
        made = image_made(self._api, str(answer.json()["Id"]), what)
        image = self._labelled(made, labels)
        note_committed(container, image, tag)
        if tag is not None and not (named and image is made):
            self.tag(image.id, tag)
            return image_made(self._api, tag, what)
        return image

    def changes(self, container: str) -> list[ContainerChange]:
        """
        Return the differences between the container's files and its image's files.
        """
        path, what = f"/containers/{container}/changes", f"compare the container {container}"
        found = self._api.call("GET", path, what, timeout=LONG).json()
        return [ContainerChange(one["Path"], _CHANGES[one["Kind"]]) for one in found or ()]

    def put_archive(self, container: str, path: str, archive: BinaryIO) -> None:
        """
        Unpack the tar *archive* below the directory *path*.
        """
        if not self._api.dialect.refuses_missing_directories:
            self._require_path(container, path)
        self._api.call(
            "PUT",
            f"/containers/{container}/archive",
            f"unpack files below {path} in the container {container}",
            params={"path": path},
            data=archive if self._api.dialect.reads_padding else without_padding(archive),
            timeout=LONG,
        )

    def get_archive(self, container: str, path: str) -> Iterator[bytes]:
        """
        Yield a tar of *path* in pieces.
        """
        what = f"read {path} in the container {container}"

        def ask() -> Answer:
            return self._api.call(
                "GET",
                f"/containers/{container}/archive",
                what,
                params={"path": path},
                timeout=LONG,
                stream=True,
            )

        return self._whole_archive(ask(), ask, what)

    def _whole_archive(
        self, answer: Answer, ask_again: Callable[[], Answer], what: str
    ) -> Iterator[bytes]:
        """
        Yield a tar in pieces. An engine may end one that it cannot read to the end as if it were
        whole, and gives an empty one for a container whose files are being unmounted.
        """
        for pause in (*_UNMOUNTING, None):
            tail = b""
            for piece in self._api.pieces(answer, what):
                tail = tail + piece if len(piece) < len(_ARCHIVE_END) else piece
                tail = tail[-len(_ARCHIVE_END) :]
                yield piece
            if tail == _ARCHIVE_END:
                return
            if tail or pause is None:
                raise to_engine_error(what, "the archive that it sent is not whole")
            clock.sleep(pause)
            answer = ask_again()

    def _require_path(self, container: str, path: str) -> None:
        """
        Raise an error if a container does not have *path*.
        """
        what = f"unpack files below {path} in the container {container}"
        answer = self._api.call(
            "HEAD", f"/containers/{container}/archive", what, params={"path": path}, allow={404}
        )
        # Without the container, the call that follows says so.
        if answer.status_code == 404 and self.container(container) is not None:
            raise to_engine_error(what, f"there is no {path}")


def _addresses(about: Mapping[str, Any]) -> dict[str, str]:
    networks = (about.get("NetworkSettings") or {}).get("Networks") or {}
    return {name: one["IPAddress"] for name, one in networks.items() if one.get("IPAddress")}

"""What an engine cannot do: the sentences of doctor, and those of docs/engines.md."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from ..engine.protocol import (
    CGROUPS_V1,
    CONTAINERD_STORE,
    MAPPED_USERS,
    NO_SECCOMP,
    ROOTLESS,
    Engine,
)
from .result import Result, ok, warning

__all__ = ["ENGINE_LIMITS", "EngineLimit", "told"]


def _release(engine: Engine) -> str:
    about = engine.version()
    return f"{about['name'].capitalize()} {about['version']}"


def _modes(engine: Engine) -> str:
    return engine.version().get("modes", "")


@dataclass(frozen=True, slots=True)
class EngineLimit:
    """
    Something that some engines cannot do.

    Attributes:
        check: the line of doctor. Of several limits with one line, the first one that applies is
            told.
        whose: which engines, in the words of the document.
        sentence: what follows for workspaces.
        applies: whether an engine is one of them.
        remedy: what to do about it; empty if there is nothing to do, which is no warning.
        subject: what doctor names in front of the sentence.
    """

    check: str
    whose: str
    sentence: str
    applies: Callable[[Engine], bool]
    remedy: str = ""
    subject: Callable[[Engine], str] = _release

    def result(self, engine: Engine) -> Result:
        """
        Return what doctor tells of an engine that has this limit.
        """
        text = f"{self.subject(engine)}: {self.sentence}"
        return warning(text, self.remedy) if self.remedy else ok(text)


def told(check: str, engine: Engine) -> Result | None:
    """
    Return the limit that a line of doctor tells of an engine; `None` if it has none of them.
    """
    found = (one for one in ENGINE_LIMITS if one.check == check and one.applies(engine))
    return next((one.result(engine) for one in found), None)


def _is(name: str) -> Callable[[Engine], bool]:
    return lambda engine: engine.version()["name"] == name


def _docker_before(release: int) -> Callable[[Engine], bool]:
    def applies(engine: Engine) -> bool:
        major = engine.version()["version"].partition(".")[0]
        return _is("docker")(engine) and major.isdecimal() and int(major) < release

    return applies


def _has(*modes: str) -> Callable[[Engine], bool]:
    return lambda engine: set(modes) <= set(_modes(engine).split(", "))


def _stores_in(driver: str) -> Callable[[Engine], bool]:
    return lambda engine: engine.version()["storage"] == driver


def _is_rootless_native(engine: Engine) -> bool:
    return _is("native")(engine) and _has(ROOTLESS)(engine)


def _unlimited(engine: Engine) -> str:
    have = engine.capacity
    kinds = {
        "memory": have.limits_memory,
        "processors": have.limits_cpus,
        "processes": have.limits_processes,
    }
    return ", ".join(name for name, limited in kinds.items() if not limited)


_OVERLAY = 'Set "storage-driver" to "overlay2" in /etc/docker/daemon.json.'
_UPDATE = (
    "Update Docker to 25 or newer if you do not trust the workspaces. For repositories whose code "
    "you would run on this machine, too, such as your own, you can ignore this."
)
_DELEGATE = (
    "Run the engine as root, or without root on a machine with cgroups v2 whose controllers are "
    "delegated to the user."
)

ENGINE_LIMITS = (
    EngineLimit(
        "seccomp",
        "Without a seccomp profile",
        "workspaces can make every system call of the kernel",
        _has(NO_SECCOMP),
        "Start the engine with its own profile if you do not trust the workspaces.",
        subject=_modes,
    ),
    EngineLimit(
        # moby/moby#44563
        "sockets",
        "Docker before 23",
        "workspaces can open AF_VSOCK sockets, which reach the host of a virtual machine and "
        "bypass every network, and use io_uring, an interface of the kernel with a history of "
        "faults that break out of containers",
        _docker_before(23),
        _UPDATE,
    ),
    EngineLimit(
        # moby/moby#46762
        "sockets",
        "Docker 23 and 24",
        "workspaces can use io_uring, an interface of the kernel with a history of faults that "
        "break out of containers",
        _docker_before(25),
        _UPDATE,
    ),
    EngineLimit(
        "user namespaces",
        "Podman",
        "a program in a workspace can make a user namespace, which Docker refuses; it has no power "
        "over the workspace's network from there",
        _is("podman"),
    ),
    EngineLimit(
        "architecture",
        "Of another architecture than linux/amd64",
        "Codex runs on linux/amd64 only, so programs that are compiled or downloaded can differ "
        "from those in Codex",
        lambda engine: engine.platform != "linux/amd64",
        "To be sure, use an engine on a linux/amd64 machine with --engine=ssh://HOST.",
        subject=lambda engine: engine.platform,
    ),
    EngineLimit(
        "storage",
        "With the storage driver vfs",
        "the whole image is copied for each container",
        _stores_in("vfs"),
        _OVERLAY,
        subject=lambda _: "vfs",
    ),
    EngineLimit(
        "storage",
        "With the storage driver devicemapper",
        "it is slow and no longer supported",
        _stores_in("devicemapper"),
        _OVERLAY,
        subject=lambda _: "devicemapper",
    ),
    EngineLimit(
        # containerd/continuity#236
        "storage",
        "With containerd's image store",
        "to save a layer, such as a setup or a snapshot, all files of the image are compared: 13 s "
        "for one of 2.5 GB, where overlay2 takes 0.2 s",
        _has(CONTAINERD_STORE),
    ),
    EngineLimit(
        "files",
        "Docker",
        "cached files have times in whole seconds, no holes, no user.* attributes",
        _is("docker"),
    ),
    EngineLimit(
        "files",
        "Podman",
        "cached files have times in whole seconds, no holes",
        _is("podman"),
    ),
    EngineLimit(
        "limits",
        "`native` without root",
        "a workspace may use all that this machine has, because the engine makes no groups of "
        "processes without root",
        lambda engine: _is_rootless_native(engine) and bool(_unlimited(engine)),
        "Run as root if you do not trust the workspaces, or use Podman on a machine with cgroups "
        "v2 whose controllers are delegated to the user.",
        subject=_unlimited,
    ),
    EngineLimit(
        "limits",
        "Rootless with cgroups v1, or on a kernel without the controllers",
        "a workspace may use all that the engine's machine has, because the engine cannot limit it",
        lambda engine: bool(_unlimited(engine)),
        _DELEGATE,
        subject=_unlimited,
    ),
    EngineLimit(
        "pause",
        "Rootless Podman with cgroups v1",
        "no container can be paused, so a setup's files are copied while processes that it left "
        "running may write",
        lambda engine: _is("podman")(engine) and _has(ROOTLESS, CGROUPS_V1)(engine),
        _DELEGATE,
    ),
    EngineLimit(
        "mounts",
        "Rootless",
        "what Compose mounts has to be readable for the user of the engine",
        lambda engine: _has(ROOTLESS)(engine) and not _is("native")(engine),
    ),
    EngineLimit(
        "mounts",
        "With `userns-remap`",
        "what Compose mounts has to be readable for the users that those of containers are mapped "
        "to",
        _has(MAPPED_USERS),
    ),
    EngineLimit(
        "holder",
        "Podman",
        "a workspace is removed together with the holder of its network, where Docker leaves it "
        "running without a way out",
        _is("podman"),
    ),
    EngineLimit(
        "registries",
        "Podman",
        "images come from a registry without TLS only if registries.conf permits it, also on "
        "loopback",
        _is("podman"),
    ),
    EngineLimit(
        "downloads",
        "Podman",
        "the size of a download is told once a second, so one that exceeds its limit ends a second "
        "later than with Docker, and one that takes less than a second is kept",
        _is("podman"),
    ),
    EngineLimit(
        "registries",
        "`native` without skopeo",
        "no image of a registry can be used, `universal` among them, and no cache in a registry",
        lambda engine: _is("native")(engine) and not engine.looks_up_digests,
        "Install skopeo (Debian and Ubuntu: apt-get install skopeo), or use the image `slim`.",
    ),
    EngineLimit(
        "digests",
        "Podman, `native` without skopeo",
        "the digest of an image in a registry is known only after pulling it, so nothing tells "
        "that a base image has a newer version, or that an image can be pulled",
        lambda engine: not engine.looks_up_digests,
    ),
    EngineLimit(
        "image ids",
        "With containerd's image store",
        "images have other ids, so setups on a base image of your own are not shared with engines "
        "that store images otherwise; and an image that is damaged in a registry is not replaced "
        "there",
        _has(CONTAINERD_STORE),
    ),
)
"""Every limit, in the order of the document."""

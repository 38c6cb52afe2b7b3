"""A container engine that speaks the Docker Engine API: Docker, or Podman's service."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Any

from ..protocol import CONTAINERD_STORE, MAPPED_USERS, NO_SECCOMP, ROOTLESS, Capacity
from .api import Api
from .containers import Containers
from .networks import Networks

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from ..places.place import SshWay, TlsFiles
    from ..places.podman_service import PodmanService

__all__ = ["DockerEngine"]


class DockerEngine(Containers, Networks):
    """
    `Engine` over the Docker Engine API, version 1.41 and up.

    Podman's service speaks that API with differences, which are in its `Dialect`.

    Args:
        url: `unix://`, `tcp://` or `ssh://`.
        tls: certificates for `tcp://`.
        ssh: how to use ssh.
        service: the service that was started for it, to end when the engine is closed.

    Raises:
        EngineUnavailable: no usable engine answers there.
    """

    def __init__(
        self,
        url: str,
        tls: TlsFiles | None = None,
        ssh: SshWay | None = None,
        service: PodmanService | None = None,
    ) -> None:
        self._service = service
        try:
            self._api = Api(url, tls, ssh)
        except BaseException:
            if service is not None:
                service.close()
            raise

    @property
    def url(self) -> str:
        """
        The address on which the engine listens.
        """
        return self._api.url

    @property
    def egress_network(self) -> str:
        """
        The name of the engine's default network.
        """
        return self._api.dialect.egress_network

    @property
    def platform(self) -> str:
        """
        The platform of the engine's images.
        """
        about = self._api.about
        return f"{about.get('Os', '')}/{about.get('Arch', '')}"

    @property
    def looks_up_digests(self) -> bool:
        """
        Whether `registry_digest` works.
        """
        return self._api.dialect.looks_up_digests

    def version(self) -> Mapping[str, str]:
        """
        Return `name`, `version`, `api`, `os`, `arch`, `storage`, `root`, `host` and `modes` of the
        engine.
        """
        return self._version

    @cached_property
    def capacity(self) -> Capacity:
        """
        What the engine's machine has, and what the engine can limit.
        """
        info = self._info
        # Without root, cgroups v1 give an engine no groups. Podman reports there what root's would
        # be able to.
        rootless = bool(info.get("Rootless")) or any(
            "rootless" in one for one in info.get("SecurityOptions") or ()
        )
        groups = not rootless or str(info.get("CgroupVersion")) != "1"
        return Capacity(
            cpus=int(info.get("NCPU") or 0),
            memory=int(info.get("MemTotal") or 0),
            # Podman reports these in the same place, but not in every version.
            limits_cpus=groups and info.get("CPUCfsQuota", info.get("CpuCfsQuota")) is not False,
            limits_memory=groups and info.get("MemoryLimit") is not False,
            limits_processes=groups and info.get("PidsLimit") is not False,
        )

    def close(self) -> None:
        """
        Close the client's connections.
        """
        self._api.close()
        if self._service is not None:
            self._service.close()

    @cached_property
    def _info(self) -> Mapping[str, Any]:
        return dict(self._api.call("GET", "/info", "describe itself").json())

    @cached_property
    def _version(self) -> Mapping[str, str]:
        about, info = self._api.about, self._info
        return {
            "name": self._api.dialect.name,
            "version": str(about.get("Version", "")),
            "api": self._api.version,
            "os": str(about.get("Os", "")),
            "arch": str(about.get("Arch", "")),
            "storage": str(info.get("Driver", "")),
            "root": str(info.get("DockerRootDir", "")),
            "host": str(info.get("Name", "")),
            "modes": ", ".join(_modes(info)),
        }


def _modes(info: Mapping[str, Any]) -> Iterator[str]:
    """
    Yield how the engine was set up, in words, as far as it makes a difference.
    """
    options = {
        one.partition(",")[0].removeprefix("name="): str(one)
        for one in info.get("SecurityOptions") or ()
        if isinstance(one, str)
    }
    status = [list(one) for one in info.get("DriverStatus") or ()]
    if "rootless" in options:
        yield ROOTLESS
    if "userns" in options:
        yield MAPPED_USERS
    if ["driver-type", "io.containerd.snapshotter.v1"] in status:
        yield CONTAINERD_STORE
    if "selinux" in options:
        yield "SELinux"
    if "apparmor" in options:
        yield "AppArmor"
    if options and "profile=unconfined" in options.get("seccomp", "profile=unconfined"):
        yield NO_SECCOMP
    if "(containerized)" in str(info.get("OperatingSystem")):
        yield "inside a container"
    if version := info.get("CgroupVersion"):
        yield f"cgroups v{version}"

"""Doctor: what the engine at hand cannot do."""

from __future__ import annotations

from concurrent.futures import Future

import pytest

from pytest_codex_workspace.doctor.checks import engine_checks
from pytest_codex_workspace.doctor.engine_limits import ENGINE_LIMITS, told
from pytest_codex_workspace.engine.protocol import Capacity, Engine
from pytest_codex_workspace.options.config import Config
from tests.fakes.engine import FakeEngine

DOCKER = {"name": "docker", "version": "28.5.2", "storage": "overlay2", "modes": "cgroups v2"}
PODMAN = {**DOCKER, "name": "podman", "version": "5.4.2"}
NATIVE = {**DOCKER, "name": "native", "version": "6.12", "modes": "rootless, no limits"}
NONE = Capacity(limits_cpus=False, limits_memory=False, limits_processes=False)


class Odd(FakeEngine):
    """
    An engine that says something else of itself.
    """

    def __init__(self, about, capacity=None, platform="linux/amd64", looks_up_digests=True):
        super().__init__()
        self.about = about
        self.has = capacity or Capacity()
        self.odd_platform = platform
        self.looks_up = looks_up_digests

    def version(self):
        return {**super().version(), **self.about}

    capacity = property(lambda self: self.has)
    platform = property(lambda self: self.odd_platform)
    looks_up_digests = property(lambda self: self.looks_up)


HAVE_THEM = {
    ("seccomp", "Without a seccomp profile"): Odd({**DOCKER, "modes": "no seccomp profile"}),
    ("sockets", "Docker before 23"): Odd({**DOCKER, "version": "20.10.24+dfsg1"}),
    ("sockets", "Docker 23 and 24"): Odd({**DOCKER, "version": "24.0.7"}),
    ("user namespaces", "Podman"): Odd(PODMAN),
    ("architecture", "Of another architecture than linux/amd64"): Odd(
        DOCKER, platform="linux/arm64"
    ),
    ("storage", "With the storage driver vfs"): Odd({**DOCKER, "storage": "vfs"}),
    ("storage", "With the storage driver devicemapper"): Odd({**DOCKER, "storage": "devicemapper"}),
    ("storage", "With containerd's image store"): Odd(
        {**DOCKER, "modes": "containerd image store, cgroups v2"}
    ),
    ("files", "Docker"): Odd(DOCKER),
    ("files", "Podman"): Odd(PODMAN),
    ("limits", "Rootless with cgroups v1, or on a kernel without the controllers"): Odd(
        DOCKER, capacity=NONE
    ),
    ("limits", "`native` without root"): Odd(NATIVE, capacity=NONE),
    ("pause", "Rootless Podman with cgroups v1"): Odd({**PODMAN, "modes": "rootless, cgroups v1"}),
    ("mounts", "Rootless"): Odd({**DOCKER, "modes": "rootless, cgroups v2"}),
    ("mounts", "With `userns-remap`"): Odd({**DOCKER, "modes": "users mapped (userns-remap)"}),
    ("holder", "Podman"): Odd(PODMAN),
    ("registries", "Podman"): Odd(PODMAN),
    ("downloads", "Podman"): Odd(PODMAN),
    ("registries", "`native` without skopeo"): Odd({"name": "native"}, looks_up_digests=False),
    ("digests", "Podman, `native` without skopeo"): Odd(PODMAN, looks_up_digests=False),
    ("image ids", "With containerd's image store"): Odd(
        {**DOCKER, "modes": "containerd image store, cgroups v2"}
    ),
}
"""An engine for each limit."""


def lines_of(engine):
    """
    Return what doctor tells of an engine, by the names of its lines.
    """
    one: Future[Engine] = Future()
    one.set_result(engine)
    results = ((check.name, check.run()) for check in engine_checks(Config(), one))
    return {name: result for name, result in results if result is not None}


@pytest.mark.parametrize("limit", ENGINE_LIMITS, ids=lambda one: f"{one.check}, {one.whose}")
def test_doctor_has_a_line_for_each_limit(limit, cache_home):
    """
    With the sentence of the document, and a remedy if it is a warning.
    """
    line = lines_of(HAVE_THEM[limit.check, limit.whose])[limit.check]

    assert line.text.endswith(f": {limit.sentence}")
    assert (line.status, line.remedy) == ("warning" if limit.remedy else "ok", limit.remedy)


def test_the_line_says_of_what_it_is_told():
    """
    The version of the engine, or what it lacks. Without a daemon, there is no Compose either.
    """
    lacking = Odd(DOCKER, capacity=Capacity(limits_cpus=False, limits_processes=False))

    assert told("holder", Odd(PODMAN)).text.startswith("Podman 5.4.2: ")
    assert told("limits", lacking).text.startswith("processors, processes: ")
    assert told("mounts", Odd(NATIVE)) is None
    assert told("architecture", Odd(DOCKER, platform="linux/arm64")).text.startswith("linux/arm64:")


def test_an_engine_as_in_codex_has_no_limit_but_that_of_images(cache_home):
    """
    Nobody else's limits are told.
    """
    lines = lines_of(Odd(DOCKER))

    assert {"ok"} == {one.status for one in lines.values()}
    sentences = {one.sentence for one in ENGINE_LIMITS}
    assert ["files"] == [
        name for name, one in lines.items() if one.text.partition(": ")[2] in sentences
    ]

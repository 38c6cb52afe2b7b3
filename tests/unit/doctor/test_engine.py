"""Doctor: the container engine."""

from __future__ import annotations

import subprocess
import sys
import time
from concurrent.futures import Future
from pathlib import Path
from types import SimpleNamespace

import pytest

from pytest_codex_workspace.doctor import engine as checks
from pytest_codex_workspace.doctor.result import from_error
from pytest_codex_workspace.doctor.runner import in_thread
from pytest_codex_workspace.engine import labels
from pytest_codex_workspace.engine.docker.engine import DockerEngine
from pytest_codex_workspace.engine.docker.find import locate_engine
from pytest_codex_workspace.engine.session_id import Identity
from pytest_codex_workspace.errors import EngineError
from pytest_codex_workspace.text.option_names import spelled
from tests.fakes.engine import FakeEngine

from ...helpers.stub_engine import DOCKER, stub_engine

HOUR = 3600.0


@pytest.fixture
def docker(tmp_path):
    """
    Return a Docker engine that only knows its version, and its table of answers.
    """
    with stub_engine(tmp_path, {**DOCKER, "Arch": "amd64"}) as stub:
        stub.answers["GET /info"] = (200, {"Driver": "overlay2", "DockerRootDir": str(tmp_path)})
        engine = DockerEngine(stub.url)
        yield engine, stub
        engine.close()


def found(environ, choice="auto"):
    answer = in_thread(lambda: locate_engine(choice, environ))
    result = checks.found(answer, 5)
    if answer.exception() is None:
        answer.result()[0].close()
    return result


def test_the_source_of_the_address_is_reported(docker):
    """
    The text says whether an option or the environment named the engine.
    """
    url = docker[1].url

    assert f"{url} answers (DOCKER_HOST)" == found({"DOCKER_HOST": url}).text
    assert f"{url} answers (the engine option)" == found({}, url).text


def test_no_engine_is_an_error_with_the_addresses_tried(tmp_path):
    """
    The remedy is separate, and names options as the command spells them.
    """
    with spelled("--{}"):
        got = found({"DOCKER_HOST": f"unix://{tmp_path}/none.sock"})

    assert "error" == got.status
    assert f"DOCKER_HOST, unix://{tmp_path}/none.sock: no such socket" in got.text
    assert "Correct or unset DOCKER_HOST, or name an engine with --engine=URL." == got.remedy


def test_an_engine_that_is_too_old_is_an_error(tmp_path):
    """
    The remedy names the version that is required.
    """
    with stub_engine(tmp_path, {**DOCKER, "ApiVersion": "1.40"}) as stub:
        got = found({"DOCKER_HOST": stub.url})

    assert ("error", True) == (got.status, "1.41 (Docker 20.10" in got.text)


def test_an_engine_that_does_not_answer_in_time_is_an_error():
    """
    The check ends at its timeout.
    """
    got = checks.found(Future(), 0.01)

    assert ("error", True) == (got.status, "docker version" in got.remedy)


def test_a_good_engine_passes(docker):
    """
    Version, architecture and storage are ok.
    """
    engine, _ = docker

    got = [check(engine) for check in (checks.version, checks.architecture, checks.storage)]

    assert ["ok"] * 3 == [one.status for one in got]
    assert "docker 20.10.24, API 1.41" == got[0].text
    assert "overlay2" == got[2].text
    assert checks.kept_files(engine).text.endswith(" whole seconds, no holes, no user.* attributes")


@pytest.mark.parametrize(
    ("said", "lacking"),
    [
        ({}, None),
        ({"MemoryLimit": False}, "memory"),
        ({"PidsLimit": False, "CpuCfsQuota": False}, "processors, processes"),
        (
            {"CgroupVersion": "1", "MemoryLimit": True, "SecurityOptions": ["name=rootless"]},
            "memory, processors, processes",
        ),
        ({"CgroupVersion": "1", "Rootless": True}, "memory, processors, processes"),
        ({"CgroupVersion": "2", "SecurityOptions": ["name=rootless"]}, None),
        ({"CgroupVersion": "1", "SecurityOptions": ["name=seccomp,profile=default"]}, None),
    ],
)
def test_an_engine_without_limits_is_reported(docker, said, lacking):
    """
    The engine says what it can limit. Without root, it can limit nothing with cgroups v1, whatever
    it says.
    """
    engine, stub = docker
    stub.answers["GET /info"] = (200, {"Driver": "overlay2", **said})

    got = checks.limits(engine)

    if lacking is None:
        assert "ok" == got.status
    else:
        assert ("warning", True) == (got.status, "cgroups v2" in got.remedy)
        assert got.text.startswith(f"{lacking}: a workspace may use all ")


class Odd(FakeEngine):
    """
    An engine that differs from Codex's in each respect.
    """

    platform = "linux/arm64"
    url = "unix:///odd.sock"

    def version(self):
        return {**super().version(), "api": "1.40", "storage": "vfs"}


def test_an_unusual_engine_is_reported(tmp_path):
    """
    Another architecture and vfs are warnings, an old API is an error.
    """
    engine = Odd()

    assert "error" == checks.version(engine).status
    assert ("warning", True) == (
        checks.architecture(engine).status,
        "linux/arm64: Codex runs on linux/amd64" in checks.architecture(engine).text,
    )
    assert ("warning", True) == (
        checks.storage(engine).status,
        "overlay2" in checks.storage(engine).remedy,
    )
    # A root directory that is not here: a virtual machine's.
    assert ("ok", True) == (checks.disk(engine).status, "not checked" in checks.disk(engine).text)


def test_little_disk_space_is_reported(docker, tmp_path):
    """
    Only the disk of this machine is checked; little space is a warning, very little an error.
    """
    assert str(tmp_path) in checks.disk(docker[0]).text
    rooms = [
        checks.free_space(Path("/x"), size).status for size in (1_999_999_999, 2e9, 9.9e9, 1e10)
    ]
    assert ["error", "warning", "warning", "ok"] == rooms
    assert "codex-workspace cache prune" in checks.free_space(Path("/x"), 0).remedy
    assert "1.5 GB free in /x" == checks.free_space(Path("/x"), 1_500_000_000).text


def test_a_network_is_created_as_for_workspaces_and_removed(docker):
    """
    The network is internal and has our labels.
    """
    engine, stub = docker
    stub.answers["POST /networks/create"] = (201, {"Id": "n1"})
    stub.answers["DELETE /networks/n1"] = (204, "")

    assert "ok" == checks.networks(engine).status

    assert stub.calls[-1].startswith("DELETE")
    assert b'"Internal": true' in stub.bodies[-2]
    assert labels.SESSION.encode() in stub.bodies[-2]
    fake = FakeEngine()
    checks.networks(fake)
    assert [] == fake.networks({labels.SESSION: None})


def test_no_address_left_names_the_remedy(docker):
    """
    The result has the engine's words, and recommends `codex-workspace clean`.
    """
    engine, stub = docker
    words = "could not find an available, non-overlapping IPv4 address pool among the defaults"
    stub.answers["POST /networks/create"] = (500, {"message": words})

    with pytest.raises(EngineError) as caught:
        checks.networks(engine)

    got = from_error(caught.value)
    assert "error" == got.status
    assert words in got.text
    assert "`codex-workspace clean`" in got.remedy


def test_leftovers_of_dead_sessions_are_a_warning():
    """
    The check removes nothing.
    """
    engine = FakeEngine()
    marks = Identity().labels("network")
    engine.create_network("living", internal=True, labels=marks)
    assert "ok" == checks.leftovers(engine).status
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    dead = marks[labels.PID].rpartition(":")[0] + f":{process.pid}"
    engine.create_network("left", internal=True, labels={**marks, labels.PID: dead})

    got = checks.leftovers(engine)

    assert ("warning", "left by earlier runs: network left") == (got.status, got.text)
    assert "`codex-workspace clean`, which leaves running sessions alone" in got.remedy
    assert 2 == len(engine.networks({labels.SESSION: None}))


def test_the_cache_is_compared_with_its_limit(cache_home):
    """
    The check does not change the records of use.
    """
    engine = FakeEngine()
    for kind, age in (("setup", 0.0), ("setup", 13 * HOUR), ("clean", 13 * HOUR)):
        created = f"{time.time() - age}"
        marks = {labels.KIND: kind, labels.KEY: f"{kind}{age}", labels.CREATED: created}
        engine.add_image(f"codex-workspace-emulator:{kind}-{age}", labels=marks)

    got = checks.cached_layers(engine, 10**9, 12 * HOUR)

    assert "ok" == got.status
    assert "3 cached layers: 0 B of 1 GB, of which 1 setup expired" == got.text
    over = checks.cached_layers(engine, -1, 12 * HOUR)
    assert ("warning", True) == (over.status, "cache prune" in over.remedy)
    assert not cache_home.exists()


@pytest.mark.parametrize(
    ("release", "status"),
    [("20.10.24+dfsg1", "warning"), ("24.0.7", "warning"), ("25.0.0", "ok"), ("28.2.2", "ok")],
)
def test_sockets_that_bypass_namespaces_are_a_warning(tmp_path, release, status):
    """
    Docker refuses these sockets since version 23, and io_uring since version 25.
    """
    with stub_engine(tmp_path, {**DOCKER, "Version": release, "Arch": "amd64"}) as stub:
        stub.answers["GET /info"] = (200, {"Driver": "overlay2"})
        engine = DockerEngine(stub.url)
        got = checks.sockets(engine)
        engine.close()

    assert status == got.status
    assert ("AF_VSOCK" in got.text) == (release != "24.0.7")
    assert "io_uring" in got.text
    assert ("such as your own, you can ignore this" in got.remedy) == (status == "warning")


def test_other_engines_get_no_result_for_sockets():
    """
    Nothing is known about the sockets of other engines.
    """
    assert checks.sockets(FakeEngine()) is None


def test_engines_that_were_passed_over_are_told(docker, tmp_path):
    """
    A search that goes on says why.
    """
    (tmp_path / ".docker/run").mkdir(parents=True)
    (tmp_path / ".docker/run/docker.sock").symlink_to(tmp_path / "engine.sock")
    (tmp_path / ".docker/config.json").write_text("{")

    answer = in_thread(lambda: locate_engine("auto", {"HOME": str(tmp_path)}))
    text = checks.found(answer, 5).text
    answer.result().engine.close()

    if "answers (the default socket)" not in text:
        assert "answers (Docker Desktop); passed over: the current docker context: " in text
    assert "config.json cannot be read" in text


@pytest.mark.parametrize(
    ("info", "status", "text"),
    [
        ({}, None, None),
        (
            {
                "SecurityOptions": ["name=seccomp,profile=builtin", "name=rootless"],
                "CgroupVersion": "2",
            },
            "ok",
            "rootless, cgroups v2",
        ),
        (
            {
                "SecurityOptions": ["name=seccomp,profile=default", "name=userns", "name=selinux"],
                "DriverStatus": [["driver-type", "io.containerd.snapshotter.v1"]],
                "OperatingSystem": "Alpine Linux v3.22 (containerized)",
            },
            "ok",
            "users mapped (userns-remap), containerd image store, SELinux, inside a container",
        ),
        ({"SecurityOptions": ["name=apparmor"]}, "ok", "AppArmor, no seccomp profile"),
        ({"SecurityOptions": ["name=seccomp,profile=unconfined"]}, "ok", "no seccomp profile"),
        ({"SecurityOptions": None, "DriverStatus": None, "CgroupVersion": "1"}, "ok", "cgroups v1"),
    ],
)
def test_how_the_engine_was_set_up_is_told(tmp_path, info, status, text):
    """
    As the engine describes itself.
    """
    with stub_engine(tmp_path, DOCKER) as stub:
        stub.answers["GET /info"] = (200, info)
        engine = DockerEngine(stub.url)
        got = checks.modes(engine)
        engine.close()

    if status is None:
        assert got is None
    else:
        assert (status, True) == (got.status, got.text.startswith(text))


def test_the_engine_without_a_daemon_is_described():
    """
    It has no version of an API, and refuses what new Docker refuses.
    """
    about = {"name": "native", "version": "6.12.1", "api": "1", "storage": "overlayfs"}
    native = SimpleNamespace(version=lambda: about)

    assert checks.version(native).text == "native, on Linux 6.12.1"
    assert "cannot open AF_VSOCK" in checks.sockets(native).text
    assert "keep times, holes and attributes" in checks.kept_files(native).text

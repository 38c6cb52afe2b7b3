"""The engine of namespaces beyond the contract: what confines containers, and what is left."""

from __future__ import annotations

import io
import json
import os
import re
import signal
import socket
import subprocess
import sys
import tarfile
import textwrap
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from pytest_codex_workspace.engine.native.engine import NativeEngine
from pytest_codex_workspace.engine.native.runner.processes import is_alive
from pytest_codex_workspace.engine.protocol import Engine
from pytest_codex_workspace.errors import EngineError, EngineUnavailable

from .conftest import CAT, IMAGE, Bench, log_of_a_life, opened, sh, tar_of, untar, wait_until


@pytest.fixture
def native(native_engine: Engine) -> Iterator[Bench]:
    """
    The engine of namespaces.
    """
    with opened(native_engine) as bench:
        yield bench


def test_jobs_and_the_life_of_a_container_are_logged(
    native: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    """
    Jobs of the runner, and the lock of the engine's directory, with durations.
    """
    calls = log_of_a_life(native, caplog)

    assert any(re.fullmatch(r"runner: start \w+: done in \d+ ms", one) for one in calls)
    assert any(re.fullmatch(r"lock \S+/lock: done in \d+ ms", one) for one in calls)


def test_a_layer_with_a_map_of_holes_is_refused(native: Bench) -> None:
    """
    It is small, and stands for any size.
    """
    entry = tarfile.TarInfo("a")
    entry.pax_headers = {"GNU.sparse.size": "9999999", "GNU.sparse.map": "0,0"}
    archive = io.BytesIO(entry.tobuf(tarfile.PAX_FORMAT) + bytes(1024))

    with pytest.raises(EngineError, match="map of a file with holes"):
        native.engine.import_image(archive, tag=f"{IMAGE}-holes", changes=[])


def test_a_runner_that_has_gone_is_no_damaged_image(
    native: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """
    It is an engine that does not answer.
    """

    def gone(*_: object) -> None:
        raise EngineUnavailable("the runner has gone")

    monkeypatch.setattr(native.engine._workers, "feed", gone)

    with pytest.raises(EngineUnavailable):
        native.engine.import_image(io.BytesIO(bytes(1024)), tag=f"{IMAGE}-never", changes=[])


@pytest.mark.parametrize("ends", [True, False])
def test_the_files_of_a_container_that_ends_are_moved(native: Bench, ends: bool) -> None:
    """
    They are the same files, and those of one that goes on are copies.
    """
    tag = f"{IMAGE}-moved"
    root = Path(native.engine.url.removeprefix("native://"))
    container, stream = native.run()
    native.undo.callback(stream.close)
    native.engine.put_archive(container, "/tmp", tar_of({"kept": b"yes"}))
    before = (root / "containers" / container / "upper/tmp/kept").stat().st_ino

    image = native.engine.commit(container, tag=tag, labels={}, ends=ends)
    native.undo.callback(native.engine.remove_image, tag)

    layer = image.layers[-1].removeprefix("sha256:")
    after = (root / "layers" / layer / "tmp/kept").stat().st_ino
    assert ends == (before == after)
    info = native.engine.container(container)
    assert ends == (info is None or not info.running)


def test_a_server_on_the_machines_network_listens_in_that_of_containers(native: Bench) -> None:
    """
    A container with a way out has the machine's interfaces, and its address in an internal network
    takes connections from there. Nothing of the machine is reachable from that network.
    """
    name = native.identity.name("network")
    network = native.engine.create_network(name, internal=True, labels={})
    native.undo.callback(native.engine.remove_network, network.id)
    server = native.create(
        sh(
            "echo $(grep CapBnd /proc/self/status; ls /sys/class/net); "
            "busybox httpd -f -p 10.88.0.2:8080 -h /bin"
        ),
        network=name,
    )
    native.engine.connect(native.engine.egress_network, server)
    output = native.engine.attach(server)
    native.undo.callback(output.close)
    before = socket.if_nameindex()
    native.engine.start(server)
    assert "10.88.0.2" == native.engine.container(server).addresses[name]

    with socket.create_server(("0.0.0.0", 0)) as ours:
        port = ours.getsockname()[1]
        script = (
            "until wget -q -O /tmp/got http://10.88.0.2:8080/busybox; do sleep 0.1; done; "
            "cmp /tmp/got /bin/busybox && echo served; "
            f"nc -w 1 10.88.0.2 {port} </dev/null; echo $?; ls /sys/class/net; ip route"
        )
        said = native.output(sh(script), network=name).decode().split()

    assert ["served", "1", "eth0", "lo"] == said[:4]
    assert "default" not in said
    theirs = set(output.receive()[1].decode().split())
    # Other tests make networks, and remove theirs.
    ours_all_along = {name for _, name in before} & {name for _, name in socket.if_nameindex()}
    assert {"0000000000000000", "lo", *ours_all_along} <= theirs


def test_containers_have_dockers_capabilities_and_a_filter(native: Bench) -> None:
    """
    What was added and dropped is taken into account, and nothing else can be added.
    """
    show = sh("grep -E 'CapBnd|CapEff|NoNewPrivs|Seccomp:' /proc/self/status")

    def shown(**more: object) -> dict[str, str]:
        lines = native.output(show, **more).decode().splitlines()
        return {name: value.strip() for name, _, value in (one.partition(":") for one in lines)}

    usual = shown()
    assert usual == {
        "CapEff": "00000000a80425fb",
        "CapBnd": "00000000a80425fb",
        "NoNewPrivs": "0",
        "Seccomp": "2",
    }
    other = shown(cap_add=("NET_ADMIN",), cap_drop=("NET_RAW",), no_new_privileges=True)
    assert ("00000000a80415fb"[-8:], "1") == (other["CapEff"][-8:], other["NoNewPrivs"])
    assert set("0") == set(shown(user="65534")["CapEff"])


def test_settings_of_the_kernel_are_those_of_the_containers_network(native: Bench) -> None:
    """
    Its own, or the one that it joins; never the machine's.
    """
    name, path = "net.ipv4.ip_default_ttl", Path("/proc/sys/net/ipv4/ip_default_ttl")
    show = sh(f"cat {path}; cat")
    first, output = native.run(show, network="none", sysctls={name: "11"})
    assert (1, b"11\n") == output.receive()
    _, output = native.run(show, network=f"container:{first}", sysctls={name: "12"})
    assert (1, b"12\n") == output.receive()
    before = path.read_text()

    with pytest.raises(EngineError, match=f"the setting {name} would be the machine's own"):
        native.run(show, network="host", sysctls={name: before.strip()})
    assert before == path.read_text()


ATTEMPTS = (
    "mount -t tmpfs none /tmp",
    "mount -o remount,rw /proc/sys",
    "umount /proc/interrupts",
    "unshare -m true",
    "unshare -U true",
    "unshare -n true",
    "chroot / mount -t proc none /proc",
    "echo 1 >/proc/sys/kernel/core_pattern",
    "echo c >/proc/sysrq-trigger",
    "echo 1 >/proc/sys/net/ipv4/ip_forward",
    "echo 1 >/sys/kernel/mm/ksm/run",
    "mknod /dev/disk b 8 0 && cat /dev/disk",
    "mknod /tmp/kmem c 1 1 && head -c 1 /tmp/kmem",
    "mknod /dev/shm/fuse c 10 229 && cat /dev/shm/fuse",
    "chmod 666 /dev/null",
    "chown 0 /dev/tty",
    "touch /dev/zero",
    "ls /proc/1/root/../work",
    "head -c 1 /proc/kcore | grep .",
    "grep . /proc/keys",
    "dmesg | grep .",
    "insmod /bin/busybox",
    "swapon /bin/busybox",
    "date -s 2001-01-01; date | grep 2001",
    "hwclock -r",
    "sysctl -w kernel.hostname=x",
    "hostname other",
    "ip link add name x type dummy",
    "nsenter -t 1 -m true",
    "mkdir /sys/fs/cgroup/pids/own",
    "echo max >/sys/fs/cgroup/pids/pids.max",
)


def test_root_of_a_container_has_no_power_over_the_machine(native: Bench) -> None:
    """
    Each attempt fails.
    """
    script = "\n".join(f"({one}) >/dev/null 2>&1; echo $?" for one in ATTEMPTS)

    codes = native.output(sh(script)).decode().split()

    assert [] == [one for one, code in zip(ATTEMPTS, codes, strict=True) if code == "0"]


@pytest.mark.parametrize("network", ["none", "host"])
def test_a_container_that_cannot_be_mounted_says_why(native: Bench, network: str) -> None:
    """
    Its first process ends before it is in any group.
    """
    container = native.create(CAT, network=network)
    root = Path(native.engine.url.removeprefix("native://"))
    about = root / "containers" / container / "container.json"
    about.write_text(json.dumps({**json.loads(about.read_text()), "layers": ["f" * 64]}))

    with pytest.raises(EngineError, match=r"mount overlay on .*: No such file or directory"):
        native.engine.start(container)


def test_nothing_runs_of_a_container_that_was_refused(native: Bench) -> None:
    """
    Its first process is there before the refusal.
    """
    container = native.create(CAT, network="host", sysctls={"net.ipv4.ip_forward": "1"})

    with pytest.raises(EngineError, match=r"ip_forward would be the machine's own"):
        native.engine.start(container)

    found = []
    for process in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            if container in (process / "mountinfo").read_text():
                found.append(process)
    assert [] == found


def test_devices_are_listed_as_such(native: Bench) -> None:
    """
    `grep -r` opens what a directory calls a file, and fails at a terminal that is not there.
    """
    root = Path(native.engine.url.removeprefix("native://"))
    container, _ = native.run()
    state = json.loads((root / "containers" / container / "state.json").read_text())

    with os.scandir(f"/proc/{state['first'][0]}/root/dev") as entries:
        assert [] == [one.name for one in entries if one.is_file(follow_symlinks=False)]


def test_the_first_process_has_no_other_descriptors(native: Bench) -> None:
    """
    Nothing of the engine is open in it: its streams, and the directory that is listed.
    """
    assert b"0\n1\n2\n3\n" == native.output(sh("exec ls /proc/self/fd"))


def test_a_program_cannot_hold_up_whoever_reads_its_output(native: Bench) -> None:
    """
    One that waits for input while it splices to its output would hold the lock of a pipe, and the
    reader could not even be killed.
    """
    _, stream = native.run(("/bin/busybox", "cat"))
    stream.send(b"one")
    assert (1, b"one") == stream.receive()

    stream.close()

    assert (0, b"") == stream.receive()


def test_a_stage_is_built_again_if_an_argument_before_it_changes(native: Bench) -> None:
    """
    Its own instructions are the same, and take the value from there.
    """

    def built(word: str) -> bytes:
        dockerfile = (
            f"ARG WORD={word}\nFROM {IMAGE} AS first\nARG WORD\n"
            'RUN printf "$WORD" >/word\nFROM first\n'
        )
        image = native.engine.build(
            tar_of({"Dockerfile": dockerfile.encode()}),
            dockerfile="Dockerfile",
            tag="",
            labels={},
            args={},
            on_line=lambda _: None,
        )
        native.undo.callback(native.engine.remove_image, image.id)
        return native.output(sh("cat /word"), image=image.id)

    assert [b"one", b"two"] == [built("one"), built("two")]


_KILLED = """
    import sys, time
    from pathlib import Path
    from pytest_codex_workspace.engine.native.engine import NativeEngine
    from pytest_codex_workspace.engine.protocol import ContainerSpec

    engine = NativeEngine(Path(sys.argv[1]))
    network = engine.create_network("killed", internal=True, labels={"killed": "yes"})
    made = engine.create(
        ContainerSpec(sys.argv[2], ["/bin/busybox", "cat"], "killed", network="killed")
    )
    stream = engine.attach(made)
    engine.start(made)
    print(made, flush=True)
    time.sleep(600)
"""


def test_a_killed_process_leaves_nothing_but_a_record(
    native: Bench, native_engine: NativeEngine
) -> None:
    """
    Its containers end with their input, and take mounts, groups, interfaces and files with them.
    """
    root = Path(native.engine.version()["root"])
    program = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(_KILLED), root, IMAGE],
        stdout=subprocess.PIPE,
        text=True,
    )
    assert program.stdout is not None
    container = program.stdout.readline().strip()
    assert native.engine.container(container).running

    program.kill()
    program.wait()
    program.stdout.close()

    assert wait_until(lambda: not (root / "containers" / container).exists())
    assert wait_until(lambda: _traces(container) == [])
    (network,) = native.engine.networks({"killed": "yes"})
    native.engine.remove_network(network.id)


def test_what_another_process_has_started_is_in_reach(native: Bench) -> None:
    """
    Its container's files, its network, and its end. Without root, all are in one user namespace.
    """
    root = Path(native.engine.version()["root"])
    program = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(_KILLED), root, IMAGE],
        stdout=subprocess.PIPE,
        text=True,
    )
    with program:
        assert program.stdout is not None
        container = program.stdout.readline().strip()

        native.engine.put_archive(container, "/tmp", tar_of({"file": b"content"}))
        found = untar(native.engine.get_archive(container, "/tmp/file"))
        joined = native.output(sh("ip addr"), network=f"container:{container}")
        neighbour = native.output(sh("ping -c 1 10.88.0.2; true"), network="killed")
        native.engine.remove(container)
        program.kill()

    assert {"file": b"content"} == found
    assert b"10.88.0.2/16" in joined
    assert b" 0% packet loss" in neighbour
    assert native.engine.container(container) is None
    native.engine.remove_network("killed")


def test_a_container_ends_with_the_process_that_watches_it(native: Bench) -> None:
    """
    What that would have removed is removed by whoever looks next.
    """
    container, stream = native.run()
    record = native.engine._store.find_container(container)
    state = native.engine._state(record)

    os.kill(state["monitor"][0], signal.SIGKILL)

    assert (0, b"") == stream.receive()
    assert wait_until(lambda: not is_alive(state["first"]))
    assert native.engine.container(container) is None
    assert native.engine.containers({}) == []


def _traces(container: str) -> list[str]:
    """
    Return the mounts and groups of a container that this machine shows.
    """
    mounts = Path("/proc/mounts").read_text().splitlines()
    groups = map(str, Path("/sys/fs/cgroup").glob("**/codex-workspace/*"))
    return [one for one in (*mounts, *groups) if container in one]

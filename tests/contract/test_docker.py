"""Tests that need a real engine."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import signal
import socket
import ssl
import subprocess
import sys
import tempfile
import threading
import time
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from docker.constants import DEFAULT_DOCKER_API_VERSION

from pytest_codex_workspace.engine.docker.find import find_engine
from pytest_codex_workspace.engine.places.place import unix_path
from pytest_codex_workspace.errors import EngineError, EngineUnavailable, ImageBuildError

from ..helpers.near_engine import near
from .conftest import (
    IMAGE,
    LIMIT,
    Bench,
    drain,
    log_of_a_life,
    opened,
    sh,
    tar_of,
    untar,
    wait_until,
)
from .forwarding import forwarded, server_side, speaking, write_certificates, write_ssh

if TYPE_CHECKING:
    from collections.abc import Iterator

CLIENT = """\
import sys
from pytest_codex_workspace.engine.docker.find import find_engine

engine = find_engine(sys.argv[1])
stream = engine.attach(sys.argv[2])
engine.start(sys.argv[2])
stream.send(b"hello")
print(stream.receive()[1].decode(), flush=True)
stream.receive()
"""


def test_calls_and_the_life_of_a_container_are_logged(
    real: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    """
    Calls with method, path, what they are for, status and duration.
    """
    calls = log_of_a_life(real, caplog)

    assert any(
        re.fullmatch(r"POST /containers/\w+/start \(start the container \w+\): 204 in \d+ ms", one)
        for one in calls
    )


def test_a_container_ends_with_its_client(real: Bench) -> None:
    """
    When the attached process was killed, the engine removes the container.
    """
    container = real.create()
    command = [sys.executable, "-c", CLIENT, real.engine.url, container]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as client:
        assert client.stdout is not None
        assert client.stdout.readline() == b"hello\n"

        client.send_signal(signal.SIGKILL)

        assert wait_until(lambda: real.engine.container(container) is None)


def test_the_two_outputs_are_distinguished(real: Bench) -> None:
    """
    Standard error arrives on channel 2.
    """
    _, stream = real.run(sh("printf out; printf err >&2"))

    pieces: dict[int, bytes] = {1: b"", 2: b""}
    while (piece := stream.receive())[0]:
        pieces[piece[0]] += piece[1]

    assert pieces == {1: b"out", 2: b"err"}


@pytest.mark.slow
def test_input_that_is_taken_late_arrives(real: Bench) -> None:
    """
    It is more than the buffers on the way hold, or is taken later than a close usually waits.
    """
    for size in (5_000_000, 280_000):
        container, stream = real.run(sh("sleep 1.5; cat >/tmp/got"), auto_remove=False)
        stream.send(b"x" * size)

        stream.close()

        assert wait_until(lambda one=container: not real.engine.container(one).running)
        got = untar(real.engine.get_archive(container, "/tmp/got"))
        assert size == len(got["got"])


def test_all_output_arrives_before_the_end(real: Bench) -> None:
    """
    The container ends as soon as it has written it, and the engine removes it.
    """
    said = real.output(sh("seq 1 200000"))

    assert b"".join(b"%d\n" % n for n in range(1, 200_001)) == said


def test_capabilities_and_limits_are_applied(real: Bench) -> None:
    """
    Capabilities are dropped, processes and memory are limited if the engine can limit them.
    """
    files = "pids.max */pids.max memory.max memory/memory.limit_in_bytes"
    capacity = real.engine.capacity
    output = real.output(
        sh(f"grep -E 'CapEff|NoNewPrivs' /proc/self/status; cd /sys/fs/cgroup; cat {files}"),
        cap_drop=("ALL",),
        cap_add=("NET_ADMIN",),
        no_new_privileges=True,
        pids_limit=17,
        memory_limit=64 << 20,
    )

    _, effective, _, confined, *limited = output.split()
    assert confined == b"1"
    assert int(effective, 16) == 1 << 12
    assert not capacity.limits_processes or limited[0] == b"17"
    assert not capacity.limits_memory or limited[-1] == b"%d" % (64 << 20)


def test_sysctls_and_the_resolver_are_applied(real: Bench) -> None:
    """
    They are part of the container's description.
    """
    output = real.output(
        sh("cat /proc/sys/net/ipv6/conf/all/disable_ipv6 /etc/resolv.conf"),
        network=real.engine.egress_network,
        sysctls={"net.ipv6.conf.all.disable_ipv6": "1"},
        dns=("192.0.2.53",),
    )

    assert output[:2] == b"1\n"
    assert b"nameserver 192.0.2.53" in output


def test_an_internal_network_does_not_take_the_resolver_away(real: Bench) -> None:
    """
    A container that is on the default network as well asks the resolvers that it is given, and
    none is of the internal network, which knows no outside names.
    """
    engine, name = real.engine, real.identity.name("network")
    real.undo.callback(engine.remove_network, name)
    engine.create_network(name, internal=True, labels={})
    # It is no resolver: what it counts are queries that found none.
    server, counts = real.run(
        sh("while read x; do grep Udp: /proc/net/snmp; done"), network=engine.egress_network
    )
    address = engine.container(server).addresses[engine.egress_network]

    def queries() -> int:
        counts.send(b"\n")
        said = b""
        while said.count(b"\n") < 2:
            said += counts.receive()[1]
        heads, values = (line.split() for line in said.splitlines())
        return int(values[heads.index(b"NoPorts")])

    before = queries()
    container = real.create(
        sh("cat /etc/resolv.conf; exec nslookup outside.example"), network=name, dns=(address,)
    )
    engine.connect(engine.egress_network, container)
    stream = engine.attach(container)
    real.undo.callback(stream.close)
    engine.start(container)

    assert wait_until(lambda: queries() > before)
    host = engine.host_addresses(name)
    engine.remove(container)
    lines = [line.split() for line in drain(stream).splitlines()]
    servers = {line[1].decode() for line in lines if line[:1] == [b"nameserver"]}
    assert servers
    assert not servers & set(host)


def test_the_host_has_no_address_on_an_internal_network(real: Bench) -> None:
    """
    Nothing answers at the addresses that the engine names for it.
    """
    name = real.identity.name("network")
    real.undo.callback(real.engine.remove_network, name)
    real.engine.create_network(name, internal=True, labels={})

    script = "read hosts; for one in $hosts; do ping -c 1 -W 1 $one && echo reached; done; echo end"
    container, stream = real.run(sh(script), network=name)
    hosts = real.engine.host_addresses(name)
    assert real.engine.container(container).addresses[name] not in hosts
    stream.send(" ".join(hosts).encode() + b"\n")

    said = drain(stream)
    assert b"end" in said
    assert b"reached" not in said


def test_the_engine_does_not_keep_the_output(real: Bench) -> None:
    """
    The output does not fill the engine's disk as a log.
    """
    container = real.create()

    about = real.engine._api.call("GET", f"/containers/{container}/json", "look").json()

    assert about["HostConfig"]["LogConfig"]["Type"] == "none"
    assert about["HostConfig"]["Privileged"] is False
    assert about["Mounts"] == []


def test_one_client_serves_many_threads(real: Bench) -> None:
    """
    There are more containers than the client keeps connections for one address.
    """
    failures: list[BaseException] = []

    def look() -> None:
        try:
            for number in range(30):
                assert real.engine.container(f"codex-workspace-never-{number}") is None
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=look) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert failures == []


def test_the_refusal_of_a_large_upload_is_reported(real: Bench) -> None:
    """
    The engine stops reading half-way, and its reason is still reported.
    """
    container = real.create()

    for _ in range(2):
        with pytest.raises(EngineError, match="/missing"):
            real.engine.put_archive(container, "/missing", tar_of({"a": b"x" * 50_000_000}))


@pytest.fixture(params=["tcp", "tls", "ssh"])
def reached(
    request: pytest.FixtureRequest, real: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Bench]:
    """
    The machine's engine over another transport, with the CA variables of a company network.
    """
    if not real.engine.url.startswith("unix://"):
        pytest.skip(f"the engine is not on this machine: {real.engine.url}")
    path = unix_path(real.engine.url)
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", "/etc/ssl/certs/ca-certificates.crt")
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    with ExitStack() as undo:
        if request.param == "ssh":
            write_ssh(tmp_path, path)
            monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
            engine = find_engine("ssh://someone@engine.example:2222")
        elif request.param == "tls":
            write_certificates(tmp_path)
            port = undo.enter_context(forwarded(path, server_side(tmp_path)))
            environ = {
                "DOCKER_HOST": f"tcp://127.0.0.1:{port}",
                "DOCKER_TLS_VERIFY": "1",
                "DOCKER_CERT_PATH": str(tmp_path),
            }
            engine = find_engine("auto", environ)
        else:
            engine = find_engine(f"tcp://127.0.0.1:{undo.enter_context(forwarded(path))}", {})
        undo.callback(engine.close)
        yield undo.enter_context(opened(engine))


def test_data_passes_in_both_directions_over_other_transports(reached: Bench) -> None:
    """
    20 MB pass in each direction at the same time, and the end of input ends the container.
    """
    data = os.urandom(20 * 1024 * 1024)
    container, stream = reached.run()
    sender = threading.Thread(target=stream.send, args=(data,))
    sender.start()

    assert data == drain(stream, len(data))
    sender.join()
    stream.close()
    assert wait_until(lambda: reached.engine.container(container) is None)


def test_close_wakes_a_receive_over_other_transports(reached: Bench) -> None:
    """
    A thread that waits for a silent container gets the end. It does not block a sender.
    """
    _, stream = reached.run()
    got: list[tuple[int, bytes]] = []

    def receive() -> None:
        while piece := stream.receive():
            got.append(piece)
            if piece[0] == 0:
                return

    waiting = threading.Thread(target=receive)
    waiting.start()
    # Usually long enough for the receiver to block first. Either order must work.
    time.sleep(0.05)
    stream.send(b"heard")
    assert wait_until(lambda: got == [(1, b"heard")])

    stream.close()
    waiting.join(LIMIT)

    assert got == [(1, b"heard"), (0, b"")]


def test_files_pass_over_other_transports(reached: Bench) -> None:
    """
    Archives arrive complete.
    """
    data = os.urandom(5_000_000)
    container = reached.create()

    reached.engine.put_archive(container, "/tmp", tar_of({"big": data}))

    assert {"big": data} == untar(reached.engine.get_archive(container, "/tmp/big"))


def test_a_silent_registry_is_an_error_after_the_time_limit(real: Bench) -> None:
    """
    The error says that the registry was silent.
    """
    with near(real.engine.url):
        silent = socket.create_server(("127.0.0.1", 0))
    with silent:
        reference = f"127.0.0.1:{silent.getsockname()[1]}/some/image:tag"
        with pytest.raises(EngineError, match="nothing came from the registry for 1 s"):
            real.engine.pull(reference, lambda _: None, 1.0)


def test_an_engine_that_stops_answering_is_reported(real: Bench) -> None:
    """
    The error of a call names the address. An attached stream ends without an error.
    """
    if not real.engine.url.startswith("unix://"):
        pytest.skip(f"the engine is not on this machine: {real.engine.url}")
    with forwarded(unix_path(real.engine.url)) as port:
        engine = find_engine(f"tcp://127.0.0.1:{port}", {})
        container = real.create()
        stream = engine.attach(container)
        engine.start(container)

    assert stream.receive() == (0, b"")
    with pytest.raises(ConnectionError):
        stream.send(b"anyone?")
    with pytest.raises(EngineUnavailable) as caught:
        engine.container(container)
    assert f"tcp://127.0.0.1:{port} stopped responding" in str(caught.value)
    assert "connection refused" in str(caught.value)
    stream.close()
    engine.close()


@pytest.fixture
def buildkit(real: Bench, monkeypatch: pytest.MonkeyPatch) -> Bench:
    """
    The machine's engine, building with BuildKit.
    """
    if real.engine.version()["name"] != "docker":
        pytest.skip("only Docker has BuildKit")
    monkeypatch.setenv("DOCKER_BUILDKIT", "1")
    return real


def build_of(bench: Bench, dockerfile: str, *, offline: bool = False) -> tuple[Any, list[str]]:
    """
    Build from the contract's image by its id, and return the image and the lines.
    """
    lines: list[str] = []
    tag = "codex-workspace-emulator-test:buildkit"
    bench.undo.callback(bench.engine.remove_image, tag)
    image = bench.engine.build(
        tar_of({"Dockerfile": dockerfile.encode(), "file": b"from the context"}),
        dockerfile="Dockerfile",
        tag=tag,
        labels={"built": 'with "quotes" and\nlines'},
        args={"BASE": bench.engine.image(IMAGE).id},
        on_line=lines.append,
        offline=offline,
    )
    return image, lines


@pytest.mark.promise("S1")
@pytest.mark.parametrize("offline", [False, True])
def test_buildkit_builds_what_the_classic_builder_does(buildkit: Bench, offline: bool) -> None:
    """
    From an image that has only an id for it, with labels, steps and output in lines. Nothing
    remains but the image, and offline its programs have no network.
    """
    stamp = time.monotonic_ns()
    kept, old = (f"codex-workspace-emulator-from:{made:.0f}-x" for made in (time.time(), 1.7e9))
    for name in (kept, old):
        buildkit.engine.tag(IMAGE, name)
    buildkit.undo.callback(buildkit.engine.remove_image, kept)
    image, lines = build_of(
        buildkit,
        f"ARG BASE\nFROM ${{BASE}} AS first\nCOPY file /file\nFROM first\n"
        f"RUN printf 'built here {stamp}'; printf '\\n'; cat /file; cat /proc/net/dev\n",
        offline=offline,
    )

    base = buildkit.engine.image(IMAGE)
    assert image == buildkit.engine.image(image.tags[0])
    assert base.layers == image.layers[: len(base.layers)]
    assert 'with "quotes" and\nlines' == image.labels["built"]
    assert f"Step 1/3 : FROM {base.id}" in lines
    assert "Step 2/3 : COPY file /file" in lines
    assert any(line.startswith("Step 3/3 : RUN printf") for line in lines)
    assert f"built here {stamp}" in lines
    # The context's file has no line end.
    devices = [line for line in lines if ":" in line and "Step" not in line]
    assert any("eth0:" in line for line in devices) == (not offline)
    # The names of builds that were killed a day ago or earlier are gone.
    assert {IMAGE, kept} == set(base.tags)


def test_buildkit_names_the_failed_step_and_its_output(buildkit: Bench) -> None:
    """
    As the classic builder does.
    """
    with pytest.raises(ImageBuildError) as caught:
        build_of(buildkit, "ARG BASE\nFROM ${BASE}\nRUN printf 'went wrong'; exit 3\n")

    assert "The failed step: Step 2/2 : RUN printf" in str(caught.value)
    assert "Last lines of output:\nwent wrong" in str(caught.value)
    assert "code: 3" in str(caught.value)
    assert (IMAGE,) == buildkit.engine.image(IMAGE).tags


def test_an_image_without_a_name_keeps_existing(buildkit: Bench) -> None:
    """
    A name for the time of a build would be its only one, and the engine would remove the image
    with it. The classic builder takes the id.
    """
    bench = buildkit
    container = bench.create()
    base = bench.engine.commit(container, tag=None, labels={})
    bench.undo.callback(bench.engine.remove_image, base.id)

    tag = "codex-workspace-emulator-test:buildkit"
    bench.undo.callback(bench.engine.remove_image, tag)
    image = bench.engine.build(
        tar_of({"Dockerfile": b"ARG BASE\nFROM ${BASE}\nRUN printf x >/x\n"}),
        dockerfile="Dockerfile",
        tag=tag,
        labels={},
        args={"BASE": base.id},
        on_line=lambda _: None,
    )

    assert (tag,) == image.tags
    assert bench.engine.image(base.id) is not None


@pytest.mark.parametrize(
    ("oldest", "newest", "spoken"),
    [("1.44", "1.52", DEFAULT_DOCKER_API_VERSION), ("1.98", "1.99", "1.98")],
)
def test_an_engine_that_refuses_old_versions_gets_one_that_it_accepts(
    real: Bench, oldest: str, newest: str, spoken: str
) -> None:
    """
    Every call names the version, as Docker 29 wants it, also those that take over the connection.
    """
    if not real.engine.url.startswith("unix://"):
        pytest.skip(f"the engine is not on this machine: {real.engine.url}")
    with speaking(unix_path(real.engine.url), oldest, newest) as url:
        engine = find_engine(url, {})
        with opened(engine) as bench:
            data = os.urandom(1_000_000)
            container, stream = bench.run()
            bench.engine.put_archive(container, "/tmp", tar_of({"file": data}))
            stream.send(b"heard")

            assert spoken == engine.version()["api"]
            assert b"heard" == drain(stream, 5)
            assert {"file": data} == untar(bench.engine.get_archive(container, "/tmp/file"))
            assert engine.image(IMAGE) is not None
            assert "hello\n" == bench.output(sh("printf 'hello\\n'")).decode()
        engine.close()


@pytest.mark.parametrize("own", [True, False])
def test_a_context_reaches_an_engine_behind_tls(real: Bench, tmp_path: Path, own: bool) -> None:
    """
    By the files of the context, with a certificate of the user's own or the authority alone.
    Another authority, or none, is an error that says what to do.
    """
    if not real.engine.url.startswith("unix://"):
        pytest.skip(f"the engine is not on this machine: {real.engine.url}")
    write_certificates(tmp_path)
    server = server_side(tmp_path)
    if not own:
        server.verify_mode = ssl.CERT_NONE
    digest = hashlib.sha256(b"work").hexdigest()
    meta = tmp_path / "contexts" / "meta" / digest / "meta.json"
    files = tmp_path / "contexts" / "tls" / digest / "docker"
    for folder in (meta.parent, files):
        folder.mkdir(parents=True)
    for name in ("ca", "cert", "key") if own else ("ca",):
        shutil.copy(tmp_path / f"{name}.pem", files)
    environ = {"DOCKER_CONFIG": str(tmp_path)}
    with forwarded(unix_path(real.engine.url), server) as port:
        url = f"tcp://127.0.0.1:{port}"
        endpoint = {"Host": url, "SkipTLSVerify": False}
        meta.write_text(json.dumps({"Name": "work", "Endpoints": {"docker": endpoint}}))

        engine = find_engine("work", environ)
        assert real.engine.version() == engine.version()
        engine.close()

        with pytest.raises(EngineUnavailable, match="if it expects TLS, set DOCKER_TLS_VERIFY"):
            find_engine(url, environ)
        write_certificates(files)
        with pytest.raises(EngineUnavailable, match=r"(?i)certificate|unknown ca"):
            find_engine("context:work", environ)


def test_podman_is_started_for_a_session(real: Bench) -> None:
    """
    Where it is installed and no socket answers. It has the images of podman, runs containers, and
    ends with the session.
    """
    if real.engine.version()["name"] != "podman":
        pytest.skip("only Podman is started for a session")
    if not shutil.which("podman"):
        pytest.skip("there is no podman command beside the engine")
    # Short, and the engine sees it: tools/other_engine.py.
    with tempfile.TemporaryDirectory(prefix="codex-podman-", dir="/tmp") as folder:
        place = Path(folder) / "codex-workspace/podman.sock"
        environ = {"PATH": os.environ["PATH"], "HOME": folder, "XDG_RUNTIME_DIR": folder}
        engine = find_engine("podman", environ)
        try:
            with opened(engine) as bench:
                assert f"unix://{place}" == engine.url
                assert engine.image(IMAGE) == real.engine.image(IMAGE)
                assert b"hello" == bench.output(sh("printf hello"))
        finally:
            engine.close()

        def listens() -> bool:
            with socket.socket(socket.AF_UNIX) as client:
                return client.connect_ex(str(place)) == 0

        assert wait_until(lambda: not listens())

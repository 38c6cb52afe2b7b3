"""Tests of the process of a service, with a real agent."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from pytest_codex_workspace.access.wait import is_listening
from pytest_codex_workspace.errors import ServiceError
from pytest_codex_workspace.options.services import ReadyWhen, ServiceSpec
from pytest_codex_workspace.reporting.output import Output
from pytest_codex_workspace.secrets.secrets import Secrets
from pytest_codex_workspace.services import service
from pytest_codex_workspace.services.service import Service, Services
from pytest_codex_workspace.workspace.channel import Channel
from pytest_codex_workspace.workspace.process import Process

SERVE = """
import os, socket, sys, time
print("token hush-hush pid", os.getpid(), flush=True)
s = socket.create_server(("127.0.0.1", int(sys.argv[1])))
print("serving", flush=True)
time.sleep(600)
"""

Make = Any


@pytest.fixture
def make(channel: Channel) -> Iterator[Make]:
    """
    Return a function that declares a service, which is stopped after the test.
    """
    made: list[Service] = []
    secrets = Secrets(["TOKEN"], {"TOKEN": "hush-hush"})
    assert secrets.values

    def declare(command: Any, **fields: Any) -> Service:
        ready = ReadyWhen(**fields.pop("ready", {}))
        spec = ServiceSpec("db", command, ready, **fields)
        made.append(Service(spec, channel, "/", secrets))
        return made[-1]

    yield declare
    for one in made:
        if one.running and one.exit_code is None:
            one.stop()


def test_a_service_is_waited_for_and_ends_when_it_is_stopped(make: Make, port: int) -> None:
    """
    Its output has no secrets. It can be started again on the same port.
    """
    db = make(("python3", "-I", "-c", SERVE, str(port)), ready={"port": port, "output": "serving"})
    assert not db.running
    assert db.exit_code is None

    db.start()
    first = db.output
    db.start()
    assert db.running
    assert first == db.output
    assert "token *** pid" in first
    assert "<Service db running>" == repr(db)

    db.restart()
    assert db.running
    assert 2 == db.output.count("serving")
    db.stop()
    assert not db.running
    assert 143 == db.exit_code
    assert [] == db.describe_end()


def test_a_service_that_ends_at_once_is_explained(make: Make) -> None:
    """
    The error has its exit code, the end of its output without secrets, and what to do.
    """
    for ready in ({}, {"output": "never"}):
        db = make("seq 100; echo hush-hush: no data directory >&2; exit 3", ready=ready)
        with pytest.raises(ServiceError) as caught:
            db.start()

        text = str(caught.value)
        assert "the service db ended with exit code 3 after" in text
        assert ("before it was ready (output 'never')" in text) == bool(ready)
        assert "  | 100\n  | ***: no data directory\nCorrect its command." in text
        assert "| 80\n" not in text
        assert "codex-workspace shell --from=setup" in text
        assert ("db", 3) == (caught.value.service, caught.value.exit_code)
        assert "hush" not in caught.value.output
        assert not db.running


def test_a_start_that_takes_long_is_no_life(make, channel, monkeypatch) -> None:
    """
    On a busy machine, a second passes before the process is there. It counts as ready if it lives
    from then on.
    """
    start, skipped = channel.start, [0.0]
    real = service.clock.monotonic

    def slow(*arguments: Any, **keywords: Any) -> Process:
        skipped[0] += 1
        return start(*arguments, **keywords)

    monkeypatch.setattr(channel, "start", slow)
    monkeypatch.setattr(service.clock, "monotonic", lambda: real() + skipped[0])

    with pytest.raises(ServiceError, match="exit code 3"):
        make("sleep 0.2; exit 3").start()


def test_a_service_that_ends_during_the_last_look_is_not_ready(make, monkeypatch) -> None:
    """
    What is true of a process is asked after what is true of the time.
    """

    def end_it(db: Service, left: float) -> str:
        db._process.kill()
        db._process.wait()
        return ""

    monkeypatch.setattr(Service, "_missing", end_it)

    with pytest.raises(ServiceError, match="exit code 137"):
        make("sleep 60").start()


@pytest.mark.parametrize(
    ("command", "words"),
    [
        (("no-such-program",), "Install its program in codex-workspace-scripts/setup-script.sh"),
        ("true", "A service stays in the foreground"),
    ],
)
def test_the_remedy_fits_the_exit_code(make: Make, command: Any, words: str) -> None:
    """
    A program may be missing, and a command may go to the background.
    """
    with pytest.raises(ServiceError) as caught:
        make(command).start()

    assert words in str(caught.value)


def test_a_service_that_is_not_ready_in_time_is_an_error(make: Make, port: int) -> None:
    """
    The error says what was missing.
    """
    db = make("echo begun; exec sleep 600", ready={"port": port}, timeout=0.1)
    with pytest.raises(ServiceError) as caught:
        db.start()

    text = str(caught.value)
    assert f"not ready within 0.1 s: nothing listens on port {port}\n" in text
    assert "services.db.timeout sets the limit" in text
    assert caught.value.exit_code is None


def test_a_service_that_cannot_begin_is_an_error(make: Make) -> None:
    """
    Its directory or user does not exist.
    """
    for fields in ({"cwd": "no/such/dir"}, {"user": "nobody-of-that-name"}):
        with pytest.raises(ServiceError, match=r"cannot be started: .*\. Correct services\.db"):
            make("sleep 600", **fields).start()


def test_a_port_that_is_taken_is_named(make: Make, port: int) -> None:
    """
    Otherwise, the other process would seem to be the service.
    """
    make(("python3", "-I", "-c", SERVE, str(port)), ready={"port": port}).start()

    with pytest.raises(ServiceError, match=f"another process listens on port {port} already"):
        make("sleep 600", ready={"port": port}).start()


def test_a_command_may_go_to_the_background(make: Make, port: int, channel: Channel) -> None:
    """
    Then it runs as long as it is ready, and no signal of ours reaches it.
    """
    script = 'setsid python3 -I -c "$SERVE" $PORT >/dev/null 2>&1 </dev/null & echo $! >&2; exit 0'
    db = make(script, ready={"port": port}, env={"SERVE": SERVE, "PORT": str(port)})
    db.start()
    pid = db.output.strip()

    assert db.running
    assert [] == db.describe_end()
    with pytest.raises(ServiceError, match="its command went to the background"):
        db.stop()
    channel.run(["kill", "-KILL", pid])
    while db.running:
        pass
    db.stop()


def test_children_are_ended_with_it(make: Make, port: int) -> None:
    """
    A shell that ends at once would leave its server with the port, which ignores SIGTERM.
    """
    serve = 'trap "" TERM; exec python3 -I -c "$SERVE" $PORT >/dev/null 2>&1'
    script = f'trap "exit 1" TERM; ({serve}) & wait'
    db = make(script, ready={"port": port}, env={"SERVE": SERVE, "PORT": str(port)})
    db.start()

    db.restart()
    assert db.running


def test_a_service_that_ignores_sigterm_is_killed(make: Make) -> None:
    """
    The time that it gets for its end can be chosen.
    """
    db = make('trap "" TERM; echo up; while :; do sleep 0.01; done', ready={"output": "up"})
    db.start()

    db.stop(timeout=0.01)
    assert db.exit_code == 128 + 9
    assert not db.running


def test_a_service_that_ends_later_is_described(make: Make, tmp_path: Path) -> None:
    """
    A test can show what has become of it. What was printed at last is there.
    """
    script = 'echo one; until [ -e "$GO" ]; do sleep 0.01; done; echo "panic: two" >&2; exit 9'
    db = make(script, ready={"output": "one"}, env={"GO": str(tmp_path / "go")})
    db.start()
    (tmp_path / "go").touch()
    while db.running:
        pass

    assert db.describe_end(1) == [
        "the service db ended with exit code 9",
        "the end of its output:",
        "  | panic: two",
    ]


def test_a_service_runs_in_its_own_phase_only(make: Make, port: int, channel: Channel) -> None:
    """
    Another phase ends every process; afterwards what ran is started again, and nothing else.
    """
    db = make(("python3", "-I", "-c", SERVE, str(port)), ready={"port": port})
    stopped, background = make("exec sleep 600"), make("true", ready={"command": "true"})
    services = Services([db])
    for one in (db, stopped, background):
        one.start()
    stopped.stop()

    for one in (services, stopped, background):
        one.suspend()
    # As ending every process does.
    channel.run(["bash", "-c", 'kill -KILL "${1##* }"', "bash", db.output.splitlines()[0]])
    while is_listening(channel, port):
        pass
    services.suspend()
    assert [] == db.describe_end()
    for one in (services, stopped, background):
        one.resume()

    assert db.running
    assert 2 == db.output.count("pid")
    assert not stopped.running


@pytest.mark.parametrize("kind", ["output", pytest.param("path", marks=pytest.mark.slow)])
def test_a_service_in_the_background_is_started_again_after_a_phase(
    make: Make, tmp_path: Path, kind: str
) -> None:
    """
    What it left says nothing: its output, and the file of its process id, which has the same
    length each time. The other phase may have started it by itself.
    """
    file, log = str(tmp_path / "pid"), tmp_path / "log"
    ready = {"output": "up", "path": file}[kind]
    env = {"FILE": file, "LOG": str(log)}
    db = make('echo begun >>"$LOG"; echo 12345 >"$FILE"; echo up', ready={kind: ready}, env=env)
    db.start()

    db.suspend()
    assert not db.running
    assert [] == db.describe_end()
    if kind == "output":
        db.start()
        db.suspend()
    db.resume()

    assert db.running
    assert (3 if kind == "output" else 2) == log.read_text().count("begun")


def test_output_is_bounded_and_never_blocks_a_service(make: Make) -> None:
    """
    More than a pipe holds, and than we keep. The text that is waited for may come early.
    """
    script = "echo ready-now; head -c 3000000 /dev/zero | tr '\\0' x; echo; echo done; sleep 600"
    db = make(script, ready={"output": "ready-now", "command": "true"})
    db.start()
    while "done" not in db.output:
        pass

    assert 65536 >= len(db.output) > 60000
    assert db.running


def test_services_start_in_order_and_the_first_failure_ends_it(make: Make) -> None:
    """
    A long start has a step, with the last line of its output.
    """
    first, second, third = make("sleep 600"), make("exit 1"), make("sleep 600")
    for one, name in ((first, "a"), (second, "b"), (third, "c")):
        object.__setattr__(one.spec, "name", name)
    services = Services([first, second, third])

    with pytest.raises(ServiceError, match="the service b ended"):
        services.start(Output("progress", print))

    assert ["a", "b", "c"] == list(services)
    assert [True, False, False] == [one.running for one in services.values()]
    assert third.exit_code is None
    assert "c" in services
    with pytest.raises(KeyError, match=r"no service 'aa'.*declares: a, b, c"):
        _ = services["aa"]

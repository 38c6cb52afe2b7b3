"""Tests of when a service is ready, with a real agent."""

from __future__ import annotations

import socket
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pytest_codex_workspace.access.wait import is_listening
from pytest_codex_workspace.options.services import ReadyWhen, ServiceSpec
from pytest_codex_workspace.services.readiness import Readiness, argv_of
from pytest_codex_workspace.unpatched import clock
from pytest_codex_workspace.workspace.channel import Channel

if TYPE_CHECKING:
    import pytest


def readiness(channel: Channel, project: Path = Path("/"), **ready: Any) -> Readiness:
    spec = ServiceSpec("web", "true", ReadyWhen(**ready), env={"WHO": "me"})
    found = Readiness(spec, channel, str(project))
    assert found.begin() == ""
    return found


def missing(found: Readiness, *, has_output: bool = False) -> str:
    return found.missing(10.0, has_output=has_output)


def test_a_port_is_ready_once_something_listens_on_it(channel: Channel, port: int) -> None:
    """
    A connected port does not count, and nothing connects to it. IPv6 counts as well.
    """
    found = readiness(channel, port=port)
    assert f"nothing listens on port {port}" == missing(found)

    with socket.socket() as server:
        server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        server.bind(("127.0.0.1", port))
        assert not is_listening(channel, port)
        server.listen()
        server.setblocking(False)

        assert "" == missing(found)
        assert f"another process listens on port {port} already" == found.begin()
        try:
            server.accept()
        except BlockingIOError:
            pass
        else:
            raise AssertionError("it was connected to")
    with socket.socket(socket.AF_INET6) as server:
        server.bind(("::1", port))
        server.listen()
        assert is_listening(channel, port)
        with socket.create_connection(("::1", port)) as client:
            assert not is_listening(channel, client.getsockname()[1])


def test_a_file_that_setup_left_says_nothing(
    channel: Channel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """
    A new file counts, and one that has changed. A relative path starts at the directory of the
    service.
    """
    found = readiness(channel, tmp_path, path="up")
    assert "up does not exist" == missing(found)
    (tmp_path / "up").write_text("1")
    assert "" == missing(found)

    monkeypatch.setattr(clock, "sleep", lambda _: None)
    again = readiness(channel, tmp_path, path="up")
    assert "up is as it was before the start" == missing(again)
    (tmp_path / "up").write_text("12")
    assert "" == missing(again)


def test_a_start_waits_for_the_next_second_after_a_file_was_written(
    channel: Channel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """
    A file of the same length that is written within one second would look as before.
    """
    slept: list[float] = []
    monkeypatch.setattr(clock, "sleep", slept.append)
    (tmp_path / "up").write_text("1")
    readiness(channel, tmp_path, path="up")
    assert len(slept) == 1
    assert slept[0] > 1

    now = clock.wall_time()
    monkeypatch.setattr(clock, "wall_time", lambda: now + 5)
    readiness(channel, tmp_path, path="up")
    readiness(channel, tmp_path, path="absent")
    assert len(slept) == 1


def test_a_socket_counts_while_somebody_listens(channel: Channel, tmp_path: Path) -> None:
    """
    The file of a socket outlives its server, in an image too.
    """
    path = tmp_path / "s.sock"
    found = readiness(channel, path=str(path))
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(path))
        assert f"nothing listens on the socket {path}" == missing(found)
        server.listen()
        assert "" == missing(found)

    assert f"nothing listens on the socket {path}" == missing(found)


def test_a_command_is_ready_when_it_succeeds(channel: Channel, tmp_path: Path) -> None:
    """
    It runs like the service. What it says is shown; it may also be slow or missing.
    """
    assert "" == missing(readiness(channel, command='test "$WHO" = me'))
    failing = readiness(channel, command=["sh", "-c", "echo not yet >&2; exit 3"])
    assert "its readiness command exits with 3: not yet" == missing(failing)
    slow = readiness(channel, command=("sleep", "60"))
    assert "did not end within 0.1 s" in slow.missing(0.0, has_output=False)
    nowhere = readiness(channel, tmp_path / "none", command="true")
    assert "its readiness command cannot be run: No such file or directory" == missing(nowhere)


def test_output_is_waited_for(channel: Channel) -> None:
    """
    Whoever reads the output knows whether it has come.
    """
    found = readiness(channel, output="Listening")

    assert "its output does not have 'Listening'" == missing(found)
    assert "" == missing(found, has_output=True)


def test_a_command_is_run_as_by_exec() -> None:
    """
    Text is for a login shell, a list is a program.
    """
    assert ["bash", "-lc", "a b"] == argv_of("a b")
    assert ["a", "b"] == argv_of(("a", "b"))

"""The addresses that an option stands for; `test_find` has their order."""

from __future__ import annotations

import errno
import socket
import sys
from typing import TYPE_CHECKING

import pytest

from pytest_codex_workspace.engine.places import choose, podman_connections, podman_service
from pytest_codex_workspace.engine.places.choose import likely_place, places_of
from pytest_codex_workspace.errors import EngineUnavailable

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture(autouse=True)
def no_podman(monkeypatch: pytest.MonkeyPatch) -> None:
    """
    A machine without podman.
    """
    monkeypatch.setattr(podman_connections, "_SYSTEM", ())
    monkeypatch.setattr(podman_service, "can_start_podman", lambda _: False)


@pytest.fixture
def listening(tmp_path: Path) -> Iterator[str]:
    """
    The address of a socket that takes connections and never answers.
    """
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / "engine.sock"))
        listener.listen()
        yield f"unix://{tmp_path}/engine.sock"


def test_the_likely_engine_is_a_socket_that_takes_connections(
    tmp_path: Path, listening: str
) -> None:
    """
    One that is left behind does not. An address on another machine is not asked.
    """
    (tmp_path / "podman").mkdir()
    with socket.socket(socket.AF_UNIX) as left:
        left.bind(str(tmp_path / "podman" / "podman.sock"))
    environ = {"HOME": str(tmp_path), "XDG_RUNTIME_DIR": str(tmp_path)}

    assert listening == likely_place(listening, environ).url
    assert "ssh://far" == likely_place("auto", {**environ, "DOCKER_HOST": "ssh://far"}).url
    found = likely_place("podman", environ)
    assert found is None or f"unix://{tmp_path}/podman/podman.sock" != found.url


@pytest.mark.parametrize("choice", ["nonsense", "ssh://-x", "context:gone"])
def test_there_is_no_likely_engine_for_a_mistake(tmp_path: Path, choice: str) -> None:
    """
    The error comes when the engine is needed.
    """
    assert likely_place(choice, {"HOME": str(tmp_path)}) is None


def test_podman_is_started_last(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """
    Docker alone never starts it.
    """
    monkeypatch.setattr(podman_service, "can_start_podman", lambda _: True)
    environ = {"HOME": str(tmp_path), "XDG_RUNTIME_DIR": str(tmp_path)}

    for choice in ("auto", "podman"):
        *sockets, last = (one for one in places_of(choice, environ) if not one.last_resort)
        assert last.starts
        assert not any(one.starts for one in sockets)
    assert not any(one.starts for one in places_of("docker", environ))
    assert not any(
        one.starts for one in places_of("auto", {**environ, "CONTAINER_HOST": "unix:///x"})
    )


def test_the_engine_without_a_daemon_has_a_directory(tmp_path: Path) -> None:
    """
    In that for caches, unless the user names one. Nothing else is tried.
    """
    environ = {"HOME": str(tmp_path)}
    cache = {**environ, "XDG_CACHE_HOME": "/cache"}

    for choice, variables, url in (
        ("native", environ, f"native://{tmp_path}/.cache/codex-workspace/native"),
        ("native", cache, "native:///cache/codex-workspace/native"),
        ("native:///mine", environ, "native:///mine"),
    ):
        assert [url] == [one.url for one in places_of(choice, variables)]
        assert url == likely_place(choice, variables).url


def test_the_engine_without_a_daemon_is_the_last_resort(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """
    Of `auto`, on Linux.
    """
    environ = {"HOME": str(tmp_path)}
    monkeypatch.setattr(sys, "platform", "linux")

    monkeypatch.setattr(choose, "_failure_of", lambda _: errno.ENOENT)

    *_, last = places_of("auto", environ)
    assert (True, "") == (last.url.startswith("native://"), last.problem)
    assert likely_place("auto", environ) == last

    # An engine that is down for a minute keeps its images.
    monkeypatch.setattr(choose, "_failure_of", lambda _: errno.ECONNREFUSED)
    assert likely_place("auto", environ) is None
    assert likely_place("native", environ) is not None
    monkeypatch.setattr(choose, "_failure_of", lambda _: errno.ENOENT)

    monkeypatch.setattr(sys, "platform", "darwin")
    for choice in ("auto", "docker", "podman"):
        assert not any(one.url.startswith("native://") for one in places_of(choice, environ))


def test_a_mistake_is_an_error_before_anything_is_tried(tmp_path: Path) -> None:
    """
    Also where a context has a similar name.
    """
    with pytest.raises(EngineUnavailable, match="'dokcer' is not a container engine"):
        next(places_of("dokcer", {"HOME": str(tmp_path)}))

"""The sockets of the programs that bring an engine."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from pytest_codex_workspace.engine.places import sockets

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize(
    ("place", "origin"),
    [
        (".docker/run/docker.sock", "Docker Desktop"),
        (".docker/desktop/docker.sock", "Docker Desktop"),
        (".colima/default/docker.sock", "Colima"),
        (".colima/docker.sock", "Colima"),
        (".colima/work/docker.sock", "Colima"),
        (".config/colima/default/docker.sock", "Colima"),
        (".rd/docker.sock", "Rancher Desktop"),
        (".orbstack/run/docker.sock", "OrbStack"),
        (".lima/docker/sock/docker.sock", "Lima"),
    ],
)
def test_other_programs_are_found_by_their_sockets(tmp_path: Path, place: str, origin: str) -> None:
    """
    They come with Docker's own, which are always tried.
    """
    (tmp_path / place).parent.mkdir(parents=True)
    (tmp_path / place).touch()

    found = list(sockets.docker_sockets({"HOME": str(tmp_path), "XDG_RUNTIME_DIR": "/run/user/7"}))

    assert "unix:///var/run/docker.sock" == found[0].url
    assert "unix:///run/user/7/docker.sock" in [one.url for one in found]
    assert [(origin, f"unix://{tmp_path}/{place}")] == [
        (one.origin, one.url) for one in found if str(tmp_path) in one.url
    ]


def test_the_socket_of_a_podman_machine_is_found(tmp_path: Path) -> None:
    """
    After those of Podman on this machine.
    """
    machine = tmp_path / ".local/share/containers/podman/machine/podman.sock"
    machine.parent.mkdir(parents=True)
    machine.touch()

    found = list(sockets.podman_sockets({"HOME": str(tmp_path), "XDG_RUNTIME_DIR": "/run/user/7"}))

    assert [
        "unix:///run/user/7/podman/podman.sock",
        "unix:///run/podman/podman.sock",
        f"unix://{machine}",
    ] == [one.url for one in found]

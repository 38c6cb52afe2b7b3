"""Podman's variables and its list of connections."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from pytest_codex_workspace.engine.places import podman_connections
from pytest_codex_workspace.engine.places.place import SshWay, TlsFiles

if TYPE_CHECKING:
    from pathlib import Path

TOML = """
[engine]
active_service = "old"
[engine.service_destinations.old]
uri = "ssh://me@old/run/podman/podman.sock"
identity = "/old/key"
[engine.service_destinations.both]
uri = "ssh://me@both-of-toml"
"""


@pytest.fixture
def environ(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """
    The environment of a user whose settings are in the test's directory.
    """
    monkeypatch.setattr(podman_connections, "_SYSTEM", (str(tmp_path / "etc"),))
    (tmp_path / "containers").mkdir()
    return {"XDG_CONFIG_HOME": str(tmp_path)}


def write_list(where: Path, default: str, **connections: object) -> None:
    """
    Write the list as Podman 5 does.
    """
    (where / "containers" / "podman-connections.json").write_text(
        json.dumps({"Connection": {"Default": default, "Connections": connections}, "Farm": {}})
    )


def test_the_default_connection_and_machines_are_taken(
    tmp_path: Path, environ: dict[str, str]
) -> None:
    """
    In this order. Other connections lead to machines that nobody has chosen.
    """
    write_list(
        tmp_path,
        "far",
        vm={"URI": "ssh://core@127.0.0.1:5/run/x.sock", "Identity": "/key", "IsMachine": True},
        far={"URI": "tcp://far:1", "TLSCA": "/ca", "TLSCert": "/cert", "TLSKey": "/key"},
        other={"URI": "ssh://other"},
    )

    far, machine = podman_connections.connections(environ)

    assert ("the podman connection 'far'", "tcp://far:1") == (far.origin, far.url)
    assert TlsFiles("/ca", ("/cert", "/key")) == far.tls
    assert "the podman machine 'vm'" == machine.origin
    assert SshWay("podman", "/key", machine=True) == machine.ssh


def test_connections_of_podman_4_are_read(tmp_path: Path, environ: dict[str, str]) -> None:
    """
    They are in containers.conf; the newer list has the last word.
    """
    (tmp_path / "containers" / "containers.conf").write_text(TOML)

    (old,) = podman_connections.connections(environ)
    assert ("ssh://me@old/run/podman/podman.sock", "/old/key") == (old.url, old.ssh.identity)

    write_list(tmp_path, "both", both={"URI": "ssh://me@both-of-json"})
    (both,) = podman_connections.connections(environ)
    assert "ssh://me@both-of-json" == both.url


def test_parts_and_other_files_count(tmp_path: Path, environ: dict[str, str]) -> None:
    """
    As podman reads them: those of the system first.
    """
    parts = tmp_path / "etc" / "containers.conf.d"
    parts.mkdir(parents=True)
    (parts / "50.conf").write_text(TOML)
    (only,) = podman_connections.connections(environ)
    assert "ssh://me@old/run/podman/podman.sock" == only.url

    (tmp_path / "mine.conf").write_text(TOML.replace("@old", "@mine"))
    mine = {**environ, "CONTAINERS_CONF": str(tmp_path / "mine.conf")}
    assert "ssh://me@mine/run/podman/podman.sock" == next(podman_connections.connections(mine)).url


@pytest.mark.parametrize("text", ["{", "[]", "{}", '{"Connection": []}', '{"Connection": null}'])
def test_a_damaged_list_is_told_and_not_raised(
    tmp_path: Path, environ: dict[str, str], text: str
) -> None:
    """
    Whatever the file has.
    """
    (tmp_path / "containers" / "podman-connections.json").write_text(text)

    (told,) = podman_connections.connections(environ)

    assert "podman-connections.json cannot be read" in told.problem


def test_odd_entries_are_told_and_not_raised(tmp_path: Path, environ: dict[str, str]) -> None:
    """
    An entry that is no table has no address.
    """
    write_list(tmp_path, "b", a=7, b={"IsMachine": True})

    (told,) = podman_connections.connections(environ)

    assert "it has no address" == told.problem


def test_variables_name_a_service(tmp_path: Path, environ: dict[str, str]) -> None:
    """
    The address comes before the name; a name that is not on the list is told.
    """
    write_list(tmp_path, "", vm={"URI": "unix:///x"})

    host = {"CONTAINER_HOST": "ssh://h", "CONTAINER_SSHKEY": "/k", "CONTAINER_CONNECTION": "vm"}
    named = podman_connections.named_service({**environ, **host})
    assert ("ssh://h", SshWay("podman", "/k")) == (named.url, named.ssh)
    assert "unix:///x" == (
        podman_connections.named_service({**environ, "CONTAINER_CONNECTION": "vm"}).url
    )
    gone = podman_connections.named_service({**environ, "CONTAINER_CONNECTION": "gone"})
    assert "podman system connection list" in gone.problem
    assert podman_connections.named_service(environ) is None

"""The ssh command to another machine."""

from __future__ import annotations

import pytest

from pytest_codex_workspace.engine.places.place import SshWay
from pytest_codex_workspace.engine.places.ssh import ssh_command, ssh_problem


@pytest.mark.parametrize(
    "url",
    [
        "ssh://-oProxyCommand=touch%20x",
        "ssh://-oProxyCommand=x/run/x.sock",
        "ssh://-F@host",
        "ssh://%2doops@host",
        "ssh://$(touch x)@host",
        "ssh://me@ho;st",
        "ssh://`x`",
        "ssh://me:secret@host",
        "ssh://host:99999",
        "ssh://host?x",
        "ssh://host#x",
        "ssh://",
        "ssh://me@",
    ],
)
def test_what_ssh_or_a_shell_could_misunderstand_is_refused(url: str) -> None:
    """
    Neither a host nor a user begins like an option or has a character of the shell.
    """
    problem = ssh_problem(url)

    assert problem
    assert "secret" not in problem


@pytest.mark.parametrize(
    "url",
    [
        "ssh://host",
        "ssh://me@host.example:2222",
        "ssh://host_1",
        "ssh://me@[::1]:22",
        "ssh://DOMAIN%5Cme@host",
        "ssh://core@127.0.0.1:5/run/user/501/podman/podman.sock",
    ],
)
def test_usual_addresses_are_accepted(url: str) -> None:
    """
    With a user, a port, and the path of a socket.
    """
    assert "" == ssh_problem(url)


def test_ssh_neither_asks_nor_waits_for_ever() -> None:
    """
    The host comes after the end of the options.
    """
    command = ssh_command("ssh://me@host:2222", SshWay(), "system", "dial-stdio")

    assert "BatchMode=yes" in command
    assert "ConnectTimeout=10" in command
    assert "ServerAliveInterval=20" in command
    assert ["-l", "me", "-p", "2222", "--", "host", "docker", "system", "dial-stdio"] == command[
        -9:
    ]


@pytest.mark.parametrize(("program", "option"), [("docker", "--host"), ("podman", "--url")])
def test_the_path_of_an_address_is_a_socket_on_the_other_machine(program, option) -> None:
    """
    It is quoted for the shell of that machine.
    """
    command = ssh_command("ssh://host/run/my%20own.sock", SshWay(program), "version")

    assert [program, option, "'unix:///run/my own.sock'", "version"] == command[-4:]


def test_a_virtual_machine_of_podman_is_known_by_its_key() -> None:
    """
    It has another host key whenever it is made, and listens on this machine only. For any other
    host, the host key counts.
    """
    way = SshWay("podman", identity="/the/key", machine=True)

    near = ssh_command("ssh://core@127.0.0.1:5/run/x.sock", way, "version")
    far = ssh_command("ssh://core@far/run/x.sock", way, "version")

    assert "StrictHostKeyChecking=no" in near
    assert "StrictHostKeyChecking=no" not in far
    for command in (near, far):
        assert ["-i", "/the/key"] == command[2:4]
        assert "IdentitiesOnly=yes" in command

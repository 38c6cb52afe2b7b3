"""
The `ssh` command that connects to an engine on another machine.

OpenSSH's own program reads the user's configuration, agent, jump hosts and known hosts, as the
docker command does; a library (paramiko in the SDK) knows a part of them.
"""

from __future__ import annotations

import re
import shlex
import urllib.parse
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .place import SshWay

__all__ = ["ssh_command", "ssh_problem"]

_HOST = re.compile(r"[A-Za-z0-9_:][A-Za-z0-9_.:%-]*")

_USER = re.compile(r"[A-Za-z0-9_.][A-Za-z0-9_.@\\+-]*")
"""Neither may begin like an option, nor have a character of the shell: a `ProxyCommand` of the
user's configuration may pass both to one."""

_OPTIONS = {
    # Nobody can answer in a test run.
    "BatchMode": "yes",
    "ConnectTimeout": "10",
    # Long calls have no time limit, so this detects a vanished host.
    "ServerAliveInterval": "20",
    "ServerAliveCountMax": "3",
    "PermitLocalCommand": "no",
}

_MACHINE = {
    "StrictHostKeyChecking": "no",
    "UserKnownHostsFile": "/dev/null",
    "LogLevel": "ERROR",
}
"""As podman itself does for its virtual machines, which listen on this machine only."""

_LOOPBACK = ("127.0.0.1", "::1", "localhost")


def ssh_problem(url: str) -> str:
    """
    Return what is wrong with an `ssh://` URL; empty if nothing is.
    """
    try:
        parts = urllib.parse.urlsplit(url)
        _ = parts.port
    except ValueError:
        return "the port is not a number up to 65535"
    host = parts.hostname or ""
    if parts.password is not None:
        return "ssh takes no password from an address; use a key or an agent"
    if parts.query or parts.fragment:
        return "the address is ssh://USER@HOST:PORT, and the path of a socket if it is unusual"
    if not host:
        return "the address has no host"
    if not _HOST.fullmatch(host):
        return f"{host!r} is not the name of a host"
    if parts.username is not None and not _USER.fullmatch(urllib.parse.unquote(parts.username)):
        return f"{parts.username!r} is not the name of a user"
    return ""


def ssh_command(url: str, way: SshWay, *command: str) -> list[str]:
    """
    Return the command line that runs the docker or podman *command* on the other machine. It
    never prompts.
    """
    parts = urllib.parse.urlsplit(url)
    options = dict(_OPTIONS)
    line = ["ssh", "-T"]
    if way.machine and parts.hostname in _LOOPBACK:
        options |= _MACHINE
    if way.identity:
        line += ["-i", way.identity]
        options["IdentitiesOnly"] = "yes"
    for name, value in options.items():
        line += ["-o", f"{name}={value}"]
    if parts.username:
        line += ["-l", urllib.parse.unquote(parts.username)]
    if parts.port:
        line += ["-p", str(parts.port)]
    path = urllib.parse.unquote(parts.path)
    named = {"docker": "--host", "podman": "--url"}[way.program]
    engine = [named, f"unix://{path}"] if path.strip("/") else []
    # The other machine's shell splits what it gets.
    return [*line, "--", parts.hostname or "", *map(shlex.quote, (way.program, *engine, *command))]

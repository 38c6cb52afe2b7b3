"""Lists what runs in a workspace, and where it listens. The host sends this program there, and
reads the tables of a workspace by it.

The output is JSON: `processes` has the command line of each, as `argv`, the ports and sockets on
which it listens, as `at`, and whether it holds the output of a script, as `held`; `ports` has
further ports on which somebody listens. What it prints is not trusted.
"""

from __future__ import annotations

import json
import os
import re
import sys
import time

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Any

__all__ = ["PORT_TABLES", "SOCKET_TABLE", "list_processes", "main", "ports_in", "sockets_in"]

PORT_TABLES = ("/proc/net/tcp", "/proc/net/tcp6")
SOCKET_TABLE = "/proc/net/unix"
_SECONDS = 5.0
_MOST = 50
_DESCRIPTORS = 4096
_TABLE = 4 << 20
_COMMAND_LINE = 8192
_LISTENS, _ACCEPTS = "0A", 0x10000
_RESOLVER = "0B00007F:"
"""127.0.0.11, where the engine itself listens, as Linux lists it."""


class _Process:
    """
    What one process is, and has open.
    """

    def __init__(self, number: int, argv: list[str], parent: int) -> None:
        self.number = number
        self.argv = argv
        self.parent = parent
        self.sockets: set[str] = set()
        self.reads: set[str] = set()
        self.writes: set[str] = set()
        self.at: list[int | str] = []
        self.held = False


def list_processes(numbers: Iterable[int]) -> dict[str, Any]:
    """
    Return those of some processes that say most, servers first. Of a tree without a server, that
    is the topmost one; of others, the servers; and whoever holds the output of a script.
    """
    until = time.monotonic() + _SECONDS
    found: dict[int, _Process] = {}
    for number in sorted(numbers):
        one = _look_at(number) if time.monotonic() < until else None
        if one is not None:
            found[number] = one
    ports = _give_addresses(found.values())
    busy = set()
    read = {pipe for one in found.values() for pipe in one.reads}
    for one in found.values():
        # A pipe that no process of the workspace reads is that of the script.
        one.held = bool(one.writes - read)
        above = one.number
        while one.at and above in found and above not in busy:
            busy.add(above)
            above = found[above].parent
    listed = [
        one
        for one in found.values()
        if one.at or one.held or (one.number not in busy and one.parent not in found)
    ]
    listed.sort(key=lambda one: (not one.at, not one.held))
    processes = [{"argv": one.argv, "at": one.at, "held": one.held} for one in listed[:_MOST]]
    return {"processes": processes, "ports": ports}


def _look_at(number: int) -> _Process | None:
    """
    Return a process; none if it has ended.
    """
    directory = f"/proc/{number}"
    fields = dict(re.findall(r"^(\w+):\s*(\S+)", _read(directory + "/status", _TABLE), re.M))
    if fields.get("State", "Z") in "ZX":
        return None
    line = _read(directory + "/cmdline", _COMMAND_LINE)
    if len(line) >= _COMMAND_LINE:
        # Not cut within a word: the host could not recognise a secret that is cut.
        line = line.rpartition("\0")[0]
    argv = [word for word in line.split("\0") if word] or [fields.get("Name", "?")]
    process = _Process(number, argv, int(fields.get("PPid", 0)))
    is_root = os.geteuid() == 0
    try:
        if is_root:
            # Without CAP_SYS_PTRACE, root must not see what another user's process has open.
            os.setegid(int(fields["Gid"]))
            os.seteuid(int(fields["Uid"]))
        for name in os.listdir(directory + "/fd")[:_DESCRIPTORS]:
            _look_into(directory + "/fd/" + name, process)
    except (OSError, KeyError, ValueError):
        pass
    finally:
        if is_root:
            os.seteuid(0)
            os.setegid(0)
    return process


def _look_into(path: str, process: _Process) -> None:
    """
    Note what a descriptor of a process is.
    """
    try:
        link = os.readlink(path)
        if link.startswith("socket:["):
            process.sockets.add(link[8:-1])
        elif link.startswith("pipe:["):
            # The mode of the link says for which of both it is open.
            readable = os.lstat(path).st_mode & 0o400
            (process.reads if readable else process.writes).add(link)
    except OSError:
        pass


def _give_addresses(processes: Iterable[_Process]) -> list[int]:
    """
    Note for each server where it listens; of processes that share a socket, the first one has it.
    Return the ports that are left.
    """
    listening: dict[str, int | str] = {}
    for table in PORT_TABLES:
        listening.update(ports_in(_read(table, _TABLE)))
    listening.update(sockets_in(_read(SOCKET_TABLE, _TABLE)))
    known: set[int | str] = set()
    for one in processes:
        one.at = [listening.pop(inode) for inode in sorted(one.sockets) if inode in listening]
        known.update(one.at)
    left = {port for port in listening.values() if isinstance(port, int) and port not in known}
    return sorted(left)


def ports_in(table: str) -> dict[str, int]:
    """
    Return the ports on which somebody listens, by inode, of the text of a table in PORT_TABLES.
    """
    found = {}
    for line in table.splitlines()[1:]:
        words = line.split()
        if len(words) > 9 and words[3] == _LISTENS and not words[1].startswith(_RESOLVER):
            found[words[9]] = _hexadecimal(words[1].rpartition(":")[2])
    return found


def sockets_in(table: str) -> dict[str, str]:
    """
    Return the paths at which somebody listens, by inode, of the text of SOCKET_TABLE.
    """
    found = {}
    for line in table.splitlines()[1:]:
        words = line.split(None, 7)
        if len(words) == 8 and _hexadecimal(words[3]) & _ACCEPTS:
            found[words[6]] = words[7]
    return found


def _hexadecimal(text: str) -> int:
    try:
        return int(text[:16], 16)
    except ValueError:
        return 0


def _read(path: str, limit: int) -> str:
    try:
        with open(path, "rb") as file:
            return file.read(limit).decode("utf-8", "surrogateescape")
    except OSError:
        return ""


def main() -> None:
    """
    Print the processes of the workspace, without this one and the agent, which has started it.
    """
    others = {1, os.getpid(), os.getppid()}
    numbers = {int(name) for name in os.listdir("/proc") if name.isdigit()}
    json.dump(list_processes(numbers - others), sys.stdout)


if __name__ == "__main__":
    main()

"""What a setup script left running: servers that are gone in the next workspace."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from ..errors import CodexWorkspaceError, WorkspaceLost
from ..text.phrases import cut_end, first_of
from ..text.printable import printable
from ..workspace.handle import Daemon

if TYPE_CHECKING:
    from ..options.services import ServiceSpec
    from ..secrets.redaction import Redaction
    from ..workspace.channel import Channel

__all__ = [
    "LIST_DAEMONS",
    "daemon_warnings",
    "daemons_from",
    "explain_refusal",
    "list_daemons",
    "without_services",
]

_SECONDS = 10.0
_MOST = 50
_ADDRESSES = 20
_NAME = 60
_COMMAND = 200
_SHOWN = 4
_OUTPUT = 1 << 20

# Linux shows the descriptors of a process only to its own user, so the program becomes that user
# for each look. It runs before anything is saved, and whatever it prints is only text.
LIST_DAEMONS = r"""
import json, os, re, time
end = time.monotonic() + 5
def read(path):
    try:
        with open(path, "rb") as file:
            return file.read(4 << 20).decode("utf-8", "surrogateescape")
    except OSError:
        return ""
listening = {}
for table in ("tcp", "tcp6"):
    for line in read("/proc/net/" + table).splitlines()[1:]:
        words = line.split()
        if len(words) > 9 and words[3] == "0A":
            listening[words[9]] = int(words[1].rpartition(":")[2], 16)
for line in read("/proc/net/unix").splitlines()[1:]:
    words = line.split(None, 7)
    if len(words) == 8 and int(words[3], 16) & 0x10000:
        listening[words[6]] = words[7]
parents, found, pipes, read_pipes = {}, {}, {}, set()
for pid in sorted((int(name) for name in os.listdir("/proc") if name.isdigit())):
    if pid in (1, os.getpid(), os.getppid()) or time.monotonic() > end:
        continue
    status = read("/proc/%d/status" % pid)
    fields = dict(re.findall(r"^(\w+):\s*(\S+)", status, re.M))
    if not fields or fields.get("State", "Z") in "ZX":
        continue
    argv = [word for word in read("/proc/%d/cmdline" % pid).split("\0") if word]
    parents[pid] = int(fields.get("PPid", 0))
    found[pid] = {"argv": argv[:20] or [fields.get("Name", "?")], "at": []}
    try:
        os.setegid(int(fields["Gid"]))
        os.seteuid(int(fields["Uid"]))
        for name in os.listdir("/proc/%d/fd" % pid)[:4096]:
            try:
                link = os.readlink("/proc/%d/fd/%s" % (pid, name))
            except OSError:
                continue
            if link.startswith("socket:["):
                at = listening.pop(link[8:-1], None)
                if at is not None:
                    found[pid]["at"].append(at)
            elif link.startswith("pipe:["):
                # The end of a pipe: of its modes, the link has the first one if it is for reading.
                if os.lstat("/proc/%d/fd/%s" % (pid, name)).st_mode & 0o400:
                    read_pipes.add(link)
                elif name in ("1", "2"):
                    pipes.setdefault(pid, set()).add(link)
    except (OSError, KeyError, ValueError):
        pass
    finally:
        os.seteuid(0)
        os.setegid(0)
busy = set()
for pid, one in found.items():
    while one["at"] and pid in parents:
        busy.add(pid)
        pid = parents[pid]
# Of a tree without a server, the topmost process is named; of others, the servers.
daemons = []
for pid, one in found.items():
    # A pipe that no process of the workspace reads is that of the script.
    one["held"] = bool(pipes.get(pid, set()) - read_pipes)
    if one["at"] or one["held"] or (pid not in busy and parents[pid] not in found):
        daemons.append(one)
print(json.dumps(sorted(daemons, key=lambda one: (not one["at"], not one["held"]))[:50]))
"""

_RESTARTED = re.compile(
    r"(?<![\w-])(?:GradleDaemon|KotlinCompileDaemon|bazel|VBCSCompiler|MSBuild\.dll|nailgun|sccache|"
    r"watchman|buck2?d?|sbt-launch\.jar|gpg-agent|ssh-agent|dirmngr|keyboxd|nx/src/daemon|"
    r"turbo daemon)(?![\w-])"
)
"""Helpers of build tools, which are started again by whoever needs them."""

_INTERPRETERS = re.compile(r"(python|node|ruby|perl|php|java|deno|bun|bash|sh|dotnet)[\d.]*")

_KEY = 50
_NO_TEXT = ("true", "false", "yes", "no", "on", "off", "null", "y", "n")
"""What YAML reads as something other than text. What begins with a letter may be none else."""

_PLAIN = re.compile(r"[A-Za-z0-9_@%+=:,./ -]+")
"""A command that means nothing else to a shell."""

_NO_ASCII = re.compile(r"[^ -~]")

_REFUSED = re.compile(
    r"connection ?refused|ECONNREFUSED|connect call failed|errno 111|os error 111|actively refused",
    re.IGNORECASE,
)
"""What programs print when nobody listens."""

_NOT_CONNECTED = re.compile(
    rf"{_REFUSED.pattern}|could not connect|couldn't connect|can(no|')t connect|failed to connect|"
    "unable to connect",
    re.IGNORECASE,
)
"""What they also print then, and for other reasons."""

_ANY_PORT = re.compile(r"(?:\bport |[\w\])]:|', ?)\d{2,5}\b")

_ADDRESS = re.compile(
    r"(?:localhost|127\.0\.0\.1|\[?::1\]?)['\"]?(?:\)?,? port |\)? on port |, ?|:)(\d{1,5})\b"
)


def list_daemons(channel: Channel, redaction: Redaction) -> tuple[Daemon, ...]:
    """
    Return the processes of a workspace that are alive, with the ports and sockets on which they
    listen; servers first. None if it cannot be found out.

    Args:
        channel: the workspace.
        redaction: removes secrets from their command lines.

    Raises:
        WorkspaceLost: the workspace has ended.
    """
    try:
        result = channel.run(
            ["python3", "-I", "-S", "-c", LIST_DAEMONS], cwd="/", timeout=_SECONDS, limit=_OUTPUT
        )
        return daemons_from(json.loads(redaction.data(result.stdout_bytes)))
    except WorkspaceLost:
        raise
    except (CodexWorkspaceError, OSError, ValueError, RecursionError):
        return ()


def daemons_from(values: Any) -> tuple[Daemon, ...]:
    """
    Return the daemons that a program of the workspace has listed.

    Raises:
        ValueError: *values* is something else.
    """
    try:
        return tuple(
            _daemon(one["argv"], one["at"], held=one.get("held") is True) for one in values[:_MOST]
        )
    except (AttributeError, KeyError, TypeError) as error:
        raise ValueError(f"not a list of processes: {error}") from None


def _daemon(argv: Sequence[str], addresses: Sequence[int | str], *, held: bool) -> Daemon:
    words = [printable(str(word)).strip() for word in argv[:20]]
    listed = list(addresses)[:_ADDRESSES]
    ports = {one for one in listed if type(one) is int and 0 < one < 1 << 16}
    sockets = {printable(one)[:_COMMAND] for one in listed if isinstance(one, str)}
    # Many servers write what they do into their command line: `postgres: checkpointer`.
    name = words[0].partition(" ")[0].rpartition("/")[2].rstrip(":") if words else ""
    return Daemon(
        cut_end(name, _NAME) or "?",
        cut_end(" ".join(words), _COMMAND),
        tuple(sorted(ports)),
        tuple(sorted(sockets)),
        held,
    )


def without_services(
    daemons: Iterable[Daemon], services: Iterable[ServiceSpec]
) -> tuple[Daemon, ...]:
    """
    Return those of *daemons* that are servers which tests can miss: not helpers of build tools,
    and not those that *services* start again.
    """
    declared = list(services)
    ports = {one.ready.port for one in declared}
    commands = [
        one.command if isinstance(one.command, str) else " ".join(one.command) for one in declared
    ]
    return tuple(
        one
        for one in daemons
        if (one.ports or one.sockets)
        and not _RESTARTED.search(one.command)
        and not ports.intersection(one.ports)
        and not any(_starts(text, one) for text in commands)
    )


def _starts(command: str, daemon: Daemon) -> bool:
    if _INTERPRETERS.fullmatch(daemon.name):
        return False
    return re.search(rf"(?<![\w-]){re.escape(daemon.name)}(?![\w-])", command) is not None


def daemon_warnings(
    script: str, daemons: Sequence[Daemon], servers: Sequence[Daemon], *, resume: bool = False
) -> list[str]:
    """
    Return lines about what a script left running: what held its output, for which Codex waits, and
    the servers that tests will miss.

    Args:
        script: path of the script in the repository.
        daemons: from `list_daemons`.
        servers: those from `without_services`.
        resume: whether it is the script that runs each time.
    """
    lines = []
    if held := [one for one in daemons if one.held_output]:
        lines.append(
            f"{script} ended, but its output was still open in {_named(held)}: Codex waits for "
            "that until its time limit. Start such a process with its output elsewhere: "
            "`command >/dev/null 2>&1 &`"
        )
    if servers:
        kept = (
            "whether Codex keeps what that script starts is not known, and a workspace does not"
            if resume
            else "as in Codex, files are kept and processes are not"
        )
        lines.append(f"{script} left {_named(servers)} running: {kept}. {_remedy(servers)}")
    return lines


def explain_refusal(servers: Sequence[Daemon], printed: str) -> list[str]:
    """
    Return lines about servers of setup that a failed command seems to miss; empty if it misses
    none.

    Args:
        servers: from `without_services`.
        printed: what the command printed.
    """
    if not servers:
        return []
    missed = [one for one in servers if any(path in printed for path in one.sockets)]
    if not missed and _NOT_CONNECTED.search(printed):
        ports = {int(port) for port in _ADDRESS.findall(printed)}
        missed = [one for one in servers if ports.intersection(one.ports)]
        refused = [line for line in printed.splitlines() if _REFUSED.search(line)]
        if not ports and any(not _ANY_PORT.search(line) for line in refused):
            missed = list(servers)  # Without an address, it could be any of them.
    if not missed:
        return []
    gone = "is gone" if len(missed) == 1 else "are gone"
    return [
        f"{_named(missed)}, which the scripts had started, {gone}: files are kept, processes are "
        "not",
        _remedy(missed),
    ]


def _remedy(servers: Sequence[Daemon]) -> str:
    declared: dict[str, str] = {}
    for one in servers[:_SHOWN]:
        key, entry = _declared(one)
        names = (key, *(f"{key}-{number}" for number in range(2, _SHOWN + 1)))
        free = next(name for name in names if declared.get(name, entry) == entry)
        declared[free] = entry
    entries = ", ".join(f"{key}: {entry}" for key, entry in declared.items())
    return (
        f"To have {'it' if len(servers) == 1 else 'them'} in tests, add to .codex-workspace.yaml: "
        f"services: {{{entries}}}; for Codex itself, see docs/services.md"
    )


def _declared(server: Daemon) -> tuple[str, str]:
    """
    Return the name and the entry of a server in `services`. A process gives itself any name and its
    sockets any path, which must not mean anything else to YAML, or to a shell.
    """
    name, command = server.name, server.name
    if _INTERPRETERS.fullmatch(name):
        # The name of an interpreter says nothing.
        name = f"server-{server.ports[0]}" if server.ports else "server"
        command = server.command
    key = re.sub(r"[^A-Za-z0-9_.-]", "-", name)[:_KEY].strip("-.") or "server"
    if not key[0].isalpha() or key.lower() in _NO_TEXT:
        key = f"server-{key}"
    if _PLAIN.fullmatch(command):
        text = _quoted(command)
    else:
        text = f"[{', '.join(_quoted(word) for word in command.split())}]"
    ready = f"port: {server.ports[0]}" if server.ports else f"path: {_quoted(server.sockets[0])}"
    return key, f"{{command: {text}, ready: {{{ready}}}}}"


def _quoted(text: str) -> str:
    """
    Return *text* in double quotes, as YAML reads it.
    """
    # JSON writes a character above U+FFFF as two, which YAML does not put together.
    quoted = json.dumps(text, ensure_ascii=False)
    return _NO_ASCII.sub(lambda one: f"\\U{ord(one[0]):08x}", quoted)


def _named(servers: Sequence[Daemon]) -> str:
    # The workers of a server look all the same.
    return first_of(list(dict.fromkeys(_shown(one) for one in servers)), _SHOWN)


def _shown(server: Daemon) -> str:
    name = server.name
    at = [f"port {port}" for port in server.ports] or list(server.sockets)
    if _INTERPRETERS.fullmatch(name) or not at:
        name = cut_end(server.command, _NAME)
    return f"{name} ({first_of(at, 3)})" if at else name

"""What a setup script left running: servers that are gone in the next workspace."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from importlib import resources
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
    "NOTHING_LEFT",
    "Left",
    "daemon_warnings",
    "daemons_from",
    "explain_refusal",
    "is_declared",
    "is_helper",
    "list_daemons",
    "without_services",
]

_SECONDS = 10.0
_MOST = 50
_ADDRESSES = 20
_WORDS = 200
_NAME = 60
_COMMAND = 200
_SHOWN = 4
_OUTPUT = 4 << 20

_HELPERS = re.compile(
    r"gpg-agent|dirmngr|keyboxd|scdaemon|ssh-agent|dbus-daemon|dbus-launch|watchman|sccache|"
    r"buck2?d?|bazel(?:\(.*)?|eslint_d|dmypy|turbo|nx|rust-analyzer|fsnotifier|adb"
)
_HELPERS_ARGS = re.compile(
    r"(?<![\w-])(?:GradleDaemon|GradleWorkerMain|KotlinCompileDaemon|A-server\.jar|VBCSCompiler|"
    r"MSBuild\.dll|nailgun|zinc|sbt-launch|mvnd|nx/src/daemon|turbo daemon)(?![\w-])"
)
"""Helpers of build tools, which are started again by whoever needs them, by name and arguments."""

_INTERPRETERS = re.compile(r"(python|node|ruby|perl|php|java|deno|bun|bash|sh|dotnet)[\d.]*")

_CLUSTER = re.compile(r"/etc/postgresql/(\d{1,3})/([A-Za-z0-9_]{1,50})/postgresql\.conf")
"""Part of the command of a PostgreSQL that Debian's or Ubuntu's package has set up."""

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


@dataclass(frozen=True, slots=True)
class Left:
    """
    What is alive in a workspace.

    Attributes:
        daemons: the processes that say most, servers first.
        ports: further TCP ports on which somebody listens.
    """

    daemons: tuple[Daemon, ...] = ()
    ports: tuple[int, ...] = ()

    @property
    def has_servers(self) -> bool:
        """
        Whether something listens.
        """
        return bool(self.ports) or any(one.listens for one in self.daemons)


NOTHING_LEFT = Left()


def list_daemons(channel: Channel, redaction: Redaction) -> Left:
    """
    Return what is alive in a workspace; nothing if it cannot be found out.

    Args:
        channel: the workspace.
        redaction: removes secrets from command lines.

    Raises:
        WorkspaceLost: the workspace has ended.
    """
    program = resources.files("pytest_codex_workspace.in_container") / "list_processes.py"
    argv = ["python3", "-I", "-S", "-c", program.read_text("utf-8")]
    try:
        result = channel.run(argv, cwd="/", timeout=_SECONDS, limit=_OUTPUT)
        return daemons_from(json.loads(redaction.data(result.stdout_bytes)))
    except WorkspaceLost:
        raise
    except (CodexWorkspaceError, OSError, ValueError, RecursionError):
        return NOTHING_LEFT


def daemons_from(values: Any) -> Left:
    """
    Return what a program of the workspace has listed.

    Raises:
        ValueError: *values* is something else.
    """
    try:
        daemons = [
            _daemon(one["argv"], one["at"], held=one.get("held") is True)
            for one in values["processes"][:_MOST]
        ]
        return Left(tuple(daemons), _ports(values["ports"][:_ADDRESSES]))
    except (AttributeError, KeyError, TypeError) as error:
        raise ValueError(f"not a list of processes: {error}") from None


def _daemon(argv: Sequence[str], addresses: Sequence[int | str], *, held: bool) -> Daemon:
    words = [printable(str(word)).strip() for word in argv[:_WORDS]]
    listed = list(addresses)[:_ADDRESSES]
    sockets = {printable(one)[:_COMMAND] for one in listed if isinstance(one, str)}
    # Many servers write what they do into their command line: `postgres: checkpointer`.
    name = words[0].partition(" ")[0].rpartition("/")[2].rstrip(":") if words else ""
    return Daemon(
        cut_end(name, _NAME) or "?",
        _shortened(" ".join(words)),
        _ports(listed),
        tuple(sorted(sockets)),
        held,
    )


def _shortened(command: str) -> str:
    """
    Return the beginning of a command line, and what tells a helper, which may be far behind it.
    """
    mark = _HELPERS_ARGS.search(command)
    hidden = mark[0] if mark and mark.end() > _COMMAND else ""
    return f"{cut_end(command, _COMMAND)} {hidden}".rstrip()


def _ports(listed: Sequence[object]) -> tuple[int, ...]:
    return tuple(sorted({one for one in listed if type(one) is int and 0 < one < 1 << 16}))


def without_services(
    daemons: Iterable[Daemon], services: Iterable[ServiceSpec]
) -> tuple[Daemon, ...]:
    """
    Return those of *daemons* that are servers which tests can miss: not helpers of build tools,
    and not those that *services* start again.
    """
    declared = list(services)
    return tuple(
        one
        for one in daemons
        if one.listens and not is_helper(one) and not is_declared(one, declared)
    )


def is_helper(daemon: Daemon) -> bool:
    """
    Return whether a process is a helper of a build tool.
    """
    return bool(_HELPERS.fullmatch(daemon.name) or _HELPERS_ARGS.search(daemon.command))


def is_declared(daemon: Daemon, services: Iterable[ServiceSpec]) -> bool:
    """
    Return whether one of *services* seems to start a process: it has its port, or its name.
    """
    declared = list(services)
    if any(one.ready.port in daemon.ports for one in declared):
        return True
    if _INTERPRETERS.fullmatch(daemon.name):
        return False
    name = re.compile(rf"(?<![\w-]){re.escape(daemon.name)}(?![\w-])")
    return any(name.search(one.command_line) for one in declared)


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
    elif cluster := _CLUSTER.search(server.command):
        # PostgreSQL does not run as root, and is not on PATH; this is the command that starts it.
        command = f"pg_ctlcluster {cluster[1]} {cluster[2]} start --foreground"
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

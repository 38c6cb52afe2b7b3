"""Tests of the agent's frames, start and end. `test_channel` tests commands and files."""

from __future__ import annotations

import ast
import json
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from pytest_codex_workspace.in_container import workspace_agent as wire

from ...helpers.local_agent import PROGRAM, LocalStream, until_ended

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the agent is a Linux program")

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
    The files are mount points, so they cannot be replaced, only overwritten.
    """
    inode = (root / "etc/hosts").stat().st_ino

    agent.send(wire.INIT, hosts="1.2.3.4 proxy\n", resolv="nameserver 1.2.3.4\n", root=str(root))
    ready = agent.until(wire.READY)

    assert (root / "etc/hosts").read_text() == "1.2.3.4 proxy\n"
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

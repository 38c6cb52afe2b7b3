"""The agent: its frames, its start, its end. Commands and files: see `test_channel`."""

from __future__ import annotations

import ast
import json
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from pytest_codex_workspace.agent import agent as wire
from pytest_codex_workspace.agent import holder

from .local_agent import PROGRAM, LocalStream, until_ended

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the agent is a Linux program")

CERTIFICATE = "usr/local/share/ca-certificates/envoy-mitmproxy-ca-cert.crt"


class Talk:
    """
    Frames to an agent and from it.
    """

    def __init__(self, *arguments: str) -> None:
        self.stream = LocalStream(*arguments)
        self.errors = b""
        self._buffer = b""

    def tell(self, kind: int, payload: bytes = b"", **values: object) -> None:
        payload = payload or json.dumps(values).encode()
        self.stream.send(wire.HEADER.pack(kind, 7, len(payload)) + payload)

    def hear(self) -> tuple[int, bytes] | None:
        """
        The next frame; `None` after the end.
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
        The JSON of the next frame of that kind.
        """
        while frame := self.hear():
            if frame[0] == kind:
                return json.loads(frame[1])
        raise AssertionError(f"no frame of type {kind}: {self.errors!r}")


@pytest.fixture
def talk() -> Iterator[Talk]:
    """
    A conversation with a new agent.
    """
    conversation = Talk()
    yield conversation
    conversation.stream.end()


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """
    What stands for the root directory of an image.
    """
    (tmp_path / "etc/ssl/certs").mkdir(parents=True)
    (tmp_path / "etc/hosts").write_text("9.9.9.9 proxy # left by somebody\n" * 9)
    (tmp_path / "etc/ssl/certs/ca-certificates.crt").write_text("FIRST\n")
    return tmp_path


def test_it_is_one_file_of_python_3_8():
    """
    Images have old Pythons, and nothing else of ours.
    """
    for name in ("agent", "holder"):
        tree = ast.parse(PROGRAM.with_name(f"{name}.py").read_bytes(), feature_version=(3, 8))

        imports = [one for one in ast.walk(tree) if isinstance(one, ast.ImportFrom)]
        assert not [one for one in imports if one.level]


def test_init_overwrites_names_in_place(talk, root):
    """
    The files are mounts: they cannot be replaced, and others may have written to them.
    """
    inode = (root / "etc/hosts").stat().st_ino

    talk.tell(wire.INIT, hosts="1.2.3.4 proxy\n", resolv="nameserver 1.2.3.4\n", root=str(root))
    ready = talk.until(wire.READY)

    assert (root / "etc/hosts").read_text() == "1.2.3.4 proxy\n"
    assert (root / "etc/resolv.conf").read_text() == "nameserver 1.2.3.4\n"
    assert (root / "etc/hosts").stat().st_ino == inode
    assert not ready["ca_installed"]
    assert ready["pid"] == talk.stream.process.pid


def test_the_certificate_is_installed_once(talk, root):
    """
    An image that has it starts without the cost of updating the store.
    """
    tool = root / "usr/sbin/update-ca-certificates"
    tool.parent.mkdir(parents=True)
    tool.write_text(f"#!/bin/sh\necho noise\necho ran >>{root}/log\n")
    tool.chmod(0o755)

    for _ in range(2):
        talk.tell(wire.INIT, ca_certificate="PEM\n", root=str(root))
    answers = [talk.until(wire.READY)["ca_installed"] for _ in range(2)]

    assert answers == [True, False]
    assert (root / CERTIFICATE).read_text() == "PEM\n"
    assert (root / "log").read_text() == "ran\n"


def test_without_a_tool_the_bundle_gets_the_certificate(talk, root):
    """
    An image without ca-certificates still trusts the proxy.
    """
    talk.tell(wire.INIT, ca_certificate="PEM\n", root=str(root))

    assert talk.until(wire.READY)["ca_installed"]
    assert (root / "etc/ssl/certs/ca-certificates.crt").read_text() == "FIRST\n\nPEM\n"


def test_without_a_tool_java_gets_the_certificate(talk, root):
    """
    What the tool would run for Java's trust stores is run all the same.
    """
    hook = root / "etc/ca-certificates/update.d/zz-codex-workspace-java"
    hook.parent.mkdir(parents=True)
    hook.write_text(f"#!/bin/sh\ncat {root}/{CERTIFICATE} >>{root}/log\n")
    hook.chmod(0o755)

    talk.tell(wire.INIT, ca_certificate="PEM\n", root=str(root))

    assert talk.until(wire.READY)["ca_installed"]
    assert (root / "log").read_text() == "PEM\n"


def test_a_link_in_place_of_the_certificate_is_not_followed(talk, root):
    """
    An earlier workspace cannot have the next one write elsewhere.
    """
    victim = root / "victim"
    victim.write_text("mine")
    (root / CERTIFICATE).parent.mkdir(parents=True)
    (root / CERTIFICATE).symlink_to(victim)

    talk.tell(wire.INIT, ca_certificate="PEM\n", root=str(root))
    talk.until(wire.READY)

    assert victim.read_text() == "mine"
    assert (root / CERTIFICATE).read_text() == "PEM\n"


@pytest.mark.promise("S14", "S19")
def test_without_init_it_ends_and_says_why():
    """
    The certificate that does not come is named, with what to check.
    """
    talk = Talk("0.05")

    assert talk.hear() is None
    assert talk.stream.end() == 70
    assert b"certificate of the proxy did not arrive within 0.05 s" in talk.errors
    assert b"docker ps" in talk.errors


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
def test_garbage_ends_it_with_a_message(garbage):
    """
    It says one line, without a traceback.
    """
    talk = Talk()
    talk.stream.send(garbage)

    assert talk.hear() is None
    assert talk.stream.end() == 70
    assert talk.errors.startswith(b"codex-workspace agent: ")
    assert talk.errors.count(b"\n") == 1


def test_the_end_of_input_ends_commands():
    """
    Nothing outlives the session.
    """
    talk = Talk()
    talk.tell(wire.EXEC, argv=["sh", "-c", "sleep 60 & echo $!; sleep 60"], window=1000)
    main = talk.until(wire.STARTED)["pid"]
    child = int(talk.hear()[1])

    assert talk.stream.end() == 0
    until_ended(main)
    until_ended(child)


def test_a_window_holds_output_back(talk):
    """
    Beyond the window nothing is sent until the host has consumed.
    """
    talk.tell(wire.EXEC, argv=["sh", "-c", "printf 12345678; read x"], window=5, stdin=True)
    talk.until(wire.STARTED)
    assert talk.hear() == (wire.STDOUT, b"12345")

    talk.tell(wire.ACK, wire.CREDIT.pack(wire.STDOUT, 5))
    assert talk.hear() == (wire.STDOUT, b"678")
    talk.tell(wire.STDIN_EOF)
    assert talk.until(wire.EXIT)["totals"] == [8, 0]


@pytest.mark.parametrize("line", [b"garbage", b"{}", b"[]", b'{"proxy": 5}', b'{"proxy": "x"}'])
def test_a_holder_answers_what_it_does_not_understand(line):
    """
    A wrong request is an answer, not a traceback.
    """
    assert "error" in holder.prepare(line)

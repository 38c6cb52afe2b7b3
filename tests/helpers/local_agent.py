"""The agent as a local process, for tests without an engine."""

from __future__ import annotations

import os
import select
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from pytest_codex_workspace.in_container import workspace_agent as wire
from pytest_codex_workspace.network.log import NetworkLog
from pytest_codex_workspace.workspace.channel import Channel
from pytest_codex_workspace.workspace.handle import SetupResult, Workspace
from pytest_codex_workspace.workspace.paths import bind

PROGRAM = Path(wire.__file__)


class LocalStream:
    """
    A `Stream` to an agent that runs as a local process.
    """

    def __init__(
        self, *arguments: str, env: dict[str, str] | None = None, program: Path = PROGRAM
    ) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-I", "-S", "-u", str(program), *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=env,
            bufsize=0,
        )
        os.set_blocking(self.process.stdin.fileno(), False)
        self._lock = threading.Lock()
        self.stalled = 30.0
        outputs = (self.process.stdout, self.process.stderr)
        self._open = {pipe.fileno(): kind for kind, pipe in enumerate(outputs, 1)}
        self._reader = 0
        self._read = threading.Event()

    def send(self, data: bytes) -> None:
        with self._lock:
            view = memoryview(data)
            try:
                while view:
                    if not select.select([], [self.process.stdin], [], self.stalled)[1]:
                        self.process.kill()
                        raise ConnectionError("the agent reads nothing")
                    view = view[self.process.stdin.write(view) or 0 :]
            except ValueError:
                raise ConnectionError("the agent accepts no more input") from None

    def receive(self) -> tuple[int, bytes]:
        self._reader = threading.get_ident()
        while self._open:
            for fd in select.select(list(self._open), [], [])[0]:
                if data := os.read(fd, 65536):
                    return self._open[fd], data
                del self._open[fd]
        self._read.set()
        return 0, b""

    def close(self, *, at_once: bool = False) -> None:
        with self._lock:
            self.process.stdin.close()

    def end(self) -> int:
        """
        Close everything, and return the agent's exit code.
        """
        self.close()
        code = self.process.wait(10)
        # A thread that still reads would read what the next user of the descriptor is sent.
        if self._reader not in (0, threading.get_ident()):
            assert self._read.wait(10)
        self.process.stdout.close()
        self.process.stderr.close()
        return code


@contextmanager
def local_channel(
    *, cwd: str = "/", init: dict[str, str] | None = None, **env: str
) -> Iterator[Channel]:
    """
    Open a channel to a local agent, and end both.

    Args:
        cwd: where commands run.
        init: variables that the channel gives to commands.
        env: variables of the agent, besides a PATH.
    """
    stream = LocalStream(env={"PATH": "/usr/local/bin:/usr/bin:/bin", **env})
    channel = Channel(stream, describe=lambda: "its container was removed")
    channel.init(cwd=cwd, env=init or {})
    yield channel
    channel.close()
    stream.end()


def local_workspace(
    channel: Channel, project: Path, *, engine: Any = None, env: dict[str, str] | None = None
) -> Workspace:
    """
    Return a workspace whose commands run on this machine, and which has requested nothing.

    Args:
        channel: a channel to a local agent.
        project: where its commands run.
        engine: the calls of an engine that the test needs.
        env: the variables that the channel gives to commands.
    """
    return Workspace(
        engine,
        "c" * 64,
        channel,
        project=str(project),
        paths=bind(channel, str(project)),
        head="a" * 40,
        env=env or {},
        setup=SetupResult("none"),
        network=NetworkLog(list),
    )


class ScriptedStream:
    """
    A `Stream` that sends what a test defines. It sends `answers` after it has
    received something.
    """

    def __init__(self) -> None:
        self.answers: list[bytes] = []
        self.closed_at_once = False
        self._changed = threading.Condition()
        self._says: list[tuple[int, bytes]] = []

    def say(self, kind: int, data: bytes) -> None:
        with self._changed:
            self._says.append((kind, data))
            self._changed.notify()

    def send(self, data: bytes) -> None:
        answers, self.answers = self.answers, []
        for answer in answers:
            self.say(1, answer)

    def receive(self) -> tuple[int, bytes]:
        with self._changed:
            self._changed.wait_for(lambda: bool(self._says), 10)
            return self._says.pop(0)

    def close(self, *, at_once: bool = False) -> None:
        self.closed_at_once = at_once
        self.say(0, b"")


def frame(kind: int, number: int, payload: bytes = b"") -> bytes:
    """
    Return a frame as the agent sends it.
    """
    return wire.HEADER.pack(kind, number, len(payload)) + payload


def until_ended(pid: int) -> None:
    """
    Wait until a process has ended, even if it was not reaped.
    """
    while True:
        try:
            status = Path(f"/proc/{pid}/stat").read_text()
        except (FileNotFoundError, ProcessLookupError):
            return
        if status.rpartition(")")[2].split()[0] in "ZX":
            return
        time.sleep(0.001)

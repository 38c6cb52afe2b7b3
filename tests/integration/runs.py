"""pytest and the command in separate processes, which may be killed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from pytest_codex_workspace.codex import IMAGE
from pytest_codex_workspace.engine import labels
from pytest_codex_workspace.engine.protocol import Engine
from pytest_codex_workspace.options.sources import ResolvedOptions
from pytest_codex_workspace.reporting.output import Output
from pytest_codex_workspace.session import Session

from ..conftest import named_engine
from ..helpers.plugins import LEFT_OUT, without

_PLAIN = without("cacheprovider", "randomly")
EVERY_PLUGIN = (sys.executable, "-u", "-m", "pytest", *_PLAIN)
ANY_PYTEST = (sys.executable, "-u", "-m", "pytest", *without(*LEFT_OUT))
PYTEST = (*ANY_PYTEST, *_PLAIN)
COMMAND = (sys.executable, "-u", "-m", "pytest_codex_workspace.cli")


class Run:
    """
    A process whose output can be waited for.

    Attributes:
        pid: its id.
    """

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process
        self.pid = process.pid
        self.output = ""

    def until(self, text: str, times: int = 0) -> None:
        """
        Read until *text* is printed once more. With *times*, read until it was printed that often
        since the start.
        """
        assert self._process.stdout is not None
        while not times or self.output.count(text) < times:
            line = self._process.stdout.readline()
            assert line, f"{text!r} was not printed:\n{self.output}"
            self.output += line
            if not times and text in line:
                return

    def kill(self, number: int = signal.SIGKILL) -> None:
        """
        Send the process a signal. Its children (xdist's workers) do not get the signal.
        """
        self._process.send_signal(number)

    def end(self, seconds: float = 300) -> int:
        """
        Wait for the end of the process, and return its exit code.
        """
        self.output += self._process.communicate(timeout=seconds)[0]
        return self._process.returncode


def heed_signals() -> None:
    """
    Have signals end a child process: a shell that runs us in the background has SIGINT ignored, and
    nohup SIGHUP.
    """
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGHUP, signal.SIG_DFL)


@contextmanager
def running(*argv: str | Path, cwd: Path, env: Mapping[str, str] | None = None) -> Iterator[Run]:
    """
    Start a process, and end it if the test did not.
    """
    process = subprocess.Popen(
        argv,
        cwd=cwd,
        env={**os.environ, **(env or {})},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        stdin=subprocess.DEVNULL,
        text=True,
        preexec_fn=heed_signals,
    )
    try:
        yield Run(process)
    finally:
        process.kill()
        process.wait()
        assert process.stdout is not None
        process.stdout.close()


@contextmanager
def session_of(said: list[str], **options: Any) -> Iterator[Session]:
    """
    Start a session with *options* as a user gives them, whose output is added to *said*.
    """
    given = {"image": "slim", "engine": named_engine(), **options}
    config = ResolvedOptions.of(given, spell="--codex-{}", environ={}).config
    with Session(config, Output("progress", said.append)) as made:
        yield made


def until(condition: Callable[[], object], seconds: float) -> bool:
    """
    Return whether *condition* became true in time.
    """
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            return False
        time.sleep(0.05)
    return True


def objects_of(engine: Engine, pid: int, what: str) -> list[str]:
    """
    Return the names of the `containers` or `networks` that the process *pid* has on the engine.
    """
    return [
        one.name
        for one in getattr(engine, what)({labels.SESSION: None})
        if one.labels.get(labels.PID, "").endswith(f":{pid}")
    ]


def becomes_latest(engine: Engine, image_id: str, ensure: Callable[[], object]) -> bool:
    """
    Tell whether *ensure* makes the image `latest`. Sessions of other tests do the same with their
    images at any moment, so it is called until the image is the one, ten times at most.
    """
    for _ in range(10):
        ensure()
        latest = engine.image(f"{IMAGE}:latest")
        if latest is not None and latest.id == image_id:
            return True
    return False

"""One repository's check, in a process of its own."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from ..text.printable import printable
from ..text.units import show_duration

__all__ = ["COMMAND", "Ended", "Worker"]

COMMAND = (sys.executable, "-m", "pytest_codex_workspace.cli")
"""The command, in another process."""

_GRACE = 60.0
"""Seconds to clean up in, before a process is killed."""

_MESSAGES = 64 * 1024
"""Bytes of the end of its standard error that are shown."""

_LARGEST_LINE = 4 << 20
_LARGEST_RESULT = 10_000


@dataclass(frozen=True, slots=True)
class Ended:
    """
    What a process has left.

    Attributes:
        findings: its events of that name.
        repository: its last event of that name; `None` if it was ended before.
        messages: the end of its standard error.
        failure: why there is no result; empty if there is one.
        interrupted: whether a signal has ended it.
        runs: its event of that name, if the repository was run.
    """

    findings: Sequence[Mapping[str, Any]]
    repository: Mapping[str, Any] | None
    messages: str
    failure: str
    interrupted: bool = False
    runs: Mapping[str, Any] | None = None


class Worker:
    """
    A process that checks one repository and prints events.

    Args:
        words: the words of the command line after the command.
        standard_input: what it reads from its standard input.
        limit: seconds after which it is ended: nothing that it does should take that long.
    """

    def __init__(
        self,
        words: Sequence[str],
        *,
        standard_input: bytes | None = None,
        limit: float,
        command: Sequence[str] = COMMAND,
    ) -> None:
        self._limit = limit
        self._late = False
        self._messages = tempfile.TemporaryFile()  # noqa: SIM115 -- closed when it has been read
        try:
            with tempfile.TemporaryFile() as source:
                source.write(standard_input or b"")
                source.seek(0)
                # It stays in our process group: Ctrl-C on a terminal is for all of us.
                self._process = subprocess.Popen(
                    [*command, *words], stdin=source, stdout=subprocess.PIPE, stderr=self._messages
                )
        except BaseException:
            self._messages.close()
            raise

    def run(self, tell: Callable[[Mapping[str, Any]], None]) -> Ended:
        """
        Wait for its end.

        Args:
            tell: called with each event of its progress.
        """
        findings: list[Mapping[str, Any]] = []
        repository = runs = error = None
        timer = threading.Timer(self._limit, self._end_late)
        timer.daemon = True
        timer.start()
        try:
            for event in self._events():
                if event["event"] == "finding" and len(findings) < _LARGEST_RESULT:
                    findings.append(event)
                elif event["event"] == "repository":
                    repository = event
                elif event["event"] == "runs":
                    runs = event
                elif event["event"] == "error":
                    error = event
                elif event["event"] not in ("finding", "result"):
                    tell(event)
            code = self._process.wait()
        finally:
            timer.cancel()
            self.kill()
        messages = self._read_messages()
        failure = ""
        if self._late:
            failure = f"its check did not end within {show_duration(self._limit)}"
        elif repository is None and error is not None:
            failure = str(error.get("message", ""))
        elif repository is None:
            failure = f"its process ended {_how(code)} and without a result"
        interrupted = repository is None and (error or {}).get("type") == "Interrupted"
        result = None if self._late else repository
        return Ended(findings, result, messages, failure, interrupted, runs)

    def end(self) -> None:
        """
        Ask it to end. It cleans up first; if that takes too long, it is killed.
        """
        with suppress(OSError):
            self._process.send_signal(signal.SIGTERM)
        timer = threading.Timer(_GRACE, self.kill)
        timer.daemon = True
        timer.start()

    def kill(self) -> None:
        """
        End it without a clean-up, if it still runs.
        """
        if self._process.poll() is None:
            with suppress(OSError):
                self._process.kill()
        self._process.wait()

    def _end_late(self) -> None:
        self._late = True
        self.end()

    def _events(self) -> Any:
        stream = self._process.stdout
        assert stream is not None  # noqa: S101 -- for type checkers
        with stream:
            while line := stream.readline(_LARGEST_LINE):
                try:
                    event = json.loads(line)
                except ValueError:
                    continue
                if isinstance(event, dict) and isinstance(event.get("event"), str):
                    yield event

    def _read_messages(self) -> str:
        with self._messages as file:
            size = file.seek(0, 2)
            file.seek(max(0, size - _MESSAGES))
            return printable(file.read().decode("utf-8", "replace"))


def _how(code: int) -> str:
    if code >= 0:
        return f"with exit code {code}"
    with suppress(ValueError):
        return f"by the signal {signal.Signals(-code).name}"
    return f"by the signal {-code}"

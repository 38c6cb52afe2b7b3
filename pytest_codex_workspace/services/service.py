"""A service of a workspace: its process, its output and its end."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from ..errors import ServiceError, WorkspaceLost
from ..text.phrases import cut_middle, did_you_mean
from ..text.printable import printable
from ..unpatched import clock
from ..workspace.result import out_of_memory
from .readiness import Readiness, argv_of

if TYPE_CHECKING:
    from ..options.services import ServiceSpec
    from ..reporting.output import Output
    from ..secrets.secrets import Secrets
    from ..workspace.channel import Channel
    from ..workspace.process import Process

__all__ = ["Service", "Services"]

_ALIVE = 0.5
"""Seconds that a service without `ready` has to live before it counts as ready."""

_PAUSES = (0.02, 0.25)
_KEPT = 64 << 10
_TAIL = 12
_WIDTH = 160
_KILL_PATIENCE = 5.0
_NOT_FOUND = 127
_MERGED = 'exec 2>&1; exec "$@"'
_END_GROUP = "kill -KILL -- -$1 && for _ in {1..50}; do kill -0 -- -$1 || break; sleep 0.01; done"
"""The port of a killed process is free a moment later. What cannot die is not waited for."""


class Service:
    """
    A service that was declared in `.codex-workspace.yaml`. Its process is started by the
    workspace's start, and ends with the workspace.

    Args:
        spec: the declaration.
        channel: its workspace.
        project: the project directory.
        secrets: are removed from its output.

    Attributes:
        spec: the declaration.
    """

    def __init__(self, spec: ServiceSpec, channel: Channel, project: str, secrets: Secrets) -> None:
        self.spec = spec
        self._channel = channel
        # Their values may be read later, when a phase needs them.
        self._secrets = secrets
        self._readiness = Readiness(spec, channel, project)
        self._output = _OutputTail((spec.ready.output or "").encode())
        self._process: Process | None = None
        self._reader: threading.Thread | None = None
        self._began = 0.0
        self._stopped = False
        self._suspended = False

    def __repr__(self) -> str:
        return f"<Service {self.name} {'running' if self.running else 'not running'}>"

    @property
    def name(self) -> str:
        """
        Its name.
        """
        return self.spec.name

    @property
    def running(self) -> bool:
        """
        Whether its process is alive. If its command went to the background, whether it is ready.

        Raises:
            WorkspaceLost: the workspace has ended.
        """
        if self._process is None:
            return False
        if not self._in_background():
            return self._process.poll() is None
        return not self._readiness.missing(self.spec.timeout, has_output=True)

    @property
    def exit_code(self) -> int | None:
        """
        The exit code of its command; `None` while it runs.

        Raises:
            WorkspaceLost: the workspace has ended.
        """
        return None if self._process is None else self._process.poll()

    @property
    def output(self) -> str:
        """
        The last 64 KiB of its output and its errors, of all its starts, without secrets.
        """
        return self._output.text()

    def start(self, said: Callable[[str], None] = lambda _: None) -> None:
        """
        Start the service, and wait until it is ready. Do nothing if it is running.

        Args:
            said: called with the last line of its output now and then.

        Raises:
            ServiceError: it does not become ready.
            WorkspaceLost: the workspace has ended.
        """
        if self.running:
            return
        self._stopped = False
        if problem := self._readiness.begin():
            raise self._error(
                f"the service {self.name} cannot be started: {problem}",
                "Give each service a port of its own, and start nothing else on it.",
            )
        self._launch()
        self._wait(said)

    def restart(self) -> None:
        """
        Stop the service, start it again, and wait until it is ready.

        Raises:
            ServiceError: it cannot be stopped, or does not become ready.
            WorkspaceLost: the workspace has ended.
        """
        self.stop()
        self.start()

    def stop(self, timeout: float = 10.0) -> None:
        """
        Send SIGTERM to the process group of the service, and SIGKILL after *timeout* seconds. Do
        nothing if it is not running.

        Raises:
            ServiceError: its command went to the background, where no signal reaches it.
            WorkspaceLost: the workspace has ended.
        """
        if self._process is None or not self.running:
            return
        if self._in_background():
            raise self._error(
                f"the service {self.name} cannot be stopped: its command went to the background",
                f"Write services.{self.name}.command so that it stays in the foreground.",
            )
        self._stopped = True
        process = self._process
        process.kill("TERM")
        if not self._ended_within(timeout):
            process.kill("KILL")
            if not self._ended_within(_KILL_PATIENCE):
                process.abandon()
        # Its children may have outlived it, with its port.
        self._channel.run(
            ["bash", "-c", _END_GROUP, "bash", str(process.pid)], cwd="/", timeout=_KILL_PATIENCE
        )
        self._join()

    def suspend(self) -> None:
        """
        Note whether the service runs, before every process of the workspace is ended.
        """
        if self.running:
            self._suspended = True
        # In a phase without services, and after it, they stay as they were.
        if self._suspended:
            self._stopped = True
            # What is ended with the phase says nothing about the next start. A command that went
            # to the background would seem to run as long as the file is there that it had made.
            self._process = None

    def resume(self) -> None:
        """
        Start the service if it ran when it was suspended.

        Raises:
            ServiceError: it does not become ready.
            WorkspaceLost: the workspace has ended.
        """
        if self._suspended:
            self._suspended = False
            self.start()

    def describe_end(self, lines: int = _TAIL) -> list[str]:
        """
        Return what to show if the service has ended by itself: its exit code, and the last lines
        of its output. Empty if it runs, or was stopped.

        Args:
            lines: the most lines of its output.
        """
        try:
            code = self.exit_code
            if self._stopped or code is None or (code == 0 and self._in_background()):
                return []
            self._join()
        except WorkspaceLost:
            return []
        return [f"the service {self.name} ended with exit code {code}", *self._tail(lines)]

    def _launch(self) -> None:
        spec = self.spec
        self._output.begin()
        try:
            self._process = self._channel.start(
                ["bash", "-c", _MERGED, "bash", *argv_of(spec.command)],
                args=spec.command,
                cwd=self._readiness.where,
                env=spec.env,
                user=spec.user,
                stdin=False,
            )
        except WorkspaceLost:
            raise
        except (OSError, ValueError) as error:
            raise self._error(
                f"the service {self.name} cannot be started: {printable(str(error))}",
                f"Correct services.{self.name} in .codex-workspace.yaml.",
            ) from None
        # From here on, not from the request: on a busy machine, half a second can pass in between.
        self._began = clock.monotonic()
        self._reader = threading.Thread(
            target=self._read, args=(self._process,), name="codex-workspace-service", daemon=True
        )
        self._reader.start()

    def _read(self, process: Process) -> None:
        hidden = self._secrets.redaction.stream()
        try:
            while piece := process.stdout.piece():
                self._output.feed(hidden.feed(piece))
        except WorkspaceLost:
            pass
        self._output.feed(hidden.end())

    def _wait(self, said: Callable[[str], None]) -> None:
        deadline, pause = self._began + self.spec.timeout, _PAUSES[0]
        while True:
            self._check_alive()
            left = deadline - clock.monotonic()
            missing = self._missing(left)
            # Again: it may have ended while this machine did something else.
            self._check_alive()
            if not missing:
                return
            if left <= 0:
                raise self._late(missing)
            said(self._output.last_line())
            clock.sleep(min(pause, left))
            pause = min(1.5 * pause, _PAUSES[1])

    def _check_alive(self) -> None:
        """
        Raise the error for a service that has ended. A command with `ready` may end with success,
        and what it has started goes on.
        """
        code = self.exit_code
        if code is not None and (code != 0 or not self.spec.ready):
            raise self._ended(code)

    def _missing(self, left: float) -> str:
        if self.spec.ready:
            return self._readiness.missing(left, has_output=self._output.has_wanted)
        return "" if clock.monotonic() - self._began >= _ALIVE else "it has just begun"

    def _ended(self, code: int) -> ServiceError:
        self._join()
        seconds = clock.monotonic() - self._began
        what = f"the service {self.name} ended with exit code {code} after {seconds:.1f} s"
        if self._process is not None and self._process.wait().out_of_memory:
            what += f": {out_of_memory()}"
        if self.spec.ready:
            what += f", before it was ready ({self.spec.ready})"
        if code == 0:
            remedy = (
                "A service stays in the foreground; if its command starts something else, say by "
                f"services.{self.name}.ready when that is ready."
            )
        elif code == _NOT_FOUND:
            remedy = "Install its program in codex-workspace-scripts/setup-script.sh."
        else:
            remedy = "Correct its command."
        return self._error("\n".join([what, *self._tail(_TAIL)]), f"{remedy} {_TRY_IT}", code)

    def _late(self, missing: str) -> ServiceError:
        name = self.name
        what = f"the service {name} was not ready within {self.spec.timeout:g} s: {missing}"
        remedy = (
            f"services.{name}.ready says when it is ready, and services.{name}.timeout sets the "
            f"limit. {_TRY_IT}"
        )
        return self._error("\n".join([what, *self._tail(_TAIL)]), remedy, self.exit_code)

    def _error(self, message: str, remedy: str, exit_code: int | None = None) -> ServiceError:
        return ServiceError(
            self._secrets.redaction.text(message),
            service=self.name,
            exit_code=exit_code,
            output=self.output,
            remedy=remedy,
        )

    def _tail(self, most: int) -> list[str]:
        if not most:
            return []
        lines = [line for line in self.output.splitlines() if line.strip()][-most:]
        if not lines:
            return ["it printed nothing"]
        shown = [f"  | {cut_middle(printable(line), _WIDTH)}" for line in lines]
        return ["the end of its output:", *shown]

    def _in_background(self) -> bool:
        process = self._process
        return bool(self.spec.ready) and process is not None and process.poll() == 0

    def _ended_within(self, seconds: float) -> bool:
        deadline = clock.monotonic() + seconds
        while self._process is not None and self._process.poll() is None:
            if clock.monotonic() >= deadline:
                return False
            clock.sleep(_PAUSES[0])
        return True

    def _join(self) -> None:
        """
        Wait until what the ended process has printed is read.
        """
        if self._reader is not None:
            self._reader.join(_KILL_PATIENCE)


_TRY_IT = "`codex-workspace shell --from=setup` opens a workspace without services to try it in."


class Services(Mapping[str, Service]):
    """
    The services of one workspace by name, in the order in which they start.
    """

    def __init__(self, services: Sequence[Service] = ()) -> None:
        self._services = {one.name: one for one in services}

    def __getitem__(self, name: str) -> Service:
        if name not in self._services:
            hint = did_you_mean(name, self._services)
            known = ", ".join(self._services) or "none"
            raise KeyError(f"no service {name!r}{hint}; .codex-workspace.yaml declares: {known}")
        return self._services[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._services)

    def __len__(self) -> int:
        return len(self._services)

    def start(self, output: Output) -> None:
        """
        Start all of them, each once the one before is ready.

        Raises:
            ServiceError: one does not become ready.
            WorkspaceLost: the workspace has ended.
        """
        for service in self._services.values():
            title = f"starting the service {service.name}"
            with output.step(title, announced=False) as step:

                def said(line: str) -> None:
                    step.latest = line

                service.start(said)

    def suspend(self) -> None:
        """
        Note which of them run, before every process of the workspace is ended.
        """
        for service in self._services.values():
            service.suspend()

    def resume(self) -> None:
        """
        Start those that ran when they were suspended, in their order.

        Raises:
            ServiceError: one does not become ready.
            WorkspaceLost: the workspace has ended.
        """
        for service in self._services.values():
            service.resume()


class _OutputTail:
    """
    The end of an output, which one thread writes and others read.

    Args:
        wanted: text to look for; empty if there is none.

    Attributes:
        has_wanted: whether the text has come since the last start.
    """

    def __init__(self, wanted: bytes) -> None:
        self._wanted = wanted
        self._lock = threading.Lock()
        self._data = bytearray()
        self._unsearched = b""
        self.has_wanted = False

    def begin(self) -> None:
        """
        Look for the text again.
        """
        with self._lock:
            self._unsearched, self.has_wanted = b"", False

    def feed(self, piece: bytes) -> None:
        """
        Add output.
        """
        with self._lock:
            self._data += piece
            del self._data[:-_KEPT]
            if self._wanted and not self.has_wanted:
                text = self._unsearched + piece
                self.has_wanted = self._wanted in text
                self._unsearched = text[-len(self._wanted) :]

    def text(self) -> str:
        """
        Return what is kept.
        """
        with self._lock:
            return self._data.decode("utf-8", "replace")

    def last_line(self) -> str:
        """
        Return the last line that is not empty.
        """
        with self._lock:
            end = bytes(self._data[-4096:])
        lines = [line for line in end.decode("utf-8", "replace").splitlines() if line.strip()]
        return lines[-1] if lines else ""

"""The host's end of the connection to the agent of a workspace.

The agent's messages are not trusted, because root in the workspace can forge them.
Every length has a limit, and an invalid message ends the channel. So does silence:
commands may run for ever without a word, but the agent answers.
"""

from __future__ import annotations

import json
import math
import os
import re
import shlex
import threading
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from errno import E2BIG, EFBIG
from typing import TYPE_CHECKING, Any, TypeVar

from ..engine.container_output import ContainerOutput
from ..errors import WorkspaceLost
from ..in_container import workspace_agent as wire
from ..network.rules.process import ProcessLine
from ..unpatched import clock
from .call import (
    ATTENTION,
    PTY_WINDOW,
    SILENCE,
    WINDOW,
    Call,
    CommandCall,
    FileCall,
    OwnerCall,
    check_size,
)
from .limits import MemoryWatch
from .process import Exit, LineCutter, Process, to_bytes
from .result import ExecResult, still_running, timed_out, was_interrupted

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from contextlib import AbstractContextManager

    from ..engine.protocol import Stream
    from .process import Pty

__all__ = ["Channel", "Ready"]

_OUTPUT_LIMIT = 10 << 20
_FILE_LIMIT = 256 << 20
_COUNTER_LIMIT = 64 << 10
_NOT_EXECUTABLE, _NOT_FOUND = 126, 127
_NAMES_LIMIT = 64 << 20
_WRONG_NAME = re.compile(rb"(?:\A|\0)\.{0,2}\0|/|[^\0]\Z")
_WAITS_LENGTH = 500
_STDERR_LIMIT = 64 << 10
_OWNER_SECONDS = 1.0
_OWNERS_LIMIT = 16
_CHAIN_LIMIT = 16
_PATIENCE = 5.0
_CALLS_LIMIT = 1 << 32

_NAMES = {
    wire.READ: "reading",
    wire.STAT: "the status of",
    wire.LIST: "listing",
    wire.MKDIR: "creating",
    wire.UNLINK: "removing",
}

_C = TypeVar("_C", bound=Call)


@dataclass(frozen=True, slots=True)
class Ready:
    """
    The agent's answer to `Channel.init`.

    Attributes:
        python: version of the agent's Python.
        pid: process id of the agent in the workspace.
        ca_installed: whether the agent had to install the certificate.
        milliseconds: time from the agent's start to its answer.
    """

    python: str
    pid: int
    ca_installed: bool
    milliseconds: float


_AFTER_LOSS = (
    "Run it again, in a new workspace; if that is lost, too, see what ends containers here."
)


class Channel:
    """
    Commands and files in one workspace. Many threads may use one channel.

    Args:
        stream: a stream attached to a container whose first process is the agent.
        describe: returns why the container ended, for `WorkspaceLost`.
    """

    def __init__(self, stream: Stream, *, describe: Callable[[], str]) -> None:
        self._lock = threading.Lock()
        self._last = 0
        self._cwd = "/"
        # One value, so that no command has the variables of one phase and what hides another's.
        self._phase: tuple[Mapping[str, str], Callable[[bytes], bytes]] = ({}, bytes)
        self._begins = threading.RLock()
        self._running: dict[CommandCall, tuple[str | Sequence[str], float, str | None]] = {}
        self._connect(stream, describe)

    def _connect(self, stream: Stream, describe: Callable[[], str]) -> None:
        self._stream = stream
        self._describe = describe
        self._memory = MemoryWatch(lambda path: self.read_file(path, limit=_COUNTER_LIMIT))
        self._calls: dict[int, Call] = {}
        self._owners: list[OwnerCall] = []
        self._closed = False
        self._heard = clock.monotonic()
        self._looked = 0.0
        self._unanswered = 0.0
        self._lost: str | None = None
        self._over = threading.Event()
        self._buffer = bytearray()
        self._output = ContainerOutput(stream, keep=_STDERR_LIMIT, name="agent")
        self._reader = threading.Thread(
            target=self._read_frames, name="codex-workspace-channel", daemon=True
        )
        self._reader.start()

    def reconnect(self, stream: Stream, *, describe: Callable[[], str]) -> None:
        """
        Go on with the agent of another container, which `init` has to prepare. Its commands have
        the variables of the phase that was entered last. What the agent before has not answered is
        lost; none of its processes may run any more.

        Args:
            stream: a stream attached to the other container.
            describe: returns why that container ended.

        Raises:
            WorkspaceLost: the connection before does not end.
        """
        with self._begins:
            self.close()
            if self._reader.is_alive():
                stream.close(at_once=True)
                raise WorkspaceLost("the connection to the workspace could not be ended")
            self._connect(stream, describe)

    @property
    def lost(self) -> bool:
        """
        Whether the workspace has ended.
        """
        return self._lost is not None

    def init(
        self,
        *,
        hosts: str | None = None,
        resolv: str | None = None,
        ca_certificate: str | None = None,
        env: Mapping[str, str] | None = None,
        cwd: str = "/",
        timeout: float = 120.0,
        root: str = "",
    ) -> Ready:
        """
        Prepare the workspace. The agent waits 30 s for this call.

        Args:
            hosts: content of `/etc/hosts`.
            resolv: content of `/etc/resolv.conf`.
            ca_certificate: certificate in PEM form for the trust store.
            env: variables of every command, in addition to the container's own.
            cwd: directory in which commands start by default.
            timeout: seconds to wait for the answer.
            root: directory that replaces `/` in the paths of these files.

        Raises:
            WorkspaceLost: the container has ended, or its agent does not answer.
        """
        call = self._open(FileCall)
        # Programs of the image run meanwhile, and the agent waits for them.
        call.watched = False
        self._request(
            wire.INIT,
            call,
            "the start of the workspace",
            hosts=hosts,
            resolv=resolv,
            ca_certificate=ca_certificate,
            env=dict(env or {}),
            cwd=cwd,
            root=root,
        )
        if not call.result(clock.monotonic() + timeout):
            raise WorkspaceLost(
                f"the agent of the workspace did not answer within {timeout:g} s"
                f"{self._output.last_words}"
            )
        self._cwd = cwd
        try:
            values = call.values
            return Ready(
                str(values["python"]),
                int(values["pid"]),
                bool(values["ca_installed"]),
                float(values["ms"]),
            )
        except (KeyError, TypeError, ValueError, OverflowError):
            raise WorkspaceLost(
                f"the agent of the workspace has another version: it answered "
                f"{call.values!r:.200}. Run `codex-workspace clean --images`; the next run "
                "rebuilds the images"
            ) from None

    def enter(self, variables: Mapping[str, str], hide: Callable[[bytes], bytes] = bytes) -> None:
        """
        Begin a phase: give *variables* to the commands that start from now on, in addition to
        those of `init`, and remove from what their results have what *hide* removes.
        """
        with self._begins:
            self._phase = dict(variables), hide

    def holding_commands(self) -> AbstractContextManager[object]:
        """
        Return a context in which no other thread begins a command: not between two phases, where
        it would have the variables of one and the network of another. It waits for the end of the
        context.
        """
        return self._begins

    def run(
        self,
        argv: Sequence[str],
        *,
        cwd: str | None = None,
        env: Mapping[str, str] | None = None,
        user: str | None = None,
        input: str | bytes | None = None,  # noqa: A002 -- the public name
        timeout: float | None = None,
        limit: int = _OUTPUT_LIMIT,
        args: str | Sequence[str] | None = None,
        began: Callable[[Callable[[], object]], object] | None = None,
        on_line: Callable[[str], object] | None = None,
    ) -> ExecResult:
        """
        Run a program to its end.

        Args:
            argv: the program, looked up in `PATH`, and its arguments.
            cwd: directory; by default that of `init`.
            env: variables in addition to those of `init`.
            user: name or number, with or without `:group`; root by default.
            input: standard input; empty by default.
            timeout: seconds after which the process group is killed.
            limit: the largest number of bytes to keep of each stream.
            args: the command as the user gave it, for the result and its errors.
            began: gets a function with which another thread can end the command.
            on_line: gets each line of the output, as far as it is kept, as soon as it comes.

        Raises:
            ExecTimeout: the timeout has passed. The error has the output so far.
            OSError: the directory or the user does not exist, or no further
                process can be started.
            WorkspaceLost: the workspace's container has ended.
        """
        __tracebackhide__ = True
        _check_command(argv, cwd, env or {}, user, timeout)
        call = self._open(lambda sender, number: CommandCall(sender, number, limit))
        start = clock.monotonic()
        self._running[call] = (list(argv) if args is None else args, start, cwd)
        deadline = None if timeout is None else start + timeout + _PATIENCE
        try:
            self._execute(call, argv, cwd, env, user, timeout, stdin=input is not None, limit=limit)
            if began is not None:
                began(call.abandon)
            if input is not None:
                with suppress(BrokenPipeError):
                    call.feed(to_bytes(input), end=True, deadline=deadline)
            if on_line is None:
                end = call.wait(deadline, limit) or call.abandon()
            else:
                lines = LineCutter(on_line, call.hide)
                end = call.follow(deadline, lines.feed) or call.abandon()
                lines.end()
        except BaseException as error:
            if was_interrupted(error):
                error.add_note(self._so_far(call, *self._running[call]))
            with suppress(WorkspaceLost):
                call.abandon()
            raise
        finally:
            del self._running[call]
        result = self.explained(self._result(call, list(argv) if args is None else args, end, cwd))
        call.forget_output()
        if end.timed_out and timeout is not None:
            raise timed_out(result, timeout, end.waits)
        return result

    def running(self) -> list[str]:
        """
        Return what each command that is waited for has printed so far.
        """
        found = list(self._running.items())
        return [self._so_far(call, *facts) for call, facts in found]

    def _so_far(
        self, call: CommandCall, argv: str | Sequence[str], began: float, cwd: str | None
    ) -> str:
        so_far = Exit(0, clock.monotonic() - began, truncated=False, timed_out=False)
        return still_running(self._result(call, argv, so_far, cwd))

    def start(
        self,
        argv: Sequence[str],
        *,
        args: str | Sequence[str] | None = None,
        cwd: str | None = None,
        env: Mapping[str, str] | None = None,
        user: str | None = None,
        input: str | bytes | None = None,  # noqa: A002 -- the public name
        timeout: float | None = None,
        check: bool = False,
        limit: int = _OUTPUT_LIMIT,
        pty: Pty | None = None,
        stdin: bool = True,
    ) -> Process:
        """
        Start a program, and return while it is running. The other arguments are those
        of `run`.

        Args:
            args: the command as the user gave it, for messages.
            check: whether `Process.wait` raises an error if the program fails.
            limit: the largest number of bytes of each stream that `Process.wait` keeps.
            pty: a terminal on which the program runs. All its output is then
                standard output.
            stdin: whether there is input at all. Without, the program reads
                `/dev/null`.
        """
        __tracebackhide__ = True
        _check_command(argv, cwd, env or {}, user, timeout)
        terminal: dict[str, Any] = {}
        if pty is not None:
            check_size(pty.rows, pty.columns)
            _check_text(pty.term)
            terminal = {"pty": asdict(pty)}
        window = WINDOW if pty is None else PTY_WINDOW
        call = self._open(
            lambda sender, number: CommandCall(
                sender, number, None, window=window, on_terminal=pty is not None
            )
        )
        try:
            self._execute(
                call, argv, cwd, env, user, timeout, stdin=stdin, window=window, **terminal
            )
            call.started()
            if input is not None:
                self._feed(call, to_bytes(input))
        except BaseException:
            with suppress(WorkspaceLost):
                call.abandon()
            raise
        return Process(
            call,
            list(argv) if args is None else args,
            cwd=self._directory(cwd),
            keep=limit,
            timeout=timeout,
            check=check,
            explain=lambda result: self.explained(_hidden(result, call.hide)),
        )

    def explained(self, result: ExecResult) -> ExecResult:
        """
        Return *result*, which says so if the kernel has killed a process for its memory.
        """
        if result.ok or result.exit_code in (_NOT_FOUND, _NOT_EXECUTABLE):
            return result
        try:
            killed = self._memory.grew()
        except WorkspaceLost:
            return result
        return replace(result, out_of_memory=True) if killed else result

    def read_file(self, path: str, *, limit: int = _FILE_LIMIT) -> bytes:
        """
        Return the content of a file.

        Raises:
            OSError: the file cannot be read, or is larger than *limit* bytes.
            WorkspaceLost: the workspace's container has ended.
        """
        return self._data(wire.READ, path, limit).data

    def write_file(self, path: str, data: bytes) -> None:
        """
        Write *data* to a file, in place of its content.

        Raises:
            OSError: the file cannot be written.
            WorkspaceLost: the workspace's container has ended.
        """
        _check_text(path)
        call = self._open(FileCall)
        self._request(wire.WRITE, call, f"writing {path[:200]!r}", path=path)
        with suppress(BrokenPipeError):
            call.feed(data, end=True)
        _finish(call, path)

    def stat(self, path: str, *, follow: bool = True) -> os.stat_result:
        """
        Return the result of `os.stat`; without *follow*, that of `os.lstat`.
        """
        values = self._request_file(wire.STAT, path, follow=follow).values.get("stat")
        if (
            not isinstance(values, list)
            or len(values) != 10
            or not all(type(value) is int and abs(value) < 1 << 63 for value in values)
            or not 0 <= values[0] < 1 << 32
        ):
            raise self._forged(f"a status of {values!r:.200}")
        return os.stat_result(values)

    def list_dir(self, path: str) -> Iterator[str]:
        """
        Return the names in a directory, sorted. Each is made when it is asked for:
        as text, a million names take many times their size.

        Raises:
            OSError: the directory cannot be read, or its names have more than 64 MiB.
            WorkspaceLost: the workspace's container has ended.
        """
        data = self._data(wire.LIST, path, _NAMES_LIMIT).data
        # Code that copies the listed files must stay inside the directory.
        if wrong := _WRONG_NAME.search(data):
            start = data.rfind(b"\0", 0, wrong.end() - 1) + 1
            name = data[start : start + 200].partition(b"\0")[0]
            raise self._forged(f"a file name of {os.fsdecode(name)!r}")
        return _names(data)

    def mkdir(self, path: str, *, parents: bool = False, exist_ok: bool = False) -> None:
        """
        Make a directory, as `Path.mkdir` does.
        """
        self._request_file(wire.MKDIR, path, parents=parents, exist_ok=exist_ok)

    def unlink(self, path: str) -> None:
        """
        Remove a file or a link.
        """
        self._request_file(wire.UNLINK, path)

    def inspect(self, pid: int) -> tuple[str, int]:
        """
        Return what the command with the process id *pid* seems to wait for, empty if
        nothing or unknown; and its processor time, in ticks.

        Raises:
            OSError: the agent cannot tell.
            WorkspaceLost: the workspace's container has ended.
        """
        call = self._open(FileCall)
        self._request(wire.INSPECT, call, f"inspecting process {pid}", pid=pid)
        call.result()
        waits, ticks = call.values.get("waits"), call.values.get("ticks")
        if not isinstance(waits, str) or type(ticks) is not int:
            raise self._forged(f"a state of {call.values!r:.200}")
        return waits[:_WAITS_LENGTH], ticks

    def owner(
        self, protocol: str, local: tuple[str, int], remote: tuple[str, int]
    ) -> list[ProcessLine]:
        """
        Return the process that has a socket and its ancestors, outermost first; none if the agent
        does not know it, or does not say so at once.

        Args:
            protocol: `tcp` or `udp`.
            local: address and port of the socket in the workspace.
            remote: where it leads.
        """
        with self._lock:
            self._owners = [one for one in self._owners if not one.has_ended]
            if len(self._owners) >= _OWNERS_LIMIT:
                return []
        try:
            call = self._open(OwnerCall)
            # An agent that is busy with something else has not done anything wrong.
            call.watched = False
            with self._lock:
                self._owners.append(call)
            ends = {"local": local, "remote": remote}
            self._request(wire.OWNER, call, "a process", protocol=protocol, **ends)
            if not call.result(clock.monotonic() + _OWNER_SECONDS):
                return []
        except OSError:
            return []
        found = call.values.get("processes")
        if not isinstance(found, list) or len(found) > _CHAIN_LIMIT:
            raise self._forged(f"processes of {call.values!r:.200}")
        return [self._process_line(one) for one in found]

    def _process_line(self, value: object) -> ProcessLine:
        match value:
            case {"args": [*args], "cut": bool(cut)}:
                if all(isinstance(one, str) for one in args):
                    return ProcessLine(tuple(args), cut)
        raise self._forged(f"a process of {value!r:.200}")

    def kill_all(self) -> None:
        """
        Kill every process in the workspace except the agent, and wait until all are
        gone.

        Raises:
            OSError: a process cannot be killed.
            WorkspaceLost: the workspace's container has ended.
        """
        call = self._open(FileCall)
        self._request(wire.KILL_ALL, call, "killing all processes")
        call.result()

    def close(self) -> None:
        """
        End the workspace. Running commands are killed.
        """
        with self._lock:
            self._closed = True
        # Every test waits for this, and nothing that was sent matters any more.
        self._stream.close(at_once=True)
        self._reader.join(_PATIENCE)

    def send(self, kind: int, number: int, payload: bytes = b"") -> None:
        """
        Send one frame to the agent on behalf of a call.
        """
        try:
            self._stream.send(wire.HEADER.pack(kind, number, len(payload)) + payload)
        except OSError as error:
            if not self._over.wait(_PATIENCE):
                self._end(str(error))
            raise WorkspaceLost(self._lost or "the connection to the workspace broke") from None

    def look_after(self, what: str) -> None:
        """
        Ask the agent for a sign of life if it has been silent. After `SILENCE`, end the
        channel with an error that says *what* waits.
        """
        with self._lock:
            now = clock.monotonic()
            if self._heard >= self._looked:
                self._unanswered = 0.0
            if self._lost is not None or now - max(self._heard, self._looked) < ATTENTION:
                return
            # Not more than a turn: this process may have been stopped in between.
            waited, self._unanswered = self._unanswered, self._unanswered + ATTENTION
            self._looked = now
        if waited < SILENCE:
            self.send(wire.PING, 0)
        else:
            self.give_up(f"its agent has not answered for {waited:.0f} s: {what}")

    def give_up(self, reason: str) -> None:
        """
        End the channel because of the agent.
        """
        self._end(f"{reason}. Its first process may have been stopped, or replaced")

    def _open(self, kind: Callable[[Channel, int], _C]) -> _C:
        with self._lock:
            if self._lost is not None:
                raise WorkspaceLost(self._lost)
            self._last = (self._last + 1) % _CALLS_LIMIT
            call = kind(self, self._last)
            self._calls[self._last] = call
            return call

    def _request(self, kind: int, call: Call, what: str, **values: Any) -> None:
        call.what = what
        payload = json.dumps(values).encode("ascii")
        if len(payload) > wire.MAX_PAYLOAD:
            self._forget(call)
            raise OSError(E2BIG, "arguments and environment are larger than 1 MiB")
        self.send(kind, call.number, payload)

    def _forget(self, call: Call) -> None:
        with self._lock:
            self._calls.pop(call.number, None)

    def _execute(
        self,
        call: CommandCall,
        argv: Sequence[str],
        cwd: str | None,
        env: Mapping[str, str] | None,
        user: str | None,
        timeout: float | None,
        **more: Any,
    ) -> None:
        with self._begins:
            variables, call.hide = self._phase
            self._request(
                wire.EXEC,
                call,
                f"the command {shlex.join(argv)[:200]}",
                argv=list(argv),
                cwd=cwd,
                env={**variables, **(env or {})},
                user=user,
                timeout=timeout,
                **more,
            )

    def _feed(self, call: CommandCall, data: bytes) -> None:
        def feed() -> None:
            with suppress(BrokenPipeError, WorkspaceLost):
                call.feed(data, end=True)

        if len(data) <= WINDOW:
            feed()
        else:
            threading.Thread(target=feed, name="codex-workspace-input", daemon=True).start()

    def _request_file(self, kind: int, path: str, **values: Any) -> FileCall:
        _check_text(path)
        call = self._open(FileCall)
        self._request(kind, call, f"{_NAMES[kind]} {path[:200]!r}", path=path, **values)
        _finish(call, path)
        return call

    def _data(self, kind: int, path: str, limit: int) -> FileCall:
        _check_text(path)
        call = self._open(lambda sender, number: FileCall(sender, number, limit))
        self._request(kind, call, f"{_NAMES[kind]} {path[:200]!r}", path=path)
        if not _finish(call, path):
            self.send(wire.KILL, call.number, b'{"signal": 9}')
            text = f"larger than {limit >> 20} MiB; use Workspace.download"
            raise OSError(EFBIG, text, path)
        return call

    def _result(
        self, call: CommandCall, args: str | Sequence[str], end: Exit, cwd: str | None
    ) -> ExecResult:
        stdout, stderr = call.output()
        return ExecResult(
            args, end.code, stdout, stderr, end.duration, end.truncated, self._directory(cwd)
        )

    def _directory(self, cwd: str | None) -> str:
        return self._cwd if cwd is None else cwd

    def _forged(self, what: str) -> WorkspaceLost:
        self._end(f"its agent sent {what}: another process may be impersonating the agent")
        return WorkspaceLost(self._lost or "")

    def _read_frames(self) -> None:
        try:
            self._output.read(self._hear)
        except Exception as error:  # a forged frame may cause any error
            self._forged(f"{error or type(error).__name__!r:.200}")
        else:
            self._end(None)

    def _hear(self, data: bytes) -> None:
        self._heard = clock.monotonic()
        self._decode(data)

    def _decode(self, data: bytes) -> None:
        buffer = self._buffer
        buffer += data
        start, end = 0, len(buffer)
        with memoryview(buffer) as view:
            while end - start >= wire.HEADER.size:
                kind, number, size = wire.HEADER.unpack_from(view, start)
                if size > wire.MAX_PAYLOAD:
                    raise ValueError(f"a frame of {size} bytes")
                body = start + wire.HEADER.size
                if end - body < size:
                    break
                start = body + size
                if kind == wire.PONG:
                    continue
                with self._lock:
                    call = self._calls.get(number)
                if call is None:
                    raise ValueError(f"an answer to request {number}, which expects none")
                with view[body:start] as payload:
                    if call.frame(kind, payload):
                        self._forget(call)
        del buffer[:start]

    def _end(self, reason: str | None) -> None:
        # Before the stream ends: the thread that reads it would find a reason of its own then.
        if reason is not None:
            self._set_lost(reason)
        with suppress(OSError):
            self._stream.close(at_once=True)
        if not self.lost:
            self._set_lost("it is closed" if self._closed else self._described())
        with self._lock:
            calls, self._calls = list(self._calls.values()), {}
        for call in calls:
            call.lose(self._lost or "")
        self._over.set()

    def _set_lost(self, why: str) -> None:
        """
        Keep the first reason why the workspace has ended.
        """
        text = f"the workspace is lost: {why}. {_AFTER_LOSS}{self._output.last_words}"
        with self._lock:
            if self._lost is None:
                self._lost = "the workspace is closed" if self._closed else text

    def _described(self) -> str:
        try:
            return self._describe()
        except Exception as error:  # the loss must be reported in any case
            return f"its connection ended ({error})"


def _names(data: bytes) -> Iterator[str]:
    start = 0
    while (end := data.find(b"\0", start)) >= 0:
        yield data[start:end].decode("utf-8", "surrogateescape")
        start = end + 1


def _hidden(result: ExecResult, hide: Callable[[bytes], bytes]) -> ExecResult:
    return replace(
        result, stdout_bytes=hide(result.stdout_bytes), stderr_bytes=hide(result.stderr_bytes)
    )


def _finish(call: FileCall, path: str) -> bool:
    try:
        return call.result()
    except OSError as error:
        if isinstance(error, WorkspaceLost):
            raise
        raise OSError(error.errno, error.strerror, error.filename or path) from None


def _check_text(text: str) -> None:
    """
    Check that *text* can be passed to the kernel of the workspace.

    Raises:
        ValueError: *text* contains a null byte or cannot be encoded.
    """
    if not isinstance(text, str):
        raise TypeError(f"commands, paths and variables must be text, not {text!r:.200}")
    if "\0" in text:
        raise ValueError(f"embedded null byte in {text[:200]!r}")
    try:
        text.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError as error:
        raise ValueError(f"{text[:200]!r} cannot be encoded: {error.reason}") from None


def _check_command(
    argv: Sequence[str],
    cwd: str | None,
    env: Mapping[str, str],
    user: str | None,
    timeout: float | None,
) -> None:
    """
    Check the arguments of a command before anything is sent.

    Raises:
        ValueError: the command is invalid.
    """
    if not argv or not argv[0]:
        raise ValueError("the command is empty; give the name of a program")
    for text in (*argv, cwd or "", *env, *env.values(), user or ""):
        _check_text(text)
    for name in env:
        if not name or "=" in name:
            raise ValueError(f"{name!r} is not a valid name of a variable")
    if timeout is not None and not (timeout > 0 and math.isfinite(timeout)):
        raise ValueError(f"the timeout must be a number of seconds above 0, not {timeout}")

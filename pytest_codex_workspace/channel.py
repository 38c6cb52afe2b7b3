"""The host's end of the conversation with a workspace's agent.

What comes from the agent is not trusted: whoever is root in the workspace can
forge it. Every length has a bound, and what makes no sense ends the channel.
"""

from __future__ import annotations

import json
import math
import os
import threading
import time
from contextlib import suppress
from dataclasses import asdict, dataclass
from errno import E2BIG, EFBIG
from typing import TYPE_CHECKING, Any, TypeVar

from .agent import agent as wire
from .calls import PTY_WINDOW, WINDOW, Call, CommandCall, FileCall, check_size
from .errors import WorkspaceLost
from .results import ExecResult, Process, timed_out, to_bytes

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from .engine.protocol import Stream
    from .results import Exit, Pty

__all__ = ["Channel", "Ready"]

_OUTPUT_LIMIT = 10 << 20
_FILE_LIMIT = 256 << 20
_STDERR_LIMIT = 64 << 10
_PATIENCE = 5.0
_CALLS_LIMIT = 1 << 32

_C = TypeVar("_C", bound=Call)


@dataclass(frozen=True, slots=True)
class Ready:
    """
    The agent's answer to `Channel.init`.

    Attributes:
        python: version of the Python it runs on.
        pid: its process id in the workspace.
        ca_installed: whether the certificate was not in the image yet.
        milliseconds: from its start to its answer.
    """

    python: str
    pid: int
    ca_installed: bool
    milliseconds: float


class Channel:
    """
    Commands and files in one workspace. Safe to use from many threads.

    Args:
        stream: attached to a container whose first process is the agent.
        describe: says what became of the container, for `WorkspaceLost`.
    """

    def __init__(self, stream: Stream, *, describe: Callable[[], str]) -> None:
        self._stream = stream
        self._describe = describe
        self._lock = threading.Lock()
        self._calls: dict[int, Call] = {}
        self._last = 0
        self._closed = False
        self._lost: str | None = None
        self._over = threading.Event()
        self._buffer = bytearray()
        self._stderr = bytearray()
        self._cwd = "/"
        self._reader = threading.Thread(
            target=self._read_frames, name="codex-workspace-channel", daemon=True
        )
        self._reader.start()

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
        Prepare the workspace. The agent waits 30 s for this.

        Args:
            hosts: text for `/etc/hosts`.
            resolv: text for `/etc/resolv.conf`.
            ca_certificate: PEM for the trust store.
            env: variables of every command, on top of the container's own.
            cwd: directory in which commands start by default.
            timeout: seconds to wait for the answer.
            root: what stands for `/` in front of the files above.

        Raises:
            WorkspaceLost: the container ended, or its agent does not answer.
        """
        call = self._open(FileCall)
        self._request(
            wire.INIT,
            call,
            hosts=hosts,
            resolv=resolv,
            ca_certificate=ca_certificate,
            env=dict(env or {}),
            cwd=cwd,
            root=root,
        )
        if not call.result(time.monotonic() + timeout):
            raise WorkspaceLost(
                f"the agent of the workspace did not answer within {timeout:g} s"
                f"{self._last_words()}"
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
        except (KeyError, TypeError, ValueError):
            raise WorkspaceLost(
                f"the agent of the workspace is another version: it answered {call.values!r:.200}. "
                "`codex-workspace clean --images` removes the images, and the next run makes "
                "them anew"
            ) from None

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
    ) -> ExecResult:
        """
        Run a program to its end.

        Args:
            argv: the program, found by `PATH`, and its arguments.
            cwd: directory; the one of `init` by default.
            env: variables on top of those of `init`.
            user: name or number, with or without `:group`; root by default.
            input: what it reads; nothing by default.
            timeout: seconds, after which its process group is killed.
            limit: bytes of each stream that are kept.

        Raises:
            ExecTimeout: with the output until then.
            OSError: there is no such directory or user, or no room for
                another process.
            WorkspaceLost: the workspace's container ended.
        """
        __tracebackhide__ = True
        _check_command(argv, cwd, env or {}, user, timeout)
        call = self._open(lambda sender, number: CommandCall(sender, number, limit))
        late = None if timeout is None else time.monotonic() + timeout + _PATIENCE
        try:
            self._execute(call, argv, cwd, env, user, timeout, stdin=input is not None, limit=limit)
            if input is not None:
                with suppress(BrokenPipeError):
                    call.feed(to_bytes(input), end=True, deadline=late)
            end = call.wait(late, limit) or call.abandon()
        except BaseException:
            with suppress(WorkspaceLost):
                call.abandon()
            raise
        result = self._result(call, list(argv), end, cwd)
        if end.timed_out and timeout is not None:
            raise timed_out(result, timeout)
        return result

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
    ) -> Process:
        """
        Start a program and return while it runs. Takes what `run` takes.

        Args:
            args: the command as the user gave it, for messages.
            check: `Process.wait` insists on success.
            limit: bytes of each stream that `Process.wait` keeps.
            pty: a terminal for it to run on; all its output comes as standard
                output then.
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
                call, argv, cwd, env, user, timeout, stdin=True, window=window, **terminal
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
        )

    def read_file(self, path: str, *, limit: int = _FILE_LIMIT) -> bytes:
        """
        The content of a file.

        Raises:
            OSError: as `open` and `read` do, or *limit* bytes are exceeded.
            WorkspaceLost: the workspace's container ended.
        """
        call = self._data(wire.READ, path, limit)
        return bytes(call.data)

    def write_file(self, path: str, data: bytes) -> None:
        """
        Make *data* the content of a file.

        Raises:
            OSError: as `open` and `write` do.
            WorkspaceLost: the workspace's container ended.
        """
        _check_text(path)
        call = self._open(FileCall)
        self._request(wire.WRITE, call, path=path)
        with suppress(BrokenPipeError):
            call.feed(data, end=True)
        _finish(call, path)

    def stat(self, path: str, *, follow: bool = True) -> os.stat_result:
        """
        What `os.stat` gives, or without *follow* `os.lstat`.
        """
        values = self._ask(wire.STAT, path, follow=follow).values.get("stat")
        if (
            not isinstance(values, list)
            or len(values) != 10
            or not all(type(value) is int for value in values)
        ):
            raise self._nonsense(f"a status of {values!r:.200}")
        return os.stat_result(values)

    def list_dir(self, path: str) -> list[str]:
        """
        The names in a directory, sorted.
        """
        data = bytes(self._data(wire.LIST, path, _FILE_LIMIT).data)
        names = [name.decode("utf-8", "surrogateescape") for name in data.split(b"\0")[:-1]]
        for name in names:
            # Whoever copies what is listed must not end up elsewhere.
            if name in ("", ".", "..") or "/" in name:
                raise self._nonsense(f"a file name of {name!r:.200}")
        return names

    def mkdir(self, path: str, *, parents: bool = False, exist_ok: bool = False) -> None:
        """
        Make a directory, as `Path.mkdir` does.
        """
        self._ask(wire.MKDIR, path, parents=parents, exist_ok=exist_ok)

    def unlink(self, path: str) -> None:
        """
        Remove a file or a link.
        """
        self._ask(wire.UNLINK, path)

    def kill_all(self) -> None:
        """
        Kill every process in the workspace but the agent, and wait until they
        are gone.

        Raises:
            OSError: one cannot be killed.
            WorkspaceLost: the workspace's container ended.
        """
        call = self._open(FileCall)
        self._request(wire.KILL_ALL, call)
        call.result()

    def close(self) -> None:
        """
        End the workspace. Commands that still run are killed with it.
        """
        with self._lock:
            self._closed = True
        self._stream.close()
        self._reader.join(_PATIENCE)

    def send(self, kind: int, number: int, payload: bytes = b"") -> None:
        """
        Send one frame to the agent. For calls.
        """
        try:
            self._stream.send(wire.HEADER.pack(kind, number, len(payload)) + payload)
        except OSError:
            self._over.wait(_PATIENCE)
            raise WorkspaceLost(self._lost or "the connection to the workspace broke") from None

    def _open(self, kind: Callable[[Channel, int], _C]) -> _C:
        with self._lock:
            if self._lost is not None:
                raise WorkspaceLost(self._lost)
            self._last = (self._last + 1) % _CALLS_LIMIT
            call = kind(self, self._last)
            self._calls[self._last] = call
            return call

    def _request(self, kind: int, call: Call, **values: Any) -> None:
        payload = json.dumps(values).encode("ascii")
        if len(payload) > wire.MAX_PAYLOAD:
            self._forget(call)
            raise OSError(E2BIG, "arguments and environment are longer than 1 MiB")
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
        self._request(
            wire.EXEC,
            call,
            argv=list(argv),
            cwd=cwd,
            env=dict(env or {}),
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

    def _ask(self, kind: int, path: str, **values: Any) -> FileCall:
        _check_text(path)
        call = self._open(FileCall)
        self._request(kind, call, path=path, **values)
        _finish(call, path)
        return call

    def _data(self, kind: int, path: str, limit: int) -> FileCall:
        _check_text(path)
        call = self._open(lambda sender, number: FileCall(sender, number, limit))
        self._request(kind, call, path=path)
        if not _finish(call, path):
            self.send(wire.KILL, call.number, b'{"signal": 9}')
            text = f"longer than {limit} bytes; Workspace.download has no such limit"
            raise OSError(EFBIG, text, path)
        return call

    def _result(self, call: CommandCall, args: list[str], end: Exit, cwd: str | None) -> ExecResult:
        stdout, stderr = call.output()
        return ExecResult(
            args, end.code, stdout, stderr, end.duration, end.truncated, self._directory(cwd)
        )

    def _directory(self, cwd: str | None) -> str:
        return self._cwd if cwd is None else cwd

    def _nonsense(self, what: str) -> WorkspaceLost:
        self._end(f"its agent sent {what}: something in the workspace speaks in its place")
        return WorkspaceLost(self._lost or "")

    def _read_frames(self) -> None:
        try:
            while True:
                kind, data = self._stream.receive()
                if kind == 1:
                    self._decode(data)
                elif kind == 2:
                    self._stderr += data
                    del self._stderr[:-_STDERR_LIMIT]
                else:
                    break
        except Exception as error:  # whatever a forged frame leads to
            self._nonsense(f"{error or type(error).__name__!r:.200}")
        else:
            self._end(None)

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
                with self._lock:
                    call = self._calls.get(number)
                if call is None:
                    raise ValueError(f"an answer to request {number}, which does not wait for one")
                with view[body:start] as payload:
                    if call.frame(kind, payload):
                        self._forget(call)
        del buffer[:start]

    def _end(self, reason: str | None) -> None:
        with suppress(OSError):
            self._stream.close()
        if self._closed:
            text = "the workspace is closed"
        else:
            text = f"the workspace is lost: {reason or self._described()}{self._last_words()}"
        with self._lock:
            if self._lost is None:
                self._lost = text
            calls, self._calls = list(self._calls.values()), {}
        for call in calls:
            call.lose(self._lost)
        self._over.set()

    def _described(self) -> str:
        try:
            return self._describe()
        except Exception as error:  # the loss itself must be told
            return f"its connection ended ({error})"

    def _last_words(self) -> str:
        words = self._stderr.decode("utf-8", "replace").strip()
        return f"\nits agent's last words:\n{words}" if words else ""


def _finish(call: FileCall, path: str) -> bool:
    try:
        return call.result()
    except OSError as error:
        if isinstance(error, WorkspaceLost):
            raise
        raise OSError(error.errno, error.strerror, error.filename or path) from None


def _check_text(text: str) -> None:
    """
    Raises:
        ValueError: the workspace's kernel would not take it.
    """
    if not isinstance(text, str):
        raise TypeError(f"commands, paths and variables are text, not {text!r:.200}")
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
    Raises:
        ValueError: it could not be run anywhere.
    """
    if not argv or not argv[0]:
        raise ValueError("there is no program to run: the command is empty")
    for text in (*argv, cwd or "", *env, *env.values(), user or ""):
        _check_text(text)
    for name in env:
        if not name or "=" in name:
            raise ValueError(f"{name!r} cannot be the name of a variable")
    if timeout is not None and not (timeout > 0 and math.isfinite(timeout)):
        raise ValueError(f"a timeout is a number of seconds above 0, not {timeout}")

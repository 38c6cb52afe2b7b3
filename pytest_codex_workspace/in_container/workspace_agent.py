"""The first process of every workspace: runs commands and accesses files for the host.

The agent is a single file that needs Python 3.8 and only the standard library.
The host sends and receives frames over the agent's standard input and output. A
frame has a header, `HEADER` (type, id, length of the payload), and a payload:
JSON for requests and answers, raw bytes for data. The host chooses an id for each
request; the id is in use until `EXIT`, `DONE` or `ERROR` ends the request. The
end of input ends everything in the container.

The host imports this module for the constants below; there is no second copy.

Commands may replace every file of the container. So the agent loads nothing once it
runs, neither a module nor a library: it imports all that it needs at its start, reads
users and groups as text, and decodes nothing but UTF-8. Otherwise, a file that a
command has written would run in the first process, and could forge frames.
"""

# Python 3.8 has no zip(strict=). Imports dominate the start-up time, so there is no pathlib.

from __future__ import annotations

import errno
import fcntl
import os
import select
import stat
import struct
import sys
import termios
import time

try:
    # Importing `socket` would take longer than all of these together.
    import _socket
except ImportError:
    _socket = None  # type: ignore[assignment]

# Importing `typing` would take a quarter of the agent's start-up time.
TYPE_CHECKING = False
if TYPE_CHECKING:
    import json
    import signal
    from collections.abc import Callable, Iterator
    from typing import Any, NoReturn

    _json: Any
else:
    try:
        # `signal` makes enumerations, and `json` loads `re`: that takes twice as long as the rest.
        import _json
        import _signal as signal
    except ImportError:
        # It is not CPython.
        import json
        import signal

        _json = None

__all__ = [
    "ACK",
    "CREDIT",
    "DATA",
    "DONE",
    "DRAIN_LIMIT",
    "ERROR",
    "EXEC",
    "EXIT",
    "HEADER",
    "HOSTNAME",
    "INIT",
    "INSPECT",
    "KILL",
    "KILL_ALL",
    "LIST",
    "MAX_PAYLOAD",
    "MKDIR",
    "OWNER",
    "PING",
    "PONG",
    "READ",
    "READY",
    "RESIZE",
    "STARTED",
    "STAT",
    "STDERR",
    "STDIN",
    "STDIN_EOF",
    "STDOUT",
    "TAKEN",
    "TAKEN_COUNT",
    "UNLINK",
    "WRITE",
    "main",
]

HEADER = struct.Struct(">BII")
CREDIT = struct.Struct(">BI")
TAKEN_COUNT = struct.Struct(">I")
MAX_PAYLOAD = 1 << 20

# From the host.
INIT = 1  # JSON: hosts (with HOSTNAME), resolv, ca_certificate, env, cwd -> READY
EXEC = 2  # JSON: argv, cwd, env, user, stdin or pty, limit or window, timeout -> EXIT
STDIN = 3  # bytes for an EXEC or a WRITE; each is acknowledged by TAKEN
STDIN_EOF = 4
KILL = 5  # JSON: signal; signals the process group of an EXEC, or ends a READ
ACK = 6  # CREDIT: number of bytes of STDOUT or STDERR that the host consumed
READ = 7  # JSON: path -> DATA ..., DONE
WRITE = 8  # JSON: path; then STDIN ..., STDIN_EOF -> DONE
STAT = 9  # JSON: path, follow -> DONE
LIST = 10  # JSON: path -> DATA (names, each ended by NUL) ..., DONE
MKDIR = 11  # JSON: path, parents, exist_ok -> DONE
UNLINK = 12  # JSON: path -> DONE
KILL_ALL = 13  # -> DONE
RESIZE = 14  # JSON: rows, columns; of the terminal of an EXEC with a pty
PING = 15  # -> PONG, both with the id 0
INSPECT = 16  # JSON: pid of an EXEC -> DONE with waits, ticks: what it seems to wait for, its time
OWNER = 17  # JSON: protocol, local, remote (address, port) -> DONE with processes, outermost first

# From the agent.
READY = 64  # JSON: python, pid, ca_installed, ms
STARTED = 65  # JSON: pid; only in answer to an EXEC with a window
STDOUT = 66
STDERR = 67
EXIT = 68  # JSON: code, duration, totals, truncated, timed_out, waits
ERROR = 69  # JSON: errno (its name), message, path
TAKEN = 70  # TAKEN_COUNT: bytes of STDIN that the agent no longer buffers
DATA = 71
DONE = 72  # JSON
PONG = 73

HOSTNAME = "{hostname}"
"""Stands in `hosts` for what `hostname` prints, which differs among engines."""

DRAIN_LIMIT = 1 << 20
"""Bytes that an ended command may send beyond its window: the capacity of a pipe."""

_PIECE = 1 << 16
_FILE_PIECE = 1 << 18
_STDIN_LIMIT = 4 << 20
_GRACE = 0.25
_LONGEST_GRACE = 1.0
_INIT_TIMEOUT = 30.0
_FAILED = 70
# Linux's; `termios` has no names for them in every Python.
_IUTF8 = 0x4000
_UNLOCK_TERMINAL = 0x40045431  # TIOCSPTLCK
_TERMINAL_NUMBER = 0x80045430  # TIOCGPTN

_SYSTEM_CALLS = {
    "x86_64": (("0", "19"), ("2", "257")),
    "aarch64": (("63", "65"), ("56",)),
}
"""The numbers of read and readv, and of open and openat."""

_INSPECTED = 100

# A search for the owner of a socket gives up beyond these: the workspace chooses how many sockets,
# processes and descriptors there are.
_SOCKETS_LIMIT = 4 << 20
_SEARCH_SECONDS = 0.1
_SEARCH_SHARE = 0.25
_DEPTH = 64
_ANCESTORS = 16
_COMMAND_LINE = 2048
# Linux's; `socket` has no names for them in every Python.
_AF_NETLINK = 16
_NETLINK_SOCK_DIAG = 4
_SOCK_DIAG_BY_FAMILY = 20
_NETLINK_HEAD = 16
_kernel_answers: set[str] = set()
"""Not empty once the kernel has found a socket: only then does ENOENT mean that there is none."""

_ACCOUNTS_LIMIT = 4 << 20
_LARGEST_ID = 0xFFFFFFFE
_GROUPS_LIMIT = 1 << 16  # Linux's

_CERTIFICATE = "/usr/local/share/ca-certificates/envoy-mitmproxy-ca-cert.crt"
_UPDATE = ("/usr/sbin/update-ca-certificates", "/usr/bin/update-ca-certificates")
_JAVA = "/etc/ca-certificates/update.d/zz-codex-workspace-java"
_BUNDLES = (
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
    "/etc/ssl/cert.pem",
)
_PATH = b"/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_SIGNALS = sorted(signal.valid_signals() - {signal.SIGKILL, signal.SIGSTOP})
_EXHAUSTED = (errno.EAGAIN, errno.ENOMEM, errno.EMFILE, errno.ENFILE)


class OutputPipe:
    """
    One output pipe of a command, or its terminal.

    With a `limit`, output beyond that number of bytes is read and dropped. With a
    `credit`, reading pauses while the host has that many bytes left to consume.
    """

    def __init__(
        self, agent: Agent, number: int, kind: int, fd: int, limit: int | None, credit: int | None
    ) -> None:
        self._agent = agent
        self._number = number
        self._kind = kind
        self._fd = fd
        self._remaining = limit
        self._credit = credit
        self._discard = False
        self.total = 0
        self.truncated = False
        self.open = True
        self.last = 0.0
        os.set_blocking(fd, False)
        agent.watch(fd, select.POLLIN, self._readable)

    def acknowledge(self, count: int) -> None:
        """
        Add *count* bytes, which the host has consumed, to the credit.
        """
        if self._credit is not None:
            self._credit += count
            if self.open and self._credit > 0:
                self._agent.watch(self._fd, select.POLLIN, self._readable)

    def drain(self) -> None:
        """
        Send the current content of the pipe, whatever the credit.
        """
        most = DRAIN_LIMIT
        while self.open and most > 0:
            count = self._pump(min(_PIECE, most))
            if not count:
                break
            most -= count

    def close(self) -> None:
        """
        Close the agent's end of the pipe; a terminal hangs up.
        """
        if self.open:
            self.open = False
            self._agent.unwatch(self._fd)
            os.close(self._fd)

    def discard(self) -> None:
        """
        Read and drop all further output.

        Processes that still hold the other end neither block nor get SIGPIPE.
        """
        self._discard = True
        if self.open:
            self._agent.watch(self._fd, select.POLLIN, self._readable)

    def _readable(self) -> None:
        size = _PIECE
        if self._credit is not None and not self._discard:
            size = min(size, self._credit)
        if size > 0:
            self._pump(size)
        if self._credit is not None and self._credit <= 0 and self.open and not self._discard:
            self._agent.unwatch(self._fd)

    def _pump(self, size: int) -> int:
        try:
            piece = os.read(self._fd, size)
        except BlockingIOError:
            return 0
        except OSError:
            # No process has the terminal open any more.
            piece = b""
        if not piece:
            self.close()
            return 0
        count = len(piece)
        if self._discard:
            return count
        self.total += count
        self.last = time.monotonic()
        if self._remaining is not None:
            if count > self._remaining:
                self.truncated = True
                piece = piece[: self._remaining]
            self._remaining -= len(piece)
        if self._credit is not None:
            self._credit -= count
        if piece:
            self._agent.send(self._kind, self._number, piece)
        return count


class InputPipe:
    """
    The input pipe or terminal of a command, with a buffer of unwritten data.
    """

    def __init__(self, agent: Agent, number: int, fd: int) -> None:
        self._agent = agent
        self._number = number
        self._fd = fd
        self._buffer = bytearray()
        self._ended = False
        self._open = True
        os.set_blocking(fd, False)

    def write(self, data: bytes) -> None:
        """
        Write *data* as soon as the pipe accepts the data.
        """
        if len(self._buffer) + len(data) > _STDIN_LIMIT:
            raise ValueError("the host sent more input than its credit allows")
        self._buffer += data
        self._flush()

    def end(self) -> None:
        """
        Close the pipe once the buffer has been written.
        """
        self._ended = True
        self._flush()

    def close(self) -> None:
        """
        Close the pipe and drop the buffer.
        """
        if self._open:
            self._open = False
            self._agent.unwatch(self._fd)
            os.close(self._fd)
        self._taken(len(self._buffer))

    def _flush(self) -> None:
        if not self._open:
            self._taken(len(self._buffer))
            return
        try:
            while self._buffer:
                with memoryview(self._buffer) as view:
                    count = os.write(self._fd, view[:_PIECE])
                self._taken(count)
        except BlockingIOError:
            self._agent.watch(self._fd, select.POLLOUT, self._flush)
            return
        except OSError:
            # No process reads the pipe, or the terminal has hung up.
            self.close()
            return
        if self._ended:
            self.close()
        else:
            self._agent.unwatch(self._fd)

    def _taken(self, count: int) -> None:
        if count:
            del self._buffer[:count]
            self._agent.send(TAKEN, self._number, TAKEN_COUNT.pack(count))


class RunningCommand:
    """
    A command, from its start until its `EXIT` is sent.
    """

    def __init__(self, agent: Agent, number: int, request: dict[str, Any]) -> None:
        self._agent = agent
        self.number = number
        self.ended = False
        self.timed_out = False
        self.deadline: float | None = None
        self._killed = False
        self._code = 0
        self._duration = 0.0
        self._waits = ""
        theirs: list[int] = []
        ours: list[int] = []
        terminal = None
        pty = request.get("pty")
        with_input = pty is not None or bool(request.get("stdin"))
        try:
            if pty is not None:
                master, slave, terminal = open_terminal(pty["rows"], pty["columns"])
                ours.append(master)
                theirs.append(slave)
                # The loop identifies a descriptor by its number, so input needs another one. The
                # last one prevents a hang-up if the command closes all of its own for a moment.
                ours[:0] = [os.dup(master)]
                ours.append(os.dup(slave))
                targets = [slave, slave, slave]
            else:
                if with_input:
                    reader, writer = os.pipe()
                    theirs.append(reader)
                    ours.append(writer)
                for _ in range(2):
                    reader, writer = os.pipe()
                    theirs.append(writer)
                    ours.append(reader)
                targets = theirs if with_input else [agent.null, *theirs]
            self._started = time.monotonic()
            self.pid = agent.spawn(request, targets, terminal)
        except BaseException:
            for fd in ours:
                os.close(fd)
            raise
        finally:
            for fd in theirs:
                os.close(fd)
        self._held = ours.pop() if pty is not None else None
        if request.get("timeout") is not None:
            self.deadline = self._started + request["timeout"]
        self.input = InputPipe(agent, number, ours.pop(0)) if with_input else None
        limit, window = request.get("limit"), request.get("window")
        if window is not None:
            agent.answer(STARTED, number, pid=self.pid)
        self.outputs = [
            OutputPipe(agent, number, kind, fd, limit, window)
            for kind, fd in zip((STDOUT, STDERR), ours)
        ]

    def resize(self, rows: int, columns: int) -> None:
        """
        Resize the terminal; its foreground process group gets SIGWINCH.
        """
        if self._held is not None:
            set_size(self._held, rows, columns)

    def kill(self, number: int) -> None:
        """
        Send a signal to the process group.
        """
        self._killed = self._killed or number == signal.SIGKILL
        try:
            os.killpg(self.pid, number)
        except (ProcessLookupError, PermissionError):
            pass

    def exited(self, status: int) -> None:
        """
        Handle the end of the main process.

        The command is reported at once if no other process holds its outputs.
        Otherwise, helpers such as the `tee` of `exec > >(tee log)` get a moment to
        finish. A killed process group is reported once all its processes are gone.
        """
        now = time.monotonic()
        self.ended = True
        self._duration = now - self._started
        if os.WIFEXITED(status):
            self._code = os.WEXITSTATUS(status)
        else:
            self._code = 128 + os.WTERMSIG(status)
        if self.input is not None:
            self.input.close()
        on_terminal = self._held is not None
        if self._held is not None:
            os.close(self._held)
            self._held = None
        for output in self.outputs:
            output.drain()
            if on_terminal:
                # Remaining processes got SIGHUP from the kernel, or are in the background.
                output.close()
        self.deadline = now + (_LONGEST_GRACE if self._killed else _GRACE)
        self.check()

    def check(self) -> None:
        """
        Report the command if it has ended and there is nothing to wait for.
        """
        if not self.ended:
            return
        if self._killed and os.getpid() == 1:
            try:
                # Orphaned processes become children of the agent, and their end wakes the loop.
                os.killpg(self.pid, 0)
            except ProcessLookupError:
                self._report()
        elif not any(output.open for output in self.outputs):
            self._report()

    def expire(self) -> None:
        """
        Handle the deadline of the command, or of its helpers after its end.
        """
        now = time.monotonic()
        if not self.ended:
            self.timed_out = True
            self._waits = inspect(self.pid)[0]
            self.deadline = None
            self.kill(signal.SIGKILL)
            return
        quiet = max(output.last for output in self.outputs) + _GRACE
        latest = self._started + self._duration + _LONGEST_GRACE
        if self.deadline is not None and not self._killed and now < min(quiet, latest):
            self.deadline = min(quiet, latest)
        else:
            self._report()

    def conclude(self) -> None:
        """
        Report the command at once, after all processes were killed.
        """
        if self.ended:
            self._report()

    def _report(self) -> None:
        self.deadline = None
        for output in self.outputs:
            output.drain()
            output.discard()
        self._agent.forget(self)
        self._agent.answer(
            EXIT,
            self.number,
            code=self._code,
            duration=self._duration,
            totals=[output.total for output in self.outputs],
            truncated=[output.truncated for output in self.outputs],
            timed_out=self.timed_out,
            waits=self._waits,
        )


class CannotStart(Exception):
    """
    A program cannot be started; with the message and exit code of a shell.
    """

    def __init__(self, code: int, message: str) -> None:
        super().__init__(message)
        self.code = code


class Agent:
    """
    The event loop, with all commands and file transfers.

    Args:
        source: descriptor to read frames from.
        sink: descriptor to write frames to.
        init_timeout: seconds to wait for `INIT`.
    """

    def __init__(self, source: int, sink: int, init_timeout: float) -> None:
        self._source = source
        self._sink = sink
        self._buffer = bytearray()
        self._poll = select.poll()
        self._watched: dict[int, tuple[int, Callable[[], None]]] = {}
        self._commands: dict[int, RunningCommand] = {}
        self._children: dict[int, RunningCommand] = {}
        self._reads: dict[int, int] = {}
        self._writes: dict[int, int] = {}
        self._env: dict[bytes, bytes] = dict(os.environb)
        self._cwd = b"/"
        self._init_deadline: float | None = time.monotonic() + init_timeout
        self._init_timeout = init_timeout
        self._requests = {
            INIT: self._init,
            EXEC: self._exec,
            KILL: self._kill,
            RESIZE: self._resize,
            READ: self._read,
            WRITE: self._write,
            STAT: self._stat,
            LIST: self._list,
            MKDIR: self._mkdir,
            UNLINK: self._unlink,
            INSPECT: self._inspect,
            OWNER: self._owner,
        }
        self._searches = SearchTime()
        self.null = os.open("/dev/null", os.O_RDWR)
        self._wakeup, wakeup = os.pipe()
        for fd in (self._wakeup, wakeup):
            os.set_blocking(fd, False)
        signal.set_wakeup_fd(wakeup, warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        self.watch(self._wakeup, select.POLLIN, self._woken)
        self.watch(source, select.POLLIN, self._received)

    def run(self) -> NoReturn:
        """
        Serve until the input ends.
        """
        while True:
            for fd, _ in self._poll.poll(self._patience()):
                if fd in self._watched:
                    self._watched[fd][1]()
            for number in list(self._reads):
                self._read_piece(number)
            now = time.monotonic()
            for command in list(self._commands.values()):
                command.check()
                if command.deadline is not None and command.deadline <= now:
                    command.expire()
            if self._init_deadline is not None and self._init_deadline <= now:
                fail(
                    f"the certificate of the proxy did not arrive within {self._init_timeout:g} s. "
                    "The session sends the certificate once its proxy runs. Check that the session "
                    "and its proxy container are running: `docker ps --filter "
                    "label=io.codex-workspace.kind=proxy`."
                )

    def watch(self, fd: int, events: int, handler: Callable[[], None]) -> None:
        """
        Call *handler* whenever *fd* is ready; may be called again for the same *fd*.
        """
        if self._watched.get(fd, (0, None))[0] != events:
            self._poll.register(fd, events)
        self._watched[fd] = (events, handler)

    def unwatch(self, fd: int) -> None:
        """
        Remove *fd* from the loop, if it is being watched.
        """
        if self._watched.pop(fd, None) is not None:
            self._poll.unregister(fd)

    def send(self, kind: int, number: int, payload: bytes) -> None:
        """
        Write one frame, and wait until the engine accepts it.
        """
        view = memoryview(HEADER.pack(kind, number, len(payload)) + payload)
        try:
            while view:
                view = view[os.write(self._sink, view) :]
        except OSError:
            self._leave()

    def answer(self, kind: int, number: int, **values: Any) -> None:
        """
        Send a JSON frame.
        """
        self.send(kind, number, to_json(values).encode("ascii"))

    def forget(self, command: RunningCommand) -> None:
        """
        Forget *command* after it was reported.
        """
        self._commands.pop(command.number, None)

    def spawn(self, request: dict[str, Any], targets: list[int], terminal: str | None) -> int:
        """
        Start the program of an `EXEC` in a new session.

        Args:
            request: the `EXEC` request.
            targets: descriptors to use as 0, 1 and 2.
            terminal: path of the terminal among them, which becomes the controlling
                terminal of the session.

        Returns:
            The process id.
        """
        argv = [encode(word) for word in request["argv"]]
        env = dict(self._env)
        pty = request.get("pty")
        if pty is not None:
            env[b"TERM"] = encode(pty["term"])
        user = request.get("user")
        account = find_account(user) if user else None
        if account is not None:
            env.update(account.env)
        for name, value in request.get("env", {}).items():
            if value is None:
                env.pop(encode(name), None)
            else:
                env[encode(name)] = encode(value)
        # The agent has a single thread, so it can change its own directory for a moment.
        cwd = request.get("cwd")
        os.chdir(os.path.join(self._cwd, encode(cwd)) if cwd else self._cwd)
        try:
            for program in find_programs(argv[0], env.get(b"PATH", _PATH)):
                try:
                    return start(program, argv, env, targets, account, terminal)
                except PermissionError:
                    denied = program
            raise CannotStart(126, f"{decode(denied)}: Permission denied")
        finally:
            os.chdir("/")

    def _patience(self) -> float | None:
        if self._reads:
            return 0
        deadlines = [one.deadline for one in self._commands.values() if one.deadline is not None]
        if self._init_deadline is not None:
            deadlines.append(self._init_deadline)
        if not deadlines:
            return None
        return max(0.0, min(deadlines) - time.monotonic()) * 1000

    def _received(self) -> None:
        piece = os.read(self._source, _FILE_PIECE)
        if not piece:
            self._leave()
        buffer = self._buffer
        buffer += piece
        start, end = 0, len(buffer)
        while end - start >= HEADER.size:
            kind, number, size = HEADER.unpack_from(buffer, start)
            if size > MAX_PAYLOAD or not INIT <= kind <= OWNER:
                fail(f"malformed frame: type {kind}, {size} bytes")
            if end - start < HEADER.size + size:
                break
            start += HEADER.size
            payload = bytes(buffer[start : start + size])
            start += size
            self._frame(kind, number, payload)
        del buffer[:start]

    def _frame(self, kind: int, number: int, payload: bytes) -> None:
        if kind == STDIN:
            self._stdin(number, payload)
        elif kind == STDIN_EOF:
            self._stdin_eof(number)
        elif kind == ACK:
            stream, count = CREDIT.unpack(payload)
            if number in self._commands:
                self._commands[number].outputs[stream - STDOUT].acknowledge(count)
        elif kind == KILL_ALL:
            self._kill_all(number)
        elif kind == PING:
            self.send(PONG, number, b"")
        else:
            request = from_json(payload.decode("utf-8"))
            try:
                self._requests[kind](number, request)
            except OSError as error:
                self._error(number, error)

    def _error(self, number: int, error: OSError) -> None:
        path = decode(error.filename) if isinstance(error.filename, bytes) else None
        self.answer(
            ERROR,
            number,
            errno=errno.errorcode.get(error.errno or 0, ""),
            message=error.strerror or str(error),
            path=path,
        )

    def _woken(self) -> None:
        os.read(self._wakeup, 4096)
        self._reap()

    def _reap(self) -> None:
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if not pid:
                return
            command = self._children.pop(pid, None)
            if command is not None:
                command.exited(status)

    def _leave(self) -> NoReturn:
        if os.getpid() != 1:
            for command in self._commands.values():
                command.kill(signal.SIGKILL)
        os._exit(0)

    def _init(self, number: int, request: dict[str, Any]) -> None:
        self._init_deadline = None
        root = request.get("root", "")
        if request.get("hosts") is not None:
            hosts = request["hosts"].replace(HOSTNAME, os.uname().nodename)
            overwrite(root + "/etc/hosts", encode(hosts))
        if request.get("resolv") is not None:
            overwrite(root + "/etc/resolv.conf", encode(request["resolv"]))
        installed = False
        if request.get("ca_certificate"):
            installed = install_certificate(root, request["ca_certificate"].encode())
        for name, value in request.get("env", {}).items():
            self._env[encode(name)] = encode(value)
        self._cwd = encode(request.get("cwd") or "/")
        self.answer(
            READY,
            number,
            python="{}.{}.{}".format(*sys.version_info),
            pid=os.getpid(),
            ca_installed=installed,
            ms=round((time.monotonic() - _BORN) * 1000, 1),
        )

    def _exec(self, number: int, request: dict[str, Any]) -> None:
        try:
            command = RunningCommand(self, number, request)
        except CannotStart as refusal:
            on_terminal = request.get("pty") is not None
            end = "\r\n" if on_terminal else "\n"
            text = f"{refusal}{end}".encode("utf-8", "surrogateescape")
            limit = request.get("limit")
            if request.get("window") is not None:
                self.answer(STARTED, number, pid=0)
            self.send(STDOUT if on_terminal else STDERR, number, text[:limit])
            self.answer(
                EXIT,
                number,
                code=refusal.code,
                duration=0.0,
                totals=[0, len(text)],
                truncated=[False, limit is not None and len(text) > limit],
                timed_out=False,
            )
            return
        self._commands[number] = command
        self._children[command.pid] = command

    def _kill(self, number: int, request: dict[str, Any]) -> None:
        if number in self._reads:
            os.close(self._reads.pop(number))
            self._error(number, OSError(errno.ECANCELED, os.strerror(errno.ECANCELED)))
        elif number in self._commands:
            name = request["signal"]
            value = name if isinstance(name, int) else getattr(signal, f"SIG{name}", None)
            if value is not None and 0 < value < signal.NSIG:
                self._commands[number].kill(value)

    def _resize(self, number: int, request: dict[str, Any]) -> None:
        if number in self._commands:
            self._commands[number].resize(request["rows"], request["columns"])

    def _kill_all(self, number: int) -> None:
        deadline = time.monotonic() + 5
        while time.monotonic() < deadline:
            if os.getpid() == 1:
                try:
                    os.kill(-1, signal.SIGKILL)
                except ProcessLookupError:
                    break
            elif not self._children:
                break
            for command in list(self._children.values()):
                command.kill(signal.SIGKILL)
            self._reap()
            time.sleep(0.001)
        else:
            left = OSError(errno.EBUSY, "processes that cannot be killed remain")
            self._error(number, left)
            return
        for command in list(self._commands.values()):
            command.conclude()
        self.answer(DONE, number)

    def _stdin(self, number: int, payload: bytes) -> None:
        command = self._commands.get(number)
        if command is not None and command.input is not None:
            command.input.write(payload)
        elif number in self._writes:
            try:
                view = memoryview(payload)
                while view:
                    view = view[os.write(self._writes[number], view) :]
            except OSError as error:
                os.close(self._writes.pop(number))
                self._error(number, error)
            else:
                self.send(TAKEN, number, TAKEN_COUNT.pack(len(payload)))

    def _stdin_eof(self, number: int) -> None:
        command = self._commands.get(number)
        if command is not None and command.input is not None:
            command.input.end()
        elif number in self._writes:
            try:
                os.close(self._writes.pop(number))
            except OSError as error:
                self._error(number, error)
            else:
                self.answer(DONE, number)

    def _read(self, number: int, request: dict[str, Any]) -> None:
        # O_NONBLOCK: a FIFO must not stop the loop.
        flags = os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY
        self._reads[number] = os.open(encode(request["path"]), flags)
        self._read_piece(number)

    def _read_piece(self, number: int) -> None:
        fd = self._reads[number]
        try:
            piece = os.read(fd, _FILE_PIECE)
        except OSError as error:
            os.close(self._reads.pop(number))
            self._error(number, error)
            return
        if piece:
            self.send(DATA, number, piece)
        else:
            os.close(self._reads.pop(number))
            self.answer(DONE, number)

    def _write(self, number: int, request: dict[str, Any]) -> None:
        flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NONBLOCK | os.O_NOCTTY
        self._writes[number] = os.open(encode(request["path"]), flags, 0o666)

    def _stat(self, number: int, request: dict[str, Any]) -> None:
        status = os.stat(encode(request["path"]), follow_symlinks=request.get("follow", True))
        self.answer(DONE, number, stat=list(status))

    def _list(self, number: int, request: dict[str, Any]) -> None:
        names = b"".join(name + b"\0" for name in sorted(os.listdir(encode(request["path"]))))
        for start in range(0, len(names), _FILE_PIECE):
            self.send(DATA, number, names[start : start + _FILE_PIECE])
        self.answer(DONE, number)

    def _mkdir(self, number: int, request: dict[str, Any]) -> None:
        path = encode(request["path"])
        if request.get("parents"):
            os.makedirs(os.path.dirname(path), exist_ok=True)
        try:
            os.mkdir(path)
        except FileExistsError:
            if not (request.get("exist_ok") and os.path.isdir(path)):
                raise
        self.answer(DONE, number)

    def _inspect(self, number: int, request: dict[str, Any]) -> None:
        waits, ticks = inspect(request["pid"])
        self.answer(DONE, number, waits=waits, ticks=ticks)

    def _owner(self, number: int, request: dict[str, Any]) -> None:
        found: list[dict[str, Any]] = []
        if self._searches.admit(time.monotonic()):
            began = time.process_time()
            try:
                found = find_owner(request["protocol"], request["local"], request["remote"])
            except (ValueError, struct.error):
                # An address of another kind, or an answer of another kernel.
                pass
            self._searches.spend(time.process_time() - began)
        self.answer(DONE, number, processes=found)

    def _unlink(self, number: int, request: dict[str, Any]) -> None:
        os.unlink(encode(request["path"]))
        self.answer(DONE, number)


def inspect(session: int) -> tuple[str, int]:
    """
    Return what a command seems to wait for, empty if nothing or unknown; and the processor
    time of its processes, in ticks.

    A command seems to wait for input if all its processes sleep, and one reads a terminal,
    or a pipe to which none of them writes.
    """
    found = []
    ticks = 0
    for name in os.listdir("/proc"):
        if name.isdigit():
            head, _, rest = _read_proc(name, "stat").rpartition(b") ")
            fields = rest.split()
            if len(fields) > 12 and fields[3] == b"%d" % session:
                found.append((name, decode(head.partition(b"(")[2]), fields[0]))
                ticks += int(fields[11]) + int(fields[12])
    if len(found) > _INSPECTED or any(state not in b"SZ" for _, _, state in found):
        return "", ticks
    for name, program, _ in found:
        what = _input_of(name, [one for one, _, _ in found if one != name])
        if what:
            return f"{program} (process {name}) {what}", ticks
    return "", ticks


def _input_of(process: str, others: list[str]) -> str:
    """
    Return the input that a process waits for; empty if there is none.
    """
    reads, opens = _SYSTEM_CALLS.get(os.uname().machine, ((), ()))
    call = decode(_read_proc(process, "syscall")).split()
    try:
        if call and call[0] in opens:
            return "opens a pipe that nobody else has open"
        if len(call) < 2 or call[0] not in reads:
            return ""
        path = f"/proc/{process}/fd/{int(call[1], 16)}"
        if os.readlink(path).startswith(("/dev/pts/", "/dev/tty", "/dev/console")):
            return "reads its terminal"
        status = os.stat(path)
        if not stat.S_ISFIFO(status.st_mode):
            return ""
        pipe = (status.st_dev, status.st_ino)
        return "" if any(_writes_to(pipe, one) for one in others) else "reads a pipe"
    except (OSError, ValueError):
        return ""


def _writes_to(pipe: tuple[int, int], process: str) -> bool:
    directory = f"/proc/{process}/fd"
    for name in os.listdir(directory)[:_INSPECTED]:
        status = os.stat(f"{directory}/{name}")
        if (status.st_dev, status.st_ino) == pipe:
            flags = _read_proc(process, f"fdinfo/{name}").partition(b"flags:")[2].split()
            if flags and int(flags[0], 8) & os.O_ACCMODE != os.O_RDONLY:
                return True
    return False


class SearchTime:
    """
    The processor time for searches, a part of all time: commands and files must not wait for them.
    """

    def __init__(self) -> None:
        self._left = _SEARCH_SECONDS
        self._at = 0.0

    def admit(self, now: float) -> bool:
        """
        Return whether there is time for a search at *now*.
        """
        gained = (now - self._at) * _SEARCH_SHARE
        self._left, self._at = min(_SEARCH_SECONDS, self._left + gained), now
        return self._left > 0

    def spend(self, seconds: float) -> None:
        """
        Note that a search took *seconds* of a processor.
        """
        self._left -= seconds


class SearchTooLong(Exception):
    """
    The search for the owner of a socket takes too long.
    """


def find_owner(
    protocol: str, local: tuple[str, int], remote: tuple[str, int]
) -> list[dict[str, Any]]:
    """
    Return the process that has the socket between two IPv4 addresses, and its ancestors as far
    as they live, outermost first; none if it is not known.

    Of processes that have inherited the socket, it is the outermost. Nobody may read what a
    process has open that has changed its user: such a process is known by its user, and if there
    are several, the result ends with the last one that all of them descend from.

    Args:
        protocol: `tcp` or `udp`.
        local: address and port of the socket.
        remote: where the socket leads.

    Returns:
        For each process its `args`, and whether they are `cut`.
    """
    deadline = time.monotonic() + _SEARCH_SECONDS
    try:
        found = _find_socket(protocol, local, remote)
        if found is None:
            return []
        inode, uid = found
        holder, hidden = _find_holder(inode, deadline)
        if holder is not None:
            chain = _chain(holder)
            others = (at for at, one in enumerate(chain) if _may_have(one, inode, deadline))
            chain = chain[: next(others, len(chain)) + 1]
        elif uid and _find_socket(protocol, local, remote) == found:
            chain = _common(_chain(one) for one in hidden if _runs_as(one, uid))
        else:
            chain = []
    except SearchTooLong:
        return []
    # Both ends say most: the script, and the program.
    if len(chain) > _ANCESTORS:
        chain = chain[: _ANCESTORS // 2] + chain[-_ANCESTORS // 2 :]
    return [_command_line(one) for one in chain]


def _find_socket(
    protocol: str, local: tuple[str, int], remote: tuple[str, int]
) -> tuple[int, int] | None:
    """
    Return inode and user of a socket; `None` if it is not open.
    """
    if protocol == "tcp" and _socket is not None:
        try:
            return _ask_kernel(local, remote)
        except OSError as error:
            if error.errno == errno.ENOENT and _kernel_answers:
                return None
            # The kernel may be built without it. Its list takes longer to read.
    own, peer = _socket_address(local), _socket_address(remote)
    found = set()
    mapped = b"0" * 16 + (b"FFFF0000" if sys.byteorder == "little" else b"0000FFFF")
    for prefix, name in ((b"", protocol), (mapped, f"{protocol}6")):
        for line in _socket_lines(f"/proc/net/{name}"):
            if own[8:] not in line:
                continue
            fields = line.split()
            if len(fields) < 10 or fields[9] == b"0":
                continue
            here, there = fields[1], fields[2]
            if protocol == "tcp":
                same = (here, there) == (prefix + own, prefix + peer)
            else:
                # A socket that is bound to no address, or leads to none, may use any.
                anywhere = b"0" * len(prefix + own[:8])
                same = here in (prefix + own, anywhere + own[8:]) and there in (
                    prefix + peer,
                    anywhere + b":0000",
                )
            if same:
                found.add((int(fields[9]), int(fields[7])))
    return found.pop() if len(found) == 1 else None


def _ask_kernel(local: tuple[str, int], remote: tuple[str, int]) -> tuple[int, int] | None:
    """
    Return inode and user of a TCP socket, as sock_diag(7) says; `None` if it is not open.

    Raises:
        OSError: the kernel does not say.
    """
    here, there = (_packed(address) + bytes(12) for address, _ in (local, remote))
    ports = struct.pack("!HH", local[1], remote[1])
    anything = 0xFFFFFFFF
    body = (
        struct.pack("=BBBBI", _socket.AF_INET, _socket.IPPROTO_TCP, 0, 0, anything)
        + ports
        + here
        + there
        + struct.pack("=III", 0, anything, anything)
    )
    head = struct.pack("=IHHII", _NETLINK_HEAD + len(body), _SOCK_DIAG_BY_FAMILY, 1, 1, 0)
    with _Descriptor(
        _socket.socket(_AF_NETLINK, _socket.SOCK_RAW, _NETLINK_SOCK_DIAG).detach()
    ) as fd:
        os.write(fd, head + body)
        os.set_blocking(fd, False)
        answer = os.read(fd, 4096)
    _, kind, _, _, _ = struct.unpack_from("=IHHII", answer)
    if kind == _SOCK_DIAG_BY_FAMILY:
        _kernel_answers.add("tcp")
        uid, inode = struct.unpack_from("=II", answer, _NETLINK_HEAD + 64)
        return (inode, uid) if inode else None
    (error,) = struct.unpack_from("=i", answer, _NETLINK_HEAD)
    raise OSError(-error, os.strerror(-error))


class _Descriptor:
    """
    A descriptor that is closed at the end of a block.
    """

    def __init__(self, fd: int) -> None:
        self._fd = fd

    def __enter__(self) -> int:
        return self._fd

    def __exit__(self, *error: object) -> None:
        os.close(self._fd)


def _packed(address: str) -> bytes:
    return bytes(int(part) for part in address.split("."))


def _socket_address(address: tuple[str, int]) -> bytes:
    """
    Return an IPv4 address and a port as Linux lists them.
    """
    return b"%08X:%04X" % (int.from_bytes(_packed(address[0]), sys.byteorder), address[1])


def _socket_lines(path: str) -> list[bytes]:
    content = b""
    try:
        fd = os.open(path, os.O_RDONLY)
    except OSError:
        return []
    with _Descriptor(fd):
        while True:
            piece = os.read(fd, _FILE_PIECE)
            if not piece:
                return content.split(b"\n")[1:]
            content += piece
            if len(content) > _SOCKETS_LIMIT:
                raise SearchTooLong


def _find_holder(inode: int, deadline: float) -> tuple[str | None, list[str]]:
    """
    Return a process that has a socket, the newest if there are several, and those that cannot
    be read.
    """
    hidden: list[str] = []
    numbers = [int(name) for name in os.listdir("/proc") if name.isdigit()]
    for number in sorted(numbers, reverse=True):
        process = str(number)
        if number != os.getpid():
            try:
                if _has_socket(process, inode, deadline):
                    return process, hidden
            except PermissionError:
                hidden.append(process)
            except OSError:
                # It has ended.
                pass
    return None, hidden


def _may_have(process: str, inode: int, deadline: float) -> bool:
    try:
        return _has_socket(process, inode, deadline)
    except OSError:
        return False


def _has_socket(process: str, inode: int, deadline: float) -> bool:
    directory = f"/proc/{process}/fd"
    wanted = f"socket:[{inode}]"
    owner = os.stat(directory)
    with _Credentials(owner.st_uid, owner.st_gid):
        for name in os.listdir(directory):
            if time.monotonic() > deadline:
                raise SearchTooLong
            try:
                if os.readlink(f"{directory}/{name}") == wanted:
                    return True
            except FileNotFoundError:
                pass
    return False


def _common(chains: Iterator[list[str]]) -> list[str]:
    """
    Return the beginning that all chains have in common.
    """
    common = []
    for level in zip(*chains):
        if len(set(level)) > 1:
            break
        common.append(level[0])
    return common


class _Credentials:
    """
    Read files as their owner: without CAP_SYS_PTRACE, root must not see what another user's
    process has open.

    The real user stays root, so no process of that user may signal or read the agent.
    """

    def __init__(self, uid: int, gid: int) -> None:
        self._ids = uid, gid
        self._own = os.geteuid(), os.getegid()

    def __enter__(self) -> None:
        if self._own[0] == 0 and self._ids != self._own:
            os.setegid(self._ids[1])
            os.seteuid(self._ids[0])

    def __exit__(self, *error: object) -> None:
        if (os.geteuid(), os.getegid()) != self._own:
            os.seteuid(self._own[0])
            os.setegid(self._own[1])


def _runs_as(process: str, uid: int) -> bool:
    ids = _read_proc(process, "status").partition(b"\nUid:")[2].partition(b"\n")[0].split()
    return b"%d" % uid in ids


def _chain(process: str) -> list[str]:
    """
    Return a process and its ancestors below the agent, outermost first.
    """
    chain: list[str] = []
    while process not in ("0", str(os.getpid()), *chain):
        if len(chain) > _DEPTH:
            raise SearchTooLong
        chain.insert(0, process)
        fields = _read_proc(process, "stat").rpartition(b") ")[2].split()
        if len(fields) < 2:
            break
        process = decode(fields[1])
    return chain


def _command_line(process: str) -> dict[str, Any]:
    """
    Return the arguments of a process, whose name stands for those of one that has none left.
    """
    line = _read_proc(process, "cmdline")
    cut = len(line) > _COMMAND_LINE
    args = line[:_COMMAND_LINE].rstrip(b"\0").split(b"\0")
    if args == [b""]:
        name = _read_proc(process, "stat").rpartition(b") ")[0].partition(b"(")[2]
        args = [name]
    return {"args": [decode(one) for one in args], "cut": cut}


def _read_proc(process: str, name: str) -> bytes:
    try:
        fd = os.open(f"/proc/{process}/{name}", os.O_RDONLY)
    except OSError:
        return b""
    try:
        return os.read(fd, 4096)
    except OSError:
        return b""
    finally:
        os.close(fd)


class Account:
    """
    The user and groups that a command runs as.
    """

    def __init__(self, uid: int, gid: int, groups: list[int], env: dict[bytes, bytes]) -> None:
        self.uid = uid
        self.gid = gid
        self.groups = groups
        self.env = env


def find_account(name: str) -> Account:
    """
    Return the account for *name*: a user name or id, optionally with `:group`.
    """
    user, _, group = name.partition(":")
    uid = _number(user)
    accounts = list(_accounts("/etc/passwd", 7))
    found = [one for one in accounts if encode(user) == one[0]]
    if uid is not None and not found:
        found = [one for one in accounts if _number(decode(one[2])) == uid]
    groups = list(_accounts("/etc/group", 4))
    if found:
        login, _, found_uid, found_gid, _, home, _ = found[0]
        uid, gid = _known(found_uid, "/etc/passwd"), _known(found_gid, "/etc/passwd")
        members = [_number(decode(one[2])) for one in groups if login in one[3].split(b",")]
        others = [one for one in members if one is not None and one != gid]
        account = Account(uid, gid, [gid, *others][:_GROUPS_LIMIT], {b"HOME": home})
        account.env.update({b"USER": login, b"LOGNAME": login})
    elif uid is not None:
        account = Account(uid, 0, [0], {b"HOME": b"/"})
    else:
        text = f"there is no user {user!r} in the workspace; /etc/passwd lists the users"
        raise OSError(errno.EINVAL, text)
    if group:
        gids = [one[2] for one in groups if encode(group) == one[0]]
        number = _known(gids[0], "/etc/group") if gids else _number(group)
        if number is None:
            text = f"there is no group {group!r} in the workspace; /etc/group lists the groups"
            raise OSError(errno.EINVAL, text)
        account.gid, account.groups = number, [number]
    return account


def _accounts(path: str, width: int) -> Iterator[list[bytes]]:
    """
    Yield the entries of `/etc/passwd` or `/etc/group`, from the first 4 MiB of the file.
    """
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY)
    except OSError:
        return
    try:
        if not stat.S_ISREG(os.fstat(fd).st_mode):
            return
        content = b""
        while len(content) < _ACCOUNTS_LIMIT:
            piece = os.read(fd, _ACCOUNTS_LIMIT - len(content))
            if not piece:
                break
            content += piece
    finally:
        os.close(fd)
    for line in content.split(b"\n"):
        fields = line.split(b":")
        if len(fields) == width and fields[0]:
            yield fields


def _number(text: str) -> int | None:
    """
    Return the id of a user or group that *text* is; `None` if it is a name.
    """
    if not 0 < len(text) <= 10 or not set(text) <= set("0123456789"):
        return None
    return int(text) if int(text) <= _LARGEST_ID else None


def _known(field: bytes, path: str) -> int:
    number = _number(decode(field))
    if number is None:
        text = f"{path} in the workspace has the id {decode(field)[:100]!r}, which is not a number"
        raise OSError(errno.EINVAL, text)
    return number


def find_programs(name: bytes, path: bytes) -> list[bytes]:
    """
    Return the files that *name* may refer to, in the order in which to try them.
    """
    if b"/" in name:
        candidates = [name]
    else:
        candidates = [os.path.join(part or b".", name) for part in path.split(b":")]
    found = [one for one in candidates if name and os.path.exists(one)]
    files = [one for one in found if not os.path.isdir(one)]
    if files:
        return files
    if b"/" not in name:
        raise CannotStart(
            127,
            f"{decode(name)}: command not found in PATH={decode(path)} "
            "(a command given as one string runs in a login shell, which may have another PATH)",
        )
    if found:
        raise CannotStart(126, f"{decode(name)}: Is a directory")
    raise CannotStart(127, f"{decode(name)}: No such file or directory")


def start(
    program: bytes,
    argv: list[bytes],
    env: dict[bytes, bytes],
    targets: list[int],
    account: Account | None,
    terminal: str | None,
) -> int:
    """
    Start *program*; `/bin/sh` runs a script without `#!`.

    Raises:
        PermissionError: the program may not be executed.
        CannotStart: the program cannot be executed for another reason.
        OSError: the system cannot create another process.
    """

    def launch(program: bytes, argv: list[bytes]) -> int:
        if account is None:
            return spawn(program, argv, env, targets, terminal)
        return fork(program, argv, env, targets, account, terminal)

    try:
        try:
            return launch(program, argv)
        except OSError as error:
            if error.errno != errno.ENOEXEC:
                raise
            return launch(b"/bin/sh", [b"sh", program, *argv[1:]])
    except PermissionError:
        raise
    except OSError as error:
        if error.errno in _EXHAUSTED:
            text = f"cannot create another process: {os.strerror(error.errno)}"
            raise OSError(error.errno, text) from None
        if error.errno == errno.ENOENT:
            text = "the interpreter in its first line, or its loader, does not exist"
            raise CannotStart(127, f"{decode(program)}: {text}") from None
        raise CannotStart(126, f"{decode(program)}: {error.strerror}") from None


def spawn(
    program: bytes,
    argv: list[bytes],
    env: dict[bytes, bytes],
    targets: list[int],
    terminal: str | None,
) -> int:
    """
    Start a program as the agent's own user.

    `posix_spawn` is faster than a fork.
    """
    actions: list[Any] = [(os.POSIX_SPAWN_DUP2, fd, number) for number, fd in enumerate(targets)]
    if terminal is not None:
        # The first terminal that a session leader opens becomes the controlling terminal.
        actions.insert(0, (os.POSIX_SPAWN_OPEN, 0, terminal, os.O_RDWR, 0))
    return os.posix_spawn(
        program,
        argv,
        env,
        file_actions=actions,
        setsid=True,
        setsigmask=[],
        setsigdef=_SIGNALS,
    )


def fork(
    program: bytes,
    argv: list[bytes],
    env: dict[bytes, bytes],
    targets: list[int],
    account: Account,
    terminal: str | None,
) -> int:
    """
    Start a program as another user.
    """
    reader, writer = os.pipe()
    pid = os.fork()
    if not pid:
        try:
            os.setsid()
            if terminal is not None:
                os.close(os.open(terminal, os.O_RDWR))
                os.chown(terminal, account.uid, -1)
            for number, fd in enumerate(targets):
                os.dup2(fd, number)
            for number in _SIGNALS:
                signal.signal(number, signal.SIG_DFL)
            os.setgroups(account.groups)
            os.setgid(account.gid)
            os.setuid(account.uid)
            os.execve(program, argv, env)
        except OSError as error:
            os.write(writer, b"%d" % (error.errno or errno.EIO))
        finally:
            os._exit(127)
    os.close(writer)
    with open(reader, "rb") as report:
        failure = report.read()
    if failure:
        os.waitpid(pid, 0)
        raise OSError(int(failure), os.strerror(int(failure)))
    return pid


def open_terminal(rows: int, columns: int) -> tuple[int, int, str]:
    """
    Create a terminal.

    Returns:
        The agent's end of the terminal, the command's end, and the path of the latter.

    Raises:
        OSError: there are too many terminals, or the workspace supports none.
    """
    opened = []
    try:
        # Not `os.openpty`: some C libraries look up the group `tty` in there, and load libraries.
        master = os.open("/dev/ptmx", os.O_RDWR | os.O_NOCTTY)
        opened.append(master)
        fcntl.ioctl(master, _UNLOCK_TERMINAL, struct.pack("i", 0))
        (number,) = struct.unpack("I", fcntl.ioctl(master, _TERMINAL_NUMBER, bytes(4)))
        path = f"/dev/pts/{number}"
        slave = os.open(path, os.O_RDWR | os.O_NOCTTY)
        opened.append(slave)
        set_size(slave, rows, columns)
        modes = termios.tcgetattr(slave)
        # Makes the kernel's line editor erase whole characters instead of bytes.
        modes[0] |= _IUTF8
        termios.tcsetattr(slave, termios.TCSANOW, modes)
    except (OSError, termios.error) as error:
        for fd in opened:
            os.close(fd)
        reason = os.strerror(error.args[0])
        text = f"no terminal can be created in the workspace: {reason}"
        raise OSError(error.args[0], text) from None
    return master, slave, path


def set_size(terminal: int, rows: int, columns: int) -> None:
    """
    Set the size of a terminal, in rows and columns.
    """
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))


def install_certificate(root: str, certificate: bytes) -> bool:
    """
    Add *certificate* to the trust store.

    Returns:
        Whether the certificate was new.
    """
    path = root + _CERTIFICATE
    try:
        with open(path, "rb") as present:
            if present.read() == certificate:
                return False
    except OSError:
        pass
    os.makedirs(os.path.dirname(path), exist_ok=True)
    if os.path.islink(path):
        os.unlink(path)
    overwrite(path, certificate)
    if any(_ran(root + tool) for tool in _UPDATE):
        return True
    bundle = next((one for one in _BUNDLES if os.path.exists(root + one)), _BUNDLES[0])
    os.makedirs(os.path.dirname(root + bundle), exist_ok=True)
    with open(root + bundle, "ab") as store:
        store.write(b"\n" + certificate)
    _ran(root + _JAVA)
    return True


def _ran(program: str) -> bool:
    """
    Run a program that may not exist, and return whether it succeeded.
    """
    if not os.access(program, os.X_OK):
        return False
    outputs = [(os.POSIX_SPAWN_OPEN, 1, "/dev/null", os.O_WRONLY, 0)]
    pid = os.posix_spawn(program, [program], os.environ, file_actions=outputs)
    return os.waitpid(pid, 0)[1] == 0


def overwrite(path: str, content: bytes) -> None:
    """
    Write a file in place, since the file may be a mount point.
    """
    with open(path, "wb") as file:
        file.write(content)
    os.chmod(path, 0o644)


class _Scanner:
    """
    What `json.JSONDecoder` tells the scanner of CPython, which asks for more in newer versions.
    """

    strict = True
    parse_float = float
    parse_int = int
    parse_constant = float

    def __getattr__(self, name: str) -> None:
        return None


_scan: Any = _json and _json.make_scanner(_Scanner())


def from_json(text: str) -> Any:
    """
    Return the value that *text* is, which has no white space around it.

    Raises:
        ValueError: it is none.
    """
    if _scan is None:
        return json.loads(text)
    try:
        value, end = _scan(text, 0)
    except (StopIteration, SystemError):
        # The latter where it looks for an exception of the module `json`.
        end = -1
    if end != len(text):
        raise ValueError("malformed JSON")
    return value


def to_json(value: Any) -> str:
    """
    Return a value of strings, finite numbers, booleans, lists and dictionaries as JSON, in ASCII.
    """
    if _json is None:
        return json.dumps(value)
    if isinstance(value, str):
        return str(_json.encode_basestring_ascii(value))
    if value is None:
        return "null"
    if value is True or value is False:
        return "true" if value else "false"
    if isinstance(value, (int, float)):
        return repr(value)
    if isinstance(value, dict):
        pairs = [f"{to_json(name)}:{to_json(one)}" for name, one in value.items()]
        return "{" + ",".join(pairs) + "}"
    return "[" + ",".join(map(to_json, value)) + "]"


def encode(text: str | bytes) -> bytes:
    """
    Return the bytes of a path, argument or variable, whatever the locale.
    """
    return text if isinstance(text, bytes) else text.encode("utf-8", "surrogateescape")


def decode(data: bytes) -> str:
    """
    Return the text of a path, argument or variable, the inverse of `encode`.
    """
    return data.decode("utf-8", "surrogateescape")


def fail(message: str) -> NoReturn:
    """
    Print *message* on standard error, and exit.
    """
    os.write(2, f"codex-workspace agent: {message}\n".encode("utf-8", "replace"))
    os._exit(_FAILED)


def main(arguments: list[str]) -> NoReturn:
    """
    Serve standard input and output.

    The optional argument is the number of seconds to wait for `INIT`.
    """
    os.umask(0o022)
    os.chdir("/")
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    source, sink = os.dup(0), os.dup(1)
    null = os.open("/dev/null", os.O_RDWR)
    os.dup2(null, 0)
    os.dup2(null, 1)
    os.close(null)
    if os.getpid() == 1 and os.getuid() == 0:
        # Changing credentials denies commands access to /proc/1/fd and /proc/1/mem:
        # `echo x >/proc/1/fd/1` must not write between the agent's frames.
        os.setegid(65534)
        os.setegid(0)
    try:
        Agent(source, sink, float(arguments[0]) if arguments else _INIT_TIMEOUT).run()
    except Exception as error:
        fail(f"{type(error).__name__}: {error}")


_BORN = time.monotonic()

if __name__ == "__main__":
    main(sys.argv[1:])

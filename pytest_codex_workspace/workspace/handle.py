"""The object that stands for a running workspace."""

from __future__ import annotations

import re
import threading
from collections import deque
from collections.abc import Callable, Iterator, Mapping, MutableMapping, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path, PurePath, PurePosixPath
from tempfile import TemporaryDirectory
from typing import Any, Literal, Protocol, TypedDict, Unpack

from ..access.event_loop import BlockingNotice, Ending, without_blocking
from ..access.forward import Forward, program
from ..access.variables import Variables
from ..access.wait import is_listening, wait_until
from ..engine.protocol import Engine
from ..errors import CodexWorkspaceError, TransferError, WaitError, WorkspaceLost
from ..network.log import NetworkLog
from ..network.matching import PHASES, Phase
from ..network.rules.request import Request
from ..options.markers import Keywords
from ..snapshots.changes import FileChanges
from ..snapshots.history import History
from ..snapshots.snapshot import Snapshot
from ..snapshots.work_tree import work_tree_changes, work_tree_patch
from ..text.phrases import did_you_mean
from ..text.printable import printable
from .channel import Channel
from .command_log import CommandLog
from .launcher import PhaseSwitch
from .paths import WorkspacePath
from .process import Process, Pty
from .result import ExecResult
from .transfer import pack, unpack

__all__ = [
    "Command",
    "CommandKeywords",
    "Daemon",
    "ExecKeywords",
    "ServiceHandle",
    "SetupResult",
    "Workspace",
    "WorkspaceFactory",
    "own_requests",
]

_WATCHED = 16
"""Processes whose output `Workspace.wait_for` looks at."""

Command = str | Sequence[str | PurePath]
"""A command: text for a bash login shell, or a program with its arguments."""


class CommandKeywords(TypedDict, total=False):
    """
    The keywords that `Workspace.exec` and `Workspace.start` share, for type checkers.
    """

    check: bool
    timeout: float | None
    env: Mapping[str, str] | None
    cwd: str | PurePath | None
    user: str | None
    input: str | bytes | None


class ExecKeywords(CommandKeywords, total=False):
    """
    All keywords of `Workspace.exec`, for type checkers.
    """

    on_line: Callable[[str], object] | None


@dataclass(frozen=True, slots=True)
class Daemon:
    """
    A process that was alive when a setup script ended.

    Attributes:
        name: the name of its program.
        command: its command line, cut after 200 characters.
        ports: the TCP ports on which it listened.
        sockets: the paths of the sockets on which it listened.
        held_output: whether the output of the script was still open in it.
    """

    name: str
    command: str = ""
    ports: tuple[int, ...] = ()
    sockets: tuple[str, ...] = ()
    held_output: bool = False

    @property
    def listens(self) -> bool:
        """
        Whether it was a server.
        """
        return bool(self.ports or self.sockets)


class ServiceHandle(Protocol):
    """
    A service of the repository: `services:` in `.codex-workspace.yaml`.
    """

    @property
    def running(self) -> bool:
        """
        Whether it runs.
        """

    @property
    def exit_code(self) -> int | None:
        """
        The exit code of its command; `None` while it runs.
        """

    @property
    def output(self) -> str:
        """
        The last 64 KiB of its output and its errors.
        """

    def restart(self) -> None:
        """
        Stop it, start it again, and wait until it is ready.

        Raises:
            ServiceError: it cannot be stopped, or does not become ready.
        """

    def stop(self, timeout: float = 10.0) -> None:
        """
        Send SIGTERM, and SIGKILL after *timeout* seconds. Do nothing if it is not running.

        Raises:
            ServiceError: its command went to the background, where no signal reaches it.
        """

    def describe_end(self, lines: int = 12) -> list[str]:
        """
        Return what to show if it has ended by itself, with the last *lines* of its output.
        """


@dataclass(frozen=True, slots=True)
class SetupResult:
    """
    The setup of a workspace.

    Attributes:
        cache: `hit` if the setup image existed; `miss` if setup ran; `off` if setup
            ran because the cache is off; `none` if there are no scripts, or the
            workspace was requested without setup.
        exit_code: the exit code of the scripts; 0 without scripts.
        output: the last MiB of each script's output.
        duration: seconds that the scripts took when they ran.
        log_path: file on this machine with the output of the scripts: the whole
            output if they ran in this session, otherwise the last MiB of each;
            `None` if the file could not be written.
        key: the key of the setup image.
        requests: the network log of `setup-script.sh`, also after a cache hit.
        daemons: what was still running when one of the scripts ended, servers first.
        missing: those of `daemons` that listened, and that no service starts again.
    """

    cache: Literal["hit", "miss", "off", "none"]
    exit_code: int = 0
    output: str = ""
    duration: float = 0.0
    log_path: Path | None = None
    key: str | None = None
    requests: tuple[Request, ...] = field(default=(), repr=False)
    daemons: tuple[Daemon, ...] = field(default=(), repr=False)
    missing: tuple[Daemon, ...] = field(default=(), repr=False)


class Workspace:
    """
    A running workspace, returned by the fixtures.

    Attributes:
        project: the project directory, `/workspace/<repository name>`.
        head: full id of the projected commit.
        setup: the setup of the workspace.
        network: the requests of the workspace, and their verdicts.
        container: the engine's id of its container; `restore` puts another one in its place.
        id: what reports call it: the engine's id of its first container.
        commands: the last commands that ran in the workspace.
        services: the services that `.codex-workspace.yaml` declares, by name.
    """

    def __init__(
        self,
        engine: Engine,
        container: str,
        channel: Channel,
        *,
        project: str,
        paths: type[WorkspacePath],
        head: str,
        env: Mapping[str, str],
        setup: SetupResult,
        network: NetworkLog,
        commands: CommandLog | None = None,
        services: Mapping[str, ServiceHandle] | None = None,
        phases: PhaseSwitch | None = None,
        history: History | None = None,
    ) -> None:
        self._phases = phases
        self._history = history
        self._engine = engine
        self._channel = channel
        self._paths = paths
        self.container: str = container
        self.id: str = container
        self.project: WorkspacePath = paths(project)
        self._env = env
        self.head = head
        self.setup = setup
        self.network = network
        self.commands: CommandLog = CommandLog() if commands is None else commands
        self.services: Mapping[str, ServiceHandle] = {} if services is None else services
        self._variables: dict[str, str] = {}
        self._notice = BlockingNotice()
        self._started: deque[Process] = deque(maxlen=_WATCHED)

    def __repr__(self) -> str:
        project = printable(str(self.project))
        return f"<Workspace {project} at {self.head[:12]} in {self.container[:12]}>"

    @property
    def env(self) -> MutableMapping[str, str]:
        """
        The variables of every command of the current phase, without those of the image, and
        without secrets. What is changed here holds for the commands that this handle starts from
        now on; only what was set here can be removed.

        Example:
            >>> ws.env["CI"] = "1"  # doctest: +SKIP
        """
        now = self._phases.now if self._phases else None
        given = {**self._env, **(now.variables if now and not now.secrets.names else {})}
        return Variables(given, self._variables)

    @contextmanager
    def phase(self, name: Phase) -> Iterator[Workspace]:
        """
        Let the rules of another phase hold for the commands of a block: its network policy, its
        variables and its secrets. Requests in the block belong to that phase.

        After the block, also after an error, the phase before is back, with the policy that it
        had. As in Codex, no process lives longer than its phase: what runs in the workspace
        ends at the beginning of the block, and again at its end. Files stay. Stubs and faults
        stay, too. Blocks may be nested; those of several threads run one after another.

        In a phase with secrets, their values are removed from the output in results and errors,
        though not from what is read from a running `Process`.

        Args:
            name: `setup`, `resume` or `test`. Setup and resume have the same policy and
                secrets. No script runs.

        Raises:
            ValueError: there is no such phase.
            SecretError: a secret is not set.
            WorkspaceLost: the workspace has ended.

        Example:
            >>> with ws.phase("setup"):  # doctest: +SKIP
            ...     ws.exec("pip install --editable .", check=True)
        """
        __tracebackhide__ = True
        if name not in PHASES:
            raise ValueError(
                f"there is no phase {name!r}{did_you_mean(str(name), PHASES)}; the phases are "
                f"{', '.join(PHASES)}"
            )
        if self._phases is None:
            raise WorkspaceLost("this workspace was not started by a session, so has no phases")
        with self._phases.lock:
            before, rules = self._phases.now, self._phases.rules(name)
            try:
                self._phases.enter(rules)
                yield self
            except BaseException:
                # The first error says what happened; without a workspace, nothing is left to do.
                with suppress(CodexWorkspaceError, OSError):
                    self._phases.enter(before)
                raise
            self._phases.enter(before)

    def exec(
        self,
        cmd: Command,
        *,
        check: bool = False,
        timeout: float | None = None,
        env: Mapping[str, str] | None = None,
        cwd: str | PurePath | None = None,
        user: str | None = None,
        input: str | bytes | None = None,  # noqa: A002 -- the public name
        on_line: Callable[[str], object] | None = None,
    ) -> ExecResult:
        """
        Run a command, and wait for its end.

        Args:
            cmd: text is run by a bash login shell, as in Codex; a list is a
                program and its arguments, run without a shell.
            check: raise `ExecError` if the command fails.
            timeout: seconds after which the command's whole process group is
                killed.
            env: variables in addition to `Workspace.env`.
            cwd: directory, by default the project. Relative paths start there.
            user: name or number of the user to run as; root by default.
            input: standard input of the command; empty by default.
            on_line: is called with each line of the output and the errors, with its line end, as
                soon as it comes. The result has them, too. If it raises an error, the command is
                killed.

        Returns:
            The exit code and the output. If a stream is longer than 10 MiB, the rest
            is dropped and `truncated` is set.

        Raises:
            ExecError: *check* is set, and the exit code is not 0.
            ExecTimeout: the timeout has passed. The error has the output so far.
            WorkspaceLost: the container has ended.
        """
        __tracebackhide__ = True
        self._notice.check("ws.exec", "await ws.aexec(...)")
        return self._run(
            cmd,
            check=check,
            timeout=timeout,
            env=env,
            cwd=cwd,
            user=user,
            input=input,
            on_line=on_line,
        )

    def git(self, *words: str | PurePath, **keywords: Unpack[ExecKeywords]) -> ExecResult:
        """
        Run git in the project, without a shell, as `ws.git("log", "-1")`.

        Args:
            words: the arguments of git.
            keywords: those of `exec`.
        """
        __tracebackhide__ = True
        return self.exec(["git", *words], **keywords)

    def which(self, name: str) -> WorkspacePath | None:
        """
        Return the path of a program, as a bash login shell finds it; `None` if there is none.
        """
        # What a function or an alias is called has no path, and is not printed by this.
        found = self._run(["bash", "-lc", 'type -P -- "$0"', name])
        path = found.stdout.removesuffix("\n")
        return self._paths(path) if found.ok and path.startswith("/") else None

    async def aexec(self, cmd: Command, **keywords: Unpack[ExecKeywords]) -> ExecResult:
        """
        Run a command as `exec` does, without blocking the event loop: on asyncio and trio. If this
        is cancelled, the command is killed.

        Args:
            cmd: the command.
            keywords: those of `exec`. The function `on_line` is called in another thread.

        Raises:
            ModuleNotFoundError: anyio is not installed (`pip install
                'pytest-codex-workspace[async]'`).
        """
        __tracebackhide__ = True
        ending = Ending()
        return await without_blocking(
            lambda: self._run(cmd, began=ending.begin, **keywords), ending.ask
        )

    async def astart(
        self, cmd: Command, *, pty: Pty | None = None, **keywords: Unpack[CommandKeywords]
    ) -> Process:
        """
        Start a command as `start` does, without blocking the event loop. Its output is read by
        `async for`, and its end waited for by `await process.await_()`; `async with` kills it at
        the end of the block.

        Args:
            cmd: the command.
            pty: a terminal to run it on.
            keywords: those of `exec`.

        Example:
            >>> async with await ws.astart("make serve") as server:  # doctest: +SKIP
            ...     async for line in server.stdout:
            ...         print(line)
        """
        started: list[Process] = []

        def start() -> Process:
            started.append(self.start(cmd, pty=pty, **keywords))
            return started[0]

        try:
            return await without_blocking(start, lambda: None)
        except BaseException:
            # Nobody has the process that was started meanwhile.
            for process in started:
                process.abandon()
            raise

    def _run(
        self,
        cmd: Command,
        *,
        check: bool = False,
        timeout: float | None = None,
        env: Mapping[str, str] | None = None,
        cwd: str | PurePath | None = None,
        user: str | None = None,
        input: str | bytes | None = None,  # noqa: A002 -- the public name
        on_line: Callable[[str], object] | None = None,
        began: Callable[[Callable[[], object]], object] | None = None,
    ) -> ExecResult:
        __tracebackhide__ = True
        where, given = self._cwd(cwd), _as_given(cmd)
        with self.commands.record(given, where, user) as finished:
            result = self._channel.run(
                _argv(cmd),
                args=given,
                cwd=where,
                env={**self._variables, **(env or {})},
                user=user,
                input=input,
                timeout=timeout,
                began=began,
                on_line=on_line,
            )
            finished(result, "exited")
        return result.check() if check else result

    def start(
        self,
        cmd: Command,
        *,
        env: Mapping[str, str] | None = None,
        cwd: str | PurePath | None = None,
        user: str | None = None,
        input: str | bytes | None = None,  # noqa: A002 -- the public name
        check: bool = False,
        timeout: float | None = None,
        pty: Pty | None = None,
    ) -> Process:
        """
        Start a command, and return while it is running.

        The arguments are those of `exec`; *check* takes effect in `Process.wait`. As
        on any pipe, the process blocks while 1 MiB of its output is unread.
        `Process.wait` reads the output.

        With *pty*, the command runs on a terminal, and all its output is in
        `Process.stdout`.
        """
        where = self._cwd(cwd)
        with self.commands.record(_as_given(cmd), where, user) as finished:
            process = self._channel.start(
                _argv(cmd),
                args=_as_given(cmd),
                cwd=where,
                env={**self._variables, **(env or {})},
                user=user,
                input=input,
                check=check,
                timeout=timeout,
                pty=pty,
            )
            process.finished, process.notice = finished, self._notice
            self._started.append(process)
        return process

    def path(self, path: str | PurePosixPath) -> WorkspacePath:
        """
        Return a path in the workspace. A relative path starts at the project.
        """
        return self._paths(self.project / path)

    def upload(self, host_path: str | Path, to: str | PurePosixPath) -> None:
        """
        Copy a file or a directory of this machine into the workspace, like `cp -r`.

        Raises:
            FileNotFoundError: *host_path* or the target's parent directory does
                not exist.
        """
        source, target = _on_this_machine(host_path), self.path(to)
        if target.is_dir():
            target = target / source.resolve().name
        elif not target.parent.is_dir():
            raise _missing("directory", target.parent)
        with pack(source, target.name) as archive:
            self._engine.put_archive(self.container, str(target.parent), archive)

    def download(self, path: str | PurePosixPath, host_path: str | Path) -> None:
        """
        Copy a file or a directory of the workspace to this machine, like `cp -r`.

        Links that lead out of the copied directory, also together with what lies in
        the target already, devices and sockets are refused, because the workspace is
        not trusted. So are more than a million files, 16 GiB, 32 MiB of links, or directories
        that are more than 256 deep.

        Raises:
            FileNotFoundError: *path* does not exist.
        """
        source, target = self.path(path), _on_this_machine(host_path)
        if not source.exists():
            raise _missing("file", source)
        unpack(self._engine.get_archive(self.container, str(source)), target)

    def copy(
        self, path: str | PurePosixPath, workspace: Workspace, to: str | PurePosixPath
    ) -> None:
        """
        Copy a file or a directory into another workspace, like `cp -r`. It is a download and an
        upload, and has the limits of both.

        Args:
            path: what is copied. A relative path starts at the project.
            workspace: the other workspace.
            to: the target there.

        Raises:
            FileNotFoundError: *path* or the target's parent directory does not exist.
            TransferError: *path* ends with `..` or is `/`, or cannot be downloaded.

        Example:
            >>> built.copy("dist", ws, "vendor")  # doctest: +SKIP
        """
        name = self.path(path).name
        if name in ("", ".."):
            raise TransferError(
                f"{path} cannot be copied: it does not end with a name",
                remedy="Give the directory by its name.",
            )
        with TemporaryDirectory() as between:
            source = Path(between, name)
            self.download(path, source)
            workspace.upload(source, to)

    def forward(self, port: int) -> AbstractContextManager[str]:
        """
        Make a TCP port of the workspace reachable from this machine, for the time of a block.
        Connections are carried over the channel of the workspace, with HTTP, WebSockets or
        whatever they speak. At most 256 are open at a time.

        In the workspace, the port is that of `127.0.0.1`, or else of `::1`. If nothing listens
        there, a connection is reset: `wait_for` waits until something does.

        Args:
            port: the port in the workspace.

        Returns:
            A context manager, which gives the address on this machine: `http://127.0.0.1:49152`.

        Raises:
            ValueError: there is no such port.

        Example:
            >>> with ws.forward(8000) as url:  # doctest: +SKIP
            ...     urllib.request.urlopen(f"{url}/health")
        """

        def start() -> Process:
            return self._channel.start(program(), args="the helper of forward()", cwd="/")

        return Forward(start, port)

    def wait_for(
        self,
        *,
        port: int | None = None,
        path: str | PurePosixPath | None = None,
        output: str | re.Pattern[str] | None = None,
        process: Process | None = None,
        timeout: float = 30.0,
    ) -> None:
        """
        Wait until all that is given holds.

        Args:
            port: somebody listens on this TCP port.
            path: this path exists.
            output: this text, or a match of this pattern, is in the output or the errors of
                *process* that were not iterated, or else of any process that this handle has
                started last. Nothing of it is taken.
            process: the process that is waited for. If it ends before, so does the wait.
            timeout: seconds to wait.

        Raises:
            TypeError: nothing is given.
            WaitError: it did not happen in time, or *process* has ended.
            WorkspaceLost: the workspace has ended.

        Example:
            >>> server = ws.start("npm run dev")  # doctest: +SKIP
            >>> ws.wait_for(port=8000, process=server)  # doctest: +SKIP
        """
        __tracebackhide__ = True
        if port is None and path is None and output is None:
            raise TypeError("wait_for needs something to wait for: give port=, path= or output=")
        watched = [process] if process is not None else list(self._started)
        text = output if isinstance(output, str) or output is None else output.pattern

        def missing() -> str:
            if port is not None and not is_listening(self._channel, port):
                return f"nothing listens on port {port}"
            if path is not None and not (there := self.path(path)).exists():
                return f"{printable(str(there))} does not exist"
            if output is not None and not any(_printed(one, output) for one in watched):
                return f"no output has {text!r}"
            return ""

        def ended() -> str:
            code = None if process is None else process.poll()
            return "" if code is None else f"the process has ended with exit code {code}"

        try:
            wait_until(missing, timeout, ended)
        except WaitError as error:
            shown = [one.unread().describe("a process so far") for one in watched[-1:]]
            raise WaitError("\n".join([str(error), *shown])) from None

    def diff(self, since: Literal["head", "start"] | Snapshot = "head") -> FileChanges:
        """
        Return which files have changed.

        Since `head`, these are the files of the project that git does not ignore, compared with
        the commit `Workspace.head`, whether or not they were committed in the workspace. Files
        inside a submodule belong to it; a repository that git does not know as one does not.
        Modes and times of directories, and empty directories, do not count, as in git.

        Since `start` or a snapshot, these are files, links and directories of the whole workspace,
        except `/dev`, `/proc`, `/run`, `/sys` and what each container has of its own. Content,
        type, permissions and owner count, times do not. A directory that was removed stands for
        everything in it. `start` is the image that the workspace was started from, whatever was
        restored since: for a test marked `cache_miss`, the state before `setup-script.sh` ran; for
        a workspace of a snapshot, that snapshot.

        What git and Python say in the workspace is believed, so a command that has replaced them
        may hide what it did.

        Args:
            since: what to compare with.

        Returns:
            The changes, sorted by path: up to 10,000 since `head`, otherwise among 50,000 paths.
            If there are more, `truncated` is set.

        Raises:
            ValueError: there is no such state.
            SnapshotError: the snapshot is gone, or goes back to another image than this workspace.
            ChangesError: git or Python in the workspace cannot tell.
            ExecTimeout: it takes more than ten minutes.
            WorkspaceLost: the workspace has ended.

        Example:
            >>> ws.exec("npm run format", check=True)  # doctest: +SKIP
            >>> ws.diff().assert_unchanged("package-lock.json")  # doctest: +SKIP
        """
        __tracebackhide__ = True
        if since == "head":
            return work_tree_changes(self._channel, str(self.project), self.head)
        if isinstance(since, Snapshot):
            return self._own_history.since(since)
        if since != "start":
            known = ("head", "start")
            raise ValueError(
                f"there is no state {since!r}{did_you_mean(str(since), known)}; since is "
                f"{', '.join(known)} or a snapshot"
            )
        return self._own_history.since_start()

    def patch(self) -> str:
        """
        Return the changes since `head` as a patch, which `git apply` takes at that commit.

        It has every file that `diff()` lists, also if it is not text. Files that are not UTF-8
        are written as binary files, so the patch can be saved with any tool. It comes from the
        workspace: read it before you run what it changes.

        Raises:
            ChangesError: git in the workspace cannot tell, or the patch has more than 64 MiB.
            ExecTimeout: it takes more than ten minutes.
            WorkspaceLost: the workspace has ended.

        Example:
            >>> Path("agent.patch").write_text(ws.patch())  # doctest: +SKIP
        """
        __tracebackhide__ = True
        return work_tree_patch(self._channel, str(self.project), self.head)

    def snapshot(self) -> Snapshot:
        """
        Keep the files of the workspace as they are now, as an image.

        `restore` brings this workspace back to it, and `codex_workspace_factory(snapshot=...)`
        starts others from it. Processes go on meanwhile, paused by the engine; they are not part of
        it, and neither are variables, stubs or the policy. A run keeps the 50 snapshots that were
        used last, and removes them at its end.

        Raises:
            EngineError: the engine refused: its disk is full, or a state is based on too many
                others.
            ChangesError: Python in the workspace does not say when the workspace was started.
            WorkspaceLost: the workspace has ended.

        Example:
            >>> snap = ws.snapshot()  # doctest: +SKIP
            >>> ws.exec("make clean")  # doctest: +SKIP
            >>> ws.restore(snap)  # doctest: +SKIP
        """
        __tracebackhide__ = True
        return self._own_history.snapshot()

    def restore(self, snapshot: Snapshot) -> None:
        """
        Bring the files of the workspace back to a snapshot of it, or of another one that was
        started from the same image.

        Every process of the workspace is ended; services that ran start again. The network log,
        stubs, faults, the policy and the phase stay, and so do this object and its paths.
        `container` is another one. If it does not come up, the workspace ends.

        Raises:
            SnapshotError: the snapshot is gone, or goes back to another image than this workspace.
            ServiceError: a service does not become ready again.
            WorkspaceLost: the workspace has ended.
        """
        __tracebackhide__ = True
        history = self._own_history
        try:
            history.restore(snapshot)
        finally:
            self.container = history.container

    @property
    def _own_history(self) -> History:
        if self._history is None:
            raise WorkspaceLost("this workspace was not started by a session, so has no history")
        return self._history

    def shell(self) -> int:
        """
        Open a bash login shell in the project directory, connected to the streams of this
        process, and wait for its end. It is meant for a debugger: under `pytest --pdb`, the
        workspace of a failed test is alive.

        Without a terminal, the shell reads commands from standard input.

        Returns:
            The exit code of the shell.

        Raises:
            WorkspaceLost: the workspace has ended.
        """
        from .attach import Streams, run_attached

        streams = Streams()
        main = threading.current_thread() is threading.main_thread()
        return run_attached(
            self, ("bash", "--login"), streams, terminal=main and streams.interactive
        )

    def _cwd(self, cwd: str | PurePath | None) -> str:
        return str(self.project if cwd is None else self.project / cwd)


class WorkspaceFactory(Protocol):
    """
    What the fixture `codex_workspace_factory` returns.
    """

    def __call__(self, **keywords: Unpack[Keywords]) -> Workspace:
        """
        Start a workspace. It is removed after the test.
        """


def _as_given(cmd: Command) -> str | Sequence[str]:
    """
    Return the command for results and messages. A path in it is text.
    """
    return cmd if isinstance(cmd, str) else [str(word) for word in cmd]


def _printed(process: Process, wanted: str | re.Pattern[str]) -> bool:
    found = process.unread()
    texts = (found.stdout, found.stderr)
    if isinstance(wanted, str):
        return any(wanted in text for text in texts)
    return any(wanted.search(text) for text in texts)


def _missing(kind: str, path: PurePosixPath) -> FileNotFoundError:
    # The name may come from a listing.
    return FileNotFoundError(f"no such {kind} in the workspace: {printable(str(path))}")


def _argv(cmd: Any) -> list[str]:
    if isinstance(cmd, str):
        return ["bash", "-lc", cmd]
    argv = [str(word) for word in cmd]
    if not argv:
        raise ValueError("the command is empty; give the name of a program")
    return argv


def _on_this_machine(path: str | Path) -> Path:
    """
    Return *path*, unless it is one in a workspace: here, it would name something else.
    """
    if isinstance(path, WorkspacePath):
        raise TypeError(
            f"{printable(str(path))} is a path in a workspace, where one of this machine is "
            "needed; Workspace.copy copies into another workspace"
        )
    return Path(path)


def own_requests(workspace: Workspace) -> list[Request]:
    """
    Return what the workspace requested, without what `workspace.setup` has already.

    Raises:
        ProxyError: the log is incomplete.
    """
    known = {(one.time, one.url) for one in workspace.setup.requests}
    return [one for one in workspace.network if (one.time, one.url) not in known]

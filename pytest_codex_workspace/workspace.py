"""The handle on a running workspace."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePosixPath
from typing import Any, Literal

from .channel import Channel
from .engine.protocol import Engine
from .network.log import NetworkLog
from .network.request import Request
from .paths import WorkspacePath
from .results import ExecResult, Process, Pty
from .transfer import pack, unpack

__all__ = ["Command", "SetupResult", "Workspace"]

Command = str | Sequence[str]
"""A text for a bash login shell, or the arguments of a program."""


@dataclass(frozen=True, slots=True)
class SetupResult:
    """
    How the workspace came to be set up.

    Attributes:
        cache: `hit`, the setup image was there; `miss`, setup ran; `off`,
            setup ran because the cache is off; `none`, there is nothing to
            set up, or this workspace was asked for without.
        exit_code: of the scripts; 0 when none ran.
        output: what the scripts printed, the last MiB of each.
        duration: seconds the scripts took when they ran.
        log_path: file on this machine with what they printed: everything if
            they ran in this session, else the last MiB of each; `None` where
            it could not be written.
        key: the key of the setup image.
        requests: the network log of `setup-script.sh`, on a hit too.
    """

    cache: Literal["hit", "miss", "off", "none"]
    exit_code: int = 0
    output: str = ""
    duration: float = 0.0
    log_path: Path | None = None
    key: str | None = None
    requests: tuple[Request, ...] = field(default=(), repr=False)


class Workspace:
    """
    A running workspace. Fixtures make it.

    Attributes:
        project: the project directory, `/workspace/<repository name>`.
        env: every variable that commands start with, the image's own aside.
        head: full id of the projected commit.
        setup: how the workspace came to be set up.
        network: what it sent, and what became of it.
        container: the engine's id of its container.
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
    ) -> None:
        self._engine = engine
        self._channel = channel
        self._paths = paths
        self.container = container
        self.project = paths(project)
        self.env = env
        self.head = head
        self.setup = setup
        self.network = network

    def __repr__(self) -> str:
        return f"<Workspace {self.project} at {self.head[:12]} in {self.container[:12]}>"

    def exec(
        self,
        cmd: Command,
        *,
        check: bool = False,
        timeout: float | None = None,
        env: Mapping[str, str] | None = None,
        cwd: str | PurePosixPath | None = None,
        user: str | None = None,
        input: str | bytes | None = None,  # noqa: A002 -- the public name
    ) -> ExecResult:
        """
        Run a command to its end.

        Args:
            cmd: a text is run by a bash login shell, as Codex does; a list is
                a program and its arguments, without a shell.
            check: raise `ExecError` if the command fails.
            timeout: seconds, after which the command's whole process group is
                killed.
            env: variables on top of `Workspace.env`.
            cwd: directory; relative ones start at the project, the default.
            user: name or number of the user to run as; root by default.
            input: what the command reads; nothing by default.

        Returns:
            Exit code and output. Each stream is kept up to 10 MiB; what was
            more is dropped, and `truncated` set.

        Raises:
            ExecError: *check*, and the exit code is not 0.
            ExecTimeout: with what was printed until then.
            WorkspaceLost: the container ended.
        """
        __tracebackhide__ = True
        result = self._channel.run(
            _argv(cmd), cwd=self._cwd(cwd), env=env, user=user, input=input, timeout=timeout
        )
        result = replace(result, args=cmd)
        return result.check() if check else result

    def start(
        self,
        cmd: Command,
        *,
        env: Mapping[str, str] | None = None,
        cwd: str | PurePosixPath | None = None,
        user: str | None = None,
        input: str | bytes | None = None,  # noqa: A002 -- the public name
        check: bool = False,
        timeout: float | None = None,
        pty: Pty | None = None,
    ) -> Process:
        """
        Start a command and return while it runs.

        Takes what `exec` takes; *check* and *timeout* count when the process
        is waited for. Whoever does not read a process's output lets it block
        once a MiB of it is unread, as on any pipe; `wait` reads it.

        With *pty* it runs on a terminal: what it prints there is all in
        `Process.stdout`.
        """
        return self._channel.start(
            _argv(cmd),
            args=cmd,
            cwd=self._cwd(cwd),
            env=env,
            user=user,
            input=input,
            check=check,
            timeout=timeout,
            pty=pty,
        )

    def path(self, path: str | PurePosixPath) -> WorkspacePath:
        """
        A path in the workspace; a relative one starts at the project.
        """
        return self._paths(self.project / path)

    def upload(self, host_path: str | Path, to: str | PurePosixPath) -> None:
        """
        Copy a file or a directory of this machine into the workspace, as `cp
        -r` does.

        Raises:
            FileNotFoundError: there is no *host_path*, or no directory to
                copy it into.
        """
        source, target = Path(host_path), self.path(to)
        if target.is_dir():
            target = target / source.resolve().name
        elif not target.parent.is_dir():
            raise FileNotFoundError(f"no such directory in the workspace: {target.parent}")
        with pack(source, target.name) as archive:
            self._engine.put_archive(self.container, str(target.parent), archive)

    def download(self, path: str | PurePosixPath, host_path: str | Path) -> None:
        """
        Copy a file or a directory of the workspace to this machine, as `cp
        -r` does. Links that lead out of the copied directory, devices and the
        like are refused: the workspace is not trusted with this machine.

        Raises:
            FileNotFoundError: there is no such *path*.
        """
        source = self.path(path)
        if not source.exists():
            raise FileNotFoundError(f"no such file in the workspace: {source}")
        unpack(self._engine.get_archive(self.container, str(source)), Path(host_path))

    def _cwd(self, cwd: str | PurePosixPath | None) -> str:
        return str(self.project if cwd is None else self.project / cwd)


def _argv(cmd: Any) -> list[str]:
    if isinstance(cmd, str):
        return ["bash", "-lc", cmd]
    argv = [str(word) for word in cmd]
    if not argv:
        raise ValueError("exec([]): there is no program to run")
    return argv

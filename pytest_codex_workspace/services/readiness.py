"""Whether a service is ready: ports, files, sockets, commands, and text of its output."""

from __future__ import annotations

import stat
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

from ..access.wait import is_listening
from ..errors import ExecTimeout, WorkspaceLost
from ..in_container.list_processes import SOCKET_TABLE, sockets_in
from ..text.phrases import cut_middle
from ..text.printable import printable
from ..unpatched import clock

if TYPE_CHECKING:
    from ..options.services import ServiceSpec
    from ..workspace.channel import Channel

__all__ = ["Readiness", "argv_of"]

_TABLE_LIMIT = 16 << 20
_TRY = 30.0
"""The longest time that one run of a readiness command may take, in seconds."""

_RECENT, _NEXT_SECOND = 3.0, 1.01
_OUTPUT = 64 << 10
_WIDTH = 160


@dataclass(frozen=True, slots=True)
class _FileState:
    """
    What a file looks like. Engines and agents compare whole seconds.
    """

    inode: int
    size: int
    modified: float
    changed: float
    is_socket: bool

    @property
    def is_recent(self) -> bool:
        """
        Whether it may have changed in this second. The clock of the engine may differ a little.
        """
        return not self.is_socket and abs(clock.wall_time() - self.changed) < _RECENT


class Readiness:
    """
    Checks whether one service is ready.

    Args:
        spec: the service.
        channel: its workspace.
        project: the project directory.

    Attributes:
        where: the directory in which the service and its readiness command run.
    """

    def __init__(self, spec: ServiceSpec, channel: Channel, project: str) -> None:
        self._spec = spec
        self._channel = channel
        self.where = str(PurePosixPath(project) / (spec.cwd or ""))
        self._path = str(PurePosixPath(self.where) / (spec.ready.path or ""))
        self._before: _FileState | None = None

    def begin(self) -> str:
        """
        Note what is there before the service starts. Return what stands in its way; empty if
        nothing does.
        """
        ready = self._spec.ready
        if ready.path is not None:
            self._before = self._file()
            # Written again within the same second, as its process id is, it would look the same.
            if self._before is not None and self._before.is_recent:
                clock.sleep(_NEXT_SECOND)
        if ready.port is not None and is_listening(self._channel, ready.port):
            return f"another process listens on port {ready.port} already"
        return ""

    def missing(self, seconds: float, *, has_output: bool) -> str:
        """
        Return what does not hold yet; empty if the service is ready.

        Args:
            seconds: time that is left.
            has_output: whether the output that is waited for has come.
        """
        ready = self._spec.ready
        if ready.port is not None and not is_listening(self._channel, ready.port):
            return f"nothing listens on port {ready.port}"
        if ready.path is not None and (problem := self._missing_path()):
            return problem
        if ready.output is not None and not has_output:
            return f"its output does not have {ready.output!r}"
        return "" if ready.command is None else self._failing_command(ready.command, seconds)

    def _missing_path(self) -> str:
        now = self._file()
        path = self._spec.ready.path
        if now is None:
            return f"{path} does not exist"
        if now.is_socket:
            name = PurePosixPath(self._path).name
            sockets = sockets_in(_text(self._channel, SOCKET_TABLE)).values()
            listening = any(PurePosixPath(one).name == name for one in sockets)
            return "" if listening else f"nothing listens on the socket {path}"
        # Files of setup are in the workspace: what was there before says nothing.
        return f"{path} is as it was before the start" if now == self._before else ""

    def _file(self) -> _FileState | None:
        try:
            found = self._channel.stat(self._path)
        except WorkspaceLost:
            raise
        except OSError:
            return None
        is_socket = stat.S_ISSOCK(found.st_mode)
        return _FileState(found.st_ino, found.st_size, found.st_mtime, found.st_ctime, is_socket)

    def _failing_command(self, command: str | tuple[str, ...], seconds: float) -> str:
        spec = self._spec
        limit = max(0.1, min(seconds, _TRY))
        try:
            result = self._channel.run(
                argv_of(command),
                cwd=self.where,
                env=spec.env,
                user=spec.user,
                timeout=limit,
                limit=_OUTPUT,
            )
        except ExecTimeout:
            return f"its readiness command did not end within {limit:.3g} s"
        except WorkspaceLost:
            raise
        except OSError as error:
            return f"its readiness command cannot be run: {error.strerror}"
        if result.ok:
            return ""
        lines = (result.stderr or result.stdout).strip().splitlines()
        said = f": {cut_middle(printable(lines[-1]), _WIDTH)}" if lines else ""
        return f"its readiness command exits with {result.exit_code}{said}"


def argv_of(command: str | tuple[str, ...]) -> list[str]:
    """
    Return the program and arguments of a command.
    """
    return ["bash", "-lc", command] if isinstance(command, str) else list(command)


def _text(channel: Channel, table: str) -> str:
    try:
        return channel.read_file(table, limit=_TABLE_LIMIT).decode("ascii", "replace")
    except WorkspaceLost:
        raise
    except OSError:
        return ""  # A kernel without IPv6 has no such table.

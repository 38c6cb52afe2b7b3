"""The errors of this package.

Each error says what happened, to what, and what to do next. Each derives from
`CodexWorkspaceError` and from the builtin that a caller would expect. Each can be
pickled, because pytest-xdist sends exceptions between processes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from .text.printable import printable

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from .network.rules.request import Request
    from .workspace.result import ExecResult

__all__ = [
    "CacheFileError",
    "CacheMiss",
    "CassetteError",
    "ChangesError",
    "CodexWorkspaceError",
    "ConfigError",
    "EngineError",
    "EngineUnavailable",
    "ExecError",
    "ExecTimeout",
    "ImageBuildError",
    "PluginError",
    "PolicyError",
    "ProjectionError",
    "ProxyError",
    "ReportError",
    "SecretError",
    "ServiceError",
    "SetupError",
    "SnapshotError",
    "TransferError",
    "WorkspaceLost",
]


class CodexWorkspaceError(Exception):
    """
    Base class of every error that this package raises on purpose.

    Control characters are removed from the text, because it may quote a workspace or an
    engine.

    `str(error)` has the message and the remedy.

    Attributes:
        message: what happened.
        remedy: what the user can do, in sentences; empty if the message says so itself.
    """

    def __init__(self, message: str = "", *, remedy: str = "") -> None:
        self.message: str = printable(message)
        self.remedy: str = printable(remedy)
        super().__init__(_joined(self.message, self.remedy))

    def __reduce__(self) -> tuple[object, ...]:
        return _rebuild, (type(self), self.args[0], self.__dict__)


class EngineUnavailable(CodexWorkspaceError, ConnectionError):
    """
    No container engine answers. The text lists the addresses that were tried.
    """


class EngineError(CodexWorkspaceError, RuntimeError):
    """
    The engine answered and refused. Examples are a full disk, no free network
    address, or an object that is gone.
    """


class ImageBuildError(CodexWorkspaceError, RuntimeError):
    """
    The workspace image or the proxy image could not be built.
    """


class ProjectionError(CodexWorkspaceError, ValueError):
    """
    The repository, the revision or a submodule cannot be projected.
    """


class SetupError(CodexWorkspaceError, RuntimeError):
    """
    A setup script is missing, has failed, or has exceeded its time limit; or it has left the
    repository so that git refuses to switch to the commit.

    Attributes:
        script: path of the script inside the repository, or as it was given.
        exit_code: the script's exit code; `None` if it did not end by itself.
        log_path: file on the host with the output of the script; of more than 20 MiB, the first 16
            and the last 4.
        tail: the last lines of that output.
        shown: whether that output, with its last lines, was shown while the script ran.
        without_tail: the text of the error without those lines.
        where: line and command at which the script ended; empty if it is not known.
        requests: the requests that were blocked or failed while it ran, at most the last 500.
        passed: of the other requests, the first of each method, host and port, at most 500.
        timed_out: whether the script was killed at its time limit.
        waits: what it seemed to wait for then.
        out_of_memory: whether the engine killed a process for its memory.
    """

    def __init__(
        self,
        message: str,
        *,
        script: str,
        exit_code: int | None = None,
        log_path: Path | None = None,
        tail: str = "",
        without_tail: str = "",
        shown: bool = False,
        where: str = "",
        requests: Sequence[Request] = (),
        passed: Sequence[Request] = (),
        timed_out: bool = False,
        waits: str = "",
        out_of_memory: bool = False,
        remedy: str = "",
    ) -> None:
        super().__init__(message, remedy=remedy)
        self.without_tail: str = printable(without_tail) or str(self)
        self.shown = shown
        self.script = script
        self.exit_code = exit_code
        self.log_path = log_path
        self.tail = tail
        self.where: str = printable(where)
        self.requests: tuple[Request, ...] = tuple(requests)
        self.passed: tuple[Request, ...] = tuple(passed)
        self.timed_out = timed_out
        self.waits: str = printable(waits)
        self.out_of_memory = out_of_memory


class ExecError(CodexWorkspaceError, RuntimeError):
    """
    A command that was required to succeed has failed.

    Attributes:
        result: the finished command, with its output.
    """

    def __init__(self, message: str, *, result: ExecResult) -> None:
        super().__init__(message)
        self.result = result


class ExecTimeout(CodexWorkspaceError, TimeoutError):
    """
    A command exceeded its timeout, and its process group was killed. Only after the timeout of
    `Process.wait` does the command run on.

    Attributes:
        result: the output of the command until then.
        timeout: the limit in seconds.
        waits: what it seemed to wait for.
    """

    def __init__(
        self, message: str, *, result: ExecResult, timeout: float, waits: str = ""
    ) -> None:
        super().__init__(message)
        self.result = result
        self.timeout = timeout
        self.waits: str = printable(waits)

    @property
    def stdout(self) -> str:
        """
        The partial standard output.
        """
        return self.result.stdout

    @property
    def stderr(self) -> str:
        """
        The partial standard error.
        """
        return self.result.stderr


class WaitError(CodexWorkspaceError, TimeoutError):
    """
    What `Workspace.wait_for` waits for did not happen in time, or cannot happen any more.
    """


class WorkspaceLost(CodexWorkspaceError, ConnectionError):
    """
    The container of the workspace, or the engine, has ended or does not answer.
    """


class ServiceError(CodexWorkspaceError, RuntimeError):
    """
    A service of the repository did not become ready, or cannot be stopped or started again.

    Attributes:
        service: its name.
        exit_code: its exit code; `None` if it has not ended.
        output: the end of its output.
    """

    def __init__(
        self,
        message: str,
        *,
        service: str,
        exit_code: int | None = None,
        output: str = "",
        remedy: str = "",
    ) -> None:
        super().__init__(message, remedy=remedy)
        self.service = service
        self.exit_code = exit_code
        self.output = output


class PolicyError(CodexWorkspaceError, ValueError):
    """
    A network policy is invalid.
    """


class CassetteError(CodexWorkspaceError, ValueError):
    """
    A cassette is missing, damaged, or cannot be written.
    """


class CacheFileError(CodexWorkspaceError, ValueError):
    """
    A file of cached images cannot be read or written, or has other content.
    """


class ReportError(CodexWorkspaceError, ValueError):
    """
    A directory has no report, or one that cannot be read.
    """


class SecretError(CodexWorkspaceError, LookupError):
    """
    A secret of the setup scripts is not set, or cannot be kept secret.
    """


class ProxyError(CodexWorkspaceError, RuntimeError):
    """
    The proxy container did not start, or has ended.
    """


class CacheMiss(CodexWorkspaceError, LookupError):
    """
    The option `--codex-cache=require` is set, and no cached image has this key.
    """


class ChangesError(CodexWorkspaceError, RuntimeError):
    """
    What has changed in a workspace cannot be told.
    """


class SnapshotError(CodexWorkspaceError, LookupError):
    """
    A snapshot does not exist any more, or is not one of this workspace.
    """


class ConfigError(CodexWorkspaceError, ValueError):
    """
    An option has an invalid value. The text names the option. Control characters
    are removed from the text, because it may quote a repository's file.
    """


class TransferError(CodexWorkspaceError, ValueError):
    """
    A download leads out of its directory, exceeds the limits, or is damaged.
    """


class PluginError(CodexWorkspaceError, RuntimeError):
    """
    What another distribution adds has failed: a hook, an engine or a check. The text names it.
    """


def unexpected(error: Exception) -> str:
    """
    Return what to say of an error that nobody has thought of.
    """
    text = printable(f"{type(error).__name__}: {error}")
    return f"a bug of ours: {text}; please report it"


def _joined(message: str, remedy: str) -> str:
    """
    Return both as one text. After a message of several lines, the remedy has its own line.
    """
    if not message or not remedy:
        return message or remedy
    if "\n" in message:
        return f"{message}\n{remedy}"
    return f"{message}{'' if message.endswith(('.', '?', '!')) else '.'} {remedy}"


def _rebuild(
    kind: type[CodexWorkspaceError], message: str, state: dict[str, object]
) -> CodexWorkspaceError:
    """
    Unpickle an error, whose constructor may take keyword arguments.
    """
    error = kind.__new__(kind)
    Exception.__init__(error, message)
    error.__dict__.update(state)
    return error

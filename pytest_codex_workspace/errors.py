"""The errors of this package.

Each says what happened, to which thing, and what to do next; each derives
from `CodexWorkspaceError` and from the builtin a caller would expect; each
survives pickling, because pytest-xdist sends exceptions between processes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from .printable import printable

if TYPE_CHECKING:
    from pathlib import Path

    from .results import ExecResult

__all__ = [
    "CacheFileError",
    "CacheMiss",
    "CassetteError",
    "CodexWorkspaceError",
    "EngineError",
    "EngineUnavailable",
    "ExecError",
    "ExecTimeout",
    "ImageBuildError",
    "PolicyError",
    "ProjectionError",
    "ProxyError",
    "SecretError",
    "SetupError",
    "WorkspaceLost",
]


class CodexWorkspaceError(Exception):
    """
    Base class of every error this package raises on purpose.

    Its text may quote what a workspace or an engine said: nothing in it steers a terminal.
    """

    def __init__(self, *args: object) -> None:
        super().__init__(*(printable(one) if isinstance(one, str) else one for one in args))


class EngineUnavailable(CodexWorkspaceError, ConnectionError):
    """
    No container engine answers. The text lists what was tried.
    """


class EngineError(CodexWorkspaceError, RuntimeError):
    """
    The engine answered, and refused: no space left, no network address left,
    an object that is gone.
    """


class ImageBuildError(CodexWorkspaceError, RuntimeError):
    """
    The workspace image or the proxy image could not be built.
    """


class ProjectionError(CodexWorkspaceError, ValueError):
    """
    The repository, revision or one of its submodules cannot be projected.
    """


class SetupError(CodexWorkspaceError, RuntimeError):
    """
    A setup script is missing, failed or ran out of time.

    Attributes:
        script: path of the script inside the repository.
        exit_code: what the script exited with; `None` if it never ended.
        log_path: file on the host with everything the script printed.
        tail: the last lines of that output.
    """

    def __init__(
        self,
        message: str,
        *,
        script: str,
        exit_code: int | None = None,
        log_path: Path | None = None,
        tail: str = "",
    ) -> None:
        super().__init__(message)
        self.script = script
        self.exit_code = exit_code
        self.log_path = log_path
        self.tail = tail

    def __reduce__(self) -> tuple[object, ...]:
        return _rebuild, (type(self), self.args[0], self.__dict__)


class ExecError(CodexWorkspaceError, RuntimeError):
    """
    A command that had to succeed did not.

    Attributes:
        result: the finished command, with its output.
    """

    def __init__(self, message: str, *, result: ExecResult) -> None:
        super().__init__(message)
        self.result = result

    def __reduce__(self) -> tuple[object, ...]:
        return _rebuild, (type(self), self.args[0], self.__dict__)


class ExecTimeout(CodexWorkspaceError, TimeoutError):
    """
    A command ran longer than its timeout and its process group was killed.

    Attributes:
        result: what the command had printed until then.
        timeout: the limit in seconds.
    """

    def __init__(self, message: str, *, result: ExecResult, timeout: float) -> None:
        super().__init__(message)
        self.result = result
        self.timeout = timeout

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

    def __reduce__(self) -> tuple[object, ...]:
        return _rebuild, (type(self), self.args[0], self.__dict__)


class WorkspaceLost(CodexWorkspaceError, ConnectionError):
    """
    The workspace's container ended, or the engine with it.
    """


class PolicyError(CodexWorkspaceError, ValueError):
    """
    A network policy is wrong.
    """


class CassetteError(CodexWorkspaceError, ValueError):
    """
    A cassette is missing, damaged, or cannot be written.
    """


class CacheFileError(CodexWorkspaceError, ValueError):
    """
    A file with cached images cannot be read or written, or holds something else.
    """


class SecretError(CodexWorkspaceError, LookupError):
    """
    A secret that setup scripts need is not set, or cannot be kept secret.
    """


class ProxyError(CodexWorkspaceError, RuntimeError):
    """
    The proxy container did not start, or ended.
    """


class CacheMiss(CodexWorkspaceError, LookupError):
    """
    `--codex-cache=require`, and there is no cached image for this key.
    """


def _rebuild(
    kind: type[CodexWorkspaceError], message: str, state: dict[str, object]
) -> CodexWorkspaceError:
    """
    Pickle's way back to an error whose constructor takes keywords.
    """
    error = kind.__new__(kind)
    Exception.__init__(error, message)
    error.__dict__.update(state)
    return error

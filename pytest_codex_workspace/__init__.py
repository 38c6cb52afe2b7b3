"""Test repositories in an emulated OpenAI Codex workspace.

The fixtures of the pytest plugin return the objects; this module exports the
types and errors that tests refer to. Each is imported on first use.
"""

from __future__ import annotations

TYPE_CHECKING = False
# Nothing is imported here: the command is not yet ready for Ctrl-C.
if TYPE_CHECKING:
    from typing import Any

    from .errors import (
        CacheMiss,
        CassetteError,
        CodexWorkspaceError,
        EngineError,
        EngineUnavailable,
        ExecError,
        ExecTimeout,
        ImageBuildError,
        PolicyError,
        ProjectionError,
        ProxyError,
        ReportError,
        SecretError,
        ServiceError,
        SetupError,
        WorkspaceLost,
    )
    from .network.log import NetworkLog
    from .network.rules.policy import Policy
    from .network.rules.request import Request
    from .network.stubs import Route
    from .workspace.handle import SetupResult, Workspace, WorkspaceFactory
    from .workspace.paths import WorkspacePath
    from .workspace.process import Process
    from .workspace.result import ExecResult

__all__ = [
    "CacheMiss",
    "CassetteError",
    "CodexWorkspaceError",
    "EngineError",
    "EngineUnavailable",
    "ExecError",
    "ExecResult",
    "ExecTimeout",
    "ImageBuildError",
    "NetworkLog",
    "Policy",
    "PolicyError",
    "Process",
    "ProjectionError",
    "ProxyError",
    "ReportError",
    "Request",
    "Route",
    "SecretError",
    "ServiceError",
    "SetupError",
    "SetupResult",
    "Workspace",
    "WorkspaceFactory",
    "WorkspaceLost",
    "WorkspacePath",
]

_MODULES = {
    "ExecResult": ".workspace.result",
    "NetworkLog": ".network.log",
    "Policy": ".network.rules.policy",
    "Process": ".workspace.process",
    "Request": ".network.rules.request",
    "Route": ".network.stubs",
    "SetupResult": ".workspace.handle",
    "Workspace": ".workspace.handle",
    "WorkspaceFactory": ".workspace.handle",
    "WorkspacePath": ".workspace.paths",
}


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(_MODULES.get(name, ".errors"), __name__), name)

"""Test repositories in an emulated OpenAI Codex workspace.

The fixtures of the pytest plugin return the objects; this module exports the
types and errors that tests refer to. Each is imported on first use.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
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
        SecretError,
        SetupError,
        WorkspaceLost,
    )
    from .network.log import NetworkLog
    from .network.policy import Policy
    from .network.request import Request
    from .network.routes import Route
    from .paths import WorkspacePath
    from .process import Process
    from .result import ExecResult
    from .workspace import SetupResult, Workspace

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
    "Request",
    "Route",
    "SecretError",
    "SetupError",
    "SetupResult",
    "Workspace",
    "WorkspaceLost",
    "WorkspacePath",
]

_MODULES = {
    "ExecResult": ".result",
    "NetworkLog": ".network.log",
    "Policy": ".network.policy",
    "Process": ".process",
    "Request": ".network.request",
    "Route": ".network.routes",
    "SetupResult": ".workspace",
    "Workspace": ".workspace",
    "WorkspacePath": ".paths",
}


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_MODULES.get(name, ".errors"), __name__), name)

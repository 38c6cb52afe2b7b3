"""Test repositories in an emulated OpenAI Codex workspace.

The fixtures of the pytest plugin return the objects; this module exports the
types and errors that tests refer to. Each is imported on first use.
"""

from __future__ import annotations

TYPE_CHECKING = False
# Nothing is imported here: the command is not yet ready for Ctrl-C.
if TYPE_CHECKING:
    from typing import Any

    from .checks.finding import Check, Finding
    from .checks.tree import CommittedFile, CommittedTree
    from .engine.docker.find import find_engine
    from .engine.protocol import (
        Advance,
        Capacity,
        ContainerChange,
        ContainerInfo,
        ContainerSpec,
        Engine,
        ImageInfo,
        NetworkInfo,
        Stream,
    )
    from .errors import (
        CacheMiss,
        CassetteError,
        ChangesError,
        CodexWorkspaceError,
        ConfigError,
        EngineError,
        EngineUnavailable,
        ExecError,
        ExecTimeout,
        ImageBuildError,
        PluginError,
        PolicyError,
        ProjectionError,
        ProxyError,
        ReportError,
        SecretError,
        ServiceError,
        SetupError,
        SnapshotError,
        TransferError,
        WaitError,
        WorkspaceLost,
    )
    from .library import EngineHandle, OpenOptions, ProxyHandle, RepositoryHandle, open  # noqa: A004
    from .network.log import NetworkLog
    from .network.matching import BlockedFilters, FaultFilters, Filters, Phase, StubFilters
    from .network.policy_reader import PolicyLike
    from .network.rules.policy import Policy
    from .network.rules.request import Request
    from .network.stubs import Route, StubRequest, StubResponse
    from .snapshots.changes import FileChange, FileChanges
    from .snapshots.snapshot import Snapshot
    from .workspace.command_log import CommandLog, CommandRecord
    from .workspace.handle import (
        Command,
        CommandKeywords,
        Daemon,
        ExecKeywords,
        ServiceHandle,
        SetupResult,
        Workspace,
        WorkspaceFactory,
    )
    from .workspace.paths import WorkspacePath
    from .workspace.process import Lines, Process, Pty
    from .workspace.result import ExecResult

__all__ = [
    "Advance",
    "BlockedFilters",
    "CacheMiss",
    "Capacity",
    "CassetteError",
    "ChangesError",
    "Check",
    "CodexWorkspaceError",
    "Command",
    "CommandKeywords",
    "CommandLog",
    "CommandRecord",
    "CommittedFile",
    "CommittedTree",
    "ConfigError",
    "ContainerChange",
    "ContainerInfo",
    "ContainerSpec",
    "Daemon",
    "Engine",
    "EngineError",
    "EngineHandle",
    "EngineUnavailable",
    "ExecError",
    "ExecKeywords",
    "ExecResult",
    "ExecTimeout",
    "FaultFilters",
    "FileChange",
    "FileChanges",
    "Filters",
    "Finding",
    "ImageBuildError",
    "ImageInfo",
    "Lines",
    "NetworkInfo",
    "NetworkLog",
    "OpenOptions",
    "Phase",
    "PluginError",
    "Policy",
    "PolicyError",
    "PolicyLike",
    "Process",
    "ProjectionError",
    "ProxyError",
    "ProxyHandle",
    "Pty",
    "ReportError",
    "RepositoryHandle",
    "Request",
    "Route",
    "SecretError",
    "ServiceError",
    "ServiceHandle",
    "SetupError",
    "SetupResult",
    "Snapshot",
    "SnapshotError",
    "Stream",
    "StubFilters",
    "StubRequest",
    "StubResponse",
    "TransferError",
    "WaitError",
    "Workspace",
    "WorkspaceFactory",
    "WorkspaceLost",
    "WorkspacePath",
    "find_engine",
    "open",
]

_MODULES = {
    "Advance": ".engine.protocol",
    "BlockedFilters": ".network.matching",
    "Capacity": ".engine.protocol",
    "Check": ".checks.finding",
    "Command": ".workspace.handle",
    "CommandKeywords": ".workspace.handle",
    "CommandLog": ".workspace.command_log",
    "CommandRecord": ".workspace.command_log",
    "CommittedFile": ".checks.tree",
    "CommittedTree": ".checks.tree",
    "ContainerChange": ".engine.protocol",
    "ContainerInfo": ".engine.protocol",
    "ContainerSpec": ".engine.protocol",
    "Daemon": ".workspace.handle",
    "Engine": ".engine.protocol",
    "EngineHandle": ".library",
    "ExecKeywords": ".workspace.handle",
    "ExecResult": ".workspace.result",
    "FaultFilters": ".network.matching",
    "FileChange": ".snapshots.changes",
    "FileChanges": ".snapshots.changes",
    "Filters": ".network.matching",
    "Finding": ".checks.finding",
    "ImageInfo": ".engine.protocol",
    "Lines": ".workspace.process",
    "NetworkInfo": ".engine.protocol",
    "NetworkLog": ".network.log",
    "OpenOptions": ".library",
    "Phase": ".network.matching",
    "Policy": ".network.rules.policy",
    "PolicyLike": ".network.policy_reader",
    "Process": ".workspace.process",
    "ProxyHandle": ".library",
    "Pty": ".workspace.process",
    "RepositoryHandle": ".library",
    "Request": ".network.rules.request",
    "Route": ".network.stubs",
    "ServiceHandle": ".workspace.handle",
    "SetupResult": ".workspace.handle",
    "Snapshot": ".snapshots.snapshot",
    "Stream": ".engine.protocol",
    "StubFilters": ".network.matching",
    "StubRequest": ".network.stubs",
    "StubResponse": ".network.stubs",
    "Workspace": ".workspace.handle",
    "WorkspaceFactory": ".workspace.handle",
    "WorkspacePath": ".workspace.paths",
    "find_engine": ".engine.docker.find",
    "open": ".library",
}


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(_MODULES.get(name, ".errors"), __name__), name)

"""The public interface as a type checker sees it. Checked, never run."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from pytest_codex_workspace import (
    ExecResult,
    NetworkLog,
    Policy,
    Process,
    Request,
    Route,
    SetupResult,
    Workspace,
    WorkspacePath,
)


def handle(ws: Workspace, factory: Callable[..., Workspace]) -> None:
    result: ExecResult = ws.exec("true", check=True, timeout=1.5, env={"A": "1"}, cwd="/tmp")
    code: int = result.check().exit_code
    out: str = result.stdout
    raw: bytes = result.stderr_bytes
    process: Process = ws.start(["cat"])
    process.send("x")
    lines: list[str] = list(process.stdout)
    path: WorkspacePath = ws.path("a") / "b"
    text: str = path.parent.read_text()
    ws.upload(Path("x"), "y")
    ws.download("y", "x")
    setup: SetupResult = ws.setup
    log: NetworkLog = ws.network
    found: list[Request] = log.requests(host="example.com", verdict="blocked")
    log.assert_requested(count=1, path__regex="^/")
    log.assert_only_hosts("*.example.org")
    route: Route = log.stub(host="api.example.com", path="/v1", json={"a": 1})
    calls: list[Request] = route.calls if route.called else []
    log.fault(kind="latency", host="api.example.com", seconds=0.5, times=1).remove()
    log.assert_all_called()
    repr(calls)
    log.use("offline")
    log.use(Policy(allow=("example.org",)))
    log.use({"extends": "offline", "allow": ["example.org"]})
    other: Workspace = factory(cache_hit=True)
    shown: tuple[object, ...] = (code, out, raw, lines, text, setup.cache, found, other.head)
    repr(shown)

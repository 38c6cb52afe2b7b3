"""The public interface as a type checker sees it. Checked, never run."""

from __future__ import annotations

from pathlib import Path, PurePosixPath

from pytest_codex_workspace import (
    ExecResult,
    NetworkLog,
    Policy,
    Process,
    Request,
    Route,
    SetupResult,
    Workspace,
    WorkspaceFactory,
    WorkspacePath,
)


def handle(ws: Workspace, factory: WorkspaceFactory) -> None:
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
    ports: list[int] = [port for one in setup.missing for port in one.ports]
    alive: bool = ws.services["redis"].running or "ready" in ws.services["redis"].output
    ws.services["redis"].restart()
    repr((ports, alive))
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
    log.fault(kind="status", host="api.example.com")
    log.assert_blocked("plain-http", host__in=["a.example", "b.example"], port=80)
    ws.exec(["ls", Path("src")], cwd=Path("src"))
    ws.start(["ls", PurePosixPath("src")], cwd=PurePosixPath("src"))
    with ws.phase("setup") as same:
        in_setup: Workspace = same
    repr(in_setup)
    other: Workspace = factory(cache_hit=True)
    factory(repo=Path(), env={"A": "1"}, network={"allow": ["example.org"]}, codex_setup=False)
    shown: tuple[object, ...] = (code, out, raw, lines, text, setup.cache, found, other.head)
    repr(shown)


def misspelled(ws: Workspace, factory: WorkspaceFactory) -> None:
    """
    Each line is an error: mypy reports an `ignore` that is not needed.
    """
    ws.network.requests(hots="example.org")  # type: ignore[call-arg]
    ws.phase("tests")  # type: ignore[arg-type]
    ws.network.requests(host__regx="example")  # type: ignore[call-arg]
    ws.network.requests(scheme="ftp")  # type: ignore[arg-type]
    ws.network.assert_requested(verdict="alowed")  # type: ignore[arg-type]
    ws.network.assert_not_requested(status="200")  # type: ignore[arg-type]
    ws.network.assert_blocked("plain-htp")  # type: ignore[arg-type]
    ws.network.fault(host="example.org", kind="latnecy")  # type: ignore[call-overload]
    ws.network.fault(host="example.org", kind="latency", secs=1)  # type: ignore[call-overload]
    ws.network.fault(host="example.org", kind="reset", after=1)  # type: ignore[call-overload]
    factory(cache_mis=True)  # type: ignore[call-arg]
    factory(env="A=1")  # type: ignore[arg-type]
    ws.exec(["ls", 1])  # type: ignore[list-item]

"""The public interface as a type checker sees it. Checked, never run."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path, PurePosixPath

import pytest_codex_workspace
from pytest_codex_workspace import (
    Check,
    CommittedFile,
    CommittedTree,
    ContainerSpec,
    Engine,
    EngineHandle,
    ExecResult,
    FileChange,
    FileChanges,
    Finding,
    ImageInfo,
    NetworkLog,
    Policy,
    Process,
    ProxyHandle,
    Pty,
    RepositoryHandle,
    Request,
    Route,
    SetupResult,
    Snapshot,
    StubRequest,
    StubResponse,
    Workspace,
    WorkspaceFactory,
    WorkspacePath,
    find_engine,
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
    changes: FileChanges = ws.diff(since="start")
    first: FileChange = changes[0]
    about: tuple[str, int, str, bool] = (first.path, first.size, first.text(), changes.truncated)
    changes.assert_unchanged("*.lock", "src/**")
    patch: str = ws.patch()
    snap: Snapshot = ws.snapshot()
    ws.restore(snap)
    repr((about, patch, len(ws.diff(since=snap)), factory(snapshot=snap, env={"A": "1"})))
    factory(snapshot="installed")
    other: Workspace = factory(cache_hit=True)
    factory(repo=Path(), env={"A": "1"}, network={"allow": ["example.org"]}, codex_setup=False)
    with log.use("offline"), log.stub(host="a.example", json=None) as null:
        null.remove()
    log.stub(match_query={"a": ["1", "2"]}, match_json={"b": 1}, text="x", headers={"A": "b"})
    log.stub(host="a.example", respond=[StubResponse(503), StubResponse(json=[1])])
    log.stub(host="a.example", respond=respond)
    errors: list[Exception] = route.errors
    with ws.forward(8000) as url:
        address: str = url
    ws.wait_for(port=8000, path="x", output=re.compile("ready"), process=process, timeout=1)
    ws.env["A"] = "1"
    program: WorkspacePath | None = ws.which("node")
    ws.git("log", "-1", check=True, on_line=print).check()
    with ws.start("cat", pty=Pty(rows=10)) as running:
        lines += running.stdout
    repr((errors, address, program))
    shown: tuple[object, ...] = (code, out, raw, lines, text, setup.cache, found, other.head)
    repr(shown)


def respond(request: StubRequest) -> StubResponse:
    return StubResponse(201, json=request.json(), headers={"A": request.header("A") or ""})


async def asynchronous(ws: Workspace) -> None:
    result: ExecResult = await ws.aexec("true", check=True, on_line=print)
    async with await ws.astart("true", pty=Pty()) as process:
        lines: list[str] = [line async for line in process.stdout]
        await process.asend(b"x")
        result = await process.await_(timeout=1)
    repr((result, lines))


def script() -> None:
    with pytest_codex_workspace.open(".", image="slim", cpus=1, network={"offline": True}) as ws:
        ws.exec("true")


def fixtures(codex_engine: EngineHandle, codex_proxy: ProxyHandle, repo: RepositoryHandle) -> None:
    texts: list[str] = [codex_engine.url, codex_proxy.address, repo.head, str(repo.path)]
    repr(texts)


def find(tree: CommittedTree) -> Iterator[Finding]:
    for path, text in tree.texts([*tree.named("Dockerfile"), *tree.suffixed(".toml")]):
        file: CommittedFile = tree.files[path]
        if text and file.size:
            yield CHECK.finding("what", "in Codex", "remedy", path=path, line=1, level="note")


CHECK = Check("acme.it", "warning", "It is there", find)


def open_engine(choice: str, environ: Mapping[str, str]) -> Engine:
    engine: Engine = find_engine("docker", environ)
    image: ImageInfo | None = engine.image(choice)
    repr((image, engine.create(ContainerSpec(choice, ["true"], "name"))))
    return engine


def pytest_codex_policy_chosen(policy: Policy) -> Policy | None:
    return policy.but(methods=("GET",))


async def wrong(ws: Workspace, request: StubRequest) -> None:
    """
    As below.
    """
    await ws.aexec("true", chek=True)  # type: ignore[call-arg]
    await ws.astart("true", on_line=print)  # type: ignore[call-arg]
    ws.network.stub(host="a", json=1, text="x")  # type: ignore[call-overload]
    ws.network.stub(host="a", respond=respond, status=1)  # type: ignore[call-overload]
    ws.network.stub(host="a", respond=lambda one: 200)  # type: ignore[arg-type, return-value]
    ws.network.stub(hots="a")  # type: ignore[call-overload]
    ws.network.stub(match_query=[("a", "b")])  # type: ignore[call-overload]
    ws.network.fault(kind="reset", host="a", time=1)  # type: ignore[call-overload]
    ws.wait_for(prot=1)  # type: ignore[call-arg]
    ws.upload(ws.path("a"), "b")  # type: ignore[arg-type]
    ws.copy("a", "b")  # type: ignore[call-arg]
    ws.forward("8000")  # type: ignore[arg-type]
    ws.env["A"] = 1  # type: ignore[assignment]
    request.header(1)  # type: ignore[arg-type]
    pytest_codex_workspace.open(".", imge="slim")  # type: ignore[call-arg]
    pytest_codex_workspace.open(".", cache="never")  # type: ignore[arg-type]
    CHECK.finding("what", "in Codex", "remedy", level="fatal")  # type: ignore[arg-type]
    Check("acme.it", "fatal", "It is there", find)  # type: ignore[arg-type]
    Check("acme.it", "note", "It is there", lambda tree: [1])  # type: ignore[list-item]


def misspelled(ws: Workspace, factory: WorkspaceFactory) -> None:
    """
    Each line is an error: mypy and pyright report an `ignore` that is not needed.
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
    ws.diff(since="strat")  # type: ignore[arg-type]
    ws.restore("name")  # type: ignore[arg-type]
    factory(snapshot=1)  # type: ignore[arg-type]
    factory(env="A=1")  # type: ignore[arg-type]
    ws.exec(["ls", 1])  # type: ignore[list-item]

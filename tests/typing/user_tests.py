"""
The tests of a project, as a type checker of that project sees them, with nothing left unsaid.
Checked, never run.
"""
# pyright: strict

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from pytest_codex_workspace import (
    CodexWorkspaceError,
    EngineHandle,
    ExecError,
    ExecTimeout,
    FileChange,
    Policy,
    ProxyHandle,
    RepositoryHandle,
    Request,
    SetupError,
    Snapshot,
    StubRequest,
    StubResponse,
    WaitError,
    Workspace,
    WorkspaceFactory,
    WorkspacePath,
)
from pytest_codex_workspace import open as open_workspace

pytestmark = [pytest.mark.codex_env(CI="1"), pytest.mark.codex_network(policy="offline")]


@pytest.fixture(scope="session")
def codex_env() -> dict[str, str]:
    return {"FLAVOUR": "vanilla"}


@pytest.fixture(scope="session")
def codex_network_policy() -> Policy:
    return Policy(allow=("example.org",))


@pytest.fixture(scope="module")
def prepared(codex_workspace_module: Workspace) -> Iterator[Workspace]:
    codex_workspace_module.exec("make", check=True)
    yield codex_workspace_module
    codex_workspace_module.exec("make clean")


@pytest.fixture
def installed() -> object:
    def prepare(ws: Workspace) -> None:
        ws.exec(["npm", "ci"], check=True, timeout=600)

    return prepare


@pytest.fixture
async def url(codex_workspace: Workspace) -> AsyncIterator[str]:
    async with await codex_workspace.astart(["python3", "-m", "http.server"]) as process:
        await process.asend("x")
        with codex_workspace.forward(8000) as address:
            yield address


def test_commands(codex_workspace: Workspace) -> None:
    lines: list[str] = []
    result = codex_workspace.exec("make test", timeout=60, on_line=lines.append)
    assert result.ok, result.stdout + result.stderr
    assert not result.truncated
    assert result.duration < 60
    with pytest.raises(ExecError) as failed:
        codex_workspace.exec("false", check=True)
    assert failed.value.result.exit_code == 1
    with pytest.raises(ExecTimeout):
        codex_workspace.start("cat").wait(timeout=0.1)
    with codex_workspace.start("cat") as process:
        process.send("x")
        assert [line.upper() for line in process.stdout]
        assert process.poll() is None
    head = codex_workspace.git("rev-parse", "HEAD", check=True).stdout.strip()
    assert head == codex_workspace.head
    codex_workspace.env["A"] = "1"
    codex_workspace.env.update(B="2")


def test_files(codex_workspace: Workspace, tmp_path: Path) -> None:
    path = codex_workspace.path("a") / "b"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("x")
    names = [one.name for one in path.parent.iterdir() if one.is_file()]
    assert names == ["b"]
    assert path.read_bytes() == b"x"
    found: WorkspacePath | None = codex_workspace.which("node")
    assert found is not None
    assert found.exists()
    codex_workspace.upload(tmp_path, "data")
    codex_workspace.download("data", tmp_path)
    codex_workspace.wait_for(port=8000, timeout=5)
    codex_workspace.wait_for(output=re.compile("ready"), process=codex_workspace.start("make"))
    with pytest.raises(WaitError):
        codex_workspace.wait_for(path="/tmp/ready", timeout=1)


def test_changes(codex_workspace: Workspace, codex_workspace_factory: WorkspaceFactory) -> None:
    snap: Snapshot = codex_workspace.snapshot()
    changes = codex_workspace.diff(since=snap)
    changes.assert_unchanged("*.lock")
    found: list[FileChange] = [one for one in changes if one.kind == "added" and one.size > 0]
    assert not found
    assert not changes.truncated
    assert "diff" in codex_workspace.patch()
    codex_workspace.restore(snap)
    other = codex_workspace_factory(snapshot=snap, env={"A": "1"}, network={"allow": ["a.example"]})
    assert other.setup.cache == "hit"
    codex_workspace.copy("dist", other, other.path("vendor"))
    assert other.setup.exit_code in (None, 0)


def test_network(prepared: Workspace) -> None:
    def respond(request: StubRequest) -> StubResponse:
        return StubResponse(200, json={"path": request.path}, headers={"X": "1"})

    with prepared.network.use("offline"):
        route = prepared.network.stub(host="api.example", respond=respond)
        prepared.network.fault(host="other.example", kind="latency", seconds=1.5)
        prepared.exec(["curl", "https://api.example/"])
    calls: list[Request] = route.calls
    assert route.called
    assert calls[0].host == "api.example"
    assert calls[0].status == 200
    prepared.network.assert_requested(host="api.example", path__regex="^/", count=1)
    prepared.network.assert_nothing_blocked()
    assert [one.reason for one in prepared.network.blocked] == []
    assert len(prepared.network.since_start) == len(prepared.network.requests(verdict="stubbed"))
    with prepared.phase("setup") as same:
        same.exec("pip install --editable .", check=True)


def test_of_the_run(
    codex_engine: EngineHandle,
    codex_image: str,
    codex_proxy: ProxyHandle,
    codex_repo: RepositoryHandle,
    codex_workspace_session: Workspace,
) -> None:
    assert codex_engine.url
    assert codex_image
    assert codex_proxy.address
    assert codex_repo.head == codex_workspace_session.head
    redis = codex_workspace_session.services["redis"]
    assert redis.running, redis.output
    redis.restart()


def test_errors() -> None:
    with pytest.raises(SetupError) as failed, open_workspace(".", image="slim", cpus=1) as ws:
        ws.exec("true")
    error: CodexWorkspaceError = failed.value
    assert error.message
    assert [one.host for one in failed.value.requests] == []
    assert failed.value.log_path
    assert "no space" in failed.value.tail


async def test_asynchronous(codex_workspace: Workspace, url: str) -> None:
    result = await codex_workspace.aexec(["curl", url], check=True)
    assert result.stdout
    process = await codex_workspace.astart("make serve")
    async for line in process.stdout:
        assert line
    result = await process.await_(timeout=5)
    assert result.exit_code == 0

"""S10: Whatever a workspace leaves behind belongs to nobody else, and costs others only time."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from pytest_codex_workspace.network.rules.policy import Policy
from pytest_codex_workspace.options.config import Config
from pytest_codex_workspace.reporting.output import Output
from pytest_codex_workspace.session import Session
from pytest_codex_workspace.workspace.handle import Workspace

from ..conftest import init_repo, named_engine, scripts
from .floods import AGAIN, FLOOD, LOOKUPS, NONSENSE, PENDING
from .runs import until

ROUNDS = range(int(os.environ.get("CODEX_FLOODS", "1")))
"""How often each hand-over is flooded."""

CLEAR = Policy(name="clear", http="allow")
ASK = "curl -sS -m 60 http://{}/"


@pytest.fixture(scope="module")
def session() -> Iterator[Session]:
    """
    Start a session, and so a proxy, for these tests alone.
    """
    config = Config(image="slim", engine=named_engine())
    with Session(config, Output("quiet", lambda _: None)) as made:
        yield made


@pytest.fixture
def start(session: Session, plain_repo: Path) -> Iterator[Callable[..., Workspace]]:
    """
    Return a function that starts a workspace, with clear HTTP by default.
    """
    with ExitStack() as stops:

        def start(policy: Policy = CLEAR) -> Workspace:
            spec = session.spec(session.repository(plain_repo), {}, policy=policy)
            made = session.workspace(spec, "clean")
            stops.callback(session.stop, made)
            return made

        yield start


def flood(workspace: Workspace, host: str, count: int = 1500, seconds: float = 1) -> int:
    """
    Send as many requests as the workspace can, and return how many were sent.
    """
    argv = ["python3", "-c", FLOOD, host, str(count), str(seconds)]
    return int(workspace.exec(argv, check=True).stdout)


def address_of(workspace: Workspace) -> str:
    """
    Return the address of a workspace.
    """
    assert workspace.network._live is not None
    return workspace.network._live.address


@pytest.mark.promise("S10")
@pytest.mark.slow
@pytest.mark.parametrize("_round", ROUNDS)
def test_the_next_workspace_gets_nothing_of_the_last(
    session: Session, start: Callable[..., Workspace], _round: int
) -> None:
    """
    S10: Requests that are on their way when a workspace ends are not in the log of the next one
    at the same address, and are not answered by its stubs.
    """
    first = start(Policy(offline=True))
    address = address_of(first)
    assert flood(first, "old.example") > 0
    session.stop(first)
    following: list[Workspace] = []

    def same_address() -> bool:
        following.append(start())
        following[-1].network.stub(host="old.example", text="wrong")
        return address_of(following[-1]) == address

    assert until(same_address, 90)
    for workspace in following:
        assert workspace.exec(ASK.format("new.example")).stdout.startswith("Failed")
        assert {request.host for request in workspace.network} == {"new.example"}
        session.stop(workspace)


@pytest.mark.promise("S10")
@pytest.mark.slow
@pytest.mark.parametrize("_round", ROUNDS)
def test_the_next_phase_gets_nothing_of_the_last(
    session: Session, tmp_path: Path, _round: int
) -> None:
    """
    S10: Requests that are on their way when setup ends belong to setup.
    """
    script = f"cat >/flood.py <<'END'\n{FLOOD}END\npython3 /flood.py old.example 1500 1\n"
    repository = init_repo(tmp_path / "flooding", scripts(script))
    spec = session.spec(session.repository(repository), {}, policy=CLEAR)
    workspace = session.workspace(spec, "miss")
    route = workspace.network.stub(host="old.example", text="wrong")

    assert workspace.exec(ASK.format("new.example")).stdout.startswith("Failed")
    assert not route.called
    phases = {(request.host, request.phase) for request in workspace.network}
    assert phases - {("proxy", "setup")} == {("old.example", "setup"), ("new.example", "test")}
    session.stop(workspace)


@pytest.mark.promise("S10")
@pytest.mark.slow
@pytest.mark.parametrize("_round", ROUNDS)
def test_a_change_is_for_what_comes_later(start: Callable[..., Workspace], _round: int) -> None:
    """
    S10: What a workspace has sent before a change of its policy or its stubs is judged by the
    policy before, and is answered by the stubs before.
    """
    workspace = start(Policy(name="https"))
    flood(workspace, "one.example", 250)
    workspace.network.use(CLEAR)
    flood(workspace, "two.example", 250)
    route = workspace.network.stub(host="*.example", text="stubbed")
    assert workspace.exec(ASK.format("three.example")).stdout == "stubbed"
    flood(workspace, "four.example", 250)
    route.remove()
    workspace.network.use("offline")
    workspace.exec(ASK.format("five.example"))

    found: dict[str, set[str]] = {}
    for request in workspace.network:
        found.setdefault(request.host, set()).add(request.reason or request.verdict)
    assert {host: found[host] for host in ("one.example", "three.example", "five.example")} == {
        "one.example": {"plain-http"},
        "three.example": {"stubbed"},
        "five.example": {"offline"},
    }
    assert found["two.example"] <= {"upstream-error", "allowed"}
    assert found["four.example"] == {"stubbed"}
    assert {request.host for request in route.calls} == {"three.example", "four.example"}


@pytest.mark.promise("S10")
@pytest.mark.slow
@pytest.mark.parametrize("_round", ROUNDS)
def test_hostile_neighbours_cost_only_time(
    session: Session, start: Callable[..., Workspace], _round: int
) -> None:
    """
    S10: Beside workspaces that flood the proxy with connections, open requests, look-ups and
    nonsense, another one starts, is served, and has a complete log of its own.
    """
    honest = start()
    honest.network.stub(host="mine.example", text="mine")
    processes = []
    programs = {
        "flood.example": [AGAIN, "flood.example", "40", "0.5"],
        "slow.example": [PENDING],
        "look-up.example": [LOOKUPS],
        "nonsense.example": [NONSENSE],
    }
    hostile = {host: start() for host in programs}
    hostile["slow.example"].network.stub(host="slow.example", text="late")
    hostile["slow.example"].network.fault(host="slow.example", kind="latency", seconds=3600)
    for host, argv in programs.items():
        processes.append(hostile[host].start(["python3", "-c", *argv]))
        assert next(iter(processes[-1].stdout))

    for number in range(2):
        assert honest.exec(ASK.format("mine.example")).stdout == "mine"
        assert len(honest.network.requests(host="mine.example")) == number + 1
    late = start()
    late.exec(ASK.format("other.example"))
    assert {request.host for request in late.network} == {"other.example"}
    assert {request.host for request in honest.network} == {"mine.example"}
    waiting = hostile["slow.example"].network.requests(host="slow.example")
    assert len(waiting) == 100
    assert all(len(request.path) < 5000 for request in waiting)
    # Without another wait, as these requests have been waited for.
    assert hostile["slow.example"].network.requests(host="slow.example") == waiting
    for process in processes:
        process.kill()
    for workspace in hostile.values():
        session.stop(workspace)
    assert not session.isolation.proxy.lost

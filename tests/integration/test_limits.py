"""What one workspace may use of the machine, and what is said when it needs more."""

from __future__ import annotations

import pytest

from pytest_codex_workspace import ExecError, SetupError, WorkspaceLost
from pytest_codex_workspace.options.config import Config
from pytest_codex_workspace.reporting.output import Output
from pytest_codex_workspace.session import Session

from ..conftest import commit, scripts

MEMORY = 192 << 20
EAT = "b = bytearray(1)\nwhile True: b += bytes(1 << 20)"
READ_LIMITS = (
    "cat /sys/fs/cgroup/memory.max /sys/fs/cgroup/memory/memory.limit_in_bytes 2>/dev/null; "
    "cat /sys/fs/cgroup/cpu.max /sys/fs/cgroup/cpu/cpu.cfs_quota_us 2>/dev/null"
)


@pytest.fixture
def session(codex_engine, codex_image):
    """
    A session whose workspaces have little memory and half a processor.
    """
    config = Config(image="slim", engine=codex_engine.url, memory=MEMORY, cpus=0.5)
    with Session(config, Output("quiet", lambda _: None)) as made:
        yield made


@pytest.mark.slow
def test_a_workspace_has_limits_and_says_when_it_reaches_them(session, make_repo):
    """
    A command and a script that need more memory are killed and say so; the workspace stays. If
    the agent itself is killed, the error names the memory, too.
    """
    if not session.engine.capacity.limits_memory:
        pytest.skip("this engine cannot limit memory")
    repo = make_repo()
    ws = session.workspace(session.spec(session.repository(repo), {}), "ready")

    memory, quota = ws.exec(READ_LIMITS).stdout.splitlines()
    assert MEMORY == int(memory)
    assert "50000" == quota.split()[0]
    assert not ws.exec(["false"]).out_of_memory
    killed = ws.exec(["python3", "-c", EAT])
    assert (137, True) == (killed.exit_code, killed.out_of_memory)
    with pytest.raises(ExecError, match="reached its memory limit; --codex-memory sets"):
        ws.exec(f"python3 -c '{EAT}'", check=True)
    assert ws.exec(["true"]).ok
    assert not ws.exec(["false"]).out_of_memory

    with pytest.raises(WorkspaceLost, match=r"out of memory.*--codex-memory"):
        # The agent is larger than each of these.
        ws.exec("for n in $(seq 3000); do sleep 100 & done; wait", timeout=60)

    commit(repo, scripts(f"python3 -c '{EAT}'\n"))
    with pytest.raises(SetupError, match=r"exited with 137.*reached its memory limit"):
        session.workspace(session.spec(session.repository(repo), {}), "ready")

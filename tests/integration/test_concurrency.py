"""S7: Concurrent processes build each layer once, and do not disturb each other."""

from __future__ import annotations

import io
import tarfile
from pathlib import Path

import pytest

from pytest_codex_workspace.engine import labels

from ..conftest import commit, init_repo, scripts
from .runs import ANY_PYTEST, PYTEST, objects_of, running, until

# The script continues when the test lets it, or at once.
SLOW = """\
echo setup begins
while [ "$WAIT" ] && [ ! -e /tmp/go ]; do sleep 0.1; done
echo done >/root/state
"""
WAITING = "--codex-env=WAIT=yes"
SUITE = """
import pytest

@pytest.mark.parametrize("n", range(4))
def test_it(codex_workspace, n):
    assert codex_workspace.path("/root/state").read_text() == "done\\n"
"""
OPTIONS = ("--codex-image=slim", "--codex-repo=repo")


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """
    Return a repository with a slow setup, and a suite beside it.
    """
    init_repo(tmp_path / "repo", {"a": "1", **scripts(SLOW, "true\n")})
    (tmp_path / "test_it.py").write_text(SUITE)
    return tmp_path


def let_go(engine, *processes: int) -> None:
    """
    Let the setup that one of *processes* runs continue.
    """
    owners = tuple(f":{pid}" for pid in processes)
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w") as tar:
        tar.addfile(tarfile.TarInfo("go"))
    for container in engine.containers({labels.KIND: "workspace"}):
        if container.labels[labels.PID].endswith(owners):
            engine.put_archive(container.id, "/tmp", io.BytesIO(archive.getvalue()))


def children_of(pid: int) -> list[int]:
    """
    Return the workers of an xdist controller.
    """
    return [int(one) for one in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


@pytest.mark.promise("S7")
def test_four_workers(project, codex_engine):
    """
    S7: One worker sets up, the others wait and name it, and the counts are summed up.
    """
    with running(*PYTEST, "-n4", *OPTIONS, WAITING, "test_it.py", cwd=project) as run:
        run.until("| setup begins", 1)
        run.until("to finish the setup image", 3)
        let_go(codex_engine, *children_of(run.pid))
        assert run.end() == 0, run.output

    assert "cache hit 3, miss 1" in run.output
    assert 1 == run.output.count("| setup begins"), run.output
    assert 3 == run.output.count("to finish the setup image"), run.output


@pytest.mark.promise("S7")
def test_two_runs_at_once(project, codex_engine):
    """
    S7: Of two runs of one repository, the second uses the setup of the first. So does a later
    run, which says once, and not for each worker, how old the setup is and what changed since.
    """
    suite = (*PYTEST, *OPTIONS, WAITING, "test_it.py")
    with running(*suite, cwd=project) as first:
        first.until("| setup begins")
        with running(*suite, cwd=project) as second:
            second.until(f"waiting for process {first.pid}")
            let_go(codex_engine, first.pid)
            assert first.end() == 0, first.output
            assert second.end() == 0, second.output

    assert "cache hit 3, miss 1" in first.output
    assert "cache hit 4" in second.output
    assert "setup begins" not in second.output
    assert "the cached setup" not in first.output

    commit(project / "repo", {"package-lock.json": "{}"})
    with running(*PYTEST, "-n2", *OPTIONS, WAITING, "-k", "0 or 1", cwd=project) as third:
        assert third.end() == 0, third.output
    assert third.output.count("the cached setup of repo is used, made ") == 1
    assert "; package-lock.json has changed since: setup-from-cache" in third.output


@pytest.mark.promise("S7")
def test_two_repositories_at_once(project):
    """
    S7: Runs of two repositories do not wait for each other, and do not take each other's layers.
    """
    other = project / "elsewhere"
    init_repo(other / "repo", {"b": "2", **scripts(SLOW)})
    (other / "test_it.py").write_text(SUITE)
    suite = (*PYTEST, "-n2", *OPTIONS, "test_it.py")
    with running(*suite, cwd=project) as first, running(*suite, cwd=other) as second:
        assert (0, 0) == (first.end(), second.end()), first.output + second.output

    for run in (first, second):
        assert "cache hit 3, miss 1" in run.output


@pytest.mark.promise("S7")
def test_a_holder_that_dies(project, codex_engine):
    """
    S7: If the process that holds a lock dies, a waiting process continues at once, not after a
    time-out.
    """
    suite = (*PYTEST, *OPTIONS, WAITING, "test_it.py")
    with running(*suite, cwd=project) as first:
        first.until("| setup begins")
        with running(*suite, cwd=project) as second:
            second.until(f"waiting for process {first.pid}")
            first.kill()
            second.until("| setup begins")
            let_go(codex_engine, second.pid)
            assert second.end() == 0, second.output

    assert "cache hit 3, miss 1" in second.output
    assert until(lambda: not objects_of(codex_engine, first.pid, "containers"), 20)


KEEPS = """
import pytest

@pytest.mark.parametrize("n", range(2))
def test_it(codex_workspace, n):
    codex_workspace.exec(f"touch /root/of-{n}")
    assert n == 0
"""


def test_keep_with_workers(project, codex_engine):
    """
    The controller reports which workspaces were kept, and how to inspect them.
    """
    (project / "test_keep.py").write_text(KEEPS)
    with running(
        *PYTEST, "-n2", *OPTIONS, "--codex-keep=failed", "test_keep.py", cwd=project
    ) as run:
        assert run.end() == 1, run.output

    (line,) = [line for line in run.output.splitlines() if " is kept; inspect it" in line]
    assert "test_it[1]" in line
    (tag,) = [word for word in line.split() if word.startswith("codex-workspace-emulator:kept-")]
    assert codex_engine.image(tag) is not None
    codex_engine.remove_image(tag)


OTHERS = """
import pathlib
import pytest

def test_1_fails_once(codex_workspace):
    mark = pathlib.Path("second-time")
    again, _ = mark.exists(), mark.touch()
    assert codex_workspace.exec("test ! -e /root/dirty && touch /root/dirty").ok
    assert again

@pytest.mark.timeout(5, func_only=True)
def test_2_hangs(codex_workspace):
    if pathlib.Path("hang").exists():
        codex_workspace.exec("sleep 300")

def test_3_passes(codex_workspace):
    assert codex_workspace.exec("test ! -e /root/dirty").ok
"""


@pytest.fixture
def others(project: Path) -> Path:
    """
    Return a suite with a flaky test and one that may hang.
    """
    (project / "test_others.py").write_text(OTHERS)
    return project


def run_others(project: Path, *arguments: str) -> tuple[int, str]:
    with running(*ANY_PYTEST, *OPTIONS, *arguments, "test_others.py", cwd=project) as run:
        code = run.end()
    return code, run.output


def test_stop_at_the_first_and_go_on_with_it(others):
    """
    `-x` stops at the first failure, and `--lf` starts with it.
    """
    code, output = run_others(others, "-p", "no:randomly", "-x")
    assert (1, True) == (code, "1 failed" in output and "passed" not in output), output

    code, output = run_others(others, "-p", "no:randomly", "--lf")
    assert (0, True) == (code, "1 passed" in output), output


def test_a_test_that_is_run_again(others):
    """
    pytest-rerunfailures gives each attempt a fresh workspace.
    """
    code, output = run_others(others, "-p", "no:randomly", "--reruns=1")

    assert (0, True) == (code, "3 passed, 1 rerun" in output), output


@pytest.mark.parametrize("method", ["signal", "thread"])
def test_a_test_that_hangs(others, codex_engine, method):
    """
    With pytest-timeout's signal, the other tests run; with its thread, the process ends and
    leaves nothing behind.
    """
    (others / "second-time").touch()
    (others / "hang").touch()
    command = (*PYTEST, *OPTIONS, f"--timeout-method={method}", "test_others.py")
    with running(*command, cwd=others) as run:
        code = run.end(120)

    assert code == 1, run.output
    assert "Timeout" in run.output
    if method == "signal":
        assert "1 failed, 2 passed" in run.output
    assert until(lambda: not objects_of(codex_engine, run.pid, "containers"), 20)


def test_any_order(others):
    """
    With pytest-randomly, no test's workspace depends on another's.
    """
    (others / "second-time").touch()
    for seed in (1, 2):
        code, output = run_others(others, f"--randomly-seed={seed}")
        assert (0, True) == (code, "3 passed" in output), output

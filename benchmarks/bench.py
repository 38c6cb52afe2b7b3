"""The figures that the documentation quotes, as ratios taken in one run.

Run it with `make bench`. Each line says what was measured, the bound this
project has set itself, and whether it holds.
"""

from __future__ import annotations

import json
import re
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import docker

from pytest_codex_workspace.options.config import Config
from pytest_codex_workspace.reporting.output import Output
from pytest_codex_workspace.session import Session
from pytest_codex_workspace.setup.spec import WorkspaceSpec

TESTS = 10

SUITE = f"""
import json, pathlib, time, pytest

@pytest.mark.parametrize("n", range({TESTS}))
def test_it(codex_workspace, n):
    mark = pathlib.Path("first")
    if not mark.exists():
        mark.write_text(json.dumps(time.time()))
"""


def spread(seconds: Sequence[float]) -> tuple[float, float, float]:
    """
    Return the median, the lowest and the highest.
    """
    return statistics.median(seconds), min(seconds), max(seconds)


def measure(action: Callable[[], object], times: int) -> tuple[float, float, float]:
    """
    Return the median, lowest and highest seconds of *action*, after one run that does not count.
    """
    action()
    seconds = []
    for _ in range(times):
        began = time.perf_counter()
        action()
        seconds.append(time.perf_counter() - began)
    return spread(seconds)


def median(action: Callable[[], object], times: int) -> float:
    """
    Return the median seconds of *action*, after one run that does not count.
    """
    return measure(action, times)[0]


def show(what: str, value: float, bound: float, unit: str = "") -> bool:
    """
    Print one line; whether the bound holds.
    """
    holds = value <= bound
    print(f"{what:<78} {value:8.3f}{unit} <= {bound:g}{unit} {'ok' if holds else 'TOO HIGH'}")
    return holds


def make_repository(where: Path) -> Path:
    """
    A repository with a setup script.
    """
    script = where / "codex-workspace-scripts" / "setup-script.sh"
    script.parent.mkdir(parents=True)
    script.write_text("echo done >/root/done\n")
    subprocess.run(["git", "-C", str(where), "init", "--quiet"], check=True)
    commit(where)
    return where


def commit(repo: Path) -> None:
    """
    Commit everything in a repository.
    """
    for command in (
        ["add", "--all"],
        ["-c", "user.name=b", "-c", "user.email=b@example.com", "commit", "--quiet", "-m", "b"],
    ):
        subprocess.run(["git", "-C", str(repo), *command], check=True)


def suite(directory: Path, repo: Path) -> tuple[float, float, float]:
    """
    One pytest run: seconds to its first test, then mean seconds a test as
    pytest reports setup and teardown, and as the wall clock has it.
    """
    (directory / "first").unlink(missing_ok=True)
    began = time.time()
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "no:randomly", "-p", "no:cacheprovider",
         f"--codex-repo={repo}", "--codex-image=slim", "--durations=0", "-vv"],
        cwd=directory, capture_output=True, text=True, check=True,
    )  # fmt: skip
    first = json.loads((directory / "first").read_text())
    reported = re.findall(r"([\d.]+)s (setup|teardown) +\S+\[(\d+)\]", done.stdout)
    later = [
        float(seconds) for seconds, _, number in reported if number not in ("0", str(TESTS - 1))
    ]
    return first - began, sum(later) / (TESTS - 2), time.time() - first


def memory_of(pid: int) -> float:
    """
    Resident MB of a process.
    """
    status = Path(f"/proc/{pid}/status").read_text()
    return int(re.search(r"VmRSS:\s+(\d+)", status).group(1)) / 1024  # type: ignore[union-attr]


def main() -> int:
    """
    Measure everything; 1 if a bound does not hold.
    """
    client = docker.APIClient()
    held = []
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        repo = make_repository(directory / "repo")
        (directory / "test_it.py").write_text(SUITE)
        session = Session(Config(repo=repo, image="slim"), Output("quiet", print))
        snapshot = session.repository(repo)
        ws = session.workspace(WorkspaceSpec(snapshot), "ready")
        image = session.base_tag

        def engine_exec(command: list[str]) -> None:
            client.exec_start(client.exec_create(ws.container, command)["Id"])

        pair = median(lambda: ws.exec(["true"]), 100), median(lambda: engine_exec(["true"]), 20)
        print(
            f"ws.exec(['true']) {pair[0] * 1e3:.2f} ms, docker exec by SDK {pair[1] * 1e3:.1f} ms"
        )
        held.append(show("exec of a program / docker exec by SDK", pair[0] / pair[1], 0.05))

        shell = ["bash", "-lc", "true"]
        pair = median(lambda: ws.exec("true"), 100), median(lambda: engine_exec(shell), 20)
        print(f"ws.exec('true') {pair[0] * 1e3:.2f} ms, docker exec {pair[1] * 1e3:.1f} ms")
        held.append(show("exec of a text / docker exec bash -lc by SDK", pair[0] / pair[1], 0.2))

        ws.exec("seq 950 | xargs -P4 -I{} curl -s -o /dev/null http://h.example/{}", timeout=300)
        index = "python3 -c 'from pip._internal.models.index import PyPI; print(PyPI.simple_url)'"
        ws.exec(
            f"u=$({index}); for i in $(seq 50); do curl -s -o /dev/null $u/six/; done", timeout=300
        )
        count = len(ws.network.requests())
        pid = client.inspect_container(session.isolation.container)["State"]["Pid"]
        held.append(show(f"proxy container after {count} requests", memory_of(pid), 200, " MB"))
        session.stop(ws)

        def bookkeeping() -> None:
            # All that a hit costs besides the container: the key, the look-ups, the count of uses.
            spec = session.spec(snapshot, {})
            layers = list(session.starter._ensure(spec, "ready"))
            assert layers[0].kind == "setup"

        def bookkeeping_uncached() -> None:
            session.store._known.clear()
            bookkeeping()

        kept, uncached = median(bookkeeping, 50), median(bookkeeping_uncached, 20)
        kept, uncached = kept * 1e3, uncached * 1e3
        print(f"bookkeeping of a hit {kept:.2f} ms, of a session's first {uncached:.1f} ms")
        held.append(show("bookkeeping of a hit, looked up on the engine", uncached, 20, " ms"))

        def cycle() -> None:
            session.stop(session.workspace(WorkspaceSpec(snapshot), "ready"))
            session.isolation.wait_for_cleanup()

        run = ["docker", "run", "--rm", "--entrypoint", "true", image]
        one_run = median(lambda: subprocess.run(run, check=True), 8)
        whole = median(cycle, 20)
        print(f"docker run --rm IMAGE true {one_run * 1e3:.0f} ms, workspace {whole * 1e3:.0f} ms")
        held.append(show("warm workspace, start to gone / one docker run", whole / one_run, 0.7))
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        held.append(show("this process, at its highest", peak, 150, " MB"))
        session.close()

        suite(directory, repo)
        first, reported, wall = suite(directory, repo)
        print(
            f"second pytest session: first test after {first:.2f} s; {TESTS} tests in {wall:.2f} s"
        )
        held.append(show("setup + teardown as pytest reports / one run", reported / one_run, 0.7))
        held.append(show("second session to its first test", first, 3 + one_run, " s"))
    client.close()
    return 0 if all(held) else 1


if __name__ == "__main__":
    sys.exit(main())

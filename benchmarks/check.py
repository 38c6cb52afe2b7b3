"""What a check costs on a warm cache, in workspaces.

Run it with `make bench`, or with `python -m benchmarks.check [TIMES]`. A check of a repository
whose scripts and tests do nothing, and a workspace in the state that tests start from, take turns
in one session. The time of the scripts and the tests does not count. Beside the seconds, which
depend on what else the machine does, it prints the processor time of this process and the engine.
"""

from __future__ import annotations

import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from pytest_codex_workspace.codex import RESUME
from pytest_codex_workspace.conformance.check import check_repository
from pytest_codex_workspace.options.config import Config
from pytest_codex_workspace.reporting.output import Output
from pytest_codex_workspace.session import Session
from pytest_codex_workspace.setup.scripts import ScriptRun, ScriptRunner

from .bench import commit, make_repository, show

TIMES = 5
BOUND = 2.0
"""Workspaces that a check may cost, besides the time of the scripts and the tests."""


def engine_seconds() -> float:
    """
    Processor time of the engine's daemons and of what has ended below them; 0 if they are not here.
    """
    ticks = 0
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            name, _, rest = stat.read_text().partition("(")[2].rpartition(")")
        except OSError:
            continue
        if name in ("dockerd", "containerd", "podman"):
            ticks += sum(map(int, rest.split()[11:15]))
    return ticks / os.sysconf("SC_CLK_TCK")


def measured(action: Callable[[], float]) -> tuple[float, float]:
    """
    Seconds of *action*, without those that it returns, and processor time of this process and the
    engine.
    """
    began, own, engine = time.perf_counter(), time.process_time(), engine_seconds()
    scripts = action()
    took = time.perf_counter() - began - scripts
    return took, time.process_time() - own + engine_seconds() - engine


def timed(runner: ScriptRunner) -> list[float]:
    """
    Return a list that gets the seconds of each script that *runner* runs.
    """
    seconds: list[float] = []
    run = runner.run

    def noted(*args: Any, **keywords: Any) -> ScriptRun:
        began = time.perf_counter()
        try:
            return run(*args, **keywords)
        finally:
            seconds.append(time.perf_counter() - began)

    runner.run = noted  # type: ignore[method-assign]
    return seconds


def main() -> int:
    """
    Print the figures; the exit code is 1 if the bound does not hold.
    """
    times = int(sys.argv[1]) if len(sys.argv) > 1 else TIMES
    with tempfile.TemporaryDirectory() as directory:
        repo = make_repository(Path(directory) / "app")
        (repo / RESUME).write_text("true\n")
        commit(repo)
        config = Config(image="slim", repo=repo, test_command="true")
        with Session(config, Output("quiet", lambda _: None)) as session:
            spec = session.spec(session.repository(repo), {})

            scripts = timed(session.runner)

            def workspace() -> float:
                scripts.clear()
                session.stop(session.workspace(spec, "ready"))
                session.launcher.wait_for_cleanup()
                return sum(scripts)

            def check() -> float:
                scripts.clear()
                tests = check_repository(session).seen.test_run
                session.launcher.wait_for_cleanup()
                return sum(scripts) + (tests.duration if tests else 0)

            workspace()
            check()
            pairs = [(measured(check), measured(workspace)) for _ in range(times)]
    seconds, processor = ([(one[kind], other[kind]) for one, other in pairs] for kind in (0, 1))
    ratio = statistics.median(one / other for one, other in seconds)
    used = statistics.median(one / max(other, 0.01) for one, other in processor)
    checks, workspaces = (statistics.median(column) for column in zip(*seconds, strict=True))
    print(f"a check {checks:.2f} s, a workspace {workspaces:.2f} s; processor time {used:.2f}")
    return 0 if show("a check on a warm cache / a workspace", ratio, BOUND) else 1


if __name__ == "__main__":
    sys.exit(main())

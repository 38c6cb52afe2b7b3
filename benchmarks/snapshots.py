"""What snapshots and comparisons cost: the figures of docs/snapshots.md.

Run it with `make bench`, or with `python -m benchmarks.snapshots [TIMES]`. The state is 200 MB in
5,000 files, as of an installed project, on top of the workspace. A container of the same image by
Docker's SDK, as testcontainers starts one for each test, stands beside it.
"""

from __future__ import annotations

import sys
import tempfile
import time
from pathlib import Path

import docker

from pytest_codex_workspace.options.config import Config
from pytest_codex_workspace.reporting.output import Output
from pytest_codex_workspace.session import Session

from .bench import make_repository, median, show

TIMES = 5
BOUND = 1.0
"""Fresh workspaces that a workspace of a snapshot may cost."""

INSTALL = """
import os
for number in range(5000):
    folder = f"node_modules/{number % 250}"
    os.makedirs(folder, exist_ok=True)
    with open(f"{folder}/{number}", "wb") as file:
        file.write(os.urandom(40_000))
"""


def line(what: str, seconds: float) -> None:
    """
    Print one figure.
    """
    print(f"{what:<78} {seconds:8.2f} s")


def main() -> int:
    """
    Measure everything; 1 if the bound does not hold.
    """
    times = int(sys.argv[1]) if len(sys.argv) > 1 else TIMES
    client = docker.APIClient()

    def bare(image: str) -> None:
        made = client.create_container(image, ["sleep", "60"], entrypoint=[])["Id"]
        client.start(made)
        one = client.exec_create(made, ["true"])["Id"]
        client.exec_start(one)
        client.remove_container(made, force=True)

    with tempfile.TemporaryDirectory() as name:
        repo = make_repository(Path(name) / "repo")
        with Session(Config(image="slim"), Output("quiet", lambda _: None)) as session:
            spec = session.spec(session.repository(repo), {})

            def fresh() -> None:
                ws = session.workspace(spec, "ready")
                ws.exec(["true"])
                session.stop(ws)

            workspace = median(fresh, times)
            line("a fresh workspace, one command, and its end", workspace)
            ws = session.workspace(spec, "ready")
            line("snapshot of nothing more", median(ws.snapshot, times))
            line("diff()", median(ws.diff, times))
            began = time.perf_counter()
            ws.exec(["python3", "-c", INSTALL], check=True)
            line("the state itself: 200 MB in 5,000 files", time.perf_counter() - began)
            line("diff(), the state is new and not ignored", median(ws.diff, times))
            line("diff(since='start')", median(lambda: ws.diff(since="start"), times))
            began = time.perf_counter()
            snap = ws.snapshot()
            line("snapshot", time.perf_counter() - began)
            line("diff(since=snap)", median(lambda: ws.diff(since=snap), times))
            line("restore", median(lambda: ws.restore(snap), times))
            line("diff(since=snap), restored", median(lambda: ws.diff(since=snap), times))
            session.stop(ws)

            def fork() -> None:
                one = session.workspace(spec, snap)
                one.exec(["true"])
                session.stop(one)

            forked = median(fork, times)
            line("a workspace of the snapshot, one command, and its end", forked)
            line(
                "a container of the same image by the SDK, one command, and its end",
                median(lambda: bare(snap.image), times),
            )
    return 0 if show("a workspace of a snapshot / a fresh one", forked / workspace, BOUND) else 1


if __name__ == "__main__":
    sys.exit(main())

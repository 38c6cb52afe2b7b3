"""What a workspace costs on both engines, beside what others offer: docs/performance.md.

Run it with `make bench-neighbours`, as root, on a quiet machine. All figures come from one run, on
one machine, with one image. It writes the table, the plot and the figures as JSON.
"""

from __future__ import annotations

import json
import os
import platform
import shutil
import subprocess
import sys
import tempfile
import time
import venv
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from xml.etree import ElementTree

import docker

from pytest_codex_workspace.options.config import Config
from pytest_codex_workspace.reporting.output import Output
from pytest_codex_workspace.session import Session

from .bench import make_repository, measure, spread
from .plot import draw

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs/performance.md"
PLOT = ROOT / "docs/pictures/cost.svg"
FIGURES = ROOT / "benchmarks/neighbours.json"

ENGINES = ("native", "docker")
COUNTS = (1, 20, 200)
"""Tests in a run."""

BIG = 100_000_000
"""Bytes of the file that is copied."""

SETUP = "head -c 200000000 /dev/urandom >/root/big\n"

OURS = (sys.executable, "-m", "pytest", "-p", "no:randomly", "--codex-image=slim")

SUITE = """
import pytest

@pytest.mark.parametrize("n", range({count}))
def test_it(codex_workspace, n):
    assert codex_workspace.exec(["true"]).ok
"""

SLEEPS = 0.3
"""Seconds that each test of `WORKING` has to do beside its workspace."""

WORKING = f"""
import pytest, time

@pytest.mark.parametrize("n", range(20))
def test_it(codex_workspace, n):
    assert codex_workspace.exec(["true"]).ok
    time.sleep({SLEEPS})
"""

TESTCONTAINERS = """
import os, sys
os.environ["TESTCONTAINERS_RYUK_DISABLED"] = "true"
import pytest
from testcontainers.core.container import DockerContainer

@pytest.mark.parametrize("n", range({count}))
def test_it(n):
    with DockerContainer({image!r}).with_kwargs(entrypoint=[]).with_command("sleep 60") as made:
        assert made.exec(["true"]).exit_code == 0
"""

DOCKER_RUN = """
import subprocess, pytest

@pytest.mark.parametrize("n", range({count}))
def test_it(n):
    subprocess.run(["docker", "run", "--rm", "--entrypoint", "true", {image!r}], check=True)
"""


@dataclass(frozen=True)
class Row:
    """
    One line of the table.

    Attributes:
        what: what was measured.
        ours: seconds on each engine, by its name: median, lowest, highest.
        beside: what it is compared with.
        theirs: its seconds: median, lowest, highest.
    """

    what: str
    ours: dict[str, tuple[float, float, float]]
    beside: str
    theirs: tuple[float, float, float]


class Ours:
    """
    A session on one engine.
    """

    def __init__(self, engine: str, repo: Path) -> None:
        self.session = Session(Config(image="slim", engine=engine), Output("quiet", lambda _: None))
        self.spec = self.session.spec(self.session.repository(repo), {})

    def cycle(self) -> None:
        """
        Start a workspace, run a command, and end it.
        """
        ws = self.session.workspace(self.spec, "ready")
        ws.exec(["true"])
        self.session.stop(ws)
        self.session.isolation.wait_for_cleanup()

    def commit(self) -> tuple[float, float, float]:
        """
        Return what it costs to keep a workspace that runs and has written 200 MB.
        """
        engine, found = self.session.engine, []
        for _ in range(3):
            ws = self.session.workspace(self.spec, "clean")
            ws.exec(SETUP, check=True)
            began = time.perf_counter()
            snapshot = ws.snapshot()
            found.append(time.perf_counter() - began)
            self.session.stop(ws)
            engine.remove_image(snapshot.image)
        return spread(found)


def session_times(test: Path, *arguments: str) -> float:
    """
    Return the seconds of a run of pytest.
    """
    began = time.perf_counter()
    subprocess.run(
        [*arguments, "-q", "-p", "no:cacheprovider", str(test)],
        cwd=test.parent,
        stdout=subprocess.DEVNULL,
        check=True,
    )
    return time.perf_counter() - began


def waits(directory: Path, repo: Path, engine: str) -> tuple[float, float, float]:
    """
    Return what a test that takes 300 ms spends on its workspace, as pytest reports it.
    """
    test, report = directory / "test_waits.py", directory / "report.xml"
    test.write_text(WORKING)
    words = [*OURS, f"--codex-repo={repo}", f"--codex-engine={engine}", f"--junit-xml={report}"]
    session_times(test, *words)
    times = [float(one.get("time", "0")) for one in ElementTree.parse(report).iter("testcase")]
    # The first ones have nobody before them to start theirs, and the last one ends the session.
    return spread([one - SLEEPS for one in times[2:-1]])


@contextmanager
def docker_container(image: str) -> Iterator[str]:
    """
    Start a container by Docker's command.
    """
    words = ["docker", "run", "--detach", "--rm", "--entrypoint", "sleep", image, "600"]
    name = subprocess.run(words, check=True, capture_output=True, text=True).stdout.strip()
    try:
        yield name
    finally:
        subprocess.run(["docker", "rm", "--force", name], check=True, capture_output=True)


def neighbours(where: Path) -> Path:
    """
    Install testcontainers into an environment of its own, and return its Python.
    """
    venv.create(where, with_pip=True)
    python = where / "bin/python"
    subprocess.run(
        [python, "-m", "pip", "install", "--quiet", "pytest", "testcontainers"], check=True
    )
    return python


def docker_commit(client: docker.APIClient, image: str) -> tuple[float, float, float]:
    """
    Return what `docker commit` of 200 MB costs.
    """
    found = []
    for _ in range(3):
        with docker_container(image) as name:
            subprocess.run(["docker", "exec", name, "bash", "-c", SETUP], check=True)
            began = time.perf_counter()
            made = client.commit(name)["Id"]
            found.append(time.perf_counter() - began)
        client.remove_image(made)
    return spread(found)


def rows(undo: ExitStack, directory: Path, repo: Path) -> Iterator[Row]:
    """
    Yield what was measured with one workspace at a time.
    """
    client = docker.APIClient()
    undo.callback(client.close)
    ours = {engine: Ours(engine, repo) for engine in ENGINES}
    for one in ours.values():
        undo.callback(one.session.close)
    image = ours["docker"].session.base_tag
    run = ["docker", "run", "--rm", "--entrypoint", "true", image]
    theirs = measure(lambda: subprocess.run(run, check=True), 10)
    cycles = {name: measure(one.cycle, 20) for name, one in ours.items()}
    yield Row(
        "a workspace from cache, one command, its end, back to back",
        cycles,
        "`docker run --rm IMAGE true`",
        theirs,
    )
    yield Row(
        "the same, as a test of 300 ms waits for it",
        {engine: waits(directory, repo, engine) for engine in ENGINES},
        "`docker run --rm IMAGE true`",
        theirs,
    )
    bare = ["bwrap", "--ro-bind", "/", "/", "--unshare-all", "--proc", "/proc", "true"]
    if shutil.which("bwrap"):
        yield Row(
            "a workspace, back to back",
            cycles,
            "`bwrap true` on this machine's root",
            measure(lambda: subprocess.run(bare, check=True), 20),
        )

    kept = {name: one.session.workspace(one.spec, "ready") for name, one in ours.items()}
    with docker_container(image) as name:

        def by_sdk() -> None:
            client.exec_start(client.exec_create(name, ["true"])["Id"])

        by_command = ["docker", "exec", name, "true"]
        execs = {one: measure(lambda ws=ws: ws.exec(["true"]), 100) for one, ws in kept.items()}
        yield Row('`ws.exec(["true"])`', execs, "`docker exec` by its SDK", measure(by_sdk, 20))
        yield Row(
            "the same",
            execs,
            "`docker exec`",
            measure(lambda: subprocess.run(by_command, check=True), 10),
        )
        big = directory / "big"
        big.write_bytes(b"x" * BIG)
        yield Row(
            "100 MB into a workspace, `ws.upload`",
            {
                one: measure(lambda ws=ws: ws.upload(big, "/root/big"), 3)
                for one, ws in kept.items()
            },
            "`docker cp`",
            measure(
                lambda: subprocess.run(
                    ["docker", "cp", "--quiet", str(big), f"{name}:/root/big"], check=True
                ),
                3,
            ),
        )
    for one, ws in kept.items():
        ours[one].session.stop(ws)
    yield Row(
        "200 MB in a workspace that runs, kept as an image: `ws.snapshot`",
        {name: one.commit() for name, one in ours.items()},
        "`docker commit`",
        docker_commit(client, image),
    )


def series(directory: Path, repo: Path, image: str, python: Path) -> dict[str, list[float]]:
    """
    Return the seconds of a run of pytest with 1, 20 and 200 tests, by whose it is.
    """
    found: dict[str, list[float]] = {}
    texts = {
        "testcontainers-python": (TESTCONTAINERS, [str(python), "-m", "pytest"]),
        "docker run --rm": (DOCKER_RUN, [str(python), "-m", "pytest"]),
    }
    for engine in ENGINES:
        texts[f"codex_workspace, {engine}"] = (
            SUITE,
            [*OURS, f"--codex-repo={repo}", f"--codex-engine={engine}"],
        )
    for name, (text, command) in texts.items():
        for count in COUNTS:
            test = directory / f"test_{count}.py"
            test.write_text(text.format(count=count, image=image))
            found.setdefault(name, []).append(session_times(test, *command))
            print(f"{name}, {count} tests: {found[name][-1]:.2f} s", flush=True)
    return found


def in_milliseconds(seconds: tuple[float, float, float]) -> str:
    """
    Return a median with its spread.
    """
    middle, low, high = (f"{one * 1e3:.{1 if seconds[0] < 0.02 else 0}f}" for one in seconds)
    return f"{middle} ({low} to {high})"


def page(found: list[Row], runs: dict[str, list[float]], about: str) -> str:
    """
    Return the tables as Markdown.
    """
    lines = [
        about,
        "",
        "| | native, ms | Docker, ms | beside it | ms | ratio, native | ratio, Docker |",
        "|---|---|---|---|---|---|---|",
    ]
    for row in found:
        ours = [in_milliseconds(row.ours[one]) for one in ENGINES]
        ratios = [f"{row.ours[one][0] / row.theirs[0]:.3f}" for one in ENGINES]
        cells = [row.what, *ours, row.beside, in_milliseconds(row.theirs), *ratios]
        lines.append(f"| {' | '.join(cells)} |")
    lines += [
        "",
        "A whole run of pytest, in seconds:",
        "",
        "| tests in the run | " + " | ".join(map(str, COUNTS)) + " | one more test |",
        "|---|" + "---|" * (len(COUNTS) + 1),
    ]
    for name, seconds in runs.items():
        more = (seconds[-1] - seconds[0]) / (COUNTS[-1] - COUNTS[0])
        cells = [name, *(f"{one:.1f}" for one in seconds), f"{more * 1e3:.0f} ms"]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def main() -> int:
    """
    Measure everything, and write the page's part between its two marks.
    """
    with tempfile.TemporaryDirectory() as name, ExitStack() as undo:
        directory = Path(name)
        repo = make_repository(directory / "repo")
        python = neighbours(directory / "neighbours")
        found = []
        for row in rows(undo, directory, repo):
            found.append(row)
            print(row, flush=True)
        client = docker.from_env()
        undo.callback(client.close)
        image = client.images.get("codex-workspace-emulator:latest").id
        version = client.version()["Version"]
        runs = series(directory, repo, image, python)
    about = (
        f"One run of `make bench-neighbours` on {time.strftime('%Y-%m-%d')}: Linux "
        f"{platform.release().partition('-')[0]}, {os.cpu_count()} processors, Docker "
        f"{version}, image `slim`, a setup that writes one file; median (lowest to highest)."
    )
    begin, end = "<!-- measured -->", "<!-- end -->"
    before, _, rest = PAGE.read_text().partition(begin)
    after = rest.partition(end)[2]
    PAGE.write_text(f"{before}{begin}\n{page(found, runs, about)}\n{end}{after}")
    PLOT.write_text(draw(COUNTS, runs))
    FIGURES.write_text(
        json.dumps({"rows": [asdict(one) for one in found], "runs": runs}, indent=1) + "\n"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""What a workspace costs on both engines, beside what others offer: docs/performance.md.

Run it with `make bench-neighbours`, as root, on a quiet machine. All figures come from one run, on
one machine, with one image. It writes the table, the plot and the figures as JSON.
"""

from __future__ import annotations

import json
import os
import platform
import random
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from xml.etree import ElementTree

import docker

from pytest_codex_workspace.options.config import Config
from pytest_codex_workspace.reporting.output import Output
from pytest_codex_workspace.session import Session
from pytest_codex_workspace.setup.spec import State

from .bench import commit, make_repository, measure, spread
from .others import (
    DOCKER_RUN,
    TESTCONTAINERS,
    ComposeSteps,
    DevContainer,
    docker_container,
    python_with_testcontainers,
    run,
    runc_bundle,
    versions,
)
from .plot import draw

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs/performance.md"
PLOT = ROOT / "docs/pictures/cost.svg"
FIGURES = ROOT / "benchmarks/neighbours.json"

ENGINES = ("native", "docker")
COUNTS = (1, 20, 200)
"""Tests in a run."""

WORKERS = (1, 2, 4)
"""Processes that share the tests of a run by pytest-xdist."""

FILES = 5000
"""Files of the repository that is projected, of 10 kB each."""

BIG = 100_000_000
"""Bytes of the file that is copied."""

SETUP = "head -c 200000000 /dev/urandom >/root/big\n"

OURS = (sys.executable, "-m", "pytest", "-p", "no:randomly", "--codex-image=slim")

LOADING = """\
import time
from _pytest.config import get_config

parser = get_config()._parser
began = time.process_time()
from pytest_codex_workspace import plugin

plugin.pytest_addoption(parser)
print(time.process_time() - began)
"""

NOTHING = """
def test_it():
    pass
"""

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


@dataclass(frozen=True)
class Run:
    """
    A run of pytest.

    Attributes:
        seconds: of the clock.
        cpu: processor time of its processes, without those of an engine.
        memory: bytes that the largest of them had at its highest.
    """

    seconds: float
    cpu: float
    memory: int


Runs = dict[str, list[Run]]
Times = dict[str, tuple[float, float, float]]


MEASURED = """
import json, resource, subprocess, sys
code = subprocess.call(sys.argv[1:], stdout=subprocess.DEVNULL)
used = resource.getrusage(resource.RUSAGE_CHILDREN)
print(json.dumps([code, used.ru_utime + used.ru_stime, used.ru_maxrss * 1024]))
"""
"""Says what a program has used. Forked by a large process, it would have been as large itself."""


def pytest_run(test: Path, *arguments: str) -> Run:
    """
    Run a test, and return what it cost.
    """
    words = [*arguments, "-q", "-p", "no:cacheprovider", str(test)]
    began = time.perf_counter()
    told = run(sys.executable, "-I", "-S", "-c", MEASURED, *words, cwd=test.parent)
    seconds = time.perf_counter() - began
    code, cpu, memory = json.loads(told)
    if code:
        sys.exit(f"{' '.join(words)}: exit code {code}")
    return Run(seconds, cpu, memory)


def waits(directory: Path, repo: Path, engine: str) -> tuple[float, float, float]:
    """
    Return what a test that takes 300 ms spends on its workspace, as pytest reports it.
    """
    test, report = directory / "test_waits.py", directory / "report.xml"
    test.write_text(WORKING)
    words = [*OURS, f"--codex-repo={repo}", f"--codex-engine={engine}", f"--junit-xml={report}"]
    pytest_run(test, *words)
    times = [float(one.get("time", "0")) for one in ElementTree.parse(report).iter("testcase")]
    # The first ones have nobody before them to start theirs, and the last one ends the session.
    return spread([one - SLEEPS for one in times[2:-1]])


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
    docker_run = ["docker", "run", "--rm", "--entrypoint", "true", image]
    theirs = measure(lambda: subprocess.run(docker_run, check=True), 10)
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
    steps = ComposeSteps(directory / "steps", repo, ours["docker"].session.engine.url)
    undo.callback(steps.close)
    yield Row("a workspace, back to back", cycles, "its steps by Compose", measure(steps.cycle, 3))
    others = DevContainer(directory / "devcontainer", image)
    yield Row(
        "the same",
        cycles,
        "devcontainer CLI: `up`, `exec`, `docker rm`",
        measure(others.cycle, 5),
    )
    with runc_bundle(directory / "bundle", image) as start:
        yield Row(
            "the same",
            cycles,
            "`runc run`, a bundle whose root is mounted",
            measure(lambda: subprocess.run(start, check=True), 20),
        )
    bare = ["bwrap", "--ro-bind", "/", "/", "--unshare-all", "--proc", "/proc", "true"]
    if shutil.which("bwrap"):
        yield Row(
            "the same",
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
        with others.started():
            yield Row("the same", execs, "`devcontainer exec`", measure(others.exec, 5))
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
    yield from projections(directory, ours, image)


def projections(directory: Path, ours: dict[str, Ours], image: str) -> Iterator[Row]:
    """
    Yield what it costs to have a commit of a larger repository in a new workspace.
    """
    repo = make_repository(directory / "large")
    content = random.Random(1)
    for number in range(FILES):
        file = repo / f"{number % 50}" / f"{number}.bin"
        file.parent.mkdir(exist_ok=True)
        file.write_bytes(content.randbytes(10_000))
    commit(repo)

    def change() -> None:
        (repo / "changed").write_text(str(time.time_ns()))
        commit(repo)

    def projected(one: Ours, state: State) -> tuple[float, float, float]:
        found = []
        # The first time, setup runs.
        for number in range(4):
            change()
            began = time.perf_counter()
            spec = one.session.spec(one.session.repository(repo), {})
            ws = one.session.workspace(spec, state)
            if number:
                found.append(time.perf_counter() - began)
            one.session.stop(ws)
        one.session.isolation.wait_for_cleanup()
        return spread(found)

    def cloned() -> None:
        clone = directory / "clone"
        run("git", "clone", "--quiet", f"file://{repo}", clone)
        with docker_container(image) as name:
            run("docker", "cp", "--quiet", clone, f"{name}:/root/large")
        shutil.rmtree(clone)

    def copied() -> None:
        with docker_container(image) as name:
            run("docker", "cp", "--quiet", repo / ".git", f"{name}:/root/.git")
            run("docker", "exec", name, "git", "-C", "/root", "reset", "--quiet", "--hard")

    of = f"a commit of {FILES} files, {FILES // 100} MB, in a new workspace"
    whole = {name: projected(one, "clean") for name, one in ours.items()}
    clone = measure(cloned, 3)
    yield Row(f"{of} without setup", whole, "`docker run`, `git clone`, `docker cp`", clone)
    copy = measure(copied, 3)
    yield Row("the same", whole, "`docker run`, `docker cp .git`, `git reset`", copy)
    again = {name: projected(one, "ready") for name, one in ours.items()}
    yield Row("the next commit, on the cached setup", again, "clone and copy", clone)


def series(
    directory: Path, repo: Path, image: str, python: Path
) -> tuple[dict[str, list[Run]], dict[str, list[Run]]]:
    """
    Return the runs of pytest with 1, 20 and 200 tests, by whose it is, and those of 200 tests in
    several processes.
    """
    found: dict[str, list[Run]] = {}
    shared: dict[str, list[Run]] = {}
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
            found.setdefault(name, []).append(pytest_run(test, *command))
            print(f"{name}, {count} tests: {found[name][-1]}", flush=True)
        for workers in WORKERS:
            shared.setdefault(name, []).append(pytest_run(test, *command, f"-n{workers}"))
            print(f"{name}, -n {workers}: {shared[name][-1]}", flush=True)
    return found, shared


def measure_plugin(directory: Path) -> dict[str, tuple[float, float, float]]:
    """
    Return the processor time of a run of pytest with one test that has no workspace, with the
    plugin and without, and that of loading it: its imports and its options.
    """
    test = directory / "test_nothing.py"
    test.write_text(NOTHING)
    plain = [sys.executable, "-m", "pytest", "-p", "no:randomly", "-p", "no:xdist"]
    words = {"with": plain, "without": [*plain, "-p", "no:codex_workspace"]}
    times: dict[str, list[float]] = {name: [] for name in words}
    times["loading"] = []
    for _ in range(10):
        for name, one in words.items():
            times[name].append(pytest_run(test, *one).cpu)
        loading = [sys.executable, "-c", LOADING]
        times["loading"].append(float(subprocess.check_output(loading, text=True)))
    return {name: spread(one) for name, one in times.items()}


def in_milliseconds(seconds: tuple[float, float, float]) -> str:
    """
    Return a median with its spread.
    """
    middle, low, high = (f"{one * 1e3:.{1 if seconds[0] < 0.02 else 0}f}" for one in seconds)
    return f"{middle} ({low} to {high})"


def page(found: list[Row], runs: Runs, shared: Runs, unused: Times, about: str) -> str:
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
    processes = [f"{COUNTS[-1]}, `-n {one}`" for one in WORKERS]
    lines += [
        "",
        "A whole run of pytest, in seconds, and the memory of its largest process:",
        "",
        f"| tests | {' | '.join([*map(str, COUNTS), 'one more test', *processes])} | MB |",
        "|---|" + "---|" * (len(COUNTS) + len(WORKERS) + 2),
    ]
    for name, each in runs.items():
        more = (each[-1].seconds - each[0].seconds) / (COUNTS[-1] - COUNTS[0])
        cells = [
            name,
            *(f"{one.seconds:.1f}" for one in each),
            f"{more * 1e3:.0f} ms",
            *(f"{one.seconds:.1f}" for one in shared[name]),
            f"{max(one.memory for one in each) / 1e6:.0f}",
        ]
        lines.append(f"| {' | '.join(cells)} |")
    with_it, without, loading = (
        in_milliseconds(unused[one]) for one in ("with", "without", "loading")
    )
    return "\n".join(
        [
            *lines,
            "",
            "A run of pytest with one test that has no workspace takes "
            f"{with_it} ms of processor time with the plugin, and {without} ms without it "
            f"(`-p no:codex_workspace`). Loading the plugin is {loading} ms of it.",
        ]
    )


def main() -> int:
    """
    Measure everything, and write the page's part between its two marks.
    """
    with tempfile.TemporaryDirectory() as name, ExitStack() as undo:
        directory = Path(name)
        unused = measure_plugin(directory)
        print(unused, flush=True)
        repo = make_repository(directory / "repo")
        python = python_with_testcontainers(directory / "neighbours")
        found = []
        for row in rows(undo, directory, repo):
            found.append(row)
            print(row, flush=True)
        client = docker.from_env()
        undo.callback(client.close)
        image = client.images.get("codex-workspace-emulator:latest").id
        version = client.version()["Version"]
        others = versions(python, directory / "devcontainer")
        runs, shared = series(directory, repo, image, python)
    about = (
        f"One run of `make bench-neighbours` on {time.strftime('%Y-%m-%d')}: Linux "
        f"{platform.release().partition('-')[0]}, {os.cpu_count()} processors, Docker "
        f"{version}, image `slim`, a setup that writes one file; median (lowest to highest). "
        f"Beside it {others}."
    )
    begin, end = "<!-- measured -->", "<!-- end -->"
    before, _, rest = PAGE.read_text().partition(begin)
    after = rest.partition(end)[2]
    text = page(found, runs, shared, unused, about)
    PAGE.write_text(f"{before}{begin}\n{text}\n{end}{after}")
    PLOT.write_text(draw(COUNTS, {n: [one.seconds for one in each] for n, each in runs.items()}))
    figures = {
        "rows": [asdict(one) for one in found],
        "runs": {name: [asdict(one) for one in each] for name, each in runs.items()},
        "processes": {name: [asdict(one) for one in each] for name, each in shared.items()},
        "unused": unused,
        "beside": others,
    }
    FIGURES.write_text(json.dumps(figures, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())

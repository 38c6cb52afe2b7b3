"""What many repositories cost on several engines: the figures of docs/scale.md.

Run it with `make bench-scale`, as root: it starts Docker daemons of its own, whose disks are in
memory. `python -m benchmarks.scale 10 --engines 2` measures less, and `--engines 0` only the engine
without a daemon.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pytest_codex_workspace.engine.docker.find import find_engine
from pytest_codex_workspace.images.debian import ensure_debian
from pytest_codex_workspace.images.proxy import ensure_proxy_image
from pytest_codex_workspace.options.config import Config
from pytest_codex_workspace.reporting.output import Output
from pytest_codex_workspace.session import Session
from tests.helpers.private_engine import PrivateEngine, private_engine

COMMAND = (sys.executable, "-u", "-m", "pytest_codex_workspace.cli")

SETUP = """\
echo "setup of {name} on $(grep -o 'scale-engine-[0-9]*' /proc/self/mountinfo | head -n 1)"
head -c 1000000 /dev/urandom >/root/{name}
"""
"""A small setup, which says on which engine it runs: disks of containers lie below its folder."""


@dataclass
class Run:
    """
    One check of many repositories.
    """

    events: list[dict[str, Any]]
    seconds: float
    cpu: float

    @property
    def results(self) -> list[dict[str, Any]]:
        return [one for one in self.events if one["event"] == "repository"]

    @property
    def setups(self) -> Counter[str]:
        """
        How often setup began for each repository on each engine. A check runs it twice, the second
        time on its own result, which makes no setup.
        """
        lines = (one["line"] for one in self.events if one["event"] == "script")
        ran = Counter(line.strip() for line in lines if line.startswith("setup of "))
        return Counter({name: (number + 1) // 2 for name, number in ran.items()})


def make_repository(where: Path) -> None:
    script = where / "codex-workspace-scripts" / "setup-script.sh"
    script.parent.mkdir(parents=True)
    script.write_text(SETUP.format(name=where.name))
    (where / "Makefile").write_text("test:\n\ttrue\n")
    for command in (
        ["init", "--quiet"],
        ["add", "--all"],
        ["-c", "user.name=b", "-c", "user.email=b@example.com", "commit", "--quiet", "-m", "b"],
    ):
        subprocess.run(["git", "-C", str(where), *command], check=True)


@contextmanager
def engines(number: int) -> Iterator[tuple[list[PrivateEngine], str]]:
    """
    Start daemons that have a small image. Yield them and its name.
    """
    with ExitStack() as ends:
        engine = find_engine()
        ends.callback(engine.close)
        quiet = Output("quiet", lambda _: None)
        image = ensure_debian(engine, quiet).tags[0]
        with Session(Config(image=image, engine=engine.url), quiet) as session:
            proxy = ensure_proxy_image(engine, output=quiet)
            images = [image, session.base_tag, *proxy.tags]
        root = Path(ends.enter_context(tempfile.TemporaryDirectory(prefix="scale-")))
        made = []
        for each in range(number):
            one = ends.enter_context(private_engine(root / f"scale-engine-{each + 1}"))
            one.take_from(engine, images)
            made.append(one)
        yield made, image


def check(
    repos: list[Path],
    used: list[str],
    image: str,
    *,
    jobs: int = 1,
    lose: PrivateEngine | None = None,
) -> Run:
    """
    Check repositories on the engines at *used*. With *lose*, end that engine when a third of them
    have their results.
    """
    listed = repos[0].parent / "list"
    listed.write_text("".join(f"{one}\n" for one in repos))
    words = [
        *COMMAND,
        "check",
        "--json",
        f"--from-file={listed}",
        f"--image={image}",
        f"--jobs={jobs}",
    ]
    words += [f"--engine={one}" for one in used]
    began = time.perf_counter()
    events, results = [], 0
    process = subprocess.Popen(words, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    with process.stdout:
        for line in process.stdout:
            event = json.loads(line)
            events.append(event)
            results += event["event"] == "repository"
            if lose is not None and results * 3 >= len(repos):
                lose.stop()
                lose = None
    # That of the command and its processes, not that of a daemon which has ended meanwhile.
    _, status, used_by = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    seconds = time.perf_counter() - began
    return Run(events, seconds, used_by.ru_utime + used_by.ru_stime)


def show(what: str, run: Run, count: int) -> bool:
    """
    Print a line. Return whether each repository has a result, and each setup was made once for each
    engine at most.
    """
    failed = [one for one in run.results if one["failure"]]
    each = statistics.median(one["duration"] for one in run.results)
    most = max(run.setups.values(), default=0)
    engines_of = ", ".join(
        f"{one['repositories']}{' (lost)' if one['lost'] else ''}"
        for one in run.events[-1].get("engines", ())
    )
    print(
        f"{what:<34} {run.seconds:7.1f} s {3600 * count / run.seconds:7.0f} an hour "
        f"{each:6.1f} s each {run.cpu / count:5.2f} s CPU each; "
        f"results {len(run.results)}, failed {len(failed)}, "
        f"setups {run.setups.total()}, most per key and engine {most}"
        + (f"; by engine: {engines_of}" if engines_of else ""),
        flush=True,
    )
    for one in failed:
        print(f"  {one['repo']}: {one['failure']}")
    return len(run.results) == count and not failed and most <= 1


def make_repositories(directory: Path, kind: str, count: int) -> list[Path]:
    """
    Make repositories that no engine knows.
    """
    repos = [directory / f"{count}-{kind}-{at:03}" for at in range(count)]
    for one in repos:
        make_repository(one)
    return repos


def natively(directory: Path, counts: list[int]) -> bool:
    """
    Measure every number of repositories on the engine without a daemon, one or two at a time.
    """
    quiet = Output("quiet", lambda _: None)
    engine = find_engine("native")
    image = ensure_debian(engine, quiet).tags[0]
    with Session(Config(image=image, engine="native"), quiet) as session:
        _ = session.image, session.isolation
    engine.close()
    holds = True
    for count in counts:
        for jobs in (1, 2):
            repos = make_repositories(directory, f"native-{jobs}", count)
            run = check(repos, ["native"], image, jobs=jobs)
            holds &= show(f"{count} repositories, native, {jobs} jobs", run, count)
    return holds


def main() -> int:
    """
    Measure every number of repositories on every number of engines, and the loss of an engine.
    """
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("repositories", nargs="*", type=int, default=[1, 10, 60])
    parser.add_argument("--engines", type=int, default=3, help="the most engines")
    parser.add_argument("--fewest", type=int, default=1, help="the fewest engines")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="scale-repos-") as name:
        directory = Path(name)
        holds = natively(directory, options.repositories)
        if options.engines:
            holds &= on_engines(directory, options)
    return 0 if holds else 1


def on_engines(directory: Path, options: argparse.Namespace) -> bool:
    """
    Measure on daemons.
    """
    holds = True
    with engines(options.engines) as (made, image):
        urls = [one.url for one in made]
        for count in options.repositories:
            for number in range(options.fewest, options.engines + 1):
                repos = make_repositories(directory, f"on-{number}", count)
                run = check(repos, urls[:number], image)
                holds &= show(f"{count} repositories, {number} engines", run, count)
        count = max(options.repositories)
        if options.engines > 1 and count >= 3 * options.engines:
            repos = make_repositories(directory, "lost", count)
            run = check(repos, urls, image, lose=made[-1])
            holds &= show(f"{count} repositories, 1 of {len(made)} engines lost", run, count)
    return holds


if __name__ == "__main__":
    sys.exit(main())

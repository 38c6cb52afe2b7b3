"""
Run the tests that need no container engine: tools/unit.py [--all] [PYTEST'S ARGUMENTS].

By default those of `make unit`, which leaves out what takes long or starts programs; with `--all`,
every one, as `make test` does.

Not by pytest-xdist, each of whose workers imports every test file, and whose controller takes a
processor away from them: that is a third of the time here. The order is random within a process.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
OPTIONS = (
    *("--quiet", "-r", "fE", "-p", "no:cacheprovider"),
    *("-o", "tmp_path_retention_policy=none"),
)
QUICK = (
    *("--no-programs", "--hypothesis-profile=quick"),
    *("-m", "not needs_engine and not slow"),
)
TOPS = ("tests/unit", "tests/tools")
ALL_TOPS = (*TOPS, "tests/plugin")
WAITING = (
    "tests/unit/engine/docker/test_engine.py",
    "tests/unit/in_container/test_compose_entry.py",
    "tests/unit/proxy_addons/test_barrier.py",
    "tests/unit/workspace/test_channel.py",
)
"""Tests that wait for time to pass have a process of their own, beside those that work."""

_ROOM = 2 << 30
"""Bytes that are free in memory for the files of tests."""

_NOTHING = 5
"""pytest's exit code when no test was selected."""


def main(arguments: Sequence[str]) -> int:
    """
    Run all of them, and print what each process prints once it has ended.

    Args:
        arguments: `--all`, or none, and further arguments of pytest.

    Returns:
        The exit code: 0 if every test passed.
    """
    is_all = "--all" in arguments
    options = [*OPTIONS, *(() if is_all else QUICK), *(one for one in arguments if one != "--all")]
    tops = ALL_TOPS if is_all else TOPS
    files = sorted(path for top in tops for path in (ROOT / top).rglob("test_*.py"))
    names = [str(path.relative_to(ROOT)) for path in files]
    processors = len(os.sched_getaffinity(0))
    # What starts programs waits for them.
    every = parts(names, 3 * processors if is_all else processors + 1)
    # Bytecode is kept, whatever the environment says: pytest compiles each test file again
    # otherwise, which takes as long as the tests.
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}
    codes = []
    with tempfile.TemporaryDirectory(
        prefix="codex-unit-", dir=memory(), ignore_cleanup_errors=True
    ) as directory:
        started = []
        for place, part in enumerate(every):
            output = Path(directory, f"{place}.txt")
            command = [
                *(sys.executable, "-m", "pytest", *options),
                f"--basetemp={directory}/{place}",
                *part,
            ]
            with output.open("wb") as file:
                process = subprocess.Popen(
                    command, cwd=ROOT, env=environment, stdout=file, stderr=subprocess.STDOUT
                )
            started.append((process, output))
        for process, output in started:
            codes.append(process.wait())
            sys.stdout.write(output.read_text(errors="replace"))
    failed = (code for code in codes if code not in (0, _NOTHING))
    return next(failed, 0 if 0 in codes else _NOTHING)


def parts(files: Sequence[str], number: int) -> list[list[str]]:
    """
    Return those of *files* that wait, and the others in at most *number* parts: by turns, because
    what is heavy lies together.
    """
    working = [one for one in files if one not in WAITING]
    waiting = [one for one in files if one in WAITING]
    return [one for one in (waiting, *(working[at::number] for at in range(number))) if one]


def memory() -> str | None:
    """
    Return a directory in memory, if this machine has one in which programs run: a disk takes as
    long to make the tests' directories as the tests take. Otherwise `None`.
    """
    place = "/dev/shm"
    try:
        found = os.statvfs(place)
    except OSError:
        return None
    has_room = found.f_bavail * found.f_frsize > _ROOM
    runs = not found.f_flag & os.ST_NOEXEC
    return place if has_room and runs and os.access(place, os.W_OK) else None


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

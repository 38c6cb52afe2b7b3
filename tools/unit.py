"""
Run the tests of `make unit`, in a process for each processor: tools/unit.py [PYTEST'S ARGUMENTS].

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
    *("--quiet", "-r", "fE", "--no-programs", "--hypothesis-profile=quick"),
    *("-m", "not needs_engine and not slow", "-p", "no:cacheprovider"),
    *("-o", "tmp_path_retention_policy=none"),
)
_NOTHING = 5
"""pytest's exit code when no test was selected."""


def main(arguments: Sequence[str]) -> int:
    """
    Run all of them, and print what each process prints once it has ended.

    Args:
        arguments: further arguments of pytest.

    Returns:
        The exit code: 0 if every test passed.
    """
    tops = (ROOT / "tests/unit", ROOT / "tests/tools")
    files = sorted(path for top in tops for path in top.rglob("test_*.py"))
    # Bytecode is kept, whatever the environment says: pytest compiles each test file again
    # otherwise, which takes as long as the tests.
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}
    codes = []
    with tempfile.TemporaryDirectory(prefix="codex-unit-", ignore_cleanup_errors=True) as directory:
        started = []
        for number, part in enumerate(parts(files, len(os.sched_getaffinity(0)))):
            output = Path(directory, f"{number}.txt")
            command = [
                *(sys.executable, "-m", "pytest", *OPTIONS, *arguments),
                f"--basetemp={directory}/{number}",
                *(str(path.relative_to(ROOT)) for path in part),
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


def parts(files: Sequence[Path], number: int) -> list[list[Path]]:
    """
    Cut *files* into at most *number* parts of about the same size. Neighbours stay together: they
    import the same.
    """
    whole = sum(path.stat().st_size for path in files)
    found: list[list[Path]] = [[] for _ in range(number)]
    before = 0
    for path in files:
        found[min(before * number // whole, number - 1)].append(path)
        before += path.stat().st_size
    return [part for part in found if part]


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

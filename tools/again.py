"""
Run tests that failed a second time, by themselves, and name those that pass then.

    again.py CODE CACHE TEMPORARY

CODE is the exit code of the first run, CACHE its cache directory, and TEMPORARY that of its
temporary files, which the second run uses after it.

Only a few tests that use the engine get a second chance: a machine with many containers at once has
stalls that no test makes. A test that passes now is unsteady. That is a fault to be found, here or
in the test, so its first failure stays in the output and its name ends it; but it does not hide
what all other tests say.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

__all__ = ["main", "may_run_again"]

_MOST = 3
"""Tests that may fail the first time. More of them are no accident."""

_WITH_ENGINE = ("tests/contract/", "tests/engines/", "tests/integration/")


def may_run_again(code: int, failed: list[str]) -> bool:
    """
    Return whether a second run can say more than the first.

    Args:
        code: pytest's exit code; only 1 means that tests ran and failed.
        failed: the ids of the tests that failed.
    """
    return (
        code == 1
        and 0 < len(failed) <= _MOST
        and all(one.startswith(_WITH_ENGINE) and "::" in one for one in failed)
    )


def main(code: int, cache: Path, temporary: Path) -> int:
    """
    Run the program.

    Returns:
        The exit code: that of the first run, or 0 if every test passes now.
    """
    found = cache / "v/cache/lastfailed"
    failed = sorted(json.loads(found.read_text())) if found.is_file() else []
    if not may_run_again(code, failed):
        return code
    print(f"\nrunning again by themselves: {' '.join(failed)}\n", flush=True)
    arguments = ["-n", "0", "-p", "no:cacheprovider", f"--basetemp={temporary}", *failed]
    done = subprocess.run([sys.executable, "-m", "pytest", *arguments], check=False)
    if done.returncode:
        return code
    text = "".join(f"\n  {one}" for one in failed)
    print(f"\nunsteady, failed once and then passed; find out why:{text}", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]), *map(Path, sys.argv[2:])))

"""What it costs to remember what happens in workspaces, without `--codex-report`.

Run it with `make bench`, or with `python -m benchmarks.account [TESTS]`. Each of 500 tests runs
commands, prints more than is remembered, and requests hosts that are blocked. A plugin measures
the time in what is remembered for a failure, and the memory of the process.
"""

from __future__ import annotations

import ctypes
import gc
import json
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from .bench import make_repository, memory_of, show

TESTS = 500
WARM = 50
"""Tests after which the memory is measured for the first time: pools are filled then."""

SUITE = """
import pytest

@pytest.mark.parametrize("n", range({tests}))
def test_it(codex_workspace, n):
    for _ in range(4):
        codex_workspace.exec(["sh", "-c", "seq 20000; seq 20000 >&2"], check=True)
    codex_workspace.exec(
        "for i in 1 2 3 4 5; do curl -s -o /dev/null http://$i.example/; done", check=True
    )
"""


class Account:
    """
    A plugin that measures.
    """

    def __init__(self) -> None:
        self.spent = 0.0
        self.began = 0.0
        self.tests = 0
        self.memory: list[float] = []

    def pytest_runtest_logstart(self) -> None:
        """
        Begin to measure at the first test.
        """
        self.began = self.began or time.perf_counter()

    def pytest_runtest_logfinish(self) -> None:
        """
        Note the memory now and then.
        """
        self.tests += 1
        if self.tests % WARM == 0:
            gc.collect()
            # What is free, but not given back, says nothing of what is kept.
            ctypes.CDLL(None).malloc_trim(0)
            self.memory.append(memory_of(os.getpid()))

    def pytest_sessionfinish(self) -> None:
        """
        Write the figures.
        """
        wall = time.perf_counter() - self.began
        Path("account.json").write_text(json.dumps([self.spent / wall, wall, self.memory]))

    def timed(self, owner: Any, name: str) -> None:
        """
        Count the time in a function.
        """
        function: Callable[..., Any] = getattr(owner, name)

        def measured(*arguments: Any, **keywords: Any) -> Any:
            began = time.perf_counter()
            try:
                return function(*arguments, **keywords)
            finally:
                self.spent += time.perf_counter() - began

        setattr(owner, name, measured)

    def measure(self) -> None:
        """
        Count the time in what is remembered.
        """
        from pytest_codex_workspace import plugin
        from pytest_codex_workspace.plugin.starter import Starter
        from pytest_codex_workspace.workspace.command_log import CommandLog

        record = CommandLog.record

        @contextmanager
        def measured(log: CommandLog, *arguments: Any, **keywords: Any) -> Any:
            began = time.perf_counter()
            with record(log, *arguments, **keywords) as finish:
                self.spent += time.perf_counter() - began

                def finished(*result: Any) -> None:
                    began = time.perf_counter()
                    finish(*result)
                    self.spent += time.perf_counter() - began

                yield finished

        CommandLog.record = measured  # type: ignore[method-assign]
        self.timed(Starter, "_note")
        for name in ("add_workspaces", "add_outcome"):
            self.timed(plugin, name)


def main(tests: int = TESTS) -> int:
    """
    Measure; 1 if a bound does not hold.
    """
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        repo = make_repository(directory / "repo")
        (directory / "test_it.py").write_text(SUITE.format(tests=tests))
        program = (
            "import sys, pytest; from benchmarks.account import Account\n"
            "account = Account(); account.measure()\n"
            "sys.exit(pytest.main(sys.argv[1:], plugins=[account]))"
        )
        done = subprocess.run(
            [sys.executable, "-c", program, "-p", "no:randomly", "-p", "no:cacheprovider", "-q",
             f"--codex-repo={repo}", "--codex-image=slim", "test_it.py"],
            cwd=directory, capture_output=True, text=True, check=False,
            env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])},
        )  # fmt: skip
        passed = re.search(r"(\d+) passed", done.stdout)
        assert passed is not None, done.stdout + done.stderr
        share, wall, memory = json.loads((directory / "account.json").read_text())
    print(
        f"{passed[0]} in {wall:.0f} s; MB of the process: {', '.join(f'{m:.1f}' for m in memory)}"
    )
    growth = (memory[-1] - memory[0]) / max(1, len(memory) - 1) / WARM * 1000
    held = [
        show("share of the time that is spent on remembering", share * 100, 1, " %"),
        show("growth of the process by each further test", growth, 20, " kB"),
    ]
    return 0 if all(held) else 1


if __name__ == "__main__":
    sys.exit(main(*map(int, sys.argv[1:])))

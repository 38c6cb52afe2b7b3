"""The command as a process: closed and full streams, signals, and what is printed in the end."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

COMMAND = f"{sys.executable} -m pytest_codex_workspace.cli"
NO_ENGINE = "--engine=unix:///nonexistent.sock"


def shell(line: str, cwd: Path, **env: str) -> subprocess.CompletedProcess[str]:
    """
    Run a line in which CMD stands for the command.
    """
    return subprocess.run(
        ["bash", "-c", line.replace("CMD", COMMAND).replace("PYTHON ", f"{sys.executable} ")],
        cwd=cwd,
        env={**os.environ, **env},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )


def test_nothing_comes_before_the_signal():
    """
    Until Ctrl-C ends the process without a word, no module is imported but ours.
    """
    code = (
        "import sys; before = set(sys.modules)\n"
        "class Stop:\n"
        "    def find_spec(self, name, *_):\n"
        "        if name.startswith(('pytest_codex_workspace', '__future__')): return None\n"
        "        import _signal\n"
        "        assert _signal.getsignal(_signal.SIGINT) == _signal.SIG_DFL, name\n"
        "sys.meta_path.insert(0, Stop())\n"
        "import pytest_codex_workspace.cli.entry, _signal\n"
        "assert _signal.getsignal(_signal.SIGINT) == _signal.SIG_DFL\n"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (0, "") == (run.returncode, run.stderr)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("line", "code", "said"),
    [
        ("CMD config >/dev/full", 125, "standard output cannot be written: No space left"),
        ("CMD config >&-", 125, "standard output cannot be written: Bad file descriptor"),
        ("CMD --help >/dev/full", 125, "standard output cannot be written: No space left"),
        ("CMD --version >&-", 125, "standard output cannot be written: Bad file descriptor"),
        (f"CMD clean --json {NO_ENGINE} >/dev/full", 125, "EngineUnavailable"),
        (f"CMD clean {NO_ENGINE} 2>/dev/full", 125, ""),
        (f"CMD clean {NO_ENGINE} >&- 2>&- <&-", 125, ""),
        ("CMD config <&- >/dev/null", 0, ""),
        # The reader has gone long before the command begins to write.
        ("{ CMD config --schema; echo $? >&2; } | true", 0, "141"),
    ],
)
def test_streams_that_cannot_be_used(line, code, said, tmp_path):
    """
    There is one line on standard error at most, and never a traceback.
    """
    run = shell(line, tmp_path)

    assert code == run.returncode, run.stderr
    assert said in run.stderr
    assert "Traceback" not in run.stderr
    assert "Exception ignored" not in run.stderr
    assert len(run.stderr.splitlines()) <= 1 or NO_ENGINE in line


@pytest.mark.slow
@pytest.mark.parametrize(
    "line",
    [
        "cd gone; PYTHON -c 'import os; os.rmdir(os.getcwd())'; CMD run",
        "unset HOME; TMPDIR=/nonexistent COLUMNS=1 TERM=dumb CMD config",
        "LC_ALL=C PYTHONCOERCECLOCALE=0 PYTHONUTF8=0 CMD run \u00e4",
        "CMD config $'a\\nb\\xff'",
        f"HOME=/nonexistent CMD build {NO_ENGINE}",
    ],
)
def test_odd_surroundings(line, tmp_path):
    """
    Whatever is wrong with the place where the command runs, there is no traceback.
    """
    (tmp_path / "gone").mkdir()
    run = shell(line, tmp_path)

    assert run.returncode in (0, 125), run.stderr
    assert ("the current directory cannot be used" in run.stderr) == ("rmdir" in line)
    assert "Traceback" not in run.stderr
    assert "internal error" not in run.stderr

"""The engine of namespaces of a user without root: the same suites, and the smoke test."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from pytest_codex_workspace.engine.protocol import Engine

from ..helpers.skips import skip_outside_ci
from ..helpers.unprivileged import as_user
from .runs import COMMAND

pytestmark = pytest.mark.skipif(
    os.geteuid() != 0, reason="without root, all tests of this engine are such tests"
)

_PYTEST = ("pytest", "-q", "-r", "s", "-n", "0", "-p", "no:cacheprovider", "--basetemp")


def run(
    home: Path, command: list[str], *, store: str = "", **environ: str
) -> subprocess.CompletedProcess[str]:
    """
    Run *command* as a user without root.
    """
    return subprocess.run(
        as_user(home, command, store=store),
        env={**os.environ, **environ},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )


@pytest.fixture(autouse=True)
def store(codex_engine: Engine) -> str:
    """
    Return the directory of the engine that has the images.
    """
    if not codex_engine.url.startswith("native://"):
        pytest.skip("these are tests of the native engine")
    return codex_engine.url.removeprefix("native://")


@pytest.fixture(autouse=True, scope="module")
def _works(tmp_path_factory: pytest.TempPathFactory) -> None:
    """
    Skip where this machine's users can have no namespaces. In CI, they must.
    """
    home = tmp_path_factory.mktemp("user")
    done = run(home, [*COMMAND, "clean", f"--engine=native://{home}/native"])
    if done.returncode:
        skip_outside_ci(done.stdout)


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """
    Return a home directory for the user.
    """
    (tmp_path / "home").mkdir()
    return tmp_path / "home"


_FORBIDDEN = """
    import platform, sys
    from pytest_codex_workspace.cli.entry import main
    from pytest_codex_workspace.engine.native.runner.kernel import seccomp, system

    system.prctl(38, 1)
    if sys.argv.pop(1) == "filter":
        seccomp.install(seccomp.compose(platform.machine()))
    main()
"""
"""No program gains rights by being started after the first call, newuidmap neither."""


@pytest.mark.parametrize(
    ("how", "words"),
    [
        ("no new rights", "the user namespace could not be given ids (newuidmap: "),
        ("filter", "a filter of system calls refuses user namespaces"),
    ],
)
def test_what_forbids_it_is_said(home: Path, how: str, words: str) -> None:
    """
    As in most containers.
    """
    program = [sys.executable, "-c", textwrap.dedent(_FORBIDDEN), how]

    done = run(home, [*program, "clean", f"--engine=native://{home}/native"])

    assert words in done.stdout
    assert done.returncode == 125, done.stdout


def test_it_passes_the_contract(home: Path) -> None:
    """
    All of it that the engine passes for root.
    """
    suite = ["tests/contract", "-k", "native"]

    done = run(home, [*_PYTEST, str(home / "tmp/pytest"), *suite])

    assert done.returncode == 0, done.stdout
    assert re.search(r"^\d+ passed", done.stdout, re.MULTILINE)


def test_workspaces_keep_what_is_promised(home: Path, store: str) -> None:
    """
    All checks of the smoke test pass.
    """
    smoke = [*COMMAND, "smoke", "--image=slim", f"--engine=native://{home}/native"]

    done = run(home, smoke, store=store)

    assert done.returncode == 0, done.stdout
    assert "all checks passed" in done.stdout


def test_nothing_gets_out(home: Path, store: str) -> None:
    """
    Of the attempts on the kernel and on the network, none comes through.
    """
    suite = ["tests/integration/test_escape.py", "tests/integration/test_isolation.py"]
    engine = f"native://{home}/native"

    done = run(
        home,
        [*_PYTEST, str(home / "tmp/pytest"), *suite],
        store=store,
        CODEX_WORKSPACE_ENGINE=engine,
    )

    assert done.returncode == 0, done.stdout
    assert re.search(r"^\d+ passed", done.stdout, re.MULTILINE)
    assert "SKIPPED" not in done.stdout

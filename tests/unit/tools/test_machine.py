"""What the demo and the tests may use of a machine: `tools/machine` and `tools/programs.toml`."""

from __future__ import annotations

import os
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from importlib.metadata import distributions, requires
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parents[3]
TABLE = tomllib.loads((ROOT / "tools/programs.toml").read_text())
PROJECT = "pytest-codex-workspace"


def run_closed(scope: str, *command: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """
    Run a command as `make test` or `make demo` does.
    """
    return subprocess.run(
        [sys.executable, ROOT / "tools/machine", "exec", scope, *command],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.fixture
def undeclared(tmp_path: Path) -> str:
    """
    A directory with a program that nobody has declared.
    """
    program = tmp_path / "undeclared-program"
    program.write_text("#!/bin/sh\necho found\n")
    program.chmod(0o755)
    return str(tmp_path)


def test_an_undeclared_program_is_not_found(undeclared: str):
    """
    A test that calls a program which is not in the list fails, on every machine.
    """
    path = f"{undeclared}:{os.environ['PATH']}"

    assert (
        "found\n"
        == subprocess.run(
            ["undeclared-program"], env={"PATH": path}, capture_output=True, text=True
        ).stdout
    )
    done = run_closed("test", "sh", "-c", "undeclared-program", PATH=path)
    assert (127, "") == (done.returncode, done.stdout)


def test_an_undeclared_command_is_an_error_that_names_the_list(undeclared: str):
    """
    The error says which file lists what may be used.
    """
    done = run_closed("test", "undeclared-program", PATH=f"{undeclared}:{os.environ['PATH']}")

    assert 127 == done.returncode
    assert "undeclared-program is not in tools/programs.toml" in done.stderr


def test_the_path_holds_the_declared_programs_and_no_others():
    """
    Besides the virtual environment, PATH is one directory, whose names are all in the list.
    """
    done = run_closed("test", "sh", "-c", 'echo "$PATH"')
    venv, links = done.stdout.strip().split(":")
    listed = {name for section in TABLE if section != "settings" for name in TABLE[section]}

    assert str(ROOT / ".venv/bin") == venv
    assert {one.name for one in Path(links).iterdir()} <= listed
    assert {"git", "sh", "python3"} <= {one.name for one in Path(links).iterdir()}


def test_the_demo_has_fewer_programs_than_the_tests():
    """
    A program that is declared for the tests alone is not there for the demo.
    """
    names = {}
    for scope in ("demo", "test"):
        path = run_closed(scope, "sh", "-c", 'echo "$PATH"').stdout.strip()
        names[scope] = {one.name for one in Path(path.split(":")[1]).iterdir()}

    assert names["demo"] <= names["test"]
    assert not names["demo"] & set(TABLE["test"])


XDG = ("CACHE", "CONFIG", "DATA")


def test_the_home_directory_and_the_caches_are_its_own(tmp_path: Path):
    """
    Nothing in the home directory of the caller is read or written.
    """
    done = run_closed("test", "sh", "-c", 'echo "$HOME $XDG_CACHE_HOME"', HOME=str(tmp_path))
    home, cache = done.stdout.split()

    assert str(ROOT / ".machine/home") == home
    assert str(ROOT / ".machine/home/.cache") == cache
    assert [] == list(tmp_path.iterdir())


def test_only_declared_variables_reach_the_command():
    """
    Settings of the caller's shell cannot make a test pass or fail.
    """
    done = run_closed(
        "test", "env", UNDECLARED="x", CODEX_WORKSPACE_IMAGE="x", PYTHONPATH="/x", CI="x"
    )
    names = {line.partition("=")[0] for line in done.stdout.splitlines() if "=" in line}
    own = {"HOME", "PATH", "PYTHONNOUSERSITE"} | {f"XDG_{one}_HOME" for one in XDG}

    assert {"CI", *own} <= names
    # The shell adds some of its own.
    assert names <= {*TABLE["settings"]["environment"], *own, "PWD", "SHLVL", "OLDPWD", "_"}


def group(name: str) -> Iterator[str]:
    """
    Yield the requirements of a dependency group, with those that it includes.
    """
    groups = tomllib.loads((ROOT / "pyproject.toml").read_text())["dependency-groups"]
    for one in groups[name]:
        if isinstance(one, str):
            yield one
        else:
            yield from group(one["include-group"])


@pytest.mark.skipif(
    Path(sys.prefix) != ROOT / ".venv", reason="this is not the environment that `make` makes"
)
def test_the_environment_has_only_what_the_project_declares():
    """
    A package that was installed by hand cannot hide that pyproject.toml lacks it.
    """
    seen: set[tuple[str, str]] = set()
    waiting = [("", line) for line in [PROJECT, *group("dev")]]
    while waiting:
        extra, line = waiting.pop()
        one = Requirement(line)
        applies = one.marker is None or any(
            one.marker.evaluate({"extra": given}) for given in (extra, "")
        )
        found = canonicalize_name(one.name)
        if not applies:
            continue
        for wanted in one.extras or {""}:
            if (wanted, found) not in seen:
                seen.add((wanted, found))
                waiting += [(wanted, line) for line in requires(found) or ()]
    installed = {canonicalize_name(one.metadata["Name"]) for one in distributions()}

    declared = {"pip", "setuptools", *(name for _, name in seen)}
    assert set() == installed - declared, "remove the environment with `make clean`"


def test_an_unknown_command_prints_the_usage():
    """
    Wrong arguments are answered with what is accepted.
    """
    done = subprocess.run(
        [sys.executable, ROOT / "tools/machine", "instal"],
        capture_output=True,
        text=True,
        check=False,
    )

    assert 2 == done.returncode
    assert "tools/machine install demo|test" in done.stderr


def test_a_package_that_the_system_lacks_is_told_and_passed_over(tmp_path: Path):
    """
    apt-get would install none of the packages if it is given one that it does not know.
    """
    (tmp_path / "tools").mkdir()
    machine = tmp_path / "tools" / "machine"
    machine.write_text((ROOT / "tools/machine").read_text())
    (tmp_path / "tools" / "programs.toml").write_text(
        "[prerequisites]\n[base]\n[demo]\n"
        '[test]\nno-such-browser = ["no-browser", "no-other"]\nno-such-shell = "a-shell"\n'
        "[settings]\nengine = []\nengines = {test = []}\n"
    )
    for name, text in {
        "apt-cache": '[ "$2" = a-shell ] && echo "Package: a-shell"',
        "apt-get": f'echo "apt-get $*" >>{tmp_path}/log',
        "dpkg-query": ":",
        "sudo": 'shift; exec "$@"',
    }.items():
        program = tmp_path / "bin" / name
        program.parent.mkdir(exist_ok=True)
        program.write_text(f"#!/bin/sh\n{text}\n")
        program.chmod(0o755)
    # It is asked whether an engine answers.
    (tmp_path / ".venv" / "bin").mkdir(parents=True)
    (tmp_path / ".venv" / "bin" / "python").symlink_to("/bin/true")

    done = subprocess.run(
        [sys.executable, machine, "install", "test"],
        env={**os.environ, "PATH": f"{tmp_path / 'bin'}:/usr/bin:/bin"},
        capture_output=True,
        text=True,
        check=False,
    )

    assert 0 == done.returncode, done.stderr
    assert "no package no-browser here: tests that need no-such-browser are skipped" in done.stdout
    (installed,) = [
        line for line in (tmp_path / "log").read_text().splitlines() if " install " in line
    ]
    assert installed.endswith(" a-shell")
    assert "no-browser" not in installed

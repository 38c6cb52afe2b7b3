"""Tests of the script `select_runtimes.sh`, with `/opt/codex` in a directory of the test."""

from __future__ import annotations

import shutil
import subprocess

import pytest

from pytest_codex_workspace.host.resources import resource_dir

pytestmark = pytest.mark.needs_bash

# Ends at the first version that is not there, as Codex's script does under `set -e`.
LIKE_CODEX = """\
#!/bin/bash
set -euo pipefail
for name in PYTHON NODE GO; do
    variable=CODEX_ENV_${name}_VERSION
    [ -n "${!variable-}" ] || continue
    case $name${!variable} in
        PYTHON3.12|NODE20|GO1.25) echo "# $name: ${!variable}"; echo "$name" >>selected ;;
        *) echo "$name ${!variable} is not installed" >&2; exit 3 ;;
    esac
done
"""


@pytest.fixture
def select(tmp_path):
    (tmp_path / "codex").mkdir()
    text = (resource_dir("dockerfiles") / "common/select_runtimes.sh").read_text("utf-8")
    text = text.replace("/opt/codex", str(tmp_path / "codex"))

    def select(script=LIKE_CODEX, defaulted="", **versions):
        if script:
            own = tmp_path / "codex/setup_universal.sh"
            own.write_text(script)
            own.chmod(0o755)
        variables = {f"CODEX_ENV_{name}_VERSION": value for name, value in versions.items()}
        return subprocess.run(
            [shutil.which("bash"), "-c", text],
            env={"PATH": "/usr/bin:/bin", "CODEX_ENV_DEFAULTED": defaulted, **variables},
            cwd=tmp_path,
            capture_output=True,
            text=True,
            check=False,
        )

    return select


def test_an_image_without_a_selection(select):
    """
    Nothing is selected, and nothing is said.
    """
    done = select(script="", PYTHON="3.12")

    assert (0, "", "") == (done.returncode, done.stdout, done.stderr)


def test_what_the_image_has_is_selected(select):
    """
    What its script prints is printed.
    """
    done = select(PYTHON="3.12", NODE="20")

    assert (0, "# PYTHON: 3.12\n# NODE: 20\n") == (done.returncode, done.stdout)


def test_a_chosen_version_that_is_missing_is_an_error(select):
    """
    The exit code is the script's, and so is the text, which is that of the chosen version.
    """
    done = select(defaulted="PYTHON GO", PYTHON="2", NODE="99", GO="1.25")

    assert (3, "", "NODE 99 is not installed\n") == (done.returncode, done.stdout, done.stderr)


def test_a_default_that_is_missing_is_a_line(select, tmp_path):
    """
    The others are selected, also those after it.
    """
    done = select(defaulted="PYTHON GO", PYTHON="2", NODE="20", GO="1.25")

    assert (0, "") == (done.returncode, done.stderr)
    (line,) = done.stdout.splitlines()
    assert line.startswith("CODEX_ENV_PYTHON_VERSION=2, Codex's default, is not in this image")
    assert {"NODE", "GO"} == set((tmp_path / "selected").read_text().split())


def test_slim_tells_by_itself(select, tmp_path):
    """
    Its script knows which versions are defaults, so what it refuses was chosen.
    """
    (tmp_path / "codex").joinpath("runtimes.txt").touch()

    assert 3 == select(defaulted="PYTHON", PYTHON="2").returncode
    assert not (tmp_path / "selected").exists()

"""Tests of noting where a script ended."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from pytest_codex_workspace.secrets.redaction import Redaction
from pytest_codex_workspace.setup.failed_command import FailedCommand, LastFailure

pytestmark = pytest.mark.needs_bash


class LocalFiles:
    """
    The files of this machine.
    """

    def read_file(self, path: str, *, limit: int) -> bytes:
        """
        Return the content of a file.
        """
        data = Path(path).read_bytes()
        assert len(data) <= limit
        return data

    def write_file(self, path: str, data: bytes) -> None:
        """
        Write a file.
        """
        Path(path).write_bytes(data)

    def unlink(self, path: str) -> None:
        """
        Remove a file.
        """
        Path(path).unlink()


def run(
    tmp_path: Path, script: str, code: int | None = None
) -> tuple[subprocess.CompletedProcess[str], str]:
    """
    Run *script*, and return the finished process and where it ended.
    """
    (tmp_path / "script.sh").write_text(script)
    (tmp_path / "sourced.sh").write_text("true\nls /nowhere\n")
    inside = tmp_path / "inside"
    inside.mkdir()
    last = LastFailure(LocalFiles(), str(inside))
    last.prepare()
    done = subprocess.run(
        ["bash", "script.sh"],
        check=False,
        cwd=tmp_path,
        env={"PATH": "/usr/bin:/bin", "BASH_ENV": last.bash_env, "LC_ALL": "C"},
        capture_output=True,
        text=True,
    )
    where = last.take(done.returncode if code is None else code, str(tmp_path))
    assert list(inside.iterdir()) == []
    return done, where


@pytest.mark.parametrize(
    ("script", "text"),
    [
        ("set -e\ntrue\nfalse\n", "line 3: false"),
        ("set -e\nv=$(cat </dev/null; false)\n", "line 2: v=$(cat </dev/null; false)"),
        ("set -e\nf() {\n  true\n  false\n}\nf\n", "line 4: false"),
        ("set -e -o pipefail\nfalse | cat\n", "line 2: false | cat"),
        ("set -e\n(\n  cd /nowhere\n)\n", "line 4"),
        ("set -e\nbash -c 'trap -p; false'\n", "line 2: bash -c 'trap -p; false'"),
        ("set -e\n. ./sourced.sh\n", "line 2: ls /nowhere"),
        ("true\nfalse", "line 2: false"),
    ],
)
def test_the_command_that_failed_is_known(tmp_path: Path, script: str, text: str) -> None:
    """
    Line and command are those of the script, also in a function, subshell or sourced file.
    """
    done, where = run(tmp_path, script)
    assert where == text
    assert done.stdout == ""


@pytest.mark.parametrize("script", ["cd /nowhere\nexit 3\n", "true\n", "trap - ERR\nfalse\n"])
def test_an_end_that_is_not_noted_is_not_guessed(tmp_path: Path, script: str) -> None:
    """
    A command that failed earlier, with another exit code, is not why the script ended.
    """
    assert run(tmp_path, script)[1] == ""


def test_special_variables_are_kept(tmp_path: Path) -> None:
    """
    The variables that bash sets after a command are those of that command.
    """
    script = """\
ls one two /nowhere 2>/dev/null; echo "$? $_"
false | (exit 3) | true; echo "${PIPESTATUS[*]}"
echo "${BASH_ENV-unset} $(bash -c 'trap -p')"
trap 'echo mine' ERR
false
"""
    done, _ = run(tmp_path, script)
    plain = subprocess.run(
        ["bash", "-c", script], check=False, cwd=tmp_path, capture_output=True, text=True
    )
    assert (
        done.stdout == plain.stdout == "2 /nowhere\n0 3 0\nunset \nmine\n".replace("0 3 0", "1 3 0")
    )


@pytest.mark.parametrize("note", [b"", b"1\0002\0", b"x\0001\0f\0", b"\xff\0\0\0", b"1\0" * 9])
def test_nonsense_is_no_command(note: bytes) -> None:
    """
    A script can write anything into the file.
    """
    assert FailedCommand.parse(note) is None


def test_long_commands_are_cut() -> None:
    """
    One line of at most 200 characters is kept, and a line that is not there is left out.
    """
    found = FailedCommand(1, 2, "f")
    assert found.describe("\n" + "a" * 999 + "\nb") == f"line 2: {'a' * 200} ..."
    assert found.describe("a") == "line 2"


def test_a_cut_splits_no_secret() -> None:
    """
    A secret that begins before the cut and ends behind it is replaced, too.
    """
    line = f"{'a' * 196} hunter2222 && login"
    found = FailedCommand(1, 1, "f").describe(line, Redaction(["hunter2222"]).text)
    assert found == f"line 1: {'a' * 196} *** ..."


def test_a_note_of_an_earlier_script_is_not_read(tmp_path: Path) -> None:
    """
    A process that an earlier script left behind may have written one after its end.
    """
    (tmp_path / "failed-command").write_text("1\0001\000script.sh\000")
    last = LastFailure(LocalFiles(), str(tmp_path))
    last.prepare()
    assert last.take(1, str(tmp_path)) == ""

"""The file of a debug log: private, bounded, and of nobody else."""

from __future__ import annotations

import logging
import os
import stat

import pytest

from pytest_codex_workspace.debugging.debug_file import FIRST_LINE, DebugFile, is_debug_log
from pytest_codex_workspace.errors import ConfigError


def record(text, *args):
    return logging.LogRecord("pytest_codex_workspace.x.y", logging.DEBUG, "", 0, text, args, None)


@pytest.fixture
def opened(tmp_path):
    """
    Return a function that opens a debug file, which is closed at the end.
    """
    files = []

    def make(path=tmp_path / "debug.log", **options):
        files.append(DebugFile(path, **options))
        return files[-1]

    yield make
    for one in files:
        one.close()


def test_each_record_is_a_line(opened):
    """
    It is in the file at once: a process may be killed.
    """
    file = opened()
    file.add_to_first_page("Python: 3\nx")
    file.handle(record("asked %s", "it"))

    first, second, third = file.path.read_text().splitlines()
    assert (FIRST_LINE, r"Python: 3\nx") == (first, second)
    assert third.endswith("Z MainThread DEBUG x.y: asked it")


def test_only_its_owner_can_read_it(opened, tmp_path):
    """
    Also if a file was there that others could read.
    """
    path = tmp_path / "debug.log"
    path.write_text(f"{FIRST_LINE}\nold\n")
    path.chmod(0o644)

    assert path == opened().path

    assert 0o600 == stat.S_IMODE(path.stat().st_mode)
    assert f"{FIRST_LINE}\n" == path.read_text()


def test_it_is_bounded(opened):
    """
    The first page and the newest lines stay, and a line says what is left out.
    """
    file = opened(limit=4096)
    file.add_to_first_page("version 1")
    for number in range(1000):
        file.handle(record("line %d", number))

    lines = file.path.read_text().splitlines()
    assert file.path.stat().st_size <= 4096
    assert [FIRST_LINE, "version 1"] == lines[:2]
    assert lines[2].startswith("... the log was full: ")
    assert lines[2].endswith(" left out here ...")
    numbers = [int(line.rpartition(" ")[2]) for line in lines[3:]]
    assert list(range(numbers[0], 1000)) == numbers
    assert len(numbers) > 10


def test_no_other_file_is_overwritten(opened, tmp_path):
    """
    `--codex-debug test_it.py` lacks its value, and must not cost a test.
    """
    path = tmp_path / "test_it.py"
    path.write_text("def test_it(): pass\n")

    with pytest.raises(ConfigError, match=r"test_it\.py cannot be written: .* is not a debug log"):
        opened(path)

    assert "def test_it(): pass\n" == path.read_text()
    assert not is_debug_log(path)


@pytest.mark.parametrize("name", ["missing/debug.log", ".", "fifo"])
def test_a_file_that_cannot_be_written_is_an_error(opened, tmp_path, name):
    """
    It names the file, and nothing waits for somebody who reads a pipe.
    """
    os.mkfifo(tmp_path / "fifo")

    with pytest.raises(ConfigError, match=r"the debug log .* cannot be written: .*\. [GR]"):
        opened(tmp_path / name)


def test_nothing_is_written_through_a_link(opened, tmp_path):
    """
    A repository, or whoever shares the directory, would say which file is made.
    """
    target = tmp_path / ".profile"
    (tmp_path / "debug.log").symlink_to(target)

    with pytest.raises(ConfigError, match=r"debug\.log cannot be written: it is a symbolic link"):
        opened()

    assert not target.exists()


def test_a_file_of_another_user_is_not_written(opened, tmp_path, monkeypatch):
    """
    Who made it may still have it open, and would read what root writes.
    """
    path = tmp_path / "debug.log"
    path.touch()
    other = os.geteuid() + 1
    monkeypatch.setattr(os, "geteuid", lambda: other)

    with pytest.raises(ConfigError, match="the file belongs to another user"):
        opened()

    assert "" == path.read_text()


def test_a_second_process_writes_beside_it(opened, tmp_path):
    """
    Two writers would overwrite each other's lines.
    """
    first, second = opened(), opened()
    second.handle(record("second"))

    assert tmp_path / f"debug.log.{os.getpid()}" == second.path
    assert "second" not in first.path.read_text()
    assert is_debug_log(second.path)


def test_a_full_disk_costs_the_line_only(opened, monkeypatch):
    """
    The run that is logged goes on.
    """

    def fail(*_):
        raise OSError

    file = opened()
    monkeypatch.setattr("pytest_codex_workspace.debugging.debug_file._os", (fail, fail, fail))

    file.add_to_first_page("lost")
    file.handle(record("lost"))

    assert f"{FIRST_LINE}\n" == file.path.read_text()


def test_functions_of_os_may_be_replaced(opened, monkeypatch):
    """
    As pyfakefs does in every module.
    """
    file = opened()
    monkeypatch.setattr(os, "write", pytest.fail)

    file.handle(record("written"))

    assert "written" in file.path.read_text()

"""How the tests of `make unit` are shared among processes."""

from __future__ import annotations

import os
from pathlib import Path
from types import SimpleNamespace

import pytest
import unit

GIB = 1 << 30


@pytest.mark.parametrize(
    ("number", "expected"),
    [(1, ["w", "abcde"]), (2, ["w", "ace", "bd"]), (9, ["w", *"abcde"])],
)
def test_files_are_dealt_out_by_turns(monkeypatch, number, expected):
    """
    Those that wait are by themselves, and no part is empty.
    """
    monkeypatch.setattr(unit, "WAITING", ("w", "gone"))

    assert expected == ["".join(part) for part in unit.parts("abwcde", number)]


def test_what_waits_is_there():
    """
    A file that has moved would be among those that work, unseen.
    """
    assert [] == [one for one in unit.WAITING if not Path(unit.ROOT, one).is_file()]


@pytest.mark.parametrize(
    ("free", "flags", "expected"),
    [(4 * GIB, 0, "/dev/shm"), (GIB, 0, None), (4 * GIB, os.ST_NOEXEC, None)],
)
def test_memory_has_room_and_runs_programs(monkeypatch, free, flags, expected):
    """
    A container has 64 MB there, and some machines run nothing from there.
    """
    found = SimpleNamespace(f_bavail=free // 4096, f_frsize=4096, f_flag=flags)
    monkeypatch.setattr(os, "statvfs", lambda _: found)
    monkeypatch.setattr(os, "access", lambda *_: True)

    assert expected == unit.memory()


def test_there_may_be_no_memory(monkeypatch):
    """
    macOS has no such directory.
    """

    def missing(path):
        raise FileNotFoundError(path)

    monkeypatch.setattr(os, "statvfs", missing)

    assert unit.memory() is None

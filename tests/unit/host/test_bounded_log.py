"""Tests of logs that keep their beginning and their end."""

from __future__ import annotations

import os
import time

import pytest

from pytest_codex_workspace.host.bounded_log import BoundedLog, prune_logs


def log(path, *pieces, head=10, tail=4):
    said = []
    with BoundedLog(path, said.append, head=head, tail=tail) as made:
        for piece in pieces:
            made.write(piece)
    return said


@pytest.mark.parametrize(
    ("pieces", "content"),
    [
        ([b"short"], b"short"),
        ([b"0123456789", b"abcd"], b"0123456789abcd"),
        ([b"0123456789ab", b"cdef"], b"0123456789\n... 2 B left out here ...\ncdef"),
        ([bytes(1000), b"end!"], bytes(10) + b"\n... 990 B left out here ...\nend!"),
        ([b"x"] * 1000, b"x" * 10 + b"\n... 986 B left out here ...\nxxxx"),
    ],
)
def test_the_middle_is_left_out(tmp_path, pieces, content):
    """
    A line says how much. Little output is kept whole.
    """
    path = tmp_path / "logs" / "a.log"

    assert [] == log(path, *pieces)

    assert content == path.read_bytes()


def test_endless_output_takes_bounded_space(tmp_path):
    """
    On the disk as well as in memory.
    """
    path = tmp_path / "a.log"
    with BoundedLog(path, print, head=1000, tail=1000) as made:
        for _ in range(1000):
            made.write(bytes(1000))
            assert len(made._tail) <= 2000

    assert path.stat().st_size < 2100


def test_a_log_that_cannot_be_written_is_reported_once(tmp_path):
    """
    What it is about goes on.
    """
    (tmp_path / "file").write_text("")

    (said,) = log(tmp_path / "file" / "a.log", b"one", b"two")

    assert "logging stops here" in said


def test_old_logs_and_too_many_are_removed(tmp_path):
    """
    The oldest first; other files stay.
    """
    for age, name in enumerate(["new.log", "older.log", "oldest.log", "ancient.log", "other"]):
        path = tmp_path / name
        path.write_bytes(bytes(100))
        when = time.time() - age * 60 - (30 * 24 * 3600 if name == "ancient.log" else 0)
        os.utime(path, (when, when))

    prune_logs(tmp_path, total=250)

    assert {"new.log", "older.log", "other"} == {path.name for path in tmp_path.iterdir()}

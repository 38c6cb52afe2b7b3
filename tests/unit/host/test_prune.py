"""Tests of removing what is no longer used in the cache directory."""

from __future__ import annotations

import os

from filelock import FileLock

from pytest_codex_workspace.host.prune import prune_cache_dir

DAY = 24 * 3600
NOW = 1_800_000_000


def put(path, age):
    path.parent.mkdir(exist_ok=True)
    path.write_text("")
    os.utime(path, (NOW - age * DAY, NOW - age * DAY))
    return path


def test_unused_locks_are_removed(tmp_path, monkeypatch):
    """
    Not one that is held, nor one that was taken lately. The clock of this process does not count.
    """
    monkeypatch.setattr("time.time", lambda: NOW + 10_000 * DAY)
    locks = tmp_path / "locks"
    old, holder = put(locks / "old.lock", 9), put(locks / "old.holder", 8)
    held = put(locks / "held.lock", 9)
    taken, by = put(locks / "taken.lock", 9), put(locks / "taken.holder", 1)
    new = put(locks / "new.lock", 0)

    lock = FileLock(held)
    with lock:
        os.utime(held, (NOW - 9 * DAY, NOW - 9 * DAY))
        assert [old] == prune_cache_dir(tmp_path)

    assert not holder.exists()
    assert all(path.exists() for path in (held, taken, by, new))


def test_what_was_remembered_of_images_is_forgotten(tmp_path):
    """
    After three months.
    """
    old, new = put(tmp_path / "registries" / "a.json", 100), put(tmp_path / "registries/b.json", 0)

    assert [old] == prune_cache_dir(tmp_path)

    assert new.exists()


def test_what_a_run_has_told_is_forgotten(tmp_path):
    """
    After a day, when no worker of that run is left.
    """
    old, new = put(tmp_path / "told" / "a", 2), put(tmp_path / "told" / "b", 0)

    assert [old] == prune_cache_dir(tmp_path)

    assert new.exists()


def test_an_empty_cache_directory_is_no_error(tmp_path):
    """
    Nothing is created.
    """
    assert [] == prune_cache_dir(tmp_path / "none")
    assert [] == list(tmp_path.iterdir())

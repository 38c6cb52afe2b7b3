"""Giving freed memory back to the system."""

from __future__ import annotations

import ctypes
from pathlib import Path

import pytest

from proxy_addons.state.memory import return_free_memory

STATM = Path("/proc/self/statm")


@pytest.mark.skipif(
    not STATM.exists() or not hasattr(ctypes.CDLL(None), "malloc_trim"),
    reason="the C library keeps freed memory, or there is no /proc",
)
def test_freed_memory_goes_back_to_the_system() -> None:
    """
    Small pieces below one that is still used stay with the process otherwise.
    """
    pieces = [b"x" * (20_000 + number) for number in range(2000)]
    kept = pieces.pop()
    del pieces
    before = _resident_pages()
    return_free_memory()

    assert before - _resident_pages() > 5000
    assert len(kept) == 21_999


def _resident_pages() -> int:
    return int(STATM.read_text("ascii").split()[1])

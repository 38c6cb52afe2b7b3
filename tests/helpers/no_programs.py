"""Leaving out the tests that start programs, so that the others take seconds."""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

_STARTS = {"subprocess.Popen", "os.exec", "os.fork", "os.forkpty", "os.posix_spawn", "os.system"}


class NoPrograms:
    """
    Skips a test when it starts a program. What the test has done until then costs little, and no
    list of such tests has to be kept.

    Only the main thread is watched, because an exception in another one ends nothing.
    """

    def __init__(self) -> None:
        self._watching = False
        # It stays until the process ends.
        sys.addaudithook(self._take)

    @contextmanager
    def watch(self) -> Iterator[None]:
        """
        Watch while the block runs.
        """
        self._watching = True
        try:
            yield
        finally:
            self._watching = False

    def _take(self, event: str, _: tuple[Any, ...]) -> None:
        if (
            self._watching
            and event in _STARTS
            and threading.current_thread() is threading.main_thread()
        ):
            pytest.skip("starts a program")

"""Leaving out the tests that start programs, so that the others take seconds."""

from __future__ import annotations

import sys
import threading
from collections.abc import Generator
from typing import Any

import pytest

_STARTS = {"subprocess.Popen", "os.exec", "os.fork", "os.forkpty", "os.posix_spawn", "os.system"}
_REASON = "starts a program"


class NoPrograms:
    """
    A plugin of pytest that skips a test when it starts a program. What the test has done until
    then costs little, and no list of such tests has to be kept.

    A test that catches this skip ends as skipped, too, whatever it makes of the refusal. Only the
    main thread is watched, because an exception in another one ends nothing.
    """

    def __init__(self) -> None:
        self._watching = False
        self._refused = False
        # It stays until the process ends.
        sys.addaudithook(self._take)

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_protocol(self) -> Generator[None, object, object]:
        """
        Watch while a test runs, with its fixtures.
        """
        self._watching, self._refused = True, False
        try:
            return (yield)
        finally:
            self._watching = False

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_setup(self) -> Generator[None, None, None]:
        """
        Skip a test whose fixtures fail because they may not start a program.
        """
        yield from self._skip_if_refused()

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_call(self) -> Generator[None, None, None]:
        """
        Skip a test that may not start a program, and caught that.
        """
        yield from self._skip_if_refused()

    def _skip_if_refused(self) -> Generator[None, None, None]:
        try:
            yield
        except (Exception, pytest.fail.Exception):
            if not self._refused:
                raise
        if self._refused:
            pytest.skip(_REASON)

    def _take(self, event: str, _: tuple[Any, ...]) -> None:
        if (
            self._watching
            and event in _STARTS
            and threading.current_thread() is threading.main_thread()
        ):
            self._refused = True
            pytest.skip(_REASON)

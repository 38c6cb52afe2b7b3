"""What is running when pytest-timeout is about to end the whole process."""

from __future__ import annotations

import sys
import threading

import pytest

from .run import SESSION

__all__ = ["cancel_warning", "warn_before"]

_TIMER = pytest.StashKey[threading.Timer]()


def warn_before(item: pytest.Item, seconds: float) -> None:
    """
    Show what is running shortly before *seconds* have passed.
    """
    timer = threading.Timer(seconds * 0.95, _show_running, (item.config,))
    timer.daemon = True
    item.stash[_TIMER] = timer
    timer.start()


def cancel_warning(item: pytest.Item) -> None:
    """
    Stop waiting for the end of the time.
    """
    timer = item.stash.get(_TIMER, None)
    if timer is not None:
        timer.cancel()


def _show_running(config: pytest.Config) -> None:
    session = config.stash.get(SESSION, None)
    for text in session.running() if session is not None else ():
        print(text, file=sys.stderr)  # noqa: T201 -- captured, and shown with the test

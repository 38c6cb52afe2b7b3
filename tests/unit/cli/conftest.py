"""What the command changes in its process, for all of its tests."""

from __future__ import annotations

import signal

import pytest


@pytest.fixture(autouse=True)
def _signals():
    """
    Restore the handler of SIGTERM, which the command replaces.
    """
    before = signal.getsignal(signal.SIGTERM)
    yield
    signal.signal(signal.SIGTERM, before)

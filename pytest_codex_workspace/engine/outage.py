"""Wait for an engine that is being updated or restarted."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from ..errors import EngineUnavailable
from ..unpatched import clock

__all__ = ["RESTART", "Outage"]

T = TypeVar("T")

RESTART = 60.0
"""Seconds to wait for an engine. Docker gives containers 15 seconds to end when it is stopped."""

_PAUSE = 0.2
"""Seconds between two attempts."""


class Outage:
    """
    Repeats calls that fail because the engine does not answer.

    The waiting time is spent once for each outage: until the engine has answered again, later
    calls fail at once.

    Args:
        patience: seconds to wait for the engine.
    """

    def __init__(self, patience: float = RESTART) -> None:
        self._patience = patience
        self._given_up = False

    def retry(self, make: Callable[[], T]) -> T:
        """
        Return what *make* returns, as soon as the engine answers.

        Args:
            make: called again after each `EngineUnavailable`. Part of its work may be done
                already, because an engine that is stopping still answers some requests.

        Raises:
            EngineUnavailable: the engine still does not answer.
        """
        deadline = None
        while True:
            try:
                made = make()
            except EngineUnavailable:
                now = clock.monotonic()
                deadline = now + self._patience if deadline is None else deadline
                if self._given_up or now >= deadline:
                    self._given_up = True
                    raise
                clock.sleep(_PAUSE)
            else:
                self._given_up = False
                return made

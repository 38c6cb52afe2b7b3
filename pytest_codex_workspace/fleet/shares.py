"""Which repository is next on which engine."""

from __future__ import annotations

import threading
from collections.abc import Sequence

from .engine_slots import EngineSlots

__all__ = ["Shares"]

_ATTEMPTS = 2
"""How often a repository is tried on engines that answer again after they were lost."""


class Shares:
    """
    The repositories that are left. Many threads may ask it.

    Each engine takes its own share first, by the repository's number, so that the next run finds
    the setups where this one has made them; and then what the others have not begun.

    Args:
        count: the number of repositories.
        places: the engines.
    """

    def __init__(self, count: int, places: Sequence[EngineSlots]) -> None:
        self._places = places
        self._waiting = list(range(count))
        self._running = 0
        self._attempts = [0] * count
        self._stopped = False
        self._changed = threading.Condition()

    def take(self, place: EngineSlots) -> int | None:
        """
        Return the number of the next repository for an engine. While others may still give one
        back, wait; return `None` if there is nothing left to do here.

        An engine that is lost gets none, unless all are: what can be found out without an engine
        is found out then.
        """
        with self._changed:
            while not self._stopped and self._usable(place):
                if self._waiting:
                    number = self._next(place)
                    self._waiting.remove(number)
                    self._attempts[number] += 1
                    self._running += 1
                    return number
                if not self._running:
                    return None
                self._changed.wait()
            return None

    def _usable(self, place: EngineSlots) -> bool:
        return not place.lost or all(one.lost for one in self._places)

    def _next(self, place: EngineSlots) -> int:
        share = self._places.index(place)
        own = (one for one in self._waiting if one % len(self._places) == share)
        return next(own, self._waiting[0])

    def end(self, number: int, place: EngineSlots, *, failed: bool, engine_lost: bool) -> bool:
        """
        Take the end of an attempt.

        Args:
            number: the repository.
            place: the engine.
            failed: whether the engine or the workspace has failed, and not the repository.
            engine_lost: whether the engine does not answer any more.

        Returns:
            Whether this was its last attempt; otherwise it is given to an engine again.
        """
        with self._changed:
            place.lost = place.lost or engine_lost
            most = len(self._places) + 1 if place.lost else _ATTEMPTS
            again = (
                failed
                and not self._stopped
                and not all(one.lost for one in self._places)
                and self._attempts[number] < most
            )
            self._running -= 1
            if again:
                self._waiting.insert(0, number)
            else:
                place.done += 1
            self._changed.notify_all()
            return not again

    def stop(self) -> None:
        """
        Give out nothing more.
        """
        with self._changed:
            self._stopped = True
            self._changed.notify_all()

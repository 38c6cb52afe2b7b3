"""Check many repositories at once: some processes for each engine."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ..unpatched import clock
from .engine_slots import EngineSlots, answers
from .shares import Shares
from .worker import Ended, Worker

__all__ = ["Checked", "Pool"]

_LOST = ("EngineUnavailable", "WorkspaceLost")
"""The errors that an engine may be to blame for."""

_OWN_INTERRUPT = 5.0
"""Seconds in which a signal that has ended one process may reach this one."""

_GRACE = 75.0
"""Seconds to wait for processes that were asked to end."""


@dataclass(frozen=True, slots=True)
class Checked:
    """
    The result of one repository.

    Attributes:
        number: which one it is.
        place: the engine that it comes from.
        ended: what its process has left.
        duration: seconds that it took there.
    """

    number: int
    place: EngineSlots
    ended: Ended
    duration: float


class Pool:
    """
    Runs a process for each repository, as many at a time as the engines have room for.

    Args:
        count: the number of repositories.
        places: the engines.
        start: starts the process for a repository on an engine.
        tell: called with a repository and an event of its progress, one call at a time.
        note: shows one line, one call at a time.
        name: returns what a repository is called in such a line.
        alive: asks whether an engine answers.
    """

    def __init__(
        self,
        count: int,
        places: Sequence[EngineSlots],
        *,
        start: Callable[[int, EngineSlots], Worker],
        tell: Callable[[int, Mapping[str, Any]], None],
        note: Callable[[str], None],
        name: Callable[[int], str] = str,
        alive: Callable[[str], bool] = answers,
    ) -> None:
        self._count = count
        self._places = places
        self._start = start
        self._tell = tell
        self._note = note
        self._name = name
        self._alive = alive
        self._shares = Shares(count, places)
        self._workers: set[Worker] = set()
        self._stopping = False
        self._failure: BaseException | None = None
        self._guard = threading.Condition()

    def run(self, take: Callable[[Checked], None]) -> None:
        """
        Check all repositories. An interrupt ends their processes, and is raised when they have
        cleaned up.

        Args:
            take: called with each result, one call at a time.
        """
        threads = [
            threading.Thread(target=self._work, args=(place, take), daemon=True)
            for place in self._places
            for _ in range(min(place.slots, self._count))
        ]
        try:
            for thread in threads:
                thread.start()
            self._join(threads, None)
        finally:
            self._end()
            self._join(threads, _GRACE)
        if self._failure is not None:
            raise self._failure

    def _join(self, threads: Sequence[threading.Thread], seconds: float | None) -> None:
        deadline = None if seconds is None else clock.monotonic() + seconds
        while any(one.is_alive() for one in threads):
            if deadline is not None and clock.monotonic() > deadline:
                return
            for one in threads:
                one.join(0.1)  # Signals arrive between two of these.

    def _end(self) -> None:
        self._shares.stop()
        with self._guard:
            self._stopping = True
            self._guard.notify_all()
            workers = list(self._workers)
        for worker in workers:
            worker.end()

    def _work(self, place: EngineSlots, take: Callable[[Checked], None]) -> None:
        try:
            while (number := self._shares.take(place)) is not None:
                self._attempt(number, place, take)
        except BaseException as error:
            # Standard output is closed, for example. The main thread tells it.
            with self._guard:
                self._failure = self._failure or error
            self._end()

    def _attempt(self, number: int, place: EngineSlots, take: Callable[[Checked], None]) -> None:
        began = clock.monotonic()
        with self._guard:
            if self._stopping:
                return
            worker = self._start(number, place)
            self._workers.add(worker)
        try:
            ended = worker.run(lambda event: self._told(number, event))
        finally:
            with self._guard:
                self._workers.discard(worker)
        with self._guard:
            if ended.interrupted:
                # Ctrl-C on a terminal is for all processes, and may reach ours last.
                self._guard.wait_for(lambda: self._stopping, _OWN_INTERRUPT)
            if self._stopping:
                return  # What was ended in the middle is no result.
        about = ended.repository or {}
        failed = bool(ended.failure or about.get("failure"))
        lost = failed and bool(place.engine) and not self._alive(place.engine)
        of_engine = lost or about.get("error") in _LOST
        with self._guard:
            news = lost and not place.lost
            final = self._shares.end(number, place, failed=of_engine, engine_lost=lost)
            if news:
                self._note(_loss(place, self._places))
            if not final:
                self._note(f"{self._name(number)} is checked again, because its engine was lost")
                return
            take(Checked(number, place, ended, clock.monotonic() - began))

    def _told(self, number: int, event: Mapping[str, Any]) -> None:
        with self._guard:
            if not self._stopping:
                self._tell(number, event)


def _loss(lost: EngineSlots, places: Sequence[EngineSlots]) -> str:
    left = [one.engine for one in places if not one.lost]
    text = f"warning: the engine {lost.engine} does not answer any more"
    if left:
        return f"{text}; {', '.join(left)} {'take' if len(left) > 1 else 'takes'} its repositories"
    return f"{text}, and it was the last one"

"""States that are prepared once, for every test of a run that asks for them."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ..errors import EngineUnavailable

if TYPE_CHECKING:
    from collections.abc import Callable

    from .snapshot import Snapshot

__all__ = ["PreparedStates", "StateName"]


@dataclass(frozen=True, slots=True)
class StateName:
    """
    The name of a state that a fixture prepares.

    Attributes:
        name: of the fixture.
        key: what the state depends on, besides the workspace in which it is prepared. Runs with the
            same key share it; `None` if each run prepares its own.
    """

    name: str
    key: str | None = None

    def __str__(self) -> str:
        """
        Return the marker that asks for it.
        """
        key = "" if self.key is None else f", key={self.key!r}"
        return f"codex_snapshot({self.name!r}{key})"


class PreparedStates:
    """
    The prepared states of one session. Several threads may ask.
    """

    def __init__(self) -> None:
        self._lock = threading.RLock()
        self._known: list[tuple[object, Snapshot | Exception]] = []

    def get(self, wanted: object, prepare: Callable[[], Snapshot]) -> Snapshot:
        """
        Return the state of *wanted*, prepared by the first call. If that fails, so does every other
        call, with the same error: what takes minutes to fail is not tried again for each test. An
        engine may come back.

        Args:
            wanted: what the state is made of; equal ones share it.
            prepare: makes it.
        """
        with self._lock:
            for known, outcome in self._known:
                if known == wanted:
                    if isinstance(outcome, Exception):
                        raise outcome.with_traceback(None)
                    return outcome
            try:
                made = prepare()
            except EngineUnavailable:
                raise
            except Exception as error:
                self._known.append((wanted, error))
                raise
            self._known.append((wanted, made))
            return made

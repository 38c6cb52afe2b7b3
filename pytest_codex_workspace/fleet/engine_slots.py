"""The engines that take part: which of them answer, and how much each takes at a time."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from ..engine.docker.find import find_engine
from ..engine.protocol import Engine
from ..errors import EngineUnavailable

__all__ = ["MOST", "Connect", "EngineSlots", "answers", "find_slots"]

MOST = 8
"""The most repositories at a time for one engine, unless the user wants more."""

Connect = Callable[[str], Engine]


@dataclass(eq=False)
class EngineSlots:
    """
    An engine that takes repositories.

    Attributes:
        engine: the engine as the option names it; empty if no option does.
        slots: how many repositories at a time.
        lost: whether it has stopped to answer.
        done: how many repositories have their result from it.
    """

    engine: str
    slots: int
    lost: bool = False
    done: int = 0


def find_slots(
    engines: Sequence[str], *, cpus: float, jobs: int | None, connect: Connect = find_engine
) -> tuple[list[EngineSlots], list[str]]:
    """
    Ask every engine how much it can take.

    Args:
        engines: the engines as the option names them.
        cpus: processors that one workspace may use; 0 for all.
        jobs: repositories at a time for each engine; `None` for as many as it has processors for,
            but not more than `MOST`.
        connect: finds the engine that an option names.

    Returns:
        The engines that answer, and for each of the others its name and why it does not.
    """

    def ask(engine: str) -> EngineSlots | str:
        try:
            found = connect(engine)
            try:
                has = found.capacity.cpus
            finally:
                found.close()
        except EngineUnavailable as error:
            return f"{engine}: {error.message}"
        usual = min(MOST, int(has // cpus)) if cpus else 1
        return EngineSlots(engine, jobs or max(1, usual))

    with ThreadPoolExecutor(max_workers=len(engines)) as pool:
        asked = list(pool.map(ask, engines))
    return (
        [one for one in asked if isinstance(one, EngineSlots)],
        [one for one in asked if isinstance(one, str)],
    )


def answers(engine: str, connect: Connect = find_engine) -> bool:
    """
    Check whether an engine answers now.
    """
    try:
        connect(engine).close()
    except EngineUnavailable:
        return False
    return True

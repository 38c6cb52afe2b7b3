"""Running all checks at the same time, within a time limit."""

from __future__ import annotations

import threading
from collections.abc import Callable, Generator, Sequence
from concurrent.futures import Future, wait
from dataclasses import dataclass
from typing import TypeVar

from ..errors import CodexWorkspaceError
from ..unpatched import clock
from .result import NamedResult, Result, error, from_error, warning

__all__ = ["LIMIT", "DoctorCheck", "in_thread", "needs", "run_checks"]

T = TypeVar("T")

_TO_REMOVE = 5.0
"""Seconds that a check may take to remove what it has created. The next run removes the rest."""

LIMIT = 9.0
"""Time limit for all checks together, in seconds."""


@dataclass(frozen=True, slots=True)
class DoctorCheck:
    """
    A check with its name and group. `run` returns `None` if the check does not apply. One that
    `creates` something on the engine removes it again, and is waited for even after Ctrl-C.
    """

    group: str
    name: str
    run: Callable[[], Result | None]
    creates: bool = False


def in_thread(make: Callable[[], T]) -> Future[T]:
    """
    Call *make* in a thread that nothing waits for, not even the end of Python.
    """
    future: Future[T] = Future()

    def call() -> None:
        try:
            future.set_result(make())
        except BaseException as problem:
            future.set_exception(problem)

    try:
        threading.Thread(target=call, name="doctor", daemon=True).start()
    except RuntimeError as problem:
        future.set_exception(problem)
    return future


def needs(
    value: Future[T], check: Callable[[T], Result | None], timeout: float = LIMIT - 2
) -> Callable[[], Result | None]:
    """
    Return *check* as a function without argument that waits for *value*.

    If there is no value after *timeout* seconds, the function returns `None`:
    the check of the value itself reports why.
    """

    def run() -> Result | None:
        wait([value], timeout)
        if not value.done() or value.exception() is not None:
            return None
        return check(value.result())

    return run


def run_checks(
    checks: Sequence[DoctorCheck], limit: float = LIMIT
) -> Generator[NamedResult, None, None]:
    """
    Run all *checks* at the same time, and yield their findings in the given order.

    Args:
        checks: the checks to run.
        limit: seconds after which unfinished checks are stopped.

    Yields:
        A finding for each check that applies. A check that raises is an error.
    """
    deadline = clock.monotonic() + limit
    running: list[tuple[DoctorCheck, Future[Result | None]]] = []
    try:
        running += ((check, in_thread(check.run)) for check in checks)
        for check, future in running:
            wait([future], max(0.0, deadline - clock.monotonic()))
            result = _result(future, limit)
            if result is not None:
                yield NamedResult(check.group, check.name, result)
    finally:
        wait([future for check, future in running if check.creates], _TO_REMOVE)


def _result(future: Future[Result | None], limit: float) -> Result | None:
    if not future.done():
        return warning(
            f"this check took longer than {limit:g} s and was stopped",
            "Run it again when the machine and its network are less busy.",
        )
    problem = future.exception()
    if problem is None:
        return future.result()
    if isinstance(problem, CodexWorkspaceError):
        return from_error(problem)
    return error(
        f"this check failed: {type(problem).__name__}: {problem}",
        "This is a bug in codex-workspace: please report it with this text.",
    )

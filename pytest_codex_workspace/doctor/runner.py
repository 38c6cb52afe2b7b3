"""Running checks at once, each with an end."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, wait
from dataclasses import dataclass
from typing import TypeVar

from ..errors import CodexWorkspaceError
from .results import Finding, Result, advised, error, warning

__all__ = ["LIMIT", "Check", "begin", "needs", "run_checks"]

T = TypeVar("T")

LIMIT = 9.0
"""Seconds that all checks may take together."""


@dataclass(frozen=True, slots=True)
class Check:
    """
    A check by its name and group. `run` returns `None` where there is nothing to look at.
    """

    group: str
    name: str
    run: Callable[[], Result | None]


def begin(make: Callable[[], T]) -> Future[T]:
    """
    Call *make* in a thread that nobody has to wait for, not even Python's end.
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
    value: Future[T], check: Callable[[T], Result | None], patience: float = LIMIT - 2
) -> Callable[[], Result | None]:
    """
    *check* with a *value* that another thread makes. If there is none, the
    check that is about that value says why, and this one nothing.
    """

    def run() -> Result | None:
        wait([value], patience)
        if not value.done() or value.exception() is not None:
            return None
        return check(value.result())

    return run


def run_checks(checks: Sequence[Check], limit: float = LIMIT) -> Iterator[Finding]:
    """
    Run all *checks* at once, and yield what they find, in their order.

    Args:
        checks: what to run.
        limit: seconds after which those that have not ended are given up.

    Yields:
        A finding for each check that has one. One that raises is an error
        that says what was raised.
    """
    deadline = time.monotonic() + limit
    for check, future in [(check, begin(check.run)) for check in checks]:
        wait([future], max(0.0, deadline - time.monotonic()))
        result = _result(future, limit)
        if result is not None:
            yield Finding(check.group, check.name, result)


def _result(future: Future[Result | None], limit: float) -> Result | None:
    if not future.done():
        return warning(
            f"this took longer than {limit:g} s and was given up",
            "Run it again when the machine and its network have less to do.",
        )
    problem = future.exception()
    if problem is None:
        return future.result()
    if isinstance(problem, CodexWorkspaceError):
        return advised(problem)
    return error(
        f"this could not be checked: {type(problem).__name__}: {problem}",
        "That is a fault of codex-workspace: please report it, with this text.",
    )

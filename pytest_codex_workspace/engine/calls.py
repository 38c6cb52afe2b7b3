"""What is logged of calls to an engine: what was asked, the answer's status, and the duration."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import TypeVar

from ..unpatched import clock

__all__ = ["timed_call"]

_T = TypeVar("_T")


def timed_call(
    logger: logging.Logger,
    make: Callable[[], _T],
    *words: str,
    status: Callable[[_T], object] = lambda _: "done",
) -> _T:
    """
    Return what *make* returns, and log the call with its duration.

    Args:
        logger: the logger of the module that makes the call.
        make: makes the call.
        words: what is asked, such as a method, a path and a description: no bodies and parameters,
            which may contain anything.
        status: the status of an answer.
    """
    if not logger.isEnabledFor(logging.DEBUG):
        return make()
    started = clock.monotonic()
    try:
        answer = make()
    except BaseException as error:
        logger.debug(
            "%s: %s after %d ms: %s",
            " ".join(words),
            type(error).__name__,
            (clock.monotonic() - started) * 1000,
            error,
        )
        raise
    took = (clock.monotonic() - started) * 1000
    logger.debug("%s: %s in %d ms", " ".join(words), status(answer), took)
    return answer

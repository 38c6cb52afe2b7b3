"""The loggers of this package: silent until somebody listens, and safe to show then."""

from __future__ import annotations

import logging
import re
import threading
from typing import Protocol
from weakref import ref

from .credentials import mask_credentials

__all__ = ["LONGEST", "TOP", "clean", "hide", "logger_of", "one_line"]

TOP = "pytest_codex_workspace"
"""The name of the logger above all others of this package."""

LONGEST = 8 * 1024
"""Characters of a message that are kept."""

_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]")


class Hides(Protocol):
    """
    What removes secret values from text.
    """

    def text(self, text: str) -> str:
        """
        Return *text* without the values.
        """


_hidden: tuple[ref[Hides], ...] = ()
"""Replaced as a whole, so that any thread may read it."""

_hiding = threading.Lock()


def logger_of(name: str) -> logging.Logger:
    """
    Return the logger of a module.

    What it logs is one line without control characters and secrets before any handler gets it,
    those of pytest included. Nothing of that happens unless the level is enabled.

    Args:
        name: the module's `__name__`.
    """
    top = logging.getLogger(TOP)
    if not any(isinstance(one, logging.NullHandler) for one in top.handlers):
        top.addHandler(logging.NullHandler())
    found = logging.getLogger(name)
    found.addFilter(_CLEAN)
    return found


def hide(values: Hides) -> None:
    """
    Remove these secret values from what is logged, for as long as *values* exists.
    """
    global _hidden
    with _hiding:
        _hidden = (*(one for one in _hidden if one() is not None), ref(values))


def clean(text: str) -> str:
    """
    Return *text* as one line without secrets.
    """
    # What is cut off here may begin with half a secret, so the rest is cut again.
    text = text[: 2 * LONGEST]
    for one in _hidden:
        if (values := one()) is not None:
            text = values.text(text)
    text = one_line(mask_credentials(text))
    return text if len(text) <= LONGEST else f"{text[:LONGEST]}... (cut)"


def one_line(text: str) -> str:
    """
    Return *text* with control characters as escape sequences: what a workspace prints can
    neither begin a line of its own nor change a terminal.
    """
    if text.isascii() and text.isprintable():
        return text
    return _CONTROL.sub(_escaped, text)


def _escaped(found: re.Match[str]) -> str:
    return found[0].encode("unicode_escape").decode("ascii")


class _Clean(logging.Filter):
    """
    Makes each record safe to show. It is a filter of loggers, because one of a handler would leave
    the record as it is for all other handlers.
    """

    def filter(self, record: logging.LogRecord) -> bool:
        try:
            record.msg, record.args = clean(record.getMessage()), None
        except Exception as error:
            # A handler would report it; here it would end what is logged.
            where = f"{record.filename}:{record.lineno}"
            record.msg, record.args = f"not shown: {type(error).__name__} in {where}", None
        return True


_CLEAN = _Clean()

"""Engines and checks of other distributions, which they offer as entry points."""

from __future__ import annotations

import sys
import threading
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import EntryPoint, entry_points
from itertools import pairwise
from typing import Any, TextIO, cast

from .errors import PluginError
from .text.loggers import logger_of
from .text.phrases import cut_end
from .text.printable import printable

__all__ = [
    "CHECK_GROUP",
    "ENGINE_GROUP",
    "Extension",
    "describe_error",
    "extensions_of",
    "find_extension",
]

ENGINE_GROUP = "pytest_codex_workspace.engines"
CHECK_GROUP = "pytest_codex_workspace.checks"

_LONGEST = 500
"""Characters of somebody else's text."""

_LOG = logger_of(__name__)

_KINDS = {ENGINE_GROUP: "engine", CHECK_GROUP: "check"}


@dataclass(frozen=True, slots=True)
class Extension:
    """
    An engine or a check of another distribution. Nothing of it is imported before `load`.

    Attributes:
        entry: the entry point.
    """

    entry: EntryPoint

    def __str__(self) -> str:
        return f"{_KINDS[self.entry.group]} {_shown(self.name)} of {self.distribution}"

    @property
    def name(self) -> str:
        """
        Its name, as its author wrote it.
        """
        return self.entry.name

    @property
    def distribution(self) -> str:
        """
        Name and version of the distribution, for people.
        """
        owner = self.entry.dist
        if owner is None:
            return "an unknown distribution"
        return _shown(f"{owner.metadata['Name']} {owner.version}")

    def load(self) -> Any:
        """
        Import what the entry point names.

        Raises:
            PluginError: it cannot be imported.
        """
        with self.running("cannot be imported:"):
            return self.entry.load()

    @contextmanager
    def running(
        self, failing: str = "raised", let: tuple[type[BaseException], ...] = ()
    ) -> Iterator[None]:
        """
        Run its code in this context. What it prints goes to standard error: standard output is for
        results. Whatever it raises is an error of the distribution, also what would end Python; the
        debug log has its traceback.

        Args:
            failing: what to say before the exception.
            let: exceptions that it may raise.

        Raises:
            PluginError: it raised another exception.
        """
        try:
            with _printing_on_stderr():
                yield
        except BaseException as error:
            if isinstance(error, (KeyboardInterrupt, *let)):
                raise
            for line in "".join(traceback.format_exception(error)).splitlines():
                _LOG.debug("%s: %s", self, line)
            what = f"{failing} {describe_error(error)}{self._place(error)}"
            raise self.failed(what) from None

    def failed(self, what: str) -> PluginError:
        """
        Return the error that says *what* is wrong with it.
        """
        return PluginError(
            f"the {self} {what}",
            remedy="If it is yours, mend it; otherwise update that distribution, or uninstall it.",
        )

    def _place(self, error: BaseException) -> str:
        """
        Return the innermost line of its package that took part in an exception.
        """
        package = self.entry.value.partition(":")[0].partition(".")[0].strip()
        place = ""
        for frame, line in traceback.walk_tb(error.__traceback__):
            if str(frame.f_globals.get("__name__")).partition(".")[0] == package:
                place = f" ({printable(frame.f_code.co_filename)}:{line})"
        return place


def extensions_of(group: str) -> list[Extension]:
    """
    Return the entry points of a group, ordered by name.

    Args:
        group: `ENGINE_GROUP` or `CHECK_GROUP`.

    Raises:
        PluginError: two of them have one name.
    """
    found = [Extension(one) for one in entry_points(group=group)]
    found.sort(key=lambda one: (one.name, one.distribution))
    for one, other in pairwise(found):
        if one.name == other.name:
            raise PluginError(
                f"the {_KINDS[group]} {_shown(one.name)} is there twice: in {one.distribution} "
                f"and in {other.distribution}",
                remedy="Uninstall one of them.",
            )
    return found


def find_extension(group: str, name: str) -> Extension | None:
    """
    Return the entry point with this name; `None` if there is none.

    Raises:
        PluginError: two entry points of the group have one name.
    """
    return next((one for one in extensions_of(group) if one.name == name), None)


def describe_error(error: BaseException) -> str:
    """
    Return what to say of an exception of somebody else's code: its type and text, in one line.
    """
    try:
        text = " ".join(printable(str(error)).split())
    except Exception:
        # Its text is somebody else's code as well.
        text = ""
    return _shown(f"{type(error).__name__}: {text}" if text else type(error).__name__)


class _StderrOf:
    """
    Standard output, which for one thread is standard error. Other threads may have results.
    """

    def __init__(self, stdout: TextIO, thread: int) -> None:
        self._stdout = stdout
        self._thread = thread

    def __getattr__(self, name: str) -> Any:
        mine = threading.get_ident() == self._thread
        return getattr(sys.stderr if mine else self._stdout, name)


_printing = threading.RLock()
"""One at a time, so that each leaves the standard output that it has found."""


@contextmanager
def _printing_on_stderr() -> Iterator[None]:
    with _printing:
        before = sys.stdout
        sys.stdout = cast("TextIO", _StderrOf(before, threading.get_ident()))
        try:
            yield
        finally:
            sys.stdout = before


def _shown(text: str) -> str:
    return cut_end(printable(text), _LONGEST)

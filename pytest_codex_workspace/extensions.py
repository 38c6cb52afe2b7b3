"""Engines and checks of other distributions, which they offer as entry points."""

from __future__ import annotations

from dataclasses import dataclass
from importlib.metadata import EntryPoint, entry_points
from itertools import pairwise
from typing import Any

from .errors import PluginError
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

_KINDS = {ENGINE_GROUP: "engine", CHECK_GROUP: "check"}


@dataclass(frozen=True, slots=True)
class Extension:
    """
    An engine or a check of another distribution. Nothing of it is imported before `load`.

    Attributes:
        name: its name, as its author wrote it.
        entry: the entry point.
    """

    name: str
    entry: EntryPoint

    def __str__(self) -> str:
        return f"{_KINDS[self.entry.group]} {_shown(self.name)} of {self.distribution}"

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
        try:
            return self.entry.load()
        except (Exception, SystemExit) as error:
            raise self.failed(f"cannot be imported: {describe_error(error)}") from None

    def failed(self, what: str) -> PluginError:
        """
        Return the error that says *what* is wrong with it.
        """
        return PluginError(
            f"the {self} {what}", remedy="Update that distribution, or uninstall it."
        )


def extensions_of(group: str) -> list[Extension]:
    """
    Return the entry points of a group, ordered by name.

    Args:
        group: `ENGINE_GROUP` or `CHECK_GROUP`.

    Raises:
        PluginError: two of them have one name.
    """
    found = [Extension(one.name, one) for one in entry_points(group=group)]
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
    text = " ".join(printable(str(error)).split())
    return _shown(f"{type(error).__name__}: {text}" if text else type(error).__name__)


def _shown(text: str) -> str:
    return cut_end(printable(text), _LONGEST)

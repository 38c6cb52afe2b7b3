"""Report a cached setup before it is used: its age, its commit, and what changed since."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from ..projection.changed_files import changed_dependencies
from ..projection.repository import RepositorySnapshot
from ..reporting.output import Output
from ..text.option_names import spell_option
from ..text.phrases import first_of
from ..text.units import show_duration
from ..unpatched import clock
from .store import Layer

__all__ = ["CachedSetup", "CachedSetups"]

_SHOWN = 5


@dataclass(frozen=True, slots=True)
class CachedSetup:
    """
    A setup that ran in an earlier session.

    Attributes:
        repository: its name.
        commit: the commit at which it ran.
        same_commit: whether it is the current commit.
        age: seconds since then; `None` if it is not known.
        changed: files that the scripts name, or that say which packages are installed, and that
            have changed since; `None` if it is not known.
        setup: name of the setup script.
        resume: name of the script that runs before the workspace is ready; empty for none.
    """

    repository: str
    commit: str
    same_commit: bool
    age: float | None
    changed: Sequence[str] | None
    setup: str = "setup-script.sh"
    resume: str = ""

    def __str__(self) -> str:
        """
        Return one line.
        """
        age = "" if self.age is None else f" {show_duration(self.age)} ago"
        commit = "this commit" if self.same_commit else f"commit {self.commit[:12]}"
        line = f"the cached setup of {self.repository} is used, made{age} at {commit}"
        if self.changed is None:
            return f"{line}; what has changed since then is not known in this clone"
        if not self.changed:
            return line
        names = first_of(self.changed, _SHOWN)
        verb = "has" if len(self.changed) == 1 else "have"
        again = f"{spell_option('cache', 'refresh')} runs {self.setup} again"
        if self.resume:
            again = f"{self.resume} can follow, or {again}"
        return f"{line}; {names} {verb} changed since: {again}"


class CachedSetups:
    """
    Reports each cached setup once in a session.

    Args:
        output: shows the lines.
        started: start of the run. What was made since then is no news.
    """

    def __init__(self, output: Output, started: float) -> None:
        self._output = output
        self._started = started
        self._told: set[str] = set()

    def tell(
        self,
        snapshot: RepositorySnapshot,
        layer: Layer,
        *,
        setup: str,
        resume: str,
        scripts: Sequence[bytes] = (),
    ) -> None:
        """
        Report that the setup *layer* is used for a workspace of *snapshot*.

        Args:
            snapshot: the repository at its commit.
            layer: the setup.
            setup: name of the setup script.
            resume: name of the script that runs before the workspace is ready; empty for none.
            scripts: the texts of scripts that are not in the repository.
        """
        # Another worker of this run may have made it.
        if layer.image in self._told or layer.created >= self._started:
            return
        self._told.add(layer.image)
        if self._output.mode == "quiet":
            return
        same = layer.head == snapshot.head
        changed = (
            [] if same else changed_dependencies(snapshot, layer.head, os.environ, scripts=scripts)
        )
        age = clock.wall_time() - layer.created if layer.created else None
        cached = CachedSetup(snapshot.name, layer.head, same, age, changed, setup, resume)
        fields: dict[str, Any] = {
            "repository": cached.repository,
            "key": layer.key,
            "image": layer.image,
            "commit": cached.commit,
            "created": layer.created or None,
            "changed": changed,
        }
        self._output.tell("cached-setup", str(cached), **fields)

"""Why a setup image is found or not: for `codex-workspace cache explain`."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from .. import labels
from ..cache import entries, is_old
from ..git import inside, reading_environment, run_git
from ..keys import Hidden, differing, fingerprint, key_of
from ..layers import setup_parts
from ..quantities import show_duration, show_size
from ..usage import usage_on

if TYPE_CHECKING:
    from ..cache import Entry
    from ..engine.protocol import Engine
    from ..repository import RepositorySnapshot
    from ..spec import WorkspaceSpec

__all__ = ["Explanation", "explain"]

Outcome = Literal["hit", "old", "miss", "none"]


@dataclass(frozen=True, slots=True)
class Explanation:
    """
    What a setup's key is made of, and what it finds.

    Attributes:
        snapshot: whose setup.
        outcome: `hit`; `old` if there is an image that must not be used any
            more; `miss`; `none` if the repository has nothing to set up.
        key: of the image; empty if there is nothing to set up.
        parts: of the key, in short.
        image: the one that is there or, if there is none, the nearest.
        differences: between that one and what is wanted.
        scripts: the files of the scripts' directory that changed since.
    """

    snapshot: RepositorySnapshot
    outcome: Outcome
    key: str = ""
    parts: Mapping[str, str] = field(default_factory=dict)
    image: Entry | None = None
    differences: Mapping[str, str] = field(default_factory=dict)
    scripts: Sequence[str] = ()

    def lines(self, ttl: float) -> Iterator[str]:
        """
        For people. *ttl* is the age in seconds from which an image is not used.
        """
        snapshot, image = self.snapshot, self.image
        if self.outcome == "none":
            yield f"{snapshot.path} has no codex-workspace-scripts/, so there is no setup to cache"
            return
        yield f"setup image {self.key}: {snapshot.name} at {snapshot.head[:12]}, made from"
        for name, value in self.parts.items():
            yield f"  {name:<24} {value}"
        if image is None:
            yield f"miss: there is no setup image of {snapshot.name}"
            return
        age = show_duration(time.time() - image.created)
        if self.outcome == "hit":
            yield f"hit: {age} old, used {image.use.hits} times, {show_size(image.own)}"
        elif self.outcome == "old":
            limit = show_duration(ttl)
            yield f"miss: there is an image, but it is {age} old, and {limit} is the limit"
        else:
            yield f"miss: the nearest setup image is {image.key}, {age} old; since then"
            for name, what in self.differences.items():
                yield f"  {name:<24} {what}"
                if name == "scripts":
                    yield from (f"    {line}" for line in self.scripts)

    def facts(self) -> dict[str, Any]:
        """
        For programs.
        """
        image = self.image
        return {
            "outcome": self.outcome,
            "repository": self.snapshot.name,
            "head": self.snapshot.head,
            "key": self.key or None,
            "parts": self.parts,
            "image": image and {"key": image.key, "id": image.image.id, "created": image.created},
            "differences": self.differences,
            "scripts": self.scripts,
        }


def explain(engine: Engine, spec: WorkspaceSpec, *, base_identity: str, ttl: float) -> Explanation:
    """
    Look for the setup image of *spec*, and build nothing.

    Args:
        engine: has the images.
        spec: what the setup image is made of.
        base_identity: `images.base_identity` of the base image.
        ttl: maximum age of an image in seconds.

    Raises:
        EngineError: the engine refused.
    """
    snapshot = spec.snapshot
    if snapshot.scripts_tree is None:
        return Explanation(snapshot, "none")
    parts = setup_parts(spec, base=base_identity, platform=engine.platform)
    key = key_of(parts)
    short = {name: _short(value) for name, value in parts.items()}
    every = entries(engine, usage_on(engine))
    setups = [one for one in every if one.kind == "setup"]
    hit = next((one for one in setups if one.key == key), None)
    if hit is not None:
        outcome: Outcome = "old" if is_old(hit.image, ttl) else "hit"
        return Explanation(snapshot, outcome, key, short, hit)
    image, differences = _nearest(fingerprint(parts), setups)
    scripts: Sequence[str] = ()
    if image is not None and "scripts" in differences:
        scripts = _changed_scripts(spec, _parts_of(image).get("scripts", ""))
    return Explanation(snapshot, "miss", key, short, image, differences, scripts)


def _short(value: object) -> str:
    """
    One part of a key in a line: what a policy is called, what variables there are.
    """
    if isinstance(value, Hidden):
        return "(not shown)"
    if isinstance(value, list):
        return ", ".join(map(str, value))
    if isinstance(value, Mapping):
        return str(value.get("name") or ", ".join(value) or "none")
    if isinstance(value, bool):
        return "yes" if value else "no"
    return str(value)


def _nearest(
    own: dict[str, str], setups: Sequence[Entry]
) -> tuple[Entry | None, Mapping[str, str]]:
    told = [(differing(_parts_of(one), own), one) for one in setups]
    near = [
        (found, one) for found, one in told if not {"repository", "name"} & set(found)
    ]  # Another repository's image is no neighbour.
    if not near:
        return None, {}
    found, one = min(near, key=lambda pair: (len(pair[0]), -pair[1].created))
    # Of their values no image tells anything.
    return one, found or {"secret values": "changed"}


def _parts_of(entry: Entry) -> dict[str, str]:
    try:
        return {str(k): str(v) for k, v in json.loads(entry.image.labels[labels.PARTS]).items()}
    except (KeyError, ValueError, AttributeError):
        return {}


def _changed_scripts(spec: WorkspaceSpec, old: str) -> list[str]:
    """
    Which files of the scripts' directory changed, if its old tree is still in the repository.
    """
    result = run_git(
        *inside(spec.snapshot.git_dir),
        *("diff-tree", "-r", "--name-status", old, str(spec.snapshot.scripts_tree)),
        env=reading_environment(os.environ),
    )
    return result.stdout.decode("utf-8", "replace").splitlines() if result.code == 0 else []

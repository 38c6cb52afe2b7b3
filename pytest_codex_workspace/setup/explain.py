"""Explaining a cache hit or miss, for `codex-workspace cache explain`."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from ..cache.entries import entries, is_old
from ..cache.nearest import nearest_image, parts_of
from ..cache.usage import usage_on
from ..images.content_key import Hidden, fingerprint, key_of
from ..projection.git import inside, reading_environment, run_git
from .keys import setup_parts

if TYPE_CHECKING:
    from ..cache.entries import Entry
    from ..engine.protocol import Engine
    from ..projection.repository import RepositorySnapshot
    from .spec import WorkspaceSpec

__all__ = ["Explanation", "changed_scripts", "explain"]

Outcome = Literal["hit", "old", "miss", "none"]


@dataclass(frozen=True, slots=True)
class Explanation:
    """
    The parts of a setup's key, and the image that has it.

    Attributes:
        snapshot: the repository.
        outcome: `hit`; `old` for an expired image; `miss`; `none` if the
            repository has no setup.
        key: the key of the image; empty if the repository has no setup.
        parts: the parts of the key, shortened.
        image: the image with the key, otherwise the most similar one.
        differences: the differences between that image and the key.
        scripts: the changed files in the scripts' folder.
    """

    snapshot: RepositorySnapshot
    outcome: Outcome
    key: str = ""
    parts: Mapping[str, str] = field(default_factory=dict)
    image: Entry | None = None
    differences: Mapping[str, str] = field(default_factory=dict)
    scripts: Sequence[str] = ()

    def to_dict(self) -> dict[str, Any]:
        """
        Return the explanation as plain data for JSON.
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
    Look for the setup image of *spec*, without building anything.

    Args:
        engine: the engine with the images.
        spec: the workspace whose setup is looked for.
        base_identity: `base.base_identity` of the base image.
        ttl: maximum age of an image in seconds.

    Raises:
        EngineError: the engine refused.
    """
    snapshot = spec.snapshot
    if not spec.has_scripts:
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
    near, differences = nearest_image(fingerprint(parts), [one.image for one in setups])
    image = next((one for one in setups if one.image is near), None)
    scripts: Sequence[str] = ()
    if image is not None and "scripts" in differences and snapshot.scripts_tree is not None:
        scripts = changed_scripts(spec.snapshot, parts_of(image.image).get("scripts", ""))
    return Explanation(snapshot, "miss", key, short, image, differences, scripts)


def _short(value: object) -> str:
    """
    Shorten one part of a key to a line: the name of a policy, the names of variables.
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


def changed_scripts(snapshot: RepositorySnapshot, old: str) -> list[str]:
    """
    Return the changed files in the scripts' folder, if its old tree is still in the repository.

    Args:
        snapshot: the repository at the new commit.
        old: id of the old tree, from a label of an image, which may be anybody's.
    """
    if not re.fullmatch("[0-9a-f]{40,64}", old):
        return []  # Git would take `--output=FILE` for an option.
    result = run_git(
        *inside(snapshot.git_dir),
        *("diff-tree", "-r", "--name-status", old, str(snapshot.scripts_tree)),
        env=reading_environment(os.environ),
    )
    return result.stdout.decode("utf-8", "replace").splitlines() if result.code == 0 else []

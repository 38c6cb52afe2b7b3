"""A check for codex-workspace: images of Dockerfiles have a version."""

from __future__ import annotations

import re
from collections.abc import Iterator

from pytest_codex_workspace import Check, CommittedTree, Finding

_FROM = re.compile(r"FROM\s+(?:--\S+\s+)*(?P<image>\S+)(?:\s+AS\s+(?P<stage>\S+))?", re.IGNORECASE)


def find_moving_images(tree: CommittedTree) -> Iterator[Finding]:
    """
    Find images without a version, or with one that moves.
    """
    for path, text in tree.texts([*tree.named("Dockerfile"), *tree.suffixed(".dockerfile")]):
        stages = {"scratch"}
        for number, line in enumerate(text.splitlines(), 1):
            found = _FROM.match(line)
            if found is None:
                continue
            image, pinned = found["image"], "@" in found["image"] or found["image"] in stages
            stages.add(found["stage"])
            _, _, version = image.rpartition("/")[2].partition(":")
            if not pinned and version in ("", "latest"):
                yield CHECK.finding(
                    f"the image {image} is another one tomorrow",
                    "Codex has no Docker; this concerns those who build the image elsewhere.",
                    "Write a version behind the name of the image.",
                    path=path,
                    line=number,
                )


CHECK = Check("acme.pinned-image", "warning", "An image has no version", find_moving_images)

"""A check for codex-workspace: images of Dockerfiles have a version."""

from __future__ import annotations

import re
from collections.abc import Iterator

from pytest_codex_workspace import Check, CommittedTree, Finding

_FROM = re.compile(r"FROM\s+(?:--\S+\s+)*(?P<image>[^\s@]+)(?:\s|$)", re.IGNORECASE)


def find_moving_images(tree: CommittedTree) -> Iterator[Finding]:
    """
    Find images without a version, or with one that moves.
    """
    for path, text in tree.texts([*tree.named("Dockerfile"), *tree.suffixed(".dockerfile")]):
        for number, line in enumerate(text.splitlines(), 1):
            found = _FROM.match(line)
            if found is None or found["image"] == "scratch":
                continue
            _, _, version = found["image"].rpartition("/")[2].partition(":")
            if version in ("", "latest"):
                yield CHECK.finding(
                    f"the image {found['image']} is another one tomorrow",
                    "Codex has no Docker; this concerns those who build the image elsewhere.",
                    "Write a version behind the name of the image.",
                    path=path,
                    line=number,
                )


CHECK = Check("acme.pinned-image", "warning", "An image has no version", find_moving_images)

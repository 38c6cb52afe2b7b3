"""Which cached layer is most like one that is missing, and in what they differ."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping

from ..engine import labels
from ..engine.protocol import ImageInfo
from ..images.content_key import differing

__all__ = ["describe_difference", "nearest_image", "parts_of"]


def nearest_image(
    own: Mapping[str, str], images: Iterable[ImageInfo]
) -> tuple[ImageInfo | None, Mapping[str, str]]:
    """
    Return the setup image that is most like a missing one, and in which parts their keys differ.

    Args:
        own: the fingerprint of the parts of the missing one.
        images: all setup images.
    """
    compared = [(differing(parts_of(one), own), one) for one in images]
    near = [
        (found, one) for found, one in compared if not {"repository", "name"} & set(found)
    ]  # Images of other repositories are not similar.
    if not near:
        return None, {}
    found, one = min(near, key=lambda pair: (len(pair[0]), -labels.created(pair[1].labels)))
    # Images have nothing that reveals the values of secrets.
    return one, found or {"secret values": "changed"}


def parts_of(image: ImageInfo) -> dict[str, str]:
    """
    Return the parts of the key of a setup image, as its label has them. A label may be anybody's.
    """
    try:
        return {str(k): str(v) for k, v in json.loads(image.labels[labels.PARTS]).items()}
    except (KeyError, ValueError, AttributeError, RecursionError):
        return {}


def describe_difference(
    kind: str, own: Mapping[str, str], repo: Mapping[str, str], images: Iterable[ImageInfo]
) -> str:
    """
    Return why no image has the key of a missing layer: in what the most similar one differs.

    Args:
        kind: the kind of the layer.
        own: the fingerprint of its parts, of a setup layer; empty for others.
        repo: the labels of the missing layer that say what it stands for.
        images: the images of that kind.
    """
    if kind == "setup":
        image, differences = nearest_image(own, images)
        if image is None:
            return "there is none of this repository"
        changed = ", ".join(f"{part} {how}" for part, how in differences.items())
        return f"{image.labels.get(labels.KEY, '?')} differs in: {changed}"
    same = [one for one in images if one.labels.get(labels.REPO) == repo[labels.REPO]]
    if not same:
        return "there is none of this repository"
    newest = max(same, key=lambda one: labels.created(one.labels))
    called = {labels.HEAD: "commit", labels.CA: "certificate authority"}
    found = [name for one, name in called.items() if newest.labels.get(one, "") != repo[one]]
    what = ", ".join(found) or "what it is built on, or a variable or policy"
    return f"{newest.labels.get(labels.KEY, '?')} differs in: {what}"

"""Tests of whether the registry has a newer image."""

from __future__ import annotations

import pytest

from pytest_codex_workspace.engine.protocol import ImageInfo
from pytest_codex_workspace.errors import EngineError
from pytest_codex_workspace.images.freshness import came_from_registry, newest, tell_of_newer
from pytest_codex_workspace.reporting.output import Output
from tests.fakes.engine import FakeEngine

NAME = "registry.example:5000/tools/base:1"
PULLED = ImageInfo("sha256:1", digests=("registry.example:5000/tools/base@sha256:old",))
BUILT = ImageInfo("sha256:1")


class Registry(FakeEngine):
    """
    An engine with a registry that has one digest; without one, it does not answer.
    """

    def __init__(self, digest=None):
        super().__init__(pullable=[NAME])
        self.digest = digest
        self.asked = 0

    def registry_digest(self, reference, patience):
        self.asked += 1
        if self.digest is None:
            raise EngineError("silent")
        return self.digest


@pytest.mark.parametrize(("image", "pulled"), [(PULLED, True), (BUILT, False)])
def test_only_what_was_pulled_is_pulled_again(image, pulled):
    """
    The registry's image of the same name as one that was built here is somebody else's.
    """
    assert pulled == came_from_registry(image, NAME)
    found = newest(Registry(), NAME, image, Output("quiet", print))
    assert pulled == (found.id != image.id)


def test_a_failed_pull_keeps_the_image():
    """
    A warning says so.
    """
    said = []
    other = ImageInfo("sha256:1", digests=("other/base@sha256:old",))

    assert other is newest(Registry(), "other/base", other, Output("progress", said.append))
    assert "is not refreshed" in "".join(said)


@pytest.mark.parametrize(
    ("digest", "image", "told", "asked"),
    [
        ("sha256:new", PULLED, 1, 1),
        ("sha256:old", PULLED, 0, 1),
        (None, PULLED, 0, 1),
        ("sha256:new", BUILT, 0, 0),
    ],
)
def test_the_registry_is_asked_once_a_week(cache_home, digest, image, told, asked):
    """
    One that does not answer is not asked again either.
    """
    said, engine = [], Registry(digest)
    for _ in range(2):
        tell_of_newer(engine, NAME, image, Output("progress", said.append))

    assert told == sum("newer" in line for line in said)
    assert asked == engine.asked

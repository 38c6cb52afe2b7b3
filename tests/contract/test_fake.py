"""Tests of the fake engine beyond the contract."""

from __future__ import annotations

import pytest

from pytest_codex_workspace.engine.protocol import ContainerSpec
from pytest_codex_workspace.errors import EngineError
from tests.fakes.engine import FakeEngine


def test_a_commit_has_a_parent() -> None:
    """
    The parent is the image of the container. An untagged parent is removed with its last child.
    """
    engine = FakeEngine()
    base = engine.add_image("base", {"a": "1"})
    setup = engine.commit(engine.create(ContainerSpec(base.id, [], "c")), tag=None, labels={})
    ready = engine.commit(engine.create(ContainerSpec(setup.id, [], "d")), tag="r:1", labels={})
    engine.remove("c")
    engine.remove("d")

    assert (None, base.id) == (engine.parent("base"), engine.parent(setup.id))
    assert setup.id == engine.parent("r:1")
    assert {base.id, ready.id} == {one.id for one in engine.images({"a": "1"})}

    engine.remove_image("r:1")

    assert engine.image(setup.id) is None
    assert engine.image("base") is not None


def test_an_image_of_the_registry_can_be_pulled() -> None:
    """
    The test says which images the registry has.
    """
    lines: list[str] = []

    image = FakeEngine(pullable=["debian:trixie"]).pull("debian:trixie", lines.append)

    assert (("debian:trixie",), ["Pulling debian:trixie"]) == (image.tags, lines)


def test_a_container_runs_until_its_input_ends_by_default() -> None:
    """
    A test that gives no callable still has containers that start and end.
    """
    engine = FakeEngine()
    engine.add_image("x")
    container = engine.create(ContainerSpec("x", [], "c"))
    stream = engine.attach(container)
    engine.start(container)
    assert engine.container(container).running

    stream.close()
    engine.remove(container)

    assert engine.container(container) is None


def test_a_removed_container_cannot_print() -> None:
    """
    A callable that prints after its container was killed gets an error.
    """
    stopped: list[bool] = []

    def chatter(spec, stdin, stdout) -> int:  # type: ignore[no-untyped-def]
        stdin.read()
        try:
            stdout.write(b"still here")
        except BrokenPipeError:
            stopped.append(True)
            raise
        return 0

    engine = FakeEngine(run=chatter)
    engine.add_image("x")
    container = engine.create(ContainerSpec("x", [], "c"))
    engine.start(container)

    engine.remove(container)

    assert [True] == stopped


def test_an_image_with_several_tags_is_removed_tag_by_tag() -> None:
    """
    Its last tag removes the image.
    """
    engine = FakeEngine()
    image = engine.add_image("x:1")
    engine.tag(image.id, "x:2")

    with pytest.raises(EngineError, match="several tags"):
        engine.remove_image(image.id)
    engine.remove_image("x:1")
    assert ("x:2",) == engine.image(image.id).tags
    engine.remove_image(image.id)
    assert engine.image("x:2") is None

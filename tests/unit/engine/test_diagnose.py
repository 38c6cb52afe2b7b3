"""Tests of why a container no longer responds."""

from __future__ import annotations

from pytest_codex_workspace.engine.diagnose import describe_container
from pytest_codex_workspace.engine.protocol import ContainerSpec
from pytest_codex_workspace.errors import EngineError
from tests.fakes.engine import FakeEngine


def started(engine):
    engine.add_image("x:1")
    container = engine.create(ContainerSpec("x:1", ("hold",), "one"))
    engine.start(container)
    return container


def test_a_container_that_ran_out_of_memory_is_named_after_it_is_gone():
    """
    The engine removes it at once, but remembers why it ended.
    """
    engine = FakeEngine()
    container = started(engine)
    assert "does not respond" in describe_container(engine, container)

    engine.kill_for_memory(container)

    assert "out of memory" in describe_container(engine, container)
    assert "--codex-memory" in describe_container(engine, container)


def test_an_engine_that_does_not_remember_is_no_second_error():
    """
    What is known is said.
    """
    engine = FakeEngine()
    container = started(engine)
    engine.remove(container)

    def refuse(_):
        raise EngineError("no events")

    engine.ran_out_of_memory = refuse

    assert "its container is gone" in describe_container(engine, container)

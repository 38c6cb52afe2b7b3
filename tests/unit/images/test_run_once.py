"""Tests of running a command once in a temporary container."""

from __future__ import annotations

import pytest

from pytest_codex_workspace.engine import labels
from pytest_codex_workspace.images.run_once import run_once
from tests.fakes.engine import FakeEngine


def test_the_output_of_the_script_is_returned():
    """
    The script runs in a bash login shell without a network.
    """
    seen = []

    def run(spec, stdin, stdout):
        seen.append(spec)
        stdout.write(b"\xffhello\n")
        return 0

    engine = FakeEngine(run=run)
    image = engine.add_image("x:1")

    output = run_once(engine, image.id, "echo hello", {"A": "1"}, purpose="runtimes")

    assert ("\ufffdhello\n", "") == output
    (spec,) = seen
    assert ("bash", "--login", "-c", "echo hello") == spec.command
    assert ("none", {"A": "1"}, "workspace") == (
        spec.network,
        spec.environment,
        spec.labels[labels.KIND],
    )
    assert "-runtimes-" in spec.name


def test_only_the_end_of_long_output_is_kept():
    """
    An image must not fill the memory.
    """

    def run(spec, stdin, stdout):
        for _ in range(10):
            stdout.write(b"x" * 20_000)
        stdout.write(b"end")
        return 0

    engine = FakeEngine(run=run)

    text, _ = run_once(engine, engine.add_image("x:1").id, "x", {}, purpose="x")

    assert 1 << 16 == len(text)
    assert text.endswith("xend")


def test_the_container_is_removed_after_an_error():
    """
    Here the container cannot be attached to.
    """
    engine = FakeEngine()

    def attach(container):
        raise ConnectionError("gone")

    engine.attach = attach
    with pytest.raises(ConnectionError, match="gone"):
        run_once(engine, engine.add_image("x:1").id, "x", {}, purpose="x")

    assert [] == engine.containers({})


def test_an_interruption_leaves_no_container(monkeypatch):
    """
    It is raised when the engine has answered, so the container exists by then.
    """
    engine = FakeEngine()
    image = engine.add_image("x:1")
    create = engine.create

    def interrupted(spec):
        create(spec)
        raise KeyboardInterrupt

    monkeypatch.setattr(engine, "create", interrupted)

    with pytest.raises(KeyboardInterrupt):
        run_once(engine, image.id, "true", {}, purpose="x")
    assert engine.containers({}) == []

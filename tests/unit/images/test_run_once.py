"""Tests of running a command once in a temporary container."""

from __future__ import annotations

import os
import subprocess

import pytest

from pytest_codex_workspace.engine import labels
from pytest_codex_workspace.errors import EngineError
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

    # The input of the container stays open, and that of the script has ended.
    script = "echo hello; cat | wc -c"
    output = run_once(engine, image.id, script, {"A": "1"}, purpose="runtimes")

    assert ("\ufffdhello\n", "") == output
    (spec,) = seen
    reader, writer = os.pipe()
    ran = subprocess.run(spec.command, stdin=reader, capture_output=True, check=True, timeout=20)
    os.close(reader)
    os.close(writer)
    assert ran.stdout.endswith(b"hello\n0\n")
    assert ("none", {"A": "1"}, "workspace") == (
        spec.network,
        spec.environment,
        spec.labels[labels.KIND],
    )
    assert "-runtimes-" in spec.name
    assert {"NET_RAW", "NET_ADMIN"} == set(spec.cap_drop)
    assert spec.pids_limit
    assert spec.memory_limit


def test_a_script_that_does_not_end_is_stopped():
    """
    The image decides what bash is.
    """

    def run(spec, stdin, stdout):
        stdin.read()
        return 0

    engine = FakeEngine(run=run)

    with pytest.raises(EngineError, match="did not end within"):
        run_once(engine, engine.add_image("x:1").id, "x", {}, purpose="x", patience=0.01)

    assert [] == engine.containers({})


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

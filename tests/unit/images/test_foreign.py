"""Tests of running programs of foreign images."""

from __future__ import annotations

import io
import tarfile
from types import SimpleNamespace

import pytest

from pytest_codex_workspace.engine import labels
from pytest_codex_workspace.errors import ImageBuildError
from pytest_codex_workspace.images import foreign
from pytest_codex_workspace.reporting.output import Output
from tests.fakes.engine import FakeEngine

AUTHORITY = b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"
QUIET = Output("quiet", lambda _: None)


class Isolation:
    """
    The network of a session: one holder, and what was registered for it.
    """

    address = "172.18.0.2"
    info = SimpleNamespace(ca_certificate=AUTHORITY)

    def __init__(self, engine):
        self.engine = engine
        self.registered = []
        self.policies = []
        self.forgotten = []
        self.released = []
        engine.add_image("holder:1")
        self._container = engine.create(_holder())
        engine.start(self._container)

    def acquire(self):
        proxy = SimpleNamespace(register=self._register, forget=self.forgotten.append)
        return SimpleNamespace(container=self._container, address="172.18.0.3", proxy=proxy)

    def _register(self, address, container, phase, policy):
        self.registered.append((address, container, phase))
        self.policies.append(policy)

    def release(self, holder, container, after):
        self.engine.remove(container)
        self.released.append(container)
        after()


def _holder():
    return foreign.ContainerSpec(image="holder:1", command=("hold",), name="holder")


def engine_whose_script_ends_with(code, seen=None):
    def run(spec, stdin, stdout):
        if "install_tools" not in " ".join(spec.command):
            stdin.read()
            return 0
        if seen is not None:
            seen.append(spec)
        stdout.write(b"E: no \x1b]0;x\x07package\n")
        return code

    return FakeEngine(run=run)


def test_tools_are_installed_behind_the_gate():
    """
    The container joins the holder's namespace, has limits, and gets neither an environment nor
    another certificate than the proxy's. The image with the tools is used again.
    """
    seen = []
    engine = engine_whose_script_ends_with(0, seen)
    image = engine.add_image("mine:1")
    isolation = Isolation(engine)

    made = foreign.with_tools(engine, lambda: isolation, image.id, QUIET)

    (spec,) = seen
    assert spec.network == f"container:{isolation.acquire().container}"
    assert ({}, "0") == (spec.environment, spec.user)
    assert {"NET_RAW", "NET_ADMIN"} == set(spec.cap_drop)
    assert spec.memory_limit
    assert [("172.18.0.3", "setup")] == [(one[0], one[2]) for one in isolation.registered]
    # While an image is built from this one, others may have the namespace.
    assert isolation.released == isolation.forgotten == [isolation.registered[0][1]]
    assert ("allow", False) == (isolation.policies[0].http, isolation.policies[0].offline)
    assert engine.parent(made) == image.id
    files = engine._images[made].files.pack("/tmp/codex-build")
    with tarfile.open(fileobj=io.BytesIO(files)) as tar:
        assert AUTHORITY == tar.extractfile("codex-build/host-ca.pem").read()
    assert not engine.image(made).labels[labels.SESSION]

    assert made == foreign.with_tools(engine, lambda: None, image.id, QUIET)
    assert 1 == len(seen)
    assert not [one for one in engine.containers({}) if "-tools-" in one.name]


def test_an_image_with_tools_is_used_as_it_is():
    """
    No image is made.
    """
    engine = engine_whose_script_ends_with(3)
    image = engine.add_image("mine:1")

    assert image.id == foreign.with_tools(engine, lambda: Isolation(engine), image.id, QUIET)
    assert 2 == len(engine._images)


def test_the_error_has_the_output():
    """
    Without control characters, which the image may print.
    """
    engine = engine_whose_script_ends_with(100)
    image = engine.add_image("mine:1")

    with pytest.raises(ImageBuildError, match=r"exit code 100.*\nE: no .*package") as caught:
        foreign.with_tools(engine, lambda: Isolation(engine), image.id, QUIET)

    assert "\x1b" not in str(caught.value)
    assert "Add bash, git" in caught.value.remedy


def test_an_installation_that_does_not_end_is_stopped(monkeypatch):
    """
    The error says so.
    """

    def run(_spec, stdin, _stdout):
        stdin.read()
        return 0

    monkeypatch.setattr(foreign, "_PATIENCE", 0.01)
    engine = FakeEngine(run=run)
    image = engine.add_image("mine:1")

    with pytest.raises(ImageBuildError, match="it was stopped after"):
        foreign.with_tools(engine, lambda: Isolation(engine), image.id, QUIET)

"""Tests of the shared cache, with a registry in memory."""

from __future__ import annotations

import threading
import time
from concurrent import futures

import pytest

from pytest_codex_workspace.cache import registry
from pytest_codex_workspace.cache.registry import SharedCache
from pytest_codex_workspace.engine import labels
from pytest_codex_workspace.errors import EngineError
from pytest_codex_workspace.reporting.output import Output
from tests.fakes.engine import FakeEngine

REPOSITORY = "registry.example:5000/cache"


class Fleet:
    """
    An engine, and a shared cache on it.
    """

    def __init__(self, *, push=True, ttl=3600.0):
        self.said = []
        self.engine = FakeEngine()
        output = Output("progress", self.said.append)
        self.cache = SharedCache(self.engine, REPOSITORY, push=push, ttl=ttl, output=output)

    def setup(self, key="k", *, labelled=None, kind="setup", age=0.0):
        marks = {
            labels.KIND: kind,
            labels.KEY: labelled or key,
            labels.CREATED: f"{time.time() - age:.3f}",
        }
        return self.engine.add_image(f"local:{key}", labels=marks).id

    def warned(self):
        return [line for line in self.said if "warning" in line]


def test_an_image_that_one_machine_sends_is_fetched_by_another():
    """
    The image has the registry's name, which does not stay on the engine that sent it.
    """
    fleet = Fleet()
    image = fleet.setup()
    fleet.cache.push_later(image, "k")
    fleet.cache.close()
    assert fleet.engine.image(f"{REPOSITORY}:setup-k") is None
    fleet.engine.remove_image("local:k")

    assert image == fleet.cache.fetch("k").id
    fleet.cache.forget("k")

    assert fleet.engine.image(image) is None
    assert [] == fleet.warned()


def test_a_miss_is_not_a_warning():
    """
    A registry without an image is in order, and is asked again for the next image.
    """
    fleet = Fleet()
    fleet.engine.pull = lambda *_, **more: (_ for _ in ()).throw(EngineError("manifest unknown"))

    assert fleet.cache.fetch("k") is None
    assert [] == fleet.warned()
    assert "has no setup image k" in fleet.said[-1]


def test_a_registry_that_is_down_is_asked_once():
    """
    There is one warning, and nothing is sent either.
    """
    fleet = Fleet()
    asked = []

    def refuse(reference, *_, **more):
        asked.append(reference)
        raise EngineError("connection refused")

    fleet.engine.pull = refuse
    assert fleet.cache.fetch("k") is fleet.cache.fetch("l") is None
    fleet.cache.push_later(fleet.setup(), "k")
    fleet.cache.close()

    assert [f"{REPOSITORY}:setup-k"] == asked
    assert 1 == len(fleet.warned())
    assert "connection refused" in fleet.warned()[0]


def test_a_push_that_fails_is_a_warning():
    """
    The registry's name does not stay on the engine.
    """
    fleet = Fleet()

    def refuse(*_, **more):
        raise EngineError("denied: you may only read")

    fleet.engine.push = refuse
    fleet.cache.push_later(fleet.setup(), "k")
    fleet.cache.close()

    assert "denied" in fleet.warned()[0]
    assert fleet.engine.image(f"{REPOSITORY}:setup-k") is None


def test_a_machine_that_only_reads_sends_nothing():
    """
    This is what `--codex-cache-push=never` does.
    """
    fleet = Fleet(push=False)
    fleet.cache.push_later(fleet.setup(), "k")
    fleet.cache.close()

    with pytest.raises(EngineError):
        fleet.engine.pull(f"{REPOSITORY}:setup-k", print)


@pytest.mark.parametrize(
    ("image", "words"),
    [
        ({"labelled": "other"}, "its content does not match its tag"),
        ({"kind": "base"}, "its content does not match its tag"),
        ({"age": 7200.0}, "too old"),
        ({"age": -7200.0}, "too old"),
    ],
)
def test_an_invalid_image_is_not_used(image, words):
    """
    A warning gives the reason, and the image does not stay on the engine.
    """
    fleet = Fleet()
    identity = fleet.setup(**image)
    fleet.cache.push_later(identity, "k")
    fleet.cache.close()
    fleet.engine.remove_image("local:k")

    assert fleet.cache.fetch("k") is None
    assert words in fleet.warned()[0]
    assert fleet.engine.image(identity) is None


def test_transfers_show_their_progress(monkeypatch):
    """
    A fetch shows it at once, sending shows it when the end of the run waits for it.
    """
    moved = []
    waits = threading.Event()

    class Watched(Output):
        def advanced(self, step):
            moved.append(str(step))

    def wait(pushes):
        waits.set()
        return futures.wait(pushes)

    monkeypatch.setattr(registry, "wait", wait)
    fleet = Fleet()
    output = Watched("progress", fleet.said.append)
    fleet.cache = SharedCache(fleet.engine, REPOSITORY, push=True, ttl=3600.0, output=output)
    push = fleet.engine.push
    fleet.engine.push = lambda *words, **more: waits.wait(10) and push(*words, **more)
    fleet.cache.push_later(fleet.setup(), "k")
    fleet.cache.close()
    fleet.engine.remove_image("local:k")

    assert fleet.cache.fetch("k")
    sent, fetched = moved
    assert sent.startswith(f"sending setup images to {REPOSITORY}: 100 %, 1 of 1 layer")
    assert fetched.startswith(f"fetching the setup image k from {REPOSITORY}: 100 %")
    assert not [line for line in fleet.said if line.startswith("codex: fetching")]


def test_an_image_with_instructions_for_builds_is_not_used():
    """
    They would run outside of any workspace.
    """
    fleet = Fleet()
    image = fleet.setup()
    fleet.engine._images[image].on_build = ("RUN curl evil",)
    fleet.cache.push_later(image, "k")
    fleet.cache.close()

    assert fleet.cache.fetch("k") is None
    assert "it has ONBUILD instructions" in "".join(fleet.warned())


def test_a_download_has_a_limit():
    """
    The registry decides what it sends.
    """
    fleet = Fleet()
    asked = []
    cache = SharedCache(
        fleet.engine,
        REPOSITORY,
        push=False,
        ttl=1.0,
        output=Output("quiet", print),
        limit=1000,
    )

    def pull(_reference, _on_line, _patience, **options):
        asked.append(options["limit"])
        raise EngineError("the registry sent more than 1 kB")

    fleet.engine.pull = pull

    assert cache.fetch("k") is None
    assert [1000] == asked

"""The layer store, on an engine in memory."""

from __future__ import annotations

import time

import pytest

from pytest_codex_workspace import labels
from pytest_codex_workspace.engine.fake import FakeEngine
from pytest_codex_workspace.engine.protocol import ContainerSpec
from pytest_codex_workspace.errors import SetupError
from pytest_codex_workspace.identity import Identity
from pytest_codex_workspace.images import IMAGE
from pytest_codex_workspace.layerstore import MAX_AGE, LayerStore
from pytest_codex_workspace.output import Output

pytestmark = pytest.mark.usefixtures("cache_home")


class Kitchen:
    """
    A store, and layers made from containers of an empty image.
    """

    def __init__(self, mode="auto", engine=None, started=None):
        self.engine = engine or FakeEngine()
        self.engine.add_image("base:1")
        self.made = 0
        self.started = started or time.time()
        self.store = LayerStore(self.engine, Identity(), mode, Output("quiet", print), self.started)

    def layer(self, kind="setup", key="k", *, repo="r", keep=True):
        def make():
            self.made += 1
            container = self.engine.create(
                ContainerSpec("base:1", ["x"], f"c{time.monotonic_ns()}")
            )
            layer = self.store.commit(container, kind, key, repo=repo, head="h", keep=keep)
            self.engine.remove(container)
            return layer

        return self.store.get(kind, key, make)


def test_a_layer_is_made_once_and_found_by_others():
    """
    By this session and by the next one.
    """
    first = Kitchen()
    made, again = first.layer(), first.layer()
    second = Kitchen(engine=first.engine)
    found = second.layer()

    assert (True, False, False) == (made.made, again.made, found.made)
    assert made.image == again.image == found.image
    assert "h" == found.head
    assert (1, 0) == (first.made, second.made)


def test_the_newest_setup_is_also_called_cached():
    """
    Other kinds do not take that name.
    """
    kitchen = Kitchen()
    setup = kitchen.layer()
    kitchen.layer("ready", "other")

    assert setup.image == kitchen.engine.image(f"{IMAGE}:cached").id


def test_refresh_makes_a_setup_once_more(monkeypatch):
    """
    Once per session, and the tag moves.
    """
    first = Kitchen()
    with monkeypatch.context() as earlier:
        now = time.time()
        earlier.setattr(time, "time", lambda: now - 10)
        old = first.layer()
    second = Kitchen("refresh", first.engine)
    new = second.layer()

    worker = Kitchen("refresh", first.engine, started=second.started)

    assert old.image != new.image
    assert new.image == second.layer().image == worker.layer().image
    assert new.image == first.engine.image(f"{IMAGE}:setup-k").id
    assert 1 == second.made


def test_off_leaves_nothing_behind():
    """
    Layers live as long as the session.
    """
    kitchen = Kitchen("off")
    kitchen.layer("clean")
    assert kitchen.engine.images({labels.KIND: "temporary"})

    kitchen.store.close()

    assert not kitchen.engine.images({labels.KIND: None})


def test_a_failed_setup_is_not_tried_again():
    """
    And leaves the cache as it was.
    """
    kitchen = Kitchen()
    calls = []

    def fail():
        calls.append(1)
        raise SetupError("no", script="s")

    for _ in range(2):
        with pytest.raises(SetupError):
            kitchen.store.get("setup", "k", fail)

    assert [1] == calls
    assert kitchen.engine.image(f"{IMAGE}:setup-k") is None


@pytest.mark.parametrize("age", [MAX_AGE + 1, -3600.0])
def test_an_old_setup_is_made_anew(monkeypatch, age):
    """
    Older than 12 h, or from a clock that was ahead.
    """
    first = Kitchen()
    old = first.layer()
    now = time.time()
    monkeypatch.setattr(time, "time", lambda: now + age)
    new = Kitchen(engine=first.engine).layer()

    assert old.image != new.image
    assert new.made


def test_old_layers_of_the_same_repository_go(monkeypatch):
    """
    When a new one of their kind is made; those of others stay.
    """
    kitchen = Kitchen()
    kitchen.layer(key="old", repo="mine")
    kitchen.layer(key="other", repo="theirs")
    now = time.time()
    monkeypatch.setattr(time, "time", lambda: now + MAX_AGE + 1)
    kitchen.layer(key="new", repo="mine")

    assert kitchen.engine.image(f"{IMAGE}:setup-old") is None
    assert kitchen.engine.image(f"{IMAGE}:setup-other") is not None


def test_a_forgotten_layer_is_looked_up_again():
    """
    Somebody removed the image.
    """
    kitchen = Kitchen()
    kitchen.layer("ready")
    assert not kitchen.store.forget_missing()
    kitchen.engine.remove_image(f"{IMAGE}:ready-k")
    assert kitchen.store.forget_missing()

    assert kitchen.layer("ready").made
    assert 2 == kitchen.made

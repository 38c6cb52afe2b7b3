"""The layer store, on an engine in memory."""

from __future__ import annotations

import time

import pytest

from pytest_codex_workspace import labels
from pytest_codex_workspace.config import Config
from pytest_codex_workspace.engine.fake import FakeEngine
from pytest_codex_workspace.engine.protocol import ContainerSpec
from pytest_codex_workspace.errors import SetupError
from pytest_codex_workspace.identity import Identity
from pytest_codex_workspace.images import IMAGE
from pytest_codex_workspace.layerstore import LayerStore, Marks
from pytest_codex_workspace.output import Output
from pytest_codex_workspace.usage import usage_on

pytestmark = pytest.mark.usefixtures("cache_home")

TTL = Config().cache_ttl


class Kitchen:
    """
    A store, and layers made from containers of an empty image.
    """

    def __init__(self, mode="auto", engine=None, started=None, shared=None, **options):
        self.engine = engine or FakeEngine()
        if self.engine.image("base:1") is None:
            self.engine.add_image("base:1")
        self.made = 0
        self.started = started or time.time()
        config = Config(cache=mode, started=self.started, **options)
        self.said = []
        output = Output("progress", self.said.append)
        usage = usage_on(self.engine)
        self.store = LayerStore(self.engine, Identity(), config, output, usage, shared)

    def layer(self, kind="setup", key="k", *, repo="r", keep=True):
        def make():
            self.made += 1
            container = self.engine.create(
                ContainerSpec("base:1", ["x"], f"c{time.monotonic_ns()}")
            )
            marks = Marks(repo, "demo", "h", "ca", {"name": "demo"})
            layer = self.store.commit(container, kind, key, marks, keep=keep)
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


@pytest.mark.parametrize("age", [TTL + 1, -3600.0])
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
    monkeypatch.setattr(time, "time", lambda: now + TTL + 1)
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


def test_a_replaced_layer_is_removed():
    """
    Unless somebody has given it a name.
    """
    first = Kitchen()
    old = first.layer()
    second = Kitchen("refresh", first.engine, started=time.time() + 1)
    new = second.layer()
    first.engine.tag(new.image, "mine:1")
    Kitchen("refresh", first.engine, started=time.time() + 1).layer()

    assert first.engine.image(old.image) is None
    assert first.engine.image("mine:1").id == new.image


def test_a_tag_on_another_image():
    """
    Is noticed, said, and taken back; the image stays with its owner.
    """
    kitchen = Kitchen()
    foreign = kitchen.engine.add_image("theirs:1")
    kitchen.engine.tag(foreign.id, f"{IMAGE}:setup-k")

    layer = kitchen.layer()

    assert layer.made
    assert layer.image == kitchen.engine.image(f"{IMAGE}:setup-k").id
    assert kitchen.engine.image("theirs:1").id == foreign.id
    assert any("another image than its tag says" in line for line in kitchen.said)


def test_a_layer_that_does_not_start_is_made_anew_once():
    """
    The broken one goes when there is another, not before.
    """
    first = Kitchen()
    broken = first.layer()
    second = Kitchen(engine=first.engine)
    found = second.layer()

    assert second.store.distrust(found.image, "it ended at once")
    assert first.engine.image(broken.image) is not None
    new = second.layer()

    assert (True, broken.image) != (new.made, new.image)
    assert first.engine.image(broken.image) is None
    assert not second.store.distrust(broken.image, "again")
    assert not second.store.distrust("sha256:of-somebody-else", "whatever")
    assert any("it ended at once" in line for line in second.said)


def test_the_budget_is_kept_when_the_session_ends(monkeypatch):
    """
    By sessions that added something; what they used themselves stays.
    """
    asked = []

    def note(engine, found, size, protected):
        asked.append((size, protected))
        return ["image x"]

    monkeypatch.setattr("pytest_codex_workspace.layerstore.evict", note)
    first = Kitchen(cache_size=7_000_000)
    made = first.layer()
    first.store.close()
    second = Kitchen(engine=first.engine)
    second.layer()
    second.store.close()

    assert [(7_000_000, {made.image})] == asked
    assert "codex: the cache is over 7 MB: removed image x" in first.said


class Registry:
    """
    A shared cache that has what is put into it.
    """

    def __init__(self, engine):
        self.engine = engine
        self.has = {}
        self.offered = []

    def fetch(self, key):
        return self.has.get(key)

    def offer(self, image, key):
        self.offered.append(key)

    def forget(self, key):
        pass

    def close(self):
        pass


def test_the_shared_cache_is_asked_before_setup_runs():
    """
    Only for setups; what is made is offered to it, what comes from it is not.
    """
    engine = FakeEngine()
    shared = Registry(engine)
    marks = {labels.KIND: "setup", labels.KEY: "there", labels.HEAD: "h", labels.CA: "other"}
    shared.has["there"] = engine.add_image("r.example/c:setup-there", labels=marks)
    kitchen = Kitchen(engine=engine, shared=shared)

    there, missing = kitchen.layer(key="there"), kitchen.layer(key="missing")
    kitchen.layer("ready", "there")

    assert (False, "other", "h") == (there.made, there.ca, there.head)
    assert missing.made
    assert ["missing"] == shared.offered
    assert engine.image(f"{IMAGE}:setup-there").id == there.image


def test_refresh_does_not_ask_the_shared_cache():
    """
    It is there to run setup.
    """
    engine = FakeEngine()
    shared = Registry(engine)
    shared.has["k"] = engine.add_image("r.example/c:setup-k", labels={labels.KIND: "setup"})
    kitchen = Kitchen("refresh", engine, shared=shared)

    assert kitchen.layer().made
    assert ["k"] == shared.offered

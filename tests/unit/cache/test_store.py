"""Tests of the layer store on an engine in memory."""

from __future__ import annotations

import time
from contextlib import contextmanager
from dataclasses import replace

import pytest

from pytest_codex_workspace.cache.store import Build, LayerLabels, LayerStore, Recipe
from pytest_codex_workspace.cache.usage import usage_on
from pytest_codex_workspace.codex import IMAGE
from pytest_codex_workspace.engine import labels
from pytest_codex_workspace.engine.protocol import ContainerSpec
from pytest_codex_workspace.engine.session_id import Identity
from pytest_codex_workspace.errors import CacheMiss, SetupError
from pytest_codex_workspace.images.content_key import FORMAT
from pytest_codex_workspace.options.config import Config
from pytest_codex_workspace.reporting.output import Output
from pytest_codex_workspace.unpatched import clock
from tests.fakes.engine import FakeEngine

pytestmark = pytest.mark.usefixtures("cache_home")

TTL = Config().cache_ttl


class Bench:
    """
    A store, and recipes that make layers of an empty container.
    """

    def __init__(self, mode="auto", engine=None, started=None, shared=None, **options):
        self.engine = engine or FakeEngine()
        if self.engine.image("base:1") is None:
            self.engine.add_image("base:1")
        self.built = []
        self.started = started or clock.wall_time()
        config = Config(cache=mode, started=self.started, **options)
        self.shown = []
        output = Output("progress", self.shown.append)
        self.usage = usage_on(self.engine)
        self.store = LayerStore(self.engine, Identity(), config, output, self.usage, shared)

    def recipe(self, kind="setup", key="k", *, repo="r", below=None, error=None):
        """
        Return a recipe, whose build raises *error* if there is one.
        """

        @contextmanager
        def build(layer):
            self.built.append(f"{kind}-{key}")
            if error is not None:
                raise error
            image = "base:1" if layer is None else layer.image
            container = self.engine.create(ContainerSpec(image, ["x"], f"c{time.monotonic_ns()}"))
            try:
                yield Build(container)
            finally:
                self.engine.remove(container)

        about = LayerLabels(repo, "demo", "h", "ca", {"name": "demo"})
        return Recipe(kind, key, about, below, build)

    def layer(self, kind="setup", key="k", **options):
        """
        Return the layer of such a recipe.
        """
        return self.store.ensure(self.recipe(kind, key, **options))


def test_a_layer_is_built_once_and_found_by_others():
    """
    This session knows the layer, and the next session finds it.
    """
    first = Bench()
    made, again = first.layer(), first.layer()
    second = Bench(engine=first.engine)
    found = second.layer()

    assert (True, False, False) == (made.made, again.made, found.made)
    assert made.image == again.image == found.image
    assert ("setup", "h", "ca") == (found.kind, found.head, found.ca)
    assert (["setup-k"], []) == (first.built, second.built)


def test_a_setup_of_another_clone_is_named():
    """
    A fork with the same scripts has the same key, and may have filled the cache.
    """
    first = Bench()
    recipe = first.recipe()
    first.store.ensure(replace(recipe, labels=replace(recipe.labels, origin="/fork")))
    for origin, warned in (("/fork", False), ("/trusted", True)):
        second = Bench(engine=first.engine)
        recipe = second.recipe()
        second.store.ensure(replace(recipe, labels=replace(recipe.labels, origin=origin)))

        said = [line for line in second.shown if "made from another clone, /fork" in line]
        assert warned == bool(said)


def test_the_layer_below_is_built_first():
    """
    A missing layer is built on the layer of the recipe below it.
    """
    bench = Bench()

    layer = bench.layer(below=bench.recipe("clean", "c"))

    assert ["clean-c", "setup-k"] == bench.built
    assert bench.engine.image(f"{IMAGE}:clean-c").id == bench.engine.parent(layer.image)


def test_the_layer_below_a_cached_layer_is_not_built():
    """
    A layer that is found needs nothing below it.
    """
    first = Bench()
    first.layer()
    second = Bench(engine=first.engine)

    second.layer(below=second.recipe("clean", "c"))

    assert [] == second.built


def test_labels_describe_a_layer_and_not_who_built_it():
    """
    The labels are the repository, the commit, the authority and the fingerprint of the parts.
    """
    bench = Bench()

    about = bench.engine.image(bench.layer().image).labels

    assert {
        labels.KIND: "setup",
        labels.KEY: "k",
        labels.REPO: "r",
        labels.NAME: "demo",
        labels.HEAD: "h",
        labels.CA: "ca",
        labels.PARTS: f'{{"format": "{FORMAT}", "name": "demo"}}',
        labels.SESSION: "",
        labels.PID: "",
        labels.RECORD: "",
    } == {name: value for name, value in about.items() if name != labels.CREATED}


def test_the_newest_setup_is_also_tagged_cached():
    """
    Layers of other kinds do not take that tag.
    """
    bench = Bench()
    setup = bench.layer()
    bench.layer("ready", "other")

    assert setup.image == bench.engine.image(f"{IMAGE}:cached").id


def test_refresh_builds_a_setup_once_more(monkeypatch):
    """
    The mode `refresh` builds each setup once in a run, and moves the tag.
    """
    first = Bench()
    with monkeypatch.context() as earlier:
        now = clock.wall_time()
        earlier.setattr(clock, "wall_time", lambda: now - 10)
        old = first.layer()
    second = Bench("refresh", first.engine)
    new = second.layer()

    worker = Bench("refresh", first.engine, started=second.started)

    assert old.image != new.image
    assert new.image == second.layer().image == worker.layer().image
    assert new.image == first.engine.image(f"{IMAGE}:setup-k").id
    assert (["setup-k"], []) == (second.built, worker.built)


def test_refresh_uses_cached_layers_of_other_kinds():
    """
    Only setup layers are built again.
    """
    first = Bench()
    first.layer("clean")
    second = Bench("refresh", first.engine, started=clock.wall_time() + 1)

    second.layer("clean")

    assert [] == second.built


@pytest.mark.parametrize(
    ("kind", "images"),
    [
        pytest.param("clean", 1, id="clean"),
        pytest.param("setup", 2, id="setup"),
        pytest.param("ready", 2, id="ready"),
    ],
)
def test_off_removes_its_layers_when_the_session_ends(kind, images):
    """
    With `off`, a clean layer lives as long as the session, others as long as a workspace.
    """
    bench = Bench("off")
    layers = [bench.layer(kind), bench.layer(kind)]
    assert images == len(bench.engine.images({labels.KIND: "temporary"}))

    bench.store.discard(layers)
    assert (kind == "clean") == bool(bench.engine.images({labels.KIND: "temporary"}))

    bench.store.close()
    assert not bench.engine.images({labels.KIND: None})


def test_off_does_not_use_cached_layers():
    """
    With `off`, the cache is neither read nor written.
    """
    first = Bench()
    cached = first.layer()
    second = Bench("off", first.engine)

    assert cached.image != second.layer().image
    assert cached.image == first.engine.image(f"{IMAGE}:setup-k").id


def test_a_layer_in_use_is_removed_when_the_store_is_closed():
    """
    An engine refuses to remove an image that a container uses.
    """
    bench = Bench("off")
    layer = bench.layer()
    container = bench.engine.create(ContainerSpec(layer.image, ["x"], "user"))
    bench.store.discard([layer])
    assert bench.engine.image(layer.image) is not None

    bench.engine.remove(container)
    bench.store.close()

    assert bench.engine.image(layer.image) is None


def test_require_builds_no_setup():
    """
    The mode `require` raises the same error for each test, as somebody may build the layer.
    """
    bench = Bench("require")
    for _ in range(2):
        with pytest.raises(CacheMiss, match="no image codex-workspace-emulator:setup-k for demo"):
            bench.layer(below=bench.recipe("clean", "c"))
    assert [] == bench.built

    Bench(engine=bench.engine).layer()

    assert not bench.layer().made


def test_require_builds_layers_of_other_kinds():
    """
    Only the setup script takes the minutes that a user wants to exclude.
    """
    bench = Bench("require")

    assert bench.layer("clean").made
    assert bench.layer("ready").made


def test_a_failed_setup_is_not_tried_again():
    """
    The session remembers the error, and the cache does not change.
    """
    bench = Bench()
    error = SetupError("no", script="s")
    for _ in range(2):
        with pytest.raises(SetupError) as caught:
            bench.layer(error=error)
        assert error is caught.value

    assert ["setup-k"] == bench.built
    assert bench.engine.image(f"{IMAGE}:setup-k") is None


@pytest.mark.parametrize("error", [OSError("no"), KeyboardInterrupt()])
def test_other_errors_are_not_remembered(error):
    """
    What failed for another reason is built by the next test.
    """
    bench = Bench()
    with pytest.raises(type(error)):
        bench.layer(error=error)

    assert bench.layer().made


@pytest.mark.parametrize("age", [TTL + 1, -3600.0])
@pytest.mark.parametrize(("kind", "again"), [("setup", True), ("ready", True), ("clean", False)])
def test_an_old_layer_is_built_again(monkeypatch, age, kind, again):
    """
    A layer is old after 12 h, or if the clock was ahead when it was built. Clean layers never are.
    """
    first = Bench()
    old = first.layer(kind)
    now = clock.wall_time()
    monkeypatch.setattr(clock, "wall_time", lambda: now + age)
    new = Bench(engine=first.engine).layer(kind)

    assert again == new.made == (old.image != new.image)


def test_old_layers_of_the_same_repository_are_removed(monkeypatch):
    """
    They are removed at the end of a session that has built a new layer of their kind. Other
    repositories' layers stay.
    """
    earlier = Bench()
    earlier.layer(key="old", repo="mine")
    earlier.layer(key="other", repo="theirs")
    bench = Bench(engine=earlier.engine)
    now = clock.wall_time()
    monkeypatch.setattr(clock, "wall_time", lambda: now + TTL + 1)
    bench.layer(key="new", repo="mine")
    bench.store.close()

    assert bench.engine.image(f"{IMAGE}:setup-old") is None
    assert bench.engine.image(f"{IMAGE}:setup-other") is not None


def test_a_missing_layer_is_looked_up_again():
    """
    A user can remove an image at any time.
    """
    bench = Bench()
    bench.layer("ready")
    assert not bench.store.forget_missing()
    bench.engine.remove_image(f"{IMAGE}:ready-k")
    assert bench.store.forget_missing()

    assert bench.layer("ready").made
    assert ["ready-k", "ready-k"] == bench.built


def test_a_superseded_layer_is_removed():
    """
    An image that a user has tagged stays.
    """
    first = Bench()
    old = first.layer()
    second = Bench("refresh", first.engine, started=clock.wall_time() + 1)
    new = second.layer()
    first.engine.tag(new.image, "mine:1")
    Bench("refresh", first.engine, started=clock.wall_time() + 1).layer()

    assert first.engine.image(old.image) is None
    assert first.engine.image("mine:1").id == new.image


def test_a_tag_on_another_image_is_taken_back():
    """
    A warning says so, and the image stays with its owner.
    """
    bench = Bench()
    foreign = bench.engine.add_image("theirs:1")
    bench.engine.tag(foreign.id, f"{IMAGE}:setup-k")

    layer = bench.layer()

    assert layer.made
    assert layer.image == bench.engine.image(f"{IMAGE}:setup-k").id
    assert bench.engine.image("theirs:1").id == foreign.id
    assert any("points to another image; the layer is rebuilt" in line for line in bench.shown)


def test_a_broken_layer_is_built_again_once():
    """
    The broken image is removed when there is a new one, not before.
    """
    first = Bench()
    broken = first.layer()
    second = Bench(engine=first.engine)
    found = second.layer()

    assert second.store.mark_broken(found.image, "it ended at once")
    assert first.engine.image(broken.image) is not None
    new = second.layer()

    assert new.made
    assert broken.image != new.image
    assert first.engine.image(broken.image) is None
    assert not second.store.mark_broken(broken.image, "again")
    assert not second.store.mark_broken("sha256:of-somebody-else", "whatever")
    assert any("is broken and is rebuilt: it ended at once" in line for line in second.shown)


def test_uses_are_counted():
    """
    A workspace counts once for each of its layers; with `off` nothing is counted.
    """
    bench = Bench()
    off = Bench("off", bench.engine)
    layers, temporary = [bench.layer("ready"), bench.layer()], off.layer()

    bench.store.record_use(layers)
    off.store.record_use([temporary])

    assert [1, 1] == [bench.usage.of(layer.image).hits for layer in layers]
    assert 0 == off.usage.of(temporary.image).hits


def test_the_size_limit_is_kept_when_the_session_ends(monkeypatch):
    """
    Only sessions that added a layer keep to the limit; what they used themselves stays.
    """
    asked = []

    def record(engine, found, size, protected):
        asked.append((size, protected))
        return ["image x"]

    monkeypatch.setattr("pytest_codex_workspace.cache.store.evict", record)
    first = Bench(cache_size=7_000_000)
    made = first.layer()
    first.store.close()
    second = Bench(engine=first.engine)
    second.layer()
    second.store.close()

    assert [(7_000_000, {made.image})] == asked
    assert "codex: the cache is over 7 MB: removed image x" in first.shown


class Registry:
    """
    A shared cache that has what is put into it.
    """

    def __init__(self, engine):
        self.engine = engine
        self.images = {}
        self.offered = []
        self.closed = False

    def fetch(self, key):
        return self.images.get(key)

    def push_later(self, image, key):
        self.offered.append(key)

    def forget(self, key):
        self.engine.remove_image(f"r.example/c:setup-{key}")

    def close(self):
        self.closed = True


def test_the_shared_cache_is_asked_before_setup_runs():
    """
    It is asked for setups only. What is built is offered to it, what was fetched is not.
    """
    engine = FakeEngine()
    shared = Registry(engine)
    about = {labels.KIND: "setup", labels.KEY: "there", labels.HEAD: "h", labels.CA: "other"}
    shared.images["there"] = engine.add_image("r.example/c:setup-there", labels=about)
    bench = Bench(engine=engine, shared=shared)

    there, missing = bench.layer(key="there"), bench.layer(key="missing")
    bench.layer("ready", "there")
    bench.store.close()

    assert (False, "other", "h") == (there.made, there.ca, there.head)
    assert missing.made
    assert ["missing"] == shared.offered
    assert (f"{IMAGE}:setup-there",) == engine.image(there.image).tags
    assert shared.closed


def test_require_asks_the_shared_cache():
    """
    A setup that another machine has built is not missing.
    """
    engine = FakeEngine()
    shared = Registry(engine)
    about = {labels.KIND: "setup", labels.KEY: "k"}
    shared.images["k"] = engine.add_image("r.example/c:setup-k", labels=about)
    bench = Bench("require", engine, shared=shared)

    assert not bench.layer().made
    assert [] == bench.built


def test_refresh_does_not_ask_the_shared_cache():
    """
    The mode `refresh` is there to run setup.
    """
    engine = FakeEngine()
    shared = Registry(engine)
    shared.images["k"] = engine.add_image("r.example/c:setup-k", labels={labels.KIND: "setup"})
    bench = Bench("refresh", engine, shared=shared)

    assert bench.layer().made
    assert ["k"] == shared.offered


def test_decisions_are_logged_with_their_reasons(caplog):
    """
    A miss names the part of the key that differs. The engine is asked for it only if somebody
    listens.
    """
    bench = Bench()
    asked = []
    images = bench.engine.images
    bench.engine.images = lambda wanted: asked.append(wanted) or images(wanted)
    bench.store.ensure(bench.recipe(key="k1"))
    assert {labels.KIND: "setup"} not in asked
    recipe = bench.recipe(key="k2")
    parts = {"name": "demo", "scripts": "s2"}
    recipe = replace(recipe, labels=replace(recipe.labels, parts=parts))

    with caplog.at_level("DEBUG", "pytest_codex_workspace.cache"):
        bench.store.ensure(recipe)
        bench.store.ensure(recipe)
        Bench(engine=bench.engine).layer(key="k1")
        Bench("refresh", engine=bench.engine, started=clock.wall_time() + 60).layer(key="k1")
        Bench("off", engine=bench.engine).layer(key="k1")

    said = [one for one in caplog.messages if not one.startswith("build ")]
    assert "miss setup-k2: no image has this key; k1 differs in: scripts added" in said
    assert "hit setup-k2: known in this session" in said
    assert any(one.startswith("hit setup-k1: image ") for one in said)
    assert "miss setup-k1: refresh, and its image is from before this run" in said
    assert "miss setup-k1: the cache is off" in said

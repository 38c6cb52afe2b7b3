"""Tests of the records of setups: nothing that runs in an image has a word in them."""

from __future__ import annotations

import io
import json
import tarfile
from dataclasses import replace

import pytest

from pytest_codex_workspace.codex import RESUME, SETUP
from pytest_codex_workspace.engine import labels
from pytest_codex_workspace.network.rules.request import Request
from pytest_codex_workspace.setup.records import RECORD, Record
from pytest_codex_workspace.setup.scripts import ScriptRun
from pytest_codex_workspace.workspace.handle import Daemon

from ...helpers.fake_workspaces import StubProjection, World, _Agent, snapshot, tar_of

REQUEST = Request(
    1, 2.0, "setup", "GET", "https", "h", 443, "/", "https://h/", 200, 3, 0.1, "allowed",
    request_body=b"\xff\x00", routes=(1, 2), process="sh › curl",
)  # fmt: skip


def test_a_record_is_read_as_it_was_written():
    """
    Bodies of requests, if they are kept, included. A run is optional.
    """
    daemons = (Daemon("db", "db -x", (1, 2), ("/s",)), Daemon("sleep", held_output=True))
    run = ScriptRun("out\udce4", 1.5, (REQUEST,), daemons=daemons)
    for record in (Record(), Record(run, ScriptRun("", 0.0))):
        assert record == Record.from_bytes(record.to_bytes())


def test_a_record_of_an_earlier_version_has_no_daemons():
    """
    It is used all the same.
    """
    data = json.dumps({"setup": RUN, "resume": None}).encode()

    assert Record(ScriptRun("", 1.0)) == Record.from_bytes(data)


def test_a_record_has_a_limit(monkeypatch):
    """
    Requests are left out until the file is small enough.
    """
    monkeypatch.setattr("pytest_codex_workspace.setup.records._LIMIT", 20_000)
    requests = tuple(replace(REQUEST, id=number) for number in range(500))

    data = Record(ScriptRun("out", 1.0, requests)).to_bytes()

    assert 10_000 < len(data) <= 20_000
    assert Record.from_bytes(data).setup.requests == requests[: data.count(b'"phase"')]


RUN = {"output": "", "duration": 1.0, "requests": []}


@pytest.mark.parametrize(
    "values",
    [
        "nonsense",
        [],
        {},
        {"setup": 1, "resume": None},
        {"setup": {**RUN, "output": 1}, "resume": None},
        {"setup": {**RUN, "duration": float("nan")}, "resume": None},
        {"setup": {**RUN, "duration": "1"}, "resume": None},
        {"setup": {**RUN, "requests": {}}, "resume": None},
        {"setup": {**RUN, "daemons": [{"name": "db"}]}, "resume": None},
        {"setup": {**RUN, "daemons": 1}, "resume": None},
        {"setup": {**RUN, "requests": [{}]}, "resume": None},
        {"setup": {**RUN, "requests": [{"verdict": "allowed"}]}, "resume": None},
        {"setup": {**RUN, "requests": [1]}, "resume": None},
    ],
)
def test_another_text_is_refused(values):
    """
    Images may come from elsewhere.
    """
    with pytest.raises(ValueError, match="not the record"):
        Record.from_bytes(json.dumps(values).encode())
    with pytest.raises(ValueError, match="not the record"):
        Record.from_bytes(b"[" * 100_000)


class Forger(_Agent):
    """
    An agent that setup has replaced: it tells of no request, and changes the file itself.
    """

    def _read(self, path):
        return b'{"setup": null, "resume": null}' if path == RECORD else super()._read(path)


def with_link() -> io.BytesIO:
    """
    Return an archive with a link in place of the record.
    """
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w") as tar:
        link = tarfile.TarInfo(RECORD.lstrip("/"))
        link.type, link.linkname = tarfile.SYMTYPE, "/dev/null"
        tar.addfile(link)
    archive.seek(0)
    return archive


@pytest.fixture
def world(monkeypatch, cache_home):
    """
    An engine, and scripts that request something.
    """
    monkeypatch.setattr("pytest_codex_workspace.setup.layers.Projection", StubProjection)
    world = World(Forger)
    world.scripts[SETUP].requests = ("one.example",)
    world.scripts[RESUME].requests = ("two.example",)
    return world


def start(world, state="ready", **options):
    """
    Return hosts that setup requested, and its output, as a workspace of a new session says.
    """
    with world.session(**options) as session:
        ws = session.workspace(session.spec(snapshot(), {}), state)
        return [one.host for one in ws.setup.requests], ws.setup.output


@pytest.mark.parametrize("cache", ["auto", "off"])
def test_a_workspace_cannot_change_what_setup_did(world, cache):
    """
    S8: The record is right on a miss, on a hit, and after a resume, whatever the agent answers
    and whatever setup put in place of the file.
    """

    def call(name: str) -> None:
        if name == "after start":
            for one in world.engine.containers({labels.KIND: "workspace"}):
                world.engine.put_archive(one.id, "/", with_link())

    world.on_call = call

    found = [start(world, cache=cache) for _ in range(2)]

    assert [(["one.example"], "setup\nresume\n")] * 2 == found


def test_a_lost_record_is_told(world):
    """
    S8: Without the record that its label names, an image has no requests, and a warning says so.
    """
    start(world)
    image = world.newest("setup")
    container = world.engine.create(world.spec_of(image.id))
    world.engine.put_archive(container, "/", tar_of(RECORD, b'{"setup": {}}'))
    tag = next(tag for tag in image.tags if "setup" in tag)
    world.engine.commit(container, tag=tag, labels={})
    world.engine.remove(container)

    assert start(world) == ([], "resume\n")
    assert 1 == sum("lost the record of its setup" in line for line in world.shown)

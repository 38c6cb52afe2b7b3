"""The log of the life of containers."""

from __future__ import annotations

import logging

from pytest_codex_workspace.engine import labels, life
from pytest_codex_workspace.engine.protocol import ContainerSpec, ImageInfo

SPEC = ContainerSpec(
    "base:1", ["x"], "codex-1-workspace", {labels.KIND: "workspace"}, {"TOKEN": "t"}
)


def test_each_event_names_the_container(caplog):
    """
    By its id, kind and name; its variables are not logged.
    """
    container = "0123456789abcdef"
    with caplog.at_level(logging.DEBUG):
        life.note_created(container, SPEC)
        life.note_started(container)
        life.note_committed(container, ImageInfo("sha256:" + "f" * 64), "demo:setup-k")
        life.note_stopped(container)
        life.note_removed(container)
        life.note_removed("unknown")

    whose = "container 0123456789ab (workspace codex-1-workspace"
    assert [
        f"created {whose}, from base:1, network none)",
        f"started {whose})",
        f"committed {whose}, as demo:setup-k, image ffffffffffff)",
        f"stopped {whose}, its input has ended)",
        f"removed {whose})",
        "removed container unknown",
    ] == caplog.messages


def test_nothing_is_remembered_unless_somebody_listens(monkeypatch, caplog):
    """
    And then, of a bounded number of containers.
    """
    known: dict[str, str] = {}
    monkeypatch.setattr(life, "_called", known)
    monkeypatch.setattr(life, "_REMEMBERED", 2)
    life.note_created("a", SPEC)
    assert {} == known

    with caplog.at_level(logging.DEBUG):
        for name in "abc":
            life.note_created(name, SPEC)

    assert ["b", "c"] == list(known)

"""Tests of the identity of a session, and of recognising a session that has ended."""

from __future__ import annotations

import os
import subprocess
import sys
from types import SimpleNamespace

import pytest

from pytest_codex_workspace.engine import labels
from pytest_codex_workspace.engine.session_id import Identity, mark_of, owner_is_gone


@pytest.fixture
def owner():
    """
    The `pid` label of an object that this process creates.
    """
    return Identity().labels("workspace")[labels.PID]


def test_labels_name_session_kind_and_process():
    """
    Further labels can be added.
    """
    identity = Identity()

    found = identity.labels("network", extra="x")

    assert (identity.id, "network", "x") == (
        found[labels.SESSION],
        found[labels.KIND],
        found["extra"],
    )
    assert found[labels.PID].endswith(f":{os.getpid()}")
    assert labels.created(found) > 0


def test_names_are_unique():
    """
    They have the id of the session.
    """
    identity = Identity()
    names = {identity.name("workspace") for _ in range(50)}

    assert 50 == len(names)
    assert all(name.startswith(f"codex-workspace-{identity.id}-workspace-") for name in names)


def test_a_running_process_is_not_gone(owner):
    """
    The process is this one.
    """
    assert owner_is_gone(owner) is False


def test_a_process_that_has_ended_is_gone(owner):
    """
    Another process may have its id by now, which started at another time.
    """
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    place, started, pid = owner.split(":")

    assert owner_is_gone(f"{place}:{started}:{ended.pid}") is True
    assert owner_is_gone(f"{place}:1{started}:{pid}") is True


def test_a_process_of_another_machine_is_unknown(owner):
    """
    So is a label that has another form.
    """
    assert owner_is_gone(f"other-{owner}") is None
    assert owner_is_gone("nonsense") is None


@pytest.mark.parametrize(("found", "seconds"), [({}, 0.0), ({labels.CREATED: "x"}, 0.0)])
def test_an_unknown_time_of_creation_is_long_ago(found, seconds):
    """
    Objects of other tools may have no such label.
    """
    assert seconds == labels.created(found)


def test_an_engine_has_the_same_mark_by_any_address():
    """
    Another machine, or another disk on the same one, has another.
    """

    def mark(**about):
        return mark_of(SimpleNamespace(version=lambda: about))

    assert mark(host="a", root="/x") == mark(host="a", root="/x", url="tcp://a")
    assert 3 == len({mark(host="a", root="/x"), mark(host="b", root="/x"), mark(host="a")})

"""Tests of the limits of a workspace."""

from __future__ import annotations

import pytest

from pytest_codex_workspace.engine.protocol import Capacity
from pytest_codex_workspace.workspace.limits import Limits, MemoryWatch, limits_of
from tests.fakes.engine import FakeEngine

GIB = 1024**3


class Machine(FakeEngine):
    """
    An engine on another machine.
    """

    def __init__(self, capacity):
        super().__init__()
        self._capacity = capacity

    @property
    def capacity(self):
        return self._capacity


@pytest.mark.parametrize(
    ("capacity", "asked", "limits", "notes"),
    [
        (Capacity(8, 32 * GIB), (2, 8 * GIB), Limits(2, 8 * GIB), 0),
        (Capacity(8, 4 * GIB), (2, 8 * GIB), Limits(2, 4 * GIB), 0),
        (Capacity(2, 32 * GIB), (2, 8 * GIB), Limits(None, 8 * GIB), 0),
        (Capacity(8, 32 * GIB), (0, 0), Limits(None, None), 0),
        (Capacity(), (2, 8 * GIB), Limits(2, 8 * GIB), 0),
        (Capacity(8, 32 * GIB, False, False), (2, 8 * GIB), Limits(None, None), 2),
        (Capacity(8, 32 * GIB, False, False), (0, 0), Limits(None, None), 0),
    ],
)
def test_limits_are_what_the_machine_has_at_most(capacity, asked, limits, notes):
    """
    A limit that the engine cannot keep is left out with a note.
    """
    said = []

    assert limits == limits_of(Machine(capacity), *asked, said.append)
    assert notes == len(said)


@pytest.mark.parametrize(
    ("capacity", "words"),
    [
        (Capacity(1, 4 * GIB), ["has 1 processor, not 2", "of memory, not"]),
        (Capacity(2, 8 * GIB), []),
        (Capacity(), []),
    ],
)
def test_a_profile_says_what_the_machine_lacks(capacity, words):
    """
    What fits into a real workspace may not fit here.
    """
    said = []
    limits_of(Machine(capacity), 2, 8 * GIB, said.append, tells_less=True)

    assert len(words) == len(said)
    assert all(word in line for word, line in zip(words, said, strict=True))


@pytest.mark.parametrize(
    ("path", "form"),
    [
        ("/sys/fs/cgroup/memory.events", "max 3\noom 9\noom_kill {}\noom_group_kill 7\n"),
        ("/sys/fs/cgroup/memory/memory.oom_control", "under_oom 0\noom_kill {}\n"),
    ],
)
def test_killed_processes_are_noticed_once(path, form):
    """
    In both versions of cgroups.
    """
    count = 0

    def read(asked):
        if asked != path:
            raise FileNotFoundError(asked)
        return form.format(count).encode()

    watch = MemoryWatch(read)
    assert not watch.grew()
    count = 2

    assert watch.grew()
    assert not watch.grew()


@pytest.mark.parametrize("content", [None, b"", b"oom_kill many\n"])
def test_without_a_counter_nothing_is_noticed(content):
    """
    Some engines have no such file.
    """

    def read(path):
        if content is None:
            raise FileNotFoundError(path)
        return content

    watch = MemoryWatch(read)

    assert [False, False] == [watch.grew(), watch.grew()]

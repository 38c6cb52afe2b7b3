"""Which process is meant."""

from __future__ import annotations

import os

from pytest_codex_workspace.engine.native.runner.processes import (
    is_alive,
    mark,
    members,
    open_process,
)


def test_a_process_is_known_by_its_number_and_its_beginning():
    """
    A later process with the same number is another.
    """
    number, began = mark(os.getpid())

    assert (os.getpid(), True) == (number, bool(began))
    assert is_alive((number, began))
    assert not is_alive((number, "1"))
    assert not is_alive((number, ""))
    assert open_process((number, "1")) is None
    descriptor = open_process((number, began))
    assert descriptor is not None
    os.close(descriptor)
    assert os.getpid() in members(number)


def test_nothing_is_said_of_a_process_that_is_gone():
    """
    Its mark has no beginning, and nobody shares its namespace.
    """
    child = os.posix_spawn("/bin/true", ["true"], {})
    os.waitpid(child, 0)

    assert (child, "") == mark(child)
    assert open_process(mark(child)) is None
    assert [] == members(child)


def test_a_process_that_nobody_waited_for_has_ended():
    """
    It still has its number.
    """
    child = os.posix_spawn("/bin/true", ["true"], {})
    os.waitid(os.P_PID, child, os.WEXITED | os.WNOWAIT)

    alive = is_alive(mark(child))
    os.waitpid(child, 0)

    assert not alive

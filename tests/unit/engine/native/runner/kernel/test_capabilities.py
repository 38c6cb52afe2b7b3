"""The capabilities of containers."""

from __future__ import annotations

import pytest

from pytest_codex_workspace.engine.native.runner.kernel.capabilities import allowed

DOCKER = 0x00000000A80425FB
"""What Docker's containers have, as /proc/self/status shows it."""


def mask(numbers: list[int]) -> int:
    return sum(1 << one for one in numbers)


def test_they_are_dockers():
    """
    Some can be dropped, and the one for networks added.
    """
    assert DOCKER == mask(allowed((), ()))
    assert DOCKER & ~(1 << 13) == mask(allowed((), ("NET_RAW",)))
    assert DOCKER | 1 << 12 == mask(allowed(("NET_ADMIN",), ()))


@pytest.mark.parametrize("name", ["SYS_ADMIN", "SYS_PTRACE", "SYS_MODULE", "BPF", "nonsense"])
def test_no_other_can_be_added(name: str):
    """
    It would give power over the machine.
    """
    with pytest.raises(ValueError, match=name):
        allowed((name,), ())

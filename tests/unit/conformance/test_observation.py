"""What is said of processes."""

from __future__ import annotations

import pytest

from pytest_codex_workspace.conformance.observation import Survivor


@pytest.mark.parametrize(
    ("args", "name"),
    [
        (("/usr/bin/redis-server", "*:6379"), "redis-server"),
        (("postgres: walwriter ",), "postgres"),
        (("nginx: master process nginx",), "nginx"),
        (("",), "a process"),
        ((), "a process"),
    ],
)
def test_the_name_of_a_process(args, name):
    """
    It has no directory, and nothing of what a daemon says of itself.
    """
    assert Survivor(args).name == name

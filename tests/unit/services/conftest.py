"""A workspace for services: an agent that runs as a local process."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from pytest_codex_workspace.workspace.channel import Channel

from ...helpers.local_agent import local_channel
from ...helpers.ports import free_port


@pytest.fixture(scope="module")
def channel() -> Iterator[Channel]:
    """
    A channel to an agent that all tests of a file share.
    """
    with local_channel(HOME="/nonexistent") as channel:
        yield channel


@pytest.fixture
def port() -> int:
    """
    A port on which nothing listens.
    """
    return free_port()

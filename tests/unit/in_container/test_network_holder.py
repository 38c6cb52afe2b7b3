"""Tests of the network holder. Integration tests cover its changes to the network."""

from __future__ import annotations

import pytest

from pytest_codex_workspace.in_container import network_holder


@pytest.mark.parametrize("line", [b"garbage", b"{}", b"[]", b'{"proxy": 5}', b'{"proxy": "x"}'])
def test_a_holder_answers_an_invalid_request(line):
    """
    An invalid request is answered with an error, not with a traceback.
    """
    assert "error" in network_holder.prepare(line)

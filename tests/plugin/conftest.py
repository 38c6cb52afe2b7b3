"""Shared by the tests of the plugin."""

from __future__ import annotations

# Hypothesis's plugin imports this at the end of each run that pytester starts in this process, and
# pytester unloads what was not loaded before.
import hypothesis.internal.observability  # noqa: F401
import pytest


@pytest.fixture
def example(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> pytest.Pytester:
    """
    A project whose only test uses a workspace, on a machine without an engine.
    """
    monkeypatch.setenv("DOCKER_HOST", f"unix://{pytester.path}/no.sock")
    pytester.makepyfile("def test_it(codex_workspace): pass")
    return pytester

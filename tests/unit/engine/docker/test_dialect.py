"""Tests of how an engine is recognised."""

from __future__ import annotations

from typing import Any

import pytest

from pytest_codex_workspace.engine.docker.dialect import DOCKER, PODMAN, Dialect, dialect_of


@pytest.mark.parametrize(
    ("about", "dialect"),
    [
        ({}, DOCKER),
        ({"Components": None}, DOCKER),
        ({"Components": [{"Name": "Engine"}, {"Name": "containerd"}]}, DOCKER),
        ({"Components": [{"Name": "Podman Engine"}, {"Name": "Conmon"}]}, PODMAN),
        ({"Components": [{}]}, DOCKER),
    ],
)
def test_an_engine_is_recognised_by_what_it_says(about: dict[str, Any], dialect: Dialect) -> None:
    """
    Whatever is not known speaks as Docker does.
    """
    assert dialect is dialect_of(about)

"""Shared by the tests and the examples of this repository."""

from __future__ import annotations

pytest_plugins = ["pytester"]

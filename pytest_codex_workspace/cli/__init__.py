"""The command `codex-workspace`. Each command is a module of the same name."""

from __future__ import annotations

from .main import main

__all__ = ["main"]

"""
Another engine, and a file with a line for each container that it creates.

`--codex-engine=recording` wraps the engine that `auto` stands for, `--codex-engine=recording://podman`
the one after the slashes. The variable RECORDING_ENGINE_FILE names the file.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

from pytest_codex_workspace import ContainerSpec, Engine, find_engine


def open_engine(choice: str, environ: Mapping[str, str]) -> Engine:
    """
    Return the engine: what the entry point names.

    Args:
        choice: what the user has given: `recording`, or a URL that begins with `recording://`.
        environ: the environment.
    """
    inner = choice.partition("://")[2] or "auto"
    file = Path(environ.get("RECORDING_ENGINE_FILE", "containers.jsonl"))
    return cast("Engine", _Recording(find_engine(inner, environ), file))


class _Recording:
    """
    An engine that does everything as another one does.
    """

    def __init__(self, engine: Engine, file: Path) -> None:
        self._engine = engine
        self._file = file

    def __getattr__(self, name: str) -> Any:
        return getattr(self._engine, name)

    def create(self, spec: ContainerSpec) -> str:
        container = self._engine.create(spec)
        line = json.dumps({"container": container, "image": spec.image, "network": spec.network})
        with self._file.open("a", encoding="utf-8") as file:
            file.write(line + "\n")
        return container

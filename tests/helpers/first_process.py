"""Signals for the first process of a container, from outside."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path

import docker

from pytest_codex_workspace.engine.protocol import Engine


def signal_first_process(engine: Engine, container: str, number: signal.Signals) -> None:
    """
    Send a signal, in the way of the engine.
    """
    if engine.url.startswith("native://"):
        folder = Path(engine.version()["root"]) / "containers" / engine.container(container).id
        os.kill(json.loads((folder / "state.json").read_bytes())["first"][0], number)
        return
    client = docker.APIClient(engine.url)
    client.kill(container, number.name.removeprefix("SIG"))
    client.close()

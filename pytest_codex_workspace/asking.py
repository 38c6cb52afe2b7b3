"""Asking an image something: a command in a container that lives for a moment."""

from __future__ import annotations

from collections.abc import Mapping

from .engine.protocol import ContainerSpec, Engine
from .identity import Identity

__all__ = ["ask"]

_LONGEST = 1 << 16
"""Bytes kept of each output."""


def ask(
    engine: Engine, image_id: str, script: str, environment: Mapping[str, str], *, purpose: str
) -> tuple[str, str]:
    """
    Run *script* in a bash login shell, without a network.

    Args:
        engine: where the image is.
        image_id: the image.
        script: what to run.
        environment: its variables besides the image's.
        purpose: a word for the container's name.

    Returns:
        What it printed to its standard output, and to its standard error.
    """
    identity = Identity()
    container = engine.create(
        ContainerSpec(
            image=image_id,
            command=("bash", "--login", "-c", script),
            name=identity.name(purpose),
            labels=identity.labels("workspace"),
            environment=environment,
        )
    )
    try:
        stream = engine.attach(container)
        try:
            engine.start(container)
            printed = {1: bytearray(), 2: bytearray()}
            while (received := stream.receive())[0]:
                kept = printed[1 if received[0] == 1 else 2]
                kept += received[1]
                del kept[:-_LONGEST]
        finally:
            stream.close()
    finally:
        engine.remove(container)
    return printed[1].decode("utf-8", "replace"), printed[2].decode("utf-8", "replace")

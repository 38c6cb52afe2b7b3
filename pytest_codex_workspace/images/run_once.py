"""Running a command once in a temporary container of an image."""

from __future__ import annotations

from collections.abc import Mapping

from ..engine.protocol import ContainerSpec, Engine
from ..engine.session_id import Identity
from ..engine.sweep import remove_session
from ..errors import EngineError
from .foreign import ended_after, limited

__all__ = ["run_once"]

_OUTPUT_LIMIT = 1 << 16
"""The largest number of bytes kept of each output."""


def run_once(
    engine: Engine,
    image_id: str,
    script: str,
    environment: Mapping[str, str],
    *,
    purpose: str,
    patience: float = 120.0,
) -> tuple[str, str]:
    """
    Run *script* in a bash login shell of an image, without a network.

    Args:
        engine: the engine that has the image.
        image_id: id of the image.
        script: the script to run.
        environment: variables in addition to those of the image.
        purpose: a word for the name of the container.
        patience: seconds after which the container is removed.

    Returns:
        The end of its standard output, and of its standard error.

    Raises:
        EngineError: the script did not end in time.
    """
    identity = Identity()
    try:
        container = engine.create(
            limited(
                ContainerSpec(
                    image=image_id,
                    # The input of a container never ends, and a profile of the image may read it.
                    command=("bash", "-c", 'exec bash --login -c "$1" </dev/null', "bash", script),
                    name=identity.name(purpose),
                    labels=identity.labels("workspace"),
                    environment=environment,
                )
            )
        )
    except BaseException:
        # Interrupted when it existed already.
        remove_session(engine, identity.id)
        raise
    try:
        stream = engine.attach(container)
        try:
            engine.start(container)
            printed = {1: bytearray(), 2: bytearray()}
            with ended_after(engine, container, patience, stream) as expired:
                while (received := stream.receive())[0]:
                    kept = printed[1 if received[0] == 1 else 2]
                    kept += received[1]
                    del kept[:-_OUTPUT_LIMIT]
            if expired():
                raise EngineError(
                    f"a script in the image {image_id[:19]} did not end within {patience:g} s"
                )
        finally:
            stream.close()
    finally:
        engine.remove(container)
    return printed[1].decode("utf-8", "replace"), printed[2].decode("utf-8", "replace")

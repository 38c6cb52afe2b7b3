"""
Fail if tests have left anything of ours on the engines that the command line names, and remove the
layers that they made.

A run makes a few hundred layers of small repositories, which nobody will use again. They carry the
certificate authority of the closed environment that the tests run in (`tools/machine`); the layers
of a user's own runs carry another one.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping

from pytest_codex_workspace.engine import labels
from pytest_codex_workspace.engine.docker.find import find_engine
from pytest_codex_workspace.engine.protocol import Engine
from pytest_codex_workspace.engine.session_id import owner_is_gone
from pytest_codex_workspace.engine.sweep import remove_images
from pytest_codex_workspace.errors import EngineError
from pytest_codex_workspace.host.certificates import authority_digest, ca_certificate, load_ca


def main(choices: list[str]) -> int:
    """
    Look, remove the layers, and report.

    Args:
        choices: the engines, as the plugin's option names them.

    Returns:
        The exit code: 1 if something was left.
    """
    code = 0
    authority = load_ca()
    for choice in choices:
        engine = find_engine(choice)
        left = containers_left(engine) + networks_left(engine)
        removed = 0
        if authority:
            removed = remove_layers(engine, authority_digest(ca_certificate(authority)))
        engine.close()
        print(f"{choice}: removed {removed} cached layers of the tests")
        if left:
            print(f"{choice}: left after the tests: {', '.join(left)}", file=sys.stderr)
            code = 1
        else:
            print(f"{choice}: nothing of ours is left but the images")
    return code


def containers_left(engine: Engine) -> list[str]:
    """
    Return the containers whose session has ended.
    """
    found = engine.containers({labels.SESSION: None})
    return [f"container {one.name}" for one in found if _is_left(one.labels)]


def networks_left(engine: Engine) -> list[str]:
    """
    Return the networks whose session has ended, except those that the engine itself keeps: some
    engines lose count of the containers on a network.
    """
    left = []
    for network in engine.networks({labels.SESSION: None}):
        if not _is_left(network.labels):
            continue
        try:
            engine.remove_network(network.id)
        except EngineError as error:
            print(f"the engine keeps an empty network: {error}")
        else:
            left.append(f"network {network.name}")
    return left


def remove_layers(engine: Engine, authority: str) -> int:
    """
    Remove the layers that trust *authority*, the topmost first.

    Returns:
        How many were removed.
    """
    kinds = ("ready", "setup", "clean")
    return sum(
        len(remove_images(engine, {labels.KIND: kind, labels.CA: authority})) for kind in kinds
    )


def _is_left(found: Mapping[str, str]) -> bool:
    return owner_is_gone(found.get(labels.PID, "")) is not False


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

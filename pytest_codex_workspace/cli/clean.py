"""`codex-workspace clean`: remove what ended runs left."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from .common import add_command, add_engine, add_json, engine_of, show_removed

if TYPE_CHECKING:
    from .common import Commands

__all__ = ["register"]

_CLEAN = """\
Remove the containers, networks and temporary images that ended runs left
behind. Running sessions and caches are not touched.

  codex-workspace clean
  codex-workspace clean --images
"""


def register(commands: Commands) -> None:
    """
    Add the command.
    """
    parser = add_command(commands, "clean", "remove what ended runs left", _CLEAN, _clean)
    add_engine(parser)
    parser.add_argument(
        "--images", action="store_true", help="remove every image of ours too, caches included"
    )
    add_json(parser)


def _clean(arguments: argparse.Namespace) -> int:
    from .. import labels
    from ..engine.find import find_engine
    from ..sweep import remove_images, sweep

    engine = find_engine(engine_of(arguments))
    try:
        removed = sweep(engine)
        if arguments.images:
            removed += remove_images(engine, {labels.KIND: None})
    finally:
        engine.close()
    return show_removed(arguments, removed, "objects", "nothing was left behind")

"""`codex-workspace clean`: remove what earlier runs left behind."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from .options import add_command, add_engine, add_json, engine_of
from .printing import print_removed

if TYPE_CHECKING:
    from .options import Commands

__all__ = ["SUMMARY", "register"]

SUMMARY = "remove what earlier runs left behind"

_CLEAN = """\
Remove what earlier runs left behind.

These are the containers, networks and temporary images of runs that were
killed. Objects of running sessions, images and cached layers stay.

Examples:
  codex-workspace clean
  codex-workspace clean --images
"""


def register(commands: Commands) -> None:
    """
    Add the command.
    """
    parser = add_command(commands, "clean", SUMMARY, _CLEAN, _clean)
    add_engine(parser)
    parser.add_argument(
        "--images",
        action="store_true",
        help="also remove the workspace image, the proxy image and all cached layers",
    )
    add_json(parser)


def _clean(arguments: argparse.Namespace) -> int:
    from ..engine import labels
    from ..engine.docker.find import find_engine
    from ..engine.sweep import remove_images, sweep

    engine = find_engine(engine_of(arguments))
    try:
        removed = sweep(engine)
        if arguments.images:
            removed += remove_images(engine, {labels.KIND: None})
    finally:
        engine.close()
    return print_removed(arguments, removed, "object", "nothing to remove")

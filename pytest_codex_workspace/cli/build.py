"""`codex-workspace build`: the images that everything starts from."""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from .common import (
    add_command,
    add_json,
    add_options,
    config_of,
    finish,
    output_of,
    show,
    tell_event,
)

if TYPE_CHECKING:
    from ..config import Config
    from ..engine.protocol import ImageInfo
    from ..runtimes import Offer
    from ..session import Session
    from .common import Commands

__all__ = ["register"]

_BUILD = """\
Build the workspace image and the proxy image where they are missing or out of
date, and print what they are. Every other command does so when it needs them;
this one does it beforehand, in the image of a CI machine, say.

--list-runtimes prints, for each language of Codex, the versions that the image
has, the variable that chooses among them (- if none does), and Codex's default.

  codex-workspace build
  codex-workspace build --image=slim --list-runtimes
  codex-workspace build --image=python:3.13 --force
"""

_SOURCES = {
    "found": "its setup_universal.sh has no list: these are in its version managers' directories, "
    "and it may install others",
    "none": "it has no setup_universal.sh: CODEX_ENV_*_VERSION are only set, these are on its PATH",
}


def register(commands: Commands) -> None:
    """
    Add the command.
    """
    parser = add_command(commands, "build", "build the images", _BUILD, _build)
    add_options(parser, ("repo-config", "image", "engine", "output", "upstream-proxy"))
    parser.add_argument("--list-runtimes", action="store_true", help="print what the image offers")
    parser.add_argument(
        "--force",
        action="store_true",
        help="build them even if they are there, without what is left of earlier builds",
    )
    add_json(parser)


def _build(arguments: argparse.Namespace) -> int:
    from ..session import Session

    # The repository here may name the image.
    repo = os.environ.get("CODEX_WORKSPACE_REPO") or "."
    config = config_of(arguments, repo=repo)
    with Session(config, output_of(arguments, config.output)) as session:
        image = _images(arguments, session, config)
        if arguments.list_runtimes:
            from ..runtimes import offered_runtimes

            _show_runtimes(arguments, config.image, offered_runtimes(session.engine, image.id))
    return finish(arguments, 0)


def _images(arguments: argparse.Namespace, session: Session, config: Config) -> ImageInfo:
    from ..images import ensure_base_image, ensure_proxy_image
    from ..trust import load_ca

    engine, output, anew = session.engine, session.output, arguments.force
    _timed(
        arguments,
        "proxy",
        lambda: ensure_proxy_image(engine, output=output, anew=anew),
        choice=None,
    )
    # The first proxy of a machine makes its authority.
    authority = load_ca() or session.isolation.info.ca_certificate
    return _timed(
        arguments,
        "workspace",
        lambda: ensure_base_image(
            engine, config.image, ca_certificate=authority, output=output, anew=anew
        ),
        choice=config.image,
    )


def _timed(
    arguments: argparse.Namespace, what: str, make: Callable[[], ImageInfo], *, choice: str | None
) -> ImageInfo:
    from .. import images, labels
    from ..quantities import show_size

    began, started = time.time(), time.monotonic()
    image = make()
    duration = time.monotonic() - started
    built = labels.created(image.labels) >= began - 0.001
    repository = images.PROXY_IMAGE if what == "proxy" else images.IMAGE
    # Users may have given it names of their own.
    tags = sorted({*image.tags, f"{repository}:latest"})
    tags = [tag for tag in tags if tag.startswith(f"{repository}:")]
    facts: dict[str, Any] = {
        "image": what,
        "choice": choice,
        "id": image.id,
        "tags": tags,
        "size": image.size,
        "built": built,
        "duration": round(duration, 3),
    }
    if tell_event(arguments, "image", **facts):
        return image
    show(f"{what} image" + (f" ({choice})" if choice else ""))
    for tag in tags:
        show(f"  tag   {tag}")
    show(f"  id    {image.id}")
    show(f"  size  {show_size(image.size)}")
    show(f"  took  {duration:.1f} s, {'built' if built else 'it was there'}")
    return image


def _show_runtimes(arguments: argparse.Namespace, choice: str, offer: Offer) -> None:
    from ..printable import printable

    rows: list[tuple[str, ...]] = [("RUNTIME", "VERSIONS", "CHOSEN BY", "CODEX'S DEFAULT")]
    for one in offer.runtimes:
        told = tell_event(
            arguments,
            "runtime",
            name=one.name,
            versions=one.versions,
            variable=one.variable if one.choosable else None,
            default=one.default,
            has_default=one.has_default,
            known_from=offer.source,
        )
        if not told:
            default = one.default if one.has_default else f"{one.default}, which it does not have"
            versions = printable(", ".join(one.versions)) or "none"
            rows.append((one.name, versions, one.variable if one.choosable else "-", default))
    if len(rows) == 1:
        return
    show(f"runtimes of {choice}")
    if offer.source in _SOURCES:
        show(f"  {_SOURCES[offer.source]}")
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        cells = (cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        show(("  " + "  ".join(cells)).rstrip())

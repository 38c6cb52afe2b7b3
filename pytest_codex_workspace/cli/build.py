"""`codex-workspace build`: the workspace image and the proxy image."""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from ..unpatched import clock
from .options import add_command, add_json, add_options, config_of
from .printing import finish, output_of, print_event, show, table

if TYPE_CHECKING:
    from ..engine.protocol import ImageInfo
    from ..images.runtimes import Offer
    from ..options.config import Config
    from ..session import Session
    from .options import Commands

__all__ = ["SUMMARY", "register"]

SUMMARY = "build the images"

_BUILD = """\
Build the workspace image and the proxy image.

Images are only built if they are missing or out of date. Their tags, ids and
sizes are printed. Other commands build the images when they need them; use this
command to prepare a machine, for example in CI.

--list-runtimes prints, for each language of Codex, the versions in the image,
the variable that selects one (- if none does), and the default of Codex.

Examples:
  codex-workspace build
  codex-workspace build --image=slim --list-runtimes
  codex-workspace build --image=python:3.13 --force
"""

_SOURCES = {
    "found": "setup_universal.sh of the image has no list; these versions are in the folders of "
    "its version managers, and others may be installable",
    "none": "the image has no setup_universal.sh; these versions are on its PATH, and "
    "CODEX_ENV_*_VERSION have no effect",
}


def register(commands: Commands) -> None:
    """
    Add the command.
    """
    parser = add_command(commands, "build", SUMMARY, _BUILD, _build)
    add_options(parser, ("repo-config", "image", "engine", "output", "upstream-proxy"))
    parser.add_argument(
        "--list-runtimes", action="store_true", help="print the versions in the image"
    )
    parser.add_argument(
        "--force",
        action="store_true",
        help="build the images even if they are up to date, without the engine's build cache, and "
        "from the newest images of the registry",
    )
    add_json(parser)


def _build(arguments: argparse.Namespace) -> int:
    from ..session import Session

    # The configuration file of the repository may set the image.
    repo = os.environ.get("CODEX_WORKSPACE_REPO") or "."
    config = config_of(arguments, repo=repo)
    with Session(config, output_of(arguments, config.output)) as session:
        image = _images(arguments, session, config)
        if arguments.list_runtimes:
            from ..images.runtimes import offered_runtimes

            _show_runtimes(arguments, config.image, offered_runtimes(session.engine, image.id))
    return finish(arguments, 0)


def _images(arguments: argparse.Namespace, session: Session, config: Config) -> ImageInfo:
    from ..host.certificates import load_ca
    from ..images.proxy import ensure_proxy_image

    engine, output, rebuild = session.engine, session.output, arguments.force
    session.build_ahead()
    _timed(
        arguments,
        "proxy",
        lambda: ensure_proxy_image(engine, output=output, rebuild=rebuild),
        choice=None,
    )
    # The first proxy on a machine creates the certificate authority.
    authority = load_ca() or session.isolation.info.ca_certificate
    return _timed(
        arguments,
        "workspace",
        lambda: session.ensure_base_image(authority, rebuild=rebuild),
        choice=config.image,
    )


def _timed(
    arguments: argparse.Namespace, what: str, make: Callable[[], ImageInfo], *, choice: str | None
) -> ImageInfo:
    from ..codex import IMAGE, PROXY_IMAGE
    from ..engine import labels
    from ..text.units import show_size

    began, started = clock.wall_time(), clock.monotonic()
    image = make()
    duration = clock.monotonic() - started
    built = labels.created(image.labels) >= began - 0.001
    repository = PROXY_IMAGE if what == "proxy" else IMAGE
    # Users may have added tags of their own.
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
    if print_event(arguments, "image", **facts):
        return image
    show(f"{what} image" + (f" ({choice})" if choice else ""))
    rows = [
        *(("tag", tag) for tag in tags),
        ("id", image.id),
        ("size", show_size(image.size)),
        ("time", f"{duration:.1f} s, {'built' if built else 'already up to date'}"),
    ]
    for line in table(rows, indent=2):
        show(line)
    return image


def _show_runtimes(arguments: argparse.Namespace, choice: str, offer: Offer) -> None:
    from ..text.printable import printable

    rows: list[tuple[str, ...]] = [("RUNTIME", "VERSIONS", "VARIABLE", "CODEX DEFAULT")]
    for one in offer.runtimes:
        printed = print_event(
            arguments,
            "runtime",
            name=one.name,
            versions=one.versions,
            variable=one.variable if one.choosable else None,
            default=one.default,
            has_default=one.has_default,
            known_from=offer.source,
        )
        if not printed:
            default = one.default if one.has_default else f"{one.default} (not in the image)"
            versions = printable(", ".join(one.versions)) or "none"
            rows.append((one.name, versions, one.variable if one.choosable else "-", default))
    if len(rows) == 1:
        return
    show(f"runtimes of {choice}")
    if offer.source in _SOURCES:
        show(f"  {_SOURCES[offer.source]}")
    for line in table(rows, indent=2):
        show(line)

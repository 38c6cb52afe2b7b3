"""`codex-workspace cache`: what is kept between runs."""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from ..quantities import show_duration, show_size
from .common import (
    RUN_OPTIONS,
    add_command,
    add_engine,
    add_group,
    add_json,
    add_options,
    add_repo,
    config_of,
    engine_of,
    finish,
    output_of,
    show,
    show_removed,
    tell_event,
)

if TYPE_CHECKING:
    from ..cache import Entry
    from ..config import Config
    from ..engine.protocol import Engine
    from ..layers import Order
    from ..session import Session
    from ..usage import Usage
    from .common import Commands

__all__ = ["register"]

_LIST = """\
Print the layers in the cache: a clean one has a commit, a setup one ran
setup-script.sh, a ready one ran setup-from-cache-script.sh. Own is what the
removal of a layer would free, shared what others have of it, too.

  codex-workspace cache list
  codex-workspace cache list --json | jq 'select(.kind == "setup")'
"""

_EXPLAIN = """\
Print what the key of a repository's setup image is made of, and whether there
is an image for it. If there is none, print what is different about the image
that comes nearest.

  codex-workspace cache explain . --image=slim --env=FLAVOUR=a
"""

_PRUNE = """\
Remove layers that are too old to be used; then, if the rest takes more than
--cache-size, the least recently used. What is in use stays.

  codex-workspace cache prune
  codex-workspace cache prune --cache-ttl=1h --cache-size=5GB
"""

_CLEAR = """\
Remove every layer that is not in use. The workspace image and the proxy image
stay; `codex-workspace clean --images` removes them, too.

  codex-workspace cache clear
"""

_EXPORT = """\
Write setup images to a file, with all they stand on, for an engine elsewhere:
those of REPO's setup if --repo is given, otherwise all. A name that ends in
.gz is compressed.

  codex-workspace cache export setups.tar.gz
  codex-workspace cache export mine.tar --repo=.
"""

_IMPORT = """\
Take over the setup images of a file that `cache export` wrote. A file that
holds any other image is refused.

  codex-workspace cache import setups.tar.gz
"""

_VERIFY = """\
Run setup-from-cache-script.sh once more in a workspace in which it has run,
and print every file that this changes, adds or removes. Such a script makes a
workspace depend on how often it was resumed. The exit code is 1 if there are any.

  codex-workspace cache verify
"""

_CACHE = """\
See and manage the layers that make the second run fast: images of a commit, of
what setup-script.sh made of it, and of what setup-from-cache-script.sh did then.

  codex-workspace cache list
  codex-workspace cache explain .
"""


def register(commands: Commands) -> None:
    """
    Add the command and those below it.
    """
    below = add_group(commands, "cache", "what is kept between runs", _CACHE)
    list_ = add_command(below, "list", "layers, their sizes and uses", _LIST, _list)
    add_engine(list_)
    add_json(list_)

    options = tuple(set(RUN_OPTIONS) - {"cassette", "output"})
    explain = add_command(below, "explain", "what a setup's key is made of", _EXPLAIN, _explain)
    add_repo(explain)
    add_options(explain, options)
    add_json(explain)

    prune = add_command(below, "prune", "remove what is old or too much", _PRUNE, _prune)
    add_options(prune, ("engine", "cache-ttl", "cache-size"))
    add_json(prune)
    clear = add_command(below, "clear", "remove all that is not in use", _CLEAR, _clear)
    add_engine(clear)
    add_json(clear)

    export = add_command(below, "export", "write setup images to a file", _EXPORT, _export)
    export.add_argument("file", metavar="FILE", type=Path)
    export.add_argument("--repo", metavar="REPO", help="only those of this repository")
    add_engine(export)
    import_ = add_command(below, "import", "take setup images from a file", _IMPORT, _import)
    import_.add_argument("file", metavar="FILE", type=Path)
    add_options(import_, ("engine", "cache-ttl"))

    verify = add_command(below, "verify", "is resuming idempotent?", _VERIFY, _verify)
    add_repo(verify)
    add_options(verify, RUN_OPTIONS)


@contextmanager
def _engine(arguments: argparse.Namespace) -> Iterator[tuple[Engine, Usage]]:
    from ..engine.find import find_engine
    from ..usage import usage_on

    engine = find_engine(engine_of(arguments))
    try:
        yield engine, usage_on(engine)
    finally:
        engine.close()


def _list(arguments: argparse.Namespace) -> int:
    from ..cache import entries

    with _engine(arguments) as (engine, usage):
        found = entries(engine, usage)
    found.sort(key=lambda one: (one.repository, one.created))
    size = sum(entry.own for entry in found)
    if arguments.events:
        for entry in found:
            tell_event(arguments, "layer", **_facts(entry))
        return finish(arguments, 0, layers=len(found), size=size)
    rows: list[tuple[str, ...]] = [
        ("REPOSITORY", "KIND", "KEY", "AGE", "OWN", "SHARED", "HITS", "LAST USED")
    ]
    rows += [_row(entry) for entry in found]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        cells = (cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        show("  ".join(cells).rstrip())
    show(f"{len(found)} layers take {show_size(size)}")
    return 0


def _facts(entry: Entry) -> dict[str, object]:
    return {
        "repository": entry.repository,
        "kind": entry.kind,
        "key": entry.key,
        "tags": entry.image.tags,
        "id": entry.image.id,
        "created": entry.created,
        "own": entry.own,
        "shared": entry.shared,
        "hits": entry.use.hits,
        "last_used": entry.use.last if entry.use.hits else None,
    }


def _row(entry: Entry) -> tuple[str, ...]:
    now = time.time()
    used = f"{show_duration(now - entry.use.last)} ago" if entry.use.hits else "never"
    return (
        entry.repository,
        entry.kind,
        entry.key,
        show_duration(now - entry.created),
        show_size(entry.own),
        show_size(entry.shared),
        str(entry.use.hits),
        used,
    )


def _explain(arguments: argparse.Namespace) -> int:
    from .explanation import explain

    with _session(arguments) as (session, config, order):
        explanation = explain(session, config, order)
    if not arguments.events:
        for line in explanation.lines(config.cache_ttl):
            show(line)
    return finish(arguments, 0, **explanation.facts())


def _prune(arguments: argparse.Namespace) -> int:
    from ..cache import prune

    config = config_of(arguments)
    with _engine(arguments) as (engine, usage):
        removed = prune(engine, usage, ttl=config.cache_ttl, size=config.cache_size)
    return show_removed(arguments, removed, "tags", "there was nothing to remove")


def _clear(arguments: argparse.Namespace) -> int:
    from ..cache import clear

    with _engine(arguments) as (engine, usage):
        removed = clear(engine, usage)
    return show_removed(arguments, removed, "tags", "there was nothing to remove")


def _export(arguments: argparse.Namespace) -> int:
    import os

    from .. import labels
    from ..cache import entries
    from ..cachefile import export_setups
    from ..errors import CacheMiss
    from ..repository import open_repository

    with _engine(arguments) as (engine, usage):
        found = [one for one in entries(engine, usage) if one.kind == "setup"]
        if arguments.repo:
            wanted = open_repository(arguments.repo, environ=os.environ).identity
            found = [one for one in found if one.image.labels.get(labels.REPO) == wanted]
        if not found:
            raise CacheMiss(
                "there is no setup image to export; `codex-workspace run` makes that of a "
                "repository, `codex-workspace cache list` shows what there is"
            )
        export_setups(engine, found, arguments.file)
    for one in found:
        show(f"exported {one.repository} {one.key}")
    show(f"{arguments.file}: {show_size(arguments.file.stat().st_size)}")
    return 0


def _import(arguments: argparse.Namespace) -> int:
    from ..cache import is_old
    from ..cachefile import import_setups
    from ..codex import IMAGE

    ttl = config_of(arguments).cache_ttl
    with _engine(arguments) as (engine, _):
        for key in import_setups(engine, arguments.file):
            image = engine.image(f"{IMAGE}:setup-{key}")
            old = image is None or is_old(image, ttl)
            show(f"imported {key}" + (", which is too old to be used" if old else ""))
    return 0


def _verify(arguments: argparse.Namespace) -> int:
    with _session(arguments) as (session, _, order):
        if not order.snapshot.has_resume:
            show(f"{order.snapshot.path} has no setup-from-cache-script.sh: nothing runs twice")
            return 0
        found = session.repeat_resume(order)
    for line in found:
        show(line)
    if found:
        show(f"{len(found)} files differ after a second run")
        return 1
    show("a second run changes nothing")
    return 0


@contextmanager
def _session(arguments: argparse.Namespace) -> Iterator[tuple[Session, Config, Order]]:
    from ..session import Session

    config = config_of(arguments)
    assert config.repo is not None  # noqa: S101 -- argparse has a default
    session = Session(config, output_of(arguments, config.output))
    try:
        snapshot = session.repository(config.repo, config.rev)
        yield session, config, session.order(snapshot, config.env)
    finally:
        session.close()

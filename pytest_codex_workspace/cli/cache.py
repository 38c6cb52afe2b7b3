"""`codex-workspace cache`: what is kept between runs."""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from ..keys import Hidden
from ..quantities import show_duration, show_size
from .common import (
    RUN_OPTIONS,
    add_command,
    add_engine,
    add_options,
    add_repo,
    config_of,
    engine_of,
    show,
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
"""

_CLEAR = """\
Remove every layer that is not in use. The workspace image and the proxy image
stay; `codex-workspace clean --images` removes them, too.
"""

_EXPORT = """\
Write setup images to a file, with all they stand on, for an engine elsewhere:
those of REPO's setup if --repo is given, otherwise all. A name that ends in
.gz is compressed.

  codex-workspace cache export setups.tar.gz
"""

_IMPORT = """\
Take over the setup images of a file that `cache export` wrote. A file that
holds any other image is refused.
"""

_VERIFY = """\
Run setup-from-cache-script.sh once more in a workspace in which it has run,
and print every file that this changes, adds or removes. Such a script makes a
workspace depend on how often it was resumed. The exit code is 1 if there are any.
"""


def register(commands: Commands) -> None:
    """
    Add the command and those below it.
    """
    parser = commands.add_parser("cache", help="what is kept between runs")
    below = parser.add_subparsers(metavar="COMMAND", required=True)
    add_engine(add_command(below, "list", "layers, their sizes and uses", _LIST, _list))

    options = tuple(set(RUN_OPTIONS) - {"cassette", "output"})
    explain = add_command(below, "explain", "what a setup's key is made of", _EXPLAIN, _explain)
    add_repo(explain)
    add_options(explain, options)

    prune = add_command(below, "prune", "remove what is old or too much", _PRUNE, _prune)
    add_options(prune, ("engine", "cache-ttl", "cache-size"))
    add_engine(add_command(below, "clear", "remove all that is not in use", _CLEAR, _clear))

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
    rows: list[tuple[str, ...]] = [
        ("REPOSITORY", "KIND", "KEY", "AGE", "OWN", "SHARED", "HITS", "LAST USED")
    ]
    rows += [_row(entry) for entry in sorted(found, key=lambda one: (one.repository, one.created))]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        cells = (cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        show("  ".join(cells).rstrip())
    show(f"{len(found)} layers take {show_size(sum(entry.own for entry in found))}")
    return 0


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
    with _session(arguments) as (session, config, order):
        return _explained(session, config, order)


def _explained(session: Session, config: Config, order: Order) -> int:
    from ..cache import entries, is_old
    from ..keys import fingerprint, key_of
    from ..layers import setup_parts
    from ..usage import usage_on

    snapshot = order.snapshot
    if snapshot.scripts_tree is None:
        show(f"{snapshot.path} has no codex-workspace-scripts/, so there is no setup to cache")
        return 0
    parts = setup_parts(order, base=session.base_identity, platform=session.engine.platform)
    key, own = key_of(parts), fingerprint(parts)
    show(f"setup image {key}: {snapshot.name} at {snapshot.head[:12]}, made from")
    for name, value in parts.items():
        show(f"  {name:<24} {_short(value)}")
    every = entries(session.engine, usage_on(session.engine))
    setups = [one for one in every if one.kind == "setup"]
    hit = next((one for one in setups if one.key == key), None)
    if hit is not None:
        age = show_duration(time.time() - hit.created)
        if not is_old(hit.image, config.cache_ttl):
            show(f"hit: {age} old, used {hit.use.hits} times, {show_size(hit.own)}")
            return 0
        limit = show_duration(config.cache_ttl)
        show(f"miss: there is an image, but it is {age} old, and {limit} is the limit")
        return 0
    _show_nearest(order, own, setups)
    return 0


def _short(value: object) -> str:
    """
    One part of a key in a line: what a policy is called, what variables there are.
    """
    if isinstance(value, Hidden):
        return "(not shown)"
    if isinstance(value, list):
        return ", ".join(map(str, value))
    if isinstance(value, Mapping):
        return str(value.get("name") or ", ".join(value) or "none")
    if isinstance(value, bool):
        return "yes" if value else "no"
    return str(value)


def _show_nearest(order: Order, own: dict[str, str], setups: list[Entry]) -> None:
    from ..keys import differing

    told = [(differing(_parts_of(one), own), one) for one in setups]
    near = [
        (found, one) for found, one in told if not {"repository", "name"} & set(found)
    ]  # Another repository's image is no neighbour.
    if not near:
        show(f"miss: there is no setup image of {order.snapshot.name}")
        return
    found, one = min(near, key=lambda pair: (len(pair[0]), -pair[1].created))
    age = show_duration(time.time() - one.created)
    show(f"miss: the nearest setup image is {one.key}, {age} old; since then")
    if not found:
        # Of their values no image tells anything.
        found = {"secret values": "changed"}
    for name, what in found.items():
        show(f"  {name:<24} {what}")
        if name == "scripts":
            for line in _changed_scripts(order, _parts_of(one).get("scripts", "")):
                show(f"    {line}")


def _parts_of(entry: Entry) -> dict[str, str]:
    import json

    from .. import labels

    try:
        return {str(k): str(v) for k, v in json.loads(entry.image.labels[labels.PARTS]).items()}
    except (KeyError, ValueError, AttributeError):
        return {}


def _changed_scripts(order: Order, old: str) -> list[str]:
    """
    Which files of the scripts' directory changed, if its old tree is still in the repository.
    """
    import os

    from ..git import inside, reading_environment, run_git

    result = run_git(
        *inside(order.snapshot.git_dir),
        *("diff-tree", "-r", "--name-status", old, str(order.snapshot.scripts_tree)),
        env=reading_environment(os.environ),
    )
    return result.stdout.decode("utf-8", "replace").splitlines() if result.code == 0 else []


def _prune(arguments: argparse.Namespace) -> int:
    from ..cache import prune

    config = config_of(arguments)
    with _engine(arguments) as (engine, usage):
        return _show_removed(prune(engine, usage, ttl=config.cache_ttl, size=config.cache_size))


def _clear(arguments: argparse.Namespace) -> int:
    from ..cache import clear

    with _engine(arguments) as (engine, usage):
        return _show_removed(clear(engine, usage))


def _show_removed(removed: list[str]) -> int:
    for line in removed:
        show(f"removed {line}")
    show(f"removed {len(removed)} tags" if removed else "there was nothing to remove")
    return 0


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
    from ..images import IMAGE

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
    from ..output import Output
    from ..session import Session

    config = config_of(arguments)
    assert config.repo is not None  # noqa: S101 -- argparse has a default
    session = Session(config, Output(config.output, show))
    try:
        snapshot = session.repository(config.repo, config.rev)
        yield session, config, session.order(snapshot, config.env)
    finally:
        session.close()

"""`codex-workspace cache`: the cached layers."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from ..text.phrases import counted
from ..text.units import show_duration, show_size
from ..unpatched import clock
from .options import (
    RUN_OPTIONS,
    add_command,
    add_engine,
    add_group,
    add_json,
    add_options,
    add_repo,
    complete_with,
    config_of,
    engine_of,
)
from .printing import finish, output_of, print_event, print_removed, show, table

if TYPE_CHECKING:
    from ..cache.entries import Entry
    from ..cache.usage import Usage
    from ..engine.protocol import Engine
    from ..options.config import Config
    from ..session import Session
    from ..setup.explain import Explanation
    from ..setup.spec import WorkspaceSpec
    from .options import Commands

__all__ = ["SUMMARY", "register"]

SUMMARY = "manage cached layers"

_LIST = """\
List the layers in the cache with their size and use.

A clean layer has the files of a commit. In a setup layer, setup-script.sh has
run; in a ready layer, setup-from-cache-script.sh has run too. OWN is the space
that removing the layer frees, SHARED the space that other layers use as well.

Examples:
  codex-workspace cache list
  codex-workspace cache list --json | jq 'select(.kind == "setup")'
"""

_EXPLAIN = """\
Explain why the setup of a repository is in the cache, or is not.

The parts of the key are printed. If no image has that key, the differences to
the most similar image are printed too.

Examples:
  codex-workspace cache explain . --image=slim --env=FLAVOUR=a
"""

_PRUNE = """\
Remove expired layers, and the least recently used ones of a full cache.

A layer expires at the age of --cache-ttl. The cache is full at --cache-size.
Layers in use are never removed.

Examples:
  codex-workspace cache prune
  codex-workspace cache prune --cache-ttl=1h --cache-size=5GB
"""

_CLEAR = """\
Remove all layers that are not in use, or those of one repository.

The workspace image and the proxy image stay; `codex-workspace clean --images`
removes these too.

Examples:
  codex-workspace cache clear
  codex-workspace cache clear --repo=.
"""

_EXPORT = """\
Write setup images to a file, for another engine.

The layers below each image are included. A file whose name ends in .gz is
compressed.

Examples:
  codex-workspace cache export setups.tar.gz
  codex-workspace cache export mine.tar --repo=.
"""

_IMPORT = """\
Add the setup images of a file that `cache export` has written.

A file with any other image is refused, and so is one that unpacks to more than
--cache-size. A setup that is on the engine already is kept until it expires. What
runs in your workspaces is what the file contains: import only files that you trust.

Examples:
  codex-workspace cache import setups.tar.gz
"""

_VERIFY = """\
Check that setup-from-cache-script.sh (Codex: the maintenance script) is idempotent.

The script runs again in a workspace in which it has run, and each file that it
adds, changes or removes is printed. The exit code is 1 if there are any.

Examples:
  codex-workspace cache verify
"""

_CACHE = """\
Manage the cached layers, which make later runs fast.

Layers are images: of a commit, of the result of setup-script.sh, and of the
result of setup-from-cache-script.sh.

Examples:
  codex-workspace cache list
  codex-workspace cache explain .
"""


def register(commands: Commands) -> None:
    """
    Add the command and its subcommands.
    """
    below = add_group(commands, "cache", SUMMARY, _CACHE)
    list_ = add_command(below, "list", "list layers with size and use", _LIST, _list)
    add_engine(list_)
    add_json(list_)

    options = tuple(set(RUN_OPTIONS) - {"cassette", "output"})
    explain = add_command(
        below, "explain", "explain a cache hit or miss", _EXPLAIN, _explain, "[REPO]"
    )
    add_repo(explain)
    add_options(explain, options)
    add_json(explain)

    prune = add_command(
        below, "prune", "remove expired and least recently used layers", _PRUNE, _prune
    )
    add_options(prune, ("engine", "cache-ttl", "cache-size"))
    add_json(prune)
    clear = add_command(below, "clear", "remove all layers not in use", _CLEAR, _clear)
    _add_repo_option(clear, "remove only layers of this repository")
    add_engine(clear)
    add_json(clear)

    export = add_command(below, "export", "write setup images to a file", _EXPORT, _export, "FILE")
    file = export.add_argument("file", metavar="FILE", type=Path, help="the file to write")
    complete_with(file, paths="files")
    _add_repo_option(export, "export only setups of this repository")
    add_engine(export)
    import_ = add_command(below, "import", "add setup images from a file", _IMPORT, _import, "FILE")
    file = import_.add_argument("file", metavar="FILE", type=Path, help="the file to read")
    complete_with(file, paths="files")
    add_options(import_, ("engine", "cache-ttl", "cache-size"))

    verify = add_command(
        below, "verify", "check that resuming is idempotent", _VERIFY, _verify, "[REPO]"
    )
    add_repo(verify)
    add_options(verify, RUN_OPTIONS)


def _add_repo_option(parser: argparse.ArgumentParser, text: str) -> None:
    repo = parser.add_argument("--repo", metavar="REPO", help=text)
    complete_with(repo, paths="directories")


@contextmanager
def _engine(arguments: argparse.Namespace) -> Iterator[tuple[Engine, Usage]]:
    from ..cache.usage import usage_on
    from ..engine.docker.find import find_engine

    engine = find_engine(engine_of(arguments))
    try:
        yield engine, usage_on(engine)
    finally:
        engine.close()


def _list(arguments: argparse.Namespace) -> int:
    from ..cache.entries import entries

    with _engine(arguments) as (engine, usage):
        found = entries(engine, usage)
    found.sort(key=lambda one: (one.repository, one.created))
    size = sum(entry.own for entry in found)
    if arguments.json:
        for entry in found:
            print_event(arguments, "layer", **_facts(entry))
        return finish(arguments, 0, layers=len(found), size=size)
    rows: list[tuple[str, ...]] = [
        ("REPOSITORY", "KIND", "KEY", "AGE", "OWN", "SHARED", "HITS", "LAST USED")
    ]
    rows += [_row(entry) for entry in found]
    for line in table(rows):
        show(line)
    show(f"{counted(len(found), 'layer')}, {show_size(size)} in total")
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
    now = clock.wall_time()
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
    from ..setup.explain import explain

    with _session(arguments) as (session, config, spec):
        base, engine = session.base_identity, session.engine
        explanation = explain(engine, spec, base_identity=base, ttl=config.cache_ttl)
    if not arguments.json:
        for line in _lines_of(explanation, config.cache_ttl):
            show(line)
    return finish(arguments, 0, **explanation.to_dict())


def _lines_of(explanation: Explanation, ttl: float) -> Iterator[str]:
    snapshot, image = explanation.snapshot, explanation.image
    if explanation.outcome == "none":
        yield f"{snapshot.path} has no codex-workspace-scripts/, so it has no setup to cache"
        return
    yield f"setup image {explanation.key} of {snapshot.name} at {snapshot.head[:12]}; its key:"
    yield from table(list(explanation.parts.items()), indent=2)
    if image is None:
        yield f"miss: {snapshot.name} has no setup image"
        return
    age = show_duration(clock.wall_time() - image.created)
    if explanation.outcome == "hit":
        yield f"hit: {age} old, used {counted(image.use.hits, 'time')}, {show_size(image.own)}"
    elif explanation.outcome == "old":
        yield f"miss: the image is {age} old; the maximum age is {show_duration(ttl)}"
    else:
        yield f"miss: the most similar setup image is {image.key}, {age} old; the differences:"
        differences = list(explanation.differences.items())
        for (name, _), line in zip(differences, table(differences, indent=2), strict=True):
            yield line
            if name == "scripts":
                yield from (f"    {changed}" for changed in explanation.scripts)


def _prune(arguments: argparse.Namespace) -> int:
    from ..cache.entries import prune

    config = config_of(arguments)
    with _engine(arguments) as (engine, usage):
        removed = prune(engine, usage, ttl=config.cache_ttl, size=config.cache_size)
    return print_removed(arguments, removed, "tag", "nothing to remove")


def _clear(arguments: argparse.Namespace) -> int:
    from ..cache.entries import clear

    repo = _identity(arguments.repo)
    with _engine(arguments) as (engine, usage):
        removed = clear(engine, usage, repo)
    return print_removed(arguments, removed, "tag", "nothing to remove")


def _identity(repo: str | None) -> str | None:
    """
    Return what the layers of the repository *repo* have as its identity; `None` for `None`.
    """
    import os

    from ..projection.repository import open_repository

    if repo is None:
        return None
    # A submodule that is not there does not matter.
    environ = {**os.environ, "CODEX_SKIP_SUBMODULES": "1"}
    return open_repository(repo, environ=environ).identity


def _export(arguments: argparse.Namespace) -> int:
    from ..cache.entries import entries, of_repository
    from ..cache.export import export_setups
    from ..errors import CacheMiss

    repo = _identity(arguments.repo)
    with _engine(arguments) as (engine, usage):
        found = [one for one in of_repository(entries(engine, usage), repo) if one.kind == "setup"]
        if not found:
            raise CacheMiss(
                "there is no setup image to export",
                remedy="Create one with `codex-workspace run`; `codex-workspace cache list` lists "
                "the existing ones.",
            )
        with output_of(arguments, "progress").step(f"writing {arguments.file}") as step:
            export_setups(engine, found, arguments.file, step.advance)
    for one in found:
        show(f"exported {one.repository} {one.key}")
    show(f"{arguments.file}: {show_size(arguments.file.stat().st_size)}")
    return 0


def _import(arguments: argparse.Namespace) -> int:
    from ..cache.entries import is_old
    from ..cache.export import import_setups

    config = config_of(arguments)
    ttl = config.cache_ttl
    with _engine(arguments) as (engine, _):
        with output_of(arguments, "progress").step(f"reading {arguments.file}") as step:
            limit = config.cache_size
            imported = import_setups(
                engine, arguments.file, ttl=ttl, limit=limit, on_advance=step.advance
            )
        for one in imported:
            if one.added:
                show(f"imported {one.key}" + (" (expired)" if is_old(one.image, ttl) else ""))
            else:
                show(f"kept {one.key}, which is on the engine already")
    return 0


def _verify(arguments: argparse.Namespace) -> int:
    with _session(arguments) as (session, _, spec):
        if not spec.resumes:
            show(f"{spec.snapshot.path} has no setup-from-cache-script.sh, so nothing was checked")
            return 0
        found = session.repeat_resume(spec)
    for line in found:
        show(line)
    if found:
        show(f"not idempotent: a second run changed {counted(len(found), 'file')}")
        return 1
    show("idempotent: a second run changes no file")
    return 0


@contextmanager
def _session(arguments: argparse.Namespace) -> Iterator[tuple[Session, Config, WorkspaceSpec]]:
    from ..session import Session

    config = config_of(arguments)
    assert config.repo is not None  # noqa: S101 -- argparse has a default
    with Session(config, output_of(arguments, config.output)) as session:
        snapshot = session.repository(config.repo, config.rev)
        yield session, config, session.spec(snapshot, config.env)

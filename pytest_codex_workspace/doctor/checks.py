"""All checks, in the order they are shown."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future
from pathlib import Path

from ..config import Config
from ..engine.find import locate_engine
from ..engine.protocol import Engine
from ..repository import RepositorySnapshot
from . import engine, filters, machine, network, registries, repository, scripts, workspace
from .results import Finding, Result
from .running import LIMIT, Check, begin, needs, run_checks

__all__ = ["examine"]

_PATIENCE = LIMIT - 2
"""Seconds for an engine to be found; a check of it needs some, too."""


def examine(
    config: Config, environ: Mapping[str, str] = os.environ, *, complaint: str = ""
) -> Iterator[Finding]:
    """
    Look at everything that workspaces need.

    Args:
        config: the options that a run would have.
        environ: the environment.
        complaint: what is wrong with the options that the environment and the
            repository's file give.

    Yields:
        What each check found. No check changes anything that stays.
    """
    found = begin(lambda: locate_engine(config.engine, environ))
    one: Future[Engine] = begin(lambda: found.result()[0])
    checks = [
        Check("engine", "found", lambda: engine.found(found, _PATIENCE)),
        *_of_engine(config, one),
        *_of_network(config, environ),
        *_of_machine(environ),
        Check("repository", "configuration", lambda: repository.configuration(config, complaint)),
        *_of_repository(config, environ),
        *_of_workspace(config, one),
    ]
    try:
        yield from run_checks(checks)
    finally:
        if one.done() and one.exception() is None:
            one.result().close()


def _of_engine(config: Config, one: Future[Engine]) -> list[Check]:
    found: dict[str, Callable[[Engine], Result | None]] = {
        "version": engine.version,
        "sockets": engine.sockets,
        "architecture": engine.architecture,
        "storage": engine.storage,
        "disk": engine.disk,
        "networks": engine.networks,
        "leftovers": engine.leftovers,
        "cache": lambda one: engine.cached_layers(one, config.cache_size, config.cache_ttl),
    }
    return [Check("engine", name, needs(one, check, _PATIENCE)) for name, check in found.items()]


def _of_network(config: Config, environ: Mapping[str, str]) -> list[Check]:
    way = config.upstream_proxy
    return [
        Check("network", "proxy", lambda: network.proxy(way, environ)),
        Check("network", "pip", lambda: network.registry("pip", registries.pip_urls, way, environ)),
        Check("network", "npm", lambda: network.registry("npm", registries.npm_urls, way, environ)),
        Check("network", "apt", lambda: network.registry("apt", registries.apt_urls, way, environ)),
    ]


def _of_machine(environ: Mapping[str, str]) -> list[Check]:
    return [
        Check("machine", "git", lambda: machine.git(environ)),
        Check("machine", "certificates", lambda: machine.certificates(environ)),
        Check("machine", "authority", machine.authority),
        Check("machine", "cache directory", machine.cache_directory),
    ]


def _of_repository(config: Config, environ: Mapping[str, str]) -> list[Check]:
    path, rev = config.repo or Path(), config.rev
    opened = begin(lambda: repository.without_submodules(path, rev, environ))
    committed = begin(lambda: scripts.scripts_at(opened.result(), environ))
    of_commit: dict[str, Callable[[RepositorySnapshot], Result | None]] = {
        "changes": lambda one: repository.changes(one, environ),
        "history": repository.history,
        "filters": lambda one: filters.filters(one, environ),
        "submodules": lambda _: repository.submodules(path, rev, environ),
        "submodule URLs": lambda _: repository.submodule_urls(path, rev, environ),
        "scripts": lambda one: scripts.presence(one, environ),
    }
    of_scripts: dict[str, Callable[[list[scripts.Script]], Result]] = {
        "line ends": scripts.line_ends,
        "run bits": scripts.run_bits,
        "syntax": lambda found: scripts.syntax(found, environ),
        "set -e": scripts.exits_early,
    }
    return [
        Check("repository", "commit", lambda: repository.commit(opened.result(), environ)),
        *(Check("repository", name, needs(opened, check)) for name, check in of_commit.items()),
        *(
            Check("repository", name, needs(committed, _if_any(check)))
            for name, check in of_scripts.items()
        ),
    ]


def _if_any(
    check: Callable[[list[scripts.Script]], Result],
) -> Callable[[list[scripts.Script]], Result | None]:
    return lambda found: check(found) if found else None


def _of_workspace(config: Config, one: Future[Engine]) -> list[Check]:
    found: dict[str, Callable[[Engine], Result]] = {
        "image": lambda one: workspace.image(one, config.image),
        "runtimes": lambda one: workspace.runtimes(one, config.image, config.env),
    }
    return [Check("workspace", name, needs(one, check, _PATIENCE)) for name, check in found.items()]

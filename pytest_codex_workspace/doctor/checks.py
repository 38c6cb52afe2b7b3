"""The table of all checks, in the order in which they are shown."""

from __future__ import annotations

import os
from collections.abc import Callable, Generator, Mapping
from concurrent.futures import Future, wait
from pathlib import Path

from ..engine.docker.find import locate_engine
from ..engine.protocol import Engine
from ..errors import ConfigError, PolicyError
from ..options.config import Config
from ..options.profiles import profile_named
from ..projection.repository import RepositorySnapshot
from . import (
    engine,
    git_filters,
    machine,
    network,
    package_registries,
    repository,
    script_commands,
    scripts,
    workspace,
)
from .package_registries import FindUrls
from .result import NamedResult, Result
from .runner import LIMIT, Check, in_thread, needs, run_checks

__all__ = ["run_all"]

_TIMEOUT = LIMIT - 2
"""Seconds to find an engine. The rest of `LIMIT` is for checks of the engine."""


def run_all(
    config: Config,
    environ: Mapping[str, str] = os.environ,
    *,
    problem: ConfigError | PolicyError | None = None,
) -> Generator[NamedResult, None, None]:
    """
    Run all checks that apply.

    Args:
        config: the options of the run to check.
        environ: the environment.
        problem: the error in the options of the environment or of the repository's
            file, if there is one.

    Yields:
        The finding of each check. No check changes anything that stays.
    """
    found = in_thread(lambda: locate_engine(config.engine, environ))
    one: Future[Engine] = in_thread(lambda: found.result()[0])
    checks = [
        Check("engine", "found", lambda: engine.found(found, _TIMEOUT)),
        *_of_engine(config, one),
        *_of_network(config, environ),
        *_of_machine(environ),
        Check(
            "repository",
            "configuration",
            lambda: repository.configuration(config, problem),
        ),
        *_of_repository(config, environ),
        *_of_workspace(config, one),
    ]
    findings = run_checks(checks)
    try:
        yield from findings
    finally:
        findings.close()
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
    return [
        Check("engine", name, needs(one, check, _TIMEOUT), creates=name == "networks")
        for name, check in found.items()
    ]


def _of_network(config: Config, environ: Mapping[str, str]) -> list[Check]:
    choice = config.upstream_proxy

    def registry(tool: str, find: FindUrls) -> Check:
        return Check("network", tool, lambda: network.registry(tool, find, choice, environ))

    return [
        Check("network", "proxy", lambda: network.proxy(choice, environ)),
        registry("pip", package_registries.pip_urls),
        registry("npm", package_registries.npm_urls),
        registry("apt", package_registries.apt_urls),
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
    opened = in_thread(lambda: repository.without_submodules(path, rev, environ))
    committed = in_thread(lambda: scripts.scripts_at(opened.result(), environ))
    objects = in_thread(lambda: repository.objects(opened.result(), environ))

    def filters(one: RepositorySnapshot) -> Result | None:
        found = git_filters.filters(one, environ)
        wait([objects], LIMIT - 2)
        # Git says the same there, in its own words.
        return None if objects.done() and objects.exception() else found

    of_commit: dict[str, Callable[[RepositorySnapshot], Result | None]] = {
        "directory": lambda one: repository.place(path, one),
        "changes": lambda one: repository.changes(one, environ),
        "history": repository.history,
        "objects": lambda _: objects.result(),
        "filters": filters,
        "submodules": lambda _: repository.submodules(path, rev, environ),
        "submodule URLs": lambda _: repository.submodule_urls(path, rev, environ),
        "scripts": lambda one: scripts.presence(one, environ),
    }
    of_scripts: dict[str, Callable[[list[scripts.Script]], Result]] = {
        "line endings": scripts.line_endings,
        "executable bits": scripts.executable_bits,
        "syntax": lambda found: scripts.syntax(found, environ),
        "set -e": scripts.stops_on_error,
        "downloads": script_commands.piped_downloads,
        "remotes": script_commands.remotes,
        "exports": script_commands.exports,
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
    profile = profile_named(config.profile)
    found: dict[str, Callable[[Engine], Result]] = {
        "image": lambda one: workspace.image(one, config.image),
        "runtimes": lambda one: workspace.runtimes(one, config.image, config.env, profile),
    }
    return [
        Check("workspace", name, needs(one, check, _TIMEOUT), creates=name == "runtimes")
        for name, check in found.items()
    ]

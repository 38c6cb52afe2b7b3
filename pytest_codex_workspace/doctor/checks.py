"""The table of all checks, in the order in which they are shown."""

from __future__ import annotations

import os
from collections.abc import Callable, Generator, Mapping
from concurrent.futures import Future
from functools import partial
from pathlib import Path

from ..engine.docker.find import locate_engine
from ..engine.protocol import Engine
from ..errors import ConfigError, PolicyError
from ..options.config import Config
from ..options.profiles import profile_named
from ..projection.repository import RepositorySnapshot
from . import (
    engine,
    machine,
    network,
    package_registries,
    reads,
    repository,
    workspace,
)
from .engine_limits import ENGINE_LIMITS, told
from .package_registries import FindUrls
from .result import NamedResult, Result
from .runner import LIMIT, DoctorCheck, in_thread, needs, run_checks

__all__ = ["engine_checks", "run_all"]

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
    one: Future[Engine] = in_thread(lambda: found.result().engine)
    checks = [
        DoctorCheck("engine", "found", lambda: engine.found(found, _TIMEOUT)),
        *engine_checks(config, one),
        *_of_network(config, environ),
        *_of_machine(environ),
        DoctorCheck(
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


def engine_checks(config: Config, one: Future[Engine]) -> list[DoctorCheck]:
    """
    Return the checks of the engine that was found.

    Args:
        config: the options of the run to check.
        one: the engine, once it is found.
    """
    found: dict[str, Callable[[Engine], Result | None]] = {
        "version": engine.version,
        "modes": engine.modes,
        **{limit.check: partial(told, limit.check) for limit in ENGINE_LIMITS},
        # These also say that there is no limit.
        "sockets": engine.sockets,
        "architecture": engine.architecture,
        "storage": engine.storage,
        "files": engine.kept_files,
        "limits": engine.limits,
        "disk": engine.disk,
        "networks": engine.networks,
        "leftovers": engine.leftovers,
        "cache": lambda one: engine.cached_layers(one, config.cache_size, config.cache_ttl),
    }
    return [
        DoctorCheck("engine", name, needs(one, check, _TIMEOUT), creates=name == "networks")
        for name, check in found.items()
    ]


def _of_network(config: Config, environ: Mapping[str, str]) -> list[DoctorCheck]:
    choice = config.upstream_proxy

    def registry(tool: str, find: FindUrls) -> DoctorCheck:
        return DoctorCheck("network", tool, lambda: network.registry(tool, find, choice, environ))

    return [
        DoctorCheck("network", "proxy", lambda: network.proxy(choice, environ)),
        registry("pip", package_registries.pip_urls),
        registry("npm", package_registries.npm_urls),
        registry("apt", package_registries.apt_urls),
    ]


def _of_machine(environ: Mapping[str, str]) -> list[DoctorCheck]:
    return [
        DoctorCheck("machine", "git", lambda: machine.git(environ)),
        DoctorCheck("machine", "certificates", lambda: machine.certificates(environ)),
        DoctorCheck("machine", "authority", machine.authority),
        DoctorCheck("machine", "cache directory", machine.cache_directory),
        DoctorCheck("machine", "extensions", machine.extensions),
    ]


def _of_repository(config: Config, environ: Mapping[str, str]) -> list[DoctorCheck]:
    path, rev = config.repo or Path(), config.rev
    opened = in_thread(lambda: repository.without_submodules(path, rev, environ))
    objects = in_thread(lambda: repository.objects(opened.result(), environ))
    read = in_thread(lambda: reads.findings(config, environ))
    of_commit: dict[str, Callable[[RepositorySnapshot], Result | None]] = {
        "directory": lambda one: repository.place(path, one),
        "changes": lambda one: repository.changes(one, environ),
        "objects": lambda _: objects.result(),
        "submodules": lambda _: repository.submodules(path, rev, environ),
    }
    return [
        DoctorCheck("repository", "commit", lambda: repository.commit(opened.result(), environ)),
        *(
            DoctorCheck("repository", name, needs(opened, check))
            for name, check in of_commit.items()
        ),
        DoctorCheck("codex", "findings", needs(read, reads.count_findings)),
        *(
            DoctorCheck("codex", check, needs(read, partial(reads.result_of, check)))
            for check in reads.SHOWN
        ),
    ]


def _of_workspace(config: Config, one: Future[Engine]) -> list[DoctorCheck]:
    profile = profile_named(config.profile)
    found: dict[str, Callable[[Engine], Result]] = {
        "image": lambda one: workspace.image(one, config.image),
        "runtimes": lambda one: workspace.runtimes(one, config.image, config.env, profile),
    }
    return [
        DoctorCheck("workspace", name, needs(one, check, _TIMEOUT), creates=name == "runtimes")
        for name, check in found.items()
    ]

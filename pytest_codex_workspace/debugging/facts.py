"""What is told of this machine and this run to whoever looks into a bug."""

from __future__ import annotations

import os
import platform
import sys
import traceback
from collections.abc import Iterator, Mapping
from contextlib import closing
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from ..doctor.checks import run_all
from ..doctor.result import NamedResult, error
from ..engine.docker import find
from ..errors import CodexWorkspaceError, ConfigError, PolicyError
from ..options.config import Config
from ..options.table import OPTIONS
from ..secrets.redaction import SHORTEST, Redaction
from ..text.credentials import MASK, mask_credentials, secret_values
from ..text.urls import without_credentials

__all__ = ["doctor_results", "engine_facts", "resolved_options", "secrets_of", "versions"]

_PACKAGES = ("pytest-codex-workspace", "pytest", "pytest-xdist", "docker", "filelock", "PyYAML")


def versions() -> dict[str, str]:
    """
    Return the versions of this package, of what it stands on, and of the system.
    """
    found = {}
    for name in _PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = "not installed"
    return {
        **found,
        "Python": f"{platform.python_version()} ({sys.executable})",
        "kernel": f"{platform.system()} {platform.release()}",
        "platform": platform.platform(),
    }


def engine_facts(choice: str) -> dict[str, str]:
    """
    Return name, version, address and ways of the engine that *choice* names; or why there is none.
    """
    try:
        with closing(find.find_engine(choice)) as engine:
            about = engine.version()
            known = ("name", "version", "api", "os", "arch", "storage", "modes")
            return {"url": without_credentials(engine.url)} | {
                name: about[name] for name in known if about.get(name)
            }
    except CodexWorkspaceError as failure:
        return {"problem": failure.message}
    except Exception as failure:
        # It may be one of another distribution, whose code may raise anything.
        return {"problem": _traceback(failure)}


def doctor_results(
    config: Config, problem: ConfigError | PolicyError | None = None
) -> Iterator[NamedResult]:
    """
    Yield what `codex-workspace doctor` finds; if it fails itself, that is the last result. Whatever
    is wrong with this machine is what the log and the report are for.
    """
    try:
        yield from run_all(config, problem=problem)
    except Exception as failure:
        words = "This is a bug in codex-workspace: please report it with this text."
        yield NamedResult("doctor", "itself", error(_traceback(failure), words))


def resolved_options(config: Config) -> dict[str, Any]:
    """
    Return the value of each option. Of variables and scripts, only what they are called.
    """
    return {option.name: _shown(getattr(config, option.key)) for option in OPTIONS} | {
        "env": dict.fromkeys(config.env, MASK),
        "services": [one.name for one in config.services],
        "upstream-proxy": without_credentials(config.upstream_proxy),
        **{
            f"{one}-script": script and {"name": script.name, "bytes": len(script.text)}
            for one, script in (
                ("setup", config.setup_script),
                ("maintenance", config.maintenance_script),
            )
        },
    }


def secrets_of(environ: Mapping[str, str], config: Config | None = None) -> Redaction:
    """
    Return what removes the secrets of a run: the values of those that its options name, and of
    variables that have the name of a secret.
    """
    named = (*config.secret, *config.network_secret) if config else ()
    values = [environ[name] for name in named if len(environ.get(name, "")) >= SHORTEST]
    return Redaction([*values, *secret_values(environ)])


def _traceback(failure: Exception) -> str:
    return "".join(traceback.format_exception(failure)).strip()


def _shown(value: Any) -> Any:
    if isinstance(value, str):
        return mask_credentials(value)
    if isinstance(value, os.PathLike):
        return os.fspath(value)
    if isinstance(value, Mapping):
        return {str(name): _shown(one) for name, one in value.items()}
    if isinstance(value, tuple | list):
        return [_shown(one) for one in value]
    return value if value is None or isinstance(value, bool | int | float) else str(value)

"""
Docker's contexts, as the docker command keeps them below `~/.docker`.

The SDK's reader leaves TLS out for a context that has only an authority, and hides a context
behind a bare `Exception`.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...text.phrases import did_you_mean
from .place import Place, TlsFiles, home_of

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["config_problem", "context_names", "context_place", "current_context", "is_context_name"]

_NAME = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9_.+-]+")
"""The names that docker accepts. None has a colon or a slash, so none looks like a URL."""

_LARGEST = 1 << 20
"""Bytes of a file that are read."""


def is_context_name(name: str) -> bool:
    """
    Return whether docker accepts *name* for a context.
    """
    return _NAME.fullmatch(name) is not None


def current_context(environ: Mapping[str, str]) -> str:
    """
    Return the name of the context that the docker command uses; empty for the built-in one.
    """
    name = environ.get("DOCKER_CONTEXT") or ""
    if not name:
        try:
            name = str(_configuration(environ).get("currentContext") or "")
        except (OSError, ValueError):
            # As the docker command does, which prints a warning: see `config_problem`.
            name = ""
    return "" if name == "default" else name


def config_problem(environ: Mapping[str, str]) -> Place | None:
    """
    Return docker's configuration as a place that cannot be tried, if it cannot be read: it may
    name a context.
    """
    try:
        _configuration(environ)
    except (OSError, ValueError) as error:
        return Place(
            "the current docker context",
            problem=f"{_directory(environ) / 'config.json'} cannot be read: {_words(error)}",
        )
    return None


def context_names(environ: Mapping[str, str]) -> list[str]:
    """
    Return the names of the contexts. Damaged ones are left out.
    """
    names = []
    try:
        files = sorted((_directory(environ) / "contexts" / "meta").glob("*/meta.json"))
    except OSError:
        return []
    for file in files:
        try:
            name = _json(file).get("Name")
        except (OSError, ValueError):
            continue
        if isinstance(name, str):
            names.append(name)
    return sorted(names)


def context_place(name: str, environ: Mapping[str, str]) -> Place:
    """
    Return where the engine of the context *name* is.
    """
    origin = f"the docker context {name!r}"
    identifier = hashlib.sha256(name.encode()).hexdigest()
    contexts = _directory(environ) / "contexts"
    try:
        meta = _json(contexts / "meta" / identifier / "meta.json")
    except FileNotFoundError:
        known = did_you_mean(name, context_names(environ))
        problem = f"there is no context of that name{known}; see `docker context ls`"
        return Place(origin, problem=problem)
    except (OSError, ValueError) as error:
        return Place(origin, problem=f"it cannot be read: {_words(error)}")
    endpoints = meta.get("Endpoints")
    endpoint = endpoints.get("docker") if isinstance(endpoints, dict) else None
    if not isinstance(endpoint, dict):
        return Place(origin, problem="it has no Docker engine")
    url = str(endpoint.get("Host") or "unix:///var/run/docker.sock")
    if not url.startswith("tcp://"):
        return Place(origin, url)
    verify = not endpoint.get("SkipTLSVerify")
    files = {one: contexts / "tls" / identifier / "docker" / f"{one}.pem" for one in _FILES}
    there = {one: str(path) for one, path in files.items() if os.path.lexists(path)}
    if ("cert" in there) != ("key" in there):
        return Place(origin, url, problem="of its certificate and its key, one is missing")
    if not there and verify:
        return Place(origin, url)
    cert = (there["cert"], there["key"]) if "cert" in there else None
    return Place(origin, url, TlsFiles(there.get("ca", ""), cert, verify))


_FILES = ("ca", "cert", "key")


def _directory(environ: Mapping[str, str]) -> Path:
    return Path(environ.get("DOCKER_CONFIG") or Path(home_of(environ)) / ".docker")


def _configuration(environ: Mapping[str, str]) -> dict[str, Any]:
    try:
        return _json(_directory(environ) / "config.json")
    except FileNotFoundError:
        return {}


def _json(path: Path) -> dict[str, Any]:
    with path.open("rb") as file:
        found = json.loads(file.read(_LARGEST))
    if not isinstance(found, dict):
        raise ValueError("it is not an object of JSON")
    return found


def _words(error: Exception) -> str:
    return (error.strerror if isinstance(error, OSError) else "") or str(error)

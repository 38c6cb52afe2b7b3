"""The hosts from which pip and npm get packages where nothing is configured."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import cache
from typing import Literal
from urllib.parse import urlsplit

from ..host.package_clients import ask_client

__all__ = ["Client", "DefaultHosts", "default_hosts"]

Client = Literal["pip", "npm"]

DefaultHosts = Callable[[Client], frozenset[str] | None]
"""Returns the hosts of a client; `None` if this machine does not have the client."""

_PIP = "from pip._internal.models.index import PyPI; print(PyPI.url)"


def default_hosts(environ: Mapping[str, str]) -> DefaultHosts:
    """
    Return a function that asks the clients of this machine, each once.

    Codex's lists name the public registries. So the clients are asked for what they use by
    themselves, and not for what is configured, which may be the mirror of a company.

    Args:
        environ: the environment, of which the settings of pip and npm do not count.
    """
    kept = {
        name: value
        for name, value in environ.items()
        if not name.lower().startswith(("pip_", "npm_config_", "pythonpath"))
    }

    def ask(program: str, *words: str) -> str:
        # Nothing of the directory counts, which may be any repository.
        with suppress(OSError, subprocess.SubprocessError):
            return ask_client(program, *words, environ=kept, directory="/") or ""
        return ""

    @cache
    def hosts(client: Client) -> frozenset[str] | None:
        if client == "npm":
            nothing = (f"--{kind}config={os.devnull}" for kind in ("user", "global"))
            printed = ask("npm", "config", "get", "registry", *nothing)
        elif importlib.util.find_spec("pip"):
            printed = ask(sys.executable, "-P", "-c", _PIP)
        else:
            printed = ask("python3", "-c", _PIP)
        found = [urlsplit(word).hostname for word in printed.split()]
        return frozenset(host for host in found if host) or None

    return hosts

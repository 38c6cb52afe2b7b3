"""The hosts from which pip and npm get packages where nothing is configured."""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from typing import Literal
from urllib.parse import urlsplit

__all__ = ["Client", "DefaultHosts", "default_hosts"]

Client = Literal["pip", "npm"]

DefaultHosts = Callable[[Client], frozenset[str] | None]
"""Returns the hosts of a client; `None` if this machine does not have the client."""

_TIMEOUT = 5.0
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
    kept |= {"npm_config_logs_max": "0", "npm_config_update_notifier": "false"}
    path = environ.get("PATH")

    @cache
    def hosts(client: Client) -> frozenset[str] | None:
        if client == "npm":
            nothing = (f"--{kind}config={os.devnull}" for kind in ("user", "global"))
            command = [shutil.which("npm", path=path), "config", "get", "registry", *nothing]
        elif importlib.util.find_spec("pip"):
            command = [sys.executable, "-P", "-c", _PIP]
        else:
            command = [shutil.which("python3", path=path), "-c", _PIP]
        found = [urlsplit(word).hostname for word in _output(command, kept).split()]
        return frozenset(host for host in found if host) or None

    return hosts


def _output(command: Sequence[str | None], environ: Mapping[str, str]) -> str:
    """
    Return the output of a command; empty if the command is missing or fails.
    """
    words = [word for word in command if word]
    if len(words) < len(command):
        return ""
    try:
        done = subprocess.run(
            words,
            # Nothing of the directory counts, which may be any repository.
            cwd="/",
            env=dict(environ),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=_TIMEOUT,
            check=True,
        )
    except (OSError, subprocess.SubprocessError):
        return ""
    return done.stdout

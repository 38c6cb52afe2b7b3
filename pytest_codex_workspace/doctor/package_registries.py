"""The package registries that pip, npm and apt of this machine are configured to use."""

from __future__ import annotations

import importlib.util
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence

__all__ = ["FindUrls", "apt_urls", "npm_urls", "pip_urls"]

FindUrls = Callable[[Mapping[str, str]], Sequence[str] | None]
"""Returns the registry URLs of a tool, given the environment; `None` without that tool."""

_TIMEOUT = 5.0

_QUIET = {"COLUMNS": "1000", "npm_config_logs_max": "0", "npm_config_update_notifier": "false"}
"""Prevents broken lines and log files."""

_PIP_INDEX = re.compile(r"--index-url <url>.*?\(default (\S+?)\)", re.DOTALL)


def pip_urls(environ: Mapping[str, str]) -> list[str] | None:
    """
    Return the index of pip; `None` without pip.
    """
    # The help shows the default after configuration and environment were applied.
    help_ = ("download", "--help")
    if importlib.util.find_spec("pip"):
        # -P: do not import from the current directory, which may be any repository.
        output = _output([sys.executable, "-P", "-m", "pip", *help_], environ)
    elif pip := shutil.which("pip", path=environ.get("PATH")):
        output = _output([pip, *help_], environ)
    else:
        return None
    return _PIP_INDEX.findall(output)


def npm_urls(environ: Mapping[str, str]) -> list[str] | None:
    """
    Return the registry of npm; `None` without npm.
    """
    npm = shutil.which("npm", path=environ.get("PATH"))
    if npm is None:
        return None
    return _urls(_output([npm, "config", "get", "registry"], environ))


def apt_urls(environ: Mapping[str, str]) -> list[str] | None:
    """
    Return the archives of apt; `None` without apt.
    """
    apt = shutil.which("apt-get", path=environ.get("PATH"))
    if apt is None:
        return None
    command = [apt, "indextargets", "--no-release-info", "--format", "$(SITE)"]
    return _urls(_output(command, environ))


def _urls(text: str) -> list[str]:
    return list(dict.fromkeys(word for word in text.split() if "://" in word))


def _output(command: Sequence[str], environ: Mapping[str, str]) -> str:
    """
    Return the output of a command.

    Raises:
        OSError, subprocess.SubprocessError: the command failed, or took too long.
    """
    done = subprocess.run(
        command,
        env={**environ, **_QUIET},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        errors="replace",
        timeout=_TIMEOUT,
        check=True,
    )
    return done.stdout

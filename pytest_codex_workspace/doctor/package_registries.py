"""Which package registries this machine's own pip, npm and apt are set to."""

from __future__ import annotations

import importlib.util
import re
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence

__all__ = ["apt_urls", "npm_urls", "pip_urls"]

_PATIENCE = 5.0

_QUIET = {"COLUMNS": "1000", "npm_config_logs_max": "0", "npm_config_update_notifier": "false"}
"""No lines broken, and nothing written down."""

_PIP_INDEX = re.compile(r"--index-url <url>.*?\(default (\S+?)\)", re.DOTALL)


def pip_urls(environ: Mapping[str, str]) -> list[str] | None:
    """
    The index of pip; `None` without pip.
    """
    # Its help has what configuration and environment made of the default.
    help_ = ("download", "--help")
    if importlib.util.find_spec("pip"):
        # Not from the current directory, which may be anybody's repository.
        said = _say([sys.executable, "-P", "-m", "pip", *help_], environ)
    elif pip := shutil.which("pip", path=environ.get("PATH")):
        said = _say([pip, *help_], environ)
    else:
        return None
    return _PIP_INDEX.findall(said)


def npm_urls(environ: Mapping[str, str]) -> list[str] | None:
    """
    The registry of npm; `None` without npm.
    """
    npm = shutil.which("npm", path=environ.get("PATH"))
    if npm is None:
        return None
    return _urls(_say([npm, "config", "get", "registry"], environ))


def apt_urls(environ: Mapping[str, str]) -> list[str] | None:
    """
    The archives of apt; `None` without apt.
    """
    apt = shutil.which("apt-get", path=environ.get("PATH"))
    if apt is None:
        return None
    command = [apt, "indextargets", "--no-release-info", "--format", "$(SITE)"]
    return _urls(_say(command, environ))


def _urls(text: str) -> list[str]:
    return list(dict.fromkeys(word for word in text.split() if "://" in word))


def _say(command: Sequence[str], environ: Mapping[str, str]) -> str:
    """
    What a command prints.

    Raises:
        OSError, subprocess.SubprocessError: it failed, or took too long.
    """
    done = subprocess.run(
        command,
        env={**environ, **_QUIET},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        errors="replace",
        timeout=_PATIENCE,
        check=True,
    )
    return done.stdout

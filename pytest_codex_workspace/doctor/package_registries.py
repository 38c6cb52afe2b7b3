"""The package registries that pip, npm and apt of this machine are configured to use."""

from __future__ import annotations

import importlib.util
import re
import sys
from collections.abc import Callable, Mapping, Sequence

from ..host.package_clients import ask_client

__all__ = ["FindUrls", "apt_urls", "npm_urls", "pip_urls"]

FindUrls = Callable[[Mapping[str, str]], Sequence[str] | None]
"""Returns the registry URLs of a tool, given the environment; `None` without that tool."""

_PIP_INDEX = re.compile(r"--index-url <url>.*?\(default (\S+?)\)", re.DOTALL)


def pip_urls(environ: Mapping[str, str]) -> list[str] | None:
    """
    Return the index of pip; `None` without pip.
    """
    # The help shows the default after configuration and environment were applied.
    help_ = ("download", "--help")
    if importlib.util.find_spec("pip"):
        # -P: do not import from the current directory, which may be any repository.
        output = ask_client(sys.executable, "-P", "-m", "pip", *help_, environ=environ)
    else:
        output = ask_client("pip", *help_, environ=environ)
    return None if output is None else _PIP_INDEX.findall(output)


def npm_urls(environ: Mapping[str, str]) -> list[str] | None:
    """
    Return the registry of npm; `None` without npm.
    """
    return _urls(ask_client("npm", "config", "get", "registry", environ=environ))


def apt_urls(environ: Mapping[str, str]) -> list[str] | None:
    """
    Return the archives of apt; `None` without apt.
    """
    words = ("indextargets", "--no-release-info", "--format", "$(SITE)")
    return _urls(ask_client("apt-get", *words, environ=environ))


def _urls(text: str | None) -> list[str] | None:
    if text is None:
        return None
    return list(dict.fromkeys(word for word in text.split() if "://" in word))

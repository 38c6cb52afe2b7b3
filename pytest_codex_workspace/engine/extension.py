"""Engines of other distributions."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping

from ..errors import CodexWorkspaceError
from ..extensions import Extension
from .places.choose import RESERVED
from .protocol import Engine

__all__ = ["load_factory", "open_extension"]

Factory = Callable[[str, Mapping[str, str]], Engine]
"""Takes the choice of the user, a name or a URL, and the environment."""

_METHODS = [name for name, one in vars(Engine).items() if name[0] != "_" and callable(one)]


def load_factory(extension: Extension) -> Factory:
    """
    Import the function that opens an engine.

    Raises:
        PluginError: it cannot be imported, is no function, or has a name that is no scheme of a URL
            or is one of ours.
    """
    if extension.name in RESERVED or not re.fullmatch("[a-z][a-z0-9+.-]*", extension.name):
        raise extension.failed("cannot be chosen by this name")
    factory: Factory = extension.load()
    if not callable(factory):
        raise extension.failed(f"is {type(factory).__name__}, and no function")
    return factory


def open_extension(extension: Extension, choice: str, environ: Mapping[str, str]) -> Engine:
    """
    Return the engine of another distribution.

    Args:
        extension: its entry point.
        choice: what the user has given: the name, or a URL that begins with it.
        environ: the environment.

    Raises:
        PluginError: its code has failed, or has returned something that is no engine.
        CodexWorkspaceError: it says that the engine does not answer.
    """
    factory = load_factory(extension)
    with extension.running(let=(CodexWorkspaceError,)):
        engine = factory(choice, environ)
    missing = [name for name in _METHODS if not callable(getattr(engine, name, None))]
    if missing:
        raise extension.failed(
            f"returned {type(engine).__name__}, which has no method {', '.join(missing)}"
        )
    return engine

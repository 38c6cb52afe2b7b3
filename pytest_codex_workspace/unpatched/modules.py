"""
Copies of standard modules of our own.

Tests replace `socket.socket`, `ssl.SSLContext`, `subprocess.Popen` and the methods of
`http.client.HTTPConnection`, and plugins (vcrpy, httpretty, pytest-socket, pytest-subprocess) do
that for them. A copy is made from the module's source, so it has none of these changes, whenever
it is made, and gets none later.
"""

from __future__ import annotations

import builtins
import importlib.util
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from types import ModuleType
from typing import TYPE_CHECKING, Any

from . import clock

if TYPE_CHECKING:
    import http.client as http_client
    import socket
    import ssl
    import subprocess

__all__ = ["http_client", "socket", "ssl", "subprocess"]

_NAMES = {
    "http_client": "http.client",
    "socket": "socket",
    "ssl": "ssl",
    "subprocess": "subprocess",
}

_TIME = ModuleType("time")
_TIME.__dict__.update(vars(time), sleep=clock.sleep, monotonic=clock.monotonic)

_COPIES: dict[str, ModuleType] = {}
_LOCK = threading.RLock()


def __getattr__(name: str) -> ModuleType:
    if name not in _NAMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return _copy(_NAMES[name])


def _copy(name: str) -> ModuleType:
    with _LOCK:
        if name not in _COPIES:
            _COPIES[name] = _made(name)
        return _COPIES[name]


def _made(name: str) -> ModuleType:
    spec = importlib.util.find_spec(name)
    assert spec is not None  # noqa: S101 -- these modules are part of Python
    assert spec.loader is not None  # noqa: S101
    module = importlib.util.module_from_spec(spec)
    # `enum` writes into the module of this name. The original's would get members of the copy.
    module.__name__ = f"{__name__}.{name.replace('.', '_')}"
    module.__dict__["__builtins__"] = {**vars(builtins), "__import__": _import}
    sys.modules[module.__name__] = module
    try:
        exec(spec.loader.get_code(name), module.__dict__)  # type: ignore[attr-defined]  # noqa: S102
    finally:
        del sys.modules[module.__name__]
    return module


def _import(
    name: str,
    globals: Mapping[str, Any] | None = None,  # noqa: A002 -- the names of `__import__`
    locals: Mapping[str, Any] | None = None,  # noqa: A002
    fromlist: Sequence[str] | None = (),
    level: int = 0,
) -> ModuleType:
    """
    Import as `__import__` does, but let the copies see each other.
    """
    if name == "socket":
        return _copy(name)
    if name == "time":
        return _TIME
    return builtins.__import__(name, globals, locals, fromlist or (), level)

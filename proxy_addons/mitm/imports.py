"""
Import mitmproxy's core without everything that it ships.
"""

from __future__ import annotations

import importlib.util
import sys
from types import ModuleType

__all__ = ["skip_default_addons"]


def skip_default_addons() -> None:
    """
    Make `mitmproxy.addons.X` importable without the other addons.

    The package's own `__init__` imports all thirty addons, and a web framework
    with them: a third of the start-up time, a quarter of the memory. Call this
    before anything of mitmproxy is imported.
    """
    name = "mitmproxy.addons"
    spec = importlib.util.find_spec(name)
    if spec is None or name in sys.modules:
        return
    package = ModuleType(name)
    package.__spec__ = spec
    package.__path__ = list(spec.submodule_search_locations or [])
    sys.modules[name] = package

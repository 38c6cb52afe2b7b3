"""
Fail, and say why, if no container engine answers where the plugin looks for one, or at the URL that
is the argument.
"""

from __future__ import annotations

import sys

from pytest_codex_workspace.engine.docker.find import find_engine
from pytest_codex_workspace.errors import EngineUnavailable

try:
    find_engine(*sys.argv[1:]).close()
except EngineUnavailable as error:
    sys.exit(str(error))

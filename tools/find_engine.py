"""
Fail, and say why, if none of the container engines answers that the command line names as the
plugin's option does; without any, where the plugin looks for one.
"""

from __future__ import annotations

import sys

from pytest_codex_workspace.engine.docker.find import find_engine
from pytest_codex_workspace.errors import EngineUnavailable

problems = []
for choice in sys.argv[1:] or ["auto"]:
    try:
        find_engine(choice).close()
    except EngineUnavailable as error:
        problems.append(str(error))
    else:
        sys.exit()
sys.exit("\n".join(problems))

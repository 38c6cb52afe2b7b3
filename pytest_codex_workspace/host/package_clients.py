"""Asking the package managers of this machine."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Mapping

__all__ = ["ask_client"]

_TIMEOUT = 5.0

_QUIET = {"COLUMNS": "1000", "npm_config_logs_max": "0", "npm_config_update_notifier": "false"}
"""Prevents broken lines and log files."""


def ask_client(
    program: str, *words: str, environ: Mapping[str, str], directory: str | None = None
) -> str | None:
    """
    Ask pip, npm or apt for something that takes no network, within 5 seconds.

    Args:
        program: its name on the PATH of *environ*, or its path.
        words: its arguments.
        environ: its environment.
        directory: where it runs: npm reads the settings of a project there; `None` for the current
            directory.

    Returns:
        What it prints; `None` if this machine does not have it.

    Raises:
        OSError, subprocess.SubprocessError: it failed, or took too long.
    """
    found = shutil.which(program, path=environ.get("PATH"))
    if found is None:
        return None
    return subprocess.run(
        [found, *words],
        cwd=directory,
        env={**environ, **_QUIET},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        errors="replace",
        timeout=_TIMEOUT,
        check=True,
    ).stdout

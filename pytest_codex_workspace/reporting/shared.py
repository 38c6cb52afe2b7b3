"""Facts that several processes of one run find, and that one of them reports."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

__all__ = ["SharedFacts"]


class SharedFacts:
    """
    The facts that the processes of one run have reported. The first that finds one reports it.

    Args:
        directory: has an empty file for each fact that was reported. The processes of all runs
            share the directory, which is created if necessary.
        run: id of the run, the same in all of its processes.
    """

    def __init__(self, directory: Path, run: str) -> None:
        self._directory = directory
        self._run = run

    def is_news(self, event: str, fields: Mapping[str, Any]) -> bool:
        """
        Return whether no process has reported this fact, and note that it is reported now. Facts
        with equal *fields* are equal.
        """
        with suppress(OSError):
            self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        fact = json.dumps([self._run, event, fields], default=str)
        name = hashlib.sha256(fact.encode()).hexdigest()
        try:
            os.close(os.open(self._directory / name, os.O_CREAT | os.O_EXCL, 0o600))
        except FileExistsError:
            return False
        except OSError:
            return True  # Twice is better than not at all.
        return True

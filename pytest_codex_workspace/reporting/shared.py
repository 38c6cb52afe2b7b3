"""Facts that several processes of one run find."""

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
    What the processes of one run have told. The first that finds a fact tells it.

    Args:
        directory: where an empty file for each fact says that it was told. The processes of all
            runs share the directory, which is created if necessary.
        run: what the processes of one run have in common, and no other run has.
    """

    def __init__(self, directory: Path, run: str) -> None:
        self._directory = directory
        self._run = run

    def is_news(self, event: str, fields: Mapping[str, Any]) -> bool:
        """
        Return whether no process has told this fact; from now on it counts as told. Facts with
        equal *fields* are equal.
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
            return True  # Told twice is better than not at all.
        return True

"""Progress of one of several processes that take part in the same run."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from .output import Output, OutputMode

__all__ = ["SharedOutput"]


class SharedOutput(Output):
    """
    Progress of a process whose neighbours find the same facts: the first of them tells each.

    Args:
        mode, write: as for `Output`.
        directory: where an empty file for each fact says that it was told. The processes of all
            runs share the directory, which is created if necessary.
        run: what the processes of one run have in common, and no other run has.
    """

    def __init__(
        self, mode: OutputMode, write: Callable[[str], None], directory: Path, run: str
    ) -> None:
        super().__init__(mode, write)
        self._directory = directory
        self._run = run

    def tell(self, event: str, text: str, **fields: Any) -> None:
        """
        Show one fact, unless another process of the run has shown it. Facts with equal *fields*
        are equal.
        """
        if self._is_first([self._run, event, fields]):
            super().tell(event, text, **fields)

    def _is_first(self, fact: list[Any]) -> bool:
        with suppress(OSError):
            self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        name = hashlib.sha256(json.dumps(fact, default=str).encode()).hexdigest()
        try:
            os.close(os.open(self._directory / name, os.O_CREAT | os.O_EXCL, 0o600))
        except FileExistsError:
            return False
        except OSError:
            return True  # Told twice is better than not at all.
        return True

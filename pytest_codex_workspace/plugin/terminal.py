"""Lines on the terminal while tests run and their output is captured."""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import nullcontext
from typing import TYPE_CHECKING, Any

from .workers import is_worker, worker_input

if TYPE_CHECKING:
    import pytest

__all__ = ["line_writer"]


def line_writer(config: pytest.Config) -> Callable[[str], None]:
    """
    Return a function that writes a line, past the capture of output.
    """
    reporter = config.pluginmanager.get_plugin("terminalreporter")
    capture = config.pluginmanager.get_plugin("capturemanager")
    if is_worker(config):
        return _worker_writer(worker_input(config)["workerid"], capture)
    if reporter is None or capture is None:
        return lambda _: None

    def write(line: str) -> None:
        with capture.global_and_fixture_disabled():
            reporter.ensure_newline()
            reporter.write_line(line)
            reporter.flush()

    return write


def _worker_writer(name: str, capture: Any) -> Callable[[str], None]:
    """
    Return a function that writes lines from an xdist worker. A worker has no terminal, but
    its standard error is the controller's. Its messages (such as waiting for the setup of
    another worker) appear among the dots.
    """

    def write(line: str) -> None:
        with capture.global_and_fixture_disabled() if capture else nullcontext():
            os.write(2, f"[{name}] {line}\n".encode(errors="replace"))

    return write

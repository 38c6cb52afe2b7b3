"""Write a line of JSON for each workspace of a test run: pytest --workspace-metrics=FILE."""

from __future__ import annotations

import json
import os
import time
from collections import Counter, defaultdict
from pathlib import Path
from typing import Any

import pytest

from pytest_codex_workspace import Policy, Request, SetupError, SetupResult, Workspace


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--workspace-metrics", type=Path, metavar="FILE")


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "reads: the test sends GET and HEAD requests only")
    file = config.getoption("--workspace-metrics")
    if file is not None:
        config.pluginmanager.register(_Metrics(config.invocation_params.dir / file))


class _Metrics:
    """
    The hooks: registered if there is a file, so that runs without one pay nothing.
    """

    def __init__(self, file: Path) -> None:
        self._file = file
        self._began: dict[str, float] = {}
        self._verdicts: defaultdict[str, Counter[str]] = defaultdict(Counter)

    @pytest.hookimpl(optionalhook=True)
    def pytest_codex_policy_chosen(
        self, policy: Policy, node: pytest.Item | pytest.Collector
    ) -> Policy | None:
        # Besides, a marker that narrows what the test may do.
        return policy.but(methods=("GET", "HEAD")) if node.get_closest_marker("reads") else None

    @pytest.hookimpl(optionalhook=True)
    def pytest_codex_setup_finished(
        self, setup: SetupResult | None, error: SetupError | None
    ) -> None:
        if setup is not None:
            self._write("setup", cache=setup.cache, seconds=setup.duration, key=setup.key)
        elif error is not None:
            self._write("setup failed", script=error.script, exit_code=error.exit_code)

    @pytest.hookimpl(optionalhook=True)
    def pytest_codex_workspace_started(self, workspace: Workspace) -> None:
        self._began[workspace.id] = time.monotonic()

    @pytest.hookimpl(optionalhook=True)
    def pytest_codex_request_judged(self, request: Request, workspace: Workspace) -> None:
        self._verdicts[workspace.id][request.verdict] += 1

    @pytest.hookimpl(optionalhook=True)
    def pytest_codex_workspace_stopped(
        self, workspace: Workspace, node: pytest.Item | pytest.Collector
    ) -> None:
        now = time.monotonic()
        # Not told of its start if a hook of another plugin has failed before.
        began = self._began.pop(workspace.id, now)
        self._write(
            "workspace",
            owner=node.nodeid,
            commit=workspace.head,
            commands=len(list(workspace.commands)),
            requests=dict(self._verdicts.pop(workspace.id, {})),
            seconds=now - began,
        )

    @pytest.hookimpl(optionalhook=True)
    def pytest_codex_report_written(self, path: Path, kind: str) -> None:
        self._write("report", kind=kind, bytes=path.stat().st_size)

    def _write(self, event: str, **fields: Any) -> None:
        # Workers of pytest-xdist write to one file: one call for each line.
        line = json.dumps({"event": event, **fields}) + "\n"
        target = os.open(self._file, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
        try:
            os.write(target, line.encode())
        finally:
            os.close(target)

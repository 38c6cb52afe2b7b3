"""
Hooks that other plugins and `conftest.py` files can implement.

They are called for the workspaces of our fixtures, in the thread that runs the tests. For one
workspace, the order is: policy chosen, setup finished, workspace started, requests judged,
workspace stopped. Under pytest-xdist, all but `pytest_codex_report_written` are called in the
worker that runs the test.

As for other hooks of pytest, a `conftest.py` is asked for the nodes in its directory and below: for
a workspace that all tests share, only that of the root directory is.

An exception ends the call of a hook, as everywhere in pytest, and becomes a `PluginError` with the
name of the plugin. Workspaces are stopped all the same. An implementation may leave out arguments,
also those that a later version adds: pytest passes them by name. Write
`@pytest.hookimpl(optionalhook=True)` if this plugin may not be installed.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Literal

import pytest

if TYPE_CHECKING:
    from ...errors import SetupError
    from ...network.policy_reader import PolicyLike
    from ...network.rules.policy import Policy
    from ...network.rules.request import Request
    from ...workspace.handle import SetupResult, Workspace


@pytest.hookspec(firstresult=True)
def pytest_codex_policy_chosen(
    policy: Policy, node: pytest.Item | pytest.Collector, config: pytest.Config
) -> PolicyLike | None:
    """
    Called before a workspace is started, with the network policy that its options, fixtures and
    markers give. The first plugin that returns a policy decides; to change what others return,
    write a wrapper. An exception fails the test.

    Args:
        policy: the policy for the test phase. `policy.but(...)` returns a changed one.
        node: the test; the class, module or session of a shared workspace.
        config: of the run.

    Returns:
        A policy in place of it: a `Policy`, its fields, its name or its path, which starts at the
        directory of the run if it is relative. `None` keeps it.
    """


@pytest.hookspec()
def pytest_codex_setup_finished(
    setup: SetupResult | None,
    error: SetupError | None,
    node: pytest.Item | pytest.Collector,
    config: pytest.Config,
) -> None:
    """
    Called for each workspace that setup scripts have prepared, before anybody has it; and once
    for each setup that fails. Not called without scripts. An exception fails the test.

    Args:
        setup: the result: `cache` says whether the scripts ran for this workspace (`miss`, `off`)
            or their result was cached (`hit`), `duration` has the seconds that they took when they
            ran, `key` names the image. `None` if setup failed.
        error: why setup failed; otherwise `None`.
        node: the test; the class, module or session of a shared workspace.
        config: of the run.
    """


@pytest.hookspec()
def pytest_codex_workspace_started(
    workspace: Workspace, node: pytest.Item | pytest.Collector, config: pytest.Config
) -> None:
    """
    Called when a workspace is ready, before a test has it. An exception fails the test.

    Args:
        workspace: the workspace. What the hook does in it, the test finds there.
        node: the test; the class, module or session of a shared workspace.
        config: of the run.
    """


@pytest.hookspec()
def pytest_codex_request_judged(
    request: Request,
    workspace: Workspace,
    node: pytest.Item | pytest.Collector,
    config: pytest.Config,
) -> None:
    """
    Called once for each request of a workspace, when its test has ended and the proxy has answered:
    nothing waits for it, and nothing can be changed. A log has at most 100,000 requests. In a
    workspace that tests share, the requests of a test are told at its end, together with those that
    were made before by fixtures. An exception fails the test, which is told no further request.

    Args:
        request: the request with its verdict. It cannot be changed.
        workspace: who made it. Only one that tests share still runs.
        node: the test; the class, module or session of a shared workspace, for what came after its
            last test.
        config: of the run.
    """


@pytest.hookspec()
def pytest_codex_workspace_stopped(
    workspace: Workspace,
    kept: str | None,
    node: pytest.Item | pytest.Collector,
    config: pytest.Config,
) -> None:
    """
    Called when a workspace has ended, also if a hook that was called at its start has failed. An
    exception fails the test.

    Args:
        workspace: the workspace. `network`, `commands` and `setup` can be read, and nothing runs.
        kept: the image that `--codex-keep` has made of it; `None` for none.
        node: the test; the class, module or session of a shared workspace.
        config: of the run.
    """


@pytest.hookspec()
def pytest_codex_report_written(
    path: Path, kind: Literal["html", "har", "json"], config: pytest.Config
) -> None:
    """
    Called for each file of the report of `--codex-report`, at the end of the run, when all are
    written. Under pytest-xdist, called in the controller, which collects no tests: of all
    `conftest.py` files, it knows those of the directories that pytest is given. An exception fails
    the run: its exit status is not 0.

    Args:
        path: the file.
        kind: the page, the archive of all requests, or the data.
        config: of the run.
    """

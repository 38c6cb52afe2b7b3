"""Checking whether `setup-from-cache-script.sh` is idempotent."""

from __future__ import annotations

import stat

from ..engine.protocol import Engine
from ..snapshots.file_system import About, described
from ..unpatched import clock
from ..workspace.launcher import Launcher, Running
from .scripts import ScriptRunner
from .spec import WorkspaceSpec
from .start import StartedWorkspace

__all__ = ["changes_of_second_resume", "differences"]

_TRANSIENT = (
    "/dev",
    "/etc/hostname",
    "/etc/hosts",
    "/etc/resolv.conf",
    "/proc",
    "/run",
    "/sys",
    "/tmp",  # noqa: S108 -- ignored, not used
    "/var/tmp",  # noqa: S108
)
"""Directories for temporary files, and files that each container has of its own."""


def changes_of_second_resume(
    engine: Engine,
    launcher: Launcher,
    runner: ScriptRunner,
    spec: WorkspaceSpec,
    *,
    repeated: StartedWorkspace,
    pristine: StartedWorkspace,
) -> list[str]:
    """
    Run `setup-from-cache-script.sh` a second time, and return what it changes.

    Args:
        engine: has both workspaces.
        launcher: started them.
        runner: runs the script.
        spec: what both workspaces are made of.
        repeated: a ready workspace in which the script is run.
        pristine: a ready workspace to compare with.

    Returns:
        One line for each path.

    Raises:
        SetupError: the script fails when it runs again.
    """
    # Engines compare times by the second: what is written in the same second looks unchanged.
    started = int(clock.wall_time())
    while int(clock.wall_time()) <= started:
        clock.sleep(0.05)
    launcher.enter(repeated.running, "resume", spec.setup_policy, spec.setup_cassette)
    runner.run(repeated.running, "resume", spec)
    repeated.running.channel.kill_all()
    return differences(engine, repeated.running, pristine.running)


def differences(engine: Engine, repeated: Running, pristine: Running) -> list[str]:
    """
    Return how the files of two workspaces that were started from one image
    differ. Times and temporary files are ignored.

    Args:
        engine: has both workspaces.
        repeated: a workspace in which something was run.
        pristine: a workspace in which nothing was run.

    Returns:
        One line for each path: `added`, `removed`, or `changed` and what changed.
    """
    paths = [
        change.path
        for change in engine.changes(repeated.container)
        if not any(change.path == one or change.path.startswith(f"{one}/") for one in _TRANSIENT)
    ]
    before = described(pristine.channel, paths, "a workspace")
    after = described(repeated.channel, paths, "the workspace")
    return [
        line
        for path in paths
        if (line := _difference(path, before.get(path), after.get(path))) is not None
    ]


def _difference(path: str, before: About | None, after: About | None) -> str | None:
    if before == after:
        return None
    if before is None or after is None:
        return f"{'added' if before is None else 'removed'} {path}"
    if before[0] != after[0]:
        what = "its type"
    elif stat.S_ISDIR(before[0]) and before[:4] == after[:4]:
        # It has changed with its entries.
        return None
    elif before[4:] != after[4:]:
        what = "its content"
    else:
        what = "its mode or owner"
    return f"changed {path}: {what}"

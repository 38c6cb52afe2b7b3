"""What was seen while a repository was set up, resumed and tested."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from ..errors import ServiceError, SetupError
from ..network.rules.policy import Policy
from ..network.rules.request import Request
from ..options.services import ServiceSpec
from ..services.daemons import NOTHING_LEFT, Left
from .project_tests import ProjectTests

__all__ = ["Observation", "TestRun"]


@dataclass(frozen=True, slots=True)
class TestRun:
    """
    A run of the project's tests.

    Attributes:
        command: the command.
        exit_code: its exit code; `None` if it was killed at its time limit.
        duration: seconds.
        output: the end of what it printed.
        waits: what it seemed to wait for when it was killed.
        out_of_memory: whether a process was killed for its memory.
        log_path: file on this machine with that output, if they failed.
    """

    __test__ = False

    command: str
    exit_code: int | None
    duration: float
    output: str = ""
    waits: str = ""
    out_of_memory: bool = False
    log_path: Path | None = None

    @property
    def ok(self) -> bool:
        """
        Whether the tests passed.
        """
        return self.exit_code == 0


@dataclass(slots=True)
class Observation:
    """
    What was seen. A part that could not be looked at has its default.

    Attributes:
        setup_script: text of the setup script; empty if there is none.
        resume_script: text of the maintenance script; empty if there is none.
        names: what the scripts are called by the user, by their usual paths, if an option has
            given them.
        time_limit: the limit of a script, in seconds.
        setup_duration: seconds that setup took; `None` if it has not ended well.
        setup_output: what it printed.
        setup_error: why it failed.
        setup_memory: whether one of its processes was killed for its memory, and it went on.
        left: what was alive when setup had ended.
        setup_status: what `git status --porcelain` says after setup, by path.
        again_error: why setup failed when it ran on its own result.
        again_changes: pairs of what happened and a path: what that second run changed.
        resume_error: why `setup-from-cache-script.sh` failed.
        resume_duration: seconds that it took; `None` if it has not ended well.
        resume_output: what it printed.
        resume_left: what was alive when it had ended.
        resume_status: as `setup_status`, after it.
        requests: of all phases.
        policy: the policy of the test phase.
        label: what its workspaces are called in a report.
        tests: how the project's tests are run; `None` if that is not known.
        test_run: their run, in the agent phase.
        with_exports: their run with what setup exports, if the first one failed.
        exports: names of the variables that setup exports, and of files that it sources, with the
            line in its script.
        missing: those of them that are not set to the same in the agent phase.
        used: those of them that files of the project mention.
        only_in_login_shell: programs of the test command that a shell without a profile lacks.
        secrets: pairs of a secret's name and a path on the disk of the agent phase.
        services: those that the repository declares.
        service_error: why one of them did not start.
        redact: removes secrets from text.
    """

    setup_script: str = ""
    resume_script: str = ""
    names: Mapping[str, str] = field(default_factory=dict)
    time_limit: float = 1200.0
    setup_duration: float | None = None
    setup_output: str = ""
    setup_error: SetupError | None = None
    setup_memory: bool = False
    left: Left = NOTHING_LEFT
    setup_status: Mapping[str, str] = field(default_factory=dict)
    again_error: SetupError | None = None
    again_changes: Sequence[tuple[str, str]] = ()
    resume_error: SetupError | None = None
    resume_duration: float | None = None
    resume_output: str = ""
    resume_left: Left = NOTHING_LEFT
    resume_status: Mapping[str, str] = field(default_factory=dict)
    requests: Sequence[Request] = ()
    policy: Policy | None = None
    label: str = ""
    tests: ProjectTests | None = None
    test_run: TestRun | None = None
    with_exports: TestRun | None = None
    exports: Mapping[str, int] = field(default_factory=dict)
    missing: Sequence[str] = ()
    used: Sequence[str] = ()
    only_in_login_shell: Sequence[str] = ()
    secrets: Sequence[tuple[str, str]] = ()
    services: Sequence[ServiceSpec] = ()
    service_error: ServiceError | None = None
    redact: Callable[[str], str] = str

    @property
    def tests_failed(self) -> bool:
        """
        Whether the project's tests ran, and did not pass.
        """
        return self.test_run is not None and not self.test_run.ok

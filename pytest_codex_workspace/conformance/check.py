"""The dynamic part of `codex-workspace check`: run a repository, and say what was found."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from ..checks.clone import Clone
from ..checks.finding import LEVELS, Finding
from ..checks.rules.read import read_added, read_repository, sort_key
from ..checks.silence import silenced
from ..checks.summary import runs_text
from ..codex import CONFIG_FILE
from ..network.policy_reader import PolicyLike
from ..options.config import Config
from ..session import Session
from ..setup.spec import WorkspaceSpec
from ..text.printable import printable, without_colours
from .agent_rules import agent_findings
from .network_rules import PRESET_NAMES, NetworkUse, network_findings, network_use
from .observation import Observation
from .observe import observe
from .project_tests import ProjectTests, detect_tests
from .script_rules import CODEX_LIMIT, script_findings

__all__ = [
    "Conformance",
    "agent_policy",
    "check_everything",
    "check_repository",
    "conclude",
    "find_tests",
]

_OF_TESTS = ("tests-fail", "tests-network", "login-shell")
_IN_AGENT_PHASE = (*_OF_TESTS, "tests-unknown", "variable-lost", "secret-on-disk")
_AFTER_SETUP = (
    *("output-held", "server-lost", "process-lost", "setup-repeat", "setup-differs"),
    *("resume-fails", "service-fails", "tracked-changes", "untracked-files", *_IN_AGENT_PHASE),
)


@dataclass(frozen=True, slots=True)
class Conformance:
    """
    What running a repository has shown.

    Attributes:
        findings: the worst first.
        seen: what they were made of.
        scripts: what the scripts have requested.
        tests: what the project's tests have requested.
        unknown: why there can be no finding of a kind, by its id.
    """

    findings: tuple[Finding, ...]
    seen: Observation
    scripts: NetworkUse
    tests: NetworkUse
    unknown: Mapping[str, str] = field(default_factory=dict)

    def lines(self) -> Iterator[str]:
        """
        Return a summary for people.
        """
        return runs_text(self.to_dict())

    def to_dict(self) -> dict[str, Any]:
        """
        Return the facts as plain data, without the findings.
        """
        seen, run = self.seen, self.seen.test_run
        return {
            "has_setup": seen.setup_duration is not None or seen.setup_error is not None,
            "setup_seconds": seen.setup_duration,
            "resume_seconds": seen.resume_duration,
            "time_limit": CODEX_LIMIT,
            "tests": run
            and {
                "command": run.command,
                "source": seen.tests.source if seen.tests else "",
                "exit_code": run.exit_code,
                "seconds": run.duration,
                "policy": seen.policy.name if seen.policy else "",
                "log_path": run.log_path and str(run.log_path),
            },
            "network": {
                name: {
                    "requests": use.requests,
                    "hosts": list(use.hosts),
                    "outside_presets": {key: list(value) for key, value in use.outside.items()},
                    "smallest_policy": use.smallest.fields,
                }
                for name, use in (("scripts", self.scripts), ("tests", self.tests))
            },
        }


def check_repository(
    session: Session,
    *,
    repo: Path | None = None,
    network: PolicyLike | None = None,
    test_command: str | None = None,
    environ: Mapping[str, str] = os.environ,
) -> Conformance:
    """
    Set up, resume and test a repository.

    Args:
        session: runs the workspaces.
        repo: a repository in place of that of the options.
        network: the policy of the agent phase; by default that of `agent_policy`.
        test_command: the command of the project's tests, by default that of the options; empty to
            look for one.
        environ: the environment for git.

    Raises:
        CodexWorkspaceError: a workspace could not be started.
    """
    config = session.config
    snapshot = session.repository(repo or config.repo or Path(), config.rev)
    spec = session.spec(
        snapshot,
        config.env,
        policy=session.read_policy(agent_policy(config) if network is None else network),
    )
    configured = config.test_command if test_command is None else test_command
    tests = find_tests(spec, configured, environ)
    seen = observe(session, spec, tests=tests, time_limit=config.setup_timeout, environ=environ)
    return conclude(seen, {name: session.read_policy(name) for name in PRESET_NAMES})


def check_everything(session: Session, environ: Mapping[str, str] = os.environ) -> Conformance:
    """
    Read and run the repository of the session's options, and mark what it silences.

    Args:
        session: runs the workspaces.
        environ: the environment for git.

    Raises:
        CodexWorkspaceError: the commit could not be read, or a workspace not be started.
    """
    config = session.config
    repo = config.repo or Path()
    read = read_repository(repo, config.rev, environ, config.for_checks)
    added = list(read_added(repo, config.rev, environ))
    ran = check_repository(session, environ=environ)
    found = sorted(silenced([*read, *added, *ran.findings], config.silence), key=sort_key)
    return replace(ran, findings=tuple(found))


def conclude(seen: Observation, presets: Mapping[str, Any]) -> Conformance:
    """
    Return what follows from what was seen.

    Args:
        seen: what was seen.
        presets: Codex's presets by name.
    """
    every = (*script_findings(seen), *network_findings(seen, presets), *agent_findings(seen))
    found = [_shown(_renamed(one, seen.names), seen) for one in every]
    found.sort(key=lambda one: LEVELS.index(one.level))
    return Conformance(
        tuple(found),
        seen,
        scripts=network_use(seen.requests, presets, ("setup", "resume")),
        tests=network_use(seen.requests, presets, ("test",)),
        unknown=_unknown(seen),
    )


def agent_policy(config: Config) -> PolicyLike:
    """
    Return the policy of the agent phase: that of the options; in place of the default, offline, as
    Codex's default is.
    """
    return "offline" if config.network == Config().network else config.network


def _shown(finding: Finding, seen: Observation) -> Finding:
    """
    Return a finding on one line, without secrets and control sequences: it has names of files and
    processes, and what programs printed.
    """
    what, remedy = (
        " ".join(printable(without_colours(seen.redact(text))).split())
        for text in (finding.what, finding.remedy)
    )
    return replace(finding, what=what, remedy=remedy)


def _renamed(finding: Finding, names: Mapping[str, str]) -> Finding:
    """
    Return a finding that calls the scripts as the user does. One that an option has given is no
    file of the repository.
    """
    for path, name in names.items():
        finding = replace(
            finding,
            what=finding.what.replace(path, name),
            path=None if finding.path == path else finding.path,
            line=None if finding.path == path else finding.line,
        )
    return finding


def _unknown(seen: Observation) -> dict[str, str]:
    found: dict[str, str] = {}
    if seen.setup_error is not None:
        found |= dict.fromkeys(_AFTER_SETUP, "not known: setup failed")
    if seen.resume_error is not None:
        found |= dict.fromkeys(_IN_AGENT_PHASE, "not known: resuming failed")
    if seen.service_error is not None:
        found |= dict.fromkeys(_IN_AGENT_PHASE, "not known: a service did not start")
    if seen.tests is None:
        found |= dict.fromkeys(_OF_TESTS, "not known: no tests were run")
    return found


def find_tests(
    spec: WorkspaceSpec, configured: str, environ: Mapping[str, str]
) -> ProjectTests | None:
    """
    Return how the project's tests are run: as configured, or as its files suggest.
    """
    if configured:
        return ProjectTests(configured, CONFIG_FILE)
    tree = Clone.of(spec.snapshot.path, spec.snapshot.head, environ).tree()
    return detect_tests(tree.files, tree.text)

"""Lines about the workspaces of a run, in pytest's header and summary."""

from __future__ import annotations

import os
import re
import warnings
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

import pytest

from ..text.phrases import counted, did_you_mean, was
from .run import write_run_report
from .settings import INI_NAMES, SHOWN_REPO, given_settings
from .workers import is_worker

if TYPE_CHECKING:
    from ..workspace.handle import SetupResult

__all__ = [
    "Tally",
    "begin_tally",
    "header_lines",
    "notes_of",
    "tally_of",
    "write_summary",
]

_PROBLEMS = 5
_WITHOUT_REPOSITORY = re.compile(r"\bno repository to (project|check): give ")
_UNKNOWN_INI = re.compile(r"Unknown config option: (codex_\w+)")


@dataclass
class Tally:
    """
    What the workspaces of a run, or of a worker of pytest-xdist, leave for the summary.

    Attributes:
        counts: how often the cache was hit, missed and so on.
        kept: how to inspect each workspace that was kept.
        setups: what went wrong on the network during setups that succeeded, by their keys.
        failures: why workspaces did not start: fields of findings, for a CI service.
    """

    counts: dict[str, int] = field(default_factory=dict)
    kept: list[str] = field(default_factory=list)
    setups: dict[str, list[str]] = field(default_factory=dict)
    failures: dict[str, dict[str, Any]] = field(default_factory=dict)

    def count(self, name: str, number: int = 1) -> None:
        """
        Add *number* to the count of *name*.
        """
        self.counts[name] = self.counts.get(name, 0) + number

    def note_setup(self, repository: str, setup: SetupResult) -> None:
        """
        Remember what went wrong on the network during a setup that succeeded, once for each.
        """
        from ..network.problems import list_problems, problems_of, setup_warning

        problems = problems_of(setup.requests)
        if not problems:
            return
        self.setups[setup.key or repository] = [
            f"warning: {setup_warning(repository=repository)}",
            *(f"  {line}" for line in list_problems(problems, shown=_PROBLEMS)),
        ]

    def to_dict(self) -> dict[str, Any]:
        """
        Return plain data for `add`, which a worker can send.
        """
        return asdict(self)

    def add(self, other: Mapping[str, Any]) -> None:
        """
        Add the tally of a worker, as `to_dict` returned it.
        """
        for name, number in other["counts"].items():
            self.count(name, number)
        self.kept.extend(other["kept"])
        self.setups.update(other["setups"])
        self.failures.update(other["failures"])


class _Misspelled:
    """
    What to suggest in place of ini options that pytest does not know. Each run registers its own:
    the hook does not say to which run a warning belongs.
    """

    def __init__(self) -> None:
        self.lines: list[str] = []

    def pytest_warning_recorded(self, warning_message: warnings.WarningMessage) -> None:
        """
        Remember a suggestion, if this is such a warning.
        """
        found = _UNKNOWN_INI.match(str(warning_message.message))
        if found:
            hint = did_you_mean(found[1], INI_NAMES)
            self.lines.append(f"unknown ini option {found[1]}{hint}")


_TALLY = pytest.StashKey[Tally]()
_MISSPELLED = pytest.StashKey[_Misspelled]()
_NOTES: pytest.StashKey[list[str]] = pytest.StashKey()


def begin_tally(config: pytest.Config) -> None:
    """
    Begin to collect what the summary needs.
    """
    config.stash[_TALLY] = Tally()
    config.stash[_MISSPELLED] = _Misspelled()
    config.pluginmanager.register(config.stash[_MISSPELLED])


def tally_of(config: pytest.Config) -> Tally:
    """
    Return the tally of this run.
    """
    return config.stash[_TALLY]


def notes_of(config: pytest.Config) -> list[str]:
    """
    Return what of the work tree is not in workspaces. An xdist worker leaves it to the controller.
    """
    found = given_settings(config)
    if found is None or found.repo is None or is_worker(config):
        return []
    if _NOTES not in config.stash:
        from ..projection.work_tree import notes_on

        config.stash[_NOTES] = [*found.notes, *notes_on(found.repo, found.rev, os.environ)]
    return config.stash[_NOTES]


def header_lines(config: pytest.Config) -> list[str] | None:
    """
    Return a line with the repository, the image, the cache mode and the network policy; a line
    with the engine; one with the profile; and what of the work tree is not in workspaces.
    """
    found = given_settings(config)
    if found is None or found.repo is None:
        return None
    from ..options.run_notes import describe_engine, describe_rules

    network = found.network if isinstance(found.network, str) else found.network["name"]
    line = (
        f"codex: repo {config.stash[SHOWN_REPO]} at {found.rev}, image {found.image}, "
        f"cache {found.cache}, network {network}"
    )
    if found.engines:
        engine = f"engines {', '.join(found.engines)}"
    else:
        engine = describe_engine(found.engine, os.environ)
    notes = [engine, describe_rules(found), *notes_of(config)]
    return [line, *(f"codex: {note}" for note in notes if note)]


def write_summary(reporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """
    Write how often the cache was used, which workspaces were kept, and what was misspelled. Write
    the report of the run, too, because its place is among these lines.
    """
    tally = tally_of(config)
    for line in tally.kept:
        reporter.write_line(line)
    for lines in tally.setups.values():
        for line in lines:
            reporter.write_line(f"codex workspaces: {line}")
    write_run_report(config, lambda line: reporter.write_line(f"codex {line}"))
    for line in (*_unknown_variables(config), *config.stash[_MISSPELLED].lines):
        reporter.write_line(f"codex workspaces: {line}")
    for line in _skipped(reporter):
        reporter.write_line(f"codex workspaces: {line}")
    if tally.counts:
        text = ", ".join(f"{name} {number}" for name, number in sorted(tally.counts.items()))
        reporter.write_line(f"codex workspaces: cache {text}")
        # Again where a failure is read, and where there was no header.
        if reporter.stats.keys() & {"failed", "error"} or config.get_verbosity() < 0:
            for note in notes_of(config):
                reporter.write_line(f"codex workspaces: {note}")


def _unknown_variables(config: pytest.Config) -> list[str]:
    found = given_settings(config)
    if found is None:
        return []
    from ..options.sources import unknown_variables

    return unknown_variables(os.environ, found.env)


def _skipped(reporter: pytest.TerminalReporter) -> list[str]:
    """
    Say how many tests were skipped for lack of a repository, which pytest counts as a success.
    """
    reasons = [str(report.longrepr) for report in reporter.stats.get("skipped", ())]
    number = sum(bool(_WITHOUT_REPOSITORY.search(reason)) for reason in reasons)
    if not number:
        return []
    return [
        f"{counted(number, 'test')} {was(number)} skipped, because no repository was given: "
        "--codex-repo=PATH"
    ]

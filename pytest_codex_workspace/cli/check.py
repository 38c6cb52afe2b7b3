"""`codex-workspace check`: find what will not work in Codex."""

from __future__ import annotations

import argparse
import os
import sys
import traceback
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import CodexWorkspaceError, ConfigError, unexpected
from ..text.phrases import counted
from ..text.printable import printable
from ..text.units import show_elapsed
from ..unpatched import clock
from .ci import tell_check
from .exit_codes import FAILED
from .options import RUN_OPTIONS, add_command, add_json, add_options, complete_with, config_of
from .printing import finish, output_of, print_event, show, show_message, table
from .streams import OutputError

if TYPE_CHECKING:
    from ..checks.finding import Finding
    from ..checks.sarif import CheckedTarget
    from ..fleet.engine_slots import EngineSlots
    from ..fleet.pool import Checked
    from ..fleet.worker import Worker
    from ..options.config import Config
    from ..reporting.output import Output
    from ..reports.collector import Collector
    from .options import Commands

__all__ = ["SUMMARY", "Part", "parts", "register"]

SUMMARY = "find what will not work in Codex"

_CHECK = """\
Find what will not work in Codex.

The commit is read: its scripts, the files of its package managers and its git
settings. Then it runs: setup in a clean workspace, and again on the result;
resuming at a newer commit; and the project's own tests, offline unless --network
is something else than its default. docs/conformance.md has more about the runs.

Each finding has a file and a line where there is one, what Codex would do, and a
remedy. docs/checks.md explains each kind of finding by its id.

A finding is an error (it will not work), a warning (it may not) or a note. A
repository silences findings by id, with a reason, in .codex-workspace.yaml:

  check:
    silence:
      git-tags: we do not use versions

Several repositories are checked one after the other, or at once: --engine may be
given several times, and each engine takes --jobs of them at a time. If an engine is
lost, the others take its repositories. docs/scale.md has figures.

Exit codes:
  0        no finding is an error, silenced ones aside
  1        at least one finding is an error
  125      a repository could not be checked; the others were
  128+N    ended by signal N: 130 Ctrl-C, 143 SIGTERM

Examples:
  codex-workspace check
  codex-workspace check --reads-only ../one ../two --sarif=findings.sarif
  codex-workspace check --from-file=repositories.txt --report=checked
  codex-workspace check --from-file=all.txt --engine=ssh://one --engine=ssh://two --jobs=4
  codex-workspace check --json | jq 'select(.event == "finding" and .level == "error")'
"""

_MOST_JOBS = 256

_LARGEST_LIST = 1 << 20

Part = Callable[["Config", "Output"], Iterable["Finding"]]
"""A part of the check: takes the checked options, whose `repo` is set, and yields findings."""


_IMAGES = 3600.0
"""Seconds that images may take to build before a check begins, on a new engine."""

_STEPS = 8
"""How many things in a check, each with the time limit of setup, run one after the other."""


def parts(
    *,
    reads_only: bool,
    report: Collector | None = None,
    tell: Callable[[Mapping[str, Any]], object] = lambda _: None,
) -> list[Part]:
    """
    Return the parts of the check in their order.

    Args:
        reads_only: leave out those that run the repository in a workspace.
        report: takes what becomes of each workspace.
        tell: called with what the runs have shown besides findings, the fields of the event `runs`.
    """
    reading: list[Part] = [_read, _read_added]
    return reading if reads_only else [*reading, partial(_run, report=report, tell=tell)]


def _read(config: Config, _: Output) -> Iterable[Finding]:
    from ..checks.rules.read import read_repository

    return read_repository(config.repo or Path(), config.rev, os.environ, config.for_checks)


def _read_added(config: Config, _: Output) -> Iterable[Finding]:
    from ..checks.rules.read import read_added

    return read_added(config.repo or Path(), config.rev, os.environ)


def _run(
    config: Config,
    output: Output,
    *,
    report: Collector | None,
    tell: Callable[[Mapping[str, Any]], object],
) -> Iterable[Finding]:
    from ..conformance.check import check_repository
    from ..session import Session

    # A check sets the repository up in any case.
    mode = "auto" if config.cache == "require" else config.cache
    with Session(replace(config, cache=mode), output, report=report) as session:
        outcome = check_repository(session)
    tell(outcome.to_dict())
    return outcome.findings


def register(commands: Commands) -> None:
    """
    Add the command.
    """
    parser = add_command(commands, "check", SUMMARY, _CHECK, _check, "[REPO ...]")
    action = parser.add_argument(
        "repos",
        nargs="*",
        metavar="REPO",
        help="paths of repositories (default: $CODEX_WORKSPACE_REPO, or the current directory)",
    )
    complete_with(action, paths="directories")
    action = parser.add_argument(
        "--from-file",
        metavar="LIST",
        help="also check the repositories in the file LIST, one path a line, relative to the file; "
        "-: standard input",
    )
    complete_with(action, paths="files")
    parser.add_argument(
        "--reads-only",
        action="store_true",
        help="only read the commit: run nothing, and use no container engine",
    )
    action = parser.add_argument("--sarif", metavar="FILE", help="also write SARIF 2.1.0 to FILE")
    complete_with(action, paths="files")
    parser.add_argument(
        "--jobs",
        type=_jobs,
        metavar="NUMBER",
        help="repositories to check at a time on each engine (default: as many as it has "
        "processors for, but not more than 8)",
    )
    # For the processes of a check of many repositories: which one this is.
    parser.add_argument("--worker", help=argparse.SUPPRESS)
    add_options(parser, (*RUN_OPTIONS, "report", "silence", "test-command"))
    add_json(parser)


def _jobs(text: str) -> int:
    if not text.isdecimal() or not 1 <= int(text) <= _MOST_JOBS:
        raise argparse.ArgumentTypeError(f"must be a number from 1 to {_MOST_JOBS}")
    return int(text)


def _check(arguments: argparse.Namespace) -> int:
    repos = _repositories(arguments)
    run = _Run(arguments, repos)
    try:
        with run.collecting():
            places = run.places()
            if places:
                run.check_at_once(places)
            else:
                run.check_in_turn()
    except KeyboardInterrupt:
        run.conclude(interrupted=True)
        raise
    return run.conclude()


class _Run:
    """
    A check of one repository or many.
    """

    def __init__(self, arguments: argparse.Namespace, repos: Sequence[Path]) -> None:
        self._arguments = arguments
        self._repos = repos
        self._results: dict[int, _Result] = {}
        self._report: Collector | None = None
        self._places: Sequence[EngineSlots] = ()
        self._config = _of_user(arguments)
        self._output = output_of(arguments, self._config.output)

    @contextmanager
    def collecting(self) -> Iterator[None]:
        """
        Collect the report of the run, if one is wanted. A process for one of many repositories
        adds to that of the run.
        """
        from ..reports.collector import Collector, collecting

        config, note, worker = self._config, self._output.note, self._arguments.worker
        if worker and config.report is not None:
            self._report = Collector(config.report, config.image, note, worker)
            yield
            return
        with collecting(config.report, config.image, note) as self._report:
            yield

    def places(self) -> list[EngineSlots]:
        """
        Return the engines to spread the repositories over; none if they are checked in turn.
        """
        arguments = self._arguments
        if arguments.reads_only or len(self._repos) < 2:
            return []
        from ..fleet.engine_slots import find_slots

        config = self._config
        engines = config.engines or (config.engine,)
        found, silent = find_slots(engines, cpus=config.cpus, jobs=arguments.jobs)
        for one in silent if found else ():
            self._output.note(f"warning: an engine does not answer, and takes no repository: {one}")
        if not config.engines and (not found or found[0].slots < 2):
            return []
        if not arguments.engine and not os.environ.get("CODEX_WORKSPACE_ENGINE"):
            # The file of a repository may name another one, if it is trusted.
            found[0].engine = ""
        return found

    def check_in_turn(self) -> None:
        """
        Check the repositories one after the other, in this process.
        """
        for number, repo in enumerate(self._repos):
            self._take(number, _checked(self._arguments, repo, self._report))

    def check_at_once(self, places: Sequence[EngineSlots]) -> None:
        """
        Check the repositories in processes of their own, on several engines.
        """
        from ..fleet.pool import Pool

        self._places = places
        limit = _IMAGES + _STEPS * self._config.setup_timeout
        Pool(
            len(self._repos),
            places,
            start=lambda number, place: self._start(number, place, limit),
            tell=lambda number, event: self._tell(self._repos[number], event),
            note=self._output.note,
            name=lambda number: str(self._repos[number]),
        ).run(self._take_checked)

    def _start(self, number: int, place: EngineSlots, limit: float) -> Worker:
        from ..fleet.worker import Worker
        from ..options.script_text import STANDARD_INPUT

        words = _words(self._arguments, place.engine)
        words += [f"--worker=repository-{number + 1}", "--", str(self._repos[number])]
        return Worker(words, standard_input=STANDARD_INPUT.content, limit=limit)

    def _tell(self, repo: Path, event: Mapping[str, Any]) -> None:
        """
        Show the progress of one of several repositories. Lines of scripts, which would be mixed,
        are shown with `--output=stream` only.
        """
        kind, output = event["event"], self._output
        if print_event(self._arguments, kind, **{"repo": str(repo), **_fields_of(event)}):
            return
        if kind in ("note", "cached-setup"):
            output.note(f"{repo}: {event['text']}")
        elif kind == "step-started":
            output.note(f"{repo}: {event['title']}")
        elif kind in ("script", "detail"):
            output.detail(f"{repo}: {event['line']}")

    def _take_checked(self, checked: Checked) -> None:
        from ..checks.finding import Finding
        from ..checks.sarif import CheckedTarget

        repo, ended = self._repos[checked.number], checked.ended
        about = ended.repository or {}
        if ended.messages:
            show_message(ended.messages.rstrip("\n"))
        if ended.failure:
            show_message(f"codex-workspace: {repo}: {ended.failure}")
        target = CheckedTarget(
            Path(about.get("repo", repo)),
            about.get("commit", ""),
            [Finding.from_dict(one) for one in ended.findings],
            ended.failure or about.get("failure") or "",
        )
        error, engine = about.get("error"), checked.place.engine
        self._take(
            checked.number,
            _Result(target, checked.duration, error, engine, _fields_of(ended.runs or {})),
        )

    def _take(self, number: int, result: _Result) -> None:
        from ..checks.summary import count_levels, summarize

        self._results[number] = result
        self._print(result)
        if self._report is not None and not self._arguments.worker:
            counts = count_levels(result.target.findings)
            failure = result.target.failure
            outcome = "failed" if failure or counts["errors"] else "passed"
            self._report.test(
                f"check {result.target.path}",
                outcome,
                clock.wall_time() - result.duration,
                result.duration,
                failure.partition("\n")[0] or summarize(counts),
            )

    def _print(self, result: _Result) -> None:
        from ..checks.summary import count_levels, finding_text, runs_text, summarize

        arguments, target = self._arguments, result.target
        repo, several = str(target.path), len(self._repos) > 1
        coloured = sys.stdout.isatty() and not os.environ.get("NO_COLOR")
        if several and not arguments.json:
            show(f"{repo}:")
        if result.runs and not print_event(arguments, "runs", **{**result.runs, "repo": repo}):
            for line in runs_text(result.runs):
                self._output.note(line)
        for one in target.findings:
            fields = {"repo": repo, "title": one.title, **one.to_dict()}
            if not print_event(arguments, "finding", **fields):
                for line in finding_text(one, coloured=coloured):
                    show(line)
        counts = count_levels(target.findings)
        shown = {"repo": repo, "commit": target.commit, **counts}
        shown |= {"failure": target.failure or None, "error": result.error}
        shown |= {"engine": result.engine or None, "duration": round(result.duration, 3)}
        if print_event(arguments, "repository", **shown):
            return
        if target.failure:
            if several:
                show(_unfinished(target, counts))
        elif not target.findings:
            show("nothing found that does not work in Codex")
        elif several:
            show(summarize(counts))

    def conclude(self, *, interrupted: bool = False) -> int:
        """
        Write what is written at the end, in the order in which the repositories were given, and
        return the exit code.
        """
        from ..checks.sarif import CheckedTarget

        arguments = self._arguments
        for number, repo in enumerate(self._repos):
            if number not in self._results:
                target = CheckedTarget(repo, "", [], "interrupted before it was checked")
                self._results[number] = _Result(target, 0.0, "Interrupted")
                if arguments.json and len(self._repos) > 1:
                    self._print(self._results[number])
        results = [self._results[number] for number in range(len(self._repos))]
        targets = [one.target for one in results]
        if arguments.sarif:
            with suppress(ConfigError) if interrupted else nullcontext():
                _write_sarif(Path(arguments.sarif), targets)
        if not arguments.worker:
            tell_check(targets, self._config.secret)
        if len(results) > 1 and not arguments.json:
            for line in _table(results, several=len(self._places) > 1):
                show(line)
        if interrupted:
            if not arguments.json and len(results) > 1:
                done = sum(one.error != "Interrupted" for one in results)
                show(
                    f"interrupted: {done} of {counted(len(results), 'repository', 'repositories')}"
                    " were checked"
                )
            return FAILED
        return _finish(arguments, targets, self._places)


@dataclass(frozen=True, slots=True)
class _Result:
    """
    A checked repository, the seconds that it took, the class of the error because of which it was
    not, the engine, if there are several, and the fields of the event `runs`, if it was run.
    """

    target: CheckedTarget
    duration: float
    error: str | None = None
    engine: str = ""
    runs: Mapping[str, Any] = field(default_factory=dict)


def _of_user(arguments: argparse.Namespace) -> Config:
    """
    Return the options without those of a repository's file.
    """
    from ..options.sources import ResolvedOptions

    environ = {k: v for k, v in os.environ.items() if k != "CODEX_WORKSPACE_REPO"}
    return ResolvedOptions.of(vars(arguments), spell="--{}", environ=environ).config


def _words(arguments: argparse.Namespace, engine: str) -> list[str]:
    """
    Return the words of a command line that checks one repository as *arguments* say.
    """
    from ..options.table import OPTIONS

    words = ["check", "--json", *([f"--engine={engine}"] if engine else [])]
    for option in OPTIONS:
        value = getattr(arguments, option.key, None)
        if value is not None and option.name != "engine":
            given = value if isinstance(value, list) else [value]
            words += [f"--{option.name}={one}" for one in given]
    return words


def _fields_of(event: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in event.items() if key not in ("time", "event")}


def _repositories(arguments: argparse.Namespace) -> list[Path]:
    found = [Path(one) for one in arguments.repos]
    if "" in arguments.repos:
        raise ConfigError("a REPO has no value", remedy="Give a path, or leave it out.")
    if arguments.from_file:
        found += _listed(arguments.from_file)
    elif not found:
        found = [Path(os.environ.get("CODEX_WORKSPACE_REPO") or ".")]
    return list(dict.fromkeys(found))


def _listed(name: str) -> list[Path]:
    try:
        if name == "-":
            text, above = sys.stdin.read(_LARGEST_LIST + 1), Path()
        else:
            with Path(name).open(encoding="utf-8-sig") as file:
                text, above = file.read(_LARGEST_LIST + 1), Path(name).parent
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(
            f"--from-file={name} cannot be read: {getattr(error, 'strerror', None) or error}",
            remedy="Give a text file with one path a line.",
        ) from None
    if len(text) > _LARGEST_LIST:
        raise ConfigError(
            f"--from-file={name} has more than {_LARGEST_LIST} characters",
            remedy="Give several files, one after the other.",
        )
    lines = (line.strip() for line in text.splitlines())
    found = [above / _at_home(line) for line in lines if line and line[0] != "#"]
    if not found:
        raise ConfigError(
            f"--from-file={name} lists no repository",
            remedy="Write one path a line; lines that begin with # are comments.",
        )
    return found


def _at_home(line: str) -> Path:
    """
    Return a path whose `~` is replaced, unless there is no such user.
    """
    with suppress(RuntimeError):
        return Path(line).expanduser()
    return Path(line)


def _checked(arguments: argparse.Namespace, repo: Path, report: Collector | None) -> _Result:
    """
    Check one repository. An error becomes a part of the result.
    """
    from ..checks.rules.read import added_ids, sort_key
    from ..checks.sarif import CheckedTarget
    from ..checks.silence import silenced, unknown_silences
    from ..projection.repository import find_commit

    began = clock.monotonic()
    findings: list[Finding] = []
    runs: dict[str, Any] = {}
    top, commit, failure = repo, "", ""
    kind = None
    reasons: Mapping[str, str] = {}
    try:
        config = config_of(argparse.Namespace(**{**vars(arguments), "repo": str(repo)}))
        reasons = config.silence
        found = find_commit(repo, config.rev, environ=os.environ)
        top, commit = found.top, found.id
        output = output_of(arguments, config.output)
        for text in unknown_silences(reasons, added_ids()):
            output.note(f"warning: {text}")
        for part in parts(reads_only=arguments.reads_only, report=report, tell=runs.update):
            # One by one: what a part has found before it fails counts.
            findings.extend(part(config, output))
    except CodexWorkspaceError as error:
        # What was found by reading counts, also where no engine answers.
        failure, kind = str(error), type(error).__name__
        show_message(f"codex-workspace: {repo}: {kind}: {failure}")
    except (BrokenPipeError, OutputError):
        raise
    except Exception as error:
        # The other repositories are checked, whatever is in this one.
        failure, kind = unexpected(error), type(error).__name__
        trace = "".join(traceback.format_exception(error))
        show_message(f"codex-workspace: {repo}: {failure}\n{trace}")
    marked = sorted(silenced(findings, reasons), key=sort_key)
    target = CheckedTarget(top, commit, marked, failure)
    return _Result(target, clock.monotonic() - began, kind, runs=runs)


def _table(results: Sequence[_Result], *, several: bool) -> Iterator[str]:
    """
    Yield a line for each repository, and one above them.
    """
    from ..checks.summary import count_levels

    rows = [("repository", *(["engine"] if several else []), "result", "time")]
    for one in results:
        counts = count_levels(one.target.findings)
        found = [
            counted(counts[name], name.removesuffix("s"))
            for name in ("errors", "warnings", "notes")
            if counts[name]
        ]
        said = ", ".join(found) or "no findings"
        if one.target.failure:
            begun = "not finished" if one.target.commit else "not checked"
            said = "interrupted" if one.error == "Interrupted" else f"{begun}: {one.error}"
        place = [one.engine] if several else []
        rows.append((printable(str(one.target.path)), *place, said, _time(one.duration)))
    yield from table(rows, indent=2, widest=64)


def _time(seconds: float) -> str:
    return f"{seconds:.1f} s" if seconds < 60 else show_elapsed(seconds)


def _finish(
    arguments: argparse.Namespace, targets: Sequence[CheckedTarget], places: Sequence[EngineSlots]
) -> int:
    from ..checks.summary import count_levels, summarize

    counts = count_levels(one for target in targets for one in target.findings)
    failed = sum(bool(one.failure) for one in targets)
    code = FAILED if failed else 1 if counts["errors"] else 0
    if not arguments.json:
        repositories = counted(len(targets), "repository", "repositories")
        text = summarize(counts) + (f" in {repositories}" if len(targets) > 1 else "")
        if failed and len(targets) > 1:
            text += f", {failed} of them not checked"
            if any(one.failure and one.commit for one in targets):
                text += " completely"
        elif failed:
            text = _unfinished(targets[0], counts)
        show(text)
    engines = [{"engine": p.engine, "repositories": p.done, "lost": p.lost} for p in places]
    fields = {**counts, "repositories": len(targets), "failed": failed, "engines": engines}
    return finish(arguments, code, **fields)


def _unfinished(target: CheckedTarget, counts: Mapping[str, int]) -> str:
    """
    Return one line about a repository whose check has failed.
    """
    from ..checks.summary import summarize

    if not target.commit:
        return "not checked"
    return f"{summarize(counts)}; the check was not finished"


def _write_sarif(path: Path, targets: Sequence[CheckedTarget]) -> None:
    import json
    from importlib.metadata import version

    from ..checks.sarif import sarif

    text = json.dumps(sarif(targets, version("pytest-codex-workspace")), indent=2)
    try:
        path.write_text(f"{text}\n", "ascii")
    except OSError as error:
        raise ConfigError(
            f"--sarif={path} cannot be written: {error.strerror}",
            remedy="Give a file in a directory that exists.",
        ) from None

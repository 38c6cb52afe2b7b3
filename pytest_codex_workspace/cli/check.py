"""`codex-workspace check`: find what will not work in Codex."""

from __future__ import annotations

import argparse
import os
import sys
import traceback
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import CodexWorkspaceError, ConfigError, unexpected
from ..text.phrases import counted
from ..text.printable import printable
from .exit_codes import FAILED
from .options import RUN_OPTIONS, add_command, add_json, add_options, complete_with, config_of
from .printing import finish, output_of, print_event, show
from .streams import OutputError

if TYPE_CHECKING:
    from ..checks.finding import Finding
    from ..checks.sarif import CheckedTarget
    from ..options.config import Config
    from ..reporting.output import Output
    from .options import Commands

__all__ = ["SUMMARY", "Part", "finding_text", "parts", "register"]

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

Exit codes:
  0        no finding is an error, silenced ones aside
  1        at least one finding is an error
  125      a repository could not be checked; the others were
  128+N    ended by signal N: 130 Ctrl-C, 143 SIGTERM

Examples:
  codex-workspace check
  codex-workspace check --reads-only ../one ../two --sarif=findings.sarif
  codex-workspace check --from-file=repositories.txt
  codex-workspace check --json | jq 'select(.event == "finding" and .level == "error")'
"""

_COLOURS = {"note": "36", "warning": "33", "error": "31;1", "silenced": "2"}
_LARGEST_LIST = 1 << 20

Part = Callable[["Config", "Output"], Iterable["Finding"]]
"""A part of the check: takes the checked options, whose `repo` is set, and yields findings."""


def parts(*, reads_only: bool) -> list[Part]:
    """
    Return the parts of the check in their order.

    Args:
        reads_only: leave out those that run the repository in a workspace.
    """
    return [_read] if reads_only else [_read, _run]


def _read(config: Config, _: Output) -> Iterable[Finding]:
    from ..checks.rules.read import read_repository

    return read_repository(
        config.repo or Path(),
        config.rev,
        os.environ,
        variables=config.variables,
        test_command=config.test_command,
        given=config.scripts.by_role,
        image=config.image,
    )


def _run(config: Config, output: Output) -> Iterable[Finding]:
    from ..conformance.check import check_repository
    from ..projection.repository import find_commit
    from ..reporting.events import EventOutput
    from ..session import Session

    # A check sets the repository up in any case.
    mode = "auto" if config.cache == "require" else config.cache
    with Session(replace(config, cache=mode), output) as session:
        outcome = check_repository(session)
    if isinstance(output, EventOutput):
        top = find_commit(config.repo or Path(), config.rev, environ=os.environ).top
        output.event("runs", repo=str(top), **outcome.to_dict())
    else:
        for line in outcome.lines():
            output.note(line)
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
    add_options(parser, (*RUN_OPTIONS, "silence", "test-command"))
    add_json(parser)


def _check(arguments: argparse.Namespace) -> int:
    targets = []
    repos = _repositories(arguments)
    for repo in repos:
        target = _checked(arguments, repo)
        targets.append(target)
        _print(arguments, target, named=len(repos) > 1)
    if arguments.sarif:
        _write_sarif(Path(arguments.sarif), targets)
    return _finish(arguments, targets)


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
            text, above = sys.stdin.read(_LARGEST_LIST), Path()
        else:
            with Path(name).open(encoding="utf-8") as file:
                text, above = file.read(_LARGEST_LIST), Path(name).parent
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(
            f"--from-file={name} cannot be read: {getattr(error, 'strerror', None) or error}",
            remedy="Give a text file with one path a line.",
        ) from None
    lines = (line.strip() for line in text.splitlines())
    found = [above / Path(line).expanduser() for line in lines if line and line[0] != "#"]
    if not found:
        raise ConfigError(
            f"--from-file={name} lists no repository",
            remedy="Write one path a line; lines that begin with # are comments.",
        )
    return found


def _checked(arguments: argparse.Namespace, repo: Path) -> CheckedTarget:
    """
    Check one repository. An error of ours becomes a part of the result.
    """
    from ..checks.rules.read import sort_key
    from ..checks.sarif import CheckedTarget
    from ..checks.silence import silenced
    from ..projection.repository import find_commit

    findings: list[Finding] = []
    top, commit, failure = repo, "", ""
    reasons: Mapping[str, str] = {}
    try:
        config = config_of(argparse.Namespace(**{**vars(arguments), "repo": str(repo)}))
        reasons = config.silence
        found = find_commit(repo, config.rev, environ=os.environ)
        top, commit = found.top, found.id
        output = output_of(arguments, config.output)
        for part in parts(reads_only=arguments.reads_only):
            findings += part(config, output)
    except CodexWorkspaceError as error:
        # What was found by reading counts, also where no engine answers.
        failure = str(error)
        print(f"codex-workspace: {repo}: {type(error).__name__}: {error}", file=sys.stderr)  # noqa: T201
    except (BrokenPipeError, OutputError):
        raise
    except Exception as error:
        # The other repositories are checked, whatever is in this one.
        failure = unexpected(error)
        trace = printable("".join(traceback.format_exception(error)))
        print(f"codex-workspace: {repo}: {failure}\n{trace}", file=sys.stderr)  # noqa: T201
    marked = sorted(silenced(findings, reasons), key=sort_key)
    return CheckedTarget(top, commit, marked, failure)


def _print(arguments: argparse.Namespace, target: CheckedTarget, *, named: bool) -> None:
    coloured = sys.stdout.isatty() and not os.environ.get("NO_COLOR")
    if named and not arguments.json:
        show(f"{target.path}:")
    for one in target.findings:
        fields = one.to_dict()
        if not print_event(arguments, "finding", repo=str(target.path), title=one.title, **fields):
            for line in finding_text(one, coloured=coloured):
                show(line)
    counts = _counts([target])
    shown = {"repo": str(target.path), "commit": target.commit, **counts}
    if print_event(arguments, "repository", **shown, failure=target.failure or None):
        return
    if target.failure:
        show("not run" if target.findings else "not checked")
    elif not target.findings:
        show("nothing found that does not work in Codex")
    elif named:
        show(_summary(counts))


def finding_text(finding: Finding, *, coloured: bool) -> Iterable[str]:
    """
    Yield the lines of a finding for users.
    """
    mark = "silenced" if finding.silenced else finding.level
    text = f"{mark:<8}"
    if coloured:
        text = f"\x1b[{_COLOURS[mark]}m{text}\x1b[0m"
    place = f"{finding.where}: " if finding.where else ""
    first, *rest = f"{place}{finding.what}".splitlines()
    yield f"{text} {finding.id}  {first}"
    yield from (f"         {line}" for line in rest)
    if finding.silenced:
        yield f"         silenced: {finding.silenced}"
        return
    yield f"         In Codex: {finding.in_codex}"
    yield f"         Remedy: {finding.remedy}"


def _counts(targets: Sequence[CheckedTarget]) -> dict[str, int]:
    every = [one for target in targets for one in target.findings]
    counted_ones = [one.level for one in every if not one.silenced]
    return {
        "errors": counted_ones.count("error"),
        "warnings": counted_ones.count("warning"),
        "notes": counted_ones.count("note"),
        "silenced": len(every) - len(counted_ones),
    }


def _summary(counts: dict[str, int]) -> str:
    found = counts["errors"] + counts["warnings"] + counts["notes"]
    text = f"{counted(found, 'finding')}: {counted(counts['errors'], 'error')}, "
    text += f"{counted(counts['warnings'], 'warning')}, {counted(counts['notes'], 'note')}"
    return text + (f"; {counts['silenced']} silenced" if counts["silenced"] else "")


def _finish(arguments: argparse.Namespace, targets: Sequence[CheckedTarget]) -> int:
    counts = _counts(targets)
    failed = sum(bool(one.failure) for one in targets)
    code = FAILED if failed else 1 if counts["errors"] else 0
    if not arguments.json:
        repositories = counted(len(targets), "repository", "repositories")
        text = _summary(counts) + (f" in {repositories}" if len(targets) > 1 else "")
        show(text + (f", {failed} of them not checked" if failed else ""))
    return finish(arguments, code, **counts, repositories=len(targets), failed=failed)


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

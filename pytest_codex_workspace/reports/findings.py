"""What went wrong in workspaces, for a CI service to show."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from ..checks.sarif import CheckedTarget
from ..checks.summary import count_levels, explained, summarize
from ..codex import SCRIPTS, SETUP
from ..errors import CodexWorkspaceError, SetupError
from ..network.problems import (
    NetworkProblem,
    count_problems,
    describe_problems,
    problems_of,
    setup_warning,
)
from ..reporting.account import CiFinding, RunAccount
from ..secrets.redaction import Redaction
from ..workspace.handle import Workspace, own_requests

__all__ = [
    "account_of_check",
    "finding_of_error",
    "finding_of_problems",
    "finding_of_setup",
    "redaction_of",
    "report_workspace",
]

_LINE = re.compile(r"line (\d{1,9})(?:: (.*))?", re.DOTALL)
_SCRIPT_LIMIT = 1 << 20
_PROBLEMS = 5


def finding_of_error(
    error: CodexWorkspaceError, repository: Path | None, environ: Mapping[str, str]
) -> CiFinding:
    """
    Return an error as a finding; that of a setup script has the line at which the script ended.

    Args:
        error: the error.
        repository: where the script is on this machine.
        environ: has the directory of the checkout.
    """
    if not isinstance(error, SetupError):
        return CiFinding("error", type(error).__name__, str(error))
    # Without the duration: a setup that fails again is the same finding.
    ended = "failed" if error.exit_code is None else f"exited with {error.exit_code}"
    script = _on_this_machine(error.script, repository)
    return CiFinding(
        "error",
        f"{error.script} {ended}",
        str(error),
        file=_in_checkout(script, environ),
        line=_line_of(error.where, script),
    )


def _on_this_machine(script: str, repository: Path | None) -> Path | None:
    """
    Return the path of a script: of the repository, or as it was given.
    """
    if script.startswith(f"{SCRIPTS}/"):
        return None if repository is None else repository / script
    given = Path(script).expanduser().absolute()
    return given if given.is_file() else None


def finding_of_setup(
    workspace: Workspace, repository: Path | None, environ: Mapping[str, str]
) -> CiFinding | None:
    """
    Return a warning about a setup that succeeded although requests failed; `None` otherwise.
    """
    problems = problems_of(workspace.setup.requests)
    if not problems:
        return None
    title = setup_warning(cached=workspace.setup.cache == "hit")
    script = None if repository is None else repository / SETUP
    return CiFinding("warning", title, _described(problems), file=_in_checkout(script, environ))


def finding_of_problems(problems: Sequence[NetworkProblem]) -> CiFinding | None:
    """
    Return a warning about what went wrong on the network of a workspace; `None` if nothing did.
    """
    if not problems:
        return None
    return CiFinding("warning", "This went wrong on the network:", _described(problems))


def report_workspace(
    account: RunAccount, workspace: Workspace, repository: Path | None, environ: Mapping[str, str]
) -> None:
    """
    Add a workspace that has not ended to *account*.
    """
    setup = workspace.setup
    account.facts["repository"] = f"{workspace.project.name} at {workspace.head[:12]}"
    account.facts["setup"] = f"cache {setup.cache}, {setup.duration:.1f} s"
    if warning := finding_of_setup(workspace, repository, environ):
        account.findings.append(warning)
    try:
        own = own_requests(workspace)
    except CodexWorkspaceError as error:
        account.facts["network"] = f"unknown: {error.message}"
        return
    problems = problems_of(own)
    account.facts["network"] = count_problems(own, problems)
    if warning := finding_of_problems(problems):
        account.findings.append(warning)


def account_of_check(targets: Sequence[CheckedTarget], environ: Mapping[str, str]) -> RunAccount:
    """
    Return what `codex-workspace check` found. Notes are rows of its table: services have no
    annotations of so little weight.

    Args:
        targets: the repositories.
        environ: has the directory of the checkout.
    """
    account = RunAccount("codex-workspace check", columns=("note", "where", "what was found"))
    failures = []
    for target in targets:
        name = str(target.path)
        account.facts[name] = summarize(count_levels(target.findings))
        if target.failure:
            account.facts[name] += "; not checked completely"
            failures.append(CiFinding("error", f"{name} could not be checked", target.failure))
        for one in target.findings:
            if one.silenced:
                continue
            if one.level == "note":
                account.rows.append((one.id, one.where, one.what))
                continue
            account.findings.append(
                CiFinding(
                    one.level,
                    f"{one.id}: {one.title}",
                    f"{one.what}\n{explained(one)}",
                    file=_in_checkout(target.path / one.path, environ) if one.path else "",
                    line=one.line or 0,
                )
            )
    account.findings[:0] = failures
    return account


def redaction_of(names: Sequence[str], environ: Mapping[str, str]) -> Callable[[str], str]:
    """
    Return a function that removes the values of secrets from text.
    """
    return Redaction([environ[name] for name in names if environ.get(name)]).text


def _described(problems: Sequence[NetworkProblem]) -> str:
    return "\n".join(describe_problems(problems, shown=_PROBLEMS))


def _in_checkout(path: Path | None, environ: Mapping[str, str]) -> str:
    """
    Return the path from the top of the checkout; empty if it is not in there.
    """
    top = environ.get("GITHUB_WORKSPACE")
    if path is None or not top:
        return ""
    try:
        return path.resolve().relative_to(Path(top).resolve()).as_posix()
    except (OSError, ValueError):
        return ""


def _line_of(where: str, script: Path | None) -> int:
    """
    Return the number of the line that *where* names, if the script has that line: it may be of
    another file, or of another commit than the one that is checked out.
    """
    found = _LINE.fullmatch(where)
    if found is None or script is None:
        return 0
    try:
        with script.open("rb") as file:
            lines = file.read(_SCRIPT_LIMIT).decode("utf-8", "replace").splitlines()
    except OSError:
        return 0
    number = int(found[1])
    text = (found[2] or "").removesuffix(" ...")
    is_there = 0 < number <= len(lines) and lines[number - 1].strip().startswith(text)
    return number if is_there else 0

"""The findings about a repository as tests, one for each check.

    pytest --pyargs pytest_codex_workspace.conformance --codex-repo=.

A finding that is an error fails its test; a warning is one of pytest's; a note is shown with the
option -rA. A finding that the repository silences skips its test with the reason.
"""

from __future__ import annotations

import traceback
import warnings
from collections.abc import Sequence
from textwrap import indent

import pytest

from ..checks.finding import CHECKS, Finding
from ..checks.rules.read import added_ids
from ..checks.summary import explained
from ..errors import CodexWorkspaceError, unexpected
from ..session import Session
from ..text.option_names import spell_option
from ..text.printable import printable
from .check import Conformance


class FindingWarning(UserWarning):
    """
    A finding of the level `warning`.
    """


@pytest.fixture(scope="session")
def codex_outcome(request: pytest.FixtureRequest) -> Conformance | Exception:
    """
    Return what was found in the repository of `--codex-repo`, or why it could not be checked.
    """
    from .check import check_everything

    session: Session = request.getfixturevalue("_codex_session")
    if session.config.repo is None:
        pytest.skip(f"no repository to check: give {spell_option('repo', 'PATH')}")
    try:
        return check_everything(session)
    except Exception as error:
        return error


def test_it_can_be_checked(codex_outcome: Conformance | Exception) -> None:
    """
    The repository could be read and run. The summary is shown with -rA.
    """
    if isinstance(codex_outcome, CodexWorkspaceError):
        pytest.fail(f"{type(codex_outcome).__name__}: {codex_outcome}", pytrace=False)
    if isinstance(codex_outcome, Exception):
        trace = printable("".join(traceback.format_exception(codex_outcome)))
        pytest.fail(f"{unexpected(codex_outcome)}\n{trace}", pytrace=False)
    for line in codex_outcome.lines():
        print(line)  # noqa: T201


@pytest.mark.parametrize("check", [*CHECKS, *added_ids()])
def test_check(
    check: str, codex_outcome: Conformance | Exception, request: pytest.FixtureRequest
) -> None:
    """
    The repository has no finding of this kind.
    """
    if isinstance(codex_outcome, Exception):
        pytest.skip("the repository could not be checked")
    found = [one for one in codex_outcome.findings if one.id == check]
    active = [one for one in found if not one.silenced]
    if errors := [one for one in active if one.level == "error"]:
        pytest.fail(_text(errors), pytrace=False)
    for one in active:
        if one.level == "warning":
            warnings.warn(FindingWarning(_text([one])), stacklevel=1)
    if notes := [one for one in active if one.level == "note"]:
        request.node.add_report_section("call", "codex notes", _text(notes))
    if not active and found:
        pytest.skip(f"silenced: {found[0].silenced}")
    if not found and check in codex_outcome.unknown:
        pytest.skip(codex_outcome.unknown[check])


def _text(findings: Sequence[Finding]) -> str:
    lines = []
    for one in findings:
        place = f"{one.where}: " if one.where else ""
        lines += [f"{place}{one.what}", indent(explained(one), "  ")]
    return "\n".join(lines)

"""What the commands show to a CI service."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from ..errors import CodexWorkspaceError
from .streams import NeutralText

if TYPE_CHECKING:
    from ..checks.sarif import CheckedTarget
    from ..options.config import Config
    from ..reporting.account import RunAccount
    from ..reporting.ci import CiService
    from ..workspace.handle import Workspace

__all__ = ["CiRun", "ci_run", "tell_check"]


class CiRun:
    """
    One run of a command. Without a CI service, nothing is reported.

    Attributes:
        service: the service.
        account: what is reported at the end.
    """

    def __init__(self, service: CiService, account: RunAccount, config: Config) -> None:
        self.service = service
        self.account = account
        self._config = config

    def workspace(self, workspace: Workspace) -> None:
        """
        Add a workspace that has not ended.
        """
        if not self.service.is_known:
            return
        from ..reports.findings import report_workspace

        report_workspace(self.account, workspace, self._config.repo, os.environ)

    def attached(self, action: Callable[[], int]) -> int:
        """
        Run *action*, which writes output of a workspace unchanged, and return its exit code.
        """
        with self.service.without_commands(_write):
            code = action()
        self.account.facts["exit code"] = str(code)
        return code

    def failed(self, error: CodexWorkspaceError) -> None:
        """
        Add the error that ended the command.
        """
        if not self.service.is_known:
            return
        from ..reports.findings import finding_of_error

        finding = finding_of_error(error, self._config.repo, os.environ)
        self.account.findings.insert(0, finding)


@contextmanager
def ci_run(title: str, config: Config) -> Iterator[CiRun]:
    """
    Report the result of a command to the CI service at its end.

    Args:
        title: the command.
        config: its options.

    Yields:
        The run.
    """
    from ..reporting.account import RunAccount
    from ..reporting.ci import service_of

    run = CiRun(service_of(os.environ), RunAccount(title, {"image": config.image}), config)
    try:
        yield run
    except CodexWorkspaceError as error:
        run.failed(error)
        raise
    except BaseException:
        run.account.facts["ended"] = "early"
        raise
    finally:
        if run.service.is_known:
            from ..reports.findings import redaction_of

            run.service.tell(run.account, _write, redaction_of(config.secret, os.environ))


def tell_check(targets: Sequence[CheckedTarget], secret: Sequence[str]) -> None:
    """
    Report what a check found to the CI service.

    Args:
        targets: the repositories.
        secret: names of the variables whose values are not shown.
    """
    from ..reporting.ci import service_of

    service = service_of(os.environ)
    if service.is_known:
        from ..reports.findings import account_of_check, redaction_of

        account = account_of_check(targets, os.environ)
        service.tell(account, _write, redaction_of(secret, os.environ))


def _write(line: str) -> None:
    """
    Write a line for the service. It goes to standard error, as standard output may be data.
    """
    stream: Any = sys.stderr
    (stream.write_unchanged if isinstance(stream, NeutralText) else stream.write)(f"{line}\n")
    stream.flush()

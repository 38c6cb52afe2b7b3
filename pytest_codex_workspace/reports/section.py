"""The text that a failed test shows of its workspace. It fits a screen."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ..errors import CodexWorkspaceError
from ..network.problems import (
    count_problems,
    describe_problems,
    list_problems,
    problems_of,
    setup_warning,
)
from ..services.daemons import explain_refusal
from ..text.phrases import counted, first_line
from ..workspace.command_log import CommandRecord
from ..workspace.handle import SetupResult, Workspace, own_requests

__all__ = ["Position", "failure_section", "position_in"]

_COMMANDS = 4
_OUTPUT_LINES = 8
_PROBLEMS = (4, 3, 2, 1)
"""Problems that are described, as many as there is room for."""

_SERVICES = 20
_SERVICE_LINES = 5
_WIDTH = 160
_ROOM = 30
"""Lines of ours about one failure."""


@dataclass(frozen=True, slots=True)
class Position:
    """
    A point in the life of a workspace.

    Attributes:
        commands: number of commands until then.
        requests: number of its own requests until then, without those of its setup.
    """

    commands: int = 0
    requests: int = 0


def position_in(workspace: Workspace) -> Position:
    """
    Return the point that the life of *workspace* has reached.
    """
    commands = workspace.commands.omitted + len(list(workspace.commands))
    try:
        return Position(commands, len(own_requests(workspace)))
    except CodexWorkspaceError:
        return Position(commands)


def failure_section(
    workspace: Workspace, reproduce: str, since: Position | None = None, *, said: str = ""
) -> str:
    """
    Return what is known of the workspace of a failed test: what went wrong on its network, its
    last commands with the end of their output, and its setup.

    Args:
        workspace: the workspace, running or not.
        reproduce: a command line that starts the same workspace by hand.
        since: leave out what was before this point.
        said: the text of the error above, if it has the output of the last command.
    """
    since = since or Position()
    commands = list(workspace.commands)
    omitted = max(0, workspace.commands.omitted - since.commands)
    commands = commands[max(0, since.commands - workspace.commands.omitted) :]
    head = [f"{workspace!r}, cache {workspace.setup.cache}"]
    if workspace.commands.lost:
        # The first sentence; what to do is in the error.
        why = workspace.commands.lost.removeprefix("the workspace is lost: ").partition(". ")[0]
        head.append(f"lost: {_cut(why)}")
    head += _services(workspace, commands)
    room = _ROOM - len(said.splitlines())
    for shown in _PROBLEMS:
        wrong, network = _network(workspace, since.requests, shown)
        # The reason comes first, where there is one.
        before = [*head, *wrong]
        behind = [*network, *_setup(workspace.setup, shown), f"by hand: {reproduce}"]
        around = len(before) + len(behind)
        ran = _commands(commands, omitted, 0 if said else room - around)
        # The end of a command's output matters more than the third request that was refused.
        if around + (len(ran) if said else _COMMANDS + _OUTPUT_LINES) <= room:
            break
    return "\n".join([*before, *ran, *behind])


def _commands(records: Sequence[CommandRecord], omitted: int, room: int) -> list[str]:
    lines: list[str] = []
    last = len(records) - 1
    # Of a command in the middle only a failure matters; of the last, the end of its output.
    shown = [at for at in range(len(records)) if at == last or not _succeeded(records[at])]
    hidden = omitted + len(records) - len(shown[-_COMMANDS:])
    if hidden:
        lines.append(f"... {counted(hidden, 'earlier command')}")
    for at in shown[-_COMMANDS:]:
        record = records[at]
        lines.append(f"{_state(record)}: {_cut(record.text)}")
        if at == last:
            lines += _output(record, room - len(lines) - 2)
    return lines


def _services(workspace: Workspace, records: Sequence[CommandRecord]) -> list[str]:
    """
    Return which services have ended, and which servers of setup the last command that failed
    seems to miss.
    """
    lines = [
        line if line.startswith("  ") else _cut(line)
        for name in list(workspace.services)[:_SERVICES]
        for line in workspace.services[name].describe_end(_SERVICE_LINES)
    ]
    failed = [one for one in records if not _succeeded(one)][-_COMMANDS:]
    printed = "\n".join(f"{one.stdout}\n{one.stderr}" for one in failed)
    return lines + explain_refusal(workspace.setup.missing, printed)


def _succeeded(record: CommandRecord) -> bool:
    return record.state == "exited" and record.exit_code == 0


def _state(record: CommandRecord) -> str:
    text = f"exit code {record.exit_code}" if record.state == "exited" else record.state
    return text if record.duration is None else f"{text} after {record.duration:.1f} s"


def _output(record: CommandRecord, room: int) -> list[str]:
    room = min(room, _OUTPUT_LINES)
    if room < 1:
        return []
    printed = [("stdout", record.stdout), ("stderr", record.stderr)]
    used = [(name, text.splitlines()) for name, text in printed if text.strip()]
    each = max(1, room // max(1, len(used)))
    lines: list[str] = []
    for name, text in used:
        more = " (its end)" if len(text) > each else ""
        lines.append(f"  {name}{more}:")
        lines += [f"    | {_cut(line)}" for line in text[-each:]]
    return lines


def _network(workspace: Workspace, since: int, shown: int) -> tuple[list[str], list[str]]:
    """
    Return what went wrong, or what else is to be said.
    """
    try:
        requests = own_requests(workspace)[since:]
    except CodexWorkspaceError as error:
        return [], [f"no network log: {_cut(str(error))}"]
    problems = problems_of(requests)
    summary = f"network: {count_problems(requests, problems)}"
    if not problems:
        return [], [summary]
    return [
        summary,
        # Not cut: an entry to paste has to be whole.
        *(f"  {line}" for line in describe_problems(problems, shown=shown)),
    ], []


def _setup(setup: SetupResult, shown: int) -> list[str]:
    problems = problems_of(setup.requests)
    if not problems:
        return []
    return [
        setup_warning(cached=setup.cache == "hit"),
        *(f"  {_cut(line)}" for line in list_problems(problems, shown=shown)),
    ]


def _cut(text: str) -> str:
    return first_line(text, _WIDTH)

"""What a report has of each workspace, and the files in which it is collected."""

from __future__ import annotations

import base64
import errno
import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any

from ..network.rules.request import Request
from ..text.printable import printable
from .files import append_line, open_plain_file, own_folder

__all__ = [
    "PARTS",
    "TestRecord",
    "WorkspaceRecord",
    "append_begun",
    "append_part",
    "read_parts",
    "setups_once",
]

PARTS = "parts"
"""Folder below the report with one file for each process of the run."""

_LINE_LIMIT = 64 << 20
_NOT_ENDED = "The process that used the workspace ended before the workspace did."


@dataclass(frozen=True, slots=True)
class WorkspaceRecord:
    """
    One workspace, once it has ended.

    Attributes:
        test: id of the test or name of the command that used it.
        worker: name of the process of a parallel run; empty for one process.
        repository: name of the repository.
        head: full id of the commit.
        image: the base image, as the option names it.
        container: the engine's id of the container.
        cache: `hit`, `miss`, `off` or `none`.
        key: the key of the setup image.
        began: seconds since the epoch.
        ended: seconds since the epoch.
        setup_duration: seconds that the scripts took.
        log: name of the file with their output, below `logs/`; empty if there is none.
        lost: why the workspace ended early; empty if it did not.
        commands: the last commands, each with the fields of `CommandRecord`.
        omitted: number of commands before these.
        setup_requests: what `setup-script.sh` requested.
        requests: what the workspace requested.
    """

    test: str
    worker: str
    repository: str
    head: str
    image: str
    container: str
    cache: str
    key: str | None
    began: float
    ended: float
    setup_duration: float = 0.0
    log: str = ""
    lost: str = ""
    commands: Sequence[Mapping[str, Any]] = ()
    omitted: int = 0
    setup_requests: Sequence[Request] = ()
    requests: Sequence[Request] = ()

    def to_dict(self) -> dict[str, Any]:
        """
        Return plain data, suitable for JSON, that `from_dict` reads.
        """
        values = {each.name: getattr(self, each.name) for each in fields(self)}
        for name in ("setup_requests", "requests"):
            values[name] = [_plain(each) for each in values[name]]
        return values

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> WorkspaceRecord:
        """
        Return the record that `to_dict` wrote, without fields of a later version.

        Raises:
            ValueError: *data* is something else.
        """
        try:
            values = _known(cls, data)
            for name in ("setup_requests", "requests"):
                values[name] = tuple(_request(each) for each in values.get(name, ()))
            return cls(**{**values, "commands": tuple(values.get("commands", ()))})
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise ValueError(f"not the record of a workspace: {error}") from None


@dataclass(frozen=True, slots=True)
class TestRecord:
    """
    The outcome of one test that used a workspace.

    Attributes:
        test: id of the test.
        worker: name of the process of a parallel run; empty for one process.
        outcome: `passed`, `failed` or `skipped`.
        began: seconds since the epoch.
        duration: seconds.
        message: what the failure says, in one line; empty if the test did not fail.
    """

    __test__ = False

    test: str
    worker: str
    outcome: str
    began: float
    duration: float
    message: str = ""

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> TestRecord:
        """
        Return the record with these fields, without those of a later version.

        Raises:
            ValueError: *data* is something else.
        """
        try:
            return cls(**_known(cls, data))
        except (AttributeError, TypeError) as error:
            raise ValueError(f"not the record of a test: {error}") from None


def append_part(directory: Path, record: WorkspaceRecord | TestRecord) -> None:
    """
    Add a record to the file of this process, so that a run that is killed leaves
    what it had.

    Args:
        directory: the directory of the report.
        record: the record to add.

    Raises:
        OSError: the file cannot be written.
    """
    if isinstance(record, WorkspaceRecord):
        _append(directory, record.worker, {"kind": "workspace", **record.to_dict()})
    else:
        _append(directory, record.worker, {"kind": "test", **asdict(record)})


def append_begun(directory: Path, record: WorkspaceRecord) -> None:
    """
    Add a workspace that has just begun: if its process is killed, the report still has it.

    Args:
        directory: the directory of the report.
        record: what is known of it.

    Raises:
        OSError: the file cannot be written.
    """
    _append(directory, record.worker, {"kind": "begun", **record.to_dict()})


def _append(directory: Path, worker: str, data: Mapping[str, Any]) -> None:
    line = json.dumps(data, default=str).encode("ascii") + b"\n"
    append_line(own_folder(directory, PARTS) / f"{worker or 'main'}.jsonl", line)


def read_parts(
    directory: Path, check: Callable[[str, Mapping[str, Any]], None] | None = None
) -> tuple[list[WorkspaceRecord], list[TestRecord]]:
    """
    Return all records of a report, oldest first. A line that a killed process left
    half written is passed over, and a workspace that it has not ended is lost.

    Args:
        directory: the directory of the report.
        check: raises a `ValueError` for a damaged record, of the kind `workspace` or `test`.

    Raises:
        OSError: a file cannot be read, or is a link.
        ValueError: a record is damaged.
    """
    workspaces: list[WorkspaceRecord] = []
    begun: dict[str, WorkspaceRecord] = {}
    tests: dict[tuple[str, float], TestRecord] = {}
    for data in _lines(directory / PARTS):
        kind = data.pop("kind", None)
        if check is not None and kind in ("begun", "workspace", "test"):
            check("test" if kind == "test" else "workspace", data)
        if kind == "begun":
            one = WorkspaceRecord.from_dict(data)
            begun[one.container] = replace(one, lost=_NOT_ENDED)
        elif kind == "workspace":
            workspaces.append(WorkspaceRecord.from_dict(data))
            begun.pop(workspaces[-1].container, None)
        elif kind == "test":
            record = TestRecord.from_dict(data)
            tests[record.test, record.began] = record
    return (
        sorted([*workspaces, *begun.values()], key=lambda each: each.began),
        sorted(tests.values(), key=lambda each: each.began),
    )


def setups_once(
    workspaces: Iterable[WorkspaceRecord],
) -> Iterator[tuple[WorkspaceRecord, list[Request]]]:
    """
    Yield each workspace with those requests of its setup that no workspace before it has:
    workspaces that start from one image share its setup.
    """
    known: set[tuple[float, str]] = set()
    for workspace in workspaces:
        new = [one for one in workspace.setup_requests if (one.time, one.url) not in known]
        known |= {(one.time, one.url) for one in new}
        yield workspace, new


def _lines(parts: Path) -> Iterator[dict[str, Any]]:
    if parts.is_symlink():
        raise OSError(errno.ELOOP, "it is a symbolic link", str(parts))
    for path in sorted(parts.glob("*.jsonl")):
        with open_plain_file(path) as file:
            while line := file.readline(_LINE_LIMIT):
                try:
                    data = json.loads(line)
                except ValueError:
                    continue
                if isinstance(data, dict):
                    yield data


def _plain(request: Request) -> dict[str, Any]:
    # A report has thousands of them, and `asdict` copies each value.
    values = {each.name: getattr(request, each.name) for each in fields(request)}
    for name, value in values.items():
        if isinstance(value, str):
            values[name] = printable(value)
        elif isinstance(value, bytes):
            values[name] = base64.b64encode(value).decode("ascii")
    return values


def _request(values: Mapping[str, Any]) -> Request:
    found = _known(Request, values)
    for name in ("request_body", "response_body"):
        if found.get(name) is not None:
            found[name] = base64.b64decode(found[name], validate=True)
    found["routes"] = tuple(found.get("routes", ()))
    return Request(**found)


def _known(kind: type[Any], data: Mapping[str, Any]) -> dict[str, Any]:
    names = {each.name for each in fields(kind)}
    return {name: value for name, value in data.items() if name in names}

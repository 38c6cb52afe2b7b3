"""Write and read the report of a run: a page, an HTTP archive, data, and logs."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

from ..errors import ReportError
from .files import is_foreign, own_folder, read_plain_file, replace_file
from .har import har_of, names_of_hars
from .page import render_page
from .records import PARTS, TestRecord, WorkspaceRecord, append_part, read_parts
from .schema import DAMAGED, FOREIGN, SCHEMA, check_record, check_report

__all__ = [
    "FILES",
    "LARGEST_REPORT",
    "begin_report",
    "keep_workspace",
    "read_report",
    "rebuild_report",
    "records_in",
    "write_report",
]

FILES = ("index.html", "network.har", "report.json")
"""The files of a report, besides those in `har/`, `logs/` and `parts/`."""

LARGEST_REPORT = 512 << 20
"""Bytes of the largest `report.json` that is read."""

Records = tuple[list[WorkspaceRecord], list[TestRecord]]
"""The workspaces and the tests of a report."""

_DATA = "report.json"

_HARS = "har"
_LOGS = "logs"
_LOG_LIMIT = 32 << 20


def begin_report(directory: Path) -> None:
    """
    Remove what an earlier run has left in *directory*.

    Raises:
        OSError: it cannot be removed.
        ValueError: the directory has a page that is not the page of a report.
    """
    if not (directory / PARTS).is_dir():
        _refuse_foreign(directory)
    for part in own_folder(directory, PARTS).glob("*.jsonl"):
        part.unlink()
    if (directory / _HARS).exists():
        for archive in own_folder(directory, _HARS).glob("*.har"):
            archive.unlink()
    for name in FILES:
        (directory / name).unlink(missing_ok=True)


def keep_workspace(directory: Path, record: WorkspaceRecord, log: Path | None = None) -> None:
    """
    Add a workspace that has ended, and a copy of its log.

    Args:
        directory: the directory of the report.
        record: what is known of the workspace.
        log: file with the output of its scripts.

    Raises:
        OSError: the report cannot be written.
    """
    if log is not None:
        target = own_folder(directory, _LOGS) / log.name
        # A log may have been pruned, and several workspaces have the same.
        with suppress(FileNotFoundError):
            if target.is_symlink():
                target.unlink()
            if not target.exists() and log.stat().st_size <= _LOG_LIMIT:
                shutil.copyfile(log, target)
            record = replace(record, log=log.name if target.exists() else "")
    append_part(directory, record)


def write_report(
    directory: Path, check: Callable[[str, Mapping[str, Any]], None] | None = None
) -> Path:
    """
    Write the files of the report from what has been added by all processes.

    Args:
        directory: the directory of the report.
        check: checks each record, if others may have written them.

    Returns:
        The page.

    Raises:
        OSError: the report cannot be written.
        ValueError: what was added is damaged, or a page is there that is not ours.
    """
    _refuse_foreign(directory)
    workspaces, tests = read_parts(directory, check)
    data = {
        "schema": SCHEMA,
        "version": version("pytest-codex-workspace"),
        "workspaces": [one.to_dict() for one in workspaces],
        "tests": [asdict(one) for one in tests],
    }
    replace_file(directory / _DATA, json.dumps(data, default=str))
    return _write_views(directory, workspaces, tests)


def read_report(directory: Path) -> Records:
    """
    Return the records of a report: those in `report.json`, or of a run that was killed, what its
    processes have left.

    Args:
        directory: the directory of the report.

    Raises:
        ReportError: the directory has no report, or one that cannot be used.
    """
    path = directory / _DATA
    try:
        data = read_plain_file(path, LARGEST_REPORT)
    except FileNotFoundError:
        return _records_in_parts(directory)
    except OSError as error:
        raise _unreadable(path, error) from None
    except ValueError as error:
        raise ReportError(f"{path} cannot be read: {error}", remedy=DAMAGED) from None
    return records_in(str(path), data)


def records_in(where: str, data: bytes) -> Records:
    """
    Return the records in the content of a `report.json`.

    Args:
        where: the file that has it, for errors.
        data: the content.

    Raises:
        ReportError: it is no report, or one that cannot be used.
    """
    found = check_report(where, data)
    try:
        return (
            [WorkspaceRecord.from_dict(one) for one in found["workspaces"]],
            [TestRecord.from_dict(one) for one in found["tests"]],
        )
    except ValueError as error:
        raise ReportError(f"{where} cannot be used: {error}", remedy=DAMAGED) from None


def rebuild_report(directory: Path) -> Path:
    """
    Write the page and the archives again, from `report.json`. Of a run that was killed, write every
    file from what its processes have left.

    Args:
        directory: the directory of the report.

    Returns:
        The page.

    Raises:
        ReportError: the directory has no report, or one that cannot be used.
        OSError: the page cannot be written.
    """
    if not directory.is_dir():
        raise ReportError(f"{directory} is not a directory", remedy=FOREIGN)
    was_killed = not os.path.lexists(directory / _DATA)
    records = read_report(directory)
    try:
        _refuse_foreign(directory)
        if was_killed:
            return write_report(directory, check_record)
        return _write_views(directory, *records)
    except ValueError as error:
        raise ReportError(f"{directory} cannot be used: {error}", remedy=DAMAGED) from None


def _records_in_parts(directory: Path) -> Records:
    if not any((directory / PARTS).glob("*.jsonl")):
        raise ReportError(f"{directory} has no {_DATA}", remedy=FOREIGN)
    try:
        return read_parts(directory, check_record)
    except OSError as error:
        raise _unreadable(Path(error.filename or directory), error) from None
    except ValueError as error:
        raise ReportError(f"{directory} cannot be used: {error}", remedy=DAMAGED) from None


def _unreadable(path: Path, error: OSError) -> ReportError:
    reason = "it is a symbolic link" if path.is_symlink() else error.strerror
    return ReportError(f"{path} cannot be read: {reason}", remedy=DAMAGED)


def _write_views(
    directory: Path, workspaces: Sequence[WorkspaceRecord], tests: Sequence[TestRecord]
) -> Path:
    ours = version("pytest-codex-workspace")
    replace_file(directory / "network.har", json.dumps(har_of(workspaces, ours)))
    of_tests: dict[str, list[WorkspaceRecord]] = {}
    for one in workspaces:
        # The requests of a setup that all tests share are in the archive of the run.
        of_tests.setdefault(one.test, []).append(replace(one, setup_requests=()))
    for test, name in names_of_hars(workspaces).items():
        archive = json.dumps(har_of(of_tests[test], ours))
        replace_file(own_folder(directory, _HARS) / name, archive)
    page = directory / "index.html"
    replace_file(page, render_page(workspaces, tests, ours))
    return page


def _refuse_foreign(directory: Path) -> None:
    if is_foreign(page := directory / "index.html"):
        raise ValueError(f"{page} is not the page of a report; give a directory of its own")

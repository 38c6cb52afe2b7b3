"""Read the requests of earlier runs from reports, archives, events and logs of requests."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any
from urllib.parse import urlsplit

from ..errors import ReportError
from ..network.rules.request import Request
from .records import WorkspaceRecord, setups_once
from .report import LARGEST_REPORT, read_report, records_in

__all__ = ["LoggedRequest", "RequestLog", "read_log"]

_SIZE_LIMIT = LARGEST_REPORT
_LARGEST_COUNT = 1_000_000_000
_KINDS = "a report, an HTTP archive of one, or the events that `--json` prints"
_GIVE = f"Give the directory of a report, or a file: {_KINDS}."
_TEXTS = ("phase", "method", "scheme", "host", "path", "url", "verdict", "explanation")
_PORTS = {"https": 443, "http": 80}


@dataclass(frozen=True, slots=True)
class LoggedRequest:
    """
    A request of an earlier run.

    Attributes:
        request: the request.
        owner: id of the test or name of the command; empty if it is not known.
        count: for how many requests it stands.
    """

    request: Request
    owner: str = ""
    count: int = 1


@dataclass(frozen=True, slots=True)
class RequestLog:
    """
    The requests of an earlier run.

    Attributes:
        requests: the requests.
        is_whole: whether all of them are here, or only some of those that were allowed.
    """

    requests: list[LoggedRequest]
    is_whole: bool = True


def read_log(path: Path | None, stdin: IO[bytes]) -> RequestLog:
    """
    Return the requests in the directory of a report, or in a file.

    Args:
        path: the directory or file; `None` for standard input.
        stdin: standard input.

    Raises:
        ReportError: there is none, it is damaged, or it is something else.
    """
    where = "standard input" if path is None else str(path)
    try:
        if path is None:
            return _parsed(_limited(stdin, where), where)
        if path.is_dir():
            return RequestLog(list(_of_workspaces(read_report(path)[0])))
        with path.open("rb") as file:
            return _parsed(_limited(file, where), where)
    except OSError as error:
        raise ReportError(f"{where} cannot be read: {error.strerror}", remedy=_GIVE) from None


def _limited(file: IO[bytes], where: str) -> bytes:
    data = file.read(_SIZE_LIMIT + 1)
    if len(data) > _SIZE_LIMIT:
        raise ReportError(f"{where} is larger than the limit of {_SIZE_LIMIT >> 20} MiB")
    return data


def _parsed(data: bytes, where: str) -> RequestLog:
    if not data.strip():
        raise ReportError(f"{where} is empty", remedy=_GIVE)
    try:
        whole = json.loads(data)
    except (ValueError, RecursionError):
        return _lines(data, where)
    if isinstance(whole, dict) and not _is_line(whole):
        if "workspaces" in whole:
            return RequestLog(list(_of_workspaces(records_in(where, data)[0])))
        if isinstance(whole.get("log"), dict):
            return RequestLog(list(_archive(whole["log"], where)))
    if isinstance(whole, list):
        return RequestLog([LoggedRequest(_request(one, where)) for one in whole])
    return _lines(data, where)


def _is_line(value: Mapping[str, Any]) -> bool:
    return not {"event", "kind", "verdict"}.isdisjoint(value)


def _lines(data: bytes, where: str) -> RequestLog:
    """
    Return the requests in events, in a part of a report, or in lines with a request each.
    """
    requests: list[LoggedRequest] = []
    wrong: list[LoggedRequest] = []
    workspaces: list[WorkspaceRecord] = []
    known = 0
    is_run, omitted = False, False
    lines = data.split(b"\n")
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        place = f"{where}, line {number}"
        try:
            value = json.loads(line)
        except (ValueError, RecursionError):
            if number == len(lines) and known:
                break  # The process that wrote it was killed.
            raise ReportError(f"{place}: this is not JSON", remedy=_GIVE) from None
        if not isinstance(value, dict) or not _is_line(value):
            raise ReportError(f"{place}: this is not {_KINDS}", remedy=_GIVE)
        known += 1
        is_run = is_run or "kind" in value  # Some processes of a run have no workspace.
        if value.get("kind") == "workspace":
            workspaces.append(_workspace(value, place))
        elif value.get("event") == "request" or ("event" not in value and "verdict" in value):
            requests.append(LoggedRequest(_request(value, place)))
        elif value.get("event") in ("result", "error") and "problems" in value:
            is_run, omitted = True, bool(value.get("omitted"))
            wrong += _wrong(value, place)
    requests += _of_workspaces(workspaces)
    if requests:
        return RequestLog(requests, is_whole=not omitted)
    if not is_run:
        raise ReportError(f"{where} has nothing about requests", remedy=_GIVE)
    return RequestLog(wrong, is_whole=not wrong)


def _workspace(value: dict[str, Any], where: str) -> WorkspaceRecord:
    try:
        return WorkspaceRecord.from_dict(value)
    except ValueError as error:
        raise ReportError(f"{where}: {error}", remedy=_GIVE) from None


def _of_workspaces(workspaces: Iterable[WorkspaceRecord]) -> Iterator[LoggedRequest]:
    """
    Yield the requests of workspaces. Those of a setup count once, however many stand on it.
    """
    for workspace, setup in setups_once(workspaces):
        yield from map(LoggedRequest, setup)
        for request in workspace.requests:
            yield LoggedRequest(request, workspace.test)


def _archive(log: Mapping[str, Any], where: str) -> Iterator[LoggedRequest]:
    for entry in _list(log, "entries", where):
        sent, answered = (
            entry.get(name) if isinstance(entry, dict) else None for name in ("request", "response")
        )
        if not isinstance(sent, dict) or not isinstance(answered, dict) or "_verdict" not in entry:
            raise ReportError(f"{where}: this archive is not one of ours", remedy=_GIVE)
        fields = {name: entry.get(f"_{name}") for name in ("phase", "verdict", "reason")}
        explanation = str(entry.get("comment", "")).partition(": ")[2]
        status = answered.get("status") or None
        more = {"method": sent.get("method"), "url": sent.get("url"), "status": status}
        owner = entry.get("_test") if fields["phase"] == "test" else ""
        request = _request({**fields, **more, "explanation": explanation}, where)
        yield LoggedRequest(request, str(owner or ""))


def _wrong(result: Mapping[str, Any], where: str) -> Iterator[LoggedRequest]:
    """
    Yield what a result or an error has of the requests that went wrong.
    """
    for one in _list(result, "problems", where):
        count = one.get("count", 1) if isinstance(one, dict) else 1
        known = type(count) is int and 0 < count <= _LARGEST_COUNT
        yield LoggedRequest(_request(one, where), count=count if known else 1)


def _list(values: Mapping[str, Any], name: str, where: str) -> list[Any]:
    found = values.get(name)
    if not isinstance(found, list):
        raise ReportError(f"{where}: {name} is missing or not a list", remedy=_GIVE)
    return found


def _request(values: Any, where: str) -> Request:
    if not isinstance(values, dict):
        raise ReportError(f"{where}: a request is not an object", remedy=_GIVE)
    # An event has a time of its own.
    found = {
        "path": "",
        "explanation": "",
        **values,
        "time": values.get("began", values.get("time")),
    }
    try:
        # An event has the address in one.
        parts = urlsplit(str(found["url"]))
        found.setdefault("scheme", parts.scheme)
        found.setdefault("host", parts.hostname)
        found.setdefault("port", parts.port or _PORTS.get(parts.scheme, 0))
        found["path"] = found["path"] or parts._replace(scheme="", netloc="").geturl()
        if not all(isinstance(found[name], str) for name in _TEXTS):
            raise TypeError
        texts = {name: found[name] for name in _TEXTS}
        numbers = {name: found.get(name) for name in ("time", "status", "port")}
        reason = found.get("reason")
        if not (reason is None or isinstance(reason, str)):
            raise TypeError
        if not all(type(each) in (int, float, type(None)) for each in numbers.values()):
            raise TypeError
        return Request(
            id=0,
            time=float(numbers["time"] or 0),
            status=numbers["status"],
            size=None,
            duration=None,
            reason=reason,
            port=int(numbers["port"] or 0),
            **texts,
        )
    except (KeyError, TypeError, ValueError, OverflowError):
        raise ReportError(f"{where}: a request in it is damaged", remedy=_GIVE) from None

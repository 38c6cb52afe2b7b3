"""The requests of workspaces as an HTTP Archive (HAR 1.2), which browsers open.

The format: http://www.softwareishard.com/blog/har-12-spec/
"""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from ..network.rules.request import Request
from .records import WorkspaceRecord, setups_once

__all__ = ["har_of", "names_of_hars"]

_NOT_KNOWN = -1
_FILES = 1000
_EMPTY: Mapping[str, Any] = {
    "cookies": [],
    "headers": [],
    "headersSize": _NOT_KNOWN,
    "httpVersion": "",
}


def har_of(workspaces: Iterable[WorkspaceRecord], version: str) -> dict[str, Any]:
    """
    Return the archive of all requests, with a page for each workspace. The requests of a
    setup that several workspaces share are in the page of the first of them.

    Headers are not in the log of requests, so they are not in the archive. A name that was
    looked up has the method `DNS`. Verdict, reason and explanation are in each entry's
    `comment`, and in fields that begin with `_`, as the format asks for own fields.

    Args:
        workspaces: the workspaces.
        version: the version of this package.
    """
    pages: list[dict[str, Any]] = []
    entries: list[dict[str, Any]] = []
    for number, (workspace, setup) in enumerate(setups_once(workspaces), 1):
        page = f"workspace-{number}"
        pages.append(
            {
                "startedDateTime": _time(workspace.began),
                "id": page,
                "title": f"{workspace.test or workspace.repository} at {workspace.head[:12]}",
                "pageTimings": {},
            }
        )
        entries += [_entry(page, workspace, one) for one in (*setup, *workspace.requests)]
    entries.sort(key=lambda each: str(each["startedDateTime"]))
    creator = {"name": "pytest-codex-workspace", "version": version}
    return {"log": {"version": "1.2", "creator": creator, "pages": pages, "entries": entries}}


def names_of_hars(workspaces: Iterable[WorkspaceRecord]) -> dict[str, str]:
    """
    Return the name of a file for each test (or command) that requested something, at most 1,000.
    """
    tests = dict.fromkeys(one.test for one in workspaces if one.requests)
    return {test: _name(test) for test in list(tests)[:_FILES]}


def _name(test: str) -> str:
    # Names that differ in other characters, or in their beginning, are told apart by the digest.
    digest = hashlib.sha256(test.encode("utf-8", "surrogatepass")).hexdigest()[:8]
    return f"{re.sub('[^A-Za-z0-9]+', '-', test)[-80:].strip('-')}-{digest}.har"


def _entry(page: str, workspace: WorkspaceRecord, request: Request) -> dict[str, Any]:
    # A clock that was set back in between must not make a time negative.
    milliseconds = max(0.0, round((request.duration or 0) * 1000, 3))
    reason = f" ({request.reason})" if request.reason else ""
    sent = {
        **_EMPTY,
        "method": request.method,
        "url": request.url,
        "queryString": [
            {"name": name, "value": value}
            for name, value in parse_qsl(urlsplit(request.path).query, keep_blank_values=True)
        ],
        "bodySize": _size(request.request_body),
    }
    if request.request_body is not None:
        text = request.request_body.decode("utf-8", "replace")
        sent["postData"] = {"mimeType": "", "params": [], "text": text}
    return {
        "pageref": page,
        "startedDateTime": _time(request.time),
        "time": milliseconds,
        "request": sent,
        "response": {
            **_EMPTY,
            "status": request.status or 0,
            "statusText": "",
            "content": _content(request),
            "redirectURL": "",
            "bodySize": _NOT_KNOWN if request.size is None else request.size,
        },
        "cache": {},
        "timings": {"send": 0, "wait": milliseconds, "receive": 0},
        "comment": f"{request.verdict}{reason}: {request.explanation}".rstrip(": "),
        "_phase": request.phase,
        "_verdict": request.verdict,
        "_reason": request.reason,
        "_process": request.process,
        "_test": workspace.test,
    }


def _content(request: Request) -> dict[str, Any]:
    content: dict[str, Any] = {"size": request.size or 0, "mimeType": ""}
    if request.response_body is not None:
        try:
            content["text"] = request.response_body.decode("utf-8")
        except UnicodeDecodeError:
            content["text"] = base64.b64encode(request.response_body).decode("ascii")
            content["encoding"] = "base64"
    return content


def _size(body: bytes | None) -> int:
    return _NOT_KNOWN if body is None else len(body)


def _time(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds")

"""
Check that a request has only one meaning.

mitmproxy passes on methods with spaces, targets that are whole URLs and header
values with line ends. The server must read the request exactly as it was judged.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mitmproxy import http

__all__ = ["is_wellformed"]

_TOKEN = re.compile(rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
_PATH = re.compile(rb"/[^\x00-\x20\x7f]*")
_LINE_END = re.compile(rb"[\r\n\0]")


def is_wellformed(request: http.Request) -> bool:
    """
    Check whether method, path and header fields have the form of the standard.

    The gate compares the names of the host.
    """
    method, path = request.data.method, request.data.path
    return (
        _TOKEN.fullmatch(method) is not None
        and (_PATH.fullmatch(path) is not None or (path == b"*" and method == b"OPTIONS"))
        and all(
            _TOKEN.fullmatch(name) is not None and _LINE_END.search(value) is None
            for name, value in request.headers.fields
        )
    )

"""
Check that a request has only one meaning, and send it on with that meaning.

mitmproxy passes on methods with spaces, targets that are whole URLs and header
values with line ends. The server must read the request exactly as it was judged.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from pytest_codex_workspace.network.rules.hosts import normalise_host

if TYPE_CHECKING:
    from mitmproxy import http

__all__ = ["canonical_host", "forward_as_judged", "is_wellformed"]

_TOKEN = re.compile(rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
_PATH = re.compile(rb"/[^\x00-\x20\x7f]*")
_PORT = re.compile(rb":[0-9]+")
_DEFAULT_PORTS = {"http": 80, "https": 443}
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


def canonical_host(host: str) -> str:
    """
    Return the spelling of a host that is judged; *host* itself if it is none, which is refused.
    """
    try:
        return normalise_host(host)
    except ValueError:
        return host


def forward_as_judged(request: http.Request, host: str) -> None:
    """
    Write every name in an approved request as it was judged.

    Names are compared in their normal form. A server might read another spelling of
    one (`:00443`, a full-width dot, a whole URL as the target) as another name.

    Args:
        request: the request, in which all names agree.
        host: its host in normal form.
    """
    fields = request.headers.fields
    written = [value for name, value in fields if name.lower() == b"host"]
    written.append(request.data.authority)
    names_port = any(_PORT.search(value.rpartition(b"]")[2]) for value in written)
    text = f"[{host}]" if ":" in host else host
    if names_port or request.port != _DEFAULT_PORTS.get(request.scheme):
        text += f":{request.port}"
    authority = text.encode("ascii")
    request.data.host = host
    request.headers.fields = tuple(
        (name, authority if name.lower() == b"host" else value) for name, value in fields
    )
    if request.is_http2:
        request.data.authority = authority
        return
    request.data.authority = b""
    if "host" not in request.headers:
        request.headers.fields = ((b"Host", authority), *request.headers.fields)

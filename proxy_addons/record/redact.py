"""
Making what a client sent fit for the log: printable, short, without secrets.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import TYPE_CHECKING
from urllib.parse import quote, unquote

from pytest_codex_workspace.network.hosts import normalise_host

if TYPE_CHECKING:
    from mitmproxy import http

__all__ = [
    "REDACTED",
    "lower_names",
    "printable",
    "safe_headers",
    "safe_host",
    "safe_json",
    "safe_path",
    "safe_url",
    "text_of",
    "url_of",
]

REDACTED = "REDACTED"
"""Stands where a secret was."""

_LONGEST = 4096
_DEPTH = 3
_SEPARATORS = re.compile(r"([?#&;])")
_DEFAULT_PORTS = {"https": 443, "http": 80, "dns": 53}
_JSON_SECRET = re.compile(
    rb'("(?:access_token|refresh_token|id_token|auth_token|token|client_secret|secret|password|'
    rb'api_?key|private_key)"\s*:\s*)"(?:[^"\\]|\\.)+"',
    re.IGNORECASE,
)
_UNPRINTABLE = re.compile(rb"[^\x21-\x7e]")
_SECRET = re.compile(
    r"(?:^|[^a-z])(?:access[^a-z]?)?(?:"
    r"token|secret|pass(?:[^a-z]?(?:word|wd|code|phrase))?|pwd?|pw|credentials?|signature|sig|hmac"
    r"|auth|authorization|bearer|assertion|saml(?:response|request|art)?|ticket|verifier"
    r"|api[^a-z]?key|key|j?session(?:[^a-z]?id)?|phpsessid|cookie|[cx]srf|sid|code|jwt|otp|pat|pin"
    r")(?:$|[^a-z])|token$|secret$|password$|apikey$|signature$|credential$",
)


def safe_path(raw: bytes) -> str:
    """
    A request's path and query as text, with every value replaced whose
    name looks like that of a secret.

    Example:
        >>> safe_path(b"/a?page=2&access_token=abc")
        '/a?page=2&access_token=REDACTED'
    """
    return _without_secrets(printable(raw))


def safe_host(host: str) -> str:
    """
    A host in its one spelling; what is none, printable and short.
    """
    try:
        return normalise_host(host)
    except ValueError:
        return printable(host.encode("utf-8", "surrogateescape"))[:255]


def url_of(scheme: str, host: str, port: int, path: str) -> str:
    """
    The URL of safe parts; a port that goes without saying is left out.
    """
    authority = f"[{host}]" if ":" in host else host
    if port != _DEFAULT_PORTS.get(scheme):
        authority += f":{port}"
    return f"{scheme}://{authority}{path}"


def safe_url(scheme: str, host: str, port: int, path: bytes) -> str:
    """
    The URL of what a client sent.
    """
    return url_of(scheme, safe_host(host), port, safe_path(path))


def safe_headers(pairs: Iterable[tuple[str, str]]) -> tuple[tuple[str, str], ...]:
    """
    Header fields without those whose name looks like that of a secret, and
    with addresses in them as `safe_path` has them.
    """
    return tuple(
        (name, safe_path(value.encode("latin-1", "replace")) if "location" in name else value)
        for name, value in pairs
        if not _SECRET.search(name.lower())
    )


def safe_json(body: bytes) -> bytes:
    """
    A JSON text with every string replaced whose name is that of a credential.

    Example:
        >>> safe_json(b'{"access_token": "abc", "n": 1}')
        b'{"access_token": "REDACTED", "n": 1}'
    """
    return _JSON_SECRET.sub(rb'\1"' + REDACTED.encode() + rb'"', body)


def text_of(headers: http.Headers) -> list[tuple[str, str]]:
    """
    Header fields as text.
    """
    return [(name.decode("latin-1"), value.decode("latin-1")) for name, value in headers.fields]


def lower_names(headers: http.Headers) -> dict[str, str]:
    """
    Header fields as text by lower-case name; of several the last.
    """
    return {name.lower(): value for name, value in text_of(headers)}


def printable(raw: bytes) -> str:
    """
    *raw* with every byte escaped that is no printable ASCII, cut to 4096
    characters.
    """
    text = _UNPRINTABLE.sub(lambda match: b"%%%02X" % match[0][0], raw[:_LONGEST]).decode("ascii")
    return text if len(text) <= _LONGEST and len(raw) <= _LONGEST else text[:_LONGEST] + "..."


def _without_secrets(text: str, depth: int = 0) -> str:
    # All separators that servers know, and a fragment, which is not theirs.
    path, *parts = _SEPARATORS.split(text)
    return path + "".join(_without_secret(part, depth) for part in parts)


def _without_secret(parameter: str, depth: int) -> str:
    name, equals, value = parameter.partition("=")
    if not value:
        return parameter
    inner = unquote(value)
    if inner != value and depth < _DEPTH and (clean := _without_secrets(inner, depth + 1)) != inner:
        # A URL in a URL.
        value = quote(clean, safe="")
        parameter = f"{name}={value}"
    words = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", unquote(name)).lower()
    return f"{name}={REDACTED}" if equals and _SECRET.search(words) else parameter

"""
Make input of a client fit for the log: printable, short, without secrets.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import TYPE_CHECKING
from urllib.parse import quote, unquote

from pytest_codex_workspace.network.rules.hosts import normalise_host

if TYPE_CHECKING:
    from mitmproxy import http

__all__ = [
    "REDACTED",
    "build_url",
    "decode_fields",
    "escape_unprintable",
    "fields_by_lower_name",
    "safe_headers",
    "safe_host",
    "safe_json",
    "safe_path",
    "safe_url",
]

REDACTED = "REDACTED"
"""Replaces a secret."""

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
    Return a request's path and query as text, with the value of every parameter
    replaced whose name looks like that of a secret. It has at most 4096 characters, and `...`
    if it was cut.

    Example:
        >>> safe_path(b"/a?page=2&access_token=abc")
        '/a?page=2&access_token=REDACTED'
    """
    # Replacing can make the text longer, so it is cut once more.
    return _cut(_without_secrets(escape_unprintable(raw)))


def safe_host(host: str) -> str:
    """
    Return the normalised host; if *host* is invalid, a printable and short text.
    """
    try:
        return normalise_host(host)
    except ValueError:
        return escape_unprintable(host.encode("utf-8", "surrogateescape"))[:255]


def build_url(scheme: str, host: str, port: int, path: str) -> str:
    """
    Return a URL of redacted parts, without the port if it is the default of the scheme.
    """
    authority = f"[{host}]" if ":" in host else host
    if port != _DEFAULT_PORTS.get(scheme):
        authority += f":{port}"
    return f"{scheme}://{authority}{path}"


def safe_url(scheme: str, host: str, port: int, path: bytes) -> str:
    """
    Return the redacted URL of a request.
    """
    return build_url(scheme, safe_host(host), port, safe_path(path))


def safe_headers(pairs: Iterable[tuple[str, str]]) -> tuple[tuple[str, str], ...]:
    """
    Return header fields without those whose name looks like that of a secret.

    URLs in location fields are redacted as by `safe_path`.
    """
    return tuple(
        (name, safe_path(value.encode("latin-1", "replace")) if "location" in name else value)
        for name, value in pairs
        if not _SECRET.search(name.lower())
    )


def safe_json(body: bytes) -> bytes:
    """
    Return a JSON text with every string replaced whose name is that of a credential.

    Example:
        >>> safe_json(b'{"access_token": "abc", "n": 1}')
        b'{"access_token": "REDACTED", "n": 1}'
    """
    return _JSON_SECRET.sub(rb'\1"' + REDACTED.encode() + rb'"', body)


def decode_fields(headers: http.Headers) -> list[tuple[str, str]]:
    """
    Return header fields as text.
    """
    return [(name.decode("latin-1"), value.decode("latin-1")) for name, value in headers.fields]


def fields_by_lower_name(headers: http.Headers) -> dict[str, str]:
    """
    Return header fields as text by lower-case name; of repeated fields the last one.
    """
    return {name.lower(): value for name, value in decode_fields(headers)}


def escape_unprintable(raw: bytes) -> str:
    """
    Return *raw* as text, cut to 4096 characters. Every byte that is not printable ASCII is
    percent-encoded.
    """
    text = _UNPRINTABLE.sub(lambda match: b"%%%02X" % match[0][0], raw[:_LONGEST]).decode("ascii")
    return text if len(text) <= _LONGEST and len(raw) <= _LONGEST else text[:_LONGEST] + "..."


def _cut(text: str) -> str:
    # The text may end with the mark of an earlier cut.
    return text if len(text) <= _LONGEST + 3 else text[:_LONGEST] + "..."


def _without_secrets(text: str, depth: int = 0) -> str:
    # All separators that servers accept, and the fragment, which servers never get.
    path, *parts = _SEPARATORS.split(text)
    return path + "".join(_without_secret(part, depth) for part in parts)


def _without_secret(parameter: str, depth: int) -> str:
    name, equals, value = parameter.partition("=")
    if not value:
        return parameter
    inner = unquote(value)
    if inner != value and depth < _DEPTH and (clean := _without_secrets(inner, depth + 1)) != inner:
        # A URL inside the URL.
        value = quote(clean, safe="")
        parameter = f"{name}={value}"
    words = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", unquote(name)).lower()
    return f"{name}={REDACTED}" if equals and _SECRET.search(words) else parameter

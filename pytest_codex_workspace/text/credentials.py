"""Masking credentials that are recognised by their form, in text that is shown to others."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cache
from pathlib import Path

__all__ = ["MASK", "is_secret_name", "mask_credentials", "secret_values"]

MASK = "***"
"""The text that replaces a secret."""

_SHORTEST = 6
"""Characters of a variable's value that is looked for: shorter ones occur in unrelated text."""

_WORDS = (
    "auth|cookie|credential|key|pass|passphrase|passwd|password|pat|private|pwd|secret|signature|"
    "token"
)
_NAME = re.compile(
    rf"(?:^|[^a-z])(?:x?{_WORDS})s?(?:$|[^a-z])|password|secret|token|api_?key", re.I
)
_NOT_SECRET = re.compile(r"_(?:FILE|PATH|DIR|SOCK|ID|NAME)$|^(?:OLD)?PWD$", re.I)


@cache
def _patterns() -> tuple[tuple[re.Pattern[str], str], ...]:
    """
    Return what has the form of a credential, and what replaces it. Most runs of pytest need none of
    these patterns, and they take milliseconds to compile.
    """
    return (
        # user:password@ of an address
        (re.compile(r"(?<=://)[^\s/?#\"'<>]+(?=@)"), MASK),
        # the line of a header field, also as JSON or Python writes it, with NAME="VALUE" in it
        (
            re.compile(
                r"(?i)\b((?:proxy-)?authorization|x-registry-(?:auth|config)|(?:set-)?cookie|"
                r"x-api-key|private-token|job-token)(\\?[\"']?\s*[:=]\s*\\?[\"']?)"
                r"(?:=\\?\"[^\"\s,\])}][^\"\r\n]*\"|\\(?![\"'])|[^\"'\\\r\n])+"
            ),
            rf"\1\2{MASK}",
        ),
        (re.compile(r"(?i)\b(bearer|basic)(\s+)[a-z0-9+/=._~-]{8,}"), rf"\1\2{MASK}"),
        # tokens that their issuers made recognisable
        (
            re.compile(
                r"\b(?:gh[pousr]_|github_pat_|glpat-|npm_|pypi-|xox[abeprs]-|sk-|AKIA|ASIA|dckr_pat_|"
                r"hf_|eyJ)[A-Za-z0-9_.=-]{12,}"
            ),
            MASK,
        ),
        (
            re.compile(r"-----BEGIN [A-Z ]*PRIVATE KEY-----.*?(?:-----END [A-Z ]*-----|\Z)", re.S),
            MASK,
        ),
        # NAME=VALUE, as in queries, commands and environments; "name": "value", also within JSON.
        # The pattern begins at each name once: text of a workspace may be made to be slow. What has
        # another name is passed over without its value, in which there may be one of these.
        (
            re.compile(
                r"(?i)(?<![a-z0-9_.-])(?=[a-z0-9_.-]++[=\\\"'])"
                r"(?=[a-z0-9_.-]*?(?:token|secret|passw(?:or)?d|passphrase|credential|"
                r"signature|(?:api|access|private)[_-]?key|auth|"
                r"(?<![a-z])(?:pass|sig)(?![a-z])))([a-z0-9_.-]++)"
                r"(=|\\?[\"']\s{0,8}:\s{0,8}(?=\\?[\"']))(?P<quote>\\?[\"'])?+"
                r"(?(quote)(?:(?!(?P=quote))(?:\\.|[^\r\n]))+|[^\s\"'&;,]+)"
            ),
            rf"\1\2\3{MASK}",
        ),
    )


def mask_credentials(text: str) -> str:
    """
    Return *text* without what has the form of a credential: passwords in addresses, header fields
    and parameters that authenticate, well-known tokens, and private keys.

    Example:
        >>> mask_credentials("GET https://me:pw@host.test/?token=abc&page=2")
        'GET https://***@host.test/?token=***&page=2'
    """
    for pattern, mask in _patterns():
        text = pattern.sub(mask, text)
    return text


def is_secret_name(name: str) -> bool:
    """
    Return whether a variable of this name probably has a secret value.
    """
    return _NAME.search(name) is not None and _NOT_SECRET.search(name) is None


def secret_values(environ: Mapping[str, str]) -> list[str]:
    """
    Return the values of an environment that are probably secret, by the names of the variables. The
    path of a key is none.
    """
    return [
        value
        for name, value in environ.items()
        if len(value.strip()) >= _SHORTEST and is_secret_name(name) and not _is_path(value)
    ]


def _is_path(value: str) -> bool:
    try:
        return Path(value).exists()
    except (OSError, ValueError):
        return False

"""
Parse the fields of a policy, with suggestions for misspelled values.

This module is copied into the proxy image, so it imports the standard library
only.
"""

from __future__ import annotations

import difflib
import ipaddress
import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from .hosts import normalise_host

__all__ = ["PARSERS", "InvalidPolicy", "check_list", "check_names"]

_METHOD = re.compile(r"[A-Z][A-Z_-]{0,31}", re.ASCII)


class InvalidPolicy(ValueError):
    """
    A policy has an unknown field or an invalid value. The message names the field.
    """


def check_names(names: Iterable[object], known: list[str]) -> None:
    """
    Check that all *names* are known fields.

    Raises:
        InvalidPolicy: a name is not in *known*.
    """
    if unknown := sorted(str(name) for name in names if name not in known):
        # Like `text.phrases.did_you_mean`, which the rules cannot import: the proxy has no `text`.
        close = difflib.get_close_matches(unknown[0], known, 1)
        hint = f" (did you mean {close[0]!r}?)" if close else ""
        raise InvalidPolicy(
            f"unknown field {', '.join(unknown)}{hint}; the fields are {', '.join(known)}"
        )


def _parse_port(value: object) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not 0 < value < 65536:
        raise ValueError(f"{value!r} is not a port number")
    return value


def _parse_host(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError(f"{value!r} is not a host")
    if value == "*":
        return value
    wild, name = ("*.", value[2:]) if value.startswith("*.") else ("", value)
    try:
        return wild + normalise_host(name)
    except ValueError:
        raise ValueError(f"{value!r} is neither a host nor *.domain{_suggestion(value)}") from None


def _suggestion(value: str) -> str:
    """
    Suggest a valid host for *value*, such as the host of a URL.
    """
    name = re.sub(r"^[a-zA-Z][a-zA-Z0-9+.-]*://", "", value.strip())
    name = re.sub(r"[/?#].*$", "", name).rpartition("@")[2]
    name = re.sub(r":\d+$", "", name)
    if name.startswith("*") and not name.startswith("*."):
        name = "*." + name[1:]
    wild, rest = ("*.", name[2:]) if name.startswith("*.") else ("", name)
    try:
        suggested = wild + normalise_host(rest)
    except ValueError:
        return ""
    return f" (did you mean {suggested!r}?)" if suggested != value else ""


def _parse_method(value: object) -> str:
    if not isinstance(value, str) or not _METHOD.fullmatch(value.upper()):
        raise ValueError(f"{value!r} is not an HTTP method")
    return value.upper()


def _parse_network(value: object) -> str:
    try:
        return str(ipaddress.ip_network(str(value)))
    except ValueError:
        pass
    try:
        loose = ipaddress.ip_network(str(value), strict=False)
        single = ipaddress.ip_network(str(value).partition("/")[0])
    except ValueError:
        raise ValueError(f"{value!r} is not a network such as 10.0.0.0/8") from None
    raise ValueError(f"{value!r} has host bits set (did you mean '{loose}' or '{single}'?)")


def check_list(field: str, values: object) -> None:
    """
    Check that the value of a field is a list.

    Raises:
        InvalidPolicy: the value is not a list.
    """
    if isinstance(values, str) or not isinstance(values, (tuple, list)):
        raise InvalidPolicy(f"{field}: {values!r} is not a list; write [{values}]")


PARSERS: Mapping[str, Callable[[Any], Any]] = {
    "ports": _parse_port,
    "allow": _parse_host,
    "deny": _parse_host,
    "methods": _parse_method,
    "private": _parse_network,
    "refuse": _parse_network,
}
"""Parser for the entries of each list field; parsers raise `TypeError` or `ValueError`."""

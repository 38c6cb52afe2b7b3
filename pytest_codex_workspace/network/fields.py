"""
Reading the fields of a policy, and saying what was meant.

Copied into the proxy image, so it imports the standard library only.
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
    A policy that cannot be used. The text names the field.
    """


def check_names(names: Iterable[object], known: list[str]) -> None:
    """
    Check that *names* are fields.

    Raises:
        InvalidPolicy: one is not *known*.
    """
    if unknown := sorted(str(name) for name in names if name not in known):
        close = difflib.get_close_matches(unknown[0], known, 1)
        meant = f"; was {close[0]!r} meant?" if close else ""
        raise InvalidPolicy(
            f"unknown field {', '.join(unknown)}{meant} (known are {', '.join(known)})"
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
        raise ValueError(f"{value!r} is neither a host nor *.domain{_meant(value)}") from None


def _meant(value: str) -> str:
    """
    What somebody probably meant who wrote *value* for a host.
    """
    name = re.sub(r"^[a-zA-Z][a-zA-Z0-9+.-]*://", "", value.strip())
    name = re.sub(r"[/?#].*$", "", name).rpartition("@")[2]
    name = re.sub(r":\d+$", "", name)
    if name.startswith("*") and not name.startswith("*."):
        name = "*." + name[1:]
    wild, rest = ("*.", name[2:]) if name.startswith("*.") else ("", name)
    try:
        meant = wild + normalise_host(rest)
    except ValueError:
        return ""
    return f"; was {meant!r} meant?" if meant != value else ""


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
    raise ValueError(f"{value!r} has bits behind its mask; was '{loose}' or '{single}' meant?")


def check_list(field: str, values: object) -> None:
    """
    Check that a field is a list.

    Raises:
        InvalidPolicy: it is not.
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
"""How an entry of each field that is a list is read; each raises `TypeError` or `ValueError`."""

"""What a repository's file asks for that only the user may decide."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ..network.rules.policy import POLICIES, Policy
from ..network.rules.upstream import UpstreamProxy
from .table import OPTIONS, Option

if TYPE_CHECKING:
    from .sources import Given, Source, Values

__all__ = ["Widening", "in_ci", "opened_by", "widenings"]

OWN_IMAGES = ("universal", "slim")

_DEFAULTS = {option.key: option.default for option in OPTIONS}


@dataclass(frozen=True, slots=True)
class Widening:
    """
    A value of a repository's file that gives the repository more than the defaults do.

    Attributes:
        source: the place of the value in the file.
        name: the key, and for a secret its name.
        effect: what the value would do, as the rest of a sentence.
    """

    source: Source
    name: str
    effect: str

    def __str__(self) -> str:
        """
        Return one line for an error.
        """
        return f"line {self.source.line}: {self.name} {self.effect}"

    def to_dict(self) -> dict[str, Any]:
        """
        Return plain data, suitable for JSON.
        """
        return {"name": self.name, "line": self.source.line, "effect": self.effect}


def widenings(values: Values) -> list[Widening]:
    """
    Return the values that a repository's file may not set without the user's trust.

    Args:
        values: the values that apply. Those with another source than the file are the
            user's own, and so is a value that equals the default.
    """
    found = []
    by_key = {option.key: option for option in OPTIONS}
    for key, given in values.items():
        if given.source.kind != "file":
            continue
        name, _, entry = key.partition(".")
        if name not in by_key:
            continue  # Services run inside of the workspace, as the tests do.
        effect = _effect(by_key[name], entry, given)
        if effect:
            shown = f"{given.source.name}: {entry}" if name == "secret" else given.source.name
            found.append(Widening(given.source, shown, effect))
    return sorted(found, key=lambda one: one.source.line or 0)


def in_ci(environ: Mapping[str, str]) -> bool:
    """
    Check whether this is a run of a CI system, where nobody has decided anything beforehand.
    """
    return environ.get("CI", "").strip().lower() not in ("", "0", "false", "no", "off")


def opened_by(policy: Policy) -> list[str]:
    """
    Return what a policy opens in comparison with `https-only`, the default.
    """
    if policy.offline:
        return []
    return [text for field, judge in FIELDS.items() if (text := judge(getattr(policy, field)))]


def _effect(option: Option, entry: str, given: Given) -> str:
    """
    Return what a value of the file would do beyond the default; empty if nothing.
    """
    value = given.value
    if option.from_file == "free" or (not option.repeatable and value == option.default):
        return ""
    narrows = NARROWER.get(option.key)
    if option.from_file == "narrower" and narrows is not None and narrows(value):
        return ""
    if option.metavar == "POLICY":
        return f"opens {', '.join(opened_by(_policy(value)))}"
    if option.key == "upstream_proxy" and "@" in value:
        value = UpstreamProxy.parse(value)
    return option.widens.format(entry or value)


def _policy(value: Any) -> Policy:
    from ..network.policy_reader import PolicyReader

    return PolicyReader().read(value)


def _narrower_policy(value: Any) -> bool:
    # A preset is a list of hosts, reached as the default reaches any host.
    if isinstance(value, str) and value not in POLICIES:
        return True
    return not opened_by(_policy(value))


def _number(value: str) -> float:
    try:
        return float(value)
    except ValueError:
        return float("inf")  # The options are checked elsewhere.


NARROWER: Mapping[str, Callable[[Any], bool]] = {
    "image": lambda value: value in OWN_IMAGES,
    "network": _narrower_policy,
    "network_setup": _narrower_policy,
    "cassette": lambda value: value != "record",
    "network_bodies": lambda value: _number(value) <= 0,
    "setup_timeout": lambda value: _number(value) <= float(_DEFAULTS["setup_timeout"]),
}
"""For each option that a file may only narrow: whether a value does."""

FIELDS: Mapping[str, Callable[[Any], str]] = {
    "name": lambda _: "",
    "offline": lambda _: "",
    "http": lambda value: "plain HTTP" if value == "allow" else "",
    "websocket": lambda value: "WebSocket" if value == "allow" else "",
    "ports": lambda value: (
        ""
        if value and set(value) <= {443}
        else f"ports {', '.join(map(str, value))}"
        if value
        else "every port"
    ),
    "allow": lambda _: "",
    "deny": lambda _: "",
    "methods": lambda _: "",
    "private": lambda value: f"the private networks {', '.join(value)}" if value else "",
    "refuse": lambda _: "",
}
"""For each field of a policy: what a value opens. `allow` and `methods` restrict."""

"""What a repository's file asks for that only the user may decide."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ..network.rules.policy import HTTPS_ONLY, POLICIES, Policy
from ..network.rules.upstream import UpstreamProxy
from .profiles import SEED, Profile, profile_named
from .table import OPTIONS, Option

if TYPE_CHECKING:
    from .sources import Given, Source, Values

__all__ = ["Widening", "in_ci", "opened_by", "widenings"]

OWN_IMAGES = ("universal", "slim")

_BY_KEY = {option.key: option for option in OPTIONS}


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
    chosen = values.get("profile")
    # A profile that the file itself chooses is no choice of the user's.
    users = profile_named(chosen.value) if chosen and chosen.source.kind != "file" else SEED
    for key, given in values.items():
        if given.source.kind != "file":
            continue
        name, _, entry = key.partition(".")
        if name not in _BY_KEY:
            continue  # Services run inside of the workspace, as the tests do.
        if name == "profile":
            effect = _effect_of_profile(given.value, values)
        else:
            effect = _effect(_BY_KEY[name], entry, given, users)
        if effect:
            shown = f"{given.source.name}: {entry}" if name == "secret" else given.source.name
            found.append(Widening(given.source, shown, effect))
    return sorted(found, key=lambda one: one.source.line or 0)


def in_ci(environ: Mapping[str, str]) -> bool:
    """
    Check whether this is a run of a CI system, where nobody has decided anything beforehand.
    """
    return environ.get("CI", "").strip().lower() not in ("", "0", "false", "no", "off")


def opened_by(policy: Policy, than: Policy = HTTPS_ONLY) -> list[str]:
    """
    Return what a policy opens in comparison with another one, the default.
    """
    if policy.offline:
        return []
    opened = [f"HTTPS under {policy.name}"] if than.offline else []
    for field, judge in FIELDS.items():
        text = judge(getattr(policy, field))
        if text and (than.offline or text != judge(getattr(than, field))):
            opened.append(text)
    return opened


def _effect(option: Option, entry: str, given: Given, profile: Profile = SEED) -> str:
    """
    Return what a value of the file would do beyond the default, which the user's profile may
    have set; empty if nothing.
    """
    value = ", ".join(given.value) if option.listed else given.value
    default = profile.defaults.get(option.key, option.default)
    if option.from_file == "free" or (not option.repeatable and value == default):
        return ""
    if option.metavar == "POLICY":
        opened = _opened(value, default)
        return f"opens {', '.join(opened)}" if opened else ""
    if option.from_file == "narrower" and NARROWER[option.key](value):
        return ""
    if option.key == "upstream_proxy" and "@" in value:
        value = UpstreamProxy.parse(value)
    return option.widens.format(entry or value)


def _policy(value: Any) -> Policy:
    from ..network.policy_reader import PolicyReader

    return PolicyReader().read(value)


def _opened(value: Any, default: str) -> list[str]:
    than = _policy(default)
    # A preset is a list of hosts, reached as the default reaches any host.
    if isinstance(value, str) and value not in POLICIES and not than.offline:
        return []
    return opened_by(_policy(value), than)


def _effect_of_profile(name: str, values: Values) -> str:
    """
    Return what a profile that the file chooses would do beyond the seed's rules. What is given
    elsewhere does not come from the profile.
    """
    effects = [
        f"{_BY_KEY[key].name} to {value}, which {effect}"
        for key, value in profile_named(name).defaults.items()
        if values[key].source.kind == "profile"
        and (effect := _effect(_BY_KEY[key], "", values[key]))
    ]
    return _BY_KEY["profile"].widens.format(" and ".join(effects)) if effects else ""


def _number(value: str) -> float:
    try:
        return float(value)
    except ValueError:
        return float("inf")  # The options are checked elsewhere.


NARROWER: Mapping[str, Callable[[Any], bool]] = {
    "image": lambda value: value in OWN_IMAGES,
    "cassette": lambda value: value != "record",
    "network_bodies": lambda value: _number(value) <= 0,
    "setup_timeout": lambda value: _number(value) <= float(_BY_KEY["setup_timeout"].default),
}
"""For each option that a file may only narrow, but policies and profiles: whether a value does."""

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

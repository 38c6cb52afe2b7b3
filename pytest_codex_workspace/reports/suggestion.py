"""The smallest network policy under which nothing of a run is blocked."""

from __future__ import annotations

import ipaddress
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from ..errors import ReportError
from ..network.problems import yaml_value
from ..network.rules.allowing import beside_host, facts_of_logged, private_networks
from ..network.rules.fields import PARSERS
from ..network.rules.hosts import any_matches, is_private, literal_address, normalise_host
from ..network.rules.policy import Policy, RequestFacts
from ..network.rules.request import Request
from ..network.rules.text import plain
from ..text.phrases import counted, cut_end
from ..text.yaml_nodes import LARGEST_FILE
from .logged import LoggedRequest

__all__ = ["SMALLEST", "PolicyEntry", "Suggestion", "suggest"]

SMALLEST = "offline"
"""The policy that allows nothing: what extends it has every entry that it needs."""

_SCRIPTS = {"setup": "setup-script.sh", "resume": "setup-from-cache-script.sh"}
_FIELDS = ("allow", "ports", "methods", "http", "websocket", "private")
_OWNERS = 2
_TEXT = 120
_ALIKE = 20
_NOTES = 3
_MOST_ENTRIES = 10_000
_PRUNED = 50
"""Private addresses for which the fewest networks are searched; the time grows with their cube."""


@dataclass(slots=True)
class EntryUse:
    """
    What an entry was for.

    Attributes:
        methods: how many requests had each method.
        blocked: how many of them were blocked.
        owners: the scripts, tests and commands that had them.
        example: one of the requests.
    """

    methods: Counter[str] = field(default_factory=Counter)
    blocked: int = 0
    owners: dict[str, None] = field(default_factory=dict)
    example: Request | None = None

    def add(self, logged: LoggedRequest) -> None:
        """
        Add a request.
        """
        request = logged.request
        self.methods[request.method] += logged.count
        self.blocked += logged.count if request.verdict == "blocked" else 0
        self.owners[_owner(logged)] = None
        if self.example is None or (self.example.method == "CONNECT" != request.method):
            self.example = request

    def merge(self, other: EntryUse) -> None:
        """
        Add the requests of another use.
        """
        self.methods.update(other.methods)
        self.blocked += other.blocked
        self.owners.update(other.owners)
        self.example = self.example or other.example

    @property
    def count(self) -> int:
        """
        The number of requests.
        """
        return self.methods.total()

    def to_dict(self) -> dict[str, Any]:
        """
        Return plain data.
        """
        return {
            "requests": self.count,
            "blocked": self.blocked,
            "methods": sorted(self.methods),
            "owners": list(self.owners),
            "example": "" if self.example is None else _example(self.example),
        }

    def __str__(self) -> str:
        """
        Return a line: `3 requests (GET, POST; 1 blocked) of test_a.py::test_it: GET https://...`.
        """
        methods = ", ".join(_short(each, 32) for each in sorted(self.methods)[:5])
        blocked = f"; {self.blocked} blocked" if self.blocked else ""
        owners = [_short(each, 80) for each in list(self.owners)[:_OWNERS]]
        if (more := len(self.owners) - _OWNERS) > 0:
            owners.append(f"{more} more")
        example = "" if self.example is None else f", such as {_example(self.example)}"
        return (
            f"{counted(self.count, 'request')} ({methods}{blocked}) of {', '.join(owners)}{example}"
        )


@dataclass(frozen=True, slots=True)
class PolicyEntry:
    """
    One entry of a suggested policy: a value of a list, or a field with one value.

    Attributes:
        field: the field of the policy.
        value: the value.
        use: what it was for.
    """

    field: str
    value: str | int
    use: EntryUse


@dataclass(frozen=True, slots=True)
class Suggestion:
    """
    A suggested policy.

    Attributes:
        base: the policy that it extends.
        count: the number of requests that it is made of.
        entries: what it has beside that, in the order of the file.
        impossible: what no policy allows: a line for each group of requests.
        notes: what else its reader has to know.
    """

    base: str
    count: int
    entries: Sequence[PolicyEntry]
    impossible: Sequence[str] = ()
    notes: Sequence[str] = ()

    @property
    def fields(self) -> dict[str, Any]:
        """
        The policy as data, which a policy reader accepts.
        """
        found: dict[str, Any] = {"extends": self.base}
        for entry in self.entries:
            if entry.field in PARSERS:
                found.setdefault(entry.field, []).append(entry.value)
            else:
                found[entry.field] = entry.value
        return found

    def noting(self, text: str) -> Suggestion:
        """
        Return the same with one more note.
        """
        return replace(self, notes=(*self.notes, text))

    def to_dict(self) -> dict[str, Any]:
        """
        Return plain data, without the policy itself.
        """
        entries = [
            {"field": one.field, "value": one.value, **one.use.to_dict()} for one in self.entries
        ]
        listed = {"impossible": list(self.impossible), "notes": list(self.notes)}
        return {"requests": self.count, "entries": entries, **listed}

    def yaml(self, title: str) -> str:
        """
        Return the policy as a file with comments.

        Args:
            title: what the policy is for, for the first line.

        Raises:
            ReportError: it has more entries than the file of a policy may have.
        """
        for commented in (True, False):
            text = "".join(f"{line}\n" for line in self._lines(title, commented=commented))
            if len(text.encode()) <= LARGEST_FILE and len(self.entries) <= _MOST_ENTRIES:
                return text
        raise ReportError(
            f"the policy would have {counted(len(self.entries), 'entry', 'entries')}, too many for "
            f"a policy file, which has at most {LARGEST_FILE >> 10} KiB",
            remedy="Give fewer logs, or extend with --base a policy that allows most of it.",
        )

    def _lines(self, title: str, *, commented: bool) -> list[str]:
        lines = [f"# {_short(title, 500)}", *(f"# {each}" for each in self.notes)]
        if not commented:
            lines.append("# What each entry was for does not fit into a policy file.")
        lines.append(f"extends: {self.base}")
        last = ""
        for entry in self.entries:
            is_list, value = entry.field in PARSERS, yaml_value(entry.value)
            if is_list and entry.field != last:
                lines.append(f"{entry.field}:")
            last = entry.field
            indent = "  " if is_list else ""
            if commented:
                lines.append(f"{indent}# {entry.use if entry.use.count else 'as in ' + self.base}")
            lines.append(f"{indent}{'-' if is_list else f'{entry.field}:'} {value}")
        if self.impossible:
            lines.append("# No policy allows:")
            lines += [f"#   {each}" for each in self.impossible]
        return lines


def suggest(logged: Iterable[LoggedRequest], base: str, policy: Policy) -> Suggestion:
    """
    Return the smallest policy that extends *base* and blocks none of the requests.

    Hosts are named one by one, and methods, ports, plain HTTP, WebSocket and private networks
    only as they were used.

    Args:
        logged: the requests.
        base: name of the policy to extend. With `SMALLEST`, every entry that is needed is there;
            with another, only what it lacks.
        policy: the policy of that name.
    """
    needs = _Needs()
    for one in logged:
        needs.add(one)
    entries, notes = needs.entries(policy, is_smallest=base == SMALLEST)
    entries.sort(key=lambda each: (_FIELDS.index(each.field), not _is_tls(each.value)))
    return Suggestion(base, needs.count, entries, needs.impossible(), notes)


class _Needs:
    """
    What the requests of a log need, each with the requests that need it.
    """

    def __init__(self) -> None:
        self.count = 0
        self._uses: dict[tuple[str, str | int], EntryUse] = {}
        self._private: dict[RequestFacts, EntryUse] = {}
        self._unlimited: dict[str, None] = {}
        self._refused: dict[tuple[str, str], EntryUse] = {}

    def add(self, logged: LoggedRequest) -> None:
        """
        Add a request.
        """
        request, facts = logged.request, facts_of_logged(logged.request)
        self.count += logged.count
        if facts is None or request.reason == "cassette-miss":
            what = request.reason or request.verdict
            self._refused.setdefault((what, request.host), EntryUse()).add(logged)
        if facts is None:
            return
        host = normalise_host(facts.host)
        needed: list[tuple[str, str | int]] = [("allow", host)]
        switches = beside_host(facts)
        needed += [(each, "allow") for each in ("http", "websocket") if each in switches]
        if ("http", "allow") not in needed or (facts.scheme, facts.port) != ("http", 80):
            needed.append(("ports", facts.port))  # Plain HTTP may use port 80 in any case.
        if facts.method != "CONNECT":
            needed.append(("methods", facts.method))
        for each in needed:
            self._uses.setdefault(each, EntryUse()).add(logged)
        self._note_methods(facts)
        if _candidates(facts) and (request.reason == "private-address" or _is_literal(facts)):
            self._private.setdefault(facts, EntryUse()).add(logged)

    def _note_methods(self, facts: RequestFacts) -> None:
        """
        Note why `methods` cannot be limited to those in the log.
        """
        if facts.method == "CONNECT":
            why = "the log does not have what tunnels would have carried that were never used"
            self._unlimited[f"{why}. Run again, and suggest again."] = None
            return
        try:
            listed = PARSERS["methods"](facts.method)
        except (TypeError, ValueError):
            listed = None
        if listed != facts.method and len(self._unlimited) < _NOTES:
            self._unlimited[f"{yaml_value(_short(facts.method, 32))} cannot be listed."] = None

    def entries(self, base: Policy, *, is_smallest: bool) -> tuple[list[PolicyEntry], list[str]]:
        """
        Return what is needed besides *base*, and remarks.
        """
        entries: list[PolicyEntry] = []
        notes: list[str] = []
        used = {name: [v for n, v in self._uses if n == name] for name in _FIELDS}
        if base.offline or base.allow:
            known = () if base.offline else base.allow
            hosts = sorted(str(each) for each in used["allow"])
            entries += self._of("allow", [each for each in hosts if not any_matches(known, each)])
        ports = {int(each) for each in used["ports"]}
        if is_smallest:
            if ports and ports != set(base.ports):
                entries += self._of("ports", sorted(ports))
        elif base.ports and not ports <= set(base.ports):
            # The field replaces that of the base.
            entries += self._of("ports", sorted(ports | set(base.ports)))
        for name in ("http", "websocket"):
            if used[name] and getattr(base, name) == "block":
                entries += self._of(name, ["allow"])
        if is_smallest and self._unlimited:
            notes += [f"Any method is allowed: {why}" for why in self._unlimited]
        elif is_smallest:
            entries += self._of("methods", sorted(str(each) for each in used["methods"]))
        entries += self._networks()
        return entries, notes

    def _of(self, name: str, values: Iterable[str | int]) -> list[PolicyEntry]:
        return [
            PolicyEntry(name, each, self._uses.get((name, each), EntryUse())) for each in values
        ]

    def _networks(self) -> list[PolicyEntry]:
        """
        Return the private networks that are needed, as few as possible unless they are many.
        """
        groups: dict[tuple[str, ...], EntryUse] = {}
        for facts, use in self._private.items():
            groups.setdefault(tuple(_candidates(facts)), EntryUse()).merge(use)
        uses: dict[str, EntryUse] = {}
        if len(groups) > _PRUNED:
            for addresses, use in groups.items():
                for network in private_networks(_first(addresses)):
                    uses.setdefault(network, EntryUse()).merge(use)
            return [PolicyEntry("private", each, use) for each, use in uses.items()]
        networks: list[str] = []
        for addresses in sorted(groups, key=len):
            if not any(_is_open(each, networks) for each in addresses):
                found = private_networks(_first(addresses))
                networks += [one for one in found if one not in networks]
        for network in networks:
            rest = [each for each in networks if each != network]
            if all(any(_is_open(one, rest) for one in addresses) for addresses in groups):
                networks = rest
        entries = [PolicyEntry("private", each, EntryUse()) for each in networks]
        for addresses, use in groups.items():
            candidates = [ipaddress.ip_address(each) for each in addresses]
            for entry in entries:
                if any(each in ipaddress.ip_network(str(entry.value)) for each in candidates):
                    entry.use.merge(use)
        return entries

    def impossible(self) -> list[str]:
        """
        Return a line for each group of requests that no policy allows.
        """
        groups = list(self._refused.items())
        lines = [
            f"{_short(what, 32)}: {_short(host, 80)}: {use}"
            for (what, host), use in groups[:_ALIKE]
        ]
        more = len(groups) - _ALIKE
        return [*lines, f"... and {more} more"] if more > 0 else lines


def _candidates(facts: RequestFacts) -> list[str]:
    """
    Return the addresses of which one has to be open.
    """
    literal = literal_address(facts.host)
    return list(facts.addresses) if literal is None else [str(literal)]


def _first(addresses: Sequence[str]) -> str:
    # The proxy may have no IPv6.
    return min(addresses, key=lambda each: ":" in each)


def _is_literal(facts: RequestFacts) -> bool:
    literal = literal_address(facts.host)
    return literal is not None and is_private(literal)


def _is_open(address: str, networks: Iterable[str]) -> bool:
    # The proxy refuses addresses that are private only where it runs.
    own = str(ipaddress.ip_network(address))
    return not is_private(address, tuple(networks), (own,))


def _is_tls(value: str | int) -> bool:
    return value == 443


def _owner(logged: LoggedRequest) -> str:
    phase = logged.request.phase
    return _SCRIPTS.get(phase) or logged.owner or "tests"


def _example(request: Request) -> str:
    return _short(f"{request.method} {request.url}", _TEXT)


def _short(text: str, length: int) -> str:
    """
    Return *text* on one line without anything that ends a comment, cut.
    """
    return cut_end(plain(text[: length + 1]), length)

"""Findings about requests: what a policy refuses in Codex, and who made them."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from ..checks.finding import Finding, Level
from ..codex import CONFIG_FILE, RESUME, SETUP
from ..network.problems import NetworkProblem, policy_entries, problems_of
from ..network.rules.allowing import facts_of_logged
from ..network.rules.policy import OFFLINE, Policy, RequestFacts, decide
from ..network.rules.request import Request
from ..reports.logged import LoggedRequest
from ..reports.suggestion import SMALLEST, Suggestion, suggest
from ..text.phrases import cut_end, cut_middle, first_of
from ..text.printable import printable, without_colours
from .observation import Observation
from .script_rules import script_line

__all__ = ["PRESET_NAMES", "NetworkUse", "network_findings", "network_use"]

PRESET_NAMES = ("codex-common-dependencies", "codex-package-managers")
"""Codex's lists of allowed hosts, the one that users see first in front."""

_OK = 200
_SHOWN = 5
_URL = 160
_UNREACHABLE = re.compile(
    r"^.*(?:network is unreachable|ENETUNREACH|no route to host|EHOSTUNREACH).*$",
    re.IGNORECASE | re.MULTILINE,
)
_DIRECT = ("direct-lookup", "not-https")
_DISTRUST = "probably does not trust the certificate"
_WHERE = {"setup": SETUP, "resume": RESUME, "test": "the tests"}


@dataclass(frozen=True, slots=True)
class NetworkUse:
    """
    What the phases of one policy have requested.

    Attributes:
        requests: how many there were.
        hosts: the hosts, sorted.
        outside: for each preset, the hosts that it does not have.
        smallest: the smallest policy under which nothing of it is refused.
    """

    requests: int
    hosts: Sequence[str]
    outside: Mapping[str, Sequence[str]]
    smallest: Suggestion


@dataclass(frozen=True, slots=True)
class _Kind:
    """
    What is said of requests that went wrong in one way.
    """

    check: str
    what: str
    in_codex: str
    remedy: str


_KINDS: Mapping[str, _Kind] = {
    "plain-http": _Kind(
        "plain-http",
        "uses plain HTTP",
        "Plain HTTP to an allowed host seems to pass in Codex (inferred from `apt update` in "
        "setup logs); it is refused by the rules of the profile `seed`",
        "Use https:// if the server answers there, which was not tried.",
    ),
    "websocket": _Kind(
        "websocket",
        "opens a WebSocket",
        "Whether WebSocket passes in Codex is not known; here it is refused",
        "Use plain requests, or a local server.",
    ),
    "not-tls": _Kind(
        "not-https",
        "sends something other than HTTPS",
        "Everything goes through a proxy for HTTP and HTTPS: ssh, git:// and databases of other "
        "machines cannot be reached",
        "Use an address with https://.",
    ),
    "port-not-allowed": _Kind(
        "not-https",
        "uses another port than 443",
        "Whether Codex's proxy connects to other ports is not known",
        "Use a server on port 443.",
    ),
    "direct-dns": _Kind(
        "direct-lookup",
        "looks up names itself, so it seems to ignore the proxy variables",
        "A look-up can succeed there, but a connection beside the proxy fails (network is "
        "unreachable)",
        "Configure the proxy for this program: it is http://proxy:8080, in HTTPS_PROXY.",
    ),
    "private-address": _Kind(
        "blocked-request",
        "asks for a private address",
        "Private networks cannot be reached from there",
        "Use a public server, or a local one.",
    ),
    "name-mismatch": _Kind(
        "blocked-request",
        "asks one server for another name",
        "Codex's proxy decrypts requests, so it can refuse this, too",
        "Ask for the host that is in the address.",
    ),
    "upstream-error": _Kind(
        "unreachable-host",
        "asks for a host that could not be reached from here",
        "Codex's network may reach it",
        "Look at the address, and at the network of this machine. What no server has any more must "
        "come from another one, or be committed.",
    ),
}
"""By the reason in the network log."""

_TRUST = _Kind(
    "distrusted-certificate",
    "does not trust the proxy's certificate",
    "Codex's proxy decrypts HTTPS as well, with a certificate of its own in CODEX_PROXY_CERT",
    "Let the program read the system's certificates, or give it the file that CODEX_PROXY_CERT "
    "names.",
)

_REFUSED = _Kind(
    "blocked-request",
    "is refused by the policy of the scripts",
    "Setup has internet access there, whatever the policy of the agent phase is",
    "If this policy stands for yours, allow the host in it.",
)


def network_use(
    requests: Sequence[Request], presets: Mapping[str, Policy], phases: Sequence[str]
) -> NetworkUse:
    """
    Return what was requested in *phases*.

    Args:
        requests: of all phases.
        presets: Codex's presets by name.
        phases: names of phases.
    """
    mine = [one for one in requests if one.phase in phases and one.method != "DNS"]
    outside: dict[str, list[str]] = {}
    for name, preset in presets.items():
        refused = {one.host for one in mine if not decide(RequestFacts(one.host), preset).allowed}
        outside[name] = sorted(refused)
    logged = [LoggedRequest(one) for one in mine]
    hosts = sorted({one.host for one in mine})
    return NetworkUse(len(mine), hosts, outside, suggest(logged, SMALLEST, OFFLINE))


def network_findings(seen: Observation, presets: Mapping[str, Policy]) -> Iterator[Finding]:
    """
    Yield what the requests show.

    Args:
        seen: what was seen.
        presets: Codex's presets by name.
    """
    # Of one kind, one finding for each phase and program: a build tool has many hosts.
    groups: dict[tuple[str, str, str, str], list[NetworkProblem]] = {}
    answered = {(one.phase, one.host) for one in seen.requests if one.status == _OK}
    for problem in problems_of(seen.requests):
        phase = problem.first.phase
        kind = _kind_of(problem)
        if phase == "test" and _is_refusal(problem):
            continue  # `tests-network` has them.
        if problem.first.reason == "direct-dns" and "." not in problem.first.host:
            continue  # The name of this machine, which mail servers and others look up.
        if kind is _TRUST and (phase, problem.first.host) in answered:
            continue  # A client such as uv opens more connections than it uses.
        if kind is not None:
            program = problem.processes[0] if problem.processes else ""
            groups.setdefault((kind.check, kind.what, phase, program), []).append(problem)
    for (_, _, phase, program), problems in groups.items():
        kind = _kind_of(problems[0])
        assert kind is not None  # noqa: S101 -- it is in a group
        yield _finding(seen, kind, phase, program, problems)
    yield from _unreachable(seen, {phase for check, _, phase, _ in groups if check in _DIRECT})
    yield from _outside_presets(seen, presets)
    yield from _refused_in_tests(seen, presets)


def _unreachable(seen: Observation, known: set[str]) -> Iterator[Finding]:
    """
    Yield what programs say of connections beside the proxy, which no log has.
    """
    run = seen.test_run
    outputs = {
        "setup": seen.setup_error.tail if seen.setup_error else seen.setup_output,
        "resume": seen.resume_error.tail if seen.resume_error else seen.resume_output,
        "test": run.output if run is not None else "",
    }
    failed = {
        "setup": seen.setup_error is not None,
        "resume": seen.resume_error is not None,
        "test": seen.tests_failed,
    }
    for phase, output in outputs.items():
        said = _UNREACHABLE.search(output)
        if said is None or phase in known:
            continue
        kind = _KINDS["direct-dns"]
        place = _WHERE[phase]
        line = printable(without_colours(said[0])).strip()
        yield Finding.of(
            kind.check,
            f"{place} connects to something without the proxy: {cut_middle(line, _URL)}",
            kind.in_codex,
            kind.remedy,
            path=None if phase == "test" else place,
            level=None if failed[phase] else "note",
        )


def _kind_of(problem: NetworkProblem) -> _Kind | None:
    request = problem.first
    if _DISTRUST in request.explanation:
        return _TRUST
    if request.reason is not None and request.reason in _KINDS:
        return _KINDS[request.reason]
    if _is_refusal(problem):
        return _REFUSED
    return None


def _is_refusal(problem: NetworkProblem) -> bool:
    return problem.first.reason in ("offline", "host-not-allowed", "method-not-allowed")


def _finding(
    seen: Observation, kind: _Kind, phase: str, program: str, problems: Sequence[NetworkProblem]
) -> Finding:
    failed = {"setup": seen.setup_error, "resume": seen.resume_error}.get(phase) or (
        phase == "test" and seen.tests_failed
    )
    hosts = list(dict.fromkeys(one.first.host for one in problems))
    urls = [cut_end(printable(one.first.url), _URL) for one in problems]
    shown = urls[0] if len(urls) == 1 else first_of(hosts, _SHOWN)
    place = _WHERE.get(phase, phase)
    script = {"setup": seen.setup_script, "resume": seen.resume_script}.get(phase, "")
    return Finding.of(
        kind.check,
        f"{_who(program, place)} {kind.what}: {shown}"
        + _cause(kind, problems[0])
        + (f", and {place} failed" if failed else ""),
        kind.in_codex,
        kind.remedy + _entry(problems),
        path=place if script else None,
        line=_line(script, hosts, program),
        level=_level(kind, failed=bool(failed)),
    )


def _cause(kind: _Kind, problem: NetworkProblem) -> str:
    """
    Return what the proxy says of a server that it could not reach; of other requests, the kind says
    it all.
    """
    said = printable(problem.first.explanation)
    return f" ({cut_end(said, _URL)})" if said and kind.check == "unreachable-host" else ""


def _entry(problems: Sequence[NetworkProblem]) -> str:
    """
    Return what would allow the requests here, if a policy can.
    """
    return "".join(
        f" To allow it here, add `{cut_end(', '.join(fields), _URL)}` to `{place}:` in "
        f"{CONFIG_FILE}."
        for place, fields in policy_entries(problems)
    )


def _level(kind: _Kind, *, failed: bool) -> Level | None:
    if kind.check == "unreachable-host" or failed:
        return None
    # Nothing seems to need it.
    return "note" if kind.check in ("direct-lookup", "distrusted-certificate") else None


def _who(program: str, place: str) -> str:
    last = printable(program).rpartition(" › ")[2]
    return f"`{cut_end(last, _URL)}` in {place}" if last else place


def _line(script: str, hosts: Sequence[str], program: str) -> int | None:
    words = program.rpartition(" › ")[2].split()
    tried = [*hosts, words[0].rpartition("/")[2] if words else ""]
    return next((at for one in tried if one and (at := script_line(script, one))), None)


def _admits(policy: Policy, request: Request) -> bool:
    facts = facts_of_logged(request)
    return facts is not None and decide(facts, policy).allowed


def _outside_presets(seen: Observation, presets: Mapping[str, Policy]) -> Iterator[Finding]:
    for phase, place, script in (
        ("setup", SETUP, seen.setup_script),
        ("resume", RESUME, seen.resume_script),
    ):
        use = network_use(seen.requests, presets, (phase,))
        common = next(iter(presets), "")
        hosts = [
            host
            for host in use.outside.get(common, ())
            if all(host in refused for refused in use.outside.values())
        ]
        if hosts:
            yield Finding.of(
                "setup-hosts",
                f"{place} asks {first_of(hosts, _SHOWN)}, which no preset of Codex has",
                "Setup has internet access, so this works; in the agent phase, it works only if "
                "the environment allows these hosts by name",
                "If tests need them, too, add them to the environment's list of domains.",
                path=place,
                line=_line(script, hosts, ""),
            )


_RUNS_SCRIPT = re.compile(r"(?:^|› )npm (?:test|t|run|run-script)(?: [^›]*)?$")
"""The processes of a request whose last one is npm with such a command."""


def _looks_for_newer(problem: NetworkProblem) -> bool:
    """
    Check whether npm itself asks while it runs a script: it only looks for a newer npm then.
    """
    return bool(problem.processes) and all(_RUNS_SCRIPT.search(one) for one in problem.processes)


_OF_BROWSERS = re.compile(
    r"(?:[\w-]+\.)?googleapis\.com|(?:accounts|clients\d?|android\.clients|mtalk)\.google\.com"
    r"|(?:redirector|edgedl\.me)\.gvt1\.com|plausible\.io"
    r"|(?:[\w-]+\.)+mozilla\.(?:com|org|net)|(?:[\w-]+\.)+firefox\.com"
)
"""Hosts that browsers and their drivers ask for updates, lists and counts, whatever a page does."""

_BROWSER = re.compile(r"chrom|firefox|gecko|selenium-manager|msedge", re.IGNORECASE)


def _is_of_browser(problem: NetworkProblem, *, has_browser: bool) -> bool:
    """
    Check whether a browser asks for its own sake, and does without. A request of a process that has
    ended at once is taken for one of the browser, if there is one.
    """
    last = [one.rpartition("› ")[2] for one in problem.processes]
    by_browser = all(_BROWSER.search(one) for one in last) if last else has_browser
    return by_browser and bool(_OF_BROWSERS.fullmatch(problem.first.host))


def _refused_in_tests(seen: Observation, presets: Mapping[str, Policy]) -> Iterator[Finding]:
    every = [
        one for one in problems_of(seen.requests) if one.first.phase == "test" and _is_refusal(one)
    ]
    has_browser = any(_BROWSER.search(process) for one in every for process in one.processes)
    problems = [
        one
        for one in every
        if not (_looks_for_newer(one) or _is_of_browser(one, has_browser=has_browser))
    ]
    if not problems or seen.test_run is None:
        return
    hosts = list(dict.fromkeys(one.first.host for one in problems))
    programs = [name for one in problems if (name := one.asked_by())]
    refused = [one.first for one in problems]
    admitting = [
        name for name, preset in presets.items() if all(_admits(preset, one) for one in refused)
    ]
    if admitting:
        allow = f"the preset {admitting[0]} admits them (`network: {admitting[0]}` here)"
    else:
        allow = f"no preset admits them all; these domains do: {first_of(sorted(hosts), _SHOWN)}"
    policy = seen.policy.name if seen.policy is not None else "offline"
    yield Finding.of(
        "tests-network",
        f"the tests ask for {first_of(hosts, _SHOWN)}, which the policy {policy!r} of the agent "
        f"phase refuses{f' ({programs[0]})' if programs else ''}"
        + (", and fail" if seen.tests_failed else ", and pass without"),
        "The agent phase has no internet access unless the environment allows it",
        f"Let setup download what tests need; or allow it: {allow}.",
        level="error" if seen.tests_failed else "note",
    )

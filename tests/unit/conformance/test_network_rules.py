"""What requests lead to."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from pytest_codex_workspace.conformance.network_rules import network_findings, network_use
from pytest_codex_workspace.network.rules.policy import (
    HTTPS_ONLY,
    OFFLINE,
    Policy,
    RequestFacts,
    decide,
)
from pytest_codex_workspace.network.rules.request import Request

from .conftest import FAILED, failure, seen

PRESETS = {
    "codex-common-dependencies": HTTPS_ONLY.but(name="common", allow=["pkg.example", "a.example"]),
    "codex-package-managers": HTTPS_ONLY.but(name="managers", allow=["pkg.example"]),
}
DISTRUST = "The client opened a tunnel and probably does not trust the certificate."


def asked(
    host: str = "pkg.example", policy: Policy = HTTPS_ONLY, phase: str = "setup", **facts: Any
) -> Request:
    """
    Return the log's entry of a request that *policy* judged.
    """
    found = RequestFacts(host, **facts)
    decision = decide(found, policy)
    return Request(
        *(1, 1.0, phase, found.method, found.scheme, host, found.port, "/"),
        f"{found.scheme}://{host}/",
        200 if decision.allowed else 403,
        *(None, None, decision.verdict, decision.reason, decision.explanation),
        process="bash setup.sh › curl pkg.example",
    )


OK = asked()
HTTP = asked(scheme="http", port=80, encrypted=False)
OTHER = asked("other.example")
LOOKUP = replace(
    OK, method="DNS", scheme="dns", verdict="blocked", reason="direct-dns", status=None
)
DISTRUSTED = replace(
    OK, method="CONNECT", verdict="failed", explanation=DISTRUST, status=None, host="b.example"
)
REFUSED = asked("pkg.example", OFFLINE, "test")
NOBODY = replace(OK, verdict="failed", reason="upstream-error", status=502)

CASES: dict[str, tuple[dict[str, Any], list[tuple[str, str]]]] = {
    "nothing": ({"requests": []}, []),
    "what a preset has": ({"requests": [OK]}, []),
    "plain HTTP": ({"requests": [HTTP]}, [("plain-http", "warning")]),
    "a WebSocket": ({"requests": [asked(websocket=True)]}, [("websocket", "warning")]),
    "another protocol": ({"requests": [asked(payload="not-tls")]}, [("not-https", "warning")]),
    "another port": ({"requests": [asked(port=8443)]}, [("not-https", "warning")]),
    "a look-up": ({"requests": [LOOKUP]}, [("direct-lookup", "note")]),
    "a look-up of the own name": ({"requests": [replace(LOOKUP, host="97e9c6f54863")]}, []),
    "a look-up of a script that failed": (
        {"requests": [LOOKUP], "setup_error": failure()},
        [("direct-lookup", "warning")],
    ),
    "a distrusted certificate": (
        {"requests": [DISTRUSTED], "setup_error": failure()},
        [("distrusted-certificate", "warning"), ("setup-hosts", "note")],
    ),
    "a connection that was not used": (
        {"requests": [replace(DISTRUSTED, host="pkg.example"), OK]},
        [],
    ),
    "no answer": ({"requests": [NOBODY]}, [("unreachable-host", "note")]),
    "outside of the presets": ({"requests": [OTHER]}, [("setup-hosts", "note")]),
    "outside of one preset": ({"requests": [asked("a.example")]}, []),
    "refused by the user's policy": (
        {"requests": [asked(policy=PRESETS["codex-package-managers"], host="a.example")]},
        [("blocked-request", "warning")],
    ),
    "tests ask, and pass": ({"requests": [REFUSED]}, [("tests-network", "note")]),
    "tests ask, and fail": (
        {"requests": [REFUSED], "test_run": FAILED},
        [("tests-network", "error")],
    ),
    "a connection beside the proxy": (
        {"setup_output": "a\nconnect: \x1b[1mNetwork is unreachable\nb\n"},
        [("direct-lookup", "note")],
    ),
    "tests that connect beside the proxy": (
        {"test_run": replace(FAILED, output="Error: connect ENETUNREACH 192.0.2.1:443\n")},
        [("direct-lookup", "warning")],
    ),
    "the same twice": (
        {"requests": [LOOKUP], "setup_output": "Network is unreachable"},
        [("direct-lookup", "note")],
    ),
    "tests ask around the proxy": (
        {"requests": [replace(LOOKUP, phase="test")], "test_run": FAILED},
        [("direct-lookup", "warning")],
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_the_findings(name):
    """
    Each kind of request leads to its finding; what tests may not ask for is one.
    """
    changes, wanted = CASES[name]

    found = list(network_findings(seen(**changes), PRESETS))

    assert [(one.id, one.level) for one in found] == wanted
    assert all(one.in_codex and one.remedy for one in found)


def test_a_program_with_many_hosts_is_one_finding():
    """
    A build tool asks many hosts in one way, and is named.
    """
    requests = [replace(HTTP, host=f"m{n}.example", url=f"http://m{n}.example/") for n in range(9)]

    (found, _) = network_findings(
        seen(requests=requests, setup_script="curl http://m0.example/\n"), PRESETS
    )

    assert "`curl pkg.example` in codex-workspace-scripts/setup-script.sh" in found.what
    assert "and 4 more" in found.what
    assert found.line == 1


@pytest.mark.parametrize(
    ("request_", "entry"),
    [
        (HTTP, "add `http: allow` to `network: setup:`"),
        (replace(HTTP, phase="test"), "add `http: allow` to `network: tests:`"),
        (asked(port=8443), "add `ports: [443, 8443]` to `network: setup:`"),
        (asked("a.example", OFFLINE), "add `allow: [a.example]` to `network: setup:`"),
        (LOOKUP, ""),
        (NOBODY, ""),
    ],
)
def test_the_entry_that_allows_a_request(request_, entry):
    """
    The remedy has it, as the message of a failure has.
    """
    found = next(network_findings(seen(requests=[request_]), PRESETS))

    assert entry in found.remedy
    assert ("To allow it here" in found.remedy) is bool(entry)


def test_the_cause_of_no_answer():
    """
    What the proxy was told: a name that nobody knows is not a server that is down.
    """
    said = "No response from pkg.example:443: [Errno -2] Name or service not known"

    (found,) = network_findings(seen(requests=[replace(NOBODY, explanation=said)]), PRESETS)

    assert f"could not be reached from here: https://pkg.example/ ({said})" in found.what


@pytest.mark.parametrize(
    ("host", "said"),
    [
        ("pkg.example", "the preset codex-common-dependencies admits them"),
        ("other.example", "these domains do: other.example"),
    ],
)
def test_what_would_admit_the_tests(host, said):
    """
    The smallest thing to do is a preset, otherwise domains.
    """
    (found,) = network_findings(seen(requests=[asked(host, OFFLINE, "test")]), PRESETS)

    assert said in found.remedy


def test_what_was_used():
    """
    The hosts, what each preset lacks, and the smallest policy; look-ups are no requests.
    """
    use = network_use([OK, HTTP, OTHER, LOOKUP, REFUSED], PRESETS, ("setup",))

    assert (use.requests, use.hosts) == (3, ["other.example", "pkg.example"])
    assert use.outside["codex-package-managers"] == ["other.example"]
    assert use.smallest.fields["allow"] == ["other.example", "pkg.example"]
    assert use.smallest.fields["http"] == "allow"


@pytest.mark.parametrize(
    ("host", "process", "told"),
    [
        ("update.googleapis.com", "pytest › chromium --type=utility", False),
        ("plausible.io", "pytest › selenium-manager --browser chrome", False),
        ("push.services.mozilla.com", "pytest › firefox-esr -headless", False),
        ("code.jquery.com", "pytest › chromium --type=utility", True),
        ("storage.googleapis.com", "pytest tests/test_chromium.py › python get.py", True),
        ("update.googleapis.com", "", True),
    ],
)
def test_a_browser_asks_for_its_own_sake(host, process, told):
    """
    It looks for updates and counts its users, and goes on without an answer. Pages count.
    """
    requests = [replace(REFUSED, host=host, process=process)]

    found = network_findings(seen(test_run=FAILED, requests=requests), PRESETS)

    assert told is ("tests-network" in [one.id for one in found])


def test_a_process_of_a_browser_that_is_not_known():
    """
    It has ended before it was looked at, and another one is known.
    """
    requests = [
        replace(REFUSED, host="update.googleapis.com", process="pytest › chromium --type=utility"),
        replace(REFUSED, host="clients2.google.com", process=""),
    ]

    found = network_findings(seen(test_run=FAILED, requests=requests), PRESETS)

    assert "tests-network" not in [one.id for one in found]


@pytest.mark.parametrize(
    ("process", "told"),
    [("bash › npm test", False), ("npm run unit", False), ("npm test › node get.js", True)],
)
def test_npm_looks_for_a_newer_one(process, told):
    """
    It does so while it runs a script, and goes on without an answer. What the script asks counts.
    """
    requests = [replace(REFUSED, process=process)]

    found = network_findings(seen(test_run=FAILED, requests=requests), PRESETS)

    assert told is ("tests-network" in [one.id for one in found])

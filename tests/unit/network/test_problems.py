"""Tests of how problems of the network are grouped and described."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import yaml

from pytest_codex_workspace.network.problems import (
    count_problems,
    describe_problems,
    list_problems,
    problems_of,
)
from pytest_codex_workspace.network.rules.policy import (
    HTTPS_ONLY,
    OFFLINE,
    Policy,
    RequestFacts,
    decide,
)
from pytest_codex_workspace.network.rules.request import Request


def judged(policy: Policy, *, at: float = 1.0, phase: str = "setup", **facts: Any) -> Request:
    """
    Return the log's entry of a request that *policy* judged.
    """
    seen = RequestFacts(**{"host": "cdn.example.org", **facts})
    decision = decide(seen, policy)
    return Request(
        id=int(at),
        time=at,
        phase=phase,
        method=seen.method,
        scheme=seen.scheme,
        host=seen.host,
        port=seen.port,
        path="/",
        url=f"{seen.scheme}://{seen.host}/",
        status=403,
        size=None,
        duration=None,
        verdict=decision.verdict,
        reason=decision.reason,
        explanation=decision.explanation,
    )


def other(verdict: str, explanation: str, *, status: int | None = None, at: float = 1) -> Request:
    """
    Return the log's entry of a request that the policy allowed.
    """
    return Request(
        *(1, at, "test", "GET", "https", "a.example", 443, "/", "https://a.example/"),
        *(status, None, None, verdict, None, explanation),
    )


def test_equal_problems_are_counted() -> None:
    """
    A tool that tries a host three times is one problem, with a count.
    """
    policy = Policy(name="p", allow=("example.com",))
    tries = [judged(policy, at=at, method="CONNECT") for at in (1, 2, 3)]
    (problem,) = problems_of(tries)
    assert (problem.count, problem.first.time) == (3, 1)
    assert str(problem) == (
        "blocked: [setup] CONNECT https://cdn.example.org/ (host-not-allowed), 3 times"
    )


def test_the_last_refusal_comes_first() -> None:
    """
    Blocked requests come before failed ones, and the last before the first.
    """
    policy = Policy(name="p", allow=("example.com",))
    found = problems_of(
        [
            other("failed", "No response.", at=9),
            judged(policy, at=1, host="first.example"),
            judged(policy, at=2, host="last.example"),
            other("allowed", "The client closed the connection before the end.", at=8),
            other("allowed", "", status=200),
        ]
    )
    assert [(one.outcome, one.first.host) for one in found] == [
        ("blocked", "last.example"),
        ("blocked", "first.example"),
        ("failed", "a.example"),
        ("unfinished", "a.example"),
    ]


CASES = [
    (Policy(name="p", allow=("example.com",)), {"method": "CONNECT"}),
    (OFFLINE, {}),
    (HTTPS_ONLY, {"scheme": "http", "port": 80, "encrypted": False}),
    (HTTPS_ONLY, {"websocket": True}),
    (HTTPS_ONLY, {"port": 8443}),
    # One refusal hides the next.
    (OFFLINE, {"scheme": "http", "port": 8080, "encrypted": False}),
    (OFFLINE, {"host": "10.1.2.3", "port": 8443}),
    (Policy(name="p", allow=("example.com",)), {"host": "64:ff9b::a01:203"}),
    (HTTPS_ONLY, {"scheme": "http", "port": 8080, "encrypted": False}),
    (HTTPS_ONLY, {"websocket": True, "scheme": "http", "port": 80, "encrypted": False}),
    # YAML would read other values.
    *((OFFLINE, {"host": host}) for host in ("no", "1.5", "2026-01-01", "1_0", "null", "_a.b")),
]


@pytest.mark.parametrize(("policy", "facts"), CASES)
def test_the_entry_to_paste_allows_the_request(policy: Policy, facts: dict[str, Any]) -> None:
    """
    The policy with the suggested entry allows what the policy blocked.
    """
    lines = describe_problems(problems_of([judged(policy, **facts)]))
    at = lines.index(
        "to allow what was blocked, add to `network: setup:` in .codex-workspace.yaml:"
    )
    fields = yaml.safe_load("\n".join(lines[at + 1 :]))
    assert not decide(RequestFacts(**{"host": "cdn.example.org", **facts}), policy).allowed
    assert decide(
        RequestFacts(**{"host": "cdn.example.org", **facts}), policy.but(**fields)
    ).allowed


def test_a_problem_without_an_entry_has_an_explanation_only() -> None:
    """
    There is nothing to paste.
    """
    blocked = judged(HTTPS_ONLY, scheme="dns", method="DNS")
    lines = describe_problems(problems_of([blocked]))

    assert lines == [str(problems_of([blocked])[0]), f"    {blocked.explanation}"]


def test_entries_are_merged_for_each_phase() -> None:
    """
    Scripts and tests have policies of their own, so their entries are apart.
    """
    policy = Policy(name="p", allow=("example.com",))
    lines = describe_problems(
        problems_of(
            [
                judged(policy, at=1, host="a.example"),
                judged(policy, at=2, host="b.example"),
                judged(policy, at=3, host="c.example", phase="test"),
                judged(policy, at=4, host="2001:db8::1"),
            ]
        )
    )
    text = "\n".join(lines)
    assert (
        "`network: setup:` in .codex-workspace.yaml:\n"
        '    allow: ["2001:db8::1", b.example, a.example]' in text
    )
    assert "`network: tests:` in .codex-workspace.yaml:\n    allow: [c.example]" in text


def test_many_problems_are_cut() -> None:
    """
    More problems than fit are counted; no text of a workspace controls the terminal.
    """
    policy = Policy(name="p", allow=("example.com",))
    requests = [judged(policy, at=at, host=f"h{at}.example") for at in range(12)]
    lines = describe_problems(problems_of(requests), shown=3)
    assert "... and 9 more problems of this kind" in lines
    long = other("failed", "\x1b]0;title\x07gone")
    assert describe_problems(problems_of([long]))[1] == "    gone"


def test_problems_are_listed_up_to_a_limit() -> None:
    """
    Each has one line, and the rest is counted.
    """
    problems = problems_of([judged(OFFLINE, host=f"{n}.test") for n in range(4)])

    assert list(map(str, problems)) == list_problems(problems, shown=4)
    assert [str(problems[0]), "... 3 more"] == list_problems(problems, shown=1)


def test_a_problem_says_who_asked() -> None:
    """
    The first process that is known, and how many others; for programs, all of them.
    """
    one = judged(OFFLINE)
    asked = ["", "sh › pip install x", "sh › pip install x", "node get.js", "curl x"]
    problems = problems_of([replace(one, process=each) for each in asked])
    lines = describe_problems(problems)

    assert lines[2] == "    asked by: sh › pip install x (and 2 other processes)"
    assert problems[0].to_dict()["processes"] == ["sh › pip install x", "node get.js", "curl x"]
    assert "asked by" not in "".join(describe_problems(problems_of([one])))


def test_a_long_explanation_is_not_repeated() -> None:
    """
    A browser asks many hosts of its own. A short one is told for each host.
    """
    long = "The client opened a tunnel to {0}, and " + "so on " * 40 + "({0} has ended)"
    requests = [
        judged(HTTPS_ONLY, at=number, scheme="https", host=host)
        for number, host in enumerate(("a.example", "b.example"), 1)
    ]
    requests = [
        replace(one, verdict="failed", explanation=long.format(one.host)) for one in requests
    ]
    plain = [
        judged(HTTPS_ONLY, at=number, scheme="http", port=80, host=host, encrypted=False)
        for number, host in enumerate(("c.example", "d.example"), 3)
    ]

    lines = describe_problems(problems_of([*requests, *plain]))

    assert lines.count("    as above") == 1
    assert sum("so on so on" in line for line in lines) == 1
    assert sum("Use https://" in line for line in lines) == 2


def test_requests_are_counted_with_those_that_went_wrong() -> None:
    """
    One request is in the singular.
    """
    wrong = judged(HTTPS_ONLY, scheme="http", encrypted=False)
    assert "1 request, 1 blocked or failed" == count_problems([wrong], problems_of([wrong]))
    assert "0 requests, none blocked or failed" == count_problems([], [])


def test_an_entry_of_thousands_of_hosts_has_the_first() -> None:
    """
    A workspace chooses how many it asks for. What is shown is still an entry that can be pasted.
    """
    policy = Policy(name="p", allow=("example.com",))
    wrong = [judged(policy, at=-n, host=f"h{n}.example") for n in range(3000)]
    lines = describe_problems(problems_of(wrong), shown=1)

    entry = yaml.safe_load(lines[-1])
    assert entry == {"allow": [f"h{n}.example" for n in range(100)]}
    assert lines[-1].endswith("# and 2900 more")

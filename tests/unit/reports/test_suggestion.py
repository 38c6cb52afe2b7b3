"""Tests of the policy that is suggested for what a run has requested."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from pytest_codex_workspace.errors import ReportError
from pytest_codex_workspace.network.policy_reader import PolicyReader, parse_fields
from pytest_codex_workspace.network.rules.policy import (
    HTTPS_ONLY,
    OFFLINE,
    OPEN,
    POLICIES,
    Policy,
    RequestFacts,
    decide,
)
from pytest_codex_workspace.network.rules.request import Request
from pytest_codex_workspace.reports import suggestion
from pytest_codex_workspace.reports.logged import LoggedRequest
from pytest_codex_workspace.reports.suggestion import Suggestion, suggest

SWITCH = st.sampled_from(["block", "allow"])
HOSTS = st.sampled_from(
    ["a.example", "b.a.example", "no", "1.5.example", "x--y", "10.0.0.7", "2001:db8::1", "8.8.8.8"]
)
RUN_POLICIES = st.builds(
    Policy,
    name=st.just("run"),
    offline=st.sampled_from([False, False, False, True]),
    http=SWITCH,
    websocket=SWITCH,
    ports=st.sampled_from([(), (443,), (443, 8443), (8443,)]),
    allow=st.sampled_from([(), ("a.example",), ("*.example", "no")]),
    deny=st.sampled_from([(), (), ("b.a.example",)]),
    methods=st.sampled_from([(), ("GET",), ("GET", "POST")]),
    private=st.sampled_from([(), ("10.0.0.0/8",)]),
)
PLAIN = st.sampled_from([{"scheme": "http", "encrypted": False}, {}, {}])
FACTS = st.builds(
    # A tunnel leads to TLS, and is asked for in plain HTTP.
    lambda form, **fields: RequestFacts(
        **({"encrypted": False} if fields["method"] == "CONNECT" else form), **fields
    ),
    PLAIN,
    host=HOSTS,
    method=st.sampled_from(["GET", "GET", "POST", "PROPFIND", "m-search", "CONNECT"]),
    port=st.sampled_from([443, 443, 80, 8443]),
    websocket=st.sampled_from([False, False, True]),
    names=st.sampled_from([(), (), (("SNI", "other.example"),)]),
    payload=st.sampled_from(["http", "http", "http", "not-tls", "malformed"]),
    addresses=st.sampled_from(
        [(), (), ("10.0.0.7", "10.0.0.8"), ("fd00::1", "10.9.9.9"), ("64:ff9b::a00:7",)]
    ),
)


def logged(facts: RequestFacts, policy: Policy, url: str = "") -> LoggedRequest:
    """
    Return what the log has of a request that *policy* judged.
    """
    decision = decide(facts, policy)
    status = 403 if not decision.allowed else 101 if facts.websocket else 200
    url = url or f"{facts.scheme}://{facts.host}/"
    request = Request(
        *(1, 1.0, "test", facts.method, facts.scheme, facts.host, facts.port, "/", url),
        *(status, None, None, decision.verdict, decision.reason, decision.explanation),
    )
    return LoggedRequest(request, "test_it.py::test_it")


def visible(facts: RequestFacts, policy: Policy) -> RequestFacts:
    """
    Return *facts* without what the first refusal has hidden from the log.
    """
    reason, allowed = (decision := decide(facts, policy)).reason, decision.allowed
    shown = {
        "websocket": facts.websocket and (allowed or reason == "websocket"),
        "names": facts.names if reason == "name-mismatch" else (),
        "payload": facts.payload if reason in ("not-tls", "plain-http") else "http",
        "addresses": facts.addresses if reason == "private-address" else (),
    }
    return replace(facts, **shown)


def policy_of(text: str) -> Policy:
    """
    Return the policy that *text* is, as --network reads it.
    """
    fields, _ = parse_fields(text.encode(), Path("suggested.yaml"))
    return PolicyReader().combine(HTTPS_ONLY, {"name": "suggested", **fields}, "suggested.yaml")


def without_one(fields: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """
    Yield the policy without each of its entries. The last method is none: without it, any is
    allowed.
    """
    for name, value in fields.items():
        for at in range(len(value)) if isinstance(value, list) else ():
            less = copy.deepcopy(fields)
            del less[name][at]
            if not less[name]:
                del less[name]
            if less.get("methods") or name != "methods":
                yield less
        if isinstance(value, str) and name != "extends":
            yield {key: each for key, each in fields.items() if key != name}


@pytest.mark.slow
@settings(deadline=None, max_examples=50)
@given(st.lists(FACTS, max_size=6), RUN_POLICIES)
def test_nothing_is_blocked_and_nothing_can_be_left_out(
    asked: list[RequestFacts], policy: Policy
) -> None:
    """
    Under the suggested policy, everything passes that any policy allows. Without one of its
    entries, something does not.
    """
    found = suggest([logged(each, policy) for each in asked], "offline", OFFLINE)
    suggested = policy_of(found.yaml("A run"))
    seen = [visible(each, policy) for each in asked]
    anything = OPEN.but(private=["0.0.0.0/0", "::/0"])
    possible = [each for each in seen if decide(each, anything).allowed]

    assert [each for each in possible if not decide(each, suggested).allowed] == []
    assert bool(found.impossible) == (len(possible) < len(seen))
    for less in without_one(found.fields):
        weaker = PolicyReader().combine(HTTPS_ONLY, less, "less")
        assert not all(decide(each, weaker).allowed for each in possible), less


@pytest.mark.slow
@settings(deadline=None, max_examples=50)
@given(st.lists(FACTS, max_size=6), RUN_POLICIES, st.sampled_from(["https-only", "open"]))
def test_a_base_gets_only_what_it_lacks(
    asked: list[RequestFacts], policy: Policy, base: str
) -> None:
    """
    Nothing is blocked under it either, and it has nothing that the base allows already.
    """
    requests = [logged(each, policy) for each in asked]
    found = suggest(requests, base, POLICIES[base])
    suggested = policy_of(found.yaml("A run"))
    seen = [visible(each, policy) for each in asked]
    anything = OPEN.but(private=["0.0.0.0/0", "::/0"])

    possible = [each for each in seen if decide(each, anything).allowed]
    assert all(decide(each, suggested).allowed for each in possible)
    lacking = [each for each in possible if not decide(each, POLICIES[base]).allowed]
    assert bool(found.entries) == bool(lacking)


def test_each_entry_says_what_it_was_for() -> None:
    """
    The file has the number of requests, their methods, their test and one of them.
    """
    policy = Policy(allow=("a.example",))
    asked = [
        logged(RequestFacts("a.example"), policy),
        logged(RequestFacts("b.example", method="POST"), policy, "https://b.example/v1"),
        logged(RequestFacts("gone.example", scheme="dns", method="DNS"), policy),
    ]

    text = suggest(asked, "offline", OFFLINE).yaml("A run")

    assert text == (
        "# A run\n"
        "extends: offline\n"
        "allow:\n"
        "  # 1 request (GET) of test_it.py::test_it, such as GET https://a.example/\n"
        "  - a.example\n"
        "  # 1 request (POST; 1 blocked) of test_it.py::test_it, such as POST https://b.example/v1\n"
        "  - b.example\n"
        "methods:\n"
        "  # 1 request (GET) of test_it.py::test_it, such as GET https://a.example/\n"
        "  - GET\n"
        "  # 1 request (POST; 1 blocked) of test_it.py::test_it, such as POST https://b.example/v1\n"
        "  - POST\n"
        "# No policy allows:\n"
        "#   direct-dns: gone.example: 1 request (DNS; 1 blocked) of test_it.py::test_it, such as "
        "DNS dns://gone.example/\n"
    )


@pytest.mark.parametrize(
    "text",
    ["\n  - evil.example", "\r- e", "\u2028- e", "\u2029", "\x85- e", "\x00", "\x1b[2J", "\ud800",
     "'\"#: ]", "x" * 100_000, "\u202egpj", " ü\ufeff"],
)  # fmt: skip
def test_no_text_of_a_workspace_leaves_its_comment(text: str) -> None:
    """
    Neither a path, a host, a method nor the name of a test.
    """
    policy = Policy(allow=("a.example",))
    plain = logged(RequestFacts("a.example"), policy, f"https://a.example/{text}")
    odd = [
        plain,
        replace(plain, owner=text),
        logged(RequestFacts(text), policy),
        logged(RequestFacts("a.example", method=text), policy),
        replace(plain, request=replace(plain.request, reason=text, phase=text, verdict=text)),
    ]

    written = suggest(odd, "offline", OFFLINE).yaml(f"A run {text}")

    assert yaml.safe_load(written)["allow"] == ["a.example"]
    policy_of(written)
    assert set(yaml.safe_load(written)) <= {"extends", "allow", "methods"}
    assert max(map(len, written.split("\n"))) < 800
    for line in written.splitlines():
        assert line.isprintable()
        assert line.lstrip().startswith(("#", "extends:", "allow:", "- a.example", "methods", "- "))


def test_tunnels_that_were_never_used_leave_methods_open() -> None:
    """
    What a refused tunnel would have carried is not in the log.
    """
    refused = logged(RequestFacts("b.example", method="CONNECT"), Policy(allow=("a.example",)))

    found = suggest([refused], "offline", OFFLINE)

    assert found.fields == {"extends": "offline", "allow": ["b.example"]}
    assert "Any method is allowed" in found.notes[0]


def test_an_empty_run_needs_nothing() -> None:
    """
    Its policy is the one that allows nothing.
    """
    found = suggest([], "offline", OFFLINE)

    assert policy_of(found.yaml("Nothing")).offline
    assert found == Suggestion("offline", 0, [], [], [])


def test_a_policy_that_no_file_may_have_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """
    A workspace can request more names than a policy file has room for; before that, comments go.
    """
    monkeypatch.setattr(suggestion, "LARGEST_FILE", 1000)
    asked = [logged(RequestFacts(f"h{n}.example"), HTTPS_ONLY) for n in range(80)]

    fits = suggest(asked[:40], "offline", OFFLINE).yaml("A run")
    assert len(policy_of(fits).allow) == 40
    assert "does not fit" in fits
    with pytest.raises(ReportError, match="81 entries"):
        suggest(asked, "offline", OFFLINE).yaml("A run")
    assert suggest(asked, "https-only", HTTPS_ONLY).entries == []


def test_many_private_addresses_are_listed_one_by_one() -> None:
    """
    The fewest networks for them would take minutes, and a workspace chooses how many they are.
    """
    hosts = [f"10.0.{number >> 8}.{number & 255}" for number in range(1000)]
    every = [logged(RequestFacts(host), HTTPS_ONLY) for host in [*hosts, hosts[0]]]

    found = [each for each in suggest(every, "offline", OFFLINE).entries if each.field == "private"]
    assert sorted(str(each.value) for each in found) == sorted(f"{host}/32" for host in hosts)
    assert {each.use.count for each in found} == {1, 2}

"""Events are fit for the host, whatever a client sent."""

from __future__ import annotations

from pytest_codex_workspace.network.messages import request_from
from pytest_codex_workspace.network.rules.policy import Decision, Policy, RequestFacts
from tests.helpers.flows import AddonChain

TUNNEL = ("example.org", 443)


def test_hostile_names_are_fit_for_the_log() -> None:
    """
    The host can read the event, whatever a client sent.
    """
    chain = AddonChain(Policy(http="allow"))
    flow = chain.flow(
        chain.connect(), host="a\x1b[31m\udcff b", method="G\u20acT", path="/\x00" + "x" * 9000
    )
    chain.request(flow)
    chain.request_logger.response(flow)

    request = request_from(chain.events[0])
    assert str(request).isascii()
    assert str(request).isprintable()
    assert len(request.path) < 5000


def test_events_have_no_control_characters() -> None:
    """
    Neither the event nor what the host makes of it can control a terminal.
    """
    chain = AddonChain()
    connection = chain.connect(TUNNEL)
    raw = "G\x1b]0;pwn\x07\udcff\x9b\u202e"
    decision = Decision("blocked", "method-not-allowed", f"The method {raw} is not allowed.")
    facts = RequestFacts("example.org", method=raw)
    chain.connection_logger.log_tunnel(connection, facts, decision)

    [event] = chain.events
    for value in event.values():
        assert not isinstance(value, str) or value.isprintable()
    assert r"G\x1b]0;pwn\x07\udcff\x9b\u202e" in event["explanation"]
    event["explanation"] = event["url"] = raw
    request = request_from(event)
    assert request.explanation == r"G\x1b]0;pwn\x07\udcff\x9b\u202e"
    assert str(request).isprintable()


def test_long_explanations_are_cut() -> None:
    """
    An error may repeat what a server sent, at any length.
    """
    chain = AddonChain()
    flow = chain.flow(chain.connect(TUNNEL))
    chain.request(flow)
    flow.response = chain.request_logger.respond_to_failure(flow, "x" * 1_000_000)
    chain.request_logger.response(flow)

    assert len(chain.events[0]["explanation"]) < 5000

"""The resolver: bytes in, bytes out, and a log entry of each look-up."""

from __future__ import annotations

import asyncio
import struct
from typing import Any

import pytest
from mitmproxy import dns as reference

from proxy_addons.dns.query_source import QuerySource
from proxy_addons.dns.resolver import Resolver
from proxy_addons.state.process_lookup import ProcessLookup
from tests.helpers.flows import ADDRESS, AddonChain

# mitmproxy 12 calls it by another name.
_MESSAGE = getattr(reference, "DNSMessage", None) or reference.Message


def query(name: str, kind: int = 1, *, flags: int = 0x0100, questions: int = 1) -> bytes:
    """
    Return a query as a stub resolver sends it.
    """
    labels = b"".join(bytes([len(each)]) + each.encode() for each in name.split(".") if each)
    return (
        struct.pack("!6H", 7, flags, questions, 0, 0, 0)
        + labels
        + b"\0"
        + struct.pack("!2H", kind, 1)
    )


def resolver() -> tuple[AddonChain, Resolver]:
    """
    Return a resolver and the chain that it belongs to.
    """
    chain = AddonChain()
    return chain, Resolver(chain.registry, "172.30.0.2", chain.connection_logger.log_lookup)


def code(reply: bytes | None) -> int:
    """
    Return the response code of a response.
    """
    assert reply is not None
    return reply[3] & 0xF


def test_outside_names_are_refused_and_logged() -> None:
    """
    A name is logged once for A, AAAA and retries, with advice.
    """
    chain, served = resolver()
    for kind in (1, 28, 1):
        assert code(served.reply(query("Db.Example.ORG", kind), ADDRESS)) == 5
    served.reply(query("other.example"), ADDRESS)

    assert [event["host"] for event in chain.events] == ["db.example.org", "other.example"]
    event = chain.events[0]
    assert (event["method"], event["scheme"], event["port"]) == ("DNS", "dns", 53)
    assert (event["verdict"], event["reason"]) == ("blocked", "direct-dns")
    assert event["url"] == "dns://db.example.org"
    assert "proxy" in event["explanation"]


@pytest.mark.parametrize(
    ("name", "kind", "expected", "addresses"),
    [
        ("proxy", 1, 0, ["172.30.0.2"]),
        ("PROXY", 1, 0, ["172.30.0.2"]),
        ("proxy", 28, 0, []),
        ("localhost", 1, 0, ["127.0.0.1"]),
        ("localhost", 28, 0, []),
        ("_http._tcp.proxy", 33, 3, []),
        ("9.0.30.172.in-addr.arpa", 12, 3, []),
    ],
)
def test_names_of_the_proxy_itself_are_not_logged(
    name: str, kind: int, expected: int, addresses: list[str]
) -> None:
    """
    That includes what programs look up because of those names.
    """
    chain, served = resolver()
    reply = served.reply(query(name, kind), ADDRESS)
    assert reply is not None
    message = _MESSAGE.unpack(reply)

    assert message.response_code == expected
    assert addresses == [str(each.ipv4_address) for each in message.answers]
    assert message.id == 7
    assert message.recursion_desired
    assert chain.events == []


def test_look_ups_of_an_unknown_address_are_refused() -> None:
    """
    There is no workspace whose log could have them.
    """
    chain, served = resolver()

    assert code(served.reply(query("example.org"), "172.30.0.77")) == 5
    assert chain.events == []


@pytest.mark.parametrize(
    "message",
    [
        query("a", questions=2),
        query("a", flags=0x2800),
        query("a")[:-1],
        query(""),
        struct.pack("!6H", 7, 0, 1, 0, 0, 0) + b"\xc0\x0c\0\1\0\1",
        struct.pack("!6H", 7, 0, 1, 0, 0, 0) + b"\x3f" * 400,
    ],
)
def test_invalid_queries_get_a_format_error(message: bytes) -> None:
    """
    They are not logged.
    """
    chain, served = resolver()

    assert code(served.reply(message, ADDRESS)) == 1
    assert chain.events == []


@pytest.mark.parametrize("message", [b"", b"short", query("a", flags=0x8000)])
def test_responses_and_fragments_get_no_response(message: bytes) -> None:
    """
    A response to a response would go on for ever.
    """
    assert resolver()[1].reply(message, ADDRESS) is None


def test_a_refused_look_up_is_held_until_its_process_is_known() -> None:
    """
    So is the answer to AAAA, which goes to the same socket; both are one entry of the log.
    """
    chain = AddonChain()
    chain.owner.names_processes = True
    asked: list[dict[str, Any]] = []
    lookup = ProcessLookup(asked.append, 60)
    served = Resolver(chain.registry, "172.30.0.2", chain.connection_logger.log_lookup, lookup)
    source = QuerySource("udp", (ADDRESS, 40000), ("172.30.0.2", 53))

    async def run() -> list[bytes]:
        held = [served.reply(query("db.example", kind), ADDRESS, source) for kind in (1, 28)]
        assert not chain.events
        assert chain.owner.process_lookups == 1
        lookup.take({"lookup": asked[0]["lookup"], "process": "sh › getent"})
        return [await each for each in held if isinstance(each, asyncio.Task)]

    assert [code(reply) for reply in asyncio.run(run())] == [5, 5]
    [event] = chain.events
    assert (event["host"], event["process"]) == ("db.example", "sh › getent")
    assert (asked[0]["protocol"], asked[0]["client"]) == ("udp", [ADDRESS, 40000])
    assert (served._held, chain.owner.held_responses) == ({}, 0)


def test_look_ups_beyond_the_limit_are_refused_at_once() -> None:
    """
    Their process is not known, and neither they nor their answers pile up. Another workspace is
    served as before.
    """
    chain = AddonChain()
    other = "172.30.0.8"
    chain.registry.register(other, "w2", "test", names_processes=True)
    chain.owner.names_processes = True
    lookup = ProcessLookup(lambda _: None, 0.01)
    served = Resolver(chain.registry, "172.30.0.2", chain.connection_logger.log_lookup, lookup)
    source = QuerySource("tcp", (ADDRESS, 40000), ("172.30.0.2", 53), lambda: False)

    async def run() -> None:
        names = [f"n{number}.example" for number in range(100)]
        replies = [served.reply(query(name), ADDRESS, source) for name in names * 20]
        held = [each for each in replies if isinstance(each, asyncio.Task)]
        assert len(held) == 200
        its = QuerySource("tcp", (other, 40000), ("172.30.0.2", 53), lambda: False)
        reply = served.reply(query("n0.example"), other, its)
        assert isinstance(reply, asyncio.Task)
        await asyncio.gather(*held, reply)

    asyncio.run(run())
    assert len(chain.events) == 101
    assert {event["process"] for event in chain.events} == {""}

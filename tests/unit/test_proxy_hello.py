"""The first bytes of a connection: in bounds, whichever way they are cut."""

from __future__ import annotations

import itertools

import pytest
from mitmproxy.options import Options
from mitmproxy.proxy import events
from mitmproxy.proxy.context import Context
from mitmproxy.proxy.layer import NextLayer
from mitmproxy.test import tflow

from proxy_addons.mitm.client_hello import BoundedClientTLS, Hello
from proxy_addons.mitm.next_layer import Closed, Tunnel
from proxy_addons.state.limits import HELLO_BYTES, HELLO_RECORDS, SEGMENTS

from .flows import World

MESSAGE = b"\x01\x00\x00\x28" + bytes(40)


def _records(message: bytes, size: int) -> bytes:
    pieces = (message[at : at + size] for at in range(0, len(message), size))
    return b"".join(b"\x16\x03\x01" + len(one).to_bytes(2, "big") + one for one in pieces)


@pytest.mark.parametrize("record", [1, 3, 4, 5, 40, 44])
@pytest.mark.parametrize("segment", [1, 2, 7, 1000])
def test_it_is_complete_with_its_last_byte(record: int, segment: int) -> None:
    """
    Records and segments are cut where they like: the message is whole when its last record is.
    """
    data = _records(MESSAGE, record)
    hello = Hello()
    for at in range(0, len(data) - 1, segment):
        assert not hello.complete
        hello.feed(data[at : min(at + segment, len(data) - 1)])
    assert not hello.complete
    hello.feed(data[-1:])

    assert hello.complete
    assert hello.objection is None
    assert bytes(hello.received) == data


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"\x16\x03\x01\x40\x00\x01" + (HELLO_BYTES + 1).to_bytes(3, "big"), "announces 32769"),
        (_records(b"\x01\xff\xff\xff", 1), "announces 16777215"),
        (_records(b"\x01\x00\x7f\xff" + bytes(100), 1), f"over {HELLO_RECORDS} records"),
    ],
)
def test_it_is_objected_to(data: bytes, words: str) -> None:
    """
    What is too long is refused by its first bytes, what is in too many records by their number.
    """
    hello = Hello()
    for byte in data:
        hello.feed(bytes([byte]))

    assert hello.objection is not None
    assert words in hello.objection
    assert not hello.complete


@pytest.mark.parametrize("rest", [b"\x15\x03\x01\x00\x02\x01\x00", b"\x16\x03\x01\x00\x00"])
def test_what_is_none_goes_to_the_parser(rest: bytes) -> None:
    """
    Another kind of record, or an empty one: what it is, the parser says.
    """
    hello = Hello()
    hello.feed(_records(MESSAGE[:10], 10) + rest)

    assert hello.complete


def test_a_first_line_in_too_many_pieces() -> None:
    """
    All pieces of a request's first line are looked at with each, so they may not be many.
    """
    world = World()
    conversation = world.connect(("example.org", 443))
    context = Context(conversation.client, Options())
    tunnel = Tunnel(world.registry, lambda *_: None, lambda *_: None, world.incidents.tunnel)
    BoundedClientTLS(_below(context))
    context.client.timestamp_tls_setup = 1.0
    nextlayer = NextLayer(context)
    for count in itertools.count(1):
        piece = b"GET /"[count - 1 : count] or b"a"
        nextlayer.events.append(events.DataReceived(context.client, piece))
        tunnel.next_layer(nextlayer)
        if nextlayer.layer is not None:
            break

    assert count == SEGMENTS + 1
    assert isinstance(nextlayer.layer, Closed)
    assert world.events[-1]["reason"] == "not-tls"


def _below(context: Context) -> Context:
    """
    A context in which TLS is not the first layer.
    """
    context.server = tflow.tserver_conn()
    context.layers.append(NextLayer(context))
    return context

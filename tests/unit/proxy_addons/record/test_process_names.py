"""Who makes the requests that are refused."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from types import SimpleNamespace
from typing import Any

import pytest

from proxy_addons.mitm.backpressure import BoundedConnectionHandler
from proxy_addons.record.process_names import ProcessNames, tls_client
from proxy_addons.state.process_lookup import ProcessLookup
from tests.helpers.flows import ADDRESS, AddonChain

HELLO = {"cipher_suites": [0x1301, 0x1302], "extensions": [(0, b"name"), (13, b"s"), (16, b"h2")]}


class Named:
    """
    The addon, with a host that answers at once.
    """

    def __init__(self) -> None:
        self.chain = AddonChain()
        self.chain.owner.names_processes = True
        self.asked: list[dict[str, Any]] = []
        self.open = True
        self.on_answer = lambda: None
        self.lookup = ProcessLookup(self.emit, 60)
        self.names = ProcessNames(self.chain.registry, self.lookup, lambda _: self.open)

    def emit(self, event: dict[str, Any]) -> None:
        """
        Answer a question.
        """
        self.asked.append(event)
        self.on_answer()
        answer = {"lookup": event["lookup"], "process": f"process {len(self.asked)}"}
        asyncio.get_running_loop().call_soon(self.lookup.take, answer)

    def refuse(self, host: str = "example.org", connection: Any = None) -> str:
        """
        Send a request in clear, and return the process in its log entry.
        """

        async def run() -> None:
            flow = self.chain.flow(connection or self.chain.connect(), scheme="http", host=host)
            self.chain.request(flow)
            await settled(self.names.response(flow))
            self.chain.request_logger.response(flow)

        asyncio.run(run())
        return str(self.chain.events[-1]["process"])

    def hello(self, host: str = "example.org", **changes: Any) -> Any:
        """
        Begin TLS in a tunnel; return the data of the hook.
        """
        connection = self.chain.connect()
        connection.tunnel = (host, 443)
        hello = SimpleNamespace(**{**HELLO, **changes})
        context = SimpleNamespace(client=connection.client)
        data = SimpleNamespace(client_hello=hello, context=context, conn=connection.client)

        async def run() -> None:
            await settled(self.names.tls_clienthello(data))

        asyncio.run(run())
        return data

    def trust(self, data: Any) -> None:
        """
        Send a request after a handshake.
        """
        connection = self.chain.registry.connection(data.context.client)
        assert connection is not None
        self.names.requestheaders(self.chain.flow(connection))


async def settled(waiting: Awaitable[None] | None) -> None:
    """
    Wait as mitmproxy does for a hook.
    """
    if waiting is not None:
        await waiting


def test_a_refused_request_has_the_process_of_its_connection() -> None:
    """
    Another request by the same connection is not asked about.
    """
    named = Named()
    connection = named.chain.connect()

    assert named.refuse(connection=connection) == "process 1"
    assert named.refuse(connection=connection) == "process 1"
    assert named.refuse() == "process 2"
    [first, _] = named.asked
    assert (first["workspace"], first["client"]) == ("w1", [ADDRESS, 40000])


def test_a_refused_tunnel_is_named_before_it_is_logged() -> None:
    """
    A tunnel has no other hook.
    """
    named = Named()

    async def run() -> None:
        flow = named.chain.flow(named.chain.connect(), method="CONNECT", port=22)
        named.chain.gate.http_connect(flow)
        await settled(named.names.http_connect(flow))
        named.chain.request_logger.http_connect(flow)

    asyncio.run(run())
    assert named.chain.events[-1]["process"] == "process 1"


def test_an_allowed_request_costs_nothing() -> None:
    """
    Nobody is asked, and nothing is waited for.
    """
    named = Named()
    flow = named.chain.flow(named.chain.connect(("example.org", 443), sni="example.org"))
    named.chain.request(flow)

    assert named.names.response(flow) is None
    assert named.names.error(flow) is None
    assert named.names.http_connect(flow) is None
    assert named.asked == []


@pytest.mark.parametrize("when", ["before", "meanwhile"])
def test_an_answer_is_not_for_whoever_has_the_port_next(when: str) -> None:
    """
    Once a client is gone, another process may have got its port.
    """
    named = Named()
    if when == "before":
        named.open = False
    else:
        named.on_answer = lambda: setattr(named, "open", False)

    assert named.refuse() == ""
    assert len(named.asked) == (when == "meanwhile")


def test_a_failed_handshake_has_the_process() -> None:
    """
    It was asked for before the client has seen the certificate.
    """
    named = Named()
    data = named.hello()
    data.conn.error = "the client does not trust the certificate"
    named.names.tls_failed_client(data)
    named.chain.connection_logger.tls_failed_client(data)

    [event] = named.chain.events
    assert (event["verdict"], event["process"]) == ("failed", "process 1")


def test_clients_that_trust_are_not_asked_about_again() -> None:
    """
    The same kind of client for the same host, until one of its kind does not trust.
    """
    named = Named()
    named.trust(named.hello())
    named.trust(named.hello(extensions=[(0, b"other"), (16, b"h2"), (13, b"s"), (0x1A1A, b"")]))
    assert len(named.asked) == 1

    named.hello("other.example")
    named.hello(extensions=[(13, b"s"), (16, b"http/1.1")])
    named.hello(cipher_suites=[0x1301])
    assert len(named.asked) == 4

    left = named.hello()
    assert len(named.asked) == 4
    named.names.client_disconnected(left.context.client)
    named.hello()
    assert len(named.asked) == 5


def test_a_client_that_varies_is_not_told_apart_for_ever() -> None:
    """
    A workspace cannot make the proxy remember any number of kinds.
    """
    named = Named()
    owner = named.chain.owner
    owner.trusting |= {(number, None) for number in range(256)}
    owner.distrusting |= set(range(256))
    data = named.hello()
    named.trust(data)
    named.names.client_disconnected(named.hello().context.client)

    assert named.asked == []
    assert (len(owner.trusting), len(owner.distrusting)) == (256, 256)


def test_made_up_values_make_no_difference() -> None:
    """
    Some clients send random values so that servers learn to ignore them.
    """
    hello = SimpleNamespace(cipher_suites=[0x2A2A, *HELLO["cipher_suites"]], extensions=[])
    other = SimpleNamespace(cipher_suites=HELLO["cipher_suites"], extensions=[(0xFAFA, b"x")])

    assert tls_client(SimpleNamespace(client_hello=hello)) == tls_client(
        SimpleNamespace(client_hello=other)
    )


def test_requests_of_one_connection_wait_for_one_answer() -> None:
    """
    Nothing more is read meanwhile, so that nothing piles up.
    """
    named = Named()
    connection = named.chain.connect()
    handler = BoundedConnectionHandler.__new__(BoundedConnectionHandler)
    handler._registry, handler.client = named.chain.registry, connection.client
    handler._progress = asyncio.Event()

    async def refuse() -> None:
        flow = named.chain.flow(connection, scheme="http")
        named.chain.request(flow)
        await settled(named.names.response(flow))
        named.chain.request_logger.response(flow)

    async def run() -> None:
        named.on_answer = lambda: None
        both = asyncio.gather(refuse(), refuse())
        await asyncio.sleep(0)
        assert connection.held is not None
        reading = asyncio.create_task(handler._wait_while_paused(connection.client))
        await asyncio.sleep(0)
        assert not reading.done()
        await both
        assert connection.held is None
        handler._progress.set()
        await reading

    asyncio.run(run())
    assert [event["process"] for event in named.chain.events] == ["process 1"] * 2
    assert len(named.asked) == 1


def test_nobody_is_asked_twice_about_a_connection() -> None:
    """
    Not even if the process is not known.
    """
    named = Named()
    connection = named.chain.connect()
    named.on_answer = lambda: setattr(named, "open", False)
    assert named.refuse(connection=connection) == ""
    named.open = True

    assert named.refuse(connection=connection) == ""
    assert len(named.asked) == 1

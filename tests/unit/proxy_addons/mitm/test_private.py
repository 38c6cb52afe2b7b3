"""
Canaries: what the proxy relies on inside mitmproxy, h11, h2 and asyncio.

They run against the installed versions, and fail with a sentence that says what an
upgrade has changed and which of our modules depends on it.
"""

from __future__ import annotations

import asyncio
import importlib
import inspect
import pkgutil
import re
import warnings
from collections.abc import Iterator
from typing import Any

import h11
import pytest
from h2.config import H2Configuration
from h2.connection import H2Connection
from mitmproxy import version
from mitmproxy.hooks import all_hooks
from mitmproxy.options import Options
from mitmproxy.proxy import commands, events, layer
from mitmproxy.proxy.context import Context
from mitmproxy.proxy.layers import ClientTLSLayer
from mitmproxy.proxy.layers.http import HttpLayer, HTTPMode, HttpStream
from mitmproxy.proxy.mode_servers import ProxyConnectionHandler
from mitmproxy.proxy.server import ConnectionHandler
from mitmproxy.test import tflow

import proxy_addons.mitm
from proxy_addons.mitm import private
from proxy_addons.mitm.imports import skip_default_addons
from proxy_addons.state.connections import UNPARSABLE_HELLO
from pytest_codex_workspace.host.resources import resource_dir

MITMPROXY = f"mitmproxy {version.VERSION}"
LIBRARIES = ("mitmproxy.", "h11.", "h2.")
PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
EMPTY_SETTINGS = b"\x00\x00\x00\x04\x00\x00\x00\x00\x00"

CHECKED = {"mitmproxy": {"12.2.3"}, "h11": {"0.16.0"}, "h2": {"4.3.0"}}
"""The pinned versions that these tests passed with."""

OVERRIDDEN = {
    (HttpLayer, "__init__"): "context mode",
    (HttpLayer, "make_stream"): "stream_id",
    (HttpLayer, "register_connection"): "command",
    (HttpLayer, "get_connection"): "event reuse",
    (HttpLayer, "_handle_event"): "event",
    (HttpStream, "__init__"): "context stream_id",
    (HttpStream, "handle_event"): "event",
    (HttpStream, "state_wait_for_request_headers"): "event",
    (HttpStream, "state_consume_request_body"): "event",
    (HttpStream, "state_wait_for_response_headers"): "event",
    (HttpStream, "check_invalid"): "request",
    (HttpStream, "check_killed"): "emit_error_hook",
    (HttpStream, "make_server_connection"): "",
    (HttpStream, "send_response"): "already_streamed",
    (HttpStream, "handle_protocol_error"): "event",
    (private.Http1Server, "__init__"): "context",
    (private.Http1Server, "read_headers"): "event",
    (private.Http1Server, "done"): "event",
    (private.Http1Client, "read_headers"): "event",
    (private.ChunkedReader, "__call__"): "buf",
    (private.BufferedH2Connection, "__init__"): "config",
    (private.BufferedH2Connection, "_receive_frame"): "frame",
    (private.BufferedH2Connection, "initiate_connection"): "",
    (private.BufferedH2Connection, "acknowledge_received_data"): "acknowledged_size stream_id",
    (private.BufferedH2Connection, "send_data"): "stream_id data end_stream pad_length",
    (private.Http2Connection, "_handle_event"): "event",
    (private.Http2Connection, "close_connection"): "msg",
    (private.Http2Server, "__init__"): "context",
    (private.Http2Server, "protocol_error"): "message error_code",
    (private.Http2Client, "__init__"): "context",
    (private.Http2Client, "_handle_event"): "event",
    (ClientTLSLayer, "__init__"): "context",
    (ClientTLSLayer, "receive_handshake_data"): "data",
    (ProxyConnectionHandler, "__init__"): "master r w options mode",
    (ProxyConnectionHandler, "handle_client"): "",
    (ProxyConnectionHandler, "server_event"): "event",
    (ProxyConnectionHandler, "drain_writers"): "",
    (layer.Layer, "_handle_event"): "event",
}
"""The methods that our classes override, with their parameters besides `self`."""

CALLED = {
    (HttpLayer, "event_to_child"): "child event",
    (private.ReceiveHttp, "__init__"): "event",
    (private.SendH2Data, "__init__"): "data end_stream",
    (private.ResponseData, "__init__"): "stream_id data",
    (private.ResponseEndOfMessage, "__init__"): "stream_id",
    (private.ResponseProtocolError, "__init__"): "stream_id message code",
}
"""Further methods that our classes call, with their parameters besides `self`."""


@pytest.mark.parametrize("package", CHECKED)
def test_the_pinned_version_was_checked(package: str) -> None:
    """
    A pin changes only after these tests have passed with the new version.
    """
    pins = (resource_dir("dockerfiles") / "proxy" / "requirements.txt").read_text("utf-8")
    found = re.search(rf"^{package}==([\w.]+)", pins, re.MULTILINE)

    assert found is not None
    assert found[1] in CHECKED[package], (
        f"the proxy image has {package} {found[1]}: install its requirements.txt, run "
        "tests/unit/proxy_addons with them, and add the version to CHECKED"
    )


def _parameters(owner: type, method: str) -> str:
    names = inspect.signature(getattr(owner, method)).parameters
    found = [name for name in names if name != "self"]
    # The fields of a named tuple have the names that its constructor hides.
    return " ".join(getattr(owner, "_fields", found))


@pytest.mark.parametrize(
    ("owner", "method", "parameters"),
    [(*key, parameters) for key, parameters in {**OVERRIDDEN, **CALLED}.items()],
    ids=lambda value: getattr(value, "__name__", None),
)
def test_methods_take_the_same_parameters(owner: type, method: str, parameters: str) -> None:
    """
    A method that our classes override or call exists and takes the parameters that we pass.
    """
    assert hasattr(owner, method), f"{MITMPROXY} has no {owner.__name__}.{method} any more"
    assert _parameters(owner, method) == parameters, (
        f"{MITMPROXY} changed the parameters of {owner.__name__}.{method}; adapt proxy_addons.mitm"
    )


def _overriding() -> Iterator[tuple[type, str]]:
    """
    Yield each method that our classes define and a class of a library has too.
    """
    for found in pkgutil.iter_modules(proxy_addons.mitm.__path__):
        module = importlib.import_module(f"proxy_addons.mitm.{found.name}")
        for ours in vars(module).values():
            if not inspect.isclass(ours) or ours.__module__ != module.__name__:
                continue
            theirs = [each for each in ours.__mro__ if each.__module__.startswith(LIBRARIES)]
            for name, value in vars(ours).items():
                if theirs and inspect.isfunction(value) and hasattr(theirs[0], name):
                    yield theirs[0], name


def test_the_table_has_every_method_that_we_override() -> None:
    """
    A new override gets a canary, or this test fails.
    """
    # ReceiveBuffer's subclass replaces all of the class and calls nothing of the parent.
    found = {
        (owner, name)
        for owner, name in _overriding()
        if owner.__name__ not in ("ReceiveBuffer", "Event")
    }

    assert found
    assert {f"{owner.__name__}.{name}" for owner, name in found - set(OVERRIDDEN)} == set()


def _context() -> Context:
    options = Options()
    # Two options of mitmproxy's server, which the HTTP/2 parsers read.
    options.add_option("validate_inbound_headers", bool, True, "")
    options.add_option("http2_ping_keepalive", int, 58, "")
    context = Context(tflow.tclient_conn(), options)
    context.server = tflow.tserver_conn()
    return context


def _proxyserver() -> Any:
    skip_default_addons()
    with warnings.catch_warnings():
        # mitmproxy 12 uses deprecated names of pyparsing.
        warnings.simplefilter("ignore")
        return importlib.import_module("mitmproxy.addons.proxyserver").Proxyserver()


@pytest.mark.parametrize(
    ("make", "names"),
    [
        (
            lambda: HttpLayer(_context(), HTTPMode.regular),
            "connections streams waiting_for_establishment command_sources",
        ),
        (
            lambda: HttpStream(_context(), 1),
            "client_state server_state state_uninitialized state_errored state_done "
            "state_wait_for_response_headers request_body_buf response_body_buf stream_id",
        ),
        (
            lambda: private.Http1Server(_context()),
            "conn buf state wait done request response stream_id",
        ),
        (
            lambda: private.Http1Client(_context()),
            "conn buf state wait done request response stream_id",
        ),
        (
            lambda: private.Http2Server(_context()),
            "conn h2_conf h2_conn",
        ),
        (
            lambda: private.Http2Client(_context()),
            "conn h2_conf h2_conn stream_queue our_stream_id their_stream_id",
        ),
        (
            lambda: private.BufferedH2Connection(H2Configuration()),
            "stream_buffers local_settings max_inbound_frame_size inbound_flow_control_window "
            "state_machine config",
        ),
        (_proxyserver, "connections listen_addrs"),
    ],
    ids=[
        "HttpLayer",
        "HttpStream",
        "Http1Server",
        "Http1Client",
        "Http2Server",
        "Http2Client",
        "H2",
        "Proxyserver",
    ],
)
def test_objects_have_the_attributes_that_we_use(make: Any, names: str) -> None:
    """
    The attributes that our classes read or set exist on a new object.
    """
    made = make()
    missing = [name for name in names.split() if not hasattr(made, name)]

    assert missing == [], f"{MITMPROXY}: {type(made).__name__} has no {missing} any more"


def test_the_handler_keeps_its_transports() -> None:
    """
    The handler of a connection has the sockets of the client and of the servers.
    """
    declared = ConnectionHandler.__annotations__

    assert {"transports", "client"} <= set(declared), f"{MITMPROXY} renamed ConnectionHandler's"


def test_every_http1_parser_reads_from_this_buffer() -> None:
    """
    The buffer that we put in place of a parser's own is of the same class.
    """
    assert type(private.Http1Server(_context()).buf) is private.Http1Buffer
    assert type(private.Http1Client(_context()).buf) is private.Http1Buffer


def test_the_chunked_reader_is_the_one_for_chunked_bodies() -> None:
    """
    The reader of h11 reads a chunked body from that buffer, and returns h11's events.
    """
    reader, buffer = private.ChunkedReader(), private.Http1Buffer()
    buffer += b"3\r\nabc\r\n0\r\n\r\n"

    assert bytes(reader(buffer).data) == b"abc"
    assert isinstance(reader(buffer), h11.EndOfMessage)


def test_an_unparsable_hello_is_reported_in_these_words() -> None:
    """
    The log tells an unparsable ClientHello from other errors by how mitmproxy begins its error.
    """
    code = ClientTLSLayer.receive_handshake_data.__code__
    texts = [each for each in code.co_consts if isinstance(each, str)]

    assert any(text.startswith(UNPARSABLE_HELLO) for text in texts), (
        f"{MITMPROXY} reports an unparsable ClientHello in other words than {UNPARSABLE_HELLO!r}"
    )


class _Asking(layer.Layer):
    """
    A layer that waits for a connection after its first event.
    """

    def _handle_event(self, event: events.Event) -> layer.CommandGenerator[None]:
        if isinstance(event, events.Start):
            yield commands.OpenConnection(self.context.server)


def test_a_waiting_layer_is_paused_and_queues_its_events() -> None:
    """
    A layer that waits for the reply to a command keeps the events that come meanwhile.
    """
    asking = _Asking(_context())
    assert not private.is_paused(asking)
    assert list(private.paused_events(asking)) == []

    assert list(asking.handle_event(events.Start()))
    data = events.DataReceived(asking.context.client, b"abc")
    assert list(asking.handle_event(data)) == []

    assert private.is_paused(asking)
    assert list(private.paused_events(asking)) == [data]


def test_incomplete_http2_frames_are_counted() -> None:
    """
    Bytes of an incomplete frame count, and those of a header block that goes on; others do not.
    """
    connection = H2Connection(H2Configuration(client_side=False))
    connection.initiate_connection()
    connection.receive_data(PREFACE + EMPTY_SETTINGS)
    assert private.unparsed_h2_bytes(connection) == 0

    unfinished = b"\x00\x00\x05\x01\x00\x00\x00\x00\x01" + b"\x82\x84\x87\x41\x01"
    connection.receive_data(unfinished[:4])
    assert private.unparsed_h2_bytes(connection) == 4
    connection.receive_data(unfinished[4:] + b"\x00\x00")
    assert private.unparsed_h2_bytes(connection) == 5 + 2


def test_read_ahead_is_limited() -> None:
    """
    asyncio stops reading from a socket once the limit is reached, and the unread bytes count.
    """

    async def flood() -> int:
        accepted: asyncio.Queue[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = asyncio.Queue()

        async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            private.limit_read_ahead(reader, writer, 1000)
            await accepted.put((reader, writer))

        server = await asyncio.start_server(accept, "127.0.0.1", 0)
        _, client = await asyncio.open_connection(*server.sockets[0].getsockname())
        reader, writer = await accepted.get()
        client.write(bytes(200_000))
        async with asyncio.timeout(10):
            while writer.transport.is_reading():
                await asyncio.sleep(0)
        unread = private.unread_bytes(reader)
        for each in (client, writer):
            each.close()
        server.close()
        await server.wait_closed()
        return unread

    assert 1000 < asyncio.run(flood()) <= 2000


def test_a_reader_without_buffer_has_no_unread_bytes() -> None:
    """
    mitmproxy's own readers, for UDP, are left alone.
    """
    private.limit_read_ahead(None, None, 1000)

    assert private.unread_bytes(object()) == 0


@pytest.mark.parametrize("name", ["Proxyserver", "_Certificates"])
def test_no_addon_of_mitmproxy_sees_a_flow(name: str) -> None:
    """
    An addon that sees flows can respond to them or change them, and the log would not know.
    """
    skip_default_addons()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        addon = getattr(importlib.import_module("proxy_addons.assembly"), name)
    takes_flow = [
        name
        for name, hook in all_hooks.items()
        if "flow" in inspect.signature(hook.__init__).parameters
    ]
    assert "request" in takes_flow
    assert [name for name in takes_flow if getattr(addon, name, None)] == [], (
        f"{MITMPROXY}: {addon.__name__} has new hooks; set them to None in proxy_addons/assembly.py"
    )

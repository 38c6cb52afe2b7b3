"""Ending the connections of clients."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace

import pytest
from mitmproxy.test import tflow

from proxy_addons.mitm.client_sockets import ClientSockets


async def _end(how: str) -> tuple[bytes, type[BaseException] | None]:
    """
    Connect, send some bytes, end the connection from the server's side, and read what comes.
    """
    writers: asyncio.Queue[asyncio.StreamWriter] = asyncio.Queue()
    server = await asyncio.start_server(lambda _, writer: writers.put(writer), "127.0.0.1", 0)
    reader, own = await asyncio.open_connection(*server.sockets[0].getsockname())
    writer = await writers.get()
    writer.write(b"sent")
    client = tflow.tclient_conn()
    transport = SimpleNamespace(writer=writer, handler=None)
    handler = SimpleNamespace(client=client, transports={client: transport})
    sockets = ClientSockets(SimpleNamespace(connections={client.id: handler}))  # type: ignore[arg-type]
    getattr(sockets, how)(client)
    received, error = b"", None
    try:
        async with asyncio.timeout(10):
            while data := await reader.read(100):
                received += data
    except ConnectionError as caught:
        error = type(caught)
    own.close()
    server.close()
    await server.wait_closed()
    return received, error


@pytest.mark.parametrize(
    ("how", "expected"), [("close", (b"sent", None)), ("reset", (b"", ConnectionResetError))]
)
def test_a_connection_is_closed_or_reset(
    how: str, expected: tuple[bytes, type[BaseException] | None]
) -> None:
    """
    A client reads everything that was sent before its connection is closed, and sees a reset.
    """
    received, error = asyncio.run(_end(how))

    assert error is expected[1]
    if how == "close":
        assert received == expected[0]


def test_a_handler_is_cancelled() -> None:
    """
    Cancelling ends the task that handles the connection.
    """

    async def cancel() -> bool:
        client = tflow.tclient_conn()
        task = asyncio.create_task(asyncio.Event().wait())
        transport = SimpleNamespace(writer=None, handler=task)
        handler = SimpleNamespace(client=client, transports={client: transport})
        server = SimpleNamespace(connections={client.id: handler})
        ClientSockets(server).cancel(client)  # type: ignore[arg-type]
        await asyncio.wait([task])
        return task.cancelled()

    assert asyncio.run(cancel())


def test_a_client_that_is_gone_is_ignored() -> None:
    """
    A connection that has ended by itself has no socket any more.
    """
    sockets = ClientSockets(SimpleNamespace(connections={}))  # type: ignore[arg-type]

    for end in (sockets.reset, sockets.close, sockets.cancel):
        end(tflow.tclient_conn())

"""Tests of ports on this machine, with the real helper behind a local agent."""

from __future__ import annotations

import base64
import hashlib
import http.client
import socket
import struct
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit

import pytest

from pytest_codex_workspace.access import forward as forward_module
from pytest_codex_workspace.access.forward import Forward, program
from pytest_codex_workspace.errors import WorkspaceLost
from pytest_codex_workspace.workspace.channel import Channel

from ...helpers.local_agent import LocalStream

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(sys.platform != "linux", reason="the agent is a Linux program"),
]


@pytest.fixture
def channel() -> Iterator[Channel]:
    """
    A channel that a test may lose.
    """
    stream = LocalStream(env={"PATH": "/usr/local/bin:/usr/bin:/bin"})
    channel = Channel(stream, describe=lambda: "its container was removed")
    channel.init()
    yield channel
    channel.close()
    stream.end()


def forward(channel: Channel, port: int) -> Forward:
    return Forward(lambda: channel.start(program()), port)


def connect(url: str) -> socket.socket:
    address = urlsplit(url)
    return socket.create_connection((address.hostname, address.port), timeout=20)


@contextmanager
def serving(serve: Callable[[socket.socket], None]) -> Iterator[int]:
    """
    Serve each connection in a thread, and return the port.
    """
    with socket.create_server(("127.0.0.1", 0), backlog=512) as server:

        def accept() -> None:
            while True:
                try:
                    served, _ = server.accept()
                except OSError:
                    return
                threading.Thread(target=run, args=(served,), daemon=True).start()

        def run(served: socket.socket) -> None:
            # A client may be gone.
            with served, suppress(ConnectionError):
                serve(served)

        thread = threading.Thread(target=accept, daemon=True)
        thread.start()
        yield server.getsockname()[1]
        server.shutdown(socket.SHUT_RDWR)
        thread.join(20)


def echo(served: socket.socket) -> None:
    while data := served.recv(65536):
        served.sendall(data)


def read_all(client: socket.socket) -> bytes:
    return b"".join(iter(lambda: client.recv(65536), b""))


def fill(client: socket.socket) -> None:
    """
    Send until nothing more is taken.
    """
    while True:
        try:
            client.send(bytes(65536))
        except BlockingIOError:
            return


class Page(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["content-length"]))
        self.send_response(200)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


def test_http_with_large_bodies_on_one_connection(channel):
    """
    The address is that of this machine's loopback.
    """
    server = ThreadingHTTPServer(("127.0.0.1", 0), Page)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        with forward(channel, server.server_address[1]) as url:
            assert url.startswith("http://127.0.0.1:")
            client = http.client.HTTPConnection(urlsplit(url).netloc, timeout=20)
            for size in (0, 1, 3_000_000):
                client.request("POST", "/", b"x" * size)
                assert client.getresponse().read() == b"x" * size
            client.close()
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def test_a_websocket(channel):
    """
    An upgrade, then frames in both directions.
    """
    key = base64.b64encode(bytes(16))
    accepted = base64.b64encode(
        hashlib.sha1(key + b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11").digest()
    )

    def serve(served: socket.socket) -> None:
        while not served.recv(4096).endswith(b"\r\n\r\n"):
            pass
        served.sendall(
            b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            b"Sec-WebSocket-Accept: " + accepted + b"\r\n\r\n"
        )
        echo(served)

    with serving(serve) as port, forward(channel, port) as url, connect(url) as client:
        client.sendall(
            b"GET /chat HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: " + key + b"\r\n\r\n"
        )
        head = b""
        while not head.endswith(b"\r\n\r\n"):
            head += client.recv(1)
        assert accepted in head
        for number in range(20):
            message = struct.pack(">BB", 0x82, 4) + struct.pack(">I", number)
            client.sendall(message)
            assert client.recv(6, socket.MSG_WAITALL) == message


def test_each_direction_ends_by_itself(channel):
    """
    A client that has sent everything still gets its answer, and a server may end first.
    """

    def serve(served: socket.socket) -> None:
        served.sendall(b"hello")
        served.shutdown(socket.SHUT_WR)
        kept.append(read_all(served))
        over.set()

    kept: list[bytes] = []
    over = threading.Event()
    with serving(serve) as port, forward(channel, port) as url, connect(url) as client:
        assert read_all(client) == b"hello"
        client.sendall(b"late")
        client.shutdown(socket.SHUT_WR)
        assert over.wait(20)
        assert kept == [b"late"]
    with serving(echo) as port, forward(channel, port) as url, connect(url) as client:
        client.sendall(b"x" * 100_000)
        client.shutdown(socket.SHUT_WR)
        assert read_all(client) == b"x" * 100_000


def test_many_connections_at_a_time(channel):
    """
    More than are carried at a time wait, and one that nobody reads stops no other.
    """
    with serving(echo) as port, forward(channel, port) as url, ExitStack() as clients:
        stuck = clients.enter_context(connect(url))
        stuck.settimeout(0)
        fill(stuck)
        made = [clients.enter_context(connect(url)) for _ in range(300)]
        for number, client in enumerate(made):
            client.sendall(b"%03d" % number)
        for number, client in enumerate(made):
            assert client.recv(3, socket.MSG_WAITALL) == b"%03d" % number
            client.close()


def test_a_port_without_a_server_is_reset(channel):
    """
    Until somebody listens there.
    """
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    with forward(channel, port) as url:
        with connect(url) as client, pytest.raises(ConnectionResetError):
            assert client.recv(1) is None
        with socket.create_server(("127.0.0.1", port)) as server, connect(url) as client:
            client.sendall(b"x")
            with server.accept()[0] as served:
                assert served.recv(1) == b"x"


def test_the_helper_is_started_again_after_a_phase(channel):
    """
    All processes end with a phase, and so do the connections.
    """
    with serving(echo) as port, forward(channel, port) as url:
        with connect(url) as client:
            client.sendall(b"x")
            assert client.recv(1) == b"x"
            channel.kill_all()
            with pytest.raises(ConnectionResetError):
                client.recv(1)
        with connect(url) as client:
            client.sendall(b"y")
            assert client.recv(1) == b"y"


def test_it_ends_with_its_block_and_with_its_workspace(channel):
    """
    Nothing listens then.
    """
    with serving(echo) as port:
        with forward(channel, port) as url, connect(url) as client:
            client.sendall(b"x")
            assert client.recv(1) == b"x"
        with pytest.raises(ConnectionRefusedError):
            connect(url)
        with forward(channel, port) as url:
            client = connect(url)
            client.sendall(b"x")
            assert client.recv(1) == b"x"
            channel.close()
            with client, pytest.raises(ConnectionResetError):
                client.recv(1)
        with pytest.raises(WorkspaceLost), forward(channel, port):
            pass


def test_a_helper_that_sends_nonsense_loses_its_connections(channel):
    """
    It can make the host connect nowhere.
    """
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(0)
        port = server.getsockname()[1]
        forged = struct.pack(">BII", 1, 7, 2) + struct.pack(">H", port)
        escaped = "".join("\\" + format(byte, "03o") for byte in forged)
        helper = ["sh", "-c", f"printf '{escaped}'; exec cat"]
        with Forward(lambda: channel.start(helper), port) as url:
            # Maybe while it is made.
            with pytest.raises(ConnectionResetError), connect(url) as client:
                client.recv(1)
            with pytest.raises(BlockingIOError):
                server.accept()


class Flood:
    """
    A helper that sends the same frames for ever, and reads nothing.
    """

    def __init__(self, frames: bytes) -> None:
        self.frames = frames
        self.killed = threading.Event()
        self.stdout = self

    def piece(self) -> bytes:
        return b"" if self.killed.is_set() else self.frames

    def send(self, data: bytes) -> None:
        self.killed.wait(60)

    def abandon(self) -> None:
        self.killed.set()


def test_a_helper_that_makes_the_host_answer_and_reads_nothing_is_killed(monkeypatch):
    """
    Before the answers fill the memory of this machine. Clients have their turn meanwhile.
    """
    monkeypatch.setattr(forward_module, "_OUTBOX", 10_000)
    data = struct.pack(">BII", 2, 1, 1) + b"x"
    helper = Flood(data * 1000)
    with Forward(lambda: helper, 80) as url, connect(url) as client:
        with pytest.raises(ConnectionResetError):
            read_all(client)
        assert helper.killed.wait(20)


@pytest.mark.parametrize("port", [0, 65536, True, "80"])
def test_a_wrong_port_is_an_error(port):
    """
    Before anything is started.
    """
    with pytest.raises(ValueError, match="is not a number from 1 to 65535"):
        Forward(lambda: None, port)

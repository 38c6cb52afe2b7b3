"""The origin in a container: HTTP/1.1, HTTP/2, WebSocket, git, and misbehaviour on request.

This is a separate program: `python3 server.py ROOT PEM ADDRESS`. It writes one line of JSON for
each request to standard output, and ends when its input ends.
"""

from __future__ import annotations

import base64
import contextlib
import hashlib
import json
import os
import socket
import ssl
import subprocess
import sys
import threading
import time
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import h2.config
import h2.connection
import h2.events

SLOW = 1.0
"""Seconds that `/slow` takes."""

ROOT = Path(sys.argv[1])


@dataclass
class Request:
    """
    A client's request, in either protocol.
    """

    method: str
    target: str
    protocol: str
    headers: dict[str, str]
    body: bytearray = field(default_factory=bytearray)

    @property
    def path(self) -> str:
        return self.target.partition("?")[0]

    @property
    def query(self) -> str:
        return self.target.partition("?")[2]


Answer = tuple[int, dict[str, str], bytes]


def answer(request: Request) -> Answer:
    """
    Return the answer to a request that is answered without misbehaviour.
    """
    if request.path == "/slow":
        time.sleep(SLOW)
    if request.path in ("/hello", "/slow"):
        return 200, {"content-type": "text/plain"}, f"hello over {request.protocol}\n".encode()
    if request.path == "/upload":
        return 200, {}, f"{len(request.body)}\n".encode()
    if request.path == "/big":
        return 200, {}, b"x" * 3_000_000
    if request.path.startswith("/git/"):
        return git(request)
    file = (ROOT / request.path.lstrip("/")).resolve()
    if file.is_relative_to(ROOT) and file.is_file():
        return 200, {}, file.read_bytes()
    return 404, {"content-type": "text/plain"}, b"there is nothing of that name\n"


def git(request: Request) -> Answer:
    """
    Return the answer of git's own CGI program.
    """
    names = {"CONTENT_TYPE": "content-type"} | {
        f"HTTP_{name.upper().replace('-', '_')}": name
        for name in ("content-encoding", "git-protocol")
    }
    done = subprocess.run(
        ["git", "http-backend"],
        input=bytes(request.body),
        stdout=subprocess.PIPE,
        check=True,
        env={
            "PATH": os.environ["PATH"],
            "GIT_PROJECT_ROOT": str(ROOT),
            "GIT_HTTP_EXPORT_ALL": "1",
            "REQUEST_METHOD": request.method,
            "PATH_INFO": request.path,
            "QUERY_STRING": request.query,
            "CONTENT_LENGTH": str(len(request.body)),
            **{name: request.headers.get(header, "") for name, header in names.items()},
        },
    )
    head, _, body = done.stdout.partition(b"\r\n\r\n")
    headers = dict(line.split(": ", 1) for line in head.decode("ascii").split("\r\n"))
    status = headers.pop("Status", "200 OK")
    return int(status.split()[0]), {name.lower(): value for name, value in headers.items()}, body


def tell(message: dict[str, object]) -> None:
    """
    Send a line to the test, in one write.
    """
    os.write(1, json.dumps(message).encode() + b"\n")


def note(request: Request) -> None:
    """
    Report a request as soon as its head has arrived.
    """
    tell({"method": request.method, "target": request.target, "protocol": request.protocol})


class Handler(BaseHTTPRequestHandler):
    """
    One connection. The protocol of the handshake decides how it is read.
    """

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = -1

    def log_message(self, *_: object) -> None:
        pass

    def handle(self) -> None:
        self.connection.do_handshake()
        if self.connection.selected_alpn_protocol() == "h2":
            Http2(self.connection).serve()
        else:
            super().handle()

    def do_GET(self) -> None:
        headers = {name.lower(): value for name, value in self.headers.items()}
        request = Request(self.command, self.path, self.request_version, headers)
        note(request)
        if self.path == "/switch":
            self.wfile.write(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\r\n")
            self.wfile.write(b"and now for something completely different")
        elif request.path == "/websocket":
            self._echo(headers["sec-websocket-key"])
        else:
            if headers.get("expect") == "100-continue":
                self.send_response_only(100)
                self.end_headers()
                self.wfile.flush()
            self._read_body(request)
            self._send(*answer(request))
            return
        self.wfile.flush()
        self.close_connection = True

    do_HEAD = do_POST = do_PUT = do_GET  # noqa: N815

    def _send(self, status: int, headers: dict[str, str], body: bytes) -> None:
        self.send_response(status)
        for name, value in {**headers, "content-length": str(len(body))}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body if self.command != "HEAD" else b"")

    def _read_body(self, request: Request) -> None:
        if "chunked" not in request.headers.get("transfer-encoding", ""):
            request.body += self.rfile.read(int(request.headers.get("content-length", 0)))
            return
        while size := int(self.rfile.readline(), 16):
            request.body += self.rfile.read(size)
            self.rfile.readline()
        self.rfile.readline()

    def _echo(self, key: str) -> None:
        """
        Accept a WebSocket and send its first text back.
        """
        digest = hashlib.sha1(f"{key}258EAFA5-E914-47DA-95CA-C5AB0DC85B11".encode()).digest()
        self.send_response_only(101)
        self.send_header("Upgrade", "websocket")
        self.send_header("Connection", "Upgrade")
        self.send_header("Sec-WebSocket-Accept", base64.b64encode(digest).decode())
        self.end_headers()
        self.wfile.flush()
        # Clients mask what they send, servers do not.
        head, mask = self.rfile.read(2), self.rfile.read(4)
        text = bytes(byte ^ mask[i % 4] for i, byte in enumerate(self.rfile.read(head[1] & 0x7F)))
        self.wfile.write(bytes([0x81, len(text)]) + text)


class Http2:
    """
    HTTP/2 on one connection. Requests are answered one after the other.
    """

    def __init__(self, connection: socket.socket) -> None:
        self._socket = connection
        self._state = h2.connection.H2Connection(h2.config.H2Configuration(client_side=False))
        self._requests: dict[int, Request] = {}
        self._unsent: dict[int, bytes] = {}

    def serve(self) -> None:
        """
        Serve until the client closes the connection.
        """
        self._state.initiate_connection()
        self._socket.sendall(self._state.data_to_send())
        while data := self._socket.recv(65536):
            for event in self._state.receive_data(data):
                self._on_event(event)
            for stream in list(self._unsent):
                self._send(stream)
            self._socket.sendall(self._state.data_to_send())

    def _on_event(self, event: h2.events.Event) -> None:
        if isinstance(event, h2.events.RequestReceived):
            headers = {name.decode(): value.decode() for name, value in event.headers}
            request = Request(headers[":method"], headers[":path"], "HTTP/2", headers)
            self._requests[event.stream_id] = request
            note(request)
        elif isinstance(event, h2.events.DataReceived):
            self._requests[event.stream_id].body += event.data
            self._state.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
        elif isinstance(event, h2.events.StreamEnded):
            status, headers, body = answer(self._requests.pop(event.stream_id))
            head = [(":status", str(status)), *headers.items(), ("content-length", str(len(body)))]
            self._state.send_headers(event.stream_id, head)
            self._unsent[event.stream_id] = body
        elif isinstance(event, h2.events.StreamReset):
            self._unsent.pop(event.stream_id, None)

    def _send(self, stream: int) -> None:
        """
        Send as much as the client's window allows.
        """
        body = self._unsent[stream]
        while room := min(
            self._state.local_flow_control_window(stream), self._state.max_outbound_frame_size
        ):
            piece, body = body[:room], body[room:]
            self._state.send_data(stream, piece, end_stream=not body)
            if not body:
                del self._unsent[stream]
                return
        self._unsent[stream] = body


class Server(ThreadingHTTPServer):
    """
    A server that does not report clients that close their connection early.
    """

    daemon_threads = True

    def handle_error(self, *_: object) -> None:
        if not isinstance(sys.exception(), OSError):
            super().handle_error(*_)


def main() -> None:
    """
    Serve until the input ends.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(sys.argv[2])
    context.set_alpn_protocols(["h2", "http/1.1"])
    server = Server((sys.argv[3], 443), Handler)
    server.socket = context.wrap_socket(
        server.socket, server_side=True, do_handshake_on_connect=False
    )
    threading.Thread(target=server.serve_forever, daemon=True).start()
    tell({"ready": True})
    with contextlib.suppress(OSError):
        sys.stdin.buffer.read()
    os._exit(0)


if __name__ == "__main__":
    main()

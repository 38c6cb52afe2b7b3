"""An HTTPS server for tests, which misbehaves on request."""

from __future__ import annotations

import base64
import gzip
import hashlib
import ssl
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from .pki import PrivateAuthority

LOCAL = "127.0.0.1"


class Handler(BaseHTTPRequestHandler):
    """
    An origin that answers with the size of the request body, or misbehaves on request.
    """

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = -1

    def log_message(self, *_: Any) -> None:
        pass

    def do_GET(self) -> None:
        self.server.seen.append((self.command, self.path))
        size = self._read_body()
        if self.path == "/echo":
            self._echo()
        elif self.path.startswith("/headers"):
            self._send_back()
        elif self.path == "/switch":
            self.wfile.write(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\r\n")
        elif self.path == "/silence":
            self.close_connection = True
        elif self.path == "/half":
            self._answer(b"half", length=100)
            self.close_connection = True
        elif self.path == "/wait":
            self.server.gate.wait(20)
            self._answer(b"waited")
        else:
            self._answer(b"x" * 3_000_000 if self.path == "/big" else f"{size}".encode())

    do_POST = do_GET  # noqa: N815

    def _send_back(self) -> None:
        """
        Answer with the header fields of the request: in a field, and in two pieces of a body.
        """
        text = str(self.headers).encode()
        self.server.received.append(text)
        if self.path.endswith("?broken"):
            value = self.headers.get("Authorization", "none").encode()
            self.wfile.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: " + value + b"\r\n\r\n")
            self.close_connection = True
            return
        if self.path.endswith("?cut"):
            self.wfile.write(b"HTTP/1.1 " + self.headers.get("Authorization", "none").encode())
            self.close_connection = True
            return
        if self.path.endswith("?last"):
            # Of an earlier request.
            text = self.server.received[0]
        self.send_response(200)
        self.send_header("X-Authorization", self.headers.get("Authorization", "none"))
        if self.path.endswith("?gzip"):
            self.send_header("Content-Encoding", "gzip")
            text = gzip.compress(text)
        if self.path.endswith("?chunked"):
            self.send_header("Transfer-Encoding", "chunked")
            pieces = [b"%x\r\n%s\r\n" % (len(one), one) for one in (text[:-20], text[-20:], b"")]
        else:
            self.send_header("Content-Length", str(len(text)))
            pieces = [text[:-20], text[-20:]]
        self.end_headers()
        for piece in pieces:
            self.wfile.write(piece)
            self.wfile.flush()

    def _echo(self) -> None:
        """
        Accept a WebSocket and send its first bytes back.
        """
        key = self.headers["Sec-WebSocket-Key"] + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
        accept = base64.b64encode(hashlib.sha1(key.encode()).digest()).decode()
        self.wfile.write(
            b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            b"Sec-WebSocket-Accept: " + accept.encode() + b"\r\n\r\n"
        )
        self.wfile.flush()
        # One short text frame, masked as clients must; sent back unmasked.
        head, mask = self.rfile.read(2), self.rfile.read(4)
        text = bytes(b ^ mask[i % 4] for i, b in enumerate(self.rfile.read(head[1] & 0x7F)))
        self.wfile.write(bytes([0x81, len(text)]) + text)
        self.wfile.flush()
        self.close_connection = True

    def _answer(self, body: bytes, length: int | None = None) -> None:
        self.send_response(200)
        self.send_header("Content-Length", str(length or len(body)))
        self.end_headers()
        self.wfile.write(body)

    def _read_body(self) -> int:
        if "chunked" not in self.headers.get("transfer-encoding", ""):
            return len(self.rfile.read(int(self.headers.get("content-length", 0))))
        total = 0
        while size := int(self.rfile.readline(), 16):
            total += len(self.rfile.read(size))
            self.rfile.readline()
        self.rfile.readline()
        return total


class Origin:
    """
    An HTTPS server on loopback. `certificate` is the certificate of its private authority.
    Without *tls*, it is an HTTP server.
    """

    def __init__(self, directory: Path, *, tls: bool = True) -> None:
        authority = PrivateAuthority()
        self.certificate = authority.certificate
        file = directory / "origin.pem"
        file.write_bytes(authority.issue("localhost", LOCAL))
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(file)
        self.server: Any = ThreadingHTTPServer((LOCAL, 0), Handler)
        self.server.seen = self.seen = []
        self.server.received = self.received = []
        self.server.gate = self.gate = threading.Event()
        self.server.handle_error = lambda *_: None
        if tls:
            self.server.socket = context.wrap_socket(
                self.server.socket, server_side=True, do_handshake_on_connect=False
            )
        self.port: int = self.server.server_port
        self.thread = threading.Thread(
            target=self.server.serve_forever, kwargs={"poll_interval": 0.05}
        )
        self.thread.start()

    def forget(self) -> None:
        """
        Forget what was seen.
        """
        self.seen.clear()
        self.received.clear()

    def close(self) -> None:
        self.gate.set()
        self.server.shutdown()
        self.server.server_close()
        self.thread.join()

"""A stub of an engine: a server on a Unix socket that answers from a table."""

from __future__ import annotations

import json
import socketserver
import threading
import urllib.parse
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

DOCKER = {"ApiVersion": "1.41", "MinAPIVersion": "1.12", "Version": "20.10.24", "Os": "linux"}

PODMAN = {**DOCKER, "Components": [{"Name": "Podman Engine"}]}


@dataclass
class StubEngine:
    """
    Answers a method and a path (without the version) with a status and a body. A
    list is sent as messages, one in each chunk. Without a status, the stub hangs up.
    A function is called for the body.
    """

    url: str
    answers: dict[str, tuple[int | None, Any]]
    calls: list[str] = field(default_factory=list)
    queries: list[dict[str, list[str]]] = field(default_factory=list)
    bodies: list[bytes] = field(default_factory=list)


@contextmanager
def stub_engine(where: Path, about: Any = DOCKER) -> Iterator[StubEngine]:
    """
    Start a stub in *where*; *about* is its answer to `/version`.
    """
    path = where / "engine.sock"
    stub = StubEngine(f"unix://{path}", {"GET /version": (200, about)})

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def answer(self) -> None:
            parts = urllib.parse.urlsplit(self.path)
            place = parts.path
            if place.startswith("/v1."):
                place = place[place.index("/", 1) :]
            call = f"{self.command} {urllib.parse.unquote(place)}"
            stub.calls.append(f"{self.command} {urllib.parse.unquote(parts.path)}")
            stub.queries.append(urllib.parse.parse_qs(parts.query))
            stub.bodies.append(self.body())
            status, body = stub.answers.get(call, (404, {"message": f"no answer to {call}"}))
            if status is None:
                self.close_connection = True
                return
            if callable(body):
                body = body()
            self.send_response(status)
            if isinstance(body, list):
                self.send_header("Transfer-Encoding", "chunked")
                self.end_headers()
                for message in body:
                    self.chunk(json.dumps(message).encode() + b"\r\n")
                self.chunk(b"")
                return
            data = body
            if not isinstance(body, bytes):
                data = (body if isinstance(body, str) else json.dumps(body)).encode()
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(data)

        def body(self) -> bytes:
            data = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            if self.headers.get("Transfer-Encoding") == "chunked":
                while size := int(self.rfile.readline(), 16):
                    data += self.rfile.read(size)
                    self.rfile.readline()
                self.rfile.readline()
            return data

        def chunk(self, data: bytes) -> None:
            self.wfile.write(b"%x\r\n%b\r\n" % (len(data), data))

        do_GET = do_HEAD = do_POST = do_PUT = do_DELETE = answer  # noqa: N815

        def log_message(self, *_: object) -> None:
            pass

    with socketserver.ThreadingUnixStreamServer(str(path), Handler) as server:
        server.daemon_threads = True
        server.block_on_close = False
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield stub
        finally:
            server.shutdown()
            thread.join()

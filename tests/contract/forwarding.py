"""Other connections to the machine's engine: TCP, TLS, a replacement for `ssh`, other versions."""

from __future__ import annotations

import asyncio
import datetime
import http.client
import ipaddress
import json
import re
import socket
import socketserver
import ssl
import sys
import tempfile
import threading
from contextlib import closing, contextmanager, suppress
from typing import TYPE_CHECKING, Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_SSH = """\
#!{python}
import os, shutil, socket, sys, threading

# As sshd does it: a shell runs what follows the host.
command = " ".join(sys.argv[sys.argv.index("--") + 2 :])
assert command == "docker system dial-stdio", sys.argv
if shutil.which("docker"):
    os.environ["DOCKER_HOST"] = "unix://" + {socket!r}
    os.execvp("sh", ["sh", "-c", command])
engine = socket.socket(socket.AF_UNIX)
engine.connect({socket!r})
output = os.fdopen(1, "wb", buffering=0)

def up():
    while data := os.read(0, 65536):
        engine.sendall(data)
    engine.shutdown(socket.SHUT_WR)

threading.Thread(target=up, daemon=True).start()
while data := engine.recv(65536):
    while data:
        data = data[output.write(data):]
"""


def write_ssh(where: Path, socket_path: str) -> None:
    """
    Make a command `ssh` in *where* that runs the command here, by the docker command if there is
    one.
    """
    script = where / "ssh"
    script.write_text(_SSH.format(python=sys.executable, socket=socket_path))
    script.chmod(0o755)


def write_certificates(where: Path) -> None:
    """
    Make `ca.pem`, and `cert.pem` with `key.pem` for both ends at 127.0.0.1.
    """
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "engine of a test")])
    now = datetime.datetime.now(datetime.UTC)
    address = x509.IPAddress(ipaddress.ip_address("127.0.0.1"))
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([address]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
        .public_bytes(serialization.Encoding.PEM)
    )
    (where / "ca.pem").write_bytes(certificate)
    (where / "cert.pem").write_bytes(certificate)
    (where / "key.pem").write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )


def server_side(certificates: Path) -> ssl.SSLContext:
    """
    Return an engine's TLS settings: it has a certificate, and requires one.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificates / "cert.pem", certificates / "key.pem")
    context.load_verify_locations(certificates / "ca.pem")
    context.verify_mode = ssl.CERT_REQUIRED
    return context


@contextmanager
def forwarded(socket_path: str, tls: ssl.SSLContext | None = None) -> Iterator[int]:
    """
    Forward the engine's socket to a port of 127.0.0.1. At the end, cut every connection.
    """
    loop = asyncio.new_event_loop()
    tasks: set[asyncio.Task[None]] = set()

    async def pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError):
            while data := await reader.read(1 << 16):
                writer.write(data)
                await writer.drain()
            if writer.can_write_eof():
                writer.write_eof()
            else:
                writer.close()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        tasks.add(asyncio.current_task())
        try:
            # The end may come while the engine is being connected.
            engine_reader, engine_writer = await asyncio.open_unix_connection(socket_path)
            try:
                await asyncio.gather(pump(reader, engine_writer), pump(engine_reader, writer))
            finally:
                engine_writer.transport.abort()
        finally:
            writer.transport.abort()

    async def stop() -> None:
        server.close()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        # The next iterations of the loop close an aborted connection.
        for _ in range(5):
            await asyncio.sleep(0)

    server = loop.run_until_complete(asyncio.start_server(serve, "127.0.0.1", 0, ssl=tls))
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        asyncio.run_coroutine_threadsafe(stop(), loop).result(10)
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


_REQUEST = re.compile(rb"^(GET|HEAD|POST|PUT|DELETE) (?:/v([0-9.]+))?(/\S*) HTTP/1\.1\r\n")


@contextmanager
def speaking(socket_path: str, oldest: str, newest: str) -> Iterator[str]:
    """
    Forward an engine as one that speaks other versions of the API: it refuses what is older than
    *oldest*, in the words of Docker 29. Yield its address.
    """

    def numbers(version: str) -> list[int]:
        return [int(one) for one in version.split(".")]

    def ask(path: str) -> Any:
        client = http.client.HTTPConnection("engine")
        client.sock = socket.socket(socket.AF_UNIX)
        client.sock.connect(socket_path)
        with closing(client):
            client.request("GET", path)
            return json.load(client.getresponse())

    own = ask("/version")["ApiVersion"]

    class Handler(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            engine = socket.socket(socket.AF_UNIX)
            with engine, suppress(OSError):
                engine.connect(socket_path)
                threading.Thread(target=self.down, args=(engine,), daemon=True).start()
                while data := self.request.recv(1 << 16):
                    if not (found := _REQUEST.match(data)):
                        engine.sendall(data)
                        continue
                    method, version, path = (one.decode() for one in found.groups(b""))
                    if path == "/version":
                        about = {**ask(path), "ApiVersion": newest, "MinAPIVersion": oldest}
                        self.answer(200, about)
                    elif not version or numbers(version) < numbers(oldest):
                        words = (
                            f"client version {version} is too old. Minimum supported API version "
                            f"is {oldest}, please upgrade your client to a newer version"
                        )
                        self.answer(400, {"message": words})
                    else:
                        head = f"{method} /v{own}{path} HTTP/1.1\r\n".encode()
                        engine.sendall(head + data[found.end() :])
                engine.shutdown(socket.SHUT_WR)

        def down(self, engine: socket.socket) -> None:
            with suppress(OSError):
                while data := engine.recv(1 << 16):
                    self.request.sendall(data)
                self.request.shutdown(socket.SHUT_RDWR)

        def answer(self, status: int, body: Any) -> None:
            data = json.dumps(body).encode()
            head = f"HTTP/1.1 {status} X\r\nContent-Length: {len(data)}\r\n\r\n"
            self.request.sendall(head.encode() + data)

    # The address of a socket has 108 bytes at most.
    with (
        tempfile.TemporaryDirectory() as folder,
        socketserver.ThreadingUnixStreamServer(f"{folder}/sock", Handler) as server,
    ):
        server.daemon_threads = True
        server.block_on_close = False
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield f"unix://{folder}/sock"
        finally:
            server.shutdown()
            thread.join()

"""Other connections to the machine's engine: TCP, TLS and a replacement for `ssh`."""

from __future__ import annotations

import asyncio
import datetime
import ipaddress
import ssl
import sys
import threading
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

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

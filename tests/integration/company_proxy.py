"""A corporate proxy: mitmproxy's own program, on loopback or in a container."""

from __future__ import annotations

import socket
import subprocess
import time
from contextlib import ExitStack
from pathlib import Path

from pytest_codex_workspace.engine.protocol import ContainerSpec, Engine
from pytest_codex_workspace.engine.session_id import Identity

from ..helpers.outside_address import outside_address
from ..helpers.ports import free_port
from .origin import LOCAL
from .proxy_process import PYTHON
from .runs import until

_MITMDUMP = "from mitmproxy.tools.main import mitmdump; mitmdump()"
_START_SECONDS = 30.0


class CompanyProxy:
    """
    mitmdump, started with *settings*. It decrypts TLS unless *settings* say otherwise.

    Attributes:
        port: the port on which it listens.
        certificate: the certificate of its authority, as PEM.
    """

    def __init__(self, directory: Path, **settings: str) -> None:
        self.port = free_port()
        self._log = directory / "log"
        chosen = {"confdir": str(directory), "listen_host": LOCAL, "flow_detail": "1", **settings}
        options = [part for item in chosen.items() for part in ("--set", "=".join(item))]
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                [PYTHON, "-u", "-c", _MITMDUMP, "--listen-port", str(self.port), *options],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
            )
        self._await_start()
        self.certificate = (directory / "mitmproxy-ca-cert.pem").read_bytes()

    @property
    def log(self) -> str:
        """
        Return the output so far: a line for each connection and each request.
        """
        return self._log.read_text()

    def prints(self, text: str) -> bool:
        """
        Wait until *text* is printed, which may be after the client has its answer.
        """
        return until(lambda: text in self.log, 10)

    def close(self) -> None:
        """
        End the process.
        """
        self._process.terminate()
        self._process.wait(10)

    def _await_start(self) -> None:
        deadline = time.monotonic() + _START_SECONDS
        while not self._listens():
            assert self._process.poll() is None, self.log
            assert time.monotonic() < deadline, self.log
            time.sleep(0.02)

    def _listens(self) -> bool:
        with socket.socket() as probe:
            return probe.connect_ex((LOCAL, self.port)) == 0


class CompanyContainer:
    """
    mitmdump of the proxy image on the engine's default network. It passes TLS on without
    decrypting it.

    Attributes:
        container: its id.
        url: its URL, with the user and password.
    """

    def __init__(self, engine: Engine, image: str) -> None:
        self._engine = engine
        self._undo = ExitStack()
        address = self._undo.enter_context(outside_address(engine))
        settings = ("--set", "proxyauth=me:hush", "--set", "ignore_hosts=.*")
        identity = Identity()
        self.container = engine.create(
            ContainerSpec(
                image,
                ("mitmdump", "--listen-host", address, "--listen-port", "3128", *settings),
                identity.name("company"),
                labels=identity.labels("company"),
                environment={"PYTHONUNBUFFERED": "1"},
                network=engine.egress_network,
            )
        )
        self._stream = engine.attach(self.container)
        try:
            engine.start(self.container)
            said = b""
            while b"listening at" not in said:
                channel, data = self._stream.receive()
                assert channel, f"it ended: {said!r}"
                said += data
            info = engine.container(self.container)
            assert info is not None
            self.url = f"http://me:hush@{address or info.addresses[engine.egress_network]}:3128"
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """
        Remove the container.
        """
        with self._undo:
            self._stream.close()
            self._engine.remove(self.container)

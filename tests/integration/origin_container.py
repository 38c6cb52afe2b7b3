"""A TLS origin of our own on the engine's default network, and workspaces that can reach it.

The proxy container has the origin's name in its hosts file, and trusts the origin's private
authority as in a company: `SSL_CERT_FILE` on the host names the certificate.
"""

from __future__ import annotations

import importlib.util
import io
import json
import os
import tarfile
import threading
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import docker
import pytest

from pytest_codex_workspace.engine.protocol import ContainerSpec, Engine
from pytest_codex_workspace.engine.session_id import Identity
from pytest_codex_workspace.host import certificates
from pytest_codex_workspace.network.rules.policy import Policy
from pytest_codex_workspace.options.config import Config
from pytest_codex_workspace.options.table import CassetteMode
from pytest_codex_workspace.reporting.output import Output
from pytest_codex_workspace.session import Session
from pytest_codex_workspace.workspace.handle import Workspace

from ..helpers.outside_address import outside_address
from .pki import PrivateAuthority

NAME = "origin.test"

_PROGRAM = Path(__file__).parent / "outside"
_PLACE = "/opt/origin"
_ROOT = f"{_PLACE}/root"
_START = (
    f"bash {_PLACE}/files.sh {_ROOT} && "
    f'exec python3 -u {_PLACE}/server.py {_ROOT} {_PLACE}/key "$0"'
)
_PURE_PYTHON = ("h2", "hpack", "hyperframe")
"""HTTP/2 as this environment has it: no workspace image does."""


class OriginContainer:
    """
    The origin: a container of *image*, which needs Python, git, zip and Ruby.

    Attributes:
        address: its address outside of the networks of workspaces.
        authority: the authority that a client must trust.
    """

    def __init__(self, engine: Engine, image: str) -> None:
        self.authority = PrivateAuthority()
        self._engine = engine
        self._seen: list[dict[str, Any]] = []
        self._changed = threading.Condition()
        self._undo = ExitStack()
        self.address = self._undo.enter_context(outside_address(engine))
        identity = Identity()
        self._container = engine.create(
            ContainerSpec(
                image,
                ("bash", "-lc", _START, self.address),
                identity.name("origin"),
                labels=identity.labels("origin"),
                network=engine.egress_network,
            )
        )
        self._stream = engine.attach(self._container)
        try:
            engine.put_archive(self._container, "/", self._files())
            engine.start(self._container)
            self._reader = threading.Thread(target=self._read, daemon=True)
            self._reader.start()
            assert self._wait_for({"ready": True}), "the origin did not start"
            info = engine.container(self._container)
            assert info is not None
            self.address = self.address or info.addresses[engine.egress_network]
        except BaseException:
            self.close()
            raise

    def seen(self, last: str) -> list[dict[str, Any]]:
        """
        Return the requests that have arrived, up to one for the target *last*.
        """
        assert self._wait_for({"target": last}), f"{last} did not arrive"
        with self._changed:
            return [each for each in self._seen if "target" in each]

    def introduce_to(self, container: str) -> None:
        """
        Write the origin's name into the hosts file of a running container.
        """
        if self._engine.url.startswith("native://"):
            about = self._engine.container(container)
            folder = Path(self._engine.version()["root"]) / "containers" / about.id
            with (folder / "hosts").open("a") as hosts:
                hosts.write(f"{self.address} {NAME}\n")
            return
        script = ["sh", "-c", 'echo "$0 $1" >> /etc/hosts', self.address, NAME]
        with docker.APIClient(self._engine.url) as client:
            assert client.exec_start(client.exec_create(container, script)["Id"]) == b""

    def close(self) -> None:
        """
        Remove the container.
        """
        with self._undo:
            self._stream.close()
            self._engine.remove(self._container)

    def _files(self) -> io.BytesIO:
        archive = io.BytesIO()
        with tarfile.open(fileobj=archive, mode="w") as tar:
            for name in ("server.py", "files.sh"):
                tar.add(_PROGRAM / name, f"{_PLACE}/{name}")
            for name in _PURE_PYTHON:
                spec = importlib.util.find_spec(name)
                assert spec is not None
                assert spec.submodule_search_locations
                tar.add(spec.submodule_search_locations[0], f"{_PLACE}/{name}", filter=_ours)
            key = self.authority.issue(NAME)
            member = tarfile.TarInfo(f"{_PLACE}/key")
            member.size = len(key)
            tar.addfile(member, io.BytesIO(key))
        archive.seek(0)
        return archive

    def _read(self) -> None:
        lines = b""
        while (received := self._stream.receive())[0]:
            channel, data = received
            if channel != 1:
                os.write(2, data)
                continue
            *whole, lines = (lines + data).split(b"\n")
            with self._changed:
                self._seen.extend(json.loads(line) for line in whole)
                self._changed.notify_all()

    def _wait_for(self, wanted: Mapping[str, Any]) -> bool:
        with self._changed:
            return self._changed.wait_for(
                lambda: any(wanted.items() <= each.items() for each in self._seen), 30
            )


def _ours(member: tarfile.TarInfo) -> tarfile.TarInfo | None:
    member.uid = member.gid = 0
    return None if "__pycache__" in member.name else member


class Outside:
    """
    A session that can reach the origin. Its proxy trusts the origin's authority, and knows the
    origin's name unless *upstream* resolves the name or a cassette is replayed.
    """

    def __init__(
        self,
        engine: Engine,
        origin: OriginContainer,
        repository: Path,
        directory: Path,
        upstream: str = "none",
        cassette: CassetteMode = "off",
    ) -> None:
        self.origin = origin
        self._repository = repository
        config = Config(image="slim", engine=engine.url, upstream_proxy=upstream, cassette=cassette)
        self._session = Session(config, Output("quiet", lambda _: None))
        bundle = directory / "bundle.pem"
        bundle.write_bytes(certificates.host_bundle() + origin.authority.certificate)
        try:
            with pytest.MonkeyPatch.context() as patch:
                patch.setenv("SSL_CERT_FILE", str(bundle))
                proxy = self._session.isolation.container
            if upstream == "none" and cassette != "replay":
                origin.introduce_to(proxy)
        except BaseException:
            self.close()
            raise

    def workspace(self, **policy: Any) -> Workspace:
        """
        Start a workspace that may reach the origin. Otherwise, *policy* applies.
        """
        session = self._session
        spec = session.spec(session.repository(self._repository), {})
        workspace = session.workspace(spec, "clean")
        private = (f"{self.origin.address}/32",)
        workspace.network.use(Policy(private=private, **policy))
        return workspace

    def stop(self, workspace: Workspace) -> None:
        """
        End a workspace.
        """
        self._session.stop(workspace)

    def close(self) -> None:
        """
        End the session.
        """
        self._session.close()

"""A container registry on the engine's loopback: Debian's `docker-registry`."""

from __future__ import annotations

import json
import shutil
import socket
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from .near_engine import near
from .ports import free_port
from .skips import skip_outside_ci

_CONFIG = """\
version: 0.1
log: {{level: error}}
storage:
  filesystem: {{rootdirectory: {root}}}
  delete: {{enabled: true}}
http: {{addr: "{address}"}}
"""


@dataclass(frozen=True)
class LocalRegistry:
    """
    A registry that runs.

    Attributes:
        address: host and port, in the network of the engine.
        root: the directory of what it has.
        engine: the URL of the engine.
    """

    address: str
    root: Path
    engine: str

    def tags(self, repository: str) -> list[str]:
        """
        The tags of a repository that it has.
        """
        url = f"http://{self.address}/v2/{repository}/tags/list"
        try:
            with near(self.engine), urllib.request.urlopen(url, timeout=10) as answer:
                return sorted(json.load(answer)["tags"] or ())
        except urllib.error.HTTPError:
            return []

    def manifest(self, repository: str, tag: str) -> Path:
        """
        The file that describes the image of a tag.
        """
        tags = f"docker/registry/v2/repositories/{repository}/_manifests/tags"
        return self.blob((self.root / tags / tag / "current/link").read_text())

    def blob(self, digest: str) -> Path:
        """
        The file with that digest.
        """
        name = digest.removeprefix("sha256:")
        return self.root / f"docker/registry/v2/blobs/sha256/{name[:2]}/{name}/data"

    def blobs(self) -> list[Path]:
        """
        The files of all its layers and descriptions.
        """
        return list(self.root.glob("docker/registry/v2/blobs/sha256/*/*/data"))


@contextmanager
def local_registry(root: Path, engine: str) -> Iterator[LocalRegistry]:
    """
    Start one for the engine at that URL. It keeps what it has below *root*.
    """
    program = shutil.which("docker-registry")
    if program is None:
        skip_outside_ci("there is no docker-registry: install Debian's package of that name")
    root.mkdir(parents=True, exist_ok=True)
    config = root / "config.yml"
    with (root / "log").open("wb") as log, near(engine):
        address = f"127.0.0.1:{free_port()}"
        config.write_text(_CONFIG.format(root=root, address=address))
        process = subprocess.Popen([program, "serve", config], stdout=log, stderr=log)
        try:
            _await(address, process, root / "log")
        except BaseException:
            process.kill()
            process.wait()
            raise
    try:
        yield LocalRegistry(address, root, engine)
    finally:
        process.terminate()
        process.wait(10)


def _await(address: str, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + 20
    host, _, port = address.partition(":")
    while True:
        try:
            socket.create_connection((host, int(port)), 1).close()
        except OSError:
            assert process.poll() is None, log.read_text()
            assert time.monotonic() < deadline, "the registry does not answer"
            time.sleep(0.02)
        else:
            assert process.poll() is None, log.read_text()
            return

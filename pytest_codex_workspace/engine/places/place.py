"""An address where an engine may be, with all that is needed to connect to it."""

from __future__ import annotations

import urllib.parse
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ...extensions import Extension

__all__ = ["Place", "SshWay", "TlsFiles", "home_of", "native_url", "split_tcp", "unix_path"]

_TCP = ("tcp", "http", "https")

_PORTS = {False: 2375, True: 2376}
"""The ports that the docker command assumes, without and with TLS."""


@dataclass(frozen=True, slots=True)
class TlsFiles:
    """
    The certificates for an engine behind TLS.

    Attributes:
        ca_cert: the authority that signed the engine's certificate; empty for those of the system.
        cert: the client's own certificate and its key.
        verify: whether the engine's certificate is checked.
    """

    ca_cert: str = ""
    cert: tuple[str, str] | None = None
    verify: bool = True


@dataclass(frozen=True, slots=True)
class SshWay:
    """
    How to reach an engine through ssh.

    Attributes:
        program: the command on the other machine that connects to the engine.
        identity: the file of the key to use; empty for what ssh uses by itself.
        machine: whether the other machine is a virtual one of Podman's, which has a new key
            whenever it is made.
    """

    program: Literal["docker", "podman"] = "docker"
    identity: str = ""
    machine: bool = False


@dataclass(frozen=True, slots=True)
class Place:
    """
    An address where an engine may be, and the setting that led to it.

    Attributes:
        origin: the setting, in words.
        url: the address: `unix://`, `tcp://` or `ssh://`.
        tls: the certificates for `tcp://`; `None` for a connection without TLS.
        ssh: how to use ssh.
        problem: why the address cannot be tried; empty if it can.
        starts: whether the engine has to be started.
        last_resort: whether it is only for machines where no other engine is there at all.
        extension: the distribution that knows how to open it; `None` for ours.
    """

    origin: str
    url: str = ""
    tls: TlsFiles | None = None
    ssh: SshWay = field(default_factory=SshWay)
    problem: str = ""
    starts: bool = False
    last_resort: bool = False
    extension: Extension | None = None

    def __str__(self) -> str:
        return f"{self.origin}, {self.url}" if self.url else self.origin


def home_of(environ: Mapping[str, str]) -> str:
    """
    Return the user's home directory. It need not exist.
    """
    try:
        return environ.get("HOME") or str(Path.home())
    except RuntimeError:
        return "/"


def unix_path(url: str) -> str:
    """
    Return the path of the socket in a `unix://` URL.
    """
    return "/" + url.removeprefix("unix://").lstrip("/")


def split_tcp(url: str, *, tls: bool) -> tuple[str, int, str]:
    """
    Return host, port and path of a `tcp://` or `http(s)://` URL. Without a port, it is the one
    that the docker command assumes.

    Raises:
        ValueError: the URL is invalid.
    """
    parts = urllib.parse.urlsplit(url)
    if parts.scheme not in _TCP:
        raise ValueError("the address must begin with unix://, tcp:// or ssh://")
    if parts.username or parts.password or parts.query or parts.fragment:
        raise ValueError("the address of an engine is tcp://HOST:PORT, without anything else")
    try:
        port = parts.port
    except ValueError:
        raise ValueError("the port is not a number up to 65535") from None
    if not parts.hostname:
        raise ValueError("the address has no host")
    return parts.hostname, port or _PORTS[tls], parts.path.rstrip("/")


def native_url(environ: Mapping[str, str]) -> str:
    """
    Return the address of the engine of namespaces that this user has: a directory for caches.
    """
    cache = environ.get("XDG_CACHE_HOME", "")
    base = Path(cache) if cache.startswith("/") else Path(home_of(environ)) / ".cache"
    return f"native://{base / 'codex-workspace' / 'native'}"

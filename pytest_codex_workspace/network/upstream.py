"""
The proxy that stands between this machine and the internet, as in many companies.

Pure: the host reads it from an option or its environment, the proxy container
gets this module too and asks it which requests go there.
"""

from __future__ import annotations

import base64
import dataclasses
import ipaddress
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import unquote, urlsplit

from .hosts import literal_address, normalise_host

__all__ = ["ENVIRONMENT", "NONE", "InvalidUpstream", "UpstreamProxy", "choose"]

ENVIRONMENT = "environment"
"""Use the proxy that the environment names, if there is one."""

NONE = "none"
"""Use none, whatever the environment says."""

_DEFAULT_PORTS = {"http": 80, "https": 443}
# Greedy: a password with an unescaped "@" or "/" must not be shown either.
_USERINFO = re.compile(r"^([a-z0-9+.-]*://)?.*@", re.IGNORECASE | re.DOTALL)
_ENTRY = re.compile(r"(?P<host>\[[^\]]+\]|[^:\[\]]+|[0-9A-Fa-f:]+)(?::(?P<port>[0-9]+))?")


class InvalidUpstream(ValueError):
    """
    No proxy that can be used. The text says why, without any password.
    """


@dataclass(frozen=True, slots=True)
class UpstreamProxy:
    """
    An HTTP proxy, and what does not go there.

    Attributes:
        scheme: how it is spoken to, `http` or `https`.
        host: its name or address.
        port: its port.
        credentials: `user:password`; kept out of every text.
        no_proxy: hosts that are connected to directly, as `NO_PROXY` lists them.
    """

    scheme: str
    host: str
    port: int
    credentials: str | None = field(default=None, repr=False)
    no_proxy: tuple[str, ...] = ()

    @classmethod
    def parse(cls, url: str, no_proxy: str = "") -> UpstreamProxy:
        """
        The proxy at *url*.

        Args:
            url: `http://` or `https://`, perhaps with user and password.
            no_proxy: the hosts to leave out, separated by commas.

        Raises:
            InvalidUpstream: it is no such URL.

        Example:
            >>> str(UpstreamProxy.parse("http://me:secret@proxy.example:3128"))
            'http://proxy.example:3128'
        """
        shown = _USERINFO.sub(r"\1***@", url)
        if url.partition("://")[0].lower() not in _DEFAULT_PORTS:
            raise InvalidUpstream(f"{shown!r}: a proxy's URL begins with http:// or https://")
        try:
            parts = urlsplit(url)
            host, port = normalise_host(parts.hostname or ""), parts.port
        except ValueError:
            raise InvalidUpstream(
                f"{shown!r} is not the URL of a proxy, such as http://proxy.example:3128; the "
                "special characters of a password are written as %XX"
            ) from None
        if parts.path not in ("", "/") or parts.query or parts.fragment:
            raise InvalidUpstream(f"{shown!r}: the URL of a proxy ends after its port")
        credentials = None
        if parts.username is not None:
            credentials = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
        return cls(
            parts.scheme,
            host,
            port or _DEFAULT_PORTS[parts.scheme],
            credentials,
            tuple(entry for entry in re.split(r"[\s,]+", no_proxy) if entry),
        )

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> UpstreamProxy:
        """
        A proxy from plain data, as `to_dict` gives it.
        """
        return cls(**{**data, "no_proxy": tuple(data["no_proxy"])})

    def to_dict(self) -> dict[str, Any]:
        """
        Plain data, fit for JSON. It has the password.
        """
        return dataclasses.asdict(self)

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{self.scheme}://{host}:{self.port}"

    @property
    def address(self) -> tuple[str, int]:
        """
        Where to connect to.
        """
        return self.host, self.port

    @property
    def authorization(self) -> str | None:
        """
        The value of `Proxy-Authorization`, `None` without credentials.
        """
        if self.credentials is None:
            return None
        return "Basic " + base64.b64encode(self.credentials.encode()).decode("ascii")

    @property
    def on_loopback(self) -> bool:
        """
        Whether it listens where only this machine itself can reach it.
        """
        literal = literal_address(self.host)
        if literal is not None:
            return literal.is_loopback or literal.is_unspecified
        return self.host == "localhost" or self.host.endswith(".localhost")

    def bypasses(self, host: str, port: int) -> bool:
        """
        Whether a request for *host* is left out by `no_proxy`. One for the
        proxy itself never is: it would be a way around it.
        """
        try:
            name = normalise_host(host)
        except ValueError:
            return False
        if (name, port) == self.address:
            return False
        return any(_matches(entry, name, port) for entry in self.no_proxy)


def choose(wanted: str, environment: Mapping[str, str]) -> UpstreamProxy | None:
    """
    The proxy to go through.

    Args:
        wanted: a URL, `environment` or `none`.
        environment: this machine's; its `NO_PROXY` counts in any case, and
            lower case wins, as for curl.

    Returns:
        `None` for a direct way out.

    Raises:
        InvalidUpstream: what is named cannot be used.
    """
    if wanted == NONE:
        return None
    no_proxy = environment.get("no_proxy") or environment.get("NO_PROXY") or ""
    if wanted != ENVIRONMENT:
        return _reachable(UpstreamProxy.parse(wanted, no_proxy))
    name = "https_proxy" if environment.get("https_proxy") else "HTTPS_PROXY"
    url = environment.get(name)
    if not url:
        return None
    try:
        # Without a scheme, curl and others take it for http://.
        return _reachable(UpstreamProxy.parse(url if "://" in url else f"http://{url}", no_proxy))
    except InvalidUpstream as error:
        raise InvalidUpstream(
            f"{name} in this machine's environment: {error}; or name another proxy, or 'none', by "
            "the option upstream-proxy"
        ) from None


def _reachable(proxy: UpstreamProxy) -> UpstreamProxy:
    if proxy.on_loopback:
        raise InvalidUpstream(
            f"{proxy} is this machine's loopback interface, which containers cannot reach; let the "
            "proxy listen on another address of this machine (the engine's bridge has one, often "
            "172.17.0.1) and name that"
        )
    return proxy


def _matches(entry: str, host: str, port: int) -> bool:
    """
    Whether one entry of `NO_PROXY` covers *host*: `*`, a name with everything
    below it, an address or a network, each with a port if wanted.
    """
    if entry == "*":
        return True
    literal = literal_address(host)
    if literal is not None and "/" in entry:
        try:
            return literal in ipaddress.ip_network(entry, strict=False)
        except ValueError:
            return False
    match = _ENTRY.fullmatch(entry)
    if match is None or (match["port"] and int(match["port"]) != port):
        return False
    try:
        name = normalise_host(match["host"].removeprefix("*").removeprefix("."))
    except ValueError:
        return False
    if literal is not None:
        return literal == literal_address(name)
    return host == name or host.endswith(f".{name}")

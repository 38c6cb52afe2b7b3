"""
The upstream proxy: a corporate proxy between this machine and the internet.

The host reads the proxy from an option or its environment. The proxy container
uses this module too, to decide which requests go through the upstream proxy.
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
"""Use the proxy that the environment names, if any."""

NONE = "none"
"""Use no upstream proxy, whatever the environment names."""

_DEFAULT_PORTS = {"http": 80, "https": 443}
# Greedy, so that a password with an unescaped "@" or "/" is hidden as well.
_USERINFO = re.compile(r"^([a-z0-9+.-]*://)?.*@", re.IGNORECASE | re.DOTALL)
_ENTRY = re.compile(r"(?P<host>\[[^\]]+\]|[^:\[\]]+|[0-9A-Fa-f:]+)(?::(?P<port>[0-9]+))?")


class InvalidUpstream(ValueError):
    """
    The upstream proxy cannot be used. The message never contains a password.
    """


@dataclass(frozen=True, slots=True)
class UpstreamProxy:
    """
    An HTTP proxy, and the hosts that bypass it.

    Attributes:
        scheme: protocol of the proxy, `http` or `https`.
        host: name or address of the proxy.
        port: port of the proxy.
        credentials: `user:password`; never shown in any text.
        no_proxy: hosts that are connected to directly, as in `NO_PROXY`.
    """

    scheme: str
    host: str
    port: int
    credentials: str | None = field(default=None, repr=False)
    no_proxy: tuple[str, ...] = ()

    @classmethod
    def parse(cls, url: str, no_proxy: str = "") -> UpstreamProxy:
        """
        Return the proxy at *url*.

        Args:
            url: an `http://` or `https://` URL, optionally with user and password.
            no_proxy: hosts that bypass the proxy, separated by commas.

        Raises:
            InvalidUpstream: *url* is not the URL of a proxy.

        Example:
            >>> str(UpstreamProxy.parse("http://me:secret@proxy.example:3128"))
            'http://proxy.example:3128'
        """
        shown = _USERINFO.sub(r"\1***@", url)
        if url.partition("://")[0].lower() not in _DEFAULT_PORTS:
            raise InvalidUpstream(
                f"{shown!r}: the URL of a proxy must start with http:// or https://"
            )
        try:
            parts = urlsplit(url)
            host, port = normalise_host(parts.hostname or ""), parts.port
        except ValueError:
            raise InvalidUpstream(
                f"{shown!r} is not the URL of a proxy, such as http://proxy.example:3128; write "
                "special characters in a password as %XX"
            ) from None
        if parts.path not in ("", "/") or parts.query or parts.fragment:
            raise InvalidUpstream(f"{shown!r}: the URL of a proxy must end after the port")
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
        Create a proxy from plain data, the reverse of `to_dict`.
        """
        return cls(**{**data, "no_proxy": tuple(data["no_proxy"])})

    def to_dict(self) -> dict[str, Any]:
        """
        Return plain data, suitable for JSON. The data contains the password.
        """
        return dataclasses.asdict(self)

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{self.scheme}://{host}:{self.port}"

    @property
    def address(self) -> tuple[str, int]:
        """
        Host and port to connect to.
        """
        return self.host, self.port

    @property
    def authorization(self) -> str | None:
        """
        Value of the `Proxy-Authorization` header; `None` without credentials.
        """
        if self.credentials is None:
            return None
        return "Basic " + base64.b64encode(self.credentials.encode()).decode("ascii")

    @property
    def on_loopback(self) -> bool:
        """
        Whether the proxy listens on an address that only this machine can reach.
        """
        literal = literal_address(self.host)
        if literal is not None:
            return literal.is_loopback or literal.is_unspecified
        return self.host == "localhost" or self.host.endswith(".localhost")

    def bypasses(self, host: str, port: int) -> bool:
        """
        Check whether `no_proxy` excludes *host* from the proxy.

        The proxy's own address is never excluded: a workspace could use such a
        connection to get around the policy.
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
    Choose the upstream proxy.

    Args:
        wanted: a URL, `environment` or `none`.
        environment: environment variables of this machine. `NO_PROXY` always
            applies; lower-case names take precedence, as in curl.

    Returns:
        The proxy; `None` to connect directly.

    Raises:
        InvalidUpstream: the named proxy cannot be used.
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
        # Like curl, assume http:// if there is no scheme.
        return _reachable(UpstreamProxy.parse(url if "://" in url else f"http://{url}", no_proxy))
    except InvalidUpstream as error:
        raise InvalidUpstream(
            f"{name} in this machine's environment: {error}; or set the option upstream-proxy to "
            "another proxy or to 'none'"
        ) from None


def _reachable(proxy: UpstreamProxy) -> UpstreamProxy:
    if proxy.on_loopback:
        raise InvalidUpstream(
            f"{proxy} is on this machine's loopback interface, which containers cannot reach; let "
            "the proxy listen on another address of this machine, such as that of the engine's "
            "bridge (often 172.17.0.1), and use that address"
        )
    return proxy


def _matches(entry: str, host: str, port: int) -> bool:
    """
    Check whether one entry of `NO_PROXY` covers *host*.

    An entry is `*`, a domain (which covers its subdomains), an address or a
    network. Domains and addresses may have a port.
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

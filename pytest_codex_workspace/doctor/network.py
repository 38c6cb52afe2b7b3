"""Checks of the way out."""

from __future__ import annotations

import http.client
import socket
import ssl
import subprocess
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping, Sequence
from typing import Any
from urllib.parse import quote, urlsplit

from ..network.upstream import InvalidUpstream, UpstreamProxy, choose
from ..trust import host_bundle
from .results import Result, error, ok, warning

__all__ = ["PATIENCE", "proxy", "registry"]

PATIENCE = 5.0
"""Seconds that each step of a connection may take."""

_BEHIND = (
    "If this machine reaches it another way, name that: HTTPS_PROXY for a company's proxy, "
    "SSL_CERT_FILE for its certificates."
)


def proxy(choice: str, environ: Mapping[str, str]) -> Result:
    """
    The proxy that leads out of this network, if there is one.

    Args:
        choice: the option upstream-proxy.
        environ: the environment.
    """
    try:
        chosen = choose(choice, environ)
    except InvalidUpstream as problem:
        text = str(problem).partition("; or name another proxy")[0]
        return error(text, "Correct it, or give another proxy, or 'none', with --upstream-proxy.")
    for name in ("http_proxy", "HTTP_PROXY"):
        url = environ.get(name)
        try:
            if url:
                UpstreamProxy.parse(url if "://" in url else f"http://{url}")
        except InvalidUpstream as problem:
            return warning(f"{name}: {problem}", "Correct or unset it: image builds get it, too.")
    if chosen is None:
        return _direct(choice, environ)
    try:
        socket.create_connection(chosen.address, PATIENCE).close()
    except OSError as problem:
        return warning(
            f"{chosen} is to be used, and does not answer: {problem.strerror or problem}",
            "Check its address, or give another, or 'none', with --upstream-proxy.",
        )
    user = ", with user and password" if chosen.credentials else ""
    apart = f", except for {', '.join(chosen.no_proxy)}" if chosen.no_proxy else ""
    return ok(f"{chosen} answers{user}; HTTPS goes there{apart}")


def _direct(choice: str, environ: Mapping[str, str]) -> Result:
    http = next((name for name in ("http_proxy", "HTTP_PROXY") if environ.get(name)), None)
    if choice == "environment" and http:
        return warning(
            f"{http} is set, and HTTPS_PROXY is not: HTTPS goes out directly",
            "Set HTTPS_PROXY, too, if that proxy is the way out.",
        )
    return ok("none: connections go out directly")


def registry(
    tool: str,
    find: Callable[[Mapping[str, str]], Sequence[str] | None],
    choice: str,
    environ: Mapping[str, str],
) -> Result:
    """
    Whether what *tool* gets packages from answers.

    Args:
        tool: its name.
        find: tells its URLs, `None` without that tool.
        choice: the option upstream-proxy.
        environ: the environment.
    """
    try:
        urls = find(environ)
    except (OSError, subprocess.SubprocessError) as problem:
        return warning(f"{tool} does not tell its registry: {problem}", f"Check that {tool} works.")
    if urls is None:
        return ok(f"not configured: there is no {tool} on this machine")
    if not urls:
        return ok(f"not configured: {tool} names no registry")
    try:
        upstream = choose(choice, environ)
    except InvalidUpstream:
        upstream = None  # The check of the proxy says so.
    asked = [url for url in urls if urlsplit(url).scheme in ("http", "https")]
    silent = [f"{_bare(url)} {why}" for url in asked if (why := probe(url, upstream))]
    if silent:
        return warning(f"of what {tool} is set to: {'; '.join(silent)}", _BEHIND)
    return ok(f"what {tool} is set to answers")


def probe(url: str, upstream: UpstreamProxy | None, patience: float = PATIENCE) -> str | None:
    """
    What is in the way of a request; `None` if there is any answer at all.
    """
    handlers: list[Any] = [
        urllib.request.ProxyHandler(_proxies(url, upstream)),
        urllib.request.HTTPSHandler(context=_context()),
        _NoRedirect(),
    ]
    opener = urllib.request.build_opener(*handlers)
    try:
        # Only http:// and https:// come here.
        request = urllib.request.Request(_bare(url), method="HEAD")  # noqa: S310
        opener.open(request, timeout=patience).close()
    except urllib.error.HTTPError as answer:
        answer.close()
    except urllib.error.URLError as problem:
        return f"cannot be reached: {_why(problem.reason)}"
    except (OSError, http.client.HTTPException, ValueError) as problem:
        return f"cannot be reached: {_why(problem)}"
    return None


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *_: Any) -> None:
        return None


def _context() -> ssl.SSLContext:
    context = ssl.create_default_context()
    if bundle := host_bundle():
        context.load_verify_locations(cadata=bundle.decode("ascii", "replace"))
    return context


def _proxies(url: str, upstream: UpstreamProxy | None) -> dict[str, str]:
    parts = urlsplit(url)
    port = parts.port or {"http": 80}.get(parts.scheme, 443)
    if upstream is None or upstream.bypasses(parts.hostname or "", port):
        return {}
    address = str(upstream)
    if upstream.credentials is not None:
        user, _, password = upstream.credentials.partition(":")
        quoted = f"{quote(user, '')}:{quote(password, '')}"
        address = address.replace("://", f"://{quoted}@", 1)
    return {"http": address, "https": address}


def _bare(url: str) -> str:
    """
    *url* without user and password.
    """
    parts = urlsplit(url)
    return parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl()


def _why(problem: object) -> str:
    if isinstance(problem, TimeoutError):
        return f"no answer within {PATIENCE:g} s"
    if isinstance(problem, ssl.SSLCertVerificationError):
        return f"its certificate is not trusted ({problem.verify_message})"
    words = problem.strerror if isinstance(problem, OSError) else None
    return str(words or problem or type(problem).__name__)

"""Checks of the connection to the outside."""

from __future__ import annotations

import http.client
import socket
import ssl
import subprocess
import urllib.error
import urllib.request
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote, urlsplit

from ..host.certificates import host_bundle
from ..network.rules.upstream import InvalidUpstream, UpstreamProxy, choose
from ..text.urls import without_credentials
from .package_registries import FindUrls
from .result import Result, error, ok, warning

__all__ = ["TIMEOUT", "proxy", "registry"]

TIMEOUT = 5.0
"""Time limit of each step of a connection, in seconds."""

_BEHIND_A_PROXY = (
    "If this machine needs a proxy for it, set HTTPS_PROXY; if that proxy has certificates of its "
    "own, set SSL_CERT_FILE."
)


def proxy(choice: str, environ: Mapping[str, str]) -> Result:
    """
    Check the proxy that this network needs for outside connections, if there is one.

    Args:
        choice: the value of the option upstream-proxy.
        environ: the environment.
    """
    try:
        chosen = choose(choice, environ)
    except InvalidUpstream as problem:
        text = str(problem).partition("; or name another proxy")[0]
        return error(text, "Correct the URL, or set --upstream-proxy to another proxy or 'none'.")
    for name in ("http_proxy", "HTTP_PROXY"):
        url = environ.get(name)
        try:
            if url:
                UpstreamProxy.parse(url if "://" in url else f"http://{url}")
        except InvalidUpstream as problem:
            return warning(
                f"{name}: {problem}",
                f"Correct or unset {name}; image builds use the variable too.",
            )
    if chosen is None:
        return _direct(choice, environ)
    try:
        socket.create_connection(chosen.address, TIMEOUT).close()
    except OSError as problem:
        return warning(
            f"{chosen} does not answer: {problem.strerror or problem}",
            "Check the address, or set --upstream-proxy to another proxy or 'none'.",
        )
    user = ", with user and password" if chosen.credentials else ""
    apart = f", except for {', '.join(chosen.no_proxy)}" if chosen.no_proxy else ""
    return ok(f"{chosen} answers{user}; HTTPS connections use it{apart}")


def _direct(choice: str, environ: Mapping[str, str]) -> Result:
    http = next((name for name in ("http_proxy", "HTTP_PROXY") if environ.get(name)), None)
    if choice == "environment" and http:
        return warning(
            f"{http} is set, but HTTPS_PROXY is not: HTTPS connections do not use a proxy",
            "Set HTTPS_PROXY too if HTTPS needs that proxy.",
        )
    return ok("none: connections are direct")


def registry(
    tool: str,
    find: FindUrls,
    choice: str,
    environ: Mapping[str, str],
) -> Result:
    """
    Check that the registry of a package manager answers.

    Args:
        tool: the name of the package manager.
        find: the function that returns its URLs.
        choice: the value of the option upstream-proxy.
        environ: the environment.
    """
    try:
        urls = find(environ)
    except subprocess.TimeoutExpired as problem:
        return warning(
            f"not checked: {tool} did not say within {problem.timeout:g} s which registry it uses",
            "Run it again when the machine is less busy. Workspaces do not need this answer.",
        )
    except (OSError, subprocess.SubprocessError) as problem:
        return warning(
            f"{tool} failed to report its registry: {_failure_of(problem)}",
            f"Check that {tool} works.",
        )
    if urls is None:
        return ok(f"not checked: {tool} is not installed on this machine")
    try:
        upstream = choose(choice, environ)
    except InvalidUpstream:
        upstream = None  # The check of the proxy reports that.
    asked = [url for url in urls if urlsplit(url).scheme in ("http", "https")]
    if not asked:
        return ok(f"not checked: {tool} has no registry on the network")
    failed = [f"{without_credentials(url)} {why}" for url in asked if (why := probe(url, upstream))]
    if failed:
        return warning(f"configured in {tool}: {'; '.join(failed)}", _BEHIND_A_PROXY)
    return ok(f"{'the registry' if len(asked) == 1 else 'each registry'} of {tool} answers")


def _failure_of(problem: OSError | subprocess.SubprocessError) -> str:
    """
    Return why a program failed, without the list of words that it was called with.
    """
    if isinstance(problem, subprocess.CalledProcessError):
        return f"exit status {problem.returncode}"
    return getattr(problem, "strerror", None) or str(problem)


def probe(url: str, upstream: UpstreamProxy | None, timeout: float = TIMEOUT) -> str | None:
    """
    Return why a request to *url* fails; `None` if there is any answer.
    """
    handlers: list[Any] = [
        urllib.request.ProxyHandler(_proxies(url, upstream)),
        urllib.request.HTTPSHandler(context=_context()),
        _NoRedirect(),
    ]
    opener = urllib.request.build_opener(*handlers)
    try:
        # `registry` passes only http:// and https:// URLs.
        request = urllib.request.Request(without_credentials(url), method="HEAD")  # noqa: S310
        opener.open(request, timeout=timeout).close()
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


def _why(problem: object) -> str:
    if isinstance(problem, TimeoutError):
        return f"no answer within {TIMEOUT:g} s"
    if isinstance(problem, ssl.SSLCertVerificationError):
        return f"its certificate is not trusted ({problem.verify_message})"
    words = problem.strerror if isinstance(problem, OSError) else None
    return str(words or problem or type(problem).__name__)

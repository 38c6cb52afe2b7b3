"""Checks of this machine: git, certificates, and where things are kept."""

from __future__ import annotations

import re
import ssl
import stat
import time
from collections.abc import Mapping
from pathlib import Path

from .. import trust
from ..errors import CodexWorkspaceError, ProjectionError
from ..git import reading_environment, run_git
from ..quantities import show_duration
from .results import Result, advised, error, ok, warning

__all__ = ["authority", "cache_directory", "certificates", "git"]

_OLDEST_GIT = (2, 25)
"""The first that tells the object format of a repository."""

_SOON = 30 * 86400.0


def git(environ: Mapping[str, str]) -> Result:
    """
    Whether git is here, and young enough.
    """
    try:
        said = run_git("--version", env=reading_environment(environ), timeout=5.0)
    except ProjectionError as problem:
        return advised(problem)
    text = said.stdout.decode("utf-8", "replace").strip() or said.stderr
    numbers = re.search(r"(\d+)\.(\d+)", text)
    if numbers is None:
        return error(f"git says {text!r}", "Install git anew, or mend PATH.")
    if (int(numbers[1]), int(numbers[2])) < _OLDEST_GIT:
        oldest = ".".join(map(str, _OLDEST_GIT))
        return error(f"{text}, which cannot tell all that is asked", f"Update it to {oldest}.")
    return ok(text)


def certificates(environ: Mapping[str, str]) -> Result:
    """
    Whom this machine trusts, and so image builds and the proxy.
    """
    known: set[bytes] = set()
    sources: list[str] = []
    missing: list[str] = []
    for variable, name in trust.bundle_files(environ):
        shown = f"{variable}={name}" if variable else name
        try:
            blocks = trust.certificates(Path(name).read_bytes())
        except OSError as problem:
            if variable:
                missing.append(f"{shown} cannot be read: {problem.strerror}")
            continue
        if variable and not blocks:
            missing.append(f"{shown} has no certificate in it")
        if set(blocks) - known or variable:
            sources.append(shown)
        known |= set(blocks)
    if missing:
        return warning("; ".join(missing), "Correct or unset that variable.")
    if not known:
        return warning(
            "no certificates: only public sites are trusted, by a list that mitmproxy brings",
            "Install your system's package ca-certificates, or name a bundle with SSL_CERT_FILE.",
        )
    return ok(f"{len(known)} trusted, from {', '.join(sources)}")


def authority(now: float | None = None) -> Result | None:
    """
    The proxy's own authority, which workspaces trust.
    """
    try:
        path = trust.ca_file()
    except CodexWorkspaceError:
        return None  # The check of the directory says so.
    again = f"Remove {path}: the next run makes a new one, and images that trust it."
    try:
        mode = stat.S_IMODE(path.stat().st_mode)
        pem = trust.load_ca()
    except FileNotFoundError:
        return ok("the first run makes it")
    except OSError as problem:
        return error(f"{path} cannot be read: {problem.strerror}", again)
    if pem is None:
        return error(f"{path} is not a key and a certificate", again)
    try:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.load_verify_locations(cadata=trust.ca_certificate(pem).decode("ascii"))
        until = str(context.get_ca_certs()[0]["notAfter"])
        left = ssl.cert_time_to_seconds(until) - (time.time() if now is None else now)
    except (ssl.SSLError, ValueError, LookupError):
        return error(f"{path} is not the certificate of an authority", again)
    if left <= 0:
        return error(f"{path} has expired, {until}", again)
    if mode & 0o077:
        return warning(
            f"others can read {path} (mode {mode:04o}), and it holds a private key",
            f"chmod 600 {path}, or remove it: the next run makes a new one.",
        )
    if left < _SOON:
        return warning(f"{path} expires in {show_duration(left)}", again)
    return ok(f"{path}, mode {mode:04o}, expires in {show_duration(left)}")


def cache_directory() -> Result:
    """
    Where logs, locks and the authority are kept.
    """
    used, wanted = trust.cache_dir(), trust.preferred_cache_dir()
    if used == wanted:
        return ok(str(used))
    return warning(
        f"{wanted} cannot be written; {used} is used, which does not survive a restart",
        f"Make {wanted.parent} writable for this user, or name another with XDG_CACHE_HOME.",
    )

"""Checks of this machine: git, certificates and the cache directory."""

from __future__ import annotations

import re
import ssl
import stat
from collections.abc import Callable, Mapping
from pathlib import Path

from ..checks.rules.read import load_check
from ..engine.extension import load_factory
from ..errors import CodexWorkspaceError, PluginError, ProjectionError
from ..extensions import CHECK_GROUP, ENGINE_GROUP, Extension, extensions_of
from ..host import certificates as host_certificates
from ..host.dirs import cache_dir, preferred_cache_dir
from ..projection.git import reading_environment, run_git
from ..text.units import show_duration
from ..unpatched import clock
from .result import Result, error, from_error, ok, warning

__all__ = ["authority", "cache_directory", "certificates", "extensions", "git"]

_OLDEST_GIT = (2, 25)
"""The first version that reports the object format of a repository."""

_SOON = 30 * 86400.0


def git(environ: Mapping[str, str]) -> Result:
    """
    Check that git is installed and new enough.
    """
    try:
        result = run_git("--version", env=reading_environment(environ), timeout=5.0)
    except ProjectionError as problem:
        return from_error(problem)
    text = result.stdout.decode("utf-8", "replace").strip() or result.stderr
    numbers = re.search(r"(\d+)\.(\d+)", text)
    if numbers is None:
        return error(f"git printed {text!r}", "Reinstall git, or correct PATH.")
    if (int(numbers[1]), int(numbers[2])) < _OLDEST_GIT:
        oldest = ".".join(map(str, _OLDEST_GIT))
        return error(f"{text}, which is too old", f"Update git to {oldest} or newer.")
    return ok(text)


def certificates(environ: Mapping[str, str]) -> Result:
    """
    Check the certificates that this machine trusts; image builds and the proxy use them.
    """
    known: set[bytes] = set()
    sources: list[str] = []
    missing: list[str] = []
    for variable, name in host_certificates.bundle_files(environ):
        shown = f"{variable}={name}" if variable else name
        try:
            blocks = host_certificates.certificates(Path(name).read_bytes())
        except OSError as problem:
            if variable:
                missing.append(f"{shown} cannot be read: {problem.strerror}")
            continue
        if variable and not blocks:
            missing.append(f"{shown} contains no certificate")
        if set(blocks) - known or variable:
            sources.append(shown)
        known |= set(blocks)
    if missing:
        return warning("; ".join(missing), "Correct or unset the variable.")
    if not known:
        return warning(
            "no certificates: only public sites are trusted, by the list that mitmproxy contains",
            "Install the package ca-certificates of your system, or set SSL_CERT_FILE to a bundle.",
        )
    return ok(f"{len(known)} trusted, from {', '.join(sources)}")


def authority(now: float | None = None) -> Result | None:
    """
    Check the proxy's certificate authority, which workspaces trust.
    """
    try:
        path = host_certificates.ca_file()
    except CodexWorkspaceError:
        return None  # The check of the cache directory reports that.
    remove = (
        f"Remove {path} (`codex-workspace ca rotate`): the next run creates a new one, and images "
        "that trust it."
    )
    try:
        mode = stat.S_IMODE(path.stat().st_mode)
        pem = host_certificates.load_ca()
    except FileNotFoundError:
        return ok("not created yet; the first run creates it")
    except OSError as problem:
        return error(f"{path} cannot be read: {problem.strerror}", remove)
    if pem is None:
        return error(f"{path} does not contain a key and a certificate", remove)
    try:
        certificate = host_certificates.ca_certificate(pem)
        until = host_certificates.describe_authority(certificate)["expires"]
        left = ssl.cert_time_to_seconds(until) - (clock.wall_time() if now is None else now)
    except ValueError:
        return error(f"{path} does not contain the certificate of an authority", remove)
    if left <= 0:
        return error(f"{path} expired on {until}", remove)
    if mode & 0o077:
        return warning(
            f"other users can read {path} (mode {mode:04o}), which contains a private key",
            f"Run chmod 600 {path}, or remove it: the next run creates a new one.",
        )
    if left < _SOON:
        return warning(f"{path} expires in {show_duration(left)}", remove)
    return ok(f"{path}, mode {mode:04o}, expires in {show_duration(left)}")


def cache_directory() -> Result:
    """
    Check the directory for logs and locks.
    """
    used, wanted = cache_dir(), preferred_cache_dir()
    if used == wanted:
        return ok(str(used))
    return warning(
        f"{wanted} is not writable; {used} is used instead, which may be lost at a restart",
        f"Make {wanted.parent} writable for this user, or set XDG_CACHE_HOME to another directory.",
    )


def extensions() -> Result | None:
    """
    Check that the engines and checks of other distributions can be used. Return `None` if there are
    none. A broken check is an error, because `codex-workspace check` fails with it; an engine is
    for those who choose it.
    """
    groups: dict[str, Callable[[Extension], object]] = {
        ENGINE_GROUP: load_factory,
        CHECK_GROUP: load_check,
    }
    found: list[str] = []
    broken: dict[str, PluginError] = {}
    for group, load in groups.items():
        try:
            for one in extensions_of(group):
                load(one)
                found.append(str(one))
        except PluginError as problem:
            broken[group] = problem
    if check := broken.get(CHECK_GROUP):
        return error(check.message, check.remedy)
    if engine := broken.get(ENGINE_GROUP):
        return warning(engine.message, engine.remedy)
    return ok(", ".join(found)) if found else None

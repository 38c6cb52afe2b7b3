"""Certificates that this machine trusts, and the authority that workspaces trust."""

from __future__ import annotations

import os
import re
import stat
import tempfile
from collections.abc import Mapping
from pathlib import Path

from .errors import CodexWorkspaceError, ProxyError

__all__ = [
    "bundle_files",
    "ca_certificate",
    "ca_file",
    "cache_dir",
    "certificates",
    "host_bundle",
    "load_ca",
    "preferred_cache_dir",
    "store_ca",
]

_CERTIFICATE = re.compile(rb"-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----")
_PRIVATE_KEY = re.compile(rb"-----BEGIN (?:[A-Z]+ )*PRIVATE KEY-----")

_BUNDLE_VARIABLES = ("SSL_CERT_FILE", "REQUESTS_CA_BUNDLE")

_BUNDLE_FILES = (
    "/etc/ssl/certs/ca-certificates.crt",  # Debian, Ubuntu, Arch
    "/etc/pki/tls/certs/ca-bundle.crt",  # Fedora, RHEL
    "/etc/ssl/ca-bundle.pem",  # openSUSE
    "/etc/ssl/cert.pem",  # Alpine, macOS
)


def host_bundle() -> bytes:
    """
    Return the certificates that this machine trusts, corporate authorities included.

    Returns:
        PEM certificates, without duplicates, from the files that `SSL_CERT_FILE`
        and `REQUESTS_CA_BUNDLE` name and from the system's bundles. Other content
        of these files is left out. Empty if there are no certificates.
    """
    found: dict[bytes, None] = {}
    for _, name in bundle_files(os.environ):
        try:
            content = Path(name).read_bytes()
        except OSError:
            # Skip a bundle that cannot be read.
            continue
        found.update(dict.fromkeys(certificates(content)))
    return b"".join(found)


def bundle_files(environ: Mapping[str, str]) -> list[tuple[str, str]]:
    """
    Return the files that `host_bundle` reads; some of them may not exist.

    Returns:
        Pairs of the variable that names the file (empty for a bundle of the
        system) and the path of the file.
    """
    named = [(variable, environ.get(variable, "")) for variable in _BUNDLE_VARIABLES]
    return [*(pair for pair in named if pair[1]), *(("", name) for name in _BUNDLE_FILES)]


def ca_certificate(pem: bytes) -> bytes:
    """
    Return the certificate in a PEM that also holds the key.

    Raises:
        ProxyError: *pem* holds no certificate.
    """
    blocks = certificates(pem)
    if not blocks:
        raise ProxyError(
            f"the proxy's authority holds no certificate; remove {ca_file()} and run again"
        )
    return blocks[0]


def load_ca() -> bytes | None:
    """
    Return key and certificate of this machine's authority, as PEM.

    Returns `None` before the first run, or if the file is incomplete.
    """
    try:
        pem = ca_file().read_bytes()
    except OSError:
        return None
    return pem if _is_whole(pem) else None


def store_ca(pem: bytes) -> bytes:
    """
    Store *pem* as this machine's authority, unless another process was first.

    Args:
        pem: key and certificate of an authority.

    Returns:
        The authority that is stored now.

    Raises:
        ProxyError: *pem* lacks the key or the certificate, or the cache
            directory cannot be written.
    """
    if not _is_whole(pem):
        raise ProxyError(
            "the proxy's authority is incomplete: it needs a private key and a certificate"
        )
    path = ca_file()
    try:
        # `mkstemp` creates the file with mode 0600.
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=".ca-")
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(pem)
            if path.exists() and load_ca() is None:
                path.unlink()
            # Unlike a rename, a link fails if the file already exists.
            os.link(name, path)
        except FileExistsError:
            return path.read_bytes()
        finally:
            os.unlink(name)  # noqa: PTH108
    except OSError as error:
        raise ProxyError(
            f"the proxy's authority cannot be stored in {path.parent}: {error.strerror}; "
            "make that directory writable, or set XDG_CACHE_HOME to a writable directory"
        ) from None
    return pem


def cache_dir() -> Path:
    """
    Return the directory for files that are kept between runs, creating it if needed.

    Returns:
        `codex-workspace` in `XDG_CACHE_HOME` or `~/.cache`, with mode 0700; if
        that cannot be written, a directory of this user in the system's temporary
        directory.

    Raises:
        CodexWorkspaceError: neither directory can be used.
    """
    wanted = preferred_cache_dir()
    # In a shared directory, another user may have created this path before, even as a link.
    fallback = Path(tempfile.gettempdir()) / f"codex-workspace-{os.getuid()}"
    if _is_ours(wanted):
        return wanted
    if not fallback.is_symlink() and _is_ours(fallback):
        return fallback
    raise CodexWorkspaceError(
        f"neither {wanted} nor {fallback} is a writable directory that belongs to this user; "
        "set XDG_CACHE_HOME to a writable directory"
    )


def preferred_cache_dir() -> Path:
    """
    Return the directory that `cache_dir` uses if it can be written.
    """
    base = Path(os.environ.get("XDG_CACHE_HOME", ""))
    home = Path(os.path.expanduser("~/.cache"))  # noqa: PTH111 -- Path's raises without a home
    return (base if base.is_absolute() else home) / "codex-workspace"


def ca_file() -> Path:
    """
    Return the path of this machine's authority.
    """
    return cache_dir() / "ca.pem"


def _is_ours(directory: Path) -> bool:
    """
    Check whether *directory* belongs to this user and is writable.

    The directory is created if it is missing, and closed to other users.
    """
    try:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        state = directory.stat()
        if state.st_uid != os.getuid():
            return False
        if stat.S_IMODE(state.st_mode) & 0o077:
            directory.chmod(0o700)
    except OSError:
        return False
    return os.access(directory, os.W_OK | os.X_OK)


def certificates(pem: bytes) -> list[bytes]:
    """
    Return the certificates in *pem*.
    """
    return [block.replace(b"\r\n", b"\n") + b"\n" for block in _CERTIFICATE.findall(pem)]


def _is_whole(pem: bytes) -> bool:
    return bool(_PRIVATE_KEY.search(pem) and _CERTIFICATE.search(pem))

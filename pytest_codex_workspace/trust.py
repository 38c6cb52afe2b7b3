"""Certificates: those this machine trusts, and the authority that workspaces trust."""

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
    What this machine trusts, company authorities included.

    Returns:
        PEM certificates, each once, from the files that `SSL_CERT_FILE` and
        `REQUESTS_CA_BUNDLE` name and from the system's own; nothing else that
        those files hold, and empty where there is none.
    """
    found: dict[bytes, None] = {}
    for _, name in bundle_files(os.environ):
        try:
            content = Path(name).read_bytes()
        except OSError:
            # A bundle that cannot be read adds nothing; the others may do.
            continue
        found.update(dict.fromkeys(certificates(content)))
    return b"".join(found)


def bundle_files(environ: Mapping[str, str]) -> list[tuple[str, str]]:
    """
    Where `host_bundle` looks: the variable that names a file, empty for the
    system's own, and its path. Not all of them need be there.
    """
    named = [(variable, environ.get(variable, "")) for variable in _BUNDLE_VARIABLES]
    return [*(pair for pair in named if pair[1]), *(("", name) for name in _BUNDLE_FILES)]


def ca_certificate(pem: bytes) -> bytes:
    """
    The certificate of a key and certificate in one PEM, without the key.

    Raises:
        ProxyError: *pem* holds no certificate.
    """
    blocks = certificates(pem)
    if not blocks:
        raise ProxyError(
            "the proxy's certificate authority has no certificate",
            remedy="Remove its file and run again.",
        )
    return blocks[0]


def load_ca() -> bytes | None:
    """
    This machine's authority, key and certificate as PEM; `None` before the
    first run, and for a file that is not whole.
    """
    try:
        pem = ca_file().read_bytes()
    except OSError:
        return None
    return pem if _is_whole(pem) else None


def store_ca(pem: bytes) -> bytes:
    """
    Keep *pem* as this machine's authority, unless another process was first.

    Args:
        pem: key and certificate.

    Returns:
        The authority that is kept from now on.

    Raises:
        ProxyError: *pem* lacks its key or its certificate, or the cache
            directory cannot be written.
    """
    if not _is_whole(pem):
        raise ProxyError("an authority to keep needs one private key and one certificate")
    path = ca_file()
    try:
        # `mkstemp` makes files of mode 0600.
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=".ca-")
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(pem)
            if path.exists() and load_ca() is None:
                path.unlink()
            # Unlike a rename, a link fails when there is a file already.
            os.link(name, path)
        except FileExistsError:
            return path.read_bytes()
        finally:
            os.unlink(name)  # noqa: PTH108
    except OSError as error:
        raise ProxyError(
            f"the proxy's certificate authority cannot be stored in {path.parent}: "
            f"{error.strerror}",
            remedy="Make that directory writable, or set XDG_CACHE_HOME to one that is.",
        ) from None
    return pem


def cache_dir() -> Path:
    """
    The directory of what is kept between runs, made if need be.

    Returns:
        `codex-workspace` below `XDG_CACHE_HOME` or `~/.cache`, with mode
        0700; where that cannot be written, one of this user's own in the
        system's temporary directory.

    Raises:
        CodexWorkspaceError: neither can be used.
    """
    wanted = preferred_cache_dir()
    # Anybody could have made it in a shared directory before us, as a link too.
    fallback = Path(tempfile.gettempdir()) / f"codex-workspace-{os.getuid()}"
    if _is_ours(wanted):
        return wanted
    if not fallback.is_symlink() and _is_ours(fallback):
        return fallback
    raise CodexWorkspaceError(
        f"neither {wanted} nor {fallback} is a directory that this user owns and can write to",
        remedy="Set XDG_CACHE_HOME to a directory that you can write to.",
    )


def preferred_cache_dir() -> Path:
    """
    The directory that `cache_dir` uses if it can be written.
    """
    base = Path(os.environ.get("XDG_CACHE_HOME", ""))
    home = Path(os.path.expanduser("~/.cache"))  # noqa: PTH111 -- Path's raises without a home
    return (base if base.is_absolute() else home) / "codex-workspace"


def ca_file() -> Path:
    """
    Where this machine's authority is kept.
    """
    return cache_dir() / "ca.pem"


def _is_ours(directory: Path) -> bool:
    """
    Whether *directory* is there, ours and writable; it is closed to others.
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
    The certificates in *pem*.
    """
    return [block.replace(b"\r\n", b"\n") + b"\n" for block in _CERTIFICATE.findall(pem)]


def _is_whole(pem: bytes) -> bool:
    return bool(_PRIVATE_KEY.search(pem) and _CERTIFICATE.search(pem))

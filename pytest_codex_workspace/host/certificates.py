"""Certificates: those that this machine trusts, and the authority that workspaces trust."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import ssl
import tempfile
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, suppress
from functools import lru_cache
from pathlib import Path
from typing import Any

from ..errors import ProxyError
from .dirs import cache_dir, data_dir
from .locks import machine_lock

__all__ = [
    "authority_digest",
    "authority_lock",
    "bundle_files",
    "ca_certificate",
    "ca_file",
    "certificates",
    "describe_authority",
    "host_bundle",
    "load_ca",
    "remove_ca",
    "store_ca",
]

_NAME = "ca.pem"

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
        found.update(dict.fromkeys(_of_bundle(content)))
    return b"".join(found)


@lru_cache(maxsize=4)
def _of_bundle(content: bytes) -> list[bytes]:
    """
    Return the certificates in a bundle, of which each session and each build asks for hundreds.
    """
    return certificates(content)


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
            "the proxy's certificate authority has no certificate",
            remedy=f"Remove {ca_file()} and run again.",
        )
    return blocks[0]


def authority_digest(certificate: bytes) -> str:
    """
    Return the digest by which layers name the certificate authority that they trust.

    Args:
        certificate: the authority's certificate in PEM form.
    """
    return hashlib.sha256(certificate).hexdigest()[:16]


def authority_lock(report: Callable[[str], None]) -> AbstractContextManager[None]:
    """
    Return a context in which no other process makes or removes this machine's authority.

    Args:
        report: takes a line for the user while another process does.
    """
    path = cache_dir() / "locks" / "ca.lock"
    return machine_lock(path, "this machine's certificate authority", report)


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
        ProxyError: *pem* lacks the key or the certificate, or the data
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
            f"the proxy's certificate authority cannot be stored in {path.parent}: "
            f"{error.strerror}",
            remedy="Make that directory writable, or set XDG_DATA_HOME to one that is.",
        ) from None
    return pem


def ca_file() -> Path:
    """
    Return the path of this machine's authority. One in the cache directory, where earlier
    versions kept it, is moved there.
    """
    path, old = data_dir() / _NAME, cache_dir() / _NAME
    if old != path and old.exists() and not path.exists():
        with suppress(OSError):
            shutil.move(old, path)
    return path


def remove_ca() -> bool:
    """
    Remove this machine's authority, so that the next run makes a new one.

    Returns:
        Whether there was one.

    Raises:
        ProxyError: the file cannot be removed.
    """
    path = ca_file()
    try:
        path.unlink()
    except FileNotFoundError:
        return False
    except OSError as error:
        raise ProxyError(f"{path} cannot be removed: {error.strerror}") from None
    return True


def describe_authority(certificate: bytes) -> dict[str, str]:
    """
    Return subject, fingerprint (SHA-256) and validity of a certificate in PEM form.

    Raises:
        ValueError: it is not the certificate of an authority.
    """
    about = _read(certificate)
    names = [pair for names in about.get("subject", ()) for pair in names]
    der = ssl.PEM_cert_to_DER_cert(certificate.decode("ascii"))
    return {
        "subject": ", ".join(f"{name}={value}" for name, value in names) or "(empty)",
        "sha256": hashlib.sha256(der).hexdigest(),
        "valid_from": str(about["notBefore"]),
        "expires": str(about["notAfter"]),
    }


def certificates(pem: bytes) -> list[bytes]:
    """
    Return the certificates in *pem*.
    """
    return [block.replace(b"\r\n", b"\n") + b"\n" for block in _CERTIFICATE.findall(pem)]


def _read(certificate: bytes) -> dict[str, Any]:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    try:
        context.load_verify_locations(cadata=certificate.decode("ascii"))
        return dict(context.get_ca_certs()[0])
    except (ssl.SSLError, LookupError) as error:
        raise ValueError(f"not the certificate of an authority: {error}") from None


def _is_whole(pem: bytes) -> bool:
    return bool(_PRIVATE_KEY.search(pem) and _CERTIFICATE.search(pem))

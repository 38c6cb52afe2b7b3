"""
The certificate authority that workspaces trust, and those that the proxy trusts.
"""

from __future__ import annotations

import re
import ssl
from pathlib import Path

import certifi
from mitmproxy.certs import CertStore
from mitmproxy.options import CONF_BASENAME, KEY_SIZE

__all__ = ["install_authority", "remove_key", "write_bundle"]

_NAME = "Codex Workspace"
_CERTIFICATE = re.compile(
    r"-----BEGIN CERTIFICATE-----[A-Za-z0-9+/=\s]+-----END CERTIFICATE-----", re.ASCII
)


def install_authority(directory: Path, pem: str | None) -> str | None:
    """
    Write the authority to the file where mitmproxy reads it.

    Args:
        directory: mitmproxy's directory; nobody else may read it.
        pem: key and certificate; `None` to make them.

    Returns:
        Key and certificate, if they were made.

    Raises:
        ValueError: *pem* is not a key with its certificate.
    """
    file = directory / f"{CONF_BASENAME}-ca.pem"
    if pem is None:
        CertStore.create_store(directory, CONF_BASENAME, KEY_SIZE, _NAME, f"{_NAME} proxy")
        return file.read_text("ascii")
    if len(_CERTIFICATE.findall(pem)) != 1:
        raise ValueError("the certificate authority must have exactly one certificate")
    file.touch(mode=0o600)
    file.write_text(pem, "ascii")
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(file)
    except ssl.SSLError:
        raise ValueError("the certificate authority is not a key with its certificate") from None
    return None


def remove_key(directory: Path) -> None:
    """
    Remove the authority's files once mitmproxy has loaded them.
    """
    for file in directory.glob(f"{CONF_BASENAME}-ca*"):
        file.unlink()


def write_bundle(file: Path, upstream: str) -> None:
    """
    Write the certificates that the proxy trusts: certifi's bundle and the host's.

    Args:
        file: the file to write.
        upstream: PEM; everything that is not a valid certificate is left out.
    """
    bundle = Path(certifi.where()).read_text("ascii")
    known = set(_CERTIFICATE.findall(bundle))
    extra = [
        block
        for block in dict.fromkeys(_CERTIFICATE.findall(upstream))
        if block not in known and _is_valid(block)
    ]
    file.write_text("\n".join([bundle, *extra, ""]), "ascii")


def _is_valid(block: str) -> bool:
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(cadata=block)
    except ssl.SSLError:
        return False
    return True

"""The certificate authority of the proxy."""

from __future__ import annotations

import ssl
from pathlib import Path

import pytest

from proxy_addons.certificate_authority import install_authority, remove_key, write_bundle


def test_the_authority_is_made_once_and_leaves_the_disk(tmp_path: Path) -> None:
    """
    A given authority is used again; its files are removed once they are in memory.
    """
    first, second, third = (tmp_path / name for name in ("first", "second", "third"))
    for each in (second, third):
        each.mkdir()
    made = install_authority(first, None)

    assert made is not None
    assert install_authority(second, made) is None
    assert (second / "mitmproxy-ca.pem").stat().st_mode & 0o077 == 0
    remove_key(second)
    assert list(second.iterdir()) == []
    for broken in ("no certificate", made + made, made.replace("BEGIN RSA", "BEGIN")):
        with pytest.raises(ValueError, match="the certificate authority"):
            install_authority(third, broken)


def test_the_bundle_has_valid_certificates_only(tmp_path: Path) -> None:
    """
    Everything else in the given PEM is left out.
    """
    made = install_authority(tmp_path, None)
    assert made is not None
    broken = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"
    write_bundle(tmp_path / "bundle.pem", f"# a company's\n{broken}{made}")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.load_verify_locations(tmp_path / "bundle.pem")

    assert "Codex Workspace" in str(context.get_ca_certs())
    assert "PRIVATE KEY" not in (tmp_path / "bundle.pem").read_text()
    assert broken not in (tmp_path / "bundle.pem").read_text()

"""Tests of `codex-workspace ca`."""

from __future__ import annotations

import datetime

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from pytest_codex_workspace.cli.main import main
from pytest_codex_workspace.host import certificates

from ...helpers.events import read_events


def issued():
    """
    Return a key and the certificate of an authority, as one PEM.
    """
    key, name = ec.generate_private_key(ec.SECP256R1()), x509.Name([])
    made = (
        x509.CertificateBuilder(name, name, key.public_key())
        .serial_number(1)
        .not_valid_before(datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC))
        .not_valid_after(datetime.datetime(2036, 1, 1, tzinfo=datetime.UTC))
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    private = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    return private + made.public_bytes(serialization.Encoding.PEM), made


def test_the_authority_is_shown_and_replaced(cache_home, capsys):
    """
    The key is not shown. After a rotation there is none, until the next run.
    """
    pem, made = issued()
    assert 0 == main(["ca", "show"])
    assert "no authority yet" in capsys.readouterr().out
    certificates.store_ca(pem)

    assert 0 == main(["ca", "show", "--json"])

    printed = capsys.readouterr().out
    assert "PRIVATE" not in printed
    about = read_events([printed])[0]
    assert made.fingerprint(hashes.SHA256()).hex() == about["sha256"]
    assert str(cache_home.parent / "data/codex-workspace/ca.pem") == about["path"]
    assert "Jan  1 00:00:00 2036 GMT" == about["expires"]

    assert 0 == main(["ca", "rotate"])
    assert "the next run makes a new one" in capsys.readouterr().out
    assert certificates.load_ca() is None


@pytest.mark.parametrize("damaged", [b"", b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END"])
def test_a_damaged_authority_has_a_remedy(cache_home, capsys, damaged):
    """
    It can be rotated.
    """
    path = certificates.ca_file()
    path.write_bytes(damaged)

    assert 125 == main(["ca", "show"])
    assert "ca rotate" in capsys.readouterr().err
    assert 0 == main(["ca", "rotate"])
    assert not path.exists()

"""Tests of `codex-workspace ca`."""

from __future__ import annotations

import datetime

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from pytest_codex_workspace.cli.main import main
from pytest_codex_workspace.engine import labels
from pytest_codex_workspace.engine.docker import find
from pytest_codex_workspace.errors import EngineUnavailable
from pytest_codex_workspace.host import certificates
from tests.fakes.engine import FakeEngine

from ...helpers.events import read_events


@pytest.fixture(autouse=True)
def engine(monkeypatch):
    """
    Return the engine that the command finds.
    """
    made = FakeEngine()
    monkeypatch.setattr(find, "find_engine", lambda *_, **__: made)
    return made


def issued():
    """
    Return a key and the certificate of an authority, as one PEM.
    """
    key, name = (
        ec.generate_private_key(ec.SECP256R1()),
        x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "Our proxy")]),
    )
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
    assert "commonName=Our proxy" == about["subject"]
    assert [] == about["images"]

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


def test_images_that_trust_the_authority_are_listed(engine, cache_home, capsys):
    """
    After a rotation, as those that trust the old one: nothing is started from them as they are.
    """
    pem, _ = issued()
    certificates.store_ca(pem)
    digest = certificates.authority_digest(certificates.ca_certificate(pem))
    for name, trusted in (("demo:clean-b", digest), ("demo:base-a", digest), ("demo:c", "other")):
        engine.add_image(name, labels={labels.CA: trusted})

    assert 0 == main(["ca", "show"])
    assert capsys.readouterr().out.endswith(
        "2 images of the engine trust it:\n  demo:base-a\n  demo:clean-b\n"
    )

    assert 0 == main(["ca", "rotate"])
    printed = capsys.readouterr().out
    assert "runs that have already started keep the old one until they end\n" in printed
    assert "2 images of the engine trust the old one, and are not started any more" in printed
    assert "PRIVATE" not in printed

    assert 0 == main(["ca", "rotate", "--json"])
    (result,) = read_events(capsys.readouterr().out.splitlines())
    assert (False, []) == (result["removed"], result["images"])


def test_the_authority_is_shown_without_an_engine(cache_home, capsys, monkeypatch):
    """
    Which images trust it is not known then.
    """

    def fail(*_, **__):
        raise EngineUnavailable("No container engine answers. Tried:\n  - x")

    certificates.store_ca(issued()[0])
    monkeypatch.setattr(find, "find_engine", fail)

    assert 0 == main(["ca", "show"])
    assert "which images trust it is not known: No container engine" in capsys.readouterr().out
    assert 0 == main(["ca", "rotate", "--json"])
    (result,) = read_events(capsys.readouterr().out.splitlines())
    assert (True, None) == (result["removed"], result["images"])

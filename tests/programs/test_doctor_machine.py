"""Doctor: git, certificates, and where things are kept on this machine."""

from __future__ import annotations

import os
import subprocess
import time

import pytest

from pytest_codex_workspace import trust
from pytest_codex_workspace.doctor import machine

DAY = 86400.0


def issued(where, constraints):
    """
    A key and its certificate, which is good for 100 days.
    """
    config = f"[req]\ndistinguished_name=n\n[n]\n[x]\nbasicConstraints={constraints}\n"
    (where / "config").write_text(config)
    subprocess.run(
        [
            *("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"),
            *(
                "-config",
                "config",
                "-extensions",
                "x",
                "-nodes",
                "-subj",
                "/CN=test",
                "-days",
                "100",
            ),
            *("-keyout", "key.pem", "-out", "certificate.pem"),
        ],
        cwd=where,
        check=True,
        capture_output=True,
    )
    return (where / "key.pem").read_bytes() + (where / "certificate.pem").read_bytes()


@pytest.fixture(scope="module")
def authority(tmp_path_factory):
    """
    Key and certificate of an authority.
    """
    return issued(tmp_path_factory.mktemp("authority"), "critical,CA:TRUE")


@pytest.fixture
def kept(cache_home, authority):
    """
    That authority, as this machine's.
    """
    trust.store_ca(authority)
    return cache_home / "codex-workspace" / "ca.pem"


@pytest.mark.parametrize(
    ("says", "status"),
    [
        ("git version 2.39.5", "ok"),
        ("git version 2.25.1 (Apple Git-1)", "ok"),
        ("git version 2.24.9", "error"),
        ("git version 1.8.3", "error"),
        ("what?", "error"),
    ],
)
def test_git_is_young_enough(tmp_path, says, status):
    """
    Or what it says is shown.
    """
    program = tmp_path / "git"
    program.write_text(f"#!/bin/sh\necho '{says}'\n")
    program.chmod(0o755)

    found = machine.git({"PATH": f"{tmp_path}:{os.environ['PATH']}"})

    assert status == found.status
    assert says in found.text
    assert (status == "ok") == (found.remedy == "")


def test_no_git_says_how_to_install_it(tmp_path):
    """
    As projection would.
    """
    found = machine.git({"PATH": str(tmp_path)})

    assert ("error", True) == (found.status, "apt-get install git" in found.remedy)


def test_certificates_are_counted_with_their_sources(tmp_path, monkeypatch, authority):
    """
    Each once, however many files have it.
    """
    monkeypatch.setattr(trust, "_BUNDLE_FILES", (str(tmp_path / "system"),))
    certificate = trust.ca_certificate(authority)
    for name in ("one", "system"):
        (tmp_path / name).write_bytes(certificate)

    found = machine.certificates({"SSL_CERT_FILE": str(tmp_path / "one")})

    assert ("ok", f"1 trusted, from SSL_CERT_FILE={tmp_path / 'one'}") == (found.status, found.text)


@pytest.mark.parametrize(
    ("variable", "words"),
    [("SSL_CERT_FILE", "No such file"), ("REQUESTS_CA_BUNDLE", "no certificate in it")],
)
def test_a_variable_that_names_no_bundle_is_a_warning(tmp_path, variable, words):
    """
    It is nearly always a mistake.
    """
    path = tmp_path / "bundle.pem"
    if variable == "REQUESTS_CA_BUNDLE":
        path.write_text("nothing\n")

    found = machine.certificates({variable: str(path)})

    assert "warning" == found.status
    assert f"{variable}={path}" in found.text
    assert words in found.text


def test_no_certificates_at_all_are_a_warning(monkeypatch):
    """
    With what to install.
    """
    monkeypatch.setattr(trust, "_BUNDLE_FILES", ())

    found = machine.certificates({})

    assert ("warning", True) == (found.status, "ca-certificates" in found.remedy)


def test_an_authority_has_mode_and_age(kept):
    """
    Before the first run there is none, which is fine.
    """
    found = machine.authority()
    assert "ok" == found.status
    assert f"{kept}, mode 0600, expires in 99 d" in found.text

    kept.unlink()
    assert ("ok", "the first run makes it") == (
        machine.authority().status,
        machine.authority().text,
    )


@pytest.mark.parametrize(
    ("days", "status", "words"),
    [(69, "ok", "expires in"), (71, "warning", "expires in 28 d"), (101, "error", "has expired")],
)
def test_an_authority_that_expires_is_told(kept, days, status, words):
    """
    A month before.
    """
    found = machine.authority(time.time() + days * DAY)

    assert status == found.status
    assert words in found.text
    assert status == "ok" or str(kept) in found.remedy


def test_an_authority_that_others_can_read_is_a_warning(kept):
    """
    It holds a private key.
    """
    kept.chmod(0o644)

    found = machine.authority()

    assert ("warning", True) == (found.status, f"chmod 600 {kept}" in found.remedy)


@pytest.mark.promise("S19")
@pytest.mark.parametrize(
    "content",
    [
        "",
        "-----BEGIN PRIVATE KEY-----\nAA\n-----END PRIVATE KEY-----\n"
        "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
    ],
)
def test_a_damaged_authority_is_an_error(kept, content):
    """
    S19: no certificate for workspaces; removing the file helps.
    """
    kept.write_text(content)

    found = machine.authority()

    assert ("error", True) == (found.status, f"Remove {kept}" in found.remedy)


def test_a_certificate_of_no_authority_is_an_error(kept, tmp_path):
    """
    Nobody would trust what it signs.
    """
    kept.write_bytes(issued(tmp_path, "CA:FALSE"))

    found = machine.authority()

    assert ("error", f"{kept} is not the certificate of an authority") == (found.status, found.text)


def test_the_cache_directory_and_its_substitute(cache_home, tmp_path, monkeypatch):
    """
    A substitute is a warning that names both.
    """
    found = machine.cache_directory()
    assert ("ok", str(cache_home / "codex-workspace")) == (found.status, found.text)

    (tmp_path / "file").write_text("")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    found = machine.cache_directory()

    assert "warning" == found.status
    assert str(tmp_path / "file" / "codex-workspace") in found.text
    assert str(trust.cache_dir()) in found.text
    assert "XDG_CACHE_HOME" in found.remedy

"""Doctor: git, certificates and the cache directory of this machine."""

from __future__ import annotations

import os
import subprocess
import time

import pytest

from pytest_codex_workspace.doctor import machine
from pytest_codex_workspace.host import certificates
from pytest_codex_workspace.host.dirs import cache_dir

DAY = 86400.0


def issued(where, constraints):
    """
    Return a key and its certificate, which is valid for 100 days.
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
    Return key and certificate of an authority.
    """
    return issued(tmp_path_factory.mktemp("authority"), "critical,CA:TRUE")


@pytest.fixture
def kept(cache_home, authority):
    """
    Store that authority as the one of this machine.
    """
    certificates.store_ca(authority)
    return cache_home.parent / "data" / "codex-workspace" / "ca.pem"


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
def test_an_old_git_is_an_error(tmp_path, says, status):
    """
    If the version is unreadable, the output of git is shown.
    """
    program = tmp_path / "git"
    program.write_text(f"#!/bin/sh\necho '{says}'\n")
    program.chmod(0o755)

    found = machine.git({"PATH": f"{tmp_path}:{os.environ['PATH']}"})

    assert status == found.status
    assert says in found.text
    assert (status == "ok") == (found.remedy == "")


def test_a_missing_git_is_an_error(tmp_path):
    """
    The remedy says how to install git.
    """
    found = machine.git({"PATH": str(tmp_path)})

    assert ("error", True) == (found.status, "apt-get install git" in found.remedy)


def test_certificates_are_counted_with_their_sources(tmp_path, monkeypatch, authority):
    """
    A certificate in several files counts once.
    """
    monkeypatch.setattr(certificates, "_BUNDLE_FILES", (str(tmp_path / "system"),))
    certificate = certificates.ca_certificate(authority)
    for name in ("one", "system"):
        (tmp_path / name).write_bytes(certificate)

    found = machine.certificates({"SSL_CERT_FILE": str(tmp_path / "one")})

    assert ("ok", f"1 trusted, from SSL_CERT_FILE={tmp_path / 'one'}") == (found.status, found.text)


@pytest.mark.parametrize(
    ("variable", "words"),
    [("SSL_CERT_FILE", "No such file"), ("REQUESTS_CA_BUNDLE", "contains no certificate")],
)
def test_a_variable_that_names_no_bundle_is_a_warning(tmp_path, variable, words):
    """
    Such a variable is almost always a mistake.
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
    The remedy says what to install.
    """
    monkeypatch.setattr(certificates, "_BUNDLE_FILES", ())

    found = machine.certificates({})

    assert ("warning", True) == (found.status, "ca-certificates" in found.remedy)


def test_the_authority_is_reported_with_mode_and_expiry(kept):
    """
    A missing authority is ok before the first run.
    """
    found = machine.authority()
    assert "ok" == found.status
    assert f"{kept}, mode 0600, expires in 99 d" in found.text

    kept.unlink()
    assert ("ok", "not created yet; the first run creates it") == (
        machine.authority().status,
        machine.authority().text,
    )


@pytest.mark.parametrize(
    ("days", "status", "words"),
    [(69, "ok", "expires in"), (71, "warning", "expires in 28 d"), (101, "error", "expired on")],
)
def test_an_authority_that_expires_soon_is_a_warning(kept, days, status, words):
    """
    The warning starts a month before.
    """
    found = machine.authority(time.time() + days * DAY)

    assert status == found.status
    assert words in found.text
    assert status == "ok" or str(kept) in found.remedy


def test_an_authority_that_others_can_read_is_a_warning(kept):
    """
    The file contains a private key.
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
    S19: workspaces would have no certificate; the remedy is to remove the file.
    """
    kept.write_text(content)

    found = machine.authority()

    assert ("error", True) == (found.status, f"Remove {kept}" in found.remedy)


def test_a_certificate_that_is_not_an_authority_is_an_error(kept, tmp_path):
    """
    No client would trust certificates signed with it.
    """
    kept.write_bytes(issued(tmp_path, "CA:FALSE"))

    found = machine.authority()

    assert ("error", f"{kept} does not contain the certificate of an authority") == (
        found.status,
        found.text,
    )


def test_a_substitute_for_the_cache_directory_is_a_warning(cache_home, tmp_path, monkeypatch):
    """
    The warning names both directories.
    """
    found = machine.cache_directory()
    assert ("ok", str(cache_home / "codex-workspace")) == (found.status, found.text)

    (tmp_path / "file").write_text("")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    found = machine.cache_directory()

    assert "warning" == found.status
    assert str(tmp_path / "file" / "codex-workspace") in found.text
    assert str(cache_dir()) in found.text
    assert "XDG_CACHE_HOME" in found.remedy

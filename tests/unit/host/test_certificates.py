"""Tests of certificates on this machine, and of the cache directory."""

from __future__ import annotations

import stat
import tempfile
from pathlib import Path

import pytest

from pytest_codex_workspace.errors import CodexWorkspaceError, ProxyError
from pytest_codex_workspace.host import certificates
from pytest_codex_workspace.host.dirs import cache_dir

pytestmark = pytest.mark.usefixtures("own_cache")


def certificate(body: str) -> bytes:
    return f"-----BEGIN CERTIFICATE-----\n{body}\n-----END CERTIFICATE-----\n".encode()


def key(body: str) -> bytes:
    return f"-----BEGIN RSA PRIVATE KEY-----\n{body}\n-----END RSA PRIVATE KEY-----\n".encode()


@pytest.fixture
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return tmp_path / "cache" / "codex-workspace"


@pytest.fixture
def own_data(own_cache: Path) -> Path:
    return own_cache.parent.parent / "data" / "codex-workspace"


@pytest.fixture
def no_bundles(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(certificates, "_BUNDLE_FILES", ())
    for variable in ("SSL_CERT_FILE", "REQUESTS_CA_BUNDLE"):
        monkeypatch.delenv(variable, raising=False)


@pytest.mark.usefixtures("no_bundles")
class TestHostBundle:
    def test_certificates_of_all_files_are_joined_without_duplicates(self, tmp_path, monkeypatch):
        """
        A certificate in two bundles appears once, whatever the line ends, and in order.
        """
        one, two = tmp_path / "one.pem", tmp_path / "two.pem"
        one.write_bytes(certificate("AAAA") + certificate("BBBB").replace(b"\n", b"\r\n"))
        two.write_bytes(b"# a comment\n" + certificate("BBBB") + certificate("CCCC"))
        monkeypatch.setenv("SSL_CERT_FILE", str(one))
        monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(two))

        expected = certificate("AAAA") + certificate("BBBB") + certificate("CCCC")

        assert expected == certificates.host_bundle()

    def test_only_certificates_are_returned(self, tmp_path, monkeypatch):
        """
        A private key in a bundle is left out.
        """
        bundle = tmp_path / "bundle.pem"
        bundle.write_bytes(key("SECRET") + certificate("AAAA"))
        monkeypatch.setenv("SSL_CERT_FILE", str(bundle))

        assert certificate("AAAA") == certificates.host_bundle()

    @pytest.mark.parametrize("name", ["", "missing.pem", "directory"])
    def test_unreadable_files_are_ignored(self, tmp_path, monkeypatch, name):
        """
        An empty variable, a missing file and a directory add nothing.
        """
        (tmp_path / "directory").mkdir()
        monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(tmp_path / name) if name else "")

        assert certificates.host_bundle() == b""


class TestCaCertificate:
    def test_the_key_is_left_out(self):
        """
        Workspaces get the certificate only.
        """
        assert certificate("AAAA") == certificates.ca_certificate(
            key("SECRET") + certificate("AAAA")
        )

    def test_a_pem_without_a_certificate_is_rejected(self, own_data):
        """
        The error names the file to remove.
        """
        with pytest.raises(ProxyError, match=f"no certificate. Remove {own_data}/ca.pem"):
            certificates.ca_certificate(key("SECRET"))


class TestStoredCa:
    def test_there_is_no_authority_at_first(self):
        """
        Before the first run, there is nothing to load.
        """
        assert certificates.load_ca() is None

    def test_a_stored_authority_is_loaded_and_private(self, own_data):
        """
        Only this user can read the file and its directory, which holds nothing else.
        """
        pem = key("K") + certificate("AAAA")

        assert pem == certificates.store_ca(pem)
        assert pem == certificates.load_ca()
        (file,) = own_data.iterdir()
        assert stat.S_IMODE(file.stat().st_mode) == 0o600
        assert stat.S_IMODE(own_data.stat().st_mode) == 0o700

    def test_the_first_writer_wins(self, own_data):
        """
        The second writer gets the authority of the first, and leaves no file.
        """
        first, second = key("1") + certificate("AAAA"), key("2") + certificate("BBBB")
        certificates.store_ca(first)

        assert first == certificates.store_ca(second)
        assert first == certificates.load_ca()
        assert len(list(own_data.iterdir())) == 1

    def test_an_incomplete_file_is_replaced(self, own_data):
        """
        A file that lost its certificate is not loaded, and is replaced.
        """
        pem = key("K") + certificate("AAAA")
        certificates.store_ca(pem)
        (own_data / "ca.pem").write_bytes(key("K"))

        assert certificates.load_ca() is None
        assert pem == certificates.store_ca(pem)
        assert pem == certificates.load_ca()

    @pytest.mark.parametrize("pem", [b"", key("K"), certificate("AAAA")])
    def test_an_incomplete_authority_is_rejected(self, pem):
        """
        A key without a certificate, or the reverse, is not stored.
        """
        with pytest.raises(ProxyError, match="private key"):
            certificates.store_ca(pem)

    def test_one_in_the_cache_directory_is_moved(self, own_cache, own_data):
        """
        Earlier versions kept it there, where people delete it.
        """
        pem = key("K") + certificate("AAAA")
        own_cache.mkdir(parents=True)
        (own_cache / "ca.pem").write_bytes(pem)

        assert pem == certificates.load_ca()

        assert ["ca.pem"] == [one.name for one in own_data.iterdir()]
        assert [] == list(own_cache.iterdir())

    def test_one_that_is_removed_is_made_again(self, own_data):
        """
        The next run makes it.
        """
        certificates.store_ca(key("K") + certificate("AAAA"))

        assert [True, False] == [certificates.remove_ca(), certificates.remove_ca()]
        assert certificates.load_ca() is None


class TestCacheDir:
    def test_the_default_is_below_home(self, tmp_path, monkeypatch):
        """
        If `XDG_CACHE_HOME` is relative, the directory is in ~/.cache.
        """
        monkeypatch.setenv("HOME", str(tmp_path / "home"))
        monkeypatch.setenv("XDG_CACHE_HOME", "relative")

        assert tmp_path / "home/.cache/codex-workspace" == cache_dir()

    def test_an_open_directory_is_closed_to_others(self, own_cache):
        """
        A directory that others can read gets the mode 0700.
        """
        own_cache.mkdir(parents=True, mode=0o755)

        assert stat.S_IMODE(cache_dir().stat().st_mode) == 0o700

    def test_the_fallback_is_in_the_temporary_directory(self, tmp_path, own_cache):
        """
        If the cache directory cannot be created, a private temporary directory is used.
        """
        own_cache.parent.write_bytes(b"a file in the way")

        found = cache_dir()

        assert tmp_path == found.parent
        assert stat.S_IMODE(found.stat().st_mode) == 0o700

    def test_a_link_in_the_temporary_directory_is_not_followed(self, tmp_path, own_cache):
        """
        Another user's link could lead the key to a place that this user reads.
        """
        own_cache.parent.write_bytes(b"a file in the way")
        fallback = cache_dir()
        fallback.rmdir()
        fallback.symlink_to(tmp_path, target_is_directory=True)

        with pytest.raises(CodexWorkspaceError, match="XDG_CACHE_HOME"):
            cache_dir()

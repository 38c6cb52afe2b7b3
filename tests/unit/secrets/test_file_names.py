"""Names of files that hold secrets."""

from __future__ import annotations

import pytest

from pytest_codex_workspace.secrets.file_names import may_hold_secret


@pytest.mark.parametrize(
    "path",
    [
        *(".env", "sub/.env", ".env.local", ".envrc", "prod.env", ".npmrc", ".netrc", ".pypirc"),
        *("tls/server.key", "ca.pem", "id_rsa", ".ssh/id_ed25519", "credentials.json", ".pgpass"),
        *("aws-credentials", "secrets.yaml", "service-account.json", "gcp_service_account.json"),
    ],
)
def test_files_that_usually_hold_secrets(path):
    """
    In any folder.
    """
    assert may_hold_secret(path)


@pytest.mark.parametrize(
    "path",
    [
        *(".env.example", ".env.sample", "credentials.example.json", "dev.txt", "environment.yml"),
        *("id_rsa.pub", "secrets/notes.md", "test_secrets.py", "setup.sh", "keys.txt"),
    ],
)
def test_other_files(path):
    """
    Examples, public keys, and code about secrets.
    """
    assert not may_hold_secret(path)

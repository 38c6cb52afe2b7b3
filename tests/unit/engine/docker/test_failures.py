"""Tests of what is said about a failed connection to an engine; test_engine.py has more."""

from __future__ import annotations

import errno
import ssl

import pytest

from pytest_codex_workspace.engine.docker.failures import reason


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (FileNotFoundError(errno.ENOENT, "x"), "no such socket"),
        (PermissionError(errno.EACCES, "x"), "permission denied"),
        (TimeoutError("timed out"), "no answer in time"),
        (OSError("x"), "x"),
        (ConnectionError(), "ConnectionError"),
    ],
)
def test_the_reason_is_that_of_the_system(error, expected):
    """
    Without one, it is the text of the error, or its name.
    """
    assert expected == reason(error)


def test_a_certificate_that_is_not_trusted_is_named():
    """
    OpenSSL's number 1 is that of EPERM, but nobody was denied a permission.
    """
    text = "[SSL: CERTIFICATE_VERIFY_FAILED] certificate verify failed"

    assert text in reason(ssl.SSLCertVerificationError(1, text))

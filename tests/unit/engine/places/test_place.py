"""Addresses of engines."""

from __future__ import annotations

import pytest

from pytest_codex_workspace.engine.places.place import home_of, split_tcp, unix_path


@pytest.mark.parametrize(
    ("url", "tls", "expected"),
    [
        ("tcp://10.0.0.1:99", False, ("10.0.0.1", 99, "")),
        ("tcp://host", False, ("host", 2375, "")),
        ("tcp://host", True, ("host", 2376, "")),
        ("tcp://[::1]:4/prefix/", False, ("::1", 4, "/prefix")),
        ("https://host:443", True, ("host", 443, "")),
    ],
)
def test_a_tcp_address_has_the_ports_of_the_docker_command(
    url: str, tls: bool, expected: tuple[str, int, str]
) -> None:
    """
    One port without TLS, another with it.
    """
    assert expected == split_tcp(url, tls=tls)


@pytest.mark.parametrize(
    ("url", "problem"),
    [
        ("tcp://", "no host"),
        ("tcp://host:99999", "port"),
        ("tcp://host:x", "port"),
        ("tcp://me:secret@host", "without anything else"),
        ("tcp://host?x=1", "without anything else"),
        ("ftp://host", "must begin with"),
    ],
)
def test_an_invalid_tcp_address_is_an_error(url: str, problem: str) -> None:
    """
    The error says what is wrong with the address, and never repeats a password.
    """
    with pytest.raises(ValueError, match=problem) as caught:
        split_tcp(url, tls=False)

    assert "secret" not in str(caught.value)


def test_the_path_of_a_socket_may_have_any_number_of_slashes() -> None:
    """
    `unix://` takes all of them.
    """
    assert ["/run/x"] * 2 == [unix_path("unix:///run/x"), unix_path("unix://run/x")]


def test_the_home_directory_is_that_of_the_variable() -> None:
    """
    As for every program.
    """
    assert "/somewhere" == home_of({"HOME": "/somewhere"})

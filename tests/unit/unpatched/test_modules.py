"""Tests of the copies of standard modules."""

from __future__ import annotations

import builtins
import http.client
import socket
import ssl
import subprocess
import sys
import time

import pytest

from pytest_codex_workspace.unpatched import modules


def broken(*_: object, **__: object) -> None:
    raise AssertionError("a test's own")


def test_a_copy_shares_no_class_with_the_original():
    """
    A change to the original's classes and functions does not reach it.
    """
    for copy, original in (
        (modules.socket.socket, socket.socket),
        (modules.ssl.SSLSocket, ssl.SSLSocket),
        (modules.ssl.SSLContext, ssl.SSLContext),
        (modules.http_client.HTTPConnection, http.client.HTTPConnection),
        (modules.http_client.HTTPResponse, http.client.HTTPResponse),
        (modules.socket.create_connection, socket.create_connection),
        (modules.subprocess.Popen, subprocess.Popen),
    ):
        assert copy is not original
        assert not isinstance(original, type) or not issubclass(copy, original)
    assert issubclass(modules.ssl.SSLSocket, modules.socket.socket)
    assert modules.http_client.socket is modules.socket


def test_a_copy_made_late_is_made_from_the_source(monkeypatch: pytest.MonkeyPatch):
    """
    What a test has replaced before is not in it, and nothing is left in the original.
    """
    monkeypatch.setattr(modules, "_COPIES", {})
    monkeypatch.setattr(socket, "socket", broken)
    monkeypatch.setattr(http.client, "HTTPConnection", broken)
    monkeypatch.setattr(ssl, "SSLContext", broken)
    monkeypatch.setattr(builtins, "open", broken)
    families, names = socket.AddressFamily, set(sys.modules)

    left, right = modules.socket.socketpair()
    with left, right:
        left.sendall(b"x")
        assert right.recv(1) == b"x"
    assert modules.http_client.HTTPConnection is not broken
    monkeypatch.setattr(time, "sleep", broken)
    monkeypatch.setattr(subprocess, "Popen", broken)
    command = [sys.executable, "-c", "print(1)"]
    done = modules.subprocess.run(command, capture_output=True, timeout=60, check=False)
    assert done.stdout == b"1\n"
    modules.ssl.SSLContext(modules.ssl.PROTOCOL_TLS_CLIENT)
    assert socket.AF_INET.__class__ is families
    assert set(sys.modules) == names


def test_other_names_are_errors():
    """
    Only the modules that a connection needs are copied.
    """
    with pytest.raises(AttributeError, match="no attribute 'os'"):
        modules.os  # noqa: B018

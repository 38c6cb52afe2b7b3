"""Tests of finding this machine's own addresses."""

from __future__ import annotations

from pytest_codex_workspace.host.own_addresses import own_addresses

FIB_TRIE = """\
Main:
  +-- 0.0.0.0/0 3 0 5
     |-- 0.0.0.0
        /0 universe UNICAST
     +-- 192.0.2.0/24 2 0 2
        |-- 192.0.2.0
           /24 link UNICAST
        |-- 192.0.2.2
           /32 host LOCAL
        |-- 192.0.2.255
           /32 link BROADCAST
"""


def test_only_local_addresses_are_found(tmp_path):
    """
    IPv4 and IPv6 addresses are found; networks and broadcast addresses are not.
    """
    (tmp_path / "fib_trie").write_text(FIB_TRIE)
    (tmp_path / "if_inet6").write_text("fd000000000000000000000000000002 02 40 00 80 eth0\n")

    assert ("192.0.2.2", "fd00::2") == own_addresses(tmp_path)


def test_systems_without_these_files_have_no_addresses(tmp_path):
    """
    Other systems than Linux lack the files, and the result is empty.
    """
    assert () == own_addresses(tmp_path)

"""Where queries come from."""

from __future__ import annotations

from proxy_addons.dns.query_source import QuerySource


def test_a_datagram_says_nothing_of_its_socket() -> None:
    """
    Whether that is still open is not known.
    """
    assert QuerySource("udp", ("172.30.0.9", 40000), ("172.30.0.2", 53)).is_open()

"""Compressed bodies; record/test_bodies.py has what is kept of them."""

from __future__ import annotations

import gzip
import zlib

import pytest

from proxy_addons.state.compression import decompress


@pytest.mark.parametrize("pack", [gzip.compress, zlib.compress])
def test_no_more_is_decompressed_than_asked_for(pack) -> None:
    """
    Whatever the body would decompress to.
    """
    encoding = "gzip" if pack is gzip.compress else "deflate"
    body = pack(b"x" * 1_000_000)

    assert decompress(body, encoding, 10) == b"x" * 10
    assert len(decompress(body, encoding, 2_000_000)) == 1_000_000


@pytest.mark.parametrize("encoding", ["", "identity", "br", "gzip"])
def test_another_encoding_and_damage_leave_a_body_as_it_is(encoding: str) -> None:
    """
    Who reads it sees what was sent.
    """
    assert decompress(b"not compressed", encoding, 1000) == b"not compressed"

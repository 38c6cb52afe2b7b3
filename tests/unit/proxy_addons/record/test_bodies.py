"""The first bytes of bodies."""

from __future__ import annotations

import base64
import gzip
import zlib

import pytest

from proxy_addons.record.bodies import BodyPrefix

TEXT = b"hello " * 1000


def _raw_deflate(data: bytes) -> bytes:
    packer = zlib.compressobj(wbits=-15)
    return packer.compress(data) + packer.flush()


@pytest.mark.parametrize(
    ("encoding", "body"),
    [
        ("", TEXT),
        ("identity", TEXT),
        ("gzip", gzip.compress(TEXT)),
        (" GZIP ", gzip.compress(TEXT)),
        ("deflate", zlib.compress(TEXT)),
        ("deflate", _raw_deflate(TEXT)),
    ],
    # Not the bytes: gzip has the time in them, and workers of a parallel run must agree.
    ids=["none", "identity", "gzip", "odd spelling", "deflate", "deflate without header"],
)
def test_a_body_is_decompressed_up_to_the_limit(encoding: str, body: bytes) -> None:
    """
    However it comes in pieces, as many bytes are kept as the test asked for.
    """
    prefix = BodyPrefix(100)
    for at in range(0, len(body), 7):
        prefix.add(body[at : at + 7])

    kept = prefix.encoded(encoding)
    assert kept is not None
    assert base64.b64decode(kept) == TEXT[:100]


def test_a_small_body_does_not_unpack_to_a_large_one() -> None:
    """
    A zip bomb gives as many bytes as are kept, and no more.
    """
    prefix = BodyPrefix(5000)
    prefix.add(gzip.compress(bytes(6_000_000))[:5000])

    assert len(base64.b64decode(prefix.encoded("gzip") or "")) == 5000


def test_a_body_with_the_wrong_encoding_is_kept_as_it_is() -> None:
    """
    A server may lie about the content-encoding.
    """
    prefix = BodyPrefix(10)
    prefix.add(b"plain")

    assert base64.b64decode(prefix.encoded("gzip") or "") == b"plain"


def test_nothing_is_kept_without_a_limit() -> None:
    """
    Bodies are kept only if a test asks for them.
    """
    prefix = BodyPrefix(0)
    prefix.add(b"secret")

    assert prefix.encoded("") is None

"""Compressed bodies, which may be small and decompress to any size."""

from __future__ import annotations

import zlib

__all__ = ["decompress"]


def decompress(data: bytes, encoding: str, limit: int) -> bytes:
    """
    Return the beginning of a body in gzip or deflate, decompressed. What is in another encoding, or
    damaged, comes back as it is.

    Args:
        data: the body, or its beginning.
        encoding: the content-encoding.
        limit: bytes to return at most.
    """
    windows = {"gzip": (31,), "deflate": (15, -15)}.get(encoding.strip().lower(), ())
    for window in windows:
        try:
            return zlib.decompressobj(window).decompress(data, limit)
        except zlib.error:
            continue
    return data

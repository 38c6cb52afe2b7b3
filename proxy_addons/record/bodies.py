"""
The first bytes of bodies, for tests that ask to see them.
"""

from __future__ import annotations

import base64
import zlib

__all__ = ["Kept"]


class Kept:
    """
    As much of a body as is to be kept.

    Args:
        limit: bytes to keep; none are with 0.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._data = b""

    def add(self, data: bytes) -> None:
        """
        The next piece of the body.
        """
        missing = self._limit - len(self._data)
        if missing > 0:
            self._data += data[:missing]

    def encoded(self, encoding: str) -> str | None:
        """
        What was kept, unpacked if it was packed with gzip or deflate, at most
        as many bytes as are kept, in base64; `None` if nothing is to be kept.
        """
        if not self._limit:
            return None
        return base64.b64encode(_unpacked(self._data, encoding, self._limit)).decode("ascii")


def _unpacked(data: bytes, encoding: str, limit: int) -> bytes:
    windows = {"gzip": (31,), "deflate": (15, -15)}.get(encoding.strip().lower(), ())
    for window in windows:
        try:
            return zlib.decompressobj(window).decompress(data, limit)
        except zlib.error:
            continue
    return data

"""
The first bytes of bodies, for tests that want to see them.
"""

from __future__ import annotations

import base64

from ..state.compression import decompress

__all__ = ["BodyPrefix"]


class BodyPrefix:
    """
    Collects the first bytes of a body.

    Args:
        limit: bytes to keep; 0 keeps nothing.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._data = b""

    def add(self, data: bytes) -> None:
        """
        Add the next piece of the body.
        """
        missing = self._limit - len(self._data)
        if missing > 0:
            self._data += data[:missing]

    def encoded(self, encoding: str) -> str | None:
        """
        Return the kept bytes in base64, `None` if the limit is 0.

        Args:
            encoding: the content-encoding. A body in gzip or deflate is decompressed,
                to at most as many bytes as are kept.
        """
        if not self._limit:
            return None
        return base64.b64encode(decompress(self._data, encoding, self._limit)).decode("ascii")

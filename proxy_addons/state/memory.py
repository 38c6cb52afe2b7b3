"""
Memory that the proxy has freed.
"""

from __future__ import annotations

import ctypes

__all__ = ["return_free_memory"]


def return_free_memory() -> None:
    """
    Give freed memory back to the system, where the C library can do that.

    Otherwise it keeps what a flood needed, and the next flood, in pieces of another size,
    needs its own besides.
    """
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)

"""Unpacking archives of our own."""

from __future__ import annotations

import tarfile
from pathlib import Path


def unpack_all(tar: tarfile.TarFile, where: Path) -> None:
    """
    Unpack *tar* below *where*, as it is. Python 3.11 has filters only from 3.11.4 on, and Debian
    bookworm has 3.11.2.
    """
    if hasattr(tarfile, "fully_trusted_filter"):
        tar.extractall(where, filter="fully_trusted")
    else:
        tar.extractall(where)

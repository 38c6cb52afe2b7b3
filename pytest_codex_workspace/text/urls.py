"""Addresses as users may see them."""

from __future__ import annotations

from urllib.parse import urlsplit

__all__ = ["without_credentials"]


def without_credentials(url: str) -> str:
    """
    Return *url* without user and password. Anything but a URL is returned unchanged.

    Raises:
        ValueError: *url* is invalid.
    """
    if "://" not in url:
        return url
    parts = urlsplit(url)
    host = parts.netloc.rpartition("@")[2]
    return url if host == parts.netloc else parts._replace(netloc=host).geturl()

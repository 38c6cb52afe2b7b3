"""Addresses as users may see them."""

from __future__ import annotations

from urllib.parse import urlsplit

__all__ = ["without_credentials"]


def without_credentials(url: str) -> str:
    """
    Return *url* without user and password. Anything but a URL is returned unchanged; of what only
    looks like one, nothing is left in front of the last @.
    """
    if "://" not in url:
        return url
    try:
        parts = urlsplit(url)
    except ValueError:
        return url.partition("://")[0] + "://" + url.partition("://")[2].rpartition("@")[2]
    host = parts.netloc.rpartition("@")[2]
    return url if host == parts.netloc else parts._replace(netloc=host).geturl()

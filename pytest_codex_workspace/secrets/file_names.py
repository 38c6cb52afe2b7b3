"""Files that usually hold secrets, told by their names."""

from __future__ import annotations

import re

__all__ = ["may_hold_secret"]

_NAMES = re.compile(
    r"\.env(?:rc|\..+)?|.+\.env"
    r"|.+\.(?:pem|key|p12|pfx|jks|keystore|kdbx|tfvars)"
    r"|id_(?:rsa|dsa|ecdsa|ed25519)"
    r"|\.(?:npmrc|yarnrc\.yml|netrc|pypirc|pgpass|git-credentials|dockercfg|htpasswd|vault-token)"
    r"|_netrc|(?:.+[-_.])?(?:credentials?|secrets?|service[-_]account)"
    r"(?:\.(?:json|ya?ml|toml|ini|txt|sh|env))?"
)
_EXAMPLE = re.compile(r"[-_.](?:example|sample|template|tmpl|dist|defaults?)(?:[-_.]|$)")


def may_hold_secret(path: str) -> bool:
    """
    Check whether a file is likely to hold secrets, so that nobody should be told to commit it.
    An example of such a file, such as `.env.example`, holds none.

    Args:
        path: its path, with slashes.
    """
    name = path.rpartition("/")[2].lower()
    return _NAMES.fullmatch(name) is not None and _EXAMPLE.search(name) is None

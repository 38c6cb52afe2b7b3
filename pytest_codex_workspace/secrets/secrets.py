"""Secrets: variables that only the setup scripts get, and that are never shown or stored."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import fields, replace
from functools import cached_property
from typing import Any

from ..codex import workspace_environment
from ..errors import SecretError
from ..network.rules.request import Request
from ..text.loggers import hide
from .redaction import SHORTEST, Redaction

__all__ = ["NO_SECRETS", "Secrets"]

# The cost of one guess: 0.1 s and 32 MiB.
_COST = {"n": 1 << 15, "r": 8, "p": 1, "maxmem": 64 << 20}


class Secrets:
    """
    Variables of this machine's environment by name. Their values are read only when
    a script or a key needs them, and do not leave this process otherwise.

    Args:
        names: names of the variables.
        environ: the environment with their values.
    """

    def __init__(self, names: Sequence[str] = (), environ: Mapping[str, str] | None = None) -> None:
        self.names: tuple[str, ...] = tuple(sorted(names))
        self._environ = environ or {}
        self._digests: dict[str, str] = {}
        self._redaction = Redaction(())

    def __repr__(self) -> str:
        return f"<Secrets {', '.join(self.names) or 'none'}>"

    @cached_property
    def values(self) -> Mapping[str, str]:
        """
        The values by name.

        Raises:
            SecretError: a secret is not set, or cannot be kept secret.
        """
        usual = workspace_environment({})
        found: dict[str, str] = {}
        for name in self.names:
            value = self._environ.get(name)
            if value is None:
                raise SecretError(
                    f"the secret {name} is not set: set the environment variable {name}, which the "
                    f"setup scripts need, or remove {name} from the secrets"
                )
            if name in usual:
                raise SecretError(
                    f"{name} cannot be a secret: every workspace has a variable of that name; "
                    "rename the secret"
                )
            if len(value.strip()) < SHORTEST:
                raise SecretError(
                    f"the secret {name} has fewer than {SHORTEST} characters, too few to recognise "
                    "it in logs; use a longer value, or make it a plain variable (env)"
                )
            found[name] = _Value(value)
        self._redaction = Redaction(found.values())
        hide(self._redaction)
        return found

    @property
    def redaction(self) -> Redaction:
        """
        Removes the values that were read so far.
        """
        return self._redaction

    def check_apart(self, env: Mapping[str, str]) -> None:
        """
        Check that no variable of *env*, which all commands of a workspace see, is a secret.

        Raises:
            SecretError: a variable is a secret.
        """
        for name in self.names:
            if name in env:
                raise SecretError(
                    f"{name} is both a secret and a plain variable of this workspace (from a "
                    "marker or the fixture codex_env); remove one of the two"
                )

    def digest(self, salt: str) -> str:
        """
        Return a digest of all values. Computing it is slow on purpose: the digest
        becomes part of public data, and short values could be guessed.

        Raises:
            SecretError: a secret is not set.
        """
        if salt not in self._digests:
            text = json.dumps(dict(self.values), sort_keys=True).encode("ascii")
            key = hashlib.scrypt(text, salt=salt.encode(), dklen=16, **_COST)
            self._digests[salt] = key.hex()
        return self._digests[salt]

    def hide(self, request: Request) -> Request:
        """
        Return *request* without the values that were read so far.
        """
        if "values" not in self.__dict__ or not self.names:
            return request
        # Every field: a workspace may send a value anywhere.
        hidden: dict[str, Any] = {}
        for field in fields(request):
            value = getattr(request, field.name)
            if isinstance(value, str):
                hidden[field.name] = self._redaction.text(value)
            elif isinstance(value, bytes):
                hidden[field.name] = self._redaction.data(value)
        return replace(request, **hidden)


class _Value(str):
    """
    Text whose value no traceback shows.
    """

    __slots__ = ()

    def __repr__(self) -> str:
        return "'***'"


NO_SECRETS = Secrets()
"""The secrets of a repository without secrets."""

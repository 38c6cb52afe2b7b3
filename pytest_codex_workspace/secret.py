"""Secrets: variables that only setup scripts get, and that nothing of ours shows or keeps."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cached_property

from .codex import workspace_environment
from .errors import SecretError
from .network.request import Request
from .redaction import SHORTEST, Redaction

__all__ = ["NO_SECRETS", "Secrets"]

# A guess takes this machine 0.1 s and 32 MiB.
_COST = {"n": 1 << 15, "r": 8, "p": 1, "maxmem": 64 << 20}


class Secrets:
    """
    Variables of this machine's environment by name. Their values are looked up
    when a script or a key needs them, and stay in this process.

    Args:
        names: of the variables.
        environ: holds their values.
    """

    def __init__(self, names: Sequence[str] = (), environ: Mapping[str, str] | None = None) -> None:
        self.names = tuple(sorted(names))
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
            SecretError: one is not set, or cannot be kept secret.
        """
        usual = workspace_environment({})
        found: dict[str, str] = {}
        for name in self.names:
            value = self._environ.get(name)
            if value is None:
                raise SecretError(
                    f"the secret {name} is not set: the setup scripts need the variable {name} in "
                    "the environment that this runs in (or take it off the list of secrets)"
                )
            if name in usual:
                raise SecretError(
                    f"{name} cannot be a secret: every workspace has a variable of that name"
                )
            if len(value.strip()) < SHORTEST:
                raise SecretError(
                    f"the secret {name} has less than {SHORTEST} characters, which cannot be told "
                    "from other text in logs; make it a variable (env) if it need not be secret"
                )
            found[name] = _Value(value)
        self._redaction = Redaction(found.values())
        return found

    @property
    def redaction(self) -> Redaction:
        """
        Takes the values that were looked up out of what is shown.
        """
        return self._redaction

    def check_apart(self, env: Mapping[str, str]) -> None:
        """
        Raises:
            SecretError: a variable of *env*, which a whole workspace sees, is a secret.
        """
        for name in self.names:
            if name in env:
                raise SecretError(
                    f"{name} is a secret, and a variable of this workspace too, by a marker or the "
                    "fixture codex_env; what all may see is no secret, so leave one of them out"
                )

    def digest(self, salt: str) -> str:
        """
        What changes with any value. Slow to compute, because part of what it
        goes into is public and some values are short.

        Raises:
            SecretError: a value is missing.
        """
        if salt not in self._digests:
            text = json.dumps(dict(self.values), sort_keys=True).encode("ascii")
            key = hashlib.scrypt(text, salt=salt.encode(), dklen=16, **_COST)
            self._digests[salt] = key.hex()
        return self._digests[salt]

    def hide(self, request: Request) -> Request:
        """
        *request* without the values that were looked up.
        """
        if "values" not in self.__dict__ or not self.names:
            return request
        text, data = self._redaction.text, self._redaction.data
        return replace(
            request,
            host=text(request.host),
            path=text(request.path),
            url=text(request.url),
            explanation=text(request.explanation),
            request_body=None if request.request_body is None else data(request.request_body),
            response_body=None if request.response_body is None else data(request.response_body),
        )


class _Value(str):
    """
    A text that no traceback shows.
    """

    __slots__ = ()

    def __repr__(self) -> str:
        return "'***'"


NO_SECRETS = Secrets()
"""What most repositories have."""

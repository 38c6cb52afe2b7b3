"""Network secrets: a workspace has a placeholder, and the proxy sends the value to named hosts."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any

from ..codex import workspace_environment
from ..errors import SecretError
from ..text.loggers import hide
from .redaction import SHORTEST, Redaction

__all__ = ["NetworkSecrets", "placeholder_of"]

_LONGEST = 4096


def placeholder_of(name: str) -> str:
    """
    Return the placeholder of a secret. It is always the same, because setup scripts may write it
    to files of a cached image; knowing it is of no use, as only the named hosts get the value.
    """
    digest = hashlib.sha256(f"network secret {name}".encode("ascii")).hexdigest()[:16]
    return f"codex_secret_{name}_{digest}"


class NetworkSecrets:
    """
    Variables of this machine's environment, each with the hosts that may get its value. The
    values are read only for the proxy, and do not leave this process otherwise.

    Args:
        hosts: the hosts by name of the variable, as in a policy.
        environ: the environment with the values.
    """

    def __init__(self, hosts: Mapping[str, Sequence[str]], environ: Mapping[str, str]) -> None:
        self._hosts = {name: tuple(hosts[name]) for name in sorted(hosts)}
        self._environ = environ
        self._redaction = Redaction(())

    def __repr__(self) -> str:
        return f"<NetworkSecrets {', '.join(self._hosts) or 'none'}>"

    @property
    def variables(self) -> dict[str, str]:
        """
        The variables of a workspace: the placeholders by name.
        """
        return {name: placeholder_of(name) for name in self._hosts}

    def rules(self) -> list[dict[str, Any]]:
        """
        Return what the proxy has to know.

        Raises:
            SecretError: a secret is not set, or cannot be part of a header field.
        """
        usual = workspace_environment({})
        found = []
        for name, hosts in self._hosts.items():
            value = self._environ.get(name)
            if value is None:
                raise SecretError(
                    f"the network secret {name} is not set: set the environment variable {name}, "
                    f"or remove {name} from the network secrets"
                )
            if name in usual:
                raise SecretError(
                    f"{name} cannot be a network secret: every workspace has a variable of that "
                    "name; rename the secret"
                )
            if not SHORTEST <= len(value.strip()) == len(value) <= _LONGEST:
                raise SecretError(
                    f"the network secret {name} must have {SHORTEST} to {_LONGEST} characters, and "
                    "no space around them; correct the variable"
                )
            if not (value.isascii() and value.isprintable()):
                raise SecretError(
                    f"the network secret {name} has characters that cannot be in a header field "
                    "(only printable ASCII can); use another value"
                )
            found.append(
                {"placeholder": placeholder_of(name), "value": value, "hosts": list(hosts)}
            )
        self._redaction = Redaction(str(one["value"]) for one in found)
        hide(self._redaction)
        return found

    def check_apart(self, env: Mapping[str, str]) -> None:
        """
        Check that no variable of *env* has the name of a network secret.

        Raises:
            SecretError: a variable has.
        """
        for name in self._hosts:
            if name in env:
                raise SecretError(
                    f"{name} is both a network secret and a plain variable of this workspace; "
                    "remove one of the two"
                )

"""Errors of the connection to an engine in words for the user."""

from __future__ import annotations

import contextlib
import errno
from typing import TYPE_CHECKING

from docker.errors import DockerException

from ...errors import EngineError, EngineUnavailable
from ...unpatched import modules

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ...errors import ImageBuildError

__all__ = ["SILENCE", "reason", "to_engine_error", "translate_errors"]

SILENCE = "no answer in time"
"""The reason for the failure of a call that took too long."""

_NO_ADDRESS = (
    "The engine has no network address left. `codex-workspace clean` removes networks of runs "
    "that were killed; `docker network prune` removes other unused networks."
)

_NO_IMAGE = "Build, import or pull the image first."

_ADVICE = {
    "no space left on device": (
        "The engine's disk is full. `codex-workspace clean` removes what this package left behind; "
        "`docker system df` shows what else uses space."
    ),
    "ipv4 address pool": _NO_ADDRESS,
    "predefined address pools": _NO_ADDRESS,
    "find free subnet": (
        "Podman has no network address left. `codex-workspace clean` removes networks of runs that "
        "were killed; `podman network prune` removes other unused networks. If a VPN has a route "
        "to all of 10.0.0.0/8, give Podman other addresses: default_subnet_pools in "
        "containers.conf."
    ),
    "no such image": _NO_IMAGE,
    "image not known": _NO_IMAGE,
    "reference does not exist": _NO_IMAGE,
}
"""Fragments of the engine's messages, in lower case, and what to do about each."""

_REASONS = {
    errno.ENOENT: "no such socket",
    errno.EACCES: "permission denied",
    errno.EPERM: "permission denied",
    errno.ECONNREFUSED: "connection refused: nothing listens there",
    errno.EHOSTUNREACH: "no route to that host",
    errno.ENETUNREACH: "no route to that network",
    errno.ETIMEDOUT: SILENCE,
}

_WORDS = 2000
"""The largest number of characters of an engine's message."""


def to_engine_error(
    what: str,
    words: str,
    kind: type[EngineError | ImageBuildError] = EngineError,
    *,
    details: str = "",
) -> EngineError | ImageBuildError:
    """
    Return the error for a call that the engine refused, with the remedy if it is known.

    Args:
        what: the action, as in "could not ...".
        words: the engine's own message.
        kind: the error class.
        details: further text after the engine's message.
    """
    # A registry's answer can be part of it.
    words = shortened(words.strip(), _WORDS)
    text = f"The container engine could not {what}: {words or 'the engine gave no reason'}"
    advice = next((a for fragment, a in _ADVICE.items() if fragment in words.lower()), "")
    return kind(text + details, remedy=advice)


def shortened(text: str, limit: int) -> str:
    """
    Return *text*, without its middle if it has more than *limit* characters.
    """
    half = limit // 2
    return text if len(text) <= limit else f"{text[:half]} [...] {text[-half:]}"


def reason(error: BaseException) -> str:
    """
    Return why a connection failed: the system's reason if there is one,
    otherwise the text of the innermost exception.
    """
    chain = list(_chain(error))
    # The number in an error of TLS is one of OpenSSL's: 1 is not EPERM.
    system = [one for one in chain if not isinstance(one, modules.ssl.SSLError)]
    for one in system:
        if isinstance(one, OSError) and one.errno in _REASONS:
            return _REASONS[one.errno]
    if any(isinstance(one, TimeoutError) for one in chain):
        return SILENCE
    return str(chain[-1]) or type(chain[-1]).__name__


def _chain(error: BaseException) -> Iterator[BaseException]:
    """
    Yield *error* and the exceptions it wraps. The cause is kept in an attribute, an argument or
    `__cause__`.
    """
    queue, seen = [error], set[int]()
    while queue:
        current = queue.pop(0)
        if id(current) in seen:
            continue
        seen.add(id(current))
        yield current
        inner = (getattr(current, "reason", None), *current.args, current.__cause__)
        queue += [one for one in inner if isinstance(one, BaseException)]


@contextlib.contextmanager
def translate_errors(
    what: str, url: str, refused: type[EngineError | ImageBuildError] = EngineError
) -> Iterator[None]:
    """
    Turn errors of the SDK and of the connection in the block into our own errors.

    Args:
        what: the action, as in "could not ...".
        url: the engine's address.
        refused: the error class for an engine that answers and refuses.
    """
    try:
        yield
    except (modules.http_client.HTTPException, OSError) as error:
        raise EngineUnavailable(
            f"The container engine at {url} stopped responding, so it could not {what}: "
            f"{reason(error)}",
            remedy="Check that the engine is running (`docker version`), and run again.",
        ) from None
    except DockerException as error:
        raise to_engine_error(what, str(error), refused) from None

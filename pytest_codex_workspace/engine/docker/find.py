"""Finding the container engine to use."""

from __future__ import annotations

import grp
import os
import pwd
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from docker.context import ContextAPI
from docker.context.config import get_current_context_name
from docker.errors import DockerException
from docker.utils import kwargs_from_env

from ...errors import EngineUnavailable
from ...text.option_names import spell_option
from ...text.phrases import did_you_mean
from ...unpatched import modules
from .engine import DockerEngine
from .transport import ssh_command, unix_path

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from docker.tls import TLSConfig

    from ..protocol import Engine

__all__ = ["find_engine", "locate_engine"]

_SCHEMES = ("unix://", "tcp://", "ssh://")

_WORDS = ("auto", "docker", "podman")

_SSH_TIMEOUT = 15.0
"""Seconds to wait for ssh when it is asked why it failed."""


@dataclass(frozen=True, slots=True)
class _Candidate:
    """
    An address where an engine may be, and the setting that led to the address.

    An address with a `problem` cannot be tried.
    """

    origin: str
    url: str = ""
    tls: TLSConfig | None = None
    problem: str = ""

    def __str__(self) -> str:
        return f"{self.origin}, {self.url}" if self.url else self.origin


def find_engine(choice: str = "auto", environ: Mapping[str, str] = os.environ) -> Engine:
    """
    Return the engine that *choice* names.

    If the user has named an engine (a URL, `DOCKER_HOST`, a docker context), no
    other engine is tried, as with the docker command: images and containers must
    not end up in the wrong engine.

    Args:
        choice: `auto`: the engine named by `DOCKER_HOST` or by the current docker
            context, otherwise Docker's usual sockets, then Podman's. `docker`: the
            same without Podman's sockets. `podman`: only Podman's sockets. Or a URL:
            `unix://`, `tcp://` (with `DOCKER_TLS_VERIFY` and `DOCKER_CERT_PATH`), `ssh://`.
        environ: the environment.

    Raises:
        EngineUnavailable: *choice* is invalid, or no engine answers. The text
            lists what was tried, why it failed and what to do.
    """
    return locate_engine(choice, environ)[0]


def locate_engine(
    choice: str = "auto", environ: Mapping[str, str] = os.environ
) -> tuple[Engine, str]:
    """
    Return the engine that *choice* names, and the setting that led to the engine,
    such as `DOCKER_HOST`.
    """
    tried: list[str] = []
    for candidate in _candidates(choice, environ):
        try:
            if candidate.problem:
                raise EngineUnavailable(candidate.problem)
            return DockerEngine(candidate.url, candidate.tls), candidate.origin
        except EngineUnavailable as error:
            tried.append(f"  - {candidate}: {_why(candidate.url, str(error))}")
    raise EngineUnavailable(
        "\n".join(["No container engine answers. Tried:", *tried]),
        remedy=_next_step(choice, environ),
    )


def _candidates(choice: str, environ: Mapping[str, str]) -> Iterator[_Candidate]:
    if choice.startswith(_SCHEMES):
        yield _with_tls("the engine option", choice, environ)
    elif choice == "podman":
        yield from _podman_sockets(environ)
    elif choice not in _WORDS:
        hint = did_you_mean(
            choice, _WORDS, first=[f"unix://{choice}"] if choice.startswith("/") else ()
        )
        raise EngineUnavailable(
            f"{choice!r} is not a container engine. Give auto, docker, podman, or a URL that "
            f"begins with unix://, tcp:// or ssh://{hint}"
        )
    elif host := environ.get("DOCKER_HOST"):
        yield _with_tls("DOCKER_HOST", host, environ)
    elif context := _context(environ):
        yield context
    else:
        yield from _docker_sockets(environ)
        if choice == "auto":
            yield from _podman_sockets(environ)


def _with_tls(origin: str, url: str, environ: Mapping[str, str]) -> _Candidate:
    if not url.startswith("tcp://"):
        return _Candidate(origin, url)
    try:
        # The SDK treats an empty mapping like a missing one.
        return _Candidate(origin, url, kwargs_from_env({**environ, "DOCKER_HOST": url}).get("tls"))
    except DockerException as error:
        words = getattr(error, "msg", None) or str(error)
        return _Candidate(origin, url, problem=f"the certificates in DOCKER_CERT_PATH: {words}")


def _context(environ: Mapping[str, str]) -> _Candidate | None:
    """
    Return the current docker context; `None` for the built-in one.
    """
    name = environ.get("DOCKER_CONTEXT") or get_current_context_name() or "default"
    if name == "default":
        return None
    origin = f"the docker context {name!r}"
    try:
        context = ContextAPI.get_context(name)
    # The SDK raises bare `Exception` for a damaged context.
    except Exception as error:
        return _Candidate(origin, problem=f"it cannot be read: {error}")
    if context is None:
        return _Candidate(
            origin, problem="there is no context of that name; see `docker context ls`"
        )
    return _Candidate(origin, context.Host or "", context.TLSConfig)


def _docker_sockets(environ: Mapping[str, str]) -> Iterator[_Candidate]:
    yield _Candidate("the default socket", "unix:///var/run/docker.sock")
    yield _Candidate("rootless Docker", f"unix://{_runtime_dir(environ)}/docker.sock")
    desktop = Path(environ.get("HOME") or "~").expanduser() / ".docker" / "run" / "docker.sock"
    if desktop.exists():
        yield _Candidate("Docker Desktop", f"unix://{desktop}")


def _podman_sockets(environ: Mapping[str, str]) -> Iterator[_Candidate]:
    yield _Candidate("rootless Podman", f"unix://{_runtime_dir(environ)}/podman/podman.sock")
    yield _Candidate("Podman", "unix:///run/podman/podman.sock")


def _runtime_dir(environ: Mapping[str, str]) -> str:
    return environ.get("XDG_RUNTIME_DIR") or f"/run/user/{os.getuid()}"


def _why(url: str, reason: str) -> str:
    """
    Return *reason* with advice for this kind of address.
    """
    if url.startswith("unix://") and reason == "permission denied":
        return f"{reason}; {_way_in(unix_path(url))}"
    if url.startswith("ssh://"):
        return f"{reason}; {_ssh_words(url)}"
    return reason


def _way_in(path: str) -> str:
    """
    Return how this user gets access to a socket. Only a group that may write to it helps, and
    that of root would give far more than that.
    """
    try:
        state = Path(path).stat()
        group = grp.getgrgid(state.st_gid).gr_name
    except (OSError, KeyError):
        return "run as a user who may write to that socket, or as root"
    if not state.st_mode & stat.S_IWGRP or not state.st_gid:
        return f"only {_owner(state.st_uid)} may write to that socket: run as that user, or as root"
    if state.st_gid in _groups_of_user():
        return f"you are a member of its group {group} since your last login: log in again"
    return (
        f"add yourself to its group {group} (`sudo usermod -aG {group} $USER`, log in again), or "
        "run as root"
    )


def _owner(number: int) -> str:
    try:
        return pwd.getpwuid(number).pw_name
    except KeyError:
        return f"the user {number}"


def _groups_of_user() -> list[int]:
    """
    Return the groups that this user will have after the next login.
    """
    try:
        user = pwd.getpwuid(os.getuid())
        return os.getgrouplist(user.pw_name, user.pw_gid)
    except (OSError, KeyError):
        return []


def _ssh_words(url: str) -> str:
    """
    Return the message of ssh for a command without effect.
    """
    command = [*ssh_command(url), "docker", "version"]
    advice = f"`{' '.join(command)}` must work without asking for anything"
    try:
        answer = modules.subprocess.run(
            command,
            stdin=modules.subprocess.DEVNULL,
            stdout=modules.subprocess.DEVNULL,
            stderr=modules.subprocess.PIPE,
            timeout=_SSH_TIMEOUT,
            check=False,
        )
    except (OSError, modules.subprocess.TimeoutExpired) as error:
        return f"{error}; {advice}"
    lines = answer.stderr.decode(errors="replace").strip().splitlines()
    return f"ssh says {lines[-1]!r}; {advice}" if lines else advice


def _next_step(choice: str, environ: Mapping[str, str]) -> str:
    named = spell_option("engine", "URL")
    if choice == "podman":
        return "Start Podman's service: `systemctl --user start podman.socket`."
    if choice in _WORDS and environ.get("DOCKER_HOST"):
        return f"Correct or unset DOCKER_HOST, or name an engine with {named}."
    if choice in _WORDS and _context(environ):
        return (
            "Start that engine, choose another context with `docker context use`, or name an "
            f"engine with {named}."
        )
    if choice in _WORDS:
        return (
            "Install and start Docker (Debian, Ubuntu: `sudo apt-get install docker.io`) or "
            f"Podman, or name an engine with {named}."
        )
    return (
        f"Start that engine, or leave out {spell_option('engine')} to use any engine that is found."
    )

"""Finding the container engine to use."""

from __future__ import annotations

import grp
import os
import pwd
import re
import stat
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from ...errors import EngineUnavailable
from ...text.option_names import spell_option
from ...unpatched import modules
from ..extension import open_extension
from ..native.find import open_engine
from ..places import docker_contexts, podman_service
from ..places.choose import WORDS, places_of
from ..places.place import Place, SshWay, unix_path
from ..places.ssh import ssh_command

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ..protocol import Engine

__all__ = ["Located", "find_engine", "locate_engine"]

_SSH_TIMEOUT = 15.0
"""Seconds to wait for ssh when it is asked why it failed."""

_PLAIN = re.compile("not a container engine|closed connection|reset by peer")
"""What comes of plain HTTP where TLS is expected."""

_QUIET = ("ConnectTimeout=", "ServerAlive", "PermitLocalCommand=")

_NO_PROGRAM = re.compile(
    r"docker\b.*(not found|not recognized|no such file)|not found.*docker", re.I
)
"""What a shell says of a machine that has no docker command."""

_PASSED = 3
"""How many engines that refused are told beside one that answers."""


class Located(NamedTuple):
    """
    An engine, and how it was found.

    Attributes:
        engine: the engine, connected.
        origin: the setting or the search that led to it, such as `DOCKER_HOST`.
        passed_over: what was tried before and is there but does not answer, with the reasons.
    """

    engine: Engine
    origin: str
    passed_over: tuple[str, ...] = ()


def find_engine(choice: str = "auto", environ: Mapping[str, str] | None = None) -> Engine:
    """
    Return the engine that *choice* names.

    If the user has named an engine (a URL, `DOCKER_HOST`, a docker context), no
    other engine is tried, as with the docker command: images and containers must
    not end up in the wrong engine.

    Args:
        choice: `auto`: the engine named by `DOCKER_HOST` or by the current docker
            context, otherwise Docker's usual sockets, then what `podman` stands for,
            then, on Linux and if no engine is there at all, `native`.
            `docker`: the first of these, without Podman. `podman`: the service named by
            `CONTAINER_HOST` or `CONTAINER_CONNECTION`, otherwise Podman's sockets, its
            default connection, its virtual machines, and a service that is started.
            `native`: no daemon, but the kernel's namespaces. A
            URL: `unix://`, `tcp://` (with `DOCKER_TLS_VERIFY` and `DOCKER_CERT_PATH`),
            `ssh://`, `native://`. Or the name of a docker context; `context:NAME` if it is
            one of the words. Or the name of an engine that another distribution adds, or a
            URL with that name as its scheme.
        environ: the environment; that of this process by default.

    Raises:
        EngineUnavailable: *choice* is invalid, or no engine answers. The text
            lists what was tried, why it failed and what to do.
        PluginError: the engine of another distribution cannot be used.
    """
    return locate_engine(choice, os.environ if environ is None else environ).engine


def locate_engine(choice: str = "auto", environ: Mapping[str, str] = os.environ) -> Located:
    """
    Return the engine that *choice* names, and how it was found.
    """
    tried: list[str] = []
    there: list[str] = []
    waiting = places_of(choice, environ)
    again: Place | None = None
    alone = False
    while (place := again or next(waiting, None)) is not None:
        again = None
        if place.last_resort and there:
            # Images must not be built anew because an engine is down for a minute.
            tried.append(f"  - {place}: not tried, as there is an engine that may answer later")
            continue
        try:
            return _open(place, choice, environ, tuple(there[-_PASSED:]))
        except EngineUnavailable as error:
            why = _why(place, str(error))
            if _lacks_docker(place, why):
                again = replace(place, ssh=replace(place.ssh, program="podman"))
            tried.append(f"  - {place}: {why}")
            alone = alone or place.last_resort
            if "no such socket" not in why:
                there.append(f"{place}: {why}")
    raise EngineUnavailable(
        "\n".join(["No container engine answers. Tried:", *tried]),
        remedy=_next_step(choice, environ, offer="" if alone else "native"),
    )


def _open(
    place: Place, choice: str, environ: Mapping[str, str], passed_over: tuple[str, ...]
) -> Located:
    if place.problem:
        raise EngineUnavailable(place.problem)
    if place.extension is not None:
        return Located(open_extension(place.extension, choice, environ), place.origin)
    if place.url.startswith("native://"):
        return Located(open_engine(place.url), place.origin, passed_over)
    # What talks to a daemon takes as long to load as a native workspace takes to start.
    from .engine import DockerEngine

    if not place.starts:
        engine = DockerEngine(place.url, place.tls, place.ssh)
        return Located(engine, place.origin, passed_over)
    service = podman_service.start_podman(environ)
    engine = DockerEngine(service.url, service=service)
    return Located(engine, f"{place.origin}; its output is in {service.log}", passed_over)


def _lacks_docker(place: Place, why: str) -> bool:
    return (
        place.url.startswith("ssh://")
        and place.ssh.program == "docker"
        and _NO_PROGRAM.search(why) is not None
    )


def _why(place: Place, reason: str) -> str:
    """
    Return *reason* with advice for this kind of address.
    """
    if place.problem:
        return reason
    if place.url.startswith("unix://") and reason == "permission denied":
        return f"{reason}; {_way_in(unix_path(place.url))}"
    if place.url.startswith("ssh://"):
        return f"{reason}; {_ssh_words(place.url, place.ssh)}"
    if place.url.startswith("tcp://") and place.tls is None and _PLAIN.search(reason):
        return f"{reason}; if it expects TLS, set DOCKER_TLS_VERIFY and DOCKER_CERT_PATH"
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


def _ssh_words(url: str, way: SshWay) -> str:
    """
    Return the message of ssh for a command without effect.
    """
    command = ssh_command(url, way, "version")
    advice = f"`{_by_hand(command)}` must work without asking for anything"
    try:
        answer = modules.subprocess.run(
            command,
            stdin=modules.subprocess.DEVNULL,
            stdout=modules.subprocess.DEVNULL,
            stderr=modules.subprocess.PIPE,
            timeout=_SSH_TIMEOUT,
            check=False,
        )
    except modules.subprocess.TimeoutExpired:
        return f"ssh did not end within {_SSH_TIMEOUT:g} s; {advice}"
    except OSError as error:
        return f"{error}; {advice}"
    lines = answer.stderr.decode(errors="replace").strip().splitlines()
    return f"ssh says {lines[-1]!r}; {advice}" if lines else advice


def _by_hand(command: list[str]) -> str:
    """
    Return *command* for a user to try: without the options that do not change its outcome.
    """
    shown: list[str] = []
    for word in command:
        if shown and shown[-1] == "-o" and word.startswith(_QUIET):
            shown.pop()
        else:
            shown.append(word)
    return " ".join(shown)


def _next_step(choice: str, environ: Mapping[str, str], offer: str) -> str:
    """
    Return what to do, and that the engine *offer* needs no other, unless that was tried.
    """
    named = spell_option("engine", "URL")
    if choice.startswith("native"):
        return f"Name another engine with {named}."
    if choice == "podman" or (choice == "auto" and environ.get("CONTAINER_HOST")):
        for variable in ("CONTAINER_HOST", "CONTAINER_CONNECTION"):
            if environ.get(variable):
                return f"Correct or unset {variable}, or name an engine with {named}."
        return (
            "Install podman, or start its service: `systemctl --user start podman.socket`, or "
            "`podman machine start` where Podman has a virtual machine."
        )
    if choice in WORDS and environ.get("DOCKER_HOST"):
        return f"Correct or unset DOCKER_HOST, or name an engine with {named}."
    if choice in WORDS and docker_contexts.current_context(environ):
        return (
            "Start that engine, choose another context with `docker context use`, or name an "
            f"engine with {named}."
        )
    if choice in WORDS:
        none = f" Linux needs none: {spell_option('engine', offer)}." if offer else ""
        return (
            "Install and start Docker (Debian, Ubuntu: `sudo apt-get install docker.io`) or "
            f"Podman, or name an engine with {named}.{none}"
        )
    return (
        f"Start that engine, or leave out {spell_option('engine')} to use any engine that is found."
    )

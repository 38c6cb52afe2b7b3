"""The addresses that the option for the engine stands for."""

from __future__ import annotations

import errno
import os
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from ...errors import EngineUnavailable, PluginError
from ...extensions import ENGINE_GROUP, extensions_of, find_extension
from ...text.phrases import did_you_mean
from ...unpatched import modules
from . import docker_contexts, podman_connections, podman_service, sockets
from .place import Place, TlsFiles, home_of, native_url, unix_path
from .ssh import ssh_problem

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

__all__ = ["RESERVED", "WORDS", "likely_place", "places_of"]

WORDS = ("auto", "docker", "podman", "native")

_SCHEMES = ("unix://", "tcp://", "ssh://", "http://", "https://", "native://")

RESERVED = frozenset({*WORDS, *(one[:-3] for one in _SCHEMES), "context", "default"})
"""Names that an engine of another distribution cannot have."""

_CONTEXT = "context:"
"""Before the name of a docker context that is also a word."""

_GIVEN = "the engine option"

_NO_DAEMON = "no daemon: Linux namespaces"

_PATIENCE = 0.5
"""Seconds for a socket to take a connection."""


def likely_place(choice: str, environ: Mapping[str, str]) -> Place | None:
    """
    Return the address that will be used, as far as can be told without a word to an engine: the
    first socket that takes a connection, or the first address on another machine. `None` if
    there is no such address, or an engine that may answer later is down.
    """
    is_there = False
    try:
        for place in places_of(choice, environ):
            if place.last_resort and is_there:
                continue
            if not place.problem:
                local = place.url.startswith("unix://")
                failure = _failure_of(unix_path(place.url)) if local else 0
                if not failure:
                    return place
                if failure == errno.ENOENT:
                    continue
            is_there = True
    except (EngineUnavailable, PluginError):
        # Whoever needs the engine gets this error.
        pass
    return None


def places_of(choice: str, environ: Mapping[str, str]) -> Iterator[Place]:
    """
    Yield the addresses that *choice* stands for, in the order in which they are tried.

    Raises:
        EngineUnavailable: *choice* is invalid.
        PluginError: two distributions have an engine of this name.
    """
    if choice.startswith(_SCHEMES):
        yield _checked(_with_tls(Place(_GIVEN, choice), environ))
    elif choice.startswith(_CONTEXT) and docker_contexts.is_context_name(choice[len(_CONTEXT) :]):
        yield from _context(choice[len(_CONTEXT) :], environ)
    elif choice == "podman":
        yield from _podman(environ)
    elif choice == "native":
        yield Place(_NO_DAEMON, native_url(environ))
    elif choice in WORDS:
        yield from _docker(environ, alone=choice == "docker")
    elif choice == "default" or choice in docker_contexts.context_names(environ):
        yield from _context(choice, environ)
    elif added := find_extension(ENGINE_GROUP, choice.partition("://")[0]):
        url = choice if "://" in choice else f"{choice}://"
        yield Place(f"the {added}", url, extension=added)
    else:
        raise _unknown(choice, environ)


def _unknown(choice: str, environ: Mapping[str, str]) -> EngineUnavailable:
    hint = did_you_mean(
        choice,
        [
            *WORDS,
            *docker_contexts.context_names(environ),
            *(one.name for one in extensions_of(ENGINE_GROUP)),
        ],
        first=[f"unix://{choice}"] if choice.startswith("/") else (),
    )
    return EngineUnavailable(
        f"{choice!r} is not a container engine. Give auto, docker, podman, native, or a URL that "
        f"begins with unix://, tcp:// or ssh://, or the name of a docker context{hint}"
    )


def _docker(environ: Mapping[str, str], *, alone: bool) -> Iterator[Place]:
    if host := environ.get("DOCKER_HOST"):
        yield _checked(_with_tls(Place("DOCKER_HOST", _with_scheme(host)), environ))
    elif name := docker_contexts.current_context(environ):
        yield _checked(docker_contexts.context_place(name, environ))
    else:
        if problem := docker_contexts.config_problem(environ):
            yield problem
        yield from sockets.docker_sockets(environ)
        if not alone:
            yield from _podman(environ)
            if podman_connections.named_service(environ) is None:
                yield from _native(environ)


def _native(environ: Mapping[str, str]) -> Iterator[Place]:
    """
    Yield the engine without a daemon where there may be one.
    """
    if sys.platform == "linux":
        yield Place(_NO_DAEMON, native_url(environ), last_resort=True)


def _context(name: str, environ: Mapping[str, str]) -> Iterator[Place]:
    if name != "default":
        yield _checked(docker_contexts.context_place(name, environ))
    elif host := environ.get("DOCKER_HOST"):
        # Docker's built-in context.
        yield _checked(_with_tls(Place("DOCKER_HOST", _with_scheme(host)), environ))
    else:
        yield Place("the default socket", "unix:///var/run/docker.sock")


def _podman(environ: Mapping[str, str]) -> Iterator[Place]:
    if named := podman_connections.named_service(environ):
        yield _checked(named)
        return
    yield from sockets.podman_sockets(environ)
    yield from map(_checked, podman_connections.connections(environ))
    if podman_service.can_start_podman(environ):
        yield Place("Podman's service, started for this session", starts=True)


def _with_scheme(host: str) -> str:
    """
    Return `DOCKER_HOST` with a scheme, which the docker command does not ask for.
    """
    return host if "://" in host or host.startswith("/") else f"tcp://{host}"


def _checked(place: Place) -> Place:
    """
    Return *place*, with the problem that its address has.
    """
    if place.problem:
        return place
    problem = ""
    if place.url.startswith("ssh://"):
        problem = ssh_problem(place.url)
    elif place.url.startswith("/"):
        problem = f"the address must begin with unix://{did_you_mean('', (), first=[f'unix://{place.url}'])}"
    elif not place.url.startswith(_SCHEMES):
        problem = "the address must begin with unix://, tcp:// or ssh://"
    return replace(place, problem=problem) if problem else place


def _with_tls(place: Place, environ: Mapping[str, str]) -> Place:
    """
    Return *place* with the certificates that the variables of the docker command name.
    """
    verify = bool(environ.get("DOCKER_TLS_VERIFY"))
    named = environ.get("DOCKER_CERT_PATH")
    wanted = verify or named or environ.get("DOCKER_TLS")
    if not place.url.startswith("tcp://") or not wanted:
        return place
    folder = Path(named or environ.get("DOCKER_CONFIG") or f"{home_of(environ)}/.docker")
    ca, cert, key = (folder / f"{one}.pem" for one in ("ca", "cert", "key"))
    missing = [one for one in ((ca,) if verify else ()) if not _readable(one)]
    own = [one for one in (cert, key) if _readable(one)]
    if len(own) == 1:
        missing += {cert, key} - set(own)
    if missing:
        problem = f"the certificates in DOCKER_CERT_PATH: {missing[0]} cannot be read"
        return replace(place, problem=problem)
    tls = TlsFiles(str(ca) if _readable(ca) else "", (str(cert), str(key)) if own else None, verify)
    return replace(place, tls=tls)


def _readable(path: Path) -> bool:
    return os.access(path, os.R_OK)


def _failure_of(path: str) -> int:
    """
    Return the error number of a connection to a socket; 0 if it takes one.
    """
    module = modules.socket
    with module.socket(module.AF_UNIX, module.SOCK_STREAM) as probe:
        probe.settimeout(_PATIENCE)
        try:
            probe.connect(path)
        except OSError as error:
            return error.errno or errno.EIO
        return 0

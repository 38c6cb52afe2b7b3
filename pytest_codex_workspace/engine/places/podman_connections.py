"""Podman's own settings for where its service is: variables, and the list of connections."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .place import Place, SshWay, TlsFiles, home_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

__all__ = ["connections", "named_service"]

_SYSTEM = ("/usr/share/containers", "/etc/containers")

_LARGEST = 1 << 20
"""Bytes of a file that are read."""


def named_service(environ: Mapping[str, str]) -> Place | None:
    """
    Return the service that `CONTAINER_HOST` or `CONTAINER_CONNECTION` names; `None` if neither is
    set.
    """
    if host := environ.get("CONTAINER_HOST"):
        way = SshWay("podman", environ.get("CONTAINER_SSHKEY", ""))
        return Place("CONTAINER_HOST", host, ssh=way)
    if name := environ.get("CONTAINER_CONNECTION"):
        origin = "CONTAINER_CONNECTION"
        found = _listed(environ)[0].get(name)
        if found is None:
            problem = f"podman has no connection {name!r}; see `podman system connection list`"
            return Place(origin, problem=problem)
        return _place(f"{origin}={name}", found)
    return None


def connections(environ: Mapping[str, str]) -> Iterator[Place]:
    """
    Yield podman's default connection, then its virtual machines. What else is on the list are
    machines of others, which nobody has chosen.
    """
    listed, default, problems = _listed(environ)
    yield from problems
    chosen = [default] if default in listed else []
    chosen += [
        name for name, one in listed.items() if name != default and _field(one, "is_machine")
    ]
    for name in chosen:
        kind = "machine" if _field(listed[name], "is_machine") else "connection"
        yield _place(f"the podman {kind} {name!r}", listed[name])


def _listed(environ: Mapping[str, str]) -> tuple[dict[str, Any], str, list[Place]]:
    """
    Return the connections, the name of the default one, and the files that cannot be read.
    """
    found: dict[str, Any] = {}
    default, problems = "", []
    for path in _files(environ):
        try:
            with path.open("rb") as file:
                text = file.read(_LARGEST).decode()
            if path.suffix == ".json":
                part = json.loads(text)["Connection"]
                more, name = part.get("Connections"), part.get("Default")
            else:
                part = tomllib.loads(text).get("engine", {})
                more, name = part.get("service_destinations"), part.get("active_service")
            found |= {key: one for key, one in dict(more or {}).items() if isinstance(one, dict)}
            default = str(name or default)
        except (FileNotFoundError, NotADirectoryError):
            continue
        except OSError as error:
            problem = f"{path} cannot be read: {error.strerror}"
            problems.append(Place("podman's connections", problem=problem))
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            problem = f"{path} cannot be read: {error}"
            problems.append(Place("podman's connections", problem=problem))
    return found, default, problems


def _files(environ: Mapping[str, str]) -> Iterator[Path]:
    """
    Yield the files in which podman keeps connections, the most important one last.
    """
    own = Path(environ.get("XDG_CONFIG_HOME") or Path(home_of(environ)) / ".config") / "containers"
    if only := environ.get("CONTAINERS_CONF"):
        yield Path(only)
    else:
        for folder in (*map(Path, _SYSTEM), own):
            yield folder / "containers.conf"
            try:
                yield from sorted((folder / "containers.conf.d").glob("*.conf"))
            except OSError:
                continue
    if more := environ.get("CONTAINERS_CONF_OVERRIDE"):
        yield Path(more)
    yield Path(environ.get("PODMAN_CONNECTIONS_CONF") or own / "podman-connections.json")


def _place(origin: str, listed: Mapping[str, Any]) -> Place:
    url = str(_field(listed, "uri") or "")
    if not url:
        return Place(origin, problem="it has no address")
    way = SshWay(
        "podman", str(_field(listed, "identity") or ""), bool(_field(listed, "is_machine"))
    )
    ca, cert, key = (str(_field(listed, f"tls_{one}") or "") for one in ("ca", "cert", "key"))
    tls = TlsFiles(ca, (cert, key) if cert and key else None) if ca or cert else None
    return Place(origin, url, tls, way)


def _field(listed: Mapping[str, Any], name: str) -> Any:
    """
    Return a field, which is `is_machine` in TOML and `IsMachine` in JSON.
    """
    plain = name.replace("_", "")
    return next((v for k, v in listed.items() if k.replace("_", "").lower() == plain), None)

"""Write a Compose file for running the parts by hand, and the directory it refers to.

The services reuse what sessions use: images come from the same Dockerfiles, the
proxy and the network holder are the same programs, and the same modules make the
projection. Files in the directory replace the messages that a session sends over
standard input.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from .codex import (
    COMPOSE_DIR,
    IMAGE,
    NETWORK_HOLDER,
    PROXY_PROGRAM,
    RESUME,
    RUNTIMES,
    SETUP,
    workspace_environment,
)
from .engine import labels
from .host.resources import package_dir
from .images.build import Plan
from .images.context import BuildContext
from .network.rules.policy import Policy
from .network.rules.upstream import UpstreamProxy
from .projection.repository import RepositorySnapshot
from .setup.scripts import RUN

__all__ = ["ComposeParts", "compose_file", "write_directory"]

UNSET = (
    "export HOST_REPO (and HOST_REPO_NAME) before docker compose run, or use `codex-workspace run`"
)
"""Error that Compose shows if HOST_REPO is not set."""

_HEADER = """\
# Written by `codex-workspace compose`. The steps:
#   export HOST_REPO=$(pwd); export HOST_REPO_NAME=$(basename "$HOST_REPO")
#   docker compose build workspace
#   docker compose run --rm workspace
#   docker compose run --name codex-setup workspace run-setup
#   docker commit codex-setup codex-workspace-emulator:cached
#   docker rm codex-setup
#   docker compose run --rm workspace-cache run-setup-from-cache
#   docker compose logs proxy
#   docker compose down --remove-orphans
# This file needs the directory {directory}
"""

_CERTIFICATE_SECONDS = 30
_CERTIFICATES = "/run/codex-certificate"
_PROJECTIONS = "/run/codex-projection"
_AUTHORITY = "/var/lib/codex-proxy"
_SETTINGS = "/etc/codex-proxy"
_READY = "/run/codex-ready"
_REPOSITORY = "/repository"
_INSIDE = "proxy-inside"
_PIDS = 4096

_PROJECTION_FOLDERS = ("in_container", "projection", "text", "unpatched")
"""The folders that make a projection, with the standard library and the files below alone."""

_PROJECTION_FILES = ("codex.py", "errors.py")


@dataclass(frozen=True, slots=True)
class ComposeParts:
    """
    Everything that a Compose file is made from.

    Attributes:
        base: plan of the workspace image.
        base_from: base of the workspace image, by a name that Compose can use.
        proxy: plan of the proxy image.
        proxy_from: base of the proxy image, by a name that Compose can use.
        policy: network policy of the workspaces.
        upstream_ca: PEM certificates that the proxy trusts besides its own bundle.
        refuse: networks (CIDR) that no policy can open.
        upstream: the upstream proxy, if any.
        env: environment variables of workspaces besides Codex's.
        build_proxies: names of the proxy variables that a build needs.
    """

    base: Plan
    base_from: str
    proxy: Plan
    proxy_from: str
    policy: Policy
    upstream_ca: bytes = b""
    refuse: Sequence[str] = ()
    upstream: UpstreamProxy | None = None
    env: Mapping[str, str] = field(default_factory=dict)
    build_proxies: Sequence[str] = ()


def write_directory(parts: ComposeParts, parent: Path) -> Path:
    """
    Write the directory that the Compose file refers to.

    The directory holds the build contexts, the programs that Compose mounts, and
    their settings.

    Args:
        parts: everything that the file is made from.
        parent: directory in which to create the directory.

    Returns:
        The directory. Its name is a digest of its content, which never changes.
    """
    parent.mkdir(parents=True, exist_ok=True)
    # Only this user can read it: the settings may contain the password of an upstream proxy.
    scratch = Path(tempfile.mkdtemp(prefix=".new-", dir=parent))
    try:
        parts.base.context.write(scratch / "image")
        parts.proxy.context.write(scratch / "proxy-image")
        _programs(parts).write(scratch)
        name = _digest(scratch)[:16]
        if not (parent / name).exists():
            scratch.rename(parent / name)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    return parent / name


def compose_file(parts: ComposeParts, directory: Path, snapshot: RepositorySnapshot) -> str:
    """
    Return the text of the Compose file.

    Args:
        parts: everything that the file is made from.
        directory: the result of `write_directory`.
        snapshot: the repository that the file is for; `HOST_REPO` can name another one.
    """
    image = _image(parts, directory)
    proxy_image = _proxy_image(parts, directory)
    services = {
        "proxy": _proxy(proxy_image, directory),
        "projection": _projection(image, directory, snapshot),
        "workspace-network": _holder(proxy_image),
        "workspace-cache-network": _holder(proxy_image),
        "workspace": {
            **image,
            **_workspace(directory, "workspace-network"),
            "environment": _environment(parts.env, runtimes=True),
        },
        "workspace-cache": {
            "image": f"${{CODEX_CACHED_IMAGE:-{IMAGE}:cached}}",
            **_workspace(directory, "workspace-cache-network"),
            # The committed image already has the runtime versions of its setup in its environment.
            "environment": _environment(parts.env, runtimes=False),
        },
    }
    content = {
        "services": services,
        "networks": {"internal": {"internal": True}, "egress": {}},
        "volumes": {"authority": {}, "certificate": {}, "projection": {}},
    }
    header = _HEADER.format(directory=str(directory).replace("\n", " "))
    return header + yaml.dump(
        content, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=1000
    )


class _Dumper(yaml.SafeDumper):
    """
    Writes values in full instead of using YAML anchors.
    """

    def ignore_aliases(self, data: Any) -> bool:  # noqa: ARG002
        return True


def _image(parts: ComposeParts, directory: Path) -> dict[str, Any]:
    plan = parts.base
    # Not the kind `base`: an image committed from a workspace inherits these labels.
    marks = {**plan.labels(parts.base_from), labels.KIND: "compose"}
    return {
        "image": f"${{CODEX_WORKSPACE_IMAGE:-{plan.latest}}}",
        "build": _build(parts, plan, parts.base_from, directory / "image", marks),
    }


def _proxy_image(parts: ComposeParts, directory: Path) -> dict[str, Any]:
    plan, origin = parts.proxy, parts.proxy_from
    marks = plan.labels(origin)
    return {
        # Sessions use the same image, and recognise it by its labels.
        "image": plan.tag,
        "build": _build(parts, plan, origin, directory / "proxy-image", marks),
    }


def _build(
    parts: ComposeParts, plan: Plan, origin: str, context: Path, marks: Mapping[str, str]
) -> dict[str, Any]:
    # Programs of an image that is not ours get neither a network nor the proxy's password.
    names = () if plan.foreign else parts.build_proxies
    proxies = {name: f"${{{name}:-}}" for name in names}
    return {
        "context": _escaped(str(context)),
        "dockerfile": plan.dockerfile,
        "args": {"BASE": _escaped(origin), **proxies},
        "labels": {name: _escaped(value) for name, value in marks.items()},
        **({"network": "none"} if plan.foreign else {}),
    }


def _proxy(image: Mapping[str, Any], directory: Path) -> dict[str, Any]:
    program = PROXY_PROGRAM
    return {
        **image,
        "command": ["python3", "-I", "-u", program, "--standalone", f"{_SETTINGS}/proxy.json"],
        "networks": {"internal": {"aliases": [_INSIDE]}, "egress": {}},
        "cap_drop": ["NET_RAW"],
        "security_opt": ["no-new-privileges:true"],
        "pids_limit": 256,
        "tmpfs": ["/run"],
        "volumes": [
            _bind(_escaped(str(directory / "proxy")), _SETTINGS),
            _volume("authority", _AUTHORITY, read_only=False),
            _volume("certificate", _CERTIFICATES, read_only=False),
        ],
        "healthcheck": _health(),
    }


def _holder(image: Mapping[str, Any]) -> dict[str, Any]:
    program = NETWORK_HOLDER
    return {
        **image,
        "command": ["python3", "-I", "-S", "-u", program, "--standalone", "proxy", _READY],
        "networks": {"internal": {}},
        # The engine's resolver forwards outside names to this address, where nothing listens.
        "dns": ["127.0.0.1"],
        "sysctls": {
            "net.ipv4.conf.all.rp_filter": "1",
            "net.ipv6.conf.all.disable_ipv6": "1",
            "net.ipv6.conf.default.disable_ipv6": "1",
        },
        # The holder drops this capability before it becomes ready.
        "cap_add": ["NET_ADMIN"],
        "security_opt": ["no-new-privileges:true"],
        "pids_limit": 16,
        "tmpfs": ["/run"],
        "depends_on": {"proxy": {"condition": "service_started"}},
        "healthcheck": _health(),
    }


def _projection(
    image: Mapping[str, Any], directory: Path, snapshot: RepositorySnapshot
) -> dict[str, Any]:
    source = f"${{HOST_REPO:?{UNSET}}}/.git"
    where = _REPOSITORY
    mounts = [_bind(source, f"{_REPOSITORY}/.git")]
    if not (snapshot.path / ".git").is_dir():
        # In a linked worktree or a submodule, `.git` is a file that names a path on the host.
        common = _escaped(str(snapshot.common_dir))
        where = str(snapshot.path)
        mounts = [_bind(source, _escaped(f"{where}/.git")), _bind(common, common)]
    return {
        **image,
        "entrypoint": ["python3", "-m", "pytest_codex_workspace.projection.compose_main"],
        "command": [_escaped(where), _PROJECTIONS],
        "working_dir": COMPOSE_DIR,
        "environment": _repository(),
        "network_mode": "none",
        "cap_drop": ["ALL"],
        # The repository's files may be readable by their owner only.
        "cap_add": ["DAC_READ_SEARCH"],
        "security_opt": ["no-new-privileges:true"],
        "pids_limit": 256,
        "volumes": [
            *mounts,
            _bind(_escaped(str(directory / "projector")), COMPOSE_DIR),
            _volume("projection", _PROJECTIONS, read_only=False),
        ],
    }


def _workspace(directory: Path, network: str) -> dict[str, Any]:
    return {
        "entrypoint": ["python3", "-I", "-S", "-u", f"{COMPOSE_DIR}/compose_entry.py"],
        "network_mode": f"service:{network}",
        # The holder has turned IPv6 off for every interface.
        "sysctls": {"net.ipv6.conf.lo.disable_ipv6": "0"},
        "cap_drop": ["NET_ADMIN", "NET_RAW"],
        "pids_limit": _PIDS,
        "stdin_open": True,
        "tty": True,
        "volumes": [
            _bind(_escaped(str(directory / "workspace")), COMPOSE_DIR),
            _volume("certificate", _CERTIFICATES),
            _volume("projection", _PROJECTIONS),
        ],
        "depends_on": {
            "proxy": {"condition": "service_healthy"},
            network: {"condition": "service_healthy"},
            "projection": {"condition": "service_completed_successfully"},
        },
    }


def _environment(env: Mapping[str, str], *, runtimes: bool) -> dict[str, str]:
    found = {}
    for name, value in workspace_environment(env).items():
        if not name.startswith("CODEX_ENV_"):
            found[name] = _escaped(value)
        elif runtimes:
            found[name] = f"${{{name}:-{_escaped(value)}}}"
    return {**found, **_repository()}


def _repository() -> dict[str, str]:
    return {
        "HOST_REPO": f"${{HOST_REPO:?{UNSET}}}",
        "HOST_REPO_NAME": "${HOST_REPO_NAME:-}",
        "CODEX_SKIP_SUBMODULES": "${CODEX_SKIP_SUBMODULES:-}",
    }


def _bind(source: str, target: str) -> dict[str, Any]:
    return {
        "type": "bind",
        "source": source,
        "target": target,
        "read_only": True,
        # Prevents Compose from creating a missing source. Recent versions need another option for
        # that, which version 1 rejects.
        "bind": {"propagation": "rprivate"},
    }


def _volume(name: str, target: str, *, read_only: bool = True) -> dict[str, Any]:
    return {"type": "volume", "source": name, "target": target, "read_only": read_only}


def _health() -> dict[str, Any]:
    return {
        "test": ["CMD", "test", "-e", _READY],
        "interval": "1s",
        "timeout": "5s",
        "retries": 30,
    }


def _escaped(text: str) -> str:
    """
    Escape `$`, so that Compose does not interpolate *text*.
    """
    return text.replace("$", "$$")


def _programs(parts: ComposeParts) -> BuildContext:
    package = package_dir()
    context = BuildContext()
    context.add("proxy/proxy.json", _json(_proxy_settings(parts)))
    context.add("workspace/entry.json", _json(_entry_settings()))
    for name in ("workspace_agent.py", "compose_entry.py"):
        context.add(f"workspace/{name}", (package / "in_container" / name).read_bytes())
    inside = f"projector/{package.name}"
    # The package's own `__init__.py` would import what is not there.
    context.add(f"{inside}/__init__.py", b"")
    for folder in _PROJECTION_FOLDERS:
        context.add_tree(package / folder, f"{inside}/{folder}")
    for name in _PROJECTION_FILES:
        context.add(f"{inside}/{name}", (package / name).read_bytes())
    return context


def _proxy_settings(parts: ComposeParts) -> dict[str, Any]:
    return {
        "policy": parts.policy.to_dict(),
        "upstream_ca": parts.upstream_ca.decode("utf-8", "replace"),
        "refuse": list(parts.refuse),
        "upstream": parts.upstream.to_dict() if parts.upstream else None,
        "listen_name": _INSIDE,
        "authority": f"{_AUTHORITY}/ca.pem",
        "certificate": f"{_CERTIFICATES}/ca.crt",
        "ready": _READY,
    }


def _entry_settings() -> dict[str, Any]:
    return {
        "certificate": f"{_CERTIFICATES}/ca.crt",
        "projection": _PROJECTIONS,
        "seconds": _CERTIFICATE_SECONDS,
        "runtimes": {f"CODEX_ENV_{name}_VERSION": value for name, value in RUNTIMES.items()},
        "setup": SETUP,
        "resume": RESUME,
        "run": RUN,
    }


def _json(content: Mapping[str, Any]) -> bytes:
    return json.dumps(content, indent=1).encode() + b"\n"


def _digest(directory: Path) -> str:
    found = hashlib.sha256()
    for path in sorted(one for one in directory.rglob("*") if one.is_file()):
        name = str(path.relative_to(directory)).encode()
        found.update(b"%d %s %s" % (len(name), name, hashlib.sha256(path.read_bytes()).digest()))
    return found.hexdigest()

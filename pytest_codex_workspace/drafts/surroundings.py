"""What CI files, Dockerfiles, Compose files and Makefiles tell of a repository. They are hints."""

from __future__ import annotations

import re

from .draft import Draft, Hint, ServiceDraft, TestCommand
from .tree import ProjectFiles

__all__ = ["add_surroundings"]

_APT = re.compile(r"\bapt(?:-get)?\s+(?:-\S+\s+){0,10}install\s+([^\n;&|]+)")
_PACKAGE = re.compile(r"[a-z0-9][a-z0-9+.-]+")
_CI = re.compile(
    r"\.github/workflows/[^/]+\.ya?ml|\.gitlab-ci\.yml|\.circleci/config\.yml|\.travis\.yml|"
    r"azure-pipelines\.yml|(?:\.devcontainer/)?Dockerfile(?:\.[\w.-]+)?|[\w.-]+\.Dockerfile"
)
_COMPOSE = re.compile(r"(?:docker-)?compose(?:[.-][\w-]+)?\.ya?ml|\.github/workflows/[^/]+\.ya?ml")
_IMAGE = re.compile(r"^[ \t]*(?:-[ \t]*)?image:[ \t]*['\"]?([\w.:/@-]+)", re.M)
_TARGET = re.compile(r"^([A-Za-z][\w.-]*)[ \t]*:(?!=)", re.M)
_TARGETS = ("test", "tests", "check", "setup", "install", "deps", "bootstrap", "lint", "services")
_MOST = 30

_POSTGRES = "pg_ctlcluster $(pg_lsclusters -h | cut -d' ' -f1,2) start --foreground"
_SERVERS = {
    "redis": ("redis", "redis-server", "redis-server", 6379),
    "valkey": ("redis", "redis-server", "redis-server", 6379),
    "postgres": ("postgres", "postgresql", _POSTGRES, 5432),
    "postgresql": ("postgres", "postgresql", _POSTGRES, 5432),
    "postgis": ("postgres", "postgis postgresql-postgis", _POSTGRES, 5432),
    "mysql": ("mysql", "mariadb-server", "mariadbd-safe --user=mysql", 3306),
    "mariadb": ("mysql", "mariadb-server", "mariadbd-safe --user=mysql", 3306),
    "memcached": ("memcached", "memcached", "memcached -u nobody", 11211),
    "rabbitmq": ("rabbitmq", "rabbitmq-server", "rabbitmq-server", 5672),
    "mosquitto": ("mosquitto", "mosquitto", "mosquitto", 1883),
}
"""Service, Debian package, command and port, by the name of an image."""


def add_surroundings(tree: ProjectFiles, draft: Draft) -> None:
    """
    Add system packages, services and targets that other files mention.
    """
    for path in sorted(one for one in tree.files if _CI.fullmatch(one))[:_MOST]:
        packages = _packages(tree.text(path))
        if packages:
            text = "installs packages of the system; uncomment what is needed"
            line = f"apt-get install -y --no-install-recommends {' '.join(packages)}"
            draft.hints.append(Hint(path, text, ("apt-get update", line)))
    known = {one.name for one in draft.services}
    for path in sorted(one for one in tree.files if _COMPOSE.fullmatch(one))[:_MOST]:
        for image in _IMAGE.findall(tree.text(path)):
            base = image.partition("@")[0].rpartition("/")[2].partition(":")[0]
            if base in _SERVERS and _SERVERS[base][0] not in known:
                known.add(_SERVERS[base][0])
                draft.services.append(ServiceDraft(*_SERVERS[base], source=path))
    _add_targets(tree, draft)


def _packages(text: str) -> list[str]:
    found: dict[str, None] = {}
    for words in _APT.findall(re.sub(r"\\\r?\n", " ", text)):
        for word in words.split():
            if _PACKAGE.fullmatch(word) and len(found) < _MOST:
                found.setdefault(word)
    return list(found)


def _add_targets(tree: ProjectFiles, draft: Draft) -> None:
    name = next((one for one in ("Makefile", "makefile", "GNUmakefile") if one in tree), "")
    targets = [one for one in _TARGET.findall(tree.text(name)) if one in _TARGETS]
    if not targets:
        return
    tests = [one for one in ("test", "tests", "check") if one in targets]
    if tests and not draft.tests:
        draft.tests.append(TestCommand(f"make {tests[0]}", name))
    listed = ", ".join(dict.fromkeys(targets))
    draft.hints.append(Hint(name, f"has the targets {listed}, which may do what is missing here"))

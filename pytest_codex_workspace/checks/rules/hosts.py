"""Downloads from hosts that Codex's presets do not have, and setups that grow old."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from functools import cache
from urllib.parse import urlsplit

from ...network.presets import preset_hosts
from ...network.rules.hosts import literal_address
from ..documents import json_line, json_of, without_comment
from ..finding import Finding, Level
from ..manifests import node_dependencies
from ..repository import CheckedRepository
from ..scripts import folders_named

__all__ = ["outside_presets", "without_resume", "yarn_by_corepack"]

_PRESETS = ("codex-common-dependencies", "codex-package-managers")
_URL = re.compile(r"https?://[\w.-]+(?::\d+)?[^\s\"'`)>\]]*")

_POSTINSTALL = {
    "puppeteer": ("storage.googleapis.com", "PUPPETEER_SKIP_DOWNLOAD"),
    "cypress": ("download.cypress.io", "CYPRESS_INSTALL_BINARY"),
    "@sentry/cli": ("downloads.sentry-cdn.com", "SENTRYCLI_SKIP_DOWNLOAD"),
    "prisma": ("binaries.prisma.sh", "PRISMA_ENGINES_MIRROR"),
    "@prisma/client": ("binaries.prisma.sh", "PRISMA_ENGINES_MIRROR"),
    "@prisma/engines": ("binaries.prisma.sh", "PRISMA_ENGINES_MIRROR"),
    "mongodb-memory-server": ("fastdl.mongodb.org", "MONGOMS_SYSTEM_BINARY"),
    "chromedriver": ("googlechromelabs.github.io", "CHROMEDRIVER_SKIP_DOWNLOAD"),
    "ngrok": ("bin.equinox.io", ""),
    "snyk": ("downloads.snyk.io", ""),
    "grpc-tools": ("node-precompiled-binaries.grpc.io", ""),
    "@playwright/browser-chromium": ("cdn.playwright.dev", "PLAYWRIGHT_SKIP_BROWSER_DOWNLOAD"),
    "@playwright/browser-firefox": ("cdn.playwright.dev", "PLAYWRIGHT_SKIP_BROWSER_DOWNLOAD"),
    "ffmpeg-ffprobe-static": ("github.com", ""),
}
"""Packages that download while npm installs them: the host, and a variable that prevents it."""


def outside_presets(repo: CheckedRepository) -> Iterator[Finding]:
    """
    Find hooks of pre-commit and of npm that download from hosts outside the presets.
    """
    for path, text in repo.tree.texts([".pre-commit-config.yaml"]):
        for number, line in enumerate(text.splitlines(), 1):
            found = re.match(
                r"[ \t]*(?:-[ \t]+)?repo:[ \t]*[\"']?(https?://[^\s\"']+)", without_comment(line)
            )
            if found and (host := _outside(found[1])):
                yield _host_finding(
                    f"a hook of pre-commit is downloaded from {host}", path, number, None
                )
    for script, one in repo.commands("install"):
        for word in one.command.words:
            for url in _URL.findall(word):
                if host := _outside(url):
                    what = f"an installation downloads from {host}"
                    yield _host_finding(what, script.path, one.line, None)
    for place, at, url in _indexes(repo):
        if (host := _outside(url)) and not _is_default(repo, place, host):
            yield _host_finding(f"packages are downloaded from {host}", place, at, None)
    seen: set[str] = set()
    for package in node_dependencies(repo.tree):
        host, variable = _POSTINSTALL.get(package.name, ("", ""))
        if (
            host
            and host not in seen
            and _outside(f"https://{host}")
            and not repo.sets(*([variable] if variable else []))
        ):
            seen.add(host)
            yield _host_finding(
                f"{package.name} downloads from {host} when it is installed",
                package.path,
                package.line,
                variable,
            )


_INDEXES: Mapping[str, str] = {
    ".npmrc": r"^(?:@[\w-]+:)?registry\s*=\s*(\S+)",
    ".yarnrc": r"^registry\s+\"?([^\s\"]+)",
    ".yarnrc.yml": r"^[ \t]*npmRegistryServer:\s*[\"']?([^\s\"']+)",
    "bunfig.toml": r"^[ \t]*registry\s*=\s*\"([^\"]+)",
    "pip.conf": r"^[ \t]*(?:extra-)?index-url\s*=\s*(\S+)",
    "Gemfile": r"^[ \t]*source\s*\(?[\"'](http[^\"']+)",
    "gradle-wrapper.properties": r"^distributionUrl\s*=\s*(\S+)",
    "maven-wrapper.properties": r"^(?:distribution|wrapper)Url\s*=\s*(\S+)",
    "NuGet.config": r"<add\s[^>]{0,300}value=\"(http[^\"]+)",
    "nuget.config": r"<add\s[^>]{0,300}value=\"(http[^\"]+)",
    "pyproject.toml": r"^[ \t]*(?:extra-)?(?:index-)?url\s*=\s*\"(http[^\"]+)\"(?=\s*$)",
    "Pipfile": r"^[ \t]*url\s*=\s*[\"'](http[^\"']+)",
    "composer.json": r"\"url\"\s*:\s*\"(https?:[^\"]+)",
}
"""Addresses of package registries, by the name of the file."""

_OF_PIP = re.compile(r"^[ \t]*(?:--(?:extra-)?index-url|-i|--find-links|-f)[\s=]+(https?://\S+)")
_SOURCES = re.compile(r"^[ \t]*\[\[?(?:tool\.(?:uv\.index|poetry\.source|pdm\.source)|source)\]")
_OF_NPM = frozenset({".npmrc", ".yarnrc", ".yarnrc.yml", "bunfig.toml"})
_OF_PIP_FILES = frozenset({"pip.conf", "pyproject.toml", "Pipfile"})


def _indexes(repo: CheckedRepository) -> Iterator[tuple[str, int, str]]:
    tree = repo.tree
    for path, text in tree.texts(tree.named(*_INDEXES)):
        name = path.rpartition("/")[2]
        pattern = re.compile(_INDEXES[name])
        # In these, only a table of sources has addresses of registries.
        within = name not in ("pyproject.toml", "Pipfile")
        for number, line in enumerate(text.splitlines(), 1):
            if not within or (name in ("pyproject.toml", "Pipfile") and line.startswith("[")):
                within = bool(_SOURCES.match(line))
            elif found := pattern.search(line):
                yield path, number, found[1].replace("\\", "")
    for path, text in tree.texts(tree.suffixed(".txt", ".in")[:200]):
        if "requirements" in path or "constraints" in path:
            for number, line in enumerate(text.splitlines(), 1):
                if found := _OF_PIP.match(line):
                    yield path, number, found[1]


def _is_default(repo: CheckedRepository, place: str, host: str) -> bool:
    """
    Check whether *host* is that of the registry which the client of a file uses by itself: Codex's
    lists have it, and name it by its domain. A client that is not there cannot be asked; then it
    is taken for it.
    """
    name = place.rpartition("/")[2]
    if name in _OF_NPM:
        known = repo.default_hosts("npm")
    elif name in _OF_PIP_FILES or name.endswith((".txt", ".in")):
        known = repo.default_hosts("pip")
    else:
        return False
    return known is None or _domain(host) in map(_domain, known)


def _domain(host: str) -> str:
    return ".".join(host.split(".")[-2:])


def _host_finding(what: str, path: str | None, line: int | None, variable: str | None) -> Finding:
    level: Level | None = None if variable is None else "note"
    return Finding.of(
        "download-host",
        what,
        "Setup has the internet. In the agent phase it is off by default, and neither of Codex's "
        "lists of hosts has this one.",
        "Let the setup script do it (`pre-commit install-hooks`, `npm ci`), or add the host to the "
        "environment's allowed domains"
        + (f"; {variable} prevents the download." if variable else "."),
        path=path,
        line=line,
        level=level,
    )


def _outside(url: str) -> str:
    """
    Return the host of *url* if no preset has it; empty otherwise.
    """
    try:
        host = (urlsplit(url).hostname or "").lower()
    except ValueError:
        return ""
    if not host or "." not in host or literal_address(host) is not None:
        return ""
    for pattern in _preset_patterns():
        suffix = pattern.removeprefix("*")
        if host == pattern or (pattern.startswith("*.") and host.endswith(suffix)):
            return ""
    return host


@cache
def _preset_patterns() -> tuple[str, ...]:
    return tuple(one for preset in _PRESETS for one in preset_hosts(preset, {}))


def yarn_by_corepack(repo: CheckedRepository) -> Iterator[Finding]:
    """
    Find a version of yarn that corepack downloads from a host of its own.
    """
    if repo.sets("COREPACK_NPM_REGISTRY"):
        return
    text = repo.tree.text("package.json")
    manager = json_of(text).get("packageManager")
    if isinstance(manager, str) and re.match(r"yarn@(?:[2-9]|[1-9]\d)", manager):
        line = json_line(text, "packageManager")
        yield _from_yarn(manager.partition("+")[0], "package.json", line)
        return
    for script, found in repo.commands("setup", "resume", "called"):
        words = found.command.plain
        if words[:1] == ["corepack"] and words[1:2] in (["prepare"], ["use"], ["install"], ["up"]):
            yarn = next((one for one in words if re.match(r"yarn@(?!1\b|1\.)", one)), "")
            if yarn:
                yield _from_yarn(yarn, script.path, found.line)
        elif words[:3] == ["yarn", "set", "version"] and words[3:4] != ["classic"]:
            yield _from_yarn("yarn set version", script.path, found.line)


def _from_yarn(what: str, path: str | None, line: int | None) -> Finding:
    return Finding.of(
        "corepack-host",
        f"{what}: corepack downloads it from repo.yarnpkg.com, not from the registry of npm",
        "The host is not in the list `Package managers`, and the agent phase is offline by "
        "default: the first call of yarn fails there unless setup made it.",
        "Call yarn in the setup script, or set COREPACK_NPM_REGISTRY to the registry of npm, which "
        "has the same package.",
        path=path,
        line=line,
    )


_LOCKS = (
    "package-lock.json", "yarn.lock", "pnpm-lock.yaml", "bun.lock", "bun.lockb", "uv.lock",
    "poetry.lock", "pdm.lock", "Pipfile.lock", "requirements.txt", "Gemfile.lock", "composer.lock",
    "Cargo.lock", "go.sum", "mix.lock", "Package.resolved",
)  # fmt: skip
_INSTALLS = re.compile(
    r"\b(npm (ci|i|install)|yarn( install)?$|pnpm (i|install)|bun install|pip3? install"
    r"|uv (sync|pip)|poetry install|pdm (install|sync)|pipenv (install|sync)|bundle install"
    r"|composer install|cargo (fetch|build)|go mod download|mix deps\.get)"
)


def _lock(repo: CheckedRepository) -> str:
    """
    Return a lock file at the top, or in a folder that the setup names; empty if there is none.
    """
    if top := next((one for one in _LOCKS if one in repo.tree.files), ""):
        return top
    text = "\n".join(one.text for one in repo.scripts_of("setup", "called"))
    locks: dict[str, str] = {}
    for path in repo.tree.named(*_LOCKS):
        locks.setdefault(path.rpartition("/")[0], path)
    return next((locks[folder] for folder in folders_named(text, locks)), "")


def without_resume(repo: CheckedRepository) -> Iterator[Finding]:
    """
    Find a setup that installs locked dependencies without a script that installs those of a newer
    commit.
    """
    if not repo.scripts_of("setup") or repo.scripts_of("resume"):
        return
    lock = _lock(repo)
    if not lock:
        return
    for script, found in repo.commands("setup", "called"):
        if _INSTALLS.search(" ".join(found.command.plain)):
            yield Finding.of(
                "resume-script",
                f"the setup installs what {lock} lists, and no script installs what a newer commit "
                "lists",
                "A container of up to 12 hours ago is used again for a newer commit, and runs the "
                "maintenance script only.",
                "Add codex-workspace-scripts/setup-from-cache-script.sh (Codex: the maintenance "
                "script) with the same installation.",
                path=script.path,
                line=found.line,
            )
            return

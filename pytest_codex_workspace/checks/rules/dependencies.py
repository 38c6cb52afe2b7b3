"""Dependencies that Codex cannot fetch, or that do not work behind its proxy."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from packaging.specifiers import SpecifierSet
from packaging.version import Version

from ...text.phrases import first_of
from ..documents import json_line, json_of, line_with, subtable, without_comment
from ..finding import Finding
from ..manifests import node_dependencies, python_dependencies
from ..repository import CheckedRepository
from ..scripts import Found

__all__ = ["old_httpx", "packages_of_debian", "packages_of_the_system", "ssh_dependencies"]

_SHOWN = 5

_SSH = re.compile(
    r"(?:git\+)?ssh://[^\s\"',;)\]}]+|(?<![\w.+-])git(?:ea|lab)?@[\w.-]+:[\w~./-]+|git\+git@[^\s\"']+"
)
_MANIFESTS = (
    "pyproject.toml", "setup.py", "setup.cfg", "Pipfile", "uv.lock", "poetry.lock", "pdm.lock",
    "environment.yml", "environment.yaml", "Cargo.toml", "Cargo.lock", "Gemfile", "Gemfile.lock",
    "mix.exs", "Package.swift", "pubspec.yaml", "Podfile", "deps.edn", "rebar.config", "shard.yml",
    "stack.yaml", "cabal.project", "CMakeLists.txt", "west.yml", "gleam.toml", "elm.json",
    "requirements.yml", "galaxy.yml", ".pre-commit-config.yaml", "renv.lock", "DESCRIPTION",
    "WORKSPACE", "MODULE.bazel", ".npmrc", "Cartfile", "glide.yaml", "build.zig.zon",
)  # fmt: skip
"""Files in which an address of ssh is that of a dependency."""

_LOCKS = ("package-lock.json", "npm-shrinkwrap.json", "yarn.lock", "pnpm-lock.yaml", "bun.lock")
_HOSTED = re.compile(r"git\+ssh://git@(github\.com|gitlab\.com|bitbucket\.org)/")
"""What npm writes for each dependency of such a host, and fetches over HTTPS."""

_ABOUT = re.compile(
    r"^[ \t]*[\"']?(repository|homepage|sources?|source_url|url|documentation|issues|changelog|bugs"
    r"|tracker|issue-tracker|maintainer|download)[\w-]*[\"']?\s*[=:]",
    re.IGNORECASE,
)
"""Lines about the project itself."""

_COMMENTS = {".py": "#", ".toml": "#", ".rb": "#", ".swift": "//", ".edn": ";", ".config": "%"}
_REQUIREMENTS = re.compile(r"(^|/)[\w.-]*(requirements|constraints)[\w./-]*\.(txt|in)$")
_IN_CODEX = (
    "There is no ssh: no key, and only HTTP leaves the container. Git answers `Could not resolve "
    "hostname` or `Network is unreachable`."
)
_HTTPS = (
    "Use https:// in the manifest, or add to the setup script: git config --global "
    'url."https://github.com/".insteadOf "git@github.com:" (and "ssh://git@github.com/").'
)
_REWRITES = re.compile(
    r"url\.[\"']?https://\S{0,300}\.insteadOf\s+[\"']?(?:ssh:|git@|git\+ssh)", re.IGNORECASE
)
_REWRITES_TO_SSH = re.compile(r"url\.[\"']?(?:ssh:|git@)\S{0,300}\.insteadOf", re.IGNORECASE)


_PRIVATE_MODULE = re.compile(
    r"[ \t]*(?:require[ \t]+)?([\w-]+(?:\.[\w-]+)*\.(?:internal|corp|local|lan|intranet))/\S+ v"
)
_FETCH = frozenset(
    {"git", "pip", "pip3", "uv", "npm", "cargo", "poetry", "yarn", "pnpm", "rsync", "go"}
)


def ssh_dependencies(repo: CheckedRepository) -> Iterator[Finding]:
    """
    Find dependencies that are fetched over ssh, and commands that use it.
    """
    if any(
        _REWRITES.search(" ".join(one.command.words))
        for s in repo.preparing
        for one in s.commands()
    ):
        return
    yield from _of_commands(repo)
    tree = repo.tree
    requirements = [one for one in tree.suffixed(".txt", ".in") if _REQUIREMENTS.search(one)]
    for path, text in tree.texts([*tree.named(*_MANIFESTS), *requirements]):
        if "ssh:" not in text and "@" not in text:
            continue
        seen: set[str] = set()
        for number, line in enumerate(text.splitlines(), 1):
            found = _SSH.search(_code(line, path))
            if (
                found
                and (path.endswith(".lock") or not _ABOUT.match(line))
                and found[0] not in seen
            ):
                seen.add(found[0])
                yield _over_ssh(found[0], path, number)
    for one in node_dependencies(tree):
        if found := _SSH.match(one.wanted.strip()):
            yield _over_ssh(found[0], one.path, one.line)
    for path, text in tree.texts(tree.named(*_LOCKS)):
        for number, line in enumerate(text.splitlines(), 1):
            found = _SSH.search(line) if "ssh:" in line or "git@" in line else None
            if found and not _HOSTED.search(line) and "repository" not in line:
                yield _over_ssh(found[0], path, number)
                break
    yield from _of_composer(repo)


def _of_composer(repo: CheckedRepository) -> Iterator[Finding]:
    for path, text in repo.tree.texts(repo.tree.named("composer.json")):
        listed = json_of(text).get("repositories")
        every = list(listed.values()) if isinstance(listed, dict) else listed
        for one in every if isinstance(every, list) else ():
            url = str(one.get("url", "")) if isinstance(one, dict) else ""
            if _SSH.match(url):
                yield _over_ssh(url, path, line_with(text, re.escape(url).replace("/", r"\\?/")))


def _of_commands(repo: CheckedRepository) -> Iterator[Finding]:
    for script, found in repo.commands():
        words = found.command.plain
        if _REWRITES_TO_SSH.search(" ".join(words)):
            yield _over_ssh("the rewritten address", script.path, found.line)
        elif found.command.name in ("ssh", "scp", "sftp", "ssh-keyscan") and not found.tolerated:
            if "-V" not in words:
                yield _over_ssh(f"`{words[0]}`", script.path, found.line)
        elif words and words[0] in _FETCH:
            address = next((one for one in words[1:] if _SSH.search(one)), "")
            if address and "insteadOf" not in " ".join(words) and "remote" not in words:
                yield _over_ssh(address, script.path, found.line)
            elif words[:3] == ["go", "env", "-w"] and any("GOPRIVATE=" in one for one in words):
                yield _go_private(script.path, found.line)
        elif words[:1] == ["export"] and any(one.startswith("GOPRIVATE=") for one in words):
            yield _go_private(script.path, found.line)
    if "GOPRIVATE" in repo.choices.variables and "go.mod" in repo.tree.files:
        yield _go_private("go.mod", 1)
    for path, text in repo.tree.texts(["go.mod"]):
        for number, line in enumerate(text.splitlines(), 1):
            if module := _PRIVATE_MODULE.match(line):
                yield _go_private(path, number, f"{module[1]} is a private host, whose modules go")
                break


def _go_private(
    path: str | None, line: int | None, what: str = "GOPRIVATE names modules that go"
) -> Finding:
    return Finding.of(
        "ssh-dependency",
        f"{what} fetches with git, with your credentials",
        "Git has no key and no credentials for a private host; a secret of the setup phase can be "
        "used over HTTPS only.",
        "Give git a token over HTTPS in the setup script, and vendor the modules (`go mod "
        "vendor`) or fetch all of them there.",
        path=path,
        line=line,
        level="warning",
    )


def _over_ssh(address: str, path: str | None, line: int | None) -> Finding:
    return Finding.of(
        "ssh-dependency",
        f"{address} is fetched over ssh",
        _IN_CODEX,
        _HTTPS,
        path=path,
        line=line,
    )


def _code(line: str, path: str) -> str:
    if path.endswith((".json", ".lock")):
        return line
    mark = next((one for end, one in _COMMENTS.items() if path.endswith(end)), "#")
    return without_comment(line, mark)


_LONGEST = 1000
"""Characters of a requirement. Longer ones are nobody's, and would take long."""

_FIXED = Version("0.24.1")
_NEWER = ("0.24.1", "0.25.2", "0.26.0", "0.27.2", "0.28.1", "1.0.0")
_LOCKED = re.compile(r'^name = "httpx"\s*\nversion = "([^"]+)"', re.MULTILINE)


def old_httpx(repo: CheckedRepository) -> Iterator[Finding]:
    """
    Find a version of httpx that ends with an error because NO_PROXY contains `::1`.
    """
    tree = repo.tree
    for path, text in tree.texts(tree.named("uv.lock", "poetry.lock", "pdm.lock")):
        for found in _LOCKED.finditer(text):
            if _is_old(found[1]):
                yield _httpx_finding(found[1], path, text.count("\n", 0, found.start()) + 1)
    for path, text in tree.texts(tree.named("Pipfile.lock")):
        for group in ("default", "develop"):
            version = str(subtable(json_of(text), group, "httpx").get("version", "")).lstrip("=")
            if version and _is_old(version):
                yield _httpx_finding(version, path, json_line(text, group, "httpx"))
    for one in python_dependencies(tree):
        if one.name == "httpx" and _excludes_fixed(one.wanted):
            yield _httpx_finding(one.wanted, one.path, one.line)


def _is_old(version: str) -> bool:
    try:
        return Version(version) < _FIXED
    except ValueError:  # No version, or a number of too many digits.
        return False


def _excludes_fixed(wanted: str) -> bool:
    """
    Check whether a requirement accepts no version in which the error is fixed.
    """
    text = wanted[:_LONGEST].partition(";")[0].strip(" ()")
    caret = re.fullmatch(r"[~^]\s*0\.(\d{1,9})(?:\.\d+)*", text)
    if caret:
        return int(caret[1]) < 24
    if re.fullmatch(r"\d[\d.]*", text):
        text = f"=={text}"
    try:
        accepted = SpecifierSet(text)
        pinned = [one.version for one in accepted if one.operator.startswith("==")]
        newer = [*_NEWER, "0.24.9", *(one for one in pinned if not _is_old(one.rstrip(".*")))]
        return bool(text) and not any(accepted.contains(one.rstrip(".*")) for one in newer)
    except ValueError:  # No requirement, or a number of too many digits.
        return False


def _httpx_finding(version: str, path: str, line: int | None) -> Finding:
    return Finding.of(
        "httpx-no-proxy",
        f"httpx {version} cannot read NO_PROXY with `::1`, which Codex sets",
        "The first httpx.Client() ends with `InvalidURL: Invalid port: ':1'`.",
        "Require httpx>=0.24.1, or set NO_PROXY=localhost,127.0.0.1 (and no_proxy) for the tests.",
        path=path,
        line=line,
    )


_NOT_OF_UBUNTU: Mapping[str, str] = {
    "chromium": "is a snap there, which does not run in a container",
    "chromium-driver": "is a snap there, which does not run in a container",
    "firefox-esr": "is a snap there, which does not run in a container",
    "libjpeg62-turbo": "is called libjpeg-turbo8 there",
    "libjpeg62-turbo-dev": "is called libjpeg-turbo8-dev there",
}
"""Packages of Debian that Ubuntu has under another name, or as a snap only."""

_BY_VERSION: Mapping[str, tuple[re.Pattern[str], tuple[str, ...]]] = {
    "PostgreSQL": (
        re.compile(r"postgresql(?:-client|-contrib|-server-dev|-pl\w+)?-(\d+)\b"),
        ("16",),
    ),
    "PHP": (re.compile(r"(?:libapache2-mod-)?php(\d\.\d)(?:-|$)"), ("8.3",)),
    "Python": (re.compile(r"(?:lib)?python(3\.\d+)(?:-|$)"), ("3.12",)),
    "OpenJDK": (re.compile(r"openjdk-(\d+)-"), ("8", "11", "17", "21", "25")),
    "Ruby": (re.compile(r"(?:lib)?ruby(3\.\d)(?:-|$)"), ("3.2",)),
    "ICU": (re.compile(r"libicu(\d+)$"), ("74",)),
}
"""Packages with a version in their name, and the versions that Ubuntu 24.04 has."""

_FOR_SYSTEM: Mapping[str, tuple[re.Pattern[str], str, str]] = {
    "Python": (re.compile(r"python3-([\w.+-]+)"), "python3", "pip"),
    "Ruby": (re.compile(r"ruby-([\w.+-]+)"), "ruby", "gem or bundle"),
    "PHP": (re.compile(r"php(?:8\.\d)?-([\w.+-]+)"), "php", "composer or pecl"),
}
"""For each language: packages of libraries for the system's interpreter, the name of that, and what
installs libraries for the selected one."""

_NO_LIBRARY = re.compile(
    r"(?:all|apt|bundler|cgi|cli|common|dev|distutils|doc|fpm|full|minimal|pip|pip-whl|setuptools"
    r"|venv|wheel)|.*-doc"
)
"""The ends of their names that are of no library, or of one that everybody has."""

_POSTGRES_FOLDER = re.compile(r"/(?:usr/lib|etc|var/lib)/postgresql/(\d+)(?:/|$)")
_OTHER_SOURCES = r"add-apt-repository|/etc/apt/sources\.list|pgdg|apt\.postgresql\.org|sury\.org"


def packages_of_debian(repo: CheckedRepository) -> Iterator[Finding]:
    """
    Find packages that Debian has, and so `slim`, and Ubuntu 24.04, of which Codex's image is made,
    has not.
    """
    if any(re.search(_OTHER_SOURCES, one.text) for one in repo.preparing):
        return
    for script in repo.preparing:
        for found in script.commands():
            if found.tolerated:
                continue
            for word in found.command.plain[1:]:
                why = _missing_there(word.partition("=")[0]) if _installs(found) else ""
                if not why and (folder := _POSTGRES_FOLDER.search(word)) and folder[1] != "16":
                    why = "is a folder of a version that it does not have: it has PostgreSQL 16"
                if why:
                    yield Finding.of(
                        "apt-package",
                        f"{word} {why}: Codex's image is Ubuntu 24.04, and `slim` is Debian",
                        "apt-get ends with `Unable to locate package` or `has no installation "
                        "candidate`; of a snap, only a stub is installed.",
                        "Take the package without a version (`postgresql`, and `ls "
                        "/usr/lib/postgresql`), the runtime of CODEX_ENV_*_VERSION, or the "
                        "maker's repository; browsers: `npx playwright install --with-deps`.",
                        path=script.path,
                        line=found.line,
                    )


def packages_of_the_system(repo: CheckedRepository) -> Iterator[Finding]:
    """
    Find libraries that apt-get installs for the system's interpreter. In `slim`, that is the one
    that runs; in Codex, it is not.
    """
    for script in repo.preparing:
        libraries: dict[str, list[tuple[str, int | None]]] = {}
        for found in script.commands():
            if found.tolerated or not _installs(found):
                continue
            for word in found.command.plain[1:]:
                if language := _language_of(word.partition("=")[0]):
                    libraries.setdefault(language, []).append((word, found.line))
        for language, packages in libraries.items():
            _, program, installer = _FOR_SYSTEM[language]
            if any(f"/usr/bin/{program}" in one.text for one in repo.scripts):
                continue
            yield Finding.of(
                "apt-package",
                f"{first_of([name for name, _ in packages], _SHOWN)}: for the system's {language}, "
                "which is the one that runs in `slim`, and not in Codex",
                f"`{program}` is that of CODEX_ENV_{language.upper()}_VERSION, which does not look "
                "into the folders of the system's packages.",
                f"Install it with {installer}, or run /usr/bin/{program}.",
                path=script.path,
                line=packages[0][1],
                level="warning",
            )


def _installs(found: Found) -> bool:
    """
    Check whether a command installs packages of the system.
    """
    return found.command.name in ("apt", "apt-get") and "install" in found.command.plain


def _language_of(package: str) -> str:
    """
    Return the language whose interpreter of the system a library is for; empty for others.
    """
    for language, (pattern, _, _) in _FOR_SYSTEM.items():
        found = pattern.fullmatch(package)
        if found and not _NO_LIBRARY.fullmatch(found[1]):
            return language
    return ""


def _missing_there(package: str) -> str:
    """
    Return what is different about a package of Debian in Ubuntu 24.04; empty if nothing is known.
    """
    if package in _NOT_OF_UBUNTU:
        return _NOT_OF_UBUNTU[package]
    for name, (pattern, versions) in _BY_VERSION.items():
        if (found := pattern.match(package)) and found[1] not in versions:
            return f"is not there, which has {name} {', '.join(versions)}"
    return ""

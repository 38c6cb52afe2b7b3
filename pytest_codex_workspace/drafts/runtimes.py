"""Versions of runtimes that a tree asks for, as far as Codex has them."""

from __future__ import annotations

import re
from collections.abc import Iterator

from ..checks.documents import subtable
from ..checks.manifests import node_of_manager
from ..checks.version_ranges import Dialect, accepts, is_of_python, numbers_of
from ..codex import CONFIG_FILE, KNOWN_RUNTIMES, RUNTIMES
from .draft import Draft, Hint, Setting
from .tree import ProjectFiles

__all__ = ["add_runtimes"]

_CHOSEN = ("python", "node", "java")
"""Runtimes whose versions are chosen. Of others, only the default is taken for known."""

_TOOLS = {
    "python": "python",
    "nodejs": "node",
    "node": "node",
    "golang": "go",
    "go": "go",
    "ruby": "ruby",
    "rust": "rust",
    "java": "java",
    "php": "php",
    "bun": "bun",
}
_NUMBER = re.compile(r"\D*?(\d+(?:\.\d+){0,2})")


def add_runtimes(tree: ProjectFiles, draft: Draft) -> None:
    """
    Add the versions of runtimes that differ from Codex's defaults.
    """
    seen: set[str] = set()
    for runtime, version, source in _asked(tree):
        if runtime in seen:
            continue
        seen.add(runtime)
        default = RUNTIMES[runtime.upper()]
        short = _shortened(runtime, version)
        if short == _shortened(runtime, default):
            continue
        known = _known(runtime)
        if short in known:
            draft.runtimes.append(Setting(runtime, short, source))
            continue
        has = (
            ", ".join(known)
            if known
            else f"{default}; if others are there, `runtimes: {{{runtime}: {version}}}` in "
            f"{CONFIG_FILE} chooses one"
        )
        text = f"asks for {runtime} {version}, but of Codex's versions is known: {has}"
        draft.hints.append(Hint(source, text))


def _asked(tree: ProjectFiles) -> Iterator[tuple[str, str, str]]:
    """
    Yield runtime, version and source, what takes precedence first.
    """
    for line in tree.text(".tool-versions").splitlines():
        tool, _, version = line.partition("#")[0].strip().partition(" ")
        if tool in _TOOLS and (found := _NUMBER.match(version)):
            yield _TOOLS[tool], found[1], ".tool-versions"
    for name in ("mise.toml", ".mise.toml"):
        for tool, version in subtable(tree.toml(name), "tools").items():
            if tool in _TOOLS and (found := _NUMBER.match(str(version))):
                yield _TOOLS[tool], found[1], name
    for name, runtime in (
        (".nvmrc", "node"),
        (".node-version", "node"),
        (".python-version", "python"),
        (".ruby-version", "ruby"),
        (".java-version", "java"),
        ("rust-toolchain", "rust"),
    ):
        text = tree.text(name).strip()
        if re.match(r"(v|ruby-)?\d", text) and (found := _NUMBER.match(text)):
            yield runtime, found[1], name
    yield from _of_projects(tree)


def _of_projects(tree: ProjectFiles) -> Iterator[tuple[str, str, str]]:
    channel = subtable(tree.toml("rust-toolchain.toml"), "toolchain").get("channel")
    if isinstance(channel, str) and re.fullmatch(r"\d+\.\d+(\.\d+)?", channel):
        yield "rust", channel, "rust-toolchain.toml"
    if found := re.search(r"^java=(\d+)", tree.text(".sdkmanrc"), re.M):
        yield "java", found[1], ".sdkmanrc"
    package = tree.json("package.json")
    if needed := node_of_manager(package):
        yield "node", _satisfying("node", needed), "package.json"
    node = subtable(package, "volta").get("node")
    if node is None:
        node = subtable(package, "engines").get("node")
    if isinstance(node, str) and (version := _satisfying("node", node)):
        yield "node", version, "package.json"
    wanted = subtable(tree.toml("pyproject.toml"), "project").get("requires-python")
    if isinstance(wanted, str) and (version := _satisfying("python", wanted)):
        yield "python", version, "pyproject.toml"
    if found := re.search(r"^ruby ['\"](\d[\d.]*)['\"]", tree.text("Gemfile"), re.M):
        yield "ruby", found[1], "Gemfile"


def _satisfying(runtime: str, wanted: str) -> str:
    """
    Return the version that satisfies *wanted*: Codex's default, or else the newest that it has;
    empty if none is known to do.
    """
    default = _shortened(runtime, RUNTIMES[runtime.upper()])
    dialect: Dialect = "python" if runtime == "python" and is_of_python(wanted) else "npm"
    versions = (default, *reversed(_known(runtime)))
    return next((one for one in versions if accepts(wanted, one, dialect)), "")


def _known(runtime: str) -> list[str]:
    """
    Return the versions that are known, the oldest first.
    """
    return sorted(KNOWN_RUNTIMES[runtime.upper()], key=numbers_of) if runtime in _CHOSEN else []


def _shortened(runtime: str, version: str) -> str:
    """
    Return the numbers of a version by which Codex's versions are told apart.
    """
    numbers = version.split(".")
    kept = {"node": 1, "java": 1, "python": 2, "php": 2}.get(runtime, 3)
    if runtime == "java" and numbers[0] == "1" and len(numbers) > 1:
        return numbers[1]
    return ".".join(numbers[:kept])

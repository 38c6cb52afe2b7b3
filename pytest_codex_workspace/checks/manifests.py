"""The files in which projects list what they need, as far as the rules look at them."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from packaging.utils import canonicalize_name

from .documents import json_line, json_of, subtable, texts_of, toml_of, without_comment
from .tree import CommittedTree

__all__ = [
    "Dependency",
    "node_dependencies",
    "node_of_manager",
    "node_tests",
    "python_dependencies",
]

_NAME = re.compile(r"\s*([A-Za-z0-9][A-Za-z0-9._-]*)")
_REQUIREMENT_FILES = re.compile(
    r"(^|/)((dev-|test-)?requirements[\w.-]*|constraints[\w.-]*)\.(txt|in)$|(^|/)requirements/[\w.-]+\.(txt|in)$"
)
_SETUP_ENTRY = re.compile(r"\s+[\"']?([A-Za-z][\w.-]*)(\[[^]]*\])?\s*([<>=~!;,\"'].*|@.*)?$")
_JSON_KEY = re.compile(r'"([^"\\]+)"\s*:')
_QUOTED = re.compile(r"[\"']([^\"'\n]+)[\"']")
_TOML_KEY = re.compile(r"^[ \t]*[\"']?([\w.-]+)[\"']?[ \t]*=")
_NO_TEST = "no test specified"
"""A part of what `npm init` writes as the script `test`."""

_NODE_TABLES = ("dependencies", "devDependencies", "optionalDependencies")


@dataclass(frozen=True, slots=True)
class Dependency:
    """
    An entry of a manifest.

    Attributes:
        name: the name, in lower case; that of Python with `-` for `_` and `.`.
        wanted: the rest of the entry: versions, or an address.
        path: the manifest.
        line: its line there.
    """

    name: str
    wanted: str
    path: str
    line: int


def node_dependencies(tree: CommittedTree) -> Iterator[Dependency]:
    """
    Yield the dependencies in each package.json.
    """
    for path, text in tree.texts(tree.named("package.json")):
        data = json_of(text)
        for name in _NODE_TABLES:
            entries = subtable(data, name)
            lines = _lines(text, _JSON_KEY, json_line(text, name)) if entries else {}
            for package, wanted in entries.items():
                line = lines.get(str(package), 1)
                yield Dependency(str(package).lower(), str(wanted), path, line)


def python_dependencies(tree: CommittedTree) -> Iterator[Dependency]:
    """
    Yield the dependencies in requirements files, pyproject.toml, setup.cfg and Pipfile.
    """
    wanted = [path for path in tree.suffixed(".txt", ".in") if _REQUIREMENT_FILES.search(path)]
    for path, text in tree.texts(wanted):
        for number, line in enumerate(text.splitlines(), 1):
            yield from _requirement(without_comment(line), path, number)
    for path, text in tree.texts(tree.named("pyproject.toml")):
        yield from _of_pyproject(toml_of(text), path, text)
    for path, text in tree.texts(tree.named("Pipfile")):
        data = toml_of(text)
        for name in ("packages", "dev-packages"):
            yield from _of_table(subtable(data, name), path, text)
    for path, text in tree.texts(tree.named("setup.cfg", "setup.py")):
        for number, line in enumerate(text.splitlines(), 1):
            found = _SETUP_ENTRY.match(line)
            if found and not line.lstrip().startswith("#"):
                version = (found[3] or "").strip("\"', ")
                yield Dependency(canonicalize_name(found[1]), version, path, number)


def _of_pyproject(data: Mapping[str, Any], path: str, text: str) -> Iterator[Dependency]:
    project = subtable(data, "project")
    lists = [
        project.get("dependencies"),
        project.get("optional-dependencies"),
        data.get("dependency-groups"),
        subtable(data, "tool", "uv").get("dev-dependencies"),
        subtable(data, "tool", "pdm").get("dev-dependencies"),
    ]
    lines = _lines(text, _QUOTED)
    for one in (each for found in lists for each in texts_of(found)):
        yield from _requirement(one, path, lines.get(one, 1))
    environments = subtable(data, "tool", "hatch", "envs")
    for name in environments:
        for one in texts_of(subtable(environments, name).get("dependencies")):
            yield from _requirement(one, path, lines.get(one, 1))
    poetry = subtable(data, "tool", "poetry")
    tables = [subtable(poetry, "dependencies"), subtable(poetry, "dev-dependencies")]
    groups = subtable(poetry, "group")
    tables += [subtable(groups, name, "dependencies") for name in groups]
    for mapping in tables:
        yield from _of_table(mapping, path, text)


def _of_table(found: Mapping[str, Any], path: str, text: str) -> Iterator[Dependency]:
    lines = _lines(text, _TOML_KEY) if found else {}
    for name, wanted in found.items():
        line = lines.get(str(name), 1)
        version = wanted.get("version", "") if isinstance(wanted, Mapping) else wanted
        yield Dependency(canonicalize_name(str(name)), str(version), path, line)


def _requirement(text: str, path: str, line: int) -> Iterator[Dependency]:
    found = _NAME.match(text)
    if found and not text.lstrip().startswith("-"):
        rest = re.sub(r"^\[[^]]*\]", "", text[found.end() :].strip()).strip()
        yield Dependency(canonicalize_name(found[1]), rest, path, line)


def _lines(text: str, pattern: re.Pattern[str], first: int = 1) -> dict[str, int]:
    """
    Return the line of each text that *pattern* finds, from the line *first* on: in one pass, since
    a manifest may have very many.
    """
    found: dict[str, int] = {}
    for number, line in enumerate(text.splitlines(), 1):
        if number >= first:
            for one in pattern.finditer(without_comment(line)):
                found.setdefault(one[1], number)
    return found


_PNPM_OF_NODE_22 = 11
"""The first major version of pnpm that needs Node 22.13."""


def node_of_manager(package: Mapping[str, Any]) -> str:
    """
    Return which Node the `packageManager` of a package.json needs; empty if any of Codex does.
    """
    found = re.match(r"pnpm@(\d{1,3})\.", str(package.get("packageManager", "")))
    return ">=22.13" if found and int(found[1]) >= _PNPM_OF_NODE_22 else ""


def node_tests(package: Mapping[str, Any]) -> str:
    """
    Return the script `test` of a package.json; empty if there is none, or that of `npm init`.
    """
    script = subtable(package, "scripts").get("test")
    if not isinstance(script, str) or _NO_TEST in script:
        return ""
    return script.strip()

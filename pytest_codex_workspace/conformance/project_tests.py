"""How a project's own tests are run: as configured, or as its files suggest."""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass
from typing import TypeVar

from ..checks.documents import json_of, subtable, toml_of
from ..checks.manifests import node_tests
from ..checks.scripts import folders_named
from ..codex import SETUP

__all__ = ["ProjectTests", "detect_tests"]

_Answer = TypeVar("_Answer")

Read = Callable[[str], str]
"""Returns the text of a file; empty if it cannot be read."""

_TEST_FILE = re.compile(r"(?:^|/)(?:test_[^/]*|[^/]*_test)\.py$")
_MAKE_TARGET = re.compile(r"^test[ \t]*:(?!=)", re.MULTILINE)
_NO_PROJECT = re.compile(
    r"\..*|docs?|examples?|samples?|demos?|tests?|spec|vendor|third_party|node_modules|templates?"
    r"|fixtures|fuzz|benchmarks?"
)
"""Folders at the top whose projects are not the repository's."""

_MOST = 100
"""Folders whose projects are looked at if there is no setup."""

_PYTEST = "python -m pytest"
_VENV = ("{dir}/bin/python -m pytest", ".venv", "venv")


@dataclass(frozen=True, slots=True)
class ProjectTests:
    """
    The command of a project's tests.

    Attributes:
        command: text for a bash login shell, in the project directory.
        source: where it is from: `.codex-workspace.yaml`, or the file that suggests it.
        places: further commands by a path in the workspace: if the path exists, its command is
            run in place of `command`.
        parts: folders and how the tests of each are run, if there are several projects.
    """

    command: str
    source: str
    places: tuple[tuple[str, str], ...] = ()
    parts: tuple[tuple[str, ProjectTests], ...] = ()

    def command_in(self, exists: Callable[[str], bool]) -> str:
        """
        Return the command for a workspace, of which *exists* tells whether it has a path.
        """
        if self.parts:
            return _joined(
                (folder, one.command_in(_inside(folder, exists))) for folder, one in self.parts
            )
        return next((command for path, command in self.places if exists(path)), self.command)


def detect_tests(files: Collection[str], read: Read) -> ProjectTests | None:
    """
    Return how the tests of a project are run, as far as its files tell.

    Args:
        files: paths of all files of the commit.
        read: returns the text of one of them.
    """
    names = set(files)
    return next(_candidates(names, read), None) or _of_folders(names, read)


def _of_folders(names: set[str], read: Read) -> ProjectTests | None:
    """
    Return how the tests of the projects in folders at the top are run: those that setup names,
    because it has prepared them; all if there is no setup.
    """
    script = read(SETUP) if SETUP in names else ""
    folders: dict[str, set[str]] = {}
    for name in names:
        folder, _, rest = name.partition("/")
        if rest and not _NO_PROJECT.fullmatch(folder):
            folders.setdefault(folder, set()).add(rest)
    every = sorted(folders)
    parts = [
        (folder, found)
        for folder in (folders_named(script, every) if script else every[:_MOST])
        if (found := next(_candidates(folders[folder], _inside(folder, read)), None))
    ]
    if not parts:
        return None
    sources = ", ".join(f"{folder}/{one.source}" for folder, one in parts)
    command = _joined((folder, one.command) for folder, one in parts)
    return ProjectTests(command, sources, parts=tuple(parts))


def _inside(folder: str, ask: Callable[[str], _Answer]) -> Callable[[str], _Answer]:
    """
    Return what asks about the paths in a folder.
    """
    return lambda path: ask(f"{folder}/{path}")


def _joined(commands: Iterable[tuple[str, str]]) -> str:
    return " && ".join(f"(cd {shlex.quote(folder)} && {command})" for folder, command in commands)


def _candidates(names: set[str], read: Read) -> Iterator[ProjectTests]:
    yield from _python(names, read)
    yield from _node(names, read)
    if "Cargo.toml" in names:
        yield ProjectTests("cargo test", "Cargo.toml")
    if "go.mod" in names:
        yield ProjectTests("go test ./...", "go.mod")
    yield from _java(names)
    yield from _ruby(names)
    yield from _php(names, read)
    for name in ("GNUmakefile", "makefile", "Makefile"):
        if name in names and _MAKE_TARGET.search(read(name)):
            yield ProjectTests("make test", name)
    if "tox.ini" in names:
        yield ProjectTests("tox", "tox.ini")
    if "noxfile.py" in names:
        yield ProjectTests("nox", "noxfile.py")


def _python(names: set[str], read: Read) -> Iterator[ProjectTests]:
    project = names & {"pyproject.toml", "setup.py", "setup.cfg", "pytest.ini", "tox.ini"}
    if not project and not any(name.startswith("requirements") for name in names):
        return
    source = _pytest_source(names, read)
    if not source:
        return
    command = _PYTEST
    script = read(SETUP) if SETUP in names else ""
    for tool in ("uv", "poetry", "pdm"):
        # A lock file tells what contributors use; what setup does not install cannot run here.
        if f"{tool}.lock" in names and (not script or re.search(rf"\b{tool}\b", script)):
            command = f"{tool} run pytest"
            break
    form, *folders = _VENV
    places = tuple((f"{one}/bin/pytest", form.format(dir=one)) for one in folders)
    yield ProjectTests(command, source, places)


def _pytest_source(names: set[str], read: Read) -> str:
    """
    Return the file that says that pytest runs the tests; empty if none does.
    """
    for name in ("pytest.ini", ".pytest.ini", "conftest.py"):
        if name in names:
            return name
    tool = subtable(toml_of(read("pyproject.toml")) if "pyproject.toml" in names else {}, "tool")
    if "pytest" in tool:
        return "pyproject.toml"
    for name, section in (("setup.cfg", "[tool:pytest]"), ("tox.ini", "[pytest]")):
        if name in names and section in read(name):
            return name
    return next((name for name in sorted(names) if _TEST_FILE.search(name)), "")


def _node(names: set[str], read: Read) -> Iterator[ProjectTests]:
    if "package.json" not in names or not node_tests(json_of(read("package.json"))):
        return
    managers = (
        ("pnpm-lock.yaml", "pnpm test"),
        ("yarn.lock", "yarn test"),
        ("bun.lock", "bun run test"),
        ("bun.lockb", "bun run test"),
    )
    command = next((command for lock, command in managers if lock in names), "npm test")
    yield ProjectTests(command, "package.json")


def _java(names: set[str]) -> Iterator[ProjectTests]:
    if "pom.xml" in names:
        yield ProjectTests("./mvnw -B -o test" if "mvnw" in names else "mvn -B -o test", "pom.xml")
    for name in ("build.gradle", "build.gradle.kts"):
        if name in names:
            program = "./gradlew" if "gradlew" in names else "gradle"
            yield ProjectTests(f"{program} --offline test", name)


def _ruby(names: set[str]) -> Iterator[ProjectTests]:
    start = "bundle exec " if "Gemfile" in names else ""
    if ".rspec" in names or any(name.startswith("spec/") for name in names):
        yield ProjectTests(f"{start}rspec", ".rspec" if ".rspec" in names else "spec/")
    elif "Rakefile" in names and ("Gemfile" in names or any(n.endswith(".gemspec") for n in names)):
        yield ProjectTests(f"{start}rake", "Rakefile")


def _php(names: set[str], read: Read) -> Iterator[ProjectTests]:
    if "composer.json" in names and "test" in subtable(json_of(read("composer.json")), "scripts"):
        yield ProjectTests("composer test", "composer.json")
    for name in ("phpunit.xml", "phpunit.xml.dist"):
        if name in names:
            installed = "vendor/bin/phpunit"
            yield ProjectTests("phpunit", name, ((installed, installed),))

"""Python: uv, Poetry, PDM, Pipenv, and pip with requirements or a project."""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping
from typing import Any

from ..checks.documents import subtable
from .draft import (
    UNLOCKED,
    Draft,
    Hint,
    Install,
    Setting,
    TestCommand,
    browser_hint,
    in_folder,
)
from .tree import ProjectFiles

__all__ = ["add_python"]

_LOCKS = ("uv.lock", "poetry.lock", "pdm.lock", "Pipfile.lock")
_PROJECTS = ("pyproject.toml", "setup.py", "setup.cfg")
_FOR_TESTS = ("dev", "develop", "development", "test", "tests", "testing")
_REQUIREMENTS = re.compile(
    rf"(?:requirements|reqs)(?:[-_.](?:{'|'.join(_FOR_TESTS)}))?\.txt|"
    rf"(?:{'|'.join(_FOR_TESTS)})[-_]requirements\.txt"
)
_VERSIONED = {
    "setuptools-scm": "SETUPTOOLS_SCM_PRETEND_VERSION",
    "setuptools_scm": "SETUPTOOLS_SCM_PRETEND_VERSION",
    "hatch-vcs": "SETUPTOOLS_SCM_PRETEND_VERSION",
    "pdm-backend": "PDM_BUILD_SCM_VERSION",
    "poetry-dynamic-versioning": "POETRY_DYNAMIC_VERSIONING_BYPASS",
    "versioningit": "VERSIONINGIT_FOR_PACKAGE_INDEX",
    "pbr": "PBR_VERSION",
}
"""Variables that give a version to what computes it from tags."""

_BROWSERS: Mapping[str, str | None] = {
    "playwright": "python -m playwright install --with-deps chromium",
    "pytest-playwright": "python -m playwright install --with-deps chromium",
    "selenium": None,
    "pytest-selenium": None,
    "splinter": None,
    "helium": None,
}
"""What installs the browser of a library; `None` if it drives one of the system."""

_PRETENDED = "0.0.0"
_TEST_FILE = re.compile(r"test_\w+\.py")
_MOST_TESTS = 20
"""Files of tests that are looked at."""

_NEW_PIP = "python -m pip install 'pip>=25.1'"
"""The first one that knows dependency groups."""


def add_python(tree: ProjectFiles, draft: Draft) -> None:
    """
    Add what the Python projects of a tree need.
    """
    for folder in tree.folders_with(*_LOCKS, *_PROJECTS, *_requirement_names(tree)):
        _add_project(tree, folder, draft)


def _requirement_names(tree: ProjectFiles) -> set[str]:
    names = {path.rpartition("/")[2] for path in tree.files}
    return {name for name in names if _REQUIREMENTS.fullmatch(name)}


def _add_project(tree: ProjectFiles, folder: str, draft: Draft) -> None:
    project = _Project(tree, folder)
    if project.is_member(tree):
        return
    install = project.install()
    if install is None:
        return
    draft.installs.append(install)
    if setting := project.pretended_version():
        draft.env += [one for one in [setting] if one.name not in {each.name for each in draft.env}]
    if browser := project.browser():
        draft.hints.append(browser)
    if test := project.test():
        draft.tests.append(test)


class _Project:
    """
    A Python project in one folder of a tree.
    """

    def __init__(self, tree: ProjectFiles, folder: str) -> None:
        self._tree = tree
        self._folder = folder
        self._prefix = f"{folder}/" if folder else ""
        self._names = frozenset(tree.in_folder(folder))
        self._toml = tree.toml(f"{self._prefix}pyproject.toml")
        self._lock = next((name for name in _LOCKS if name in self._names), "")
        self._runner = ""

    def is_member(self, tree: ProjectFiles) -> bool:
        """
        Check whether a uv workspace further up installs this project.
        """
        if not self._folder or self._lock:
            return False
        parts = self._folder.split("/")
        above = ["/".join(parts[:depth]) for depth in range(len(parts))]
        for folder in above:
            prefix = f"{folder}/" if folder else ""
            config = subtable(tree.toml(f"{prefix}pyproject.toml"), "tool", "uv", "workspace")
            if config and f"{prefix}uv.lock" in tree:
                return True
        return False

    def install(self) -> Install | None:
        """
        Return what installs the project; `None` if it is none.
        """
        if self._lock == "uv.lock":
            return self._uv()
        if self._lock == "poetry.lock":
            return self._poetry()
        if self._lock == "pdm.lock":
            return self._tool("pdm", "pdm sync")
        if self._lock == "Pipfile.lock":
            return self._tool("pipenv", "pipenv sync --dev")
        return self._pip()

    def _uv(self) -> Install:
        words = ["uv sync --locked"]
        if subtable(self._toml, "tool", "uv", "workspace"):
            words.append("--all-packages")
        words += [f"--extra {name}" for name in self._extras()]
        # uv installs the group dev by itself.
        words += [f"--group {name}" for name in self._groups() if name != "dev"]
        return self._tool("uv", " ".join(words), run="uv run --no-sync ")

    def _poetry(self) -> Install:
        words = ["poetry install --no-interaction"]
        names = [*self._extras(), *_chosen(subtable(self._toml, "tool", "poetry", "extras"))]
        words += [f"--extras {name}" for name in dict.fromkeys(names)]
        groups = subtable(self._toml, "tool", "poetry", "group")
        optional = [name for name in _chosen(groups) if subtable(groups, name).get("optional")]
        words += [f"--with {name}" for name in optional]
        return self._tool("poetry", " ".join(words))

    def _tool(self, tool: str, command: str, *, run: str = "") -> Install:
        self._runner = run or f"{tool} run "
        get = f"command -v {tool} >/dev/null || python -m pip install {tool}"
        return Install(f"{self._prefix}{self._lock}", (get, *in_folder(self._folder, [command])))

    def _pip(self) -> Install | None:
        files = self._requirements()
        words = [f"-r {shlex.quote(name)}" for name in files]
        note, lines = "", []
        if self._is_package():
            extras = self._extras()
            target = f".[{','.join(extras)}]" if extras else "."
            words.append(f"-e {shlex.quote(target)}")
            if groups := self._groups():
                lines.append(_NEW_PIP)
                words += [f"--group {name}" for name in groups]
            if not files:
                note = UNLOCKED
        if not words:
            return None
        if self._uses_pytest() and not self._declares_pytest():
            words.append("pytest")
        if any("--hash=" in self._text(name) for name in files) and len(words) > len(files):
            # With hashes, pip accepts nothing that has none beside them.
            lines.append(f"python -m pip install {' '.join(words[: len(files)])}")
            words = words[len(files) :]
        lines.append(f"python -m pip install {' '.join(words)}")
        named = [*files, *([self._project_file()] if self._is_package() else [])]
        source = ", ".join(f"{self._prefix}{name}" for name in named)
        return Install(source, in_folder(self._folder, lines), note)

    def _requirements(self) -> list[str]:
        found = [name for name in self._names if _REQUIREMENTS.fullmatch(name)]
        # What is for tests often includes the others, whose versions then apply, too.
        found.sort(key=lambda name: (name != "requirements.txt", name))
        if found:
            return found
        below = self._tree.in_folder(f"{self._prefix}requirements")
        for names in (_FOR_TESTS, ("base", "main", "requirements", "prod", "production")):
            if chosen := [name for name in below if name.removesuffix(".txt") in names]:
                return [f"requirements/{name}" for name in chosen if name.endswith(".txt")]
        return []

    def _is_package(self) -> bool:
        if "setup.py" in self._names or "project" in self._toml or "build-system" in self._toml:
            return True
        return "setup.cfg" in self._names and "[metadata]" in self._text("setup.cfg")

    def _requirements_or_project(self) -> str:
        return next(iter(self._requirements()), "") or self._project_file()

    def _project_file(self) -> str:
        return next((name for name in _PROJECTS if name in self._names), "")

    def _extras(self) -> list[str]:
        declared = subtable(self._toml, "project", "optional-dependencies")
        if not declared and "[options.extras_require]" in self._text("setup.cfg"):
            section = self._text("setup.cfg").partition("[options.extras_require]")[2]
            declared = dict.fromkeys(re.findall(r"^(\w+) *=", section.partition("\n[")[0], re.M))
        return _chosen(declared)

    def _groups(self) -> list[str]:
        return _chosen(subtable(self._toml, "dependency-groups"))

    def pretended_version(self) -> Setting | None:
        """
        Return the variable that replaces tags, if the version is computed from them.
        """
        requires = subtable(self._toml, "build-system").get("requires")
        text = " ".join(map(str, requires)) if isinstance(requires, list) else ""
        text += "".join(re.findall(r"setuptools_scm|pbr", self._text("setup.py")))
        for name, variable in _VERSIONED.items():
            if not re.search(rf"(?<![\w-]){name}(?![\w-])", text):
                continue
            if name == "pdm-backend" and not subtable(self._toml, "tool", "pdm", "version"):
                continue
            if name == "versioningit":
                return None  # Its variable has the name of the package, and another form.
            return Setting(
                variable,
                self._tree.version or _PRETENDED,
                f"{self._prefix}{self._project_file()} uses {name}",
            )
        return None

    def browser(self) -> Hint | None:
        """
        Return what installs the browser that a library drives; `None` if there is no such library.
        """
        texts = self._dependencies()
        texts += [self._text(f"requirements/{name}") for name in ("base.txt", "main.txt")]
        texts.append(re.sub(r"['\"]", "\n", self._text("setup.py")))
        source = f"{self._prefix}{self._lock or self._requirements_or_project()}"
        for name, install in _BROWSERS.items():
            if any(_names(text, name) for text in texts):
                return browser_hint(source, name, self._folder, install and self._runner + install)
        return None

    def test(self) -> TestCommand | None:
        """
        Return the command that runs the tests of the project.
        """
        if self._uses_pytest():
            command = f"{self._runner}pytest" if self._runner else "python -m pytest"
        elif "manage.py" in self._names:
            command = f"{self._runner}python manage.py test"
        elif self._test_files():
            command = f"{self._runner}python -m unittest discover {self._where_to_discover()}"
        else:
            return None
        source = f"{self._prefix}{self._lock or 'tests'}"
        return TestCommand(" && ".join(in_folder(self._folder, [command])), source)

    def _test_folder(self) -> str:
        return next(
            (one for one in ("tests", "test") if self._tree.in_folder(self._below(one))), "."
        )

    def _where_to_discover(self) -> str:
        folder = self._test_folder()
        # Modules of a package import each other by its name.
        is_package = folder != "." and f"{self._below(folder)}/__init__.py" in self._tree
        return f"-s {folder} -t ." if is_package else f"-s {folder}"

    def _test_files(self) -> list[str]:
        """
        Return the paths of the files of tests, from the folder of the project.
        """
        folder = self._test_folder()
        if folder == ".":
            return [name for name in sorted(self._names) if _TEST_FILE.fullmatch(name)]
        start = f"{self._below(folder)}/"
        below = sorted(path for path in self._tree.files if path.startswith(start))
        return [
            path.removeprefix(self._prefix)
            for path in below
            if _TEST_FILE.fullmatch(path.rpartition("/")[2])
        ]

    def _below(self, folder: str) -> str:
        return f"{self._prefix}{folder}"

    def _uses_pytest(self) -> bool:
        if subtable(self._toml, "tool", "pytest") or "pytest.ini" in self._names:
            return True
        if any(
            re.search(r"^\[(tool:)?pytest\]", self._text(name), re.M)
            for name in ("tox.ini", "setup.cfg")
        ):
            return True
        if self._declares_pytest():
            return True
        texts = [self._text(name) for name in self._test_files()[:_MOST_TESTS]]
        if any(texts) and not any(re.search(r"\bTestCase\b|django", text) for text in texts):
            return True
        return any(
            path.startswith(self._prefix) and path.rpartition("/")[2] == "conftest.py"
            for path in self._tree.files
        )

    def _declares_pytest(self) -> bool:
        return any(_names(text, "pytest") for text in self._dependencies())

    def _dependencies(self) -> list[str]:
        """
        Return texts that have each dependency at the beginning of a line.
        """
        texts = [self._text(name) for name in (*self._requirements(), "Pipfile")]
        chosen = [
            subtable(self._toml, "project", "optional-dependencies").get(name)
            for name in self._extras()
        ]
        chosen += [subtable(self._toml, "dependency-groups").get(name) for name in self._groups()]
        chosen += [subtable(self._toml, "project").get("dependencies")]
        chosen += [subtable(self._toml, "tool", name) for name in ("poetry", "pdm", "uv")]
        texts += [re.sub(r"[\[\]'\"{}]", "\n", str(one)) for one in chosen if one]
        if "setup.cfg" in self._names:
            texts.append(self._text("setup.cfg").partition("[options")[2])
        return texts

    def _text(self, name: str) -> str:
        return self._tree.text(f"{self._prefix}{name}")


def _names(text: str, name: str) -> bool:
    """
    Check whether a line of a text begins with the name of a package, in any spelling.
    """
    spelled = re.escape(name).replace(r"\-", "[-_.]+")
    return bool(re.search(rf"^[ \t,]*{spelled}(?![\w.-])", text, re.MULTILINE | re.IGNORECASE))


def _chosen(names: Mapping[str, Any]) -> list[str]:
    """
    Return those of *names* that are for developers and tests.
    """
    return [name for name in names if name in _FOR_TESTS]

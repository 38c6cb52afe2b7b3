"""Tests of drafts for Python projects."""

from __future__ import annotations

import pytest

from pytest_codex_workspace.drafts.detect import draft_of
from pytest_codex_workspace.drafts.tree import ProjectFiles

from . import commands_of, lines_of, whole

UV = "command -v uv >/dev/null || python -m pip install uv"
POETRY = "command -v poetry >/dev/null || python -m pip install poetry"
PROJECT = "[project]\nname = 'x'\n"
PIP = "python -m pip install"

INSTALLS = [
    ({"requirements.txt": "a"}, [f"{PIP} -r requirements.txt"]),
    (
        {"requirements.txt": "a", "requirements-dev.txt": "pytest", "dev-requirements.txt": "b"},
        [f"{PIP} -r requirements.txt -r dev-requirements.txt -r requirements-dev.txt"],
    ),
    (
        {"requirements/base.txt": "a", "requirements/test.txt": "b", "pyproject.toml": PROJECT},
        [f"{PIP} -r requirements/test.txt -e ."],
    ),
    ({"requirements.txt": "a --hash=sha256:0", "setup.py": ""}, [
        f"{PIP} -r requirements.txt", f"{PIP} -e .",
    ]),
    ({"setup.py": ""}, [f"{PIP} -e ."]),
    ({"setup.cfg": "[metadata]\nname = x\n[options.extras_require]\ntest = \n  pytest\nall =\n"}, [
        f"{PIP} -e '.[test]'",
    ]),
    ({"setup.cfg": "[flake8]\n"}, []),
    ({"pyproject.toml": "[tool.ruff]\n"}, []),
    (
        {
            "pyproject.toml": PROJECT
            + "[project.optional-dependencies]\ndev = ['pytest']\ndocs = []\n"
            "[dependency-groups]\ntest = ['x']\n[build-system]\nrequires = []\n"
        },
        ["python -m pip install 'pip>=25.1'", f"{PIP} -e '.[dev]' --group test"],
    ),
    ({"pyproject.toml": PROJECT, "tests/conftest.py": ""}, [f"{PIP} -e . pytest"]),
    ({"uv.lock": "", "pyproject.toml": PROJECT, "requirements.txt": "a"}, [
        UV, "uv sync --locked",
    ]),
    (
        {
            "uv.lock": "",
            "pyproject.toml": PROJECT
            + "[project.optional-dependencies]\ntest = []\n[dependency-groups]\ndev = []\n"
            "testing = []\n[tool.uv.workspace]\nmembers = ['packages/*']\n",
            "packages/a/pyproject.toml": PROJECT,
        },
        [UV, "uv sync --locked --all-packages --extra test --group testing"],
    ),
    (
        {
            "poetry.lock": "",
            "pyproject.toml": "[tool.poetry.extras]\ntest = []\nx = []\n"
            "[tool.poetry.group.dev]\noptional = true\n[tool.poetry.group.tests.dependencies]\n",
        },
        [POETRY, "poetry install --no-interaction --extras test --with dev"],
    ),
    ({"pdm.lock": ""}, ["command -v pdm >/dev/null || python -m pip install pdm", "pdm sync"]),
    ({"Pipfile.lock": ""}, [
        "command -v pipenv >/dev/null || python -m pip install pipenv", "pipenv sync --dev",
    ]),
    ({"back end/uv.lock": ""}, [UV, "(cd 'back end' && uv sync --locked)"]),
    ({"docs/requirements.txt": "a", "a/tests/requirements.txt": "b"}, []),
]  # fmt: skip


@pytest.mark.parametrize(("files", "lines"), INSTALLS)
def test_what_is_locked_is_installed(files: dict[str, str], lines: list[str]) -> None:
    """
    A lock file comes before requirements, and these before the project alone. What tests need
    belongs to it; documents, tests and examples have projects of their own.
    """
    assert lines == lines_of(files)


UNITTEST = "import unittest\nclass A(unittest.TestCase): ..."
TESTS = [
    ({"requirements.txt": "pytest==8"}, ["python -m pytest"]),
    ({"requirements.txt": "pytest-cov"}, []),
    ({"requirements.txt": "a", "tests/test_a.py": "def test(): pass"}, ["python -m pytest"]),
    ({"requirements.txt": "a", "tests/test_a.py": UNITTEST}, [
        "python -m unittest discover -s tests",
    ]),
    ({"requirements.txt": "a", "test_a.py": UNITTEST}, ["python -m unittest discover -s ."]),
    ({"setup.py": "", "tests/api/test_a.py": UNITTEST, "tests/__init__.py": ""}, [
        "python -m unittest discover -s tests -t .",
    ]),
    ({"setup.py": "", "test_a.py": "from unittest import mock\ndef test(): pass"}, [
        "python -m pytest",
    ]),
    ({"requirements.txt": "django", "manage.py": ""}, ["python manage.py test"]),
    ({"setup.py": "", "tox.ini": "[pytest]\n"}, ["python -m pytest"]),
    ({"uv.lock": "", "pyproject.toml": "[tool.pytest.ini_options]"}, ["uv run --no-sync pytest"]),
    ({"x/poetry.lock": "", "x/conftest.py": ""}, ["(cd x && poetry run pytest)"]),
    ({"Pipfile.lock": "", "Pipfile": "[packages]\npytest = '*'\n"}, ["pipenv run pytest"]),
]  # fmt: skip


@pytest.mark.parametrize(("files", "tests"), TESTS)
def test_tests_are_run_as_the_files_say(files: dict[str, str], tests: list[str]) -> None:
    """
    By pytest where it is used, otherwise by the framework or the standard library.
    """
    assert tests == commands_of(files)


@pytest.mark.parametrize(
    ("requires", "variable"),
    [
        ("'setuptools', 'setuptools_scm[toml]>=6'", "SETUPTOOLS_SCM_PRETEND_VERSION"),
        ("'hatchling', 'hatch-vcs'", "SETUPTOOLS_SCM_PRETEND_VERSION"),
        ("'pbr'", "PBR_VERSION"),
        ("'hatchling'", None),
        ("'not-pbr-at-all'", None),
    ],
)
def test_a_version_that_is_computed_from_tags_is_given(requires: str, variable: str | None) -> None:
    """
    Tags do not arrive.
    """
    text = f"{PROJECT}[build-system]\nrequires = [{requires}]\n"

    found = whole({"pyproject.toml": text}).env

    assert [variable] * (variable is not None) == [one.name for one in found]
    files = {"pyproject.toml": text}
    tagged = draft_of(ProjectFiles(files, files.__getitem__, "1.2"))
    assert ["1.2"] * len(found) == [one.value for one in tagged.env]


def test_strange_files_are_no_reason_to_fail() -> None:
    """
    The repository may be anybody's.
    """
    for text in ("[", "project = 1", "[project]\noptional-dependencies = 1", "a=" + "[" * 99999):
        whole({"pyproject.toml": text, "uv.lock": "", "setup.cfg": text})
    whole({"pyproject.toml": "[tool]\nuv = 1\npoetry = {group = {dev = 1}}", "poetry.lock": ""})


@pytest.mark.parametrize(
    ("files", "source", "line"),
    [
        ({"requirements.txt": "playwright>=1"}, "requirements.txt", "python -m playwright install"),
        ({"requirements.txt": "Pytest_Selenium"}, "requirements.txt", "apt-get install -y /tmp/"),
        ({"setup.py": "install_requires=['selenium>=4']"}, "setup.py", "apt-get install -y /tmp/"),
        (
            {"setup.py": "", "requirements/test.txt": "a", "requirements/base.txt": "splinter"},
            "requirements/test.txt",
            "apt-get install -y /tmp/",
        ),
        (
            {"a/uv.lock": "", "a/pyproject.toml": "[tool.uv]\ndev = ['pytest-playwright']"},
            "a/uv.lock",
            "(cd a && uv run --no-sync python -m playwright install",
        ),
    ],
)  # fmt: skip
def test_a_browser_is_left_to_a_person(files: dict[str, str], source: str, line: str) -> None:
    """
    The one of playwright is installed by its package, so after that.
    """
    (hint,) = whole(files).hints

    assert source == hint.source
    assert hint.lines[-1].startswith(line)
    assert hint.last == ("playwright" in line)


def test_no_browser_is_mentioned_without_need() -> None:
    """
    Plugins of a test runner, and names that only begin alike, are others.
    """
    assert not whole({"requirements.txt": "selenium-wire-x\n# playwright\nrequests"}).hints

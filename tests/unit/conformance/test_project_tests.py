"""Finding the command of a project's tests."""

from __future__ import annotations

import pytest

from pytest_codex_workspace.codex import SETUP
from pytest_codex_workspace.conformance.project_tests import ProjectTests, detect_tests

NPM = '{"scripts": {"test": "node test.js"}}'

CASES = {
    "pytest.ini": ({"pytest.ini": "", "setup.py": ""}, "python -m pytest"),
    "pyproject": ({"pyproject.toml": "[tool.pytest.ini_options]\n"}, "python -m pytest"),
    "setup.cfg": ({"setup.cfg": "[tool:pytest]\n"}, "python -m pytest"),
    "a test file": (
        {"requirements.txt": "", "src/app/tests/test_it.py": ""},
        "python -m pytest",
    ),
    "uv": ({"pyproject.toml": "", "uv.lock": "", "tests/test_a.py": ""}, "uv run pytest"),
    "uv that setup uses": (
        {"setup.py": "", "uv.lock": "", "a_test.py": "", SETUP: "uv sync\n"},
        "uv run pytest",
    ),
    "uv that setup does not use": (
        {"setup.py": "", "uv.lock": "", "a_test.py": "", SETUP: "pip install -e .\n"},
        "python -m pytest",
    ),
    "poetry": ({"pyproject.toml": "", "poetry.lock": "", "a_test.py": ""}, "poetry run pytest"),
    "pdm": ({"pyproject.toml": "", "pdm.lock": "", "a_test.py": ""}, "pdm run pytest"),
    "npm": ({"package.json": NPM}, "npm test"),
    "pnpm": ({"package.json": NPM, "pnpm-lock.yaml": ""}, "pnpm test"),
    "yarn": ({"package.json": NPM, "yarn.lock": ""}, "yarn test"),
    "bun": ({"package.json": NPM, "bun.lock": ""}, "bun run test"),
    "cargo": ({"Cargo.toml": ""}, "cargo test"),
    "go": ({"go.mod": ""}, "go test ./..."),
    "maven": ({"pom.xml": ""}, "mvn -B -o test"),
    "maven's wrapper": ({"pom.xml": "", "mvnw": ""}, "./mvnw -B -o test"),
    "gradle": ({"build.gradle.kts": "", "gradlew": ""}, "./gradlew --offline test"),
    "rspec": ({"Gemfile": "", ".rspec": ""}, "bundle exec rspec"),
    "rake": ({"Rakefile": "", "a.gemspec": ""}, "rake"),
    "composer": ({"composer.json": '{"scripts": {"test": "phpunit"}}'}, "composer test"),
    "phpunit": ({"composer.json": "{}", "phpunit.xml.dist": ""}, "phpunit"),
    "make": ({"Makefile": "all:\n\ntest: all\n\ttrue\n"}, "make test"),
    "tox": ({"tox.ini": "[tox]\n"}, "tox"),
    "nox": ({"noxfile.py": ""}, "nox"),
    "a project in two languages": (
        {"pyproject.toml": "[tool.pytest]\n", "package.json": NPM, "Makefile": "test:\n"},
        "python -m pytest",
    ),
    "npm's own text": (
        {"package.json": '{"scripts": {"test": "echo \\"Error: no test specified\\" && exit 1"}}'},
        None,
    ),
    "no target": ({"Makefile": "test := 1\ntests:\n"}, None),
    "damaged files": (
        {"pyproject.toml": "[[[", "package.json": "[1]", "composer.json": "[" * 9999},
        None,
    ),
    "nothing": ({"README": ""}, None),
}


@pytest.mark.parametrize("name", CASES)
def test_the_command(name):
    """
    The files of a project name its tests, the more specific before the more general.
    """
    files, command = CASES[name]

    found = detect_tests(list(files), files.__getitem__)

    assert (found.command if found else None) == command
    assert found is None or found.source in files or found.source == "spec/"


def test_a_virtual_environment_is_used_where_it_is():
    """
    Whether setup has made one is known in the workspace only.
    """
    found = detect_tests(["setup.py", "test_a.py"], lambda name: "")

    assert found.command_in(lambda path: False) == "python -m pytest"
    assert found.command_in(lambda path: path == "venv/bin/pytest") == "venv/bin/python -m pytest"
    assert ProjectTests("make check", "x").command_in(lambda path: True) == "make check"


def test_several_projects_in_folders():
    """
    Each has its command, unless the top has one for all. What is for documents and examples does
    not count, nor what setup does not prepare.
    """
    files = {
        "api/pyproject.toml": "[tool.pytest]\n",
        "web site/package.json": NPM,
        "docs/package.json": NPM,
        ".github/package.json": NPM,
        "Makefile": "build:\n",
    }

    found = detect_tests(list(files), files.__getitem__)

    web = "(cd 'web site' && npm test)"
    assert found.command == f"(cd api && python -m pytest) && {web}"
    assert found.source == "api/pyproject.toml, web site/package.json"
    assert found.command_in(lambda path: path == "api/.venv/bin/pytest") == (
        f"(cd api && .venv/bin/python -m pytest) && {web}"
    )
    files[SETUP] = "cd api\npip install -e .\n"
    assert detect_tests(list(files), files.__getitem__).source == "api/pyproject.toml"
    files["Makefile"] = "test:\n"
    assert detect_tests(list(files), files.__getitem__).command == "make test"


def test_very_many_projects_in_folders():
    """
    The first are run: each is read, and has a command.
    """
    files = {f"p{number:03}/package.json": NPM for number in range(150)}

    assert detect_tests(list(files), files.__getitem__).command.count("npm test") == 100

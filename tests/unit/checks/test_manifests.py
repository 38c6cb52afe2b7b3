"""Reading manifests."""

from __future__ import annotations

from pytest_codex_workspace.checks.manifests import (
    node_dependencies,
    node_of_manager,
    node_tests,
    python_dependencies,
)

from ...fakes.trees import memory_tree


def listed(read, files):
    return [(one.name, one.wanted, one.path, one.line) for one in read(memory_tree(files))]


def test_dependencies_of_python():
    """
    In each of the files, with lines.
    """
    files = {
        "requirements/dev.txt": "# a\n-r x.txt\nRuamel_Yaml[x] >= 1  # b\n",
        "pyproject.toml": '[project]\ndependencies = [\n  "A.b>1",\n]\n[dependency-groups]\n'
        't = ["c", {include-group = "x"}]\n[tool.poetry.group.d.dependencies]\ne = "^1"\n'
        'f = {version = "2"}\n[tool.hatch.envs.g]\ndependencies = ["h"]\n',
        "setup.cfg": "[options]\ninstall_requires =\n    i>=1\n    # j\n",
        "Pipfile": '[packages]\nk = "*"\n',
        "notes.txt": "l\n",
    }

    assert [
        ("ruamel-yaml", ">= 1", "requirements/dev.txt", 3),
        ("a-b", ">1", "pyproject.toml", 3),
        ("c", "", "pyproject.toml", 6),
        ("h", "", "pyproject.toml", 11),
        ("e", "^1", "pyproject.toml", 8),
        ("f", "2", "pyproject.toml", 9),
        ("k", "*", "Pipfile", 2),
        ("i", ">=1", "setup.cfg", 3),
    ] == [one for one in listed(python_dependencies, files) if one[3] != 2 or one[2] == "Pipfile"]


def test_dependencies_of_node():
    """
    In each package of a workspace.
    """
    files = {
        "package.json": '{"dependencies": {\n"a": "1"},\n"devDependencies": {"B": "2"}}',
        "packages/x/package.json": '{"dependencies": {"c": 3}}',
        "node_modules/y/package.json": '{"dependencies": {"d": "4"}}',
    }

    assert [
        ("a", "1", "package.json", 2),
        ("b", "2", "package.json", 3),
        ("c", "3", "packages/x/package.json", 1),
    ] == listed(node_dependencies, files)


def test_a_package_manager_needs_a_node():
    """
    Of the versions that Codex's image has, pnpm 11 accepts the newer ones only.
    """
    managers = ("pnpm@11.0.0", "pnpm@12.3.4+sha512.0", "pnpm@10.1.0", "yarn@4.1.0", "pnpm", 7)

    assert [">=22.13", ">=22.13", "", "", "", ""] == [
        node_of_manager({"packageManager": one}) for one in managers
    ]
    assert node_of_manager({}) == ""


def test_the_tests_of_node():
    """
    What `npm init` writes is none, whatever is in front of it.
    """
    scripts = ("vitest run ", " ", 'echo "Error: no test specified" && exit 1', 7, None)

    assert ["vitest run", "", "", "", ""] == [
        node_tests({"scripts": {"test": one}}) for one in scripts
    ]
    assert "" == node_tests({"scripts": []})

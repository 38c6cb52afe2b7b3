"""The drafts of `codex-workspace init` work as they are."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
import yaml

from pytest_codex_workspace.codex import CONFIG_FILE

from ..conftest import commit, init_repo
from .runs import COMMAND

NPM_LOCK = """\
{"name": "shop", "version": "1.0.0", "lockfileVersion": 3, "requires": true, "packages": {
  "": {"name": "shop", "version": "1.0.0", "workspaces": ["packages/*"]},
  "packages/cart": {"name": "cart", "version": "1.0.0", "dependencies": {"is-number": "7.0.0"}},
  "node_modules/cart": {"resolved": "packages/cart", "link": true},
  "node_modules/is-number": {"version": "7.0.0", "integrity": "%(number)s"}}}
"""
PNPM_LOCK = """\
lockfileVersion: '9.0'
importers:
  .: {}
  apps/a:
    dependencies:
      is-number: {specifier: 7.0.0, version: 7.0.0}
packages:
  is-number@7.0.0:
    resolution: {integrity: %(number)s}
snapshots:
  is-number@7.0.0: {}
"""
UV_LOCK = """\
version = 1
revision = 3
requires-python = ">=3.10"

[manifest]
members = ["app", "lib"]

[[package]]
name = "app"
version = "1"
source = { editable = "." }
dependencies = [{ name = "lib" }]

[package.metadata]
requires-dist = [{ name = "lib", editable = "lib" }]

[[package]]
name = "lib"
version = "1"
source = { editable = "lib" }
"""
NUMBER = "sha512-41Cifkg6e8TylSpdtTpeLVMqvSBEVzTttHvERD741+pnZ8ANv0004MRL43QKPDlK9cGvNp6NZWZUBlbGXYxxng=="  # noqa: E501
PROJECT = """\
[project]
name = "%s"
version = "1"
requires-python = ">=3.10"
dependencies = [%s]
[build-system]
requires = ["hatchling"]
build-backend = "hatchling.build"
[tool.hatch.build.targets.wheel]
only-include = ["%s.py"]
"""
MEMBERS = "[tool.uv.workspace]\nmembers = ['lib']\n[tool.uv.sources]\nlib = {workspace = true}\n"
CART = '{"name": "cart", "version": "1.0.0", "dependencies": {"is-number": "7.0.0"}}\n'
UI = """\
{"name": "ui", "version": "1.0.0",
 "scripts": {"test": "cd apps/a && node -e 'require(`is-number`)'"}}
"""
FILES = {
    ".gitignore": "node_modules/\n.venv/\n__pycache__/\n",
    # pip and npm, with a workspace
    "requirements.txt": "six==1.17.0\n",
    "tests/test_six.py": "import six\n\ndef test():\n    assert six.PY3\n",
    "package.json": '{"name": "shop", "version": "1.0.0", "workspaces": ["packages/*"],'
    ' "scripts": {"test": "node -e \'require(`is-number`)\'"}}\n',
    "package-lock.json": NPM_LOCK % {"number": NUMBER},
    "packages/cart/package.json": CART,
    # A workspace of uv
    "tool/pyproject.toml": PROJECT % ("app", '"lib"', "app") + MEMBERS,
    "tool/app.py": "import lib\n",
    "tool/lib/pyproject.toml": PROJECT % ("lib", "", "lib"),
    "tool/lib/lib.py": "",
    "tool/uv.lock": UV_LOCK,
    "tool/test_app.py": "import unittest\n\nclass T(unittest.TestCase):\n"
    "    def test(self):\n        import app\n",
    # Another one, of pnpm
    "extra/ui/package.json": UI,
    "extra/ui/pnpm-workspace.yaml": "packages: [apps/*]\n",
    "extra/ui/pnpm-lock.yaml": PNPM_LOCK % {"number": NUMBER},
    "extra/ui/apps/a/package.json": CART.replace("cart", "a"),
}


@pytest.mark.slow
@pytest.mark.promise("S5", "S6")
def test_a_draft_sets_up_a_repository_of_four_package_managers(tmp_path: Path) -> None:
    """
    Both scripts succeed, twice in the same workspace as well, change no file that git knows, and
    leave what the tests need without a network.
    """
    repo = init_repo(tmp_path / "repo", FILES)

    def run(*words: str) -> str:
        done = subprocess.run(
            [*COMMAND, *words], cwd=repo, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    assert "because of:" in run("init")
    text = (repo / CONFIG_FILE).read_text()
    config = yaml.safe_load("\n".join(line.removeprefix("# ") for line in text.splitlines()[3:]))
    tests = config["check"]["test"]
    assert [tests.count(one) for one in ("pytest", "unittest", " npm test", "pnpm test")] == [1] * 4
    commit(repo, {})

    out = run("exec", "--image=slim", "--network=offline", "--", f"set -e; {tests}; git status -s")

    # pytest collects the test of the other project, too.
    assert "2 passed" in out
    assert "> ui@1.0.0 test" in out
    assert [] == [line for line in out.splitlines() if line[:3] in (" M ", "?? ", " D ")]

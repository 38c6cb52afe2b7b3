"""The examples of the documentation run as they are written: tests/helpers/page_examples.py."""

from __future__ import annotations

import re
import shlex
import subprocess
from pathlib import Path

import pytest

from ..conftest import init_repo, scripts
from ..helpers.console_blocks import ROOT, commands_of, matches
from ..helpers.page_examples import parsed, python_pages, written_tests
from .runs import COMMAND, PYTEST

SERVER = """\
#!/usr/bin/env python3
import signal, socket, sys

def end(*_):
    print("Bye bye", flush=True)
    sys.exit()

signal.signal(signal.SIGTERM, end)
listener = socket.create_server(("127.0.0.1", 6379))
signal.pause()
"""

REPOSITORY = {
    ".gitignore": "node_modules/\n",
    # Stands for a program that setup installs.
    "redis-server": SERVER,
    ".codex-workspace.yaml": "services: {redis: {command: redis-server, ready: {port: 6379}}}\n",
    "Makefile": """\
test database:
\ttrue
migrate:
\techo migrated >>/tmp/migrated; cat /tmp/migrated
sync:
\tcurl -fsS https://api.example.com/v1/items
""",
    # The projects of a monorepo.
    **{f"{name}/Makefile": "test:\n\ttrue\n" for name in ("api", "web")},
    "package.json": """\
{"name": "shop", "version": "1.0.0", "scripts": {
  "preinstall": "curl -sS https://registry.example.com/ || true",
  "lint": "true", "build": "true", "test": "true"}}
""",
    "package-lock.json": """\
{"name": "shop", "version": "1.0.0", "lockfileVersion": 3, "requires": true,
 "packages": {"": {"name": "shop", "version": "1.0.0"}}}
""",
    "tests/test_shop.py": "def test_it():\n    pass\n",
    **scripts(
        "install redis-server /usr/local/bin/\n"
        "mkdir -p node_modules/.bin && touch node_modules/.bin/eslint\n"
    ),
}
"""What the examples take for granted."""


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """
    Return the repository that the examples are about.
    """
    return init_repo(tmp_path_factory.mktemp("examples") / "shop", REPOSITORY)


@pytest.mark.parametrize("page", python_pages(), ids=lambda page: page.stem)
def test_each_example_runs(page, shop, codex_workspace_factory, tmp_path, monkeypatch):
    """
    All of a page, one after another, in one workspace, which is `ws`.
    """
    document = parsed(page)
    monkeypatch.chdir(shop)
    if re.search(r"\bws\b", page.read_text()):
        document.namespace["ws"] = codex_workspace_factory(repo=shop)
    document.namespace["tmp_path"] = tmp_path
    for example in document.examples():
        example.evaluate()


def test_each_test_file_passes(shop, tmp_path):
    """
    All of them in one run of pytest, as a user has them.
    """
    files = written_tests()
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    done = subprocess.run(
        [
            *PYTEST,
            "-q",
            "--timeout=120",
            f"--codex-repo={shop}",
            "--codex-image=slim",
            *files,
        ],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 0, done.stdout + done.stderr
    assert len(files) <= int(re.search(r"(\d+) passed", done.stdout)[1])


def test_cache_explain_prints_what_the_page_shows(tmp_path):
    """
    A setup without the variable is the most similar one.
    """
    where = init_repo(tmp_path / "shop", {"a": "1", **scripts("true\n")})
    page = ROOT / "docs" / "cache.md"
    (command,) = [one for one in commands_of(page) if "cache explain" in one.text]
    _, *words = shlex.split(command.text)

    outputs = [
        subprocess.run(
            [*COMMAND, *given], cwd=where, capture_output=True, text=True, check=True
        ).stdout
        for given in (["run", "--image=slim", "--output=quiet"], words)
    ]

    assert matches(command.shown, outputs[-1]), outputs[-1]

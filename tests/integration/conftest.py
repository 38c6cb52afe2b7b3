"""One session of the plugin's own fixtures, on the real engine."""

from __future__ import annotations

from pathlib import Path

import pytest

from ..conftest import init_repo, scripts

SETUP = """\
set -eu
echo "setup says hello"
test "$PWD" = "/workspace/$(basename "$PWD")"
shopt -q login_shell && echo "login shell"
mkdir -p node_modules && echo made-by-setup >node_modules/state
echo "$HOME" >/root/home
"""

RESUME = """\
set -eu
echo "resume says hello"
cat node_modules/state
echo resumed >node_modules/resumed
"""


@pytest.fixture(autouse=True)
def _engine(engine_or_skip: None) -> None:
    """
    Everything here needs an engine.
    """


@pytest.fixture(scope="session")
def pip_index() -> str:
    """
    The index that pip asks by default, without its last slash.
    """
    from pip._internal.models.index import PyPI

    return str(PyPI.url).rstrip("/")


@pytest.fixture(scope="session")
def scripted_repo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """
    A repository with both setup scripts.
    """
    where = tmp_path_factory.mktemp("scripted") / "scripted"
    return init_repo(
        where, {".gitignore": "node_modules/\n", "tracked": "1\n", **scripts(SETUP, RESUME)}
    )


@pytest.fixture(scope="session")
def plain_repo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """
    A repository without setup scripts.
    """
    return init_repo(tmp_path_factory.mktemp("plain") / "plain", {"README": "hello\n"})


@pytest.fixture
def plain(codex_workspace_factory, plain_repo):
    """
    A workspace without setup.
    """
    return codex_workspace_factory(repo=plain_repo)

"""Repositories to project, and what is said when there is no engine."""

from __future__ import annotations

import gc
import os
import secrets
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from functools import cache
from pathlib import Path

import pytest

from pytest_codex_workspace.errors import EngineUnavailable
from pytest_codex_workspace.reporting.ci import VARIABLES

from .helpers.no_programs import NoPrograms
from .helpers.plugins import LEFT_OUT, without
from .helpers.shares import is_in_share
from .helpers.skips import skip_outside_ci

MakeRepo = Callable[..., Path]

# A CI service that runs these tests changes nothing of what they see; some set these themselves.
for _variable in VARIABLES:
    os.environ.pop(_variable, None)

_INTEGRATION = Path(__file__).parent / "integration"

_GIT_ENV = {
    "GIT_AUTHOR_NAME": "A",
    "GIT_AUTHOR_EMAIL": "a@example.com",
    "GIT_COMMITTER_NAME": "A",
    "GIT_COMMITTER_EMAIL": "a@example.com",
    "GIT_CONFIG_GLOBAL": os.devnull,
    "GIT_CONFIG_NOSYSTEM": "1",
    "GIT_ALLOW_PROTOCOL": "file",
}


def git(where: Path, *args: str) -> str:
    """
    Run git on a repository of a test, without the user's configuration.
    """
    done = subprocess.run(
        # Otherwise, each commit starts a process that looks for something to tidy up.
        ["git", "-C", str(where), "-c", "maintenance.auto=false", *args],
        env={**os.environ, **_GIT_ENV},
        check=True,
        capture_output=True,
        text=True,
    )
    return done.stdout.strip()


def write(where: Path, files: Mapping[str, str | bytes]) -> None:
    """
    Write files below a directory.
    """
    for name, content in files.items():
        path = where / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content.encode() if isinstance(content, str) else content)


def commit(where: Path, files: Mapping[str, str | bytes], message: str = "change") -> str:
    """
    Write and commit files; the id of the commit.
    """
    write(where, files)
    git(where, "add", "--all")
    git(where, "commit", "--quiet", "--allow-empty", "--message", message)
    return git(where, "rev-parse", "HEAD")


@pytest.fixture
def make_repo(tmp_path: Path) -> MakeRepo:
    """
    Make a repository with one commit.
    """

    def make(name: str = "demo", **files: str | bytes) -> Path:
        return init_repo(tmp_path / name, {"README": "hello\n", **files})

    return make


def init_repo(where: Path, files: Mapping[str, str | bytes]) -> Path:
    """
    Make a repository with one commit of *files*.
    """
    where.mkdir(parents=True)
    git(where, "init", "--quiet", "--initial-branch", "main")
    # A root commit of its own: two tests that make the same one in the same second would have one
    # cache entry between them.
    commit(where, files, f"first {secrets.token_hex(4)}")
    return where


def scripts(setup: str, resume: str | None = None) -> dict[str, str]:
    """
    The files of `codex-workspace-scripts/`.
    """
    found = {"codex-workspace-scripts/setup-script.sh": setup}
    if resume is not None:
        found["codex-workspace-scripts/setup-from-cache-script.sh"] = resume
    return found


def named_engine() -> str:
    """
    Return the engine on which this run of the tests puts workspaces, as the plugin names it.
    """
    return os.environ.get("CODEX_WORKSPACE_ENGINE", "auto")


@pytest.fixture(scope="session")
def engine_or_skip() -> None:
    """
    Fail in CI, and skip elsewhere, when no engine answers.
    """
    from pytest_codex_workspace.engine.docker.find import find_engine

    try:
        find_engine(named_engine()).close()
    except EngineUnavailable as error:
        skip_outside_ci(str(error))


@pytest.fixture
def cache_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """
    A user's cache directory of the test's own.
    """
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    return tmp_path / "cache"


@pytest.fixture
def pytester(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> pytest.Pytester:
    """
    Leave the plugins that cost time out of the runs that tests start.
    """
    monkeypatch.setenv("PYTEST_ADDOPTS", " ".join(without(*LEFT_OUT, "rerunfailures")))
    return pytester


def pytest_configure(config: pytest.Config) -> None:
    """
    See `--no-programs`.
    """
    if config.getoption("no_programs"):
        config.pluginmanager.register(NoPrograms())


def _is_selected(item: pytest.Item, share: str) -> bool:
    any_engine = item.get_closest_marker("any_engine") is not None
    return is_in_share(item.path, share, any_engine=any_engine)


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """
    Leave out what is not in the share. Start with the files that take longest, so that no worker
    of a parallel run ends with one. The order is random otherwise.
    """
    if share := config.getoption("share"):
        others = [item for item in items if not _is_selected(item, share)]
        config.hook.pytest_deselected(items=others)
        items[:] = [item for item in items if _is_selected(item, share)]

    # By file: there are twenty times as many tests, and each worker of a parallel run does this.
    files = {item.path for item in items}
    waiting = {item.path for item in items if "private" in getattr(item, "fixturenames", ())}

    # These start engines of other generations, and wait for what runs on them.
    waiting.update(path for path in files if path.parent.name == "engines")

    # One story is told after the other, each in minutes.
    waiting.add(_INTEGRATION / "test_stories.py")

    # The state machine is the one file of unit tests that takes minutes.
    waiting.add(Path(__file__).parent / "unit" / "setup" / "test_start.py")

    starts = {path: 0 if path in waiting else 1 if _is_integration(path) else 2 for path in files}
    items.sort(key=lambda item: starts[item.path])


def pytest_collection_finish() -> None:
    """
    Leave the thousands of collected tests out of every later search for garbage.
    """
    if "trio" in sys.modules:
        # Its plugin for Hypothesis runs when that is imported, and looks for what is frozen here.
        import hypothesis  # noqa: F401
    gc.collect()
    gc.freeze()


def pytest_runtest_setup(item: pytest.Item) -> None:
    """
    Skip a test whose program is missing, and fail it in CI.
    """
    for name in _missing_programs():
        if item.get_closest_marker(f"needs_{name}"):
            skip_outside_ci(f"{name} is not installed")


@cache
def _missing_programs() -> list[str]:
    return [name for name in ("bash", "git") if shutil.which(name) is None]


def pytest_itemcollected(item: pytest.Item) -> None:
    """
    Mark the tests that need a container engine, which use `engine_or_skip`, and those that take
    long.
    """
    if _is_integration(item.path):
        item.add_marker(pytest.mark.slow)
    if "engine_or_skip" in getattr(item, "fixturenames", ()):
        item.add_marker(pytest.mark.needs_engine)


@cache
def _is_integration(path: Path) -> bool:
    return path.is_relative_to(_INTEGRATION)

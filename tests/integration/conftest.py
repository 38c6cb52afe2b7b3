"""Fixtures for tests on the real engine. All tests share one session of the plugin."""

from __future__ import annotations

import resource
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from pytest_codex_workspace.engine.docker.find import find_engine
from pytest_codex_workspace.engine.protocol import Engine
from pytest_codex_workspace.images.debian import ensure_debian
from pytest_codex_workspace.images.proxy import ensure_proxy_image
from pytest_codex_workspace.options.config import Config
from pytest_codex_workspace.reporting.output import Output
from pytest_codex_workspace.session import Session
from pytest_codex_workspace.workspace.handle import Workspace

from ..conftest import init_repo, named_engine, scripts
from ..helpers.private_engine import PrivateEngine, private_engine
from .origin import Origin
from .origin_container import OriginContainer, Outside
from .proxy_process import Running

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


@pytest.fixture(autouse=True, scope="session")
def _open_files() -> None:
    """
    Let hundreds of connections be open. A user's programs begin with 1024 files, and may have more.
    """
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


@pytest.fixture(autouse=True)
def _engine(engine_or_skip: None) -> None:
    """
    Require an engine for every test here.
    """


@pytest.fixture
def engine() -> Iterator[Engine]:
    """
    Return a client for this test alone.
    """
    found = find_engine(named_engine())
    yield found
    found.close()


@pytest.fixture(scope="session")
def pip_index() -> str:
    """
    Return the index that pip uses by default, without its last slash.
    """
    from pip._internal.models.index import PyPI

    return str(PyPI.url).rstrip("/")


@pytest.fixture(scope="session")
def scripted_repo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """
    Return a repository with both setup scripts.
    """
    where = tmp_path_factory.mktemp("scripted") / "scripted"
    return init_repo(
        where, {".gitignore": "node_modules/\n", "tracked": "1\n", **scripts(SETUP, RESUME)}
    )


@pytest.fixture(scope="session")
def plain_repo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """
    Return a repository without setup scripts.
    """
    return init_repo(tmp_path_factory.mktemp("plain") / "plain", {"README": "hello\n"})


@pytest.fixture
def plain(codex_workspace_factory, plain_repo):
    """
    Start a workspace without setup.
    """
    return codex_workspace_factory(repo=plain_repo)


@pytest.fixture(scope="session")
def origin_container(codex_engine, codex_image) -> Iterator[OriginContainer]:
    """
    Start a TLS origin on the engine's default network.
    """
    made = OriginContainer(codex_engine, codex_image)
    yield made
    made.close()


@pytest.fixture(scope="session")
def outside(codex_engine, origin_container, plain_repo, tmp_path_factory) -> Iterator[Outside]:
    """
    Start a session whose proxy can reach that origin.
    """
    made = Outside(codex_engine, origin_container, plain_repo, tmp_path_factory.mktemp("outside"))
    yield made
    made.close()


@pytest.fixture(scope="session")
def small_image(codex_engine) -> str:
    """
    Return a base image that is quick to copy: Debian, git and Python.
    """
    return ensure_debian(codex_engine, Output("quiet", lambda _: None)).tags[0]


@pytest.fixture(scope="session")
def private(codex_engine, small_image, tmp_path_factory) -> Iterator[PrivateEngine]:
    """
    Start a separate daemon that has the images of *small_image*.
    """
    session = Session(
        Config(image=small_image, engine=codex_engine.url), Output("quiet", lambda _: None)
    )
    try:
        proxy = ensure_proxy_image(codex_engine, output=session.output)
        images = [small_image, session.base_tag, *proxy.tags]
    finally:
        session.close()
    with private_engine(tmp_path_factory.mktemp("private")) as made:
        made.take_from(codex_engine, images)
        yield made


@pytest.fixture
def reach(outside: Outside) -> Iterator[Callable[..., Workspace]]:
    """
    Return a function that starts workspaces that may reach the origin. Its arguments are fields
    of a policy.
    """
    with ExitStack() as stops:

        def start(**policy: Any) -> Workspace:
            workspace = outside.workspace(**policy)
            stops.callback(outside.stop, workspace)
            return workspace

        yield start


@pytest.fixture(scope="module")
def origin(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Origin]:
    """
    Start a server on loopback.
    """
    server = Origin(tmp_path_factory.mktemp("origin"))
    yield server
    server.close()


@pytest.fixture(scope="module")
def shared_proxy(origin: Origin, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """
    Start the proxy's program on loopback.
    """
    running = Running(origin, tmp_path_factory.mktemp("proxy"))
    yield running
    running.client.close()


@pytest.fixture
def proxy(shared_proxy: Running) -> Running:
    """
    Return that proxy, with this test as a new workspace.
    """
    shared_proxy.renew()
    return shared_proxy

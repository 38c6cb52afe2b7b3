"""What depends on the engine, on a newer Docker and on Podman beside the machine's own engine."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from other_engine import NEW_AND_OTHER, ROWS, default_home, lacking, started

from pytest_codex_workspace.engine.docker.find import find_engine
from pytest_codex_workspace.engine.protocol import Engine
from pytest_codex_workspace.images.debian import ensure_debian
from pytest_codex_workspace.images.proxy import ensure_proxy_image
from pytest_codex_workspace.options.config import Config
from pytest_codex_workspace.reporting.output import Output
from pytest_codex_workspace.session import Session

from ..helpers.skips import skip_outside_ci

_ROOT = Path(__file__).parents[2]
_ISOLATION = "tests/integration/test_isolation.py"
_SHORT = (
    "tests/contract",
    *(
        f"{_ISOLATION}::{test}"
        for test in (
            "test_every_direct_connection_fails_at_once",
            "test_outside_names_are_refused_and_logged",
            "test_the_engines_own_resolver_gives_nothing_away",
            "test_nothing_of_the_engine_or_host_is_mounted",
            "test_nothing_answers_to_a_ping",
        )
    ),
)
"""What has differed from one engine to the other. `make engines` runs the whole suites."""


@pytest.fixture(scope="module")
def small_images(engine_or_skip: None) -> Iterator[tuple[Engine, list[str]]]:
    """
    Return the machine's engine and tags of its images: Debian with git and Python, what a workspace
    has of it, and the proxy.
    """
    engine, output = find_engine(), Output("quiet", lambda _: None)
    small = ensure_debian(engine, output).tags[0]
    with Session(Config(image=small, engine=engine.url), output) as session:
        proxy = ensure_proxy_image(engine, output=session.output)
        tags = [small, session.base_tag, *(tag for tag in proxy.tags if ":latest" not in tag)]
    yield engine, tags
    engine.close()


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.promise("S12")
@pytest.mark.parametrize("name", NEW_AND_OTHER)
def test_the_contract_and_the_isolation_hold(name, engine_or_skip, small_images, tmp_path):
    """
    S12: The contract holds, and nothing gets around the proxy.
    """
    if why := lacking():
        skip_outside_ci(why)
    machine, tags = small_images
    with started(ROWS[name], default_home(), clients=False) as engine:
        _copy(machine, engine.url, tags, tmp_path / "images.tar")
        kept = {k: v for k, v in os.environ.items() if not k.startswith("PYTEST_")}
        done = subprocess.run(
            [
                *(sys.executable, "-m", "pytest", "--quiet", "-p", "no:cacheprovider"),
                *(f"--codex-image={tags[0]}", f"--basetemp={tmp_path / 'inner'}", *_SHORT),
                # The other ones of the contract are the same whatever engine there is.
                *("-k", "not native and not fake"),
            ],
            cwd=_ROOT,
            env={
                **kept,
                "DOCKER_HOST": engine.url,
                "CI": "1",
                "PATH": f"{engine.bin}:{kept['PATH']}",
            },
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )
        version = engine.version["Version"]

    assert done.returncode == 0, f"{name} {version}:\n{done.stdout[-20000:]}\n{done.stderr[-2000:]}"
    assert " passed" in done.stdout


def _copy(machine: Engine, url: str, tags: list[str], file: Path) -> None:
    other = find_engine(url)
    with file.open("w+b") as saved:
        saved.writelines(machine.save(tags))
        saved.seek(0)
        other.load(saved)
    other.close()
    file.unlink()

"""What many tests from one prepared state cost: the last figures of docs/snapshots.md.

Run it with `make bench`, or with `python -m benchmarks.shared_state [TESTS]`. Each way runs the
same test that many times in one run of pytest: in a workspace of a snapshot, in one that a module
shares, in a fresh workspace that makes the state again, and in a container by testcontainers. The
state is that of `benchmarks.snapshots`. The figure is the time of one more test: that of the whole
run, less that of a run with one test.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path

import docker

from pytest_codex_workspace.codex import IMAGE

from .bench import make_repository, show
from .snapshots import INSTALL, line

TESTS = 100
FRESH = 5
"""Tests in fresh workspaces, which take several seconds each."""

BOUND = 0.5
"""Fresh workspaces with the state that a test from a snapshot may cost."""

_PYTEST = (
    *(sys.executable, "-m", "pytest", "--quiet", "test_it.py"),
    *("-p", "no:randomly", "-p", "no:asyncio", "-p", "no:cacheprovider"),
    *("--codex-repo=repo", "--codex-image=slim", "--codex-output=quiet"),
)
_HEAD = f"""
import os, pytest
INSTALL = {INSTALL!r}
many = pytest.mark.parametrize("number", range(int(os.environ["TESTS"])))
"""

WAYS: Mapping[str, str] = {
    "a workspace of a snapshot": """
@pytest.fixture(scope="session")
def installed():
    return lambda ws: ws.exec(["python3", "-c", INSTALL], check=True)

@many
@pytest.mark.codex_snapshot("installed")
def test_it(codex_workspace, number):
    codex_workspace.exec(["true"], check=True)
""",
    "a workspace that the module shares": """
@pytest.fixture(scope="module")
def installed(codex_workspace_module):
    codex_workspace_module.exec(["python3", "-c", INSTALL], check=True)
    return codex_workspace_module

@many
def test_it(installed, number):
    installed.exec(["true"], check=True)
""",
    "a fresh workspace that makes the state": """
@many
def test_it(codex_workspace, number):
    codex_workspace.exec(["python3", "-c", INSTALL], check=True)
""",
    "a container of testcontainers from an image with the state": """
from testcontainers.core.container import DockerContainer

@many
def test_it(number):
    with DockerContainer(os.environ["IMAGE"]).with_command("sleep 60") as one:
        assert one.exec(["true"]).exit_code == 0
""",
}


def seconds(where: Path, tests: int, image: str) -> float:
    """
    Return how long pytest runs the file in *where* with so many tests.
    """
    began = time.perf_counter()
    told = {"TESTS": str(tests), "IMAGE": image, "TESTCONTAINERS_RYUK_DISABLED": "true"}
    subprocess.run(
        _PYTEST, cwd=where, env={**os.environ, **told}, stdout=subprocess.DEVNULL, check=True
    )
    return time.perf_counter() - began


def image_with_state(base: str) -> str:
    """
    Make an image that has the state, as a Dockerfile would.
    """
    client = docker.APIClient()
    made = client.create_container(
        base, ["python3", "-c", INSTALL], working_dir="/tmp", entrypoint=[]
    )
    client.start(made["Id"])
    client.wait(made["Id"])
    image = client.commit(made["Id"], changes="ENTRYPOINT []")["Id"]
    client.remove_container(made["Id"])
    return str(image)


def main() -> int:
    """
    Measure every way; 1 if the bound does not hold.
    """
    tests = int(sys.argv[1]) if len(sys.argv) > 1 else TESTS
    costs = {}
    with tempfile.TemporaryDirectory() as name:
        where = Path(name)
        make_repository(where / "repo")
        client, image = docker.APIClient(), ""
        for way, text in WAYS.items():
            (where / "test_it.py").write_text(_HEAD + text)
            if "testcontainers" in text:
                image = image_with_state(f"{IMAGE}:latest")
            count = FRESH if "fresh" in way else tests
            # The first run makes what is made once.
            seconds(where, 1, image)
            one = seconds(where, 1, image)
            costs[way] = (seconds(where, count + 1, image) - one) / count
            line(f"{way}, each of {count} tests", costs[way])
        client.remove_image(image, force=True)
    snapshot, _, fresh, _ = costs.values()
    ratio = snapshot / fresh
    return 0 if show("a test from a snapshot / one that makes the state", ratio, BOUND) else 1


if __name__ == "__main__":
    sys.exit(main())

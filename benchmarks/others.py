"""What users would take otherwise, as the benchmark runs it: docs/performance.md.

Each is its released version, with what makes it slower for no reason here switched off.
"""

from __future__ import annotations

import contextlib
import json
import secrets
import shutil
import subprocess
import sys
import venv
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pytest_codex_workspace.codex import IMAGE
from tests.integration.compose_project import Project, find_compose

__all__ = [
    "DOCKER_RUN",
    "TESTCONTAINERS",
    "ComposeSteps",
    "DevContainer",
    "docker_container",
    "python_with_testcontainers",
    "run",
    "runc_bundle",
    "versions",
]

TESTCONTAINERS = """
import os
os.environ["TESTCONTAINERS_RYUK_DISABLED"] = "true"
import pytest
from testcontainers.core.container import DockerContainer

@pytest.mark.parametrize("n", range({count}))
def test_it(n):
    with DockerContainer({image!r}).with_kwargs(entrypoint=[]).with_command("sleep 60") as made:
        assert made.exec(["true"]).exit_code == 0
"""

DOCKER_RUN = """
import subprocess, pytest

@pytest.mark.parametrize("n", range({count}))
def test_it(n):
    subprocess.run(["docker", "run", "--rm", "--entrypoint", "true", {image!r}], check=True)
"""


_SECONDS = 1800
"""The most that one command may take."""


def run(*words: str | Path, **options: object) -> str:
    """
    Run a command that has to succeed, and return its output.
    """
    done = subprocess.run(  # type: ignore[call-overload]
        list(map(str, words)),
        check=False,
        capture_output=True,
        text=True,
        timeout=_SECONDS,
        **options,
    )
    if done.returncode:
        sys.exit(f"{' '.join(map(str, words))}: exit code {done.returncode}\n{done.stderr}")
    output: str = done.stdout.strip()
    return output


def python_with_testcontainers(where: Path) -> Path:
    """
    Install testcontainers into an environment of its own, and return its Python.
    """
    venv.create(where, with_pip=True)
    python = where / "bin/python"
    packages = ("pytest", "pytest-xdist", "testcontainers")
    run(python, "-m", "pip", "install", "--quiet", *packages)
    return python


@contextmanager
def docker_container(image: str) -> Iterator[str]:
    """
    Start a container by Docker's command, and remove it.
    """
    name = run("docker", "run", "--detach", "--rm", "--entrypoint", "sleep", image, "600")
    try:
        yield name
    finally:
        run("docker", "rm", "--force", name)


class DevContainer:
    """
    The CLI of dev containers, from npm.

    Args:
        where: a directory for it and for its project.
        image: the image of the container.
    """

    def __init__(self, where: Path, image: str) -> None:
        options = ("--silent", "--ignore-scripts", "--prefix", where)
        run("npm", "install", *options, "@devcontainers/cli")
        self._program = where / "node_modules/.bin/devcontainer"
        self._project = where / "project"
        about = {"image": image, "overrideCommand": True, "updateRemoteUserUID": False}
        (self._project / ".devcontainer").mkdir(parents=True)
        (self._project / ".devcontainer/devcontainer.json").write_text(json.dumps(about))

    @contextmanager
    def started(self) -> Iterator[None]:
        """
        Start a container for the time of the block.
        """
        told = run(self._program, "up", "--workspace-folder", self._project)
        try:
            yield
        finally:
            # Its own `down` is not written yet.
            run("docker", "rm", "--force", json.loads(told.splitlines()[-1])["containerId"])

    def exec(self) -> None:
        """
        Run one command in it.
        """
        run(self._program, "exec", "--workspace-folder", self._project, "true")

    def cycle(self) -> None:
        """
        Start a container, run a command, and end it.
        """
        with self.started():
            self.exec()


class ComposeSteps:
    """
    A cached workspace by the manual steps, docs/compose.md: what was done before there was a
    fixture. Each cycle brings the proxy up and down, as a test that shares nothing has to.

    Args:
        where: a directory for its file.
        repo: the repository.
        engine: the URL of Docker.
    """

    def __init__(self, where: Path, repo: Path, engine: str) -> None:
        where.mkdir()
        self._project = Project(repo, where, engine, f"{IMAGE}:latest")
        container, docker = self._project.container, self._project.docker
        try:
            self._do("run", "--name", container, "workspace", "run-setup")
            docker("commit", container, self._project.cached)
            docker("rm", container)
            self._down()
        except BaseException:
            self.close()
            raise

    def _do(self, *words: str) -> None:
        done = self._project(*words)
        if done.returncode:
            sys.exit(f"{' '.join(done.args)}: exit code {done.returncode}\n{done.stderr}")

    def _down(self) -> None:
        self._do("down", "--remove-orphans", "--volumes")

    def cycle(self) -> None:
        """
        Start a workspace, run a command, and end it and its proxy.
        """
        self._do("run", "--rm", "workspace-cache", "true")
        self._down()

    def close(self) -> None:
        """
        Remove what is left.
        """
        self._project.close()


@contextmanager
def runc_bundle(where: Path, image: str) -> Iterator[list[str]]:
    """
    Yield a command that starts `true` by runc, without an engine: the layers of *image*, which
    Docker has with overlay2, are mounted already.
    """
    root = where / "rootfs"
    root.mkdir(parents=True)
    places = "{{.GraphDriver.Data.UpperDir}}:{{.GraphDriver.Data.LowerDir}}"
    layers = run("docker", "image", "inspect", "--format", places, image)
    run("mount", "-t", "overlay", "overlay", "-o", f"lowerdir={layers}", root)
    try:
        run("runc", "spec", "--bundle", where)
        spec = json.loads((where / "config.json").read_text())
        spec["process"].update(terminal=False, args=["true"])
        (where / "config.json").write_text(json.dumps(spec))
        yield ["runc", "run", "--bundle", str(where), f"bench-{secrets.token_hex(4)}"]
    finally:
        run("umount", root)
        with contextlib.suppress(OSError):
            shutil.rmtree(where)


def versions(python: Path, devcontainer: Path) -> str:
    """
    Return what was measured beside ours.

    Args:
        python: of the environment with testcontainers.
        devcontainer: where the CLI of dev containers was installed.
    """
    ask = "import importlib.metadata as m; print(m.version('testcontainers'))"
    return (
        f"testcontainers {run(python, '-c', ask)}, "
        f"@devcontainers/cli {run(devcontainer / 'node_modules/.bin/devcontainer', '--version')}, "
        f"Compose {run(*find_compose(), 'version', '--short')}, "
        f"{run('runc', '--version').splitlines()[0].replace(' version', '')}"
    )

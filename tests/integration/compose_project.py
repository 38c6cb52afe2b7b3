"""A real Compose, run as a user does, on a project of its own."""

from __future__ import annotations

import os
import pty
import select
import shutil
import signal
import subprocess
import time
import uuid
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from pytest_codex_workspace.cli.main import main

from ..helpers.skips import skip_outside_ci

_SECONDS = 1500
"""An engine without any layer builds the image from nothing."""


def find_compose() -> list[str]:
    """
    Return the command: the plugin, or the separate program. Without either, fail in CI, and skip
    elsewhere.
    """
    plugin, program = ["docker", "compose"], "docker-compose"
    has_docker = shutil.which("docker")
    if (
        has_docker
        and not subprocess.run([*plugin, "version"], capture_output=True, check=False).returncode
    ):
        return plugin
    if not has_docker or not shutil.which(program):
        skip_outside_ci(f"there is no Docker Compose: install the plugin, or Debian's {program}")
    return [program]


class Project:
    """
    A Compose file, and everything that is created with it.

    Args:
        repo: the repository it is printed for, and `HOST_REPO`.
        directory: the directory of the file.
        engine: URL of the engine.
        image: the workspace image, if it is another project's.
    """

    def __init__(self, repo: Path, directory: Path, engine: str, image: str = "") -> None:
        self.compose = find_compose()
        self.name = f"codextest{uuid.uuid4().hex[:10]}"
        self.image = image or f"codex-workspace-emulator:{self.name}"
        self.cached = f"codex-workspace-emulator:{self.name}-cached"
        self.container = f"{self.name}-setup"
        self._own = [self.cached] if image else [self.cached, self.image]
        self.file = directory / f"{self.name}.yaml"
        arguments = ["compose", str(repo), "--image=slim", f"--engine={engine}"]
        assert main([*arguments, f"--output={self.file}"]) == 0
        kept = {k: v for k, v in os.environ.items() if not k.startswith(("CODEX_", "HOST_"))}
        self.env = {
            **kept,
            "COMPOSE_PROJECT_NAME": self.name,
            "CODEX_WORKSPACE_IMAGE": self.image,
            "CODEX_CACHED_IMAGE": self.cached,
            "DOCKER_HOST": engine,
            "HOST_REPO": str(repo),
            "HOST_REPO_NAME": repo.name,
        }

    def command(self, *words: str) -> list[str]:
        """
        Return the arguments of a Compose command.
        """
        return [*self.compose, "--file", str(self.file), *words]

    def __call__(
        self, *words: str, stdin: str = "", env: Mapping[str, str | None] | None = None
    ) -> subprocess.CompletedProcess[str]:
        """
        Run a Compose command without a terminal, whatever its exit code.
        """
        return self._run(self.command(*words), stdin, env or {})

    def docker(self, *words: str) -> str:
        """
        Run a docker command, which has to succeed, and return its output.
        """
        done = self._run(["docker", *words], "", {})
        assert done.returncode == 0, done.stderr
        return done.stdout

    def _run(
        self, command: list[str], stdin: str, changes: Mapping[str, str | None]
    ) -> subprocess.CompletedProcess[str]:
        env = {name: value for name, value in {**self.env, **changes}.items() if value is not None}
        with subprocess.Popen(
            command,
            env=env,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        ) as process:
            try:
                output, errors = process.communicate(stdin, timeout=_SECONDS)
            except BaseException:
                # Compose has children of its own, which would go on building.
                os.killpg(process.pid, signal.SIGKILL)
                raise
        return subprocess.CompletedProcess(command, process.returncode, output, errors)

    def in_terminal(self, *words: str, typed: str) -> tuple[int, str]:
        """
        Run a Compose command in a terminal, and return its exit code and output.
        """
        ours, theirs = pty.openpty()
        process = subprocess.Popen(
            self.command(*words),
            env={**self.env, "TERM": "dumb"},
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            start_new_session=True,
        )
        os.close(theirs)
        shown, waiting, deadline = b"", typed.encode(), time.monotonic() + _SECONDS
        try:
            while time.monotonic() < deadline:
                if waiting and shown.rstrip().endswith(b"#"):
                    os.write(ours, waiting)
                    waiting = b""
                if not select.select([ours], [], [], 0.5)[0]:
                    if process.poll() is not None:
                        break
                    continue
                try:
                    piece = os.read(ours, 65536)
                except OSError:
                    break
                if not piece:
                    break
                shown += piece
            return process.wait(max(1.0, deadline - time.monotonic())), shown.decode()
        finally:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            os.close(ours)

    def left(self) -> list[str]:
        """
        Return the containers, networks and volumes of this project.
        """
        label = f"label=com.docker.compose.project={self.name}"
        return [
            *self.docker("ps", "--all", "--quiet", "--filter", label).split(),
            *self.docker("network", "ls", "--quiet", "--filter", label).split(),
            *self.docker("volume", "ls", "--quiet", "--filter", label).split(),
        ]

    def close(self) -> None:
        """
        Remove everything that was created, also by commands that failed.
        """
        label = f"label=com.docker.compose.project={self.name}"
        mine = self.docker("ps", "--all", "--quiet", "--filter", label).split()
        if mine:
            self.docker("rm", "--force", "--volumes", *mine)
        done = self("down", "--remove-orphans", "--volumes")
        known = self.docker("images", "--format", "{{.Repository}}:{{.Tag}}").split()
        for tag in self._own:
            if tag in known:
                self.docker("rmi", tag)
        assert done.returncode == 0, done.stderr
        assert self.left() == []

"""
The steps of the GitHub action, whose description is in action.yml.

    action.py install    install the package; outputs: python, cache
    action.py restore    add the setups of a file to the engine's cache
    action.py run        run the command; outputs: sarif, report
    action.py save       write new setups to that file; output: key

Inputs are variables `CODEX_ACTION_*`, so that no shell reads them. What the summary and the
annotations say is the business of the package. This file uses the standard library only.
"""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

__all__ = ["main"]

LARGEST = 8 << 30
"""Bytes of a cache that is kept. GitHub compresses it, and keeps 10 GB for a repository."""

_COMMANDS = ("check", "read", "pytest")


class Step:
    """
    One step.

    Args:
        environ: the inputs, and what GitHub sets for each step.
    """

    def __init__(self, environ: Mapping[str, str]) -> None:
        self._environ = environ
        self._place = Path(environ["RUNNER_TEMP"]) / "codex-workspace"
        self._setups = self._place / "setups.tar"

    def install(self) -> int:
        """
        Install the package, and tell its Python and what names of caches begin with.
        """
        self._command()
        # Not -I, with which pip does not install for a user.
        python, isolated = self._input("python"), "-P"
        if not python:
            environment = self._place / "venv"
            # Isolated: the repository, which is the directory, may have a module of any name.
            subprocess.run([sys.executable, "-I", "-m", "venv", environment], check=True)
            python = str(environment / "bin/python")
            isolated = "-I"
        source = self._input("version") or self._environ["GITHUB_ACTION_PATH"]
        install = ["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--", source]
        code = subprocess.run([python, isolated, *install], check=False).returncode
        image = hashlib.sha256(self._input("image").encode()).hexdigest()[:12]
        system = f"{self._environ['RUNNER_OS']}-{self._environ['RUNNER_ARCH']}"
        self._output("python", python)
        self._output("cache", f"codex-workspace-{system}-{image}-")
        return code

    def restore(self) -> int:
        """
        Import the cached setups. Without them, setup runs: that is no error.
        """
        if self._setups.is_file():
            self._tell("cache", "import", str(self._setups))
            self._setups.unlink()
        return 0

    def run(self) -> int:
        """
        Run the command, and tell where its files are.
        """
        repo = self._repo()
        arguments = [one for one in self._input("arguments").splitlines() if one.strip()]
        image = self._input("image")
        report, sarif = self._place / "report", self._place / "codex.sarif"
        if self._command() == "pytest":
            words = ["-m", "pytest", f"--codex-repo={repo}", f"--codex-report={report}"]
            words += [*([f"--codex-image={image}"] if image else []), *arguments]
        else:
            words = [*self._program(), "check", f"--sarif={sarif}", *arguments]
            words += [f"--image={image}"] if image else []
            if self._command() == "read":
                words.append("--reads-only")
            else:
                words.append(f"--report={report}")
            words += ["--", repo]
        self._place.mkdir(parents=True, exist_ok=True)
        code = subprocess.run([self._input("python"), *words], check=False).returncode
        if sarif.is_file():
            self._output("sarif", str(sarif))
        if report.is_dir():
            self._output("report", str(report))
        return code

    def save(self) -> int:
        """
        Export the setups, if they are others than those of the cache that was restored.
        """
        listed = self._tell("cache", "list", "--json", shown=False)
        events = [json.loads(line) for line in listed.splitlines()]
        keys = sorted(one["key"] for one in events if one.get("kind") == "setup")
        digest = hashlib.sha256("\n".join(keys).encode()).hexdigest()[:32]
        key = f"{self._input('cache')}{digest}"
        if not keys or key == self._input("restored"):
            return 0
        self._place.mkdir(parents=True, exist_ok=True)
        # A runner that is kept may have those of other repositories.
        self._tell("cache", "export", f"--repo={self._repo()}", str(self._setups))
        if not self._setups.is_file():
            return 0
        if (size := self._setups.stat().st_size) > LARGEST:
            print(
                f"codex: the cache of setups has {size / 1e9:.1f} GB, and is not kept: use "
                "--cache-registry, or --image=slim"
            )
            return 0
        self._output("key", key)
        return 0

    def _repo(self) -> str:
        return self._input("repo") or "."

    def _program(self) -> list[str]:
        # Not from the directory, for the same reason.
        return ["-P", "-m", "pytest_codex_workspace.cli"]

    def _tell(self, *words: str, shown: bool = True) -> str:
        """
        Run a command that may fail, and return what it printed if it is not *shown*.
        """
        done = subprocess.run(
            [self._input("python"), *self._program(), *words],
            stdout=None if shown else subprocess.PIPE,
            text=True,
            check=False,
        )
        return done.stdout or ""

    def _command(self) -> str:
        command = self._input("command")
        if command not in _COMMANDS:
            raise ValueError(f"the input `command` is {command!r}: use {', '.join(_COMMANDS)}")
        return command

    def _input(self, name: str) -> str:
        return self._environ.get(f"CODEX_ACTION_{name.upper()}", "")

    def _output(self, name: str, value: str) -> None:
        if "\n" in value or "\r" in value:
            raise ValueError(f"the output `{name}` has a line end: {value!r}")
        with Path(self._environ["GITHUB_OUTPUT"]).open("a") as file:
            file.write(f"{name}={value}\n")


def main(arguments: list[str], environ: Mapping[str, str]) -> int:
    """
    Run the step that *arguments* name.

    Returns:
        The exit code.
    """
    step = Step(environ)
    steps: dict[str, Callable[[], int]] = {
        "install": step.install,
        "restore": step.restore,
        "run": step.run,
        "save": step.save,
    }
    if len(arguments) != 1 or arguments[0] not in steps:
        print(__doc__, file=sys.stderr)
        return 2
    try:
        return steps[arguments[0]]()
    except ValueError as error:
        print(f"codex: {error}", file=sys.stderr)
        return 2


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:], os.environ))

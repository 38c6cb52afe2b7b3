"""Tests of the texts of a draft."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

from pytest_codex_workspace.codex import CONFIG_FILE, RESUME, SETUP
from pytest_codex_workspace.drafts.render import render

from ...helpers.configuration import resolve
from . import whole

FILES = {
    "requirements.txt": "pytest",
    "it's; reboot/go.mod": "",
    ".nvmrc": "22",
    ".ruby-version": "3.1.0",
    "pyproject.toml": "[build-system]\nrequires = ['setuptools-scm']\n",
    "compose.yaml": "services:\n  a:\n    image: redis\n  b:\n    image: postgres\n",
    "Dockerfile": "RUN apt-get install -y libpq-dev\n",
    "Makefile": "test:\n",
}


def test_the_scripts_of_a_draft_are_bash(tmp_path: Path) -> None:
    """
    Both stop at the first failure and install the same. What a person decides is a comment.
    """
    files = render(whole(FILES))

    assert [SETUP, RESUME, CONFIG_FILE] == list(files)
    for path in (SETUP, RESUME):
        text = files[path]
        assert text.startswith("#!/usr/bin/env bash\n")
        assert "\nset -euo pipefail\n" in text
        assert "\n(cd 'it'\"'\"'s; reboot' && go mod download)\n" in text
        (tmp_path / "x.sh").write_text(text)
        subprocess.run(["bash", "-n", tmp_path / "x.sh"], check=True)
    code = [line for line in files[SETUP].splitlines() if line and not line.startswith("#")]
    assert code == [
        "set -euo pipefail",
        "export DEBIAN_FRONTEND=noninteractive",
        "python -m pip install -r requirements.txt -e .",
        "(cd 'it'\"'\"'s; reboot' && go mod download)",
    ]
    assert "# apt-get install -y --no-install-recommends redis-server postgresql\n" in files[SETUP]
    assert "# Makefile has the targets test, which may do what is missing here.\n" in files[SETUP]


def test_the_configuration_file_of_a_draft_is_valid(tmp_path: Path) -> None:
    """
    As it is, and once its services are uncommented.
    """
    text = render(whole(FILES))[CONFIG_FILE]
    (tmp_path / CONFIG_FILE).write_text(text)
    config = resolve(tmp_path).config
    assert config.env == {
        "SETUPTOOLS_SCM_PRETEND_VERSION": "0.0.0",
        "CODEX_ENV_NODE_VERSION": "22",
    }
    assert () == config.services

    before, _, services = text.partition("# services:\n")
    services, _, rest = services.partition("\n\n")
    uncommented = "".join(f"{line.removeprefix('# ')}\n" for line in services.splitlines())
    (tmp_path / CONFIG_FILE).write_text(f"{before}services:\n{uncommented}\n{rest}")
    assert [("redis", 6379), ("postgres", 5432)] == [
        (one.name, one.ready.port) for one in resolve(tmp_path).config.services
    ]


def test_the_command_of_the_tests_is_there() -> None:
    """
    With those of all folders.
    """
    text = render(whole(FILES))[CONFIG_FILE]

    command = json.dumps("python -m pytest && (cd 'it'\"'\"'s; reboot' && go test ./...)")
    assert f"\ncheck:\n  test: {command}" in text


def test_nothing_to_install_is_nothing_to_write() -> None:
    """
    A repository without scripts is ready as it is.
    """
    assert {} == render(whole({"README.md": ""}))
    assert [SETUP] == list(render(whole({"Dockerfile": "RUN apt install make\n"})))

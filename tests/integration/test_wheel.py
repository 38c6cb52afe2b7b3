"""S1, S2, S7, S10: An installed wheel works on a repository that we did not write."""

from __future__ import annotations

import shutil
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest

from ..conftest import commit, git, scripts
from ..helpers.archives import unpack_all

# Only names of the public interface.
SUITE = """
import pytest

import pytest_codex_workspace


def test_the_checkout_is_not_used():
    assert "site-packages" in pytest_codex_workspace.__file__


def test_the_repository_is_there(codex_workspace, codex_repo):
    ws = codex_workspace
    assert ws.project == ws.path("/workspace/sphinx")
    assert len(ws.exec("git ls-files", check=True).stdout.splitlines()) > 300
    assert ws.exec("git status --porcelain").stdout == ""
    assert not ws.path("untracked").exists()
    assert ws.exec(".venv/bin/python -m sphinx --version", check=True).ok


@pytest.mark.cache_hit
def test_setup_survives(codex_workspace):
    assert codex_workspace.setup.cache == "hit"
    assert codex_workspace.setup.exit_code == 0
    assert codex_workspace.path(".venv/bin/sphinx-build").is_file()


@pytest.mark.codex_setup(False)
@pytest.mark.codex_env(FLAVOUR="vanilla")
def test_without_setup(codex_workspace):
    ws = codex_workspace
    assert ws.setup.cache == "none"
    assert ws.exec("echo $FLAVOUR").stdout == "vanilla\\n"
    assert not ws.path(".venv").exists()
    with pytest.raises(pytest_codex_workspace.ExecError):
        ws.exec("false", check=True)


def test_the_network_is_watched(codex_workspace):
    codex_workspace.exec("curl -s http://example.com/")
    codex_workspace.network.assert_blocked(reason="plain-http", host="example.com")
    with pytest.raises(AssertionError):
        codex_workspace.network.assert_nothing_blocked()


def test_more_of_them(codex_workspace_factory):
    one, two = codex_workspace_factory(), codex_workspace_factory(cache_hit=True)
    one.path("mine").write_text("1")
    assert not two.path("mine").exists()
    assert one.head == two.head
"""

SETUP = """\
set -eu
python3 -m venv .venv
.venv/bin/pip install --quiet --editable .
"""


def run(*command: object, cwd: Path) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(
        [str(word) for word in command], cwd=cwd, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-6000:]
    return done


@pytest.fixture
def installed(tmp_path: Path) -> Path:
    """
    Return a Python with the wheel, and nothing of the checkout.
    """
    checkout = Path(__file__).parents[2]
    source = tmp_path / "source"
    tracked = git(checkout, "ls-files", "-z", "--cached", "--others", "--exclude-standard")
    for name in filter(None, tracked.split("\0")):
        if (checkout / name).exists():
            (source / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(checkout / name, source / name)
    run(
        sys.executable,
        "-m",
        "pip",
        "wheel",
        "-q",
        "--no-deps",
        "-w",
        tmp_path,
        source,
        cwd=tmp_path,
    )
    shutil.rmtree(source)
    run(sys.executable, "-m", "venv", tmp_path / "venv", cwd=tmp_path)
    python = tmp_path / "venv" / "bin" / "python"
    run(python, "-m", "pip", "install", "-q", *tmp_path.glob("*.whl"), cwd=tmp_path)
    return python


@pytest.fixture
def sphinx(tmp_path: Path) -> Path:
    """
    Return Sphinx's source distribution, committed to a repository.
    """
    run(
        sys.executable, "-m", "pip", "download", "-q", "--no-deps", "--no-binary=sphinx",
        "--dest", tmp_path, "sphinx==8.2.3", cwd=tmp_path,
    )  # fmt: skip
    [archive] = tmp_path.glob("sphinx-*.tar.gz")
    with tarfile.open(archive) as tar:
        unpack_all(tar, tmp_path / "unpacked")
    repo = tmp_path / "sphinx"
    next((tmp_path / "unpacked").iterdir()).rename(repo)
    git(repo, "init", "--quiet")
    commit(repo, {".gitignore": ".venv/\n*.egg-info/\n__pycache__/\n", **scripts(SETUP)})
    (repo / "untracked").write_text("not committed")
    return repo


@pytest.mark.promise("S1", "S2", "S7", "S10")
def test_a_wheel_works_without_the_checkout(installed, sphinx, tmp_path):
    """
    S1, S2, S7, S10: The wheel works cold and warm, in a clean environment, with public names
    alone.
    """
    suite = tmp_path / "suite"
    suite.mkdir()
    (suite / "test_sphinx.py").write_text(SUITE)
    command = [
        installed, "-m", "pytest", "-p", "no:cacheprovider", "--strict-markers",
        f"--codex-repo={sphinx}", "--codex-image=slim", "--codex-report=report",
    ]  # fmt: skip

    cold = run(*command, cwd=suite).stdout
    warm = run(*command, cwd=suite).stdout

    for output in (cold, warm):
        assert "6 passed" in output
        assert "building" not in output
    assert "plain-http" in (suite / "report" / "index.html").read_text()
    assert "running codex-workspace-scripts/setup-script.sh" in cold
    assert "running codex-workspace-scripts/setup-script.sh" not in warm

"""
S15: Runtimes of codex-universal, on a stand-in with its layout: version managers under
`/etc/profile`, its `setup_universal.sh` and its entry point.
"""

from __future__ import annotations

import io
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from pytest_codex_workspace import SetupError
from pytest_codex_workspace.cli import main as command
from pytest_codex_workspace.images import base
from pytest_codex_workspace.options.config import Config
from pytest_codex_workspace.reporting.output import Output
from pytest_codex_workspace.session import Session
from pytest_codex_workspace.setup import runtime_notes

from ..conftest import init_repo, scripts

pytestmark = [pytest.mark.slow, pytest.mark.promise("S15")]

STAND_IN = Path(__file__).parent / "universal"
NAME = "codex-workspace-test-universal"

SETUP = """\
set -euo pipefail
node --version; python3 --version; go version; rustc --version; java -version 2>&1
git status --short
"""


@pytest.fixture(scope="module")
def universal(codex_engine, codex_image) -> Iterator[None]:
    """
    Build the stand-in, and have `universal` mean it.
    """
    context = io.BytesIO()
    with tarfile.open(fileobj=context, mode="w") as archive:
        for path in sorted(STAND_IN.iterdir()):
            archive.add(path, path.name)
    context.seek(0)
    codex_engine.build(
        context,
        dockerfile="Dockerfile",
        tag=f"{NAME}:latest",
        labels={},
        args={"BASE": codex_engine.image(codex_image).id},
        on_line=lambda _: None,
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(base, "UNIVERSAL", NAME)
        yield
    codex_engine.remove_image(f"{NAME}:latest")


@pytest.fixture(scope="module")
def said() -> list[str]:
    return []


@pytest.fixture(scope="module")
def session(universal, codex_engine, codex_image, said, tmp_path_factory) -> Iterator[Session]:
    """
    Start a session with the image `universal`. Its workspace image is removed at the end.
    """
    latest = codex_engine.image(codex_image).id
    output = Output("progress", said.append)
    config = Config(image="universal", engine=codex_engine.url)
    notes = tmp_path_factory.mktemp("notes")
    with pytest.MonkeyPatch.context() as patch, Session(config, output) as made:
        # What an earlier run today was told of the image is told again.
        patch.setattr(runtime_notes, "cache_dir", lambda: notes)
        yield made
        tag = made.base_tag
    codex_engine.tag(latest, "codex-workspace-emulator:latest")
    codex_engine.remove_image(tag)


def test_a_workspace_of_universal(session, said, tmp_path):
    """
    Login shells have the versions that the variables select, other shells only what is on PATH by
    `ENV`. nvm leaves its file in the repository. A default that the image lacks is a line, and one
    that somebody has chosen is an error.
    """
    repo = init_repo(tmp_path / "app", {"README": "hello\n", **scripts(SETUP)})
    spec = session.spec(session.repository(repo), {"CODEX_ENV_NODE_VERSION": "18"})

    ws = session.workspace(spec, "ready")

    printed = ws.setup.output
    for words in ("v18.", "Python 3.12.", "go1.24.3", "rustc 1.89.0", '"21.', "?? .nvmrc"):
        assert words in printed, printed
    # Codex's entry point would have printed this, and selected the versions once more.
    assert "Welcome" not in printed
    found = ws.exec(["bash", "-c", "type -P node npm; type -P go"]).stdout
    assert "/root/.local/share/mise/shims/go\n" == found
    assert "v18." == ws.exec("node --version").stdout[:4]
    assert "v18." == ws.path(".nvmrc").read_text()[:4]
    session.stop(ws)
    (told,) = [line for line in said if "Codex's default" in line]
    assert "CODEX_ENV_SWIFT_VERSION=6.1" in told

    spec = session.spec(session.repository(repo), {"CODEX_ENV_PYTHON_VERSION": "3.9"})
    with pytest.raises(SetupError, match=r"version '3\.9' is not installed"):
        session.workspace(spec, "ready")


def test_the_versions_of_universal_are_listed(session, capsys):
    """
    `build --list-runtimes` finds those of each version manager.
    """
    assert 0 == command.main(["build", "--image=universal", "--list-runtimes"])

    printed = capsys.readouterr().out
    for words in ("3.11.14, 3.12.12", "18.20.8, 20.20.2", "1.89.0, 1.92.0", "1.24.3, 1.25.1"):
        assert words in printed, printed
    for words in ("swift    6.2", "php      8.4, 8.5", "java     21.0.1, 25.0.1", "ruby     3.4.4"):
        assert words in printed, printed

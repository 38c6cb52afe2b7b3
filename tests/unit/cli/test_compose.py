"""The Compose file is printed with what is at hand: no image, no registry, no engine."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import yaml

from pytest_codex_workspace import session
from pytest_codex_workspace.cli.main import main
from pytest_codex_workspace.errors import EngineUnavailable
from pytest_codex_workspace.host.certificates import host_bundle
from tests.fakes.engine import FakeEngine

pytestmark = [pytest.mark.needs_git]


@pytest.fixture
def printed(make_repo, cache_home, monkeypatch, capsys):
    """
    Return a function that prints the file with an engine, and parses it.
    """

    def printed(engine, *words):
        def find(_choice):
            if engine is None:
                raise EngineUnavailable("nothing answers")
            return engine

        monkeypatch.setattr(
            session.Session.__init__, "__kwdefaults__", {"connect": find, "report": None}
        )
        code = main(["compose", str(make_repo(f"r{os.urandom(3).hex()}")), *words])
        found = capsys.readouterr()
        return code, yaml.safe_load(found.out), found.err

    return printed


@pytest.mark.parametrize(
    ("image", "base"),
    [
        ("universal", "ghcr.io/openai/codex-universal:latest"),
        ("slim", "debian:trixie-slim"),
        ("registry.invalid/none:1", "registry.invalid/none:1"),
    ],
)
@pytest.mark.parametrize("has_engine", [True, False])
def test_nothing_is_pulled_to_print_the_file(printed, image, base, has_engine):
    """
    The pull comes with `docker compose build`; the note says what if it cannot.
    """
    engine = FakeEngine() if has_engine else None
    code, file, said = printed(engine, f"--image={image}")

    assert code == 0
    assert base == file["services"]["workspace"]["build"]["args"]["BASE"]
    assert "debian:trixie-slim" == file["services"]["proxy"]["build"]["args"]["BASE"]
    assert "codex-workspace build --image=slim" in said
    assert engine is None or not engine.images({})


def test_an_image_that_is_there_is_named_by_its_digest(printed):
    """
    The build uses what was there when the file was printed.
    """
    engine = FakeEngine(pullable=["ghcr.io/openai/codex-universal:latest", "debian:trixie-slim"])
    pulled = engine.pull("ghcr.io/openai/codex-universal:latest", lambda _: None)
    engine.pull("debian:trixie-slim", lambda _: None)

    code, file, said = printed(engine)

    assert code == 0
    assert file["services"]["workspace"]["build"]["args"]["BASE"] in (
        *pulled.digests,
        "ghcr.io/openai/codex-universal:latest",
    )
    assert "docker compose build" not in said


def test_an_engine_that_was_named_must_answer(printed):
    """
    Only the search for any engine may find none.
    """
    code, file, said = printed(None, "--engine=unix:///nonexistent.sock")

    assert (125, None) == (code, file)
    assert "EngineUnavailable" in said


def test_without_an_authority_a_trusted_certificate_stands_in(printed, cache_home):
    """
    The image is built before the first proxy has made this machine's authority.
    """
    code, file, _ = printed(None)
    context = file["services"]["workspace"]["build"]["context"]

    assert code == 0
    assert Path(context, "ca.crt").read_bytes() in host_bundle()
    assert not (cache_home / "codex-workspace" / "ca.pem").exists()

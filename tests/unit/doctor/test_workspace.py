"""Doctor: the workspace image and its runtimes."""

from __future__ import annotations

import pytest

from pytest_codex_workspace import codex
from pytest_codex_workspace.doctor import workspace
from pytest_codex_workspace.errors import EngineError
from pytest_codex_workspace.host import certificates
from pytest_codex_workspace.images import base
from pytest_codex_workspace.images.debian import DEBIAN, ROOTFS
from pytest_codex_workspace.reporting.output import Output
from tests.fakes.engine import FakeEngine

UNIVERSAL = f"{codex.UNIVERSAL}:latest"

AUTHORITY = (
    b"-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n"
    b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"
)

NOTE = "slim has Ruby 3.3.14, not Codex's default 3.4.4\n"
ENDED = "codex-workspace: ended with 0\n"


@pytest.fixture(autouse=True)
def _machine(cache_home, tmp_path, monkeypatch):
    """
    Hide mmdebstrap, and use a cache directory of the test.
    """
    monkeypatch.setenv("PATH", str(tmp_path))


def build(engine, choice):
    """
    Build the workspace image on the fake engine.
    """
    certificates.store_ca(AUTHORITY)
    engine.add_image(DEBIAN)
    output = Output("quiet", lambda _: None)
    base.ensure_base_image(engine, choice, ca_certificate=AUTHORITY, output=output)


def printing(text, seen):
    """
    Return an engine whose containers print *text*, and record their specs in *seen*.
    """

    def run(spec, stdin, stdout):
        seen.append(spec)
        stdout.write(text.encode())
        return 0

    return FakeEngine(run=run)


@pytest.mark.parametrize("choice", ["universal", "example.org/own:1"])
def test_an_image_that_nobody_has_is_an_error(choice):
    """
    The result has the engine's reason, and recommends slim.
    """
    found = workspace.image(FakeEngine(), choice)

    assert "error" == found.status
    assert f"{base.reference_of(choice)} is not on the engine" in found.text
    assert found.text.endswith("cannot be pulled: no registry has it")
    assert "--image=slim" in found.remedy


@pytest.mark.parametrize(
    ("choice", "reference"), [("universal", UNIVERSAL), ("slim", workspace.DEBIAN)]
)
def test_an_engine_that_does_not_ask_a_registry(choice, reference, monkeypatch):
    """
    The result is a warning with a command to find out.
    """
    monkeypatch.setattr(workspace.shutil, "which", lambda _: None)

    class Silent(FakeEngine):
        looks_up_digests = False

    found = workspace.image(Silent(), choice)

    assert ("warning", True) == (found.status, f"fake pull {reference}" in found.remedy)


def test_an_image_in_a_registry_is_not_pulled():
    """
    The registry is only asked whether it has the image.
    """
    engine = FakeEngine(pullable=[UNIVERSAL])

    found = workspace.image(engine, "universal")

    assert ("ok", True) == (found.status, "the first run pulls" in found.text)
    assert engine.image(UNIVERSAL) is None


def test_a_present_image_passes():
    """
    This holds for the image to build on, and for the built image.
    """
    engine = FakeEngine(pullable=[UNIVERSAL])
    engine.add_image(UNIVERSAL)
    assert f"first run builds on {UNIVERSAL} (present)" in workspace.image(engine, "universal").text

    build(engine, "universal")

    found = workspace.image(engine, "universal")
    assert ("ok", "universal: built 0 s ago") == (found.status, found.text)


@pytest.mark.parametrize("reference", [DEBIAN, ROOTFS])
def test_slim_builds_on_either_debian_image(reference):
    """
    Each of the two images is sufficient.
    """
    engine = FakeEngine()
    engine.add_image(reference)

    assert f"first run builds on {reference} (present)" in workspace.image(engine, "slim").text


def test_slim_can_be_built_or_pulled(tmp_path):
    """
    Without a Debian image it is pulled; without a registry mmdebstrap builds it; without both
    the check fails.
    """
    assert "pulls" in workspace.image(FakeEngine(pullable=[DEBIAN]), "slim").text
    nothing = workspace.image(FakeEngine(), "slim")
    (tmp_path / "mmdebstrap").write_text("#!/bin/sh\n")
    (tmp_path / "mmdebstrap").chmod(0o755)

    assert ("error", True) == (nothing.status, "mmdebstrap" in nothing.remedy)
    assert ("ok", True) == (
        workspace.image(FakeEngine(), "slim").status,
        "mmdebstrap" in workspace.image(FakeEngine(), "slim").text,
    )


def test_runtimes_are_not_checked_before_the_image_is_built():
    """
    No container is started without an image.
    """
    seen: list[object] = []

    found = workspace.runtimes(printing(ENDED, seen), "slim", {})

    assert ("ok", True, []) == (
        found.status,
        "not built yet" in found.text,
        seen,
    )


@pytest.mark.parametrize(
    ("choice", "printed", "status", "words"),
    [
        ("slim", ENDED, "ok", "has the selected versions"),
        ("slim", NOTE + ENDED, "warning", NOTE.strip()),
        ("universal", "Python: 3.12\n" + ENDED, "ok", "has the selected versions"),
        ("universal", "codex-workspace: absent\n" + ENDED, "ok", "cannot select runtimes"),
        ("slim", "no such\ncodex-workspace: ended with 1\n", "error", "failed in the image slim:"),
        ("slim", "killed", "error", "setup_universal.sh failed"),
        ("slim", "", "error", "setup_universal.sh failed"),
    ],
)
def test_the_selection_of_the_image_is_run(choice, printed, status, words):
    """
    A missing runtime in slim is a warning; a failed or killed selection is an error.
    """
    seen: list[object] = []
    engine = printing(printed, seen)
    if choice == "universal":
        engine.add_image(UNIVERSAL)
    build(engine, choice)
    del seen[:]

    found = workspace.runtimes(engine, choice, {"CODEX_ENV_NODE_VERSION": "18", "SECRET": "x"})

    assert status == found.status
    assert words in found.text
    (spec,) = seen
    assert ("none", "18") == (spec.network, spec.environment["CODEX_ENV_NODE_VERSION"])
    assert "NODE" not in spec.environment["CODEX_ENV_DEFAULTED"].split()
    assert "SECRET" not in spec.environment
    assert [] == engine.containers({})


def test_a_container_that_does_not_start_is_removed():
    """
    The result has the engine's reason.
    """

    class Refusing(FakeEngine):
        def start(self, container):
            raise EngineError("no more")

    engine = Refusing()
    build(engine, "slim")

    with pytest.raises(EngineError, match="no more"):
        workspace.runtimes(engine, "slim", {})

    assert [] == engine.containers({})


def test_a_runtime_that_does_not_exist_is_a_warning():
    """
    The remedy lists the names that exist.
    """
    found = workspace.runtimes(FakeEngine(), "slim", {"CODEX_ENV_NOED_VERSION": "18"})

    assert ("warning", True) == (found.status, "CODEX_ENV_NODE_VERSION" in found.remedy)

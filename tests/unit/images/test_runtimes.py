"""Tests of listing the runtimes of an image."""

from __future__ import annotations

import pytest

from pytest_codex_workspace.errors import EngineError
from pytest_codex_workspace.images.runtimes import offered_runtimes
from tests.fakes.engine import FakeEngine


def offer(*rows, end=True):
    """
    Return the runtimes of an image that prints *rows* among other lines.
    """
    lines = [
        "welcome",
        *(f"codex-runtime: {row}" for row in rows),
        *(["codex-runtime: end - -"] if end else []),
    ]

    def run(spec, stdin, stdout):
        assert "none" == spec.network
        stdout.write("\n".join(lines).encode())
        return 0

    engine = FakeEngine(run=run)
    try:
        return offered_runtimes(engine, engine.add_image("x:1").id)
    finally:
        assert [] == engine.containers({})


def by_name(found):
    return {one.name: one for one in found.runtimes}


def test_an_image_with_a_list_of_runtimes():
    """
    Every version on the list can be chosen. The newest is the last.
    """
    found = offer("listed node 22.1.0", "listed node 9.1.0", "path node 22.1.0", "path php 8.4")
    node, php, swift = (by_name(found)[name] for name in ("node", "php", "swift"))

    assert "listed" == found.source
    assert (("9.1.0", "22.1.0"), True, "20", False) == (
        node.versions,
        node.choosable,
        node.default,
        node.has_default,
    )
    assert (("8.4",), False, True) == (php.versions, php.choosable, php.has_default)
    assert ((), False) == (swift.versions, swift.choosable)


def test_an_image_with_version_managers():
    """
    The managers' names of versions are normalised. Only variables that the script reads choose.
    """
    found = offer(
        "read NODE -",
        "read RUST -",
        "found node v20.1.0",
        "found rust 1.89.0-x86_64-unknown-linux-gnu",
        "found bun 1.2.14",
        "path rust 1.89.0",
    )
    names = by_name(found)

    assert "found" == found.source
    assert (("20.1.0",), True, True) == (
        names["node"].versions,
        names["node"].choosable,
        names["node"].has_default,
    )
    assert (("1.89.0",), True) == (names["rust"].versions, names["rust"].choosable)
    assert (("1.2.14",), False) == (names["bun"].versions, names["bun"].choosable)


def test_an_image_without_a_choice():
    """
    Only the runtimes on its PATH are listed.
    """
    found = offer("path python 3.12.1", "path node ")

    assert "none" == found.source
    assert ("3.12.1",) == by_name(found)["python"].versions
    assert not [one for one in found.runtimes if one.choosable]


@pytest.mark.parametrize(
    ("version", "equal"), [("3.12", True), ("3.12.7", True), ("3.1", False), ("3.120", False)]
)
def test_the_default_version_is_recognised(version, equal):
    """
    Only the digits of Codex's version are compared.
    """
    assert equal is by_name(offer(f"path python {version}"))["python"].has_default


def test_an_incomplete_answer_is_an_error():
    """
    The script in the image did not end.
    """
    with pytest.raises(EngineError, match="does not report its runtimes"):
        offer("path python 3.12", end=False)

"""Tests of what skopeo is told, and of what becomes of its answers, with a program in its place."""

from __future__ import annotations

from pathlib import Path

import pytest

from pytest_codex_workspace.engine import skopeo
from pytest_codex_workspace.engine.skopeo import SkopeoError

DIGEST = f"sha256:{'a' * 64}"


@pytest.fixture
def program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """
    Return a function that puts a script in the place of skopeo. It notes its arguments.
    """
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", f"{folder}:/usr/bin:/bin")

    def put(script: str) -> Path:
        path = folder / "skopeo"
        path.write_text(f'#!/bin/sh\necho "$@" >{tmp_path}/arguments\n{script}\n')
        path.chmod(0o755)
        return tmp_path / "arguments"

    return put


@pytest.mark.parametrize(
    ("reference", "trusts"),
    [
        ("127.0.0.1:5000/a:1", True),
        ("127.1.2.3/a:1", True),
        ("localhost:5000/a", True),
        ("[::1]:5000/a", True),
        ("localhost.example/a", False),
        ("127.0.0.1.example/a", False),
        ("localhost", False),
        ("debian:bookworm", False),
    ],
)
def test_a_registry_on_loopback_needs_no_tls(program, reference, trusts):
    """
    As for Docker.
    """
    arguments = program(f"echo {DIGEST}")

    assert DIGEST == skopeo.find_digest(reference, 5)

    assert trusts == ("--tls-verify=false" in arguments.read_text())


def test_a_copy_tells_what_it_does(program, tmp_path):
    """
    Its lines, and the bytes that have come.
    """
    into = tmp_path / "into"
    into.mkdir()
    arguments = program(f"echo Copying; printf 12345 >{into}/blob; echo Done")
    lines, advances = [], []

    skopeo.download(
        "example.com/a:1",
        into,
        architecture="arm64",
        on_line=lines.append,
        on_advance=lambda one: advances.append(str(one)),
        patience=5,
    )

    assert ["Copying", "Done"] == lines
    assert "5 B" in advances
    assert "--override-arch=arm64" in arguments.read_text()
    assert f"docker://example.com/a:1 dir:{into}" in arguments.read_text()


def test_what_is_too_large_is_not_copied(program, tmp_path):
    """
    The copy is ended as soon as it is.
    """
    program(f"printf 123456789 >{tmp_path}/into/blob; echo said; exec sleep 60 >/dev/null")
    (tmp_path / "into").mkdir()

    with pytest.raises(SkopeoError, match="the registry sent more than 8 B"):
        skopeo.download(
            "a:1", tmp_path / "into", architecture="amd64", on_line=lambda _: None, limit=8
        )


def test_a_silent_registry_ends_the_wait(program, tmp_path):
    """
    A program that neither prints, reads nor writes waits for the registry.
    """
    program("exec sleep 60")

    with pytest.raises(SkopeoError, match=r"nothing came from the registry for 0.3 s"):
        skopeo.upload(tmp_path / "image.tar", "a:1", on_line=lambda _: None, patience=0.3)


@pytest.mark.parametrize(
    ("script", "said"),
    [
        (
            'printf %s \'level=fatal msg="Error parsing image name \\"docker://a\\": \'; '
            'echo \'Get \\"https://a/\\": no such host"\'; exit 1',
            'Get "https://a/": no such host',
        ),
        (r"""printf %s 'level=fatal msg="a\n\t* b\n\n"'; exit 1""", "a * b"),
        ("echo something else; exit 2", "something else"),
        ("exit 3", "skopeo ended with the exit code 3"),
        ("echo nothing", "the registry's answer has no digest"),
    ],
)
def test_a_failure_has_the_words_of_skopeo(program, script, said):
    """
    Without what it puts around them.
    """
    program(script)

    with pytest.raises(SkopeoError) as caught:
        skopeo.find_digest("a:1", 5)

    assert said == str(caught.value)


def test_a_missing_skopeo_is_told(monkeypatch, tmp_path):
    """
    So is one that cannot be run.
    """
    monkeypatch.setenv("PATH", str(tmp_path))
    assert not skopeo.is_installed()
    with pytest.raises(SkopeoError, match="skopeo is not installed"):
        skopeo.find_digest("a:1", 5)

    (tmp_path / "skopeo").write_text("no program")
    (tmp_path / "skopeo").chmod(0o755)
    assert skopeo.is_installed()
    with pytest.raises(SkopeoError, match="skopeo cannot be run: "):
        skopeo.find_digest("a:1", 5)


def test_a_warning_comes_before_the_answer(program):
    """
    The answer is the line with the digest.
    """
    program(f'echo "level=warning msg=\\"no {DIGEST}\\""; echo {DIGEST}')

    assert DIGEST == skopeo.find_digest("a:1", 5)


def test_a_registry_cannot_dribble_for_ever(program):
    """
    What it sends bit by bit is no silence.
    """
    program("while :; do echo more; done")

    with pytest.raises(SkopeoError, match=r"has not sent everything within 0.3 s"):
        skopeo.find_digest("a:1", 0.3)


def test_a_limit_holds_at_the_end(program, tmp_path):
    """
    Also for what comes faster than anybody looks.
    """
    program(f"exec printf 123456789 >{tmp_path}/into/blob")
    (tmp_path / "into").mkdir()

    with pytest.raises(SkopeoError, match="the registry sent more than 8 B"):
        skopeo.download(
            "a:1", tmp_path / "into", architecture="amd64", on_line=lambda _: None, limit=8
        )

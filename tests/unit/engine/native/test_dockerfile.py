"""Dockerfiles, as far as the engine of namespaces reads them."""

from __future__ import annotations

from pathlib import Path

import pytest

from pytest_codex_workspace.engine.native.dockerfile import (
    Instruction,
    apply_to_config,
    expand,
    read_changes,
    read_command,
    read_dockerfile,
)

DOCKERFILES = Path(__file__).parents[4] / "dockerfiles"


def test_stages_have_their_instructions_on_one_line():
    """
    Comments are left out, also between continued lines.
    """
    arguments, stages = read_dockerfile(
        "# A comment\nARG BASE=debian\nFROM ${BASE} AS First\nENV A=1 \\\n# between\n    B=2\n"
        "from first\nRUN true && \\\n  false\n"
    )

    assert {"BASE": "debian"} == arguments
    assert [("${BASE}", "first"), ("first", "")] == [(one.base, one.name) for one in stages]
    assert [Instruction("ENV", "A=1     B=2")] == stages[0].steps
    assert [Instruction("RUN", "true &&   false")] == stages[1].steps


@pytest.mark.parametrize("path", sorted(DOCKERFILES.glob("*/Dockerfile")), ids=str)
def test_our_own_files_are_read(path: Path):
    """
    They use no instruction that the engine does not know.
    """
    _, stages = read_dockerfile(path.read_text())

    for stage in stages:
        config: dict[str, object] = {}
        for step in stage.steps:
            if step.word not in ("ARG", "COPY", "RUN"):
                apply_to_config(config, step, {})
        assert config


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("VOLUME /x", "the instruction VOLUME is none of"),
        ("RUN true", "there is no FROM before it"),
        ("ARG X", "has no FROM"),
        ("FROM a b c", "an image, or an image and AS"),
    ],
)
def test_what_cannot_be_read_is_an_error(text: str, words: str):
    """
    It names the instruction.
    """
    with pytest.raises(ValueError, match=words):
        read_dockerfile(text)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("$A/${A}", "1/1"),
        ("${B:-x}${A:-x}", "x1"),
        ("${B:+x}${A:+x}", "x"),
        (r"\$A $B", "$A "),
    ],
)
def test_variables_are_replaced(text: str, value: str):
    """
    As Docker does it.
    """
    assert value == expand(text, {"A": "1"})


def test_the_configuration_follows_the_instructions():
    """
    Pairs are added, a relative directory is below the last one, and commands have two forms.
    """
    config = read_changes(
        [
            "ENV PATH=/bin A=1",
            "ENV A=2",
            'LABEL "a.b"="two words"',
            "WORKDIR /one",
            "WORKDIR two",
            'CMD ["bash", "--login"]',
            "ENTRYPOINT []",
            "USER root",
        ]
    )

    assert config == {
        "Env": ["PATH=/bin", "A=2"],
        "Labels": {"a.b": "two words"},
        "WorkingDir": "/one/two",
        "Cmd": ["bash", "--login"],
        "Entrypoint": [],
        "User": "root",
    }
    assert ["/bin/sh", "-c", "echo [x]"] == read_command("echo [x]")

"""Tests of the versions of runtimes that a tree asks for."""

from __future__ import annotations

import json

import pytest

from . import whole


def engines(text: str) -> dict[str, str]:
    return {"package.json": json.dumps({"engines": {"node": text}})}


def requires(text: str) -> dict[str, str]:
    return {"pyproject.toml": f"[project]\nrequires-python = '{text}'\n"}


CASES = [
    ({".nvmrc": "v22.3.0\n"}, {"node": "22"}),
    ({".nvmrc": "22"}, {"node": "22"}),
    ({".nvmrc": "lts/iron"}, {}),
    ({".nvmrc": "20.1"}, {}),
    ({".node-version": "18"}, {"node": "18"}),
    ({".python-version": "3.11.4\n3.10\n"}, {"python": "3.11"}),
    ({".python-version": "3.12"}, {}),
    ({".python-version": "pypy3.10"}, {}),
    ({".tool-versions": "# x\nnodejs 22.1.0\npython 3.13 # y\nerlang 26\n", ".nvmrc": "18"},
     {"node": "22", "python": "3.13"}),
    ({"mise.toml": "[tools]\nnode = '24'\njava = 'temurin-17'\n"}, {"node": "24", "java": "17"}),
    ({".java-version": "1.8"}, {}),
    ({".java-version": "17.0.2"}, {"java": "17"}),
    ({".sdkmanrc": "java=17.0.2-tem\n"}, {"java": "17"}),
    ({"package.json": '{"volta": {"node": "22.1.0"}, "engines": {"node": "18"}}'}, {"node": "22"}),
    ({"package.json": '{"packageManager": "pnpm@11.1.0", "engines": {}}'}, {"node": "24"}),
    ({"package.json": '{"packageManager": "pnpm@10.1.0"}'}, {}),
    (engines(">=18"), {}),
    (engines(">=20.3.0 <23"), {}),
    (engines("^22.0.0"), {"node": "22"}),
    (engines("22.x"), {"node": "22"}),
    (engines(">=21"), {"node": "24"}),
    (engines("18 || 22"), {"node": "22"}),
    (engines("21 - 23"), {"node": "22"}),
    (engines("^99"), {}),
    (engines("what ever"), {}),
    (requires(">=3.9"), {}),
    (requires(">=3.13"), {"python": "3.14"}),
    (requires("<3.12,>=3.8"), {"python": "3.11"}),
    (requires("~=3.10"), {}),
    (requires("==3.11.*"), {"python": "3.11"}),
    (requires("!=3.12.*,>=3.10"), {"python": "3.14"}),
    (requires(">3.12.1"), {}),
    (requires("~=3.13.0"), {"python": "3.13"}),
    (requires("<4,>=3.10"), {}),
]  # fmt: skip


@pytest.mark.parametrize(("files", "versions"), CASES)
def test_versions_that_differ_from_the_defaults_are_chosen(
    files: dict[str, str], versions: dict[str, str]
) -> None:
    """
    As far as Codex is known to have them. What the default satisfies needs no choice.
    """
    assert versions == {one.name: one.value for one in whole(files).runtimes}


@pytest.mark.parametrize(
    ("files", "words"),
    [
        ({".python-version": "3.9"}, "asks for python 3.9, but of Codex's versions is known: 3.10"),
        ({".nvmrc": "16"}, "asks for node 16, but of Codex's versions is known: 18, 20, 22, 24"),
        (
            {".ruby-version": "ruby-3.2.1"},
            "is known: 3.4.4; if others are there, `runtimes: {ruby: 3.2.1}` in",
        ),
        ({"Gemfile": "ruby '3.2.1'"}, "asks for ruby 3.2.1"),
        ({"rust-toolchain.toml": "[toolchain]\nchannel = '1.80.0'"}, "asks for rust 1.80.0"),
        ({"rust-toolchain": "1.80.0"}, "asks for rust 1.80.0"),
    ],
)
def test_a_version_that_codex_may_not_have_is_left_to_a_person(
    files: dict[str, str], words: str
) -> None:
    """
    Setup would end at one that is not there.
    """
    draft = whole(files)

    assert [] == draft.runtimes
    assert words in draft.hints[0].text


@pytest.mark.parametrize("channel", ["stable", "nightly-2025-01-01"])
def test_a_channel_is_no_version(channel: str) -> None:
    """
    rustup installs it.
    """
    draft = whole({"rust-toolchain.toml": f"[toolchain]\nchannel = '{channel}'"})

    assert [] == draft.runtimes + draft.hints


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ("package.json", '{"engines": {"node": ">=%s"}}'),
        ("package.json", '{"engines": {"node": "%s"}}'),
        ("pyproject.toml", '[project]\nrequires-python = ">=3.%s"\n'),
        (".nvmrc", "%s"),
        (".python-version", "3.%s"),
        ("pom.xml", "<release>%s</release>"),
        (".java-version", "%s"),
        ("Gemfile", "ruby '%s'"),
    ],
)
def test_numbers_of_very_many_digits(path: str, text: str) -> None:
    """
    Python does not read them; a draft is made all the same.
    """
    whole({path: text % ("9" * 5000)})

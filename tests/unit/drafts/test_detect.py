"""Tests of the draft of a whole tree."""

from __future__ import annotations

from . import whole


def test_a_repository_of_several_languages_has_all_of_them() -> None:
    """
    Each part names the file that it comes from. A tree of nothing that is known has no draft.
    """
    draft = whole(
        {
            "requirements.txt": "pytest",
            "web/package.json": '{"scripts": {"test": "jest"}, "dependencies": {"a": "1"}}',
            "web/package-lock.json": "",
            "go.mod": "",
            ".nvmrc": "22",
            "compose.yaml": "services:\n  a:\n    image: redis\n",
        }
    )

    sources = [one.source for one in draft.installs]
    assert ["requirements.txt", "web/package-lock.json", "go.mod"] == sources
    assert [".nvmrc"] == [one.source for one in draft.runtimes]
    assert 3 == len(draft.tests)
    assert draft
    assert not whole({"README.md": "", "main.c": ""})
    assert not whole({"Makefile": "test:\n"})

"""The pages of docs/reference, which `make reference` writes from the code."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import reference

import pytest_codex_workspace
from pytest_codex_workspace.options.table import OPTIONS

from ...helpers.console_blocks import every_page

DOCS = Path(__file__).resolve().parents[3] / "docs"


@pytest.mark.parametrize("page", reference.PAGES)
def test_the_page_is_what_the_code_says(page):
    """
    A change of the code that the page tells comes with `make reference`.
    """
    assert (DOCS / "reference" / page).read_text() == reference.PAGES[page]().rstrip() + "\n"


def test_the_page_of_options_has_each_with_its_default():
    """
    Also those of the profiles, and what the repository's file may do with it.
    """
    sections = re.split(r"^## ", reference.options(), flags=re.MULTILINE)[1:]
    found = {
        re.search("`--codex-(.*)`", one)[1]: re.search(r"Default: (?:`(.*?)`|none)", one)[1] or ""
        for one in sections
    }
    depth = next(one for one in sections if one.startswith("`--codex-git-depth`"))

    assert {one.name: one.default for one in OPTIONS} == found
    assert "- Default: `all`; profile `codex`: `100`; profile `current`: `100`\n" in depth
    assert "`git: {depth: ...}`: any value" in depth


@pytest.mark.parametrize("document", every_page(), ids=lambda one: one.name)
def test_tables_of_options_are_true(document):
    """
    A table that a page has of its own, with an option in the first column and its default in the
    second, names options that exist, with their defaults.
    """
    usual = {one.name: one.default for one in OPTIONS}
    wrong = []
    for table in re.findall(
        r"^\| option \| default \|.*\n((?:\|.*\n)+)", document.read_text(), re.M
    ):
        rows = re.findall(
            r"^\| \[?`--codex-([a-z-]+).*?`.*? \| *(?:`(.*?)`|(.*?)) *\|", table, re.M
        )
        assert len(rows) == table.count("\n") - 1
        wrong += [
            (name, default, words)
            for name, default, words in rows
            if usual.get(name) != default and not (words and usual.get(name) == "")
        ]

    assert [] == wrong


def test_the_api_has_what_the_package_exports():
    """
    Each name once, and no other.
    """
    text = (DOCS / "reference" / "api.md").read_text()

    assert sorted(pytest_codex_workspace.__all__) == sorted(
        re.findall(r"^\.\. auto\w+:: (\w+)", text, re.M)
    )


def test_what_looks_like_markup_is_none():
    """
    Texts of the command line are shown as they are, and a page that they name is a link.
    """
    text = "CODEX_X <FILE> `a_b` *; see docs/profiles.md"

    assert r"CODEX\_X \<FILE> `a_b` \*; see [profiles](../profiles.md)" == reference._prose(text)

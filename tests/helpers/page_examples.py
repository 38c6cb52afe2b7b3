"""
The examples of the documentation, found and run with Sybil.

Sybil and not pytest-examples: the examples of a page build on each other, as a reader takes them,
its errors have the lines of the page, and a comment in the page (`<!-- skip: next -->`,
`<!-- invisible-code-block: python`) makes what an example takes for granted. It is a library here,
and no collector, because the examples of a page share a workspace and tests run in any order.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

from sybil import Document, Example, Sybil
from sybil.evaluators.python import PythonEvaluator, pad
from sybil.parsers.markdown import CodeBlockParser, SkipParser

from .console_blocks import every_page
from .story import BROWSERS, CHECK_OF_ONES_OWN, STORIES

__all__ = ["PAGES", "parsed", "python_pages", "written_tests"]

PAGES = [
    page
    for page in every_page()
    # Tests of their own run these.
    if page not in (BROWSERS, CHECK_OF_ONES_OWN) and not any(page in story for story in STORIES)
]
"""The pages whose examples are run here."""

_TEST_FILE = re.compile(r"^(async )?def test_|^@pytest\.", re.MULTILINE)


def parsed(page: Path) -> Document:
    """
    Return a page, whose examples run in order when they are evaluated. One that is a test file is
    kept for `written_tests`.
    """
    return _sybil().parse(page)


# It looks for the file that makes it in each module that is imported.
@cache
def _sybil() -> Sybil:
    return Sybil([SkipParser(), CodeBlockParser("python", _evaluate)])


def python_pages() -> list[Path]:
    """
    Return the pages with an example that is no test file.
    """
    return [
        page
        for page in PAGES
        if page.name != "README.md" and any(not _is_test_file(one) for one in _python(page))
    ]


def written_tests() -> dict[str, str]:
    """
    Return the examples that are test files, by a name for each. Their lines have the numbers of
    the page.
    """
    return {
        f"test_{page.stem.replace('-', '_').lower()}_{one.line}.py": pad(
            one.parsed, one.line + one.parsed.line_offset
        )
        for page in PAGES
        for one in _python(page)
        if _is_test_file(one)
    }


def _python(page: Path) -> Iterator[Example]:
    return (
        one
        for one in parsed(page).examples()
        if one.region.evaluator is _evaluate and not _is_quoted(one)
    )


def _is_quoted(example: Example) -> bool:
    """
    Return whether an example is a piece of a file in examples/, which has tests of its own.
    """
    before = example.document.text[: example.region.start].splitlines()
    return bool(before) and before[-1].startswith("<!-- examples/")


def _is_test_file(example: Example) -> bool:
    return bool(_TEST_FILE.search(example.parsed))


def _evaluate(example: Example) -> None:
    if not _is_quoted(example) and not _is_test_file(example):
        PythonEvaluator()(example)

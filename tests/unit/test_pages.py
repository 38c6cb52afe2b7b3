"""What runs the examples of the pages of the documentation: tests/integration/test_examples.py."""

from __future__ import annotations

import ast
import re

import pytest

from ..helpers.console_blocks import ROOT
from ..helpers.page_examples import PAGES, parsed, python_pages, written_tests

PAGE = """\
A page.

```python
value = ws + 1
```

<!-- invisible-code-block: python
other = value
-->

```python
assert other == 3, "wrong"
```

```python
def test_it(codex_workspace):
    assert False
```
"""


@pytest.fixture
def page(tmp_path):
    """
    Return a page with two examples that are run, and one that is a test file.
    """
    where = tmp_path / "page.md"
    where.write_text(PAGE)
    return where


def run(page, **names):
    document = parsed(page)
    document.namespace.update(names)
    for example in document.examples():
        example.evaluate()


def test_the_examples_of_a_page_share_their_names(page):
    """
    As a reader takes them; a test file is not run there.
    """
    run(page, ws=2)


def test_a_wrong_example_fails_at_its_line(page):
    """
    The error names the page and the line.
    """
    with pytest.raises(AssertionError, match="wrong") as caught:
        run(page, ws=3)

    assert (str(page), 12) == (str(caught.traceback[-1].path), caught.traceback[-1].lineno + 1)


def test_each_block_of_python_is_found():
    """
    None is overlooked because of how it is written, and none is skipped.
    """
    texts = [page.read_text() for page in PAGES]
    blocks = sum(len(re.findall("^```python$", text, re.MULTILINE)) for text in texts)
    hidden = sum(text.count("<!-- invisible-code-block: python") for text in texts)
    found = sum(
        type(one.parsed).__name__ == "Lexeme" for page in PAGES for one in parsed(page).examples()
    )
    skipped = re.findall(r"<!-- skip: .*", "\n".join(texts))

    assert blocks + hidden == found
    assert len(python_pages()) >= 5
    assert len(written_tests()) >= 5
    assert skipped == []


@pytest.mark.parametrize("name", written_tests())
def test_a_test_file_is_one(name):
    """
    It can be compiled, and has a test, so that the run with the engine runs something of it.
    """
    tree = ast.parse(written_tests()[name])

    assert any(
        isinstance(one, ast.FunctionDef) and one.name.startswith("test_") for one in tree.body
    )


@pytest.mark.parametrize("name", ["README", "CONTRIBUTING", "SECURITY", "CHANGELOG"])
def test_links_of_the_files_beside_the_site_lead_somewhere(name):
    """
    To a file that exists, and a heading that it has. `make docs` checks those of the site.
    """
    found = re.findall(
        r"\]\((?!https?:|mailto:)([^)#\s]*)#?([^)\s]*)\)", (ROOT / f"{name}.md").read_text()
    )
    missing = [
        (path, heading) for path, heading in found if not _exists(path or f"{name}.md", heading)
    ]

    assert [] == missing


def _exists(path, heading):
    where = ROOT / path
    if not heading:
        return where.exists()
    headings = re.findall("^#+ (.*)$", where.read_text(), re.MULTILINE)
    return heading in {re.sub(r"[^\w -]", "", one.lower()).replace(" ", "-") for one in headings}

"""What runs the pages that are stories: tests/helpers/story.py."""

from __future__ import annotations

import os

import pytest

from ..helpers.console_blocks import Command, matches
from ..helpers.story import STORIES, steps, typed

PAGE = """\
The first file is `notes/one.txt`:

```text
one
```

and it is there, with `cat`:

```console
$ cat notes/one.txt
one
$ ls missing || echo none
...
none
```
"""


def test_files_are_written_and_commands_are_found(tmp_path):
    """
    Each command with the line of the page and what the page shows.
    """
    page = tmp_path / "page.md"
    page.write_text(PAGE)

    assert [
        Command(page, 10, "cat notes/one.txt", "one\n"),
        Command(page, 12, "ls missing || echo none", "...\nnone\n"),
    ] == list(steps(page, tmp_path))
    assert (tmp_path / "notes/one.txt").read_text() == "one\n"


@pytest.mark.needs_bash
def test_a_page_that_is_wrong_is_found(tmp_path):
    """
    What a command prints is compared, errors included.
    """
    page = tmp_path / "page.md"
    page.write_text(PAGE.replace("one\n$", "two\n$"))
    first, second = steps(page, tmp_path)

    assert not matches(first.shown, typed(first, tmp_path, os.environ))
    assert matches(second.shown, typed(second, tmp_path, os.environ))


def test_every_page_of_the_tutorial_is_told():
    """
    And each page that is told is there.
    """
    told = {page for story in STORIES for page in story}

    assert {page for page in told if not page.is_file()} == set()
    assert set(STORIES[0][0].parent.glob("*.md")) <= told

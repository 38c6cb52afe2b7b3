"""The examples of docs/handle.md run as they are written."""

from __future__ import annotations

import re
from pathlib import Path

PAGE = Path(__file__).parents[2] / "docs" / "handle.md"


def test_every_example_runs(plain):
    """
    Each block of Python, one after another, in one workspace.
    """
    page = PAGE.read_text()
    found = re.finditer(r"```python\n(.*?)```", page, re.DOTALL)
    blocks = [(match.start(1), match[1]) for match in found]
    assert len(blocks) >= 7
    for start, block in blocks:
        # The line numbers of the page.
        lines = "\n" * page.count("\n", 0, start)
        exec(compile(lines + block, str(PAGE), "exec"), {"ws": plain})

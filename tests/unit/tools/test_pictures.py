"""The pictures of the documentation, which `tools/pictures` makes."""

from __future__ import annotations

import re
from pathlib import Path
from xml.etree import ElementTree

import pytest

ROOT = Path(__file__).resolve().parents[3]
PICTURES = ROOT / "docs/pictures"


def test_the_picture_of_the_report_is_small():
    """
    A reader of the documentation loads it.
    """
    data = (PICTURES / "report.png").read_bytes()
    assert data.startswith(b"\x89PNG")
    assert len(data) < 200_000


def test_the_picture_of_a_failure_loads_nothing():
    """
    It is text, with the reason and what to do.
    """
    text = (PICTURES / "failure.svg").read_text()
    words = "".join(ElementTree.fromstring(text).itertext()).replace("\xa0", " ")
    assert "to allow what was blocked" in words
    assert not re.search(r"url\((?!#)|<script|(href|src)=", text)


@pytest.mark.parametrize("picture", sorted(one.name for one in PICTURES.iterdir()))
def test_each_picture_is_used_and_described(picture):
    """
    With a text in its place for who does not see it.
    """
    documents = [ROOT / "README.md", *(ROOT / "docs").glob("*.md")]
    found = re.compile(rf"!\[[^\]]{{20,}}\]\((docs/)?pictures/{re.escape(picture)}\)")
    assert any(found.search(one.read_text()) for one in documents)

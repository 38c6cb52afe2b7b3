"""The table of checks, and findings."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from pytest_codex_workspace.checks.finding import (
    ADDED_ID,
    CHECKS,
    LEVELS,
    READ,
    RUN,
    Check,
    Finding,
)


def test_each_id_is_there_once():
    """
    No two kinds of findings have one id, and ids are plain words.
    """
    every = [*READ, *RUN]

    assert len(every) == len(CHECKS)
    assert [] == [one.id for one in every if not re.fullmatch(r"[a-z]+(-[a-z]+)*", one.id)]
    assert {one.level for one in every} <= set(LEVELS)
    assert [] == [one.id for one in every if one.title.endswith(".") or not one.title]


def test_a_finding_has_the_level_of_its_check():
    """
    Without a level of its own, a finding has that of its check.
    """
    usual = Finding.of("git-tags", "what", "codex", "remedy")
    other = Finding.of("git-tags", "what", "codex", "remedy", level="note")

    assert "warning" == usual.level == CHECKS["git-tags"].level
    assert "note" == other.level
    assert CHECKS["git-tags"].title == usual.title


@pytest.mark.parametrize(
    ("path", "line", "expected"), [(None, None, ""), ("a.py", None, "a.py"), ("a.py", 3, "a.py:3")]
)
def test_where(path, line, expected):
    """
    The place is written as compilers do.
    """
    assert expected == Finding.of("docker", "w", "c", "r", path=path, line=line).where


def test_an_unknown_id_is_refused():
    """
    What is not in the table cannot be found.
    """
    with pytest.raises(KeyError):
        Finding.of("nonsense", "w", "c", "r")


def test_each_id_has_a_section():
    """
    docs/checks.md explains each id in a section of its own, and no other.
    """
    page = (Path(__file__).parents[3] / "docs" / "checks.md").read_text("utf-8")
    sections = re.split(r"^## ", page, flags=re.MULTILINE)[1:]
    explained = {
        one.partition("\n")[0]: one for one in sections if re.match(r"[a-z]+(-[a-z]+)*\n", one)
    }

    assert len(sections) == len({one.partition("\n")[0] for one in sections})
    assert set(CHECKS) == set(explained)
    assert [] == [name for name, text in explained.items() if "**Fix**" not in text]
    assert [] == [name for name, text in explained.items() if "**In Codex**" not in text]


def test_the_texts_have_a_bound():
    """
    They may repeat what is in a repository.
    """
    long = "x" * 1_000_000

    one = Finding.of("docker", f"first {long} last", long, long)

    assert one.what.startswith("first ")
    assert one.what.endswith(" last")
    assert len(one.what + one.in_codex + one.remedy) <= 6_000


def test_a_finding_of_another_distribution_keeps_its_title_between_processes():
    """
    Only the process that has imported the check knows it otherwise.
    """
    check = Check("acme.pinned-image", "note", "An image has no version", lambda tree: ())

    found = check.finding("what", "codex", "remedy", path="Dockerfile", line=1)

    assert ("acme.pinned-image", "note", "An image has no version") == (
        found.id,
        found.level,
        found.title,
    )
    assert found == Finding.from_dict({"title": found.title, **found.to_dict()})
    assert "error" == check.finding("what", "codex", "remedy", level="error").level


def test_ours_are_not_called_like_those_of_others():
    """
    So that a new check of ours never has the id of somebody else's.
    """
    assert [] == [one for one in CHECKS if re.fullmatch(ADDED_ID, one)]

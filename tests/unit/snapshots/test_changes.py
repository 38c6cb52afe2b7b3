"""Tests of the changes that tests look at."""

from __future__ import annotations

import pytest

from pytest_codex_workspace.snapshots.changes import FileChange, FileChanges

LOCK = FileChange("package-lock.json", "changed", 1200, "diff --git a/x b/x\n")
DEEP = FileChange("src/app/main.py", "added", 3)
GONE = FileChange("docs", "removed", 0)


def test_changes_are_a_sequence():
    """
    With a length, items, slices and a short representation.
    """
    found = FileChanges([LOCK, DEEP, GONE], "the commit abc", more=2)

    assert (len(found), found[0], list(found[1:])) == (3, LOCK, [DEEP, GONE])
    assert (found.truncated, found.more) == (True, 2)
    assert not FileChanges([LOCK], "the commit abc").truncated
    assert LOCK.text().startswith("diff --git")
    assert repr(found) == (
        "<FileChanges since the commit abc: M package-lock.json (1.2 kB), A src/app/main.py (3 B), "
        "D docs, and 2 others>"
    )
    assert found.lines(1) == ["M package-lock.json (1.2 kB)", "and 4 others"]


def test_a_name_is_shown_without_control_characters():
    """
    The workspace has chosen it.
    """
    assert (
        str(FileChange("a\x1b]0;x\x07\udc80", "added", 1)) == "A a\N{REPLACEMENT CHARACTER} (1 B)"
    )


@pytest.mark.parametrize(
    ("glob", "named"),
    [
        ("package-lock.json", [LOCK]),
        ("*.json", [LOCK]),
        ("main.py", [DEEP]),
        ("app", [DEEP]),
        ("src/", [DEEP]),
        ("/src/app", [DEEP]),
        ("src/*.py", []),
        ("src/*/*.py", [DEEP]),
        ("src/**/*.py", [DEEP]),
        ("**/main.py", [DEEP]),
        ("src/**", [DEEP]),
        ("src/**/**/app/**", [DEEP]),
        ("**/src/**/x", []),
        ("/package*", [LOCK]),
        ("/main.py", []),
        ("m[a-c]i?.py", [DEEP]),
        ("m[!a-c]i?.py", []),
        ("docs/index.md", [GONE]),
        ("docs/**/*.md", [GONE]),
        ("do*/x/y", [GONE]),
        ("doc", []),
        ("[", []),
        ("[z-a]", []),
        ("", []),
    ],
)
def test_which_files_a_glob_names(glob, named):
    """
    As in `.gitignore`; and what was removed with its directory.
    """
    for one in (LOCK, DEEP, GONE):
        changes = FileChanges([one], "the commit abc")
        if one in named:
            with pytest.raises(AssertionError, match="should be unchanged since the commit abc"):
                changes.assert_unchanged("no-such-file", glob)
        else:
            changes.assert_unchanged("no-such-file", glob)


def test_what_is_said_of_changes():
    """
    The files, and what was asked for.
    """
    with pytest.raises(AssertionError) as caught:
        FileChanges([LOCK, DEEP], "the commit abc").assert_unchanged("*.json", "*.lock")
    assert str(caught.value) == (
        "'*.json' or '*.lock' should be unchanged since the commit abc, but 1 file changed:\n"
        "  M package-lock.json (1.2 kB)"
    )
    with pytest.raises(AssertionError, match=r"^nothing should have changed .* but 2 files did:"):
        FileChanges([LOCK, DEEP], "the commit abc").assert_unchanged()


def test_too_many_changes_are_not_taken_for_none():
    """
    What could not be listed may have changed.
    """
    with pytest.raises(AssertionError, match=r"'x' .* is not known: 7 changes of 8 could not be"):
        FileChanges([LOCK], "the commit abc", more=7).assert_unchanged("x")
    FileChanges([LOCK], "the commit abc", truncated=True).assert_unchanged("x")

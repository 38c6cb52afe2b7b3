"""The program that compares files in a workspace, on this machine."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

from pytest_codex_workspace.in_container import compare_files


def test_how_files_differ(tmp_path, monkeypatch):
    """
    What is added, removed, changed, and longer at its end; caches and packages do not count.
    """
    tree, noted = tmp_path / "tree", tmp_path / "noted"
    (tree / "node_modules").mkdir(parents=True)
    scandir = os.scandir
    monkeypatch.setattr(os, "scandir", lambda path: scandir(tree if path == "/" else path))
    monkeypatch.setattr(compare_files, "SKIPPED_PATHS", frozenset())
    for name in ("same", "gone", "changed", "grown", "node_modules/x", "a.pyc"):
        (tree / name).write_text("1\n")
    (tree / "link").symlink_to("same")
    compare_files.remember(0.0, str(noted))
    (tree / "gone").unlink()
    (tree / "changed").write_text("2\n")
    (tree / "grown").write_text("1\nand more\n")
    (tree / "new").write_text("1\n")
    (tree / "link").unlink()
    (tree / "link").symlink_to("new")
    for name in ("node_modules/x", "a.pyc"):
        (tree / name).write_text("2\n")

    found = compare_files.compare(0.0, str(noted))

    assert {Path(path).name: what for what, path in found["changes"]} == {
        "gone": "removed",
        "changed": "changed",
        "grown": "longer",
        "new": "added",
        "link": "changed",
    }
    assert found["more"] == 0


def test_it_is_one_file_for_old_pythons(tmp_path):
    """
    It runs without this package.
    """
    program, noted = Path(compare_files.__file__).read_text(), str(tmp_path / "noted")
    start = (
        "import os, sys; os.scandir = lambda _: []; exec(compile(sys.argv.pop(1), 'it', 'exec'))"
    )
    for word, said in (("remember", {}), ("compare", {"changes": [], "more": 0})):
        result = subprocess.run(
            [sys.executable, "-I", "-c", start, program, word, "0", noted],
            capture_output=True,
            check=True,
        )

        assert json.loads(result.stdout) == said

"""Tests of the program that describes files, on this machine."""

from __future__ import annotations

import hashlib
import json
import os
import stat
import subprocess
import sys
from pathlib import Path

from pytest_codex_workspace.in_container import describe_files


def test_what_is_told_of_files(tmp_path):
    """
    Whatever has a type of its own is told by it, only files are read, and what is not there is left
    out.
    """
    file, link, pipe = tmp_path / "file", tmp_path / "link", tmp_path / "pipe"
    file.write_bytes(b"content")
    file.chmod(0o640)
    link.symlink_to("nowhere")
    os.mkfifo(pipe)
    program = Path(describe_files.__file__).read_text()
    paths = [str(one) for one in (file, link, pipe, tmp_path, tmp_path / "gone")]

    done = subprocess.run(
        [sys.executable, "-I", "-c", program],
        input=json.dumps({"paths": [*paths, "nul\0"]}).encode(),
        capture_output=True,
        check=True,
    )

    found = json.loads(done.stdout)
    own = [os.getuid(), os.getgid()]
    digest = hashlib.sha256(b"content").hexdigest()
    assert found[str(file)] == [stat.S_IFREG, 0o640, *own, 7, digest]
    assert found[str(link)][4:] == [0, "nowhere"]
    assert found[str(pipe)][0] == stat.S_IFIFO
    assert (found[str(tmp_path)][0], found[str(tmp_path)][5]) == (stat.S_IFDIR, "file/link/pipe")
    assert len(found) == 4


def test_a_huge_file_is_not_read(tmp_path, monkeypatch):
    """
    Its size and time stand for its content.
    """
    monkeypatch.setattr(describe_files, "LARGEST_HASHED", 3)
    file = tmp_path / "file"
    file.write_bytes(b"content")
    os.utime(file, (5, 5.5))

    assert describe_files.describe([str(file)])[str(file)][4:] == [7, "5"]


def test_a_huge_directory_has_no_names(tmp_path, monkeypatch):
    """
    They would not fit into the answer.
    """
    monkeypatch.setattr(describe_files, "MOST_NAMES", 1)
    for name in "ab":
        (tmp_path / name).touch()

    assert describe_files.describe([str(tmp_path)])[str(tmp_path)][5] == ""


def test_what_has_changed_since_a_time(tmp_path):
    """
    New files, files with other properties or an older time of their own, and directories of which
    something was removed.
    """
    for name in ("old/kept", "old/inner/x", "shrunk/gone", "mode", "touched"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("1")
    newest = max(one.lstat().st_ctime_ns for one in tmp_path.rglob("*"))
    mark = tmp_path / "mark"
    while not mark.exists() or mark.lstat().st_ctime_ns <= newest:
        mark.unlink(missing_ok=True)
        mark.touch()
    since = mark.lstat().st_ctime_ns
    (tmp_path / "shrunk/gone").unlink()
    (tmp_path / "mode").chmod(0o600)
    os.utime(tmp_path / "touched", (5, 5))
    (tmp_path / "new").mkdir()
    (tmp_path / "new/x").write_text("1")

    found = describe_files.recent(since, 100, str(tmp_path))

    top = str(tmp_path)
    names = ["mark", "mode", "new", "new/x", "shrunk", "touched"]
    assert found == [top, *(f"{top}/{name}" for name in names)]
    assert len(describe_files.recent(since, 2, top)) == 3


def test_each_question_has_an_answer(monkeypatch):
    """
    The start of the first process is by the clock of files.
    """
    now = describe_files.time.time_ns()

    assert 0 < describe_files.reply({}) < now
    monkeypatch.setattr(describe_files, "recent", lambda *words: list(words))
    assert describe_files.reply({"since": 15, "most": 3}) == [15, 3]

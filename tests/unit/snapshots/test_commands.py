"""Tests of the programs that a workspace is asked to run."""

from __future__ import annotations

import json
from pathlib import Path

from pytest_codex_workspace.in_container import describe_files
from pytest_codex_workspace.snapshots.commands import ask, error_text

from ...helpers.local_agent import local_channel
from .test_work_tree import Answering


def test_a_program_is_sent_with_its_limits():
    """
    It is apart from the project: nothing of that is imported, and nothing is written beside it.
    """
    commands = Answering(b"5")

    assert ask(commands, "describe_files.py", "word", stdin="{}").stdout_bytes == b"5"

    text = Path(describe_files.__file__).read_text()
    assert commands.asked["argv"] == ["python3", "-I", "-B", "-c", text, "word"]
    assert (commands.asked["cwd"], commands.asked["input"]) == ("/", "{}")
    assert 0 < commands.asked["timeout"] <= 600
    assert 0 < commands.asked["limit"] <= 64 << 20


def test_a_program_answers(tmp_path):
    """
    By the agent, as in a workspace.
    """
    (tmp_path / "file").write_text("x")
    with local_channel() as channel:
        said = ask(channel, "describe_files.py", stdin=json.dumps({"paths": [str(tmp_path)]}))

    assert list(json.loads(said.stdout_bytes)) == [str(tmp_path)]


def test_an_error_is_bounded_and_printable():
    """
    The workspace has chosen them.
    """
    said = Answering(b"", b"x" * 5000 + b"\x1b]0;no\x07end\n").run([])

    assert error_text(said).endswith("end")
    assert len(error_text(said)) <= 1000
    assert "\x1b" not in error_text(said)

"""Tests of reading the text of a script that a user gives."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest

from pytest_codex_workspace.errors import ConfigError
from pytest_codex_workspace.options import script_text
from pytest_codex_workspace.options.config import Config
from pytest_codex_workspace.options.script_text import StandardInput, read_script
from pytest_codex_workspace.options.table import OPTIONS


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (b"", "is empty"),
        (b" \n\t\n", "is empty"),
        (b"echo \0\n", "is not text"),
        (b"\x7fELF\xff\xfe", "is not text"),
        ("echo é\n".encode("latin-1"), "is not text"),
        (b"set -e\r\nmake\r\n", "line 1 ends in CRLF"),
        (b"set -e\nmake\r\n", "line 2 ends in CRLF"),
        (b"\xef\xbb\xbfset -e\n", "byte order mark"),
    ],
)
@pytest.mark.parametrize("option", ["setup_script", "maintenance_script"])
def test_a_text_that_bash_cannot_run_is_refused(tmp_path: Path, option, text, words):
    """
    With the option, the path, and what to do.
    """
    path = tmp_path / "my setup.sh"
    path.write_bytes(text)

    with pytest.raises(ConfigError, match=words) as caught:
        Config.of({option: str(path)})

    assert f"--codex-{option.replace('_', '-')}={path}: " in caught.value.message
    assert caught.value.remedy


def test_a_path_that_is_no_readable_file_is_refused(tmp_path: Path, monkeypatch):
    """
    A pipe is not waited for.
    """
    os.mkfifo(tmp_path / "pipe")
    for name, words in (
        (tmp_path / "none.sh", "there is no such file"),
        (tmp_path, "is a directory"),
        (tmp_path / "pipe", "is not a regular file"),
        ("~nobody-here/x", "cannot be read"),
        ("a\0b", "cannot be read"),
        (tmp_path / ("x" * 300), "cannot be read: File name too long"),
    ):
        with pytest.raises(ConfigError, match=words) as caught:
            read_script(str(name), "--setup-script")
        assert caught.value.remedy

    def refuse(*_):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(script_text.os, "open", refuse)
    with pytest.raises(ConfigError, match="cannot be read: Permission denied"):
        read_script(__file__, "--setup-script")


def test_a_script_is_read_to_its_limit(tmp_path: Path):
    """
    More than a MiB is refused, and not read.
    """
    path = tmp_path / "s.sh"
    path.write_bytes(b"#" * (1 << 20))
    assert len(read_script(str(path), "x").text) == 1 << 20

    os.truncate(path, 1 << 33)
    with pytest.raises(ConfigError, match="is larger than 1 MiB"):
        read_script(str(path), "x")


def test_standard_input_is_read_once(monkeypatch):
    """
    Whoever asks again gets the same, and so does a process that was given it.
    """
    reading, writing = os.pipe()
    os.write(writing, b"make\n")
    os.close(writing)
    saved = os.dup(0)
    try:
        os.dup2(reading, 0)
        one = StandardInput()
        found = [read_script("-", "x", one) for _ in range(2)]
    finally:
        os.dup2(saved, 0)
        os.close(saved)
        os.close(reading)

    assert [each.text for each in found] == [b"make\n"] * 2
    other = StandardInput()
    other.give(one.content)
    assert read_script("-", "x", other) == found[0]


def test_standard_input_that_is_not_there_is_refused(monkeypatch):
    """
    As is one that would be read for a second script.
    """
    monkeypatch.setattr(script_text.sys, "stdin", None)
    with pytest.raises(ConfigError, match="standard input cannot be read: Bad file descriptor"):
        read_script("-", "x", StandardInput())
    with pytest.raises(ConfigError, match="only the setup script can be read from standard input"):
        Config.of({"maintenance_script": "-"})


def test_the_scripts_of_a_run_are_read_with_its_options(tmp_path: Path, monkeypatch):
    """
    What happens to the file later does not matter.
    """
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "s.sh"
    path.write_text("make setup\n")
    config = Config.of({"setup_script": "s.sh", "maintenance_script": "s.sh"})
    path.unlink()

    assert config.scripts.texts == (b"make setup\n",) * 2
    assert config.setup_script is not None
    assert config.setup_script.name == "s.sh"
    assert "make setup" not in repr(config)
    assert Config().scripts.texts == ()


def test_the_options_are_those_of_the_user():
    """
    A repository's file cannot set them; `-` is no path that begins somewhere.
    """
    found = {one.name: one for one in OPTIONS if re.search("(setup|maintenance)-script", one.name)}

    assert [one.place for one in found.values()] == [None, None]
    assert found["setup-script"].is_path("x.sh")
    assert not found["setup-script"].is_path("-")

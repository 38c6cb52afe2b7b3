"""The archive of a bug report."""

from __future__ import annotations

import json
import os
import stat
import tarfile

import pytest

from pytest_codex_workspace.debugging import bug_report
from pytest_codex_workspace.debugging.bug_report import logs_beside, write_bug_report
from pytest_codex_workspace.debugging.debug_file import FIRST_LINE
from pytest_codex_workspace.doctor.result import NamedResult, ok
from pytest_codex_workspace.errors import ConfigError
from pytest_codex_workspace.options.config import Config


@pytest.fixture(autouse=True)
def _machine(monkeypatch):
    """
    Stand for an engine and a doctor, which tells a secret.
    """
    result = NamedResult("machine", "disk", ok("free, says https://me:pw@host.test"))
    monkeypatch.setattr(bug_report, "engine_facts", lambda _: {"name": "fake"})
    monkeypatch.setattr(bug_report, "doctor_results", lambda *_: iter([result]))


def log(path, text=""):
    path.write_text(f"{FIRST_LINE}\n{text}\n")
    return path


def read(path):
    with tarfile.open(path) as archive:
        return {
            one.name.rpartition("/")[2]: archive.extractfile(one).read().decode() for one in archive
        }


def test_the_archive_has_what_it_says_and_no_secrets(tmp_path, monkeypatch):
    """
    Also of a log that was written before a value was known to be secret. Only its owner can read
    it.
    """
    monkeypatch.setenv("MY_TOKEN", "token-value")
    path = tmp_path / "report.tar.gz"
    logs = [log(tmp_path / "debug.log", "has token-value")]

    sizes = write_bug_report(path, Config(env={"A": "value-of-a"}), logs, ConfigError("bad option"))

    files = read(path)
    names = ["README.txt", "versions.json", "doctor.json", "options.json", "debug.log"]
    assert names == list(files) == list(sizes)
    assert 0o600 == stat.S_IMODE(path.stat().st_mode)
    text = "".join(files.values())
    assert not [one for one in ("token-value", "me:pw", "value-of-a") if one in text]
    assert f"{FIRST_LINE}\nhas ***\n" == files["debug.log"]
    assert "fake" == json.loads(files["versions.json"])["engine"]["name"]
    assert "ok" == json.loads(files["doctor.json"])[0]["status"]
    assert "bad option" == json.loads(files["options.json"])["problem"]
    assert "Look through all of it" in files["README.txt"]


def test_logs_of_workers_belong_to_it(tmp_path):
    """
    Those of an earlier run, and files beside it that are no debug logs, do not.
    """
    first = log(tmp_path / "debug.log", "began: 2026-11-30 11:20:51 UTC (1000)")
    worker = log(tmp_path / "debug.log.gw0")
    os.utime(log(tmp_path / "debug.log.gw1"), (999, 999))
    (tmp_path / "debug.log.txt").write_text("of somebody")
    log(tmp_path / "other.log")

    assert [first, worker] == logs_beside(first)


def test_only_debug_logs_are_packed(tmp_path):
    """
    And no archive is left of a report that fails.
    """
    other = tmp_path / ".env"
    other.write_text("TOKEN=x")
    os.mkfifo(tmp_path / "pipe")
    path = tmp_path / "report.tar.gz"

    with pytest.raises(ConfigError, match="is not a debug log, so it is not packed"):
        logs_beside(other)
    with pytest.raises(ConfigError, match="is not a debug log, so it is not packed"):
        logs_beside(tmp_path / "pipe")
    with pytest.raises(ConfigError, match="is not a debug log"):
        write_bug_report(path, Config(), [other])
    with pytest.raises(ConfigError, match=r"cannot be read.*--log"):
        logs_beside(tmp_path / "missing")
    assert not path.exists()


def test_nothing_is_overwritten(tmp_path):
    """
    The error says what to do.
    """
    path = tmp_path / "report.tar.gz"
    path.write_text("mine")

    with pytest.raises(ConfigError, match=r"report\.tar\.gz: File exists.* -o"):
        write_bug_report(path, Config(), [])

    assert "mine" == path.read_text()


def test_an_archive_that_fails_is_removed(tmp_path, monkeypatch):
    """
    Half a report looks like a whole one.
    """

    def fail(*_):
        raise RuntimeError

    monkeypatch.setattr(bug_report, "doctor_results", fail)

    with pytest.raises(RuntimeError):
        write_bug_report(tmp_path / "report.tar.gz", Config(), [])

    assert [] == list(tmp_path.iterdir())

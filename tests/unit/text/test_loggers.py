"""The loggers of the package: silent, free when nobody listens, and safe when somebody does."""

from __future__ import annotations

import logging
import re
import subprocess
import sys
from pathlib import Path

import pytest

import pytest_codex_workspace
from pytest_codex_workspace.secrets.redaction import Redaction
from pytest_codex_workspace.text.loggers import LONGEST, TOP, clean, hide, logger_of, one_line

LOG = logger_of(f"{TOP}.some.module")


class Untouched:
    """
    An argument that fails the test if anybody formats it.
    """

    def __str__(self):
        raise AssertionError("formatted")

    __repr__ = __str__


def test_nothing_is_formatted_unless_somebody_listens(monkeypatch):
    """
    Without a handler, no record is made: what is off costs a comparison of two numbers.
    """
    monkeypatch.setattr(LOG, "makeRecord", lambda *_: pytest.fail("a record was made"))

    LOG.debug("%s", Untouched())


def test_nothing_is_printed_by_default():
    """
    Not even a warning, for which logging has a last resort.
    """
    code = (
        "from pytest_codex_workspace.text.loggers import logger_of\n"
        "logger_of('pytest_codex_workspace.x').warning('seen?')"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert ("", "") == (done.stdout, done.stderr)


def test_pytest_gets_records(caplog):
    """
    By the level that its user chooses, under the name of the module.
    """
    with caplog.at_level(logging.DEBUG):
        LOG.debug("asked %s: %d", "it", 3)

    assert [(f"{TOP}.some.module", logging.DEBUG, "asked it: 3")] == caplog.record_tuples


def test_untrusted_text_is_one_line_without_control_characters(caplog):
    """
    It can neither begin a line that looks like ours nor change a terminal.
    """
    with caplog.at_level(logging.DEBUG):
        LOG.debug("said: %s", "a\n12:00 DEBUG session: all is well\x1b[2J\r\u202e\udc80\u00e9")

    (said,) = caplog.messages
    assert r"said: a\n12:00 DEBUG session: all is well\x1b[2J\r\u202e\udc80é" == said
    assert "plain" == one_line("plain")


def test_secrets_are_removed_for_every_handler(caplog):
    """
    Values that are known, in all their forms and over the end of a line, and credentials by form.
    """
    values = Redaction(["hunter22\nsecond-line-of-it"])
    hide(values)
    with caplog.at_level(logging.DEBUG):
        LOG.debug("%s and %s", "hunter22\nsecond-line-of-it", "https://me:pw@host.test")

    assert ["*** and https://***@host.test"] == caplog.messages
    del values


def test_a_record_that_cannot_be_shown_ends_nothing(caplog):
    """
    What is logged goes on; the line says whose message is missing.
    """
    with caplog.at_level(logging.DEBUG):
        LOG.debug("%s", Untouched())

    (said,) = caplog.messages
    assert re.fullmatch(r"not shown: AssertionError in test_loggers\.py:\d+", said)


def test_half_a_secret_at_the_end_is_cut():
    """
    Long messages are cut before they are searched, and again afterwards.
    """
    values = Redaction(["s3cr3t-value"])
    hide(values)

    found = clean("x" * (2 * LONGEST - 6) + "s3cr3t-value")

    assert "s3cr" not in found
    assert len(found) < LONGEST + 20
    del values


def test_only_this_module_makes_loggers():
    """
    Any other logger would show what it gets as it is.
    """
    package = Path(pytest_codex_workspace.__file__).parent
    # Programs in containers have none of ours; an installed wheel has them in `_resources`.
    makers = {
        path.relative_to(package).as_posix()
        for path in package.rglob("*.py")
        if re.search(r"getLogger\(", path.read_text())
    }
    ours = {one for one in makers if not one.startswith(("_resources/", "engine/native/runner/"))}

    assert {"text/loggers.py", "debugging/run.py"} == ours

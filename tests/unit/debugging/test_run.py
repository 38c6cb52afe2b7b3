"""The debug log of a process."""

from __future__ import annotations

import logging

import pytest

from pytest_codex_workspace.debugging import run
from pytest_codex_workspace.debugging.run import DebugLog, debug_log, last_log
from pytest_codex_workspace.doctor.result import NamedResult, error
from pytest_codex_workspace.errors import ConfigError, EngineError
from pytest_codex_workspace.host.dirs import cache_dir
from pytest_codex_workspace.options.config import Config
from pytest_codex_workspace.text.loggers import TOP, logger_of

pytestmark = pytest.mark.usefixtures("cache_home")

LOG = logger_of(f"{TOP}.some.module")


def test_everything_is_written_until_the_log_is_closed(tmp_path):
    """
    The first page says what ran on what. Afterwards, the loggers are as they were.
    """
    top = logging.getLogger(TOP)
    before = top.level, top.propagate, list(top.handlers)
    path = tmp_path / "debug.log"

    log = DebugLog(path, Config(), "pytest")
    LOG.debug("written")
    log.close()
    LOG.debug("lost")

    text = path.read_text()
    assert before == (top.level, top.propagate, top.handlers)
    for words in ("Look through it", "command: pytest", "\nPython: 3.", "\ndocker: ", "\nkernel: "):
        assert words in text
    assert "some.module: written\n" in text
    assert "lost" not in text
    assert path == last_log()


def test_others_get_no_more_than_without_it(tmp_path, caplog):
    """
    Tests that fail would show hundreds of lines of ours otherwise. What they ask for, they get.
    """
    log = DebugLog(tmp_path / "debug.log", Config(), "pytest")
    try:
        LOG.debug("not shown")
        LOG.warning("shown")
        with caplog.at_level(logging.DEBUG):
            LOG.debug("asked for")
    finally:
        log.close()

    assert ["shown", "asked for"] == caplog.messages
    assert "not shown" in (tmp_path / "debug.log").read_text()


def test_others_get_a_record_once(tmp_path, caplog):
    """
    Of several debug logs at once, too, and not at all if they have cut us off.
    """
    with debug_log(tmp_path / "a.log", "x", Config), debug_log(tmp_path / "b.log", "x", Config):
        LOG.debug("not shown")
        LOG.warning("shown")
    logging.getLogger(TOP).propagate = False
    try:
        with debug_log(tmp_path / "c.log", "x", Config):
            LOG.warning("cut off")
    finally:
        logging.getLogger(TOP).propagate = True

    assert ["shown"] == caplog.messages
    for name, words in (("a", "not shown"), ("b", "not shown"), ("c", "cut off")):
        assert words in (tmp_path / f"{name}.log").read_text()


def test_secrets_of_the_environment_are_removed(tmp_path, monkeypatch):
    """
    Those that the options name, and those that have the name of one.
    """
    monkeypatch.setenv("NAMED", "named-value")
    monkeypatch.setenv("SENT", "sent-value")
    monkeypatch.setenv("GITHUB_TOKEN", "token-value")
    config = Config(secret=("NAMED",), network_secret={"SENT": ("a.test",)})

    with debug_log(tmp_path / "debug.log", "pytest", lambda: config):
        LOG.debug("%s, %s, %s", "named-value", "sent-value", "token-value")

    assert "module: ***, ***, ***\n" in (tmp_path / "debug.log").read_text()


def test_the_first_page_has_the_result_of_doctor(tmp_path, monkeypatch):
    """
    With each line of a result. What doctor itself does is not in the log.
    """

    def results(config, problem):
        LOG.debug("asked by doctor")
        yield NamedResult("engine", "found", error("none answers\nat all", "Start it."))

    monkeypatch.setattr(run, "engine_facts", lambda choice: {"name": "docker", "version": "28"})
    monkeypatch.setattr(run, "doctor_results", results)

    with debug_log(tmp_path / "debug.log", "x", Config, examines=True):
        LOG.debug("written")

    text = (tmp_path / "debug.log").read_text()
    assert "\nengine: name docker, version 28\n" in text
    begin = "doctor: error: engine found: "
    assert f"\n{begin}none answers\n{begin}at all\n{begin}Start it.\n" in text
    assert "asked by doctor" not in text
    assert text.index("Start it.") < text.index("written")


@pytest.mark.parametrize(
    ("failure", "words"),
    [(EngineError("it refused"), "EngineError: it refused"), (KeyError("x"), "Traceback")],
)
def test_how_it_ends_is_logged(tmp_path, failure, words):
    """
    An error of ours with its text, any other with its traceback; on one line.
    """
    with (
        pytest.raises(type(failure)),
        debug_log(tmp_path / "debug.log", "x", Config),
    ):
        raise failure

    (line,) = [one for one in (tmp_path / "debug.log").read_text().splitlines() if words in one]
    assert "debugging.run: ends with " in line


def test_without_a_file_nothing_happens():
    """
    The options are not even read.
    """
    with debug_log(None, "x", pytest.fail) as log:
        assert log is None
    assert last_log() is None


def test_an_empty_note_of_the_last_log_is_none():
    """
    It would name the current directory.
    """
    (cache_dir() / "last-debug-log").touch()

    assert last_log() is None


def test_invalid_options_do_not_hide_the_log(tmp_path):
    """
    Whoever needs them says what is wrong.
    """

    def resolve():
        raise ConfigError("image= has no value")

    with debug_log(tmp_path / "debug.log", "x", resolve):
        LOG.debug("written")

    assert "written" in (tmp_path / "debug.log").read_text()


def test_the_last_log_is_that_of_the_run(tmp_path):
    """
    Not that of one of its workers, or of a second run beside it.
    """
    path = tmp_path / "debug.log"
    logs = [
        DebugLog(path, Config(), "pytest"),
        DebugLog(tmp_path / "debug.log.gw0", Config(), "pytest gw0", of_worker=True),
        DebugLog(path, Config(), "pytest"),
    ]
    for one in reversed(logs):
        one.close()

    assert path == last_log()


def test_a_process_adds_to_its_own_log(tmp_path, monkeypatch):
    """
    A script may open many workspaces, also one within another, or in a run of pytest that logs.
    """
    path = tmp_path / "debug.log"
    monkeypatch.setattr(DebugLog, "examine", pytest.fail)
    with debug_log(path, "x", Config):
        LOG.debug("first")
        with debug_log(path, "x", Config):
            LOG.debug("within")
    with debug_log(path, "x", Config, examines=True):
        LOG.debug("second")

    lines = path.read_text().splitlines()
    assert 1 == sum(line.startswith("command: ") for line in lines)
    words = [one.rpartition(" ")[2] for one in lines if "some.module" in one]
    assert ["first", "within", "second"] == words
    assert [path] == list(tmp_path.glob("debug.log*"))

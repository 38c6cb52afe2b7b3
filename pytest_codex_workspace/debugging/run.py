"""The debug log of this process: begun by the plugin, by the command, and by `open`."""

from __future__ import annotations

import logging
import os
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from ..errors import CodexWorkspaceError, ConfigError, PolicyError
from ..host.dirs import cache_dir
from ..options.config import Config
from ..text.loggers import TOP, hide, logger_of, one_line
from ..unpatched import clock
from .debug_file import DebugFile
from .facts import doctor_results, engine_facts, secrets_of, versions

__all__ = ["DebugLog", "debug_log", "last_log"]

_LOG = logger_of(__name__)
_LAST = "last-debug-log"
_begun: set[Path] = set()
"""The files that this process has written: it adds to them, and does not begin again."""

_open: set[Path] = set()
"""Those of them that it is writing."""

_NOTICE = (
    "Look through it before you send it to anybody: it has paths of this machine and names of "
    "repositories and hosts. Secrets that are known were removed."
)


class DebugLog:
    """
    Writes what this package logs to a file, until it is closed.

    Of what others get, the level stays theirs: pytest shows no more of us than it did.

    Args:
        path: the file.
        config: the options of the run, whose secrets are removed.
        command: what was started, in a word or two.
        of_worker: whether it is one of several of a run: the last log is that of the run.

    Attributes:
        continues: whether this process has written the file before, and adds to it.

    Raises:
        ConfigError: the file cannot be written.
    """

    def __init__(
        self, path: Path, config: Config, command: str, *, of_worker: bool = False
    ) -> None:
        self._secrets = secrets_of(os.environ, config)
        hide(self._secrets)
        path = path.absolute()
        self.continues = path in _begun
        self._file = DebugFile(path, continues=self.continues)
        _begun.add(path)
        _open.add(path)
        self._given = path
        self._top = logging.getLogger(TOP)
        self._before = self._top.level, self._top.propagate
        self._forward = _Forward(self._top)
        if not of_worker and self._file.path == path:
            _note_last(path)
        if not self.continues:
            self._begin(command)
        self._listen()

    def _begin(self, command: str) -> None:
        now = clock.wall_time()
        when = time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(now))
        for line in (
            _NOTICE,
            f"began: {when} ({now:.0f})",
            f"command: {command}, process {os.getpid()}",
        ):
            self._file.add_to_first_page(line)
        for name, value in versions().items():
            self._file.add_to_first_page(f"{name}: {value}")

    @property
    def path(self) -> Path:
        """
        The file that is written.
        """
        return self._file.path

    def examine(self, config: Config, problem: ConfigError | PolicyError | None = None) -> None:
        """
        Add the engine and what doctor finds to the first page. What that does itself is not logged.
        """
        self._ignore()
        try:
            about = engine_facts(config.engine)
            self._file.add_to_first_page(
                "engine: " + ", ".join(f"{name} {value}" for name, value in about.items())
            )
            for one in doctor_results(config, problem):
                head = f"doctor: {one.result.status}: {one.group} {one.check}: "
                for line in f"{one.result.text}\n{one.result.remedy}".strip().splitlines():
                    self._file.add_to_first_page(head + line)
        finally:
            self._listen()

    def close(self) -> None:
        """
        Stop listening, and close the file.
        """
        self._ignore()
        self._file.close()
        _open.discard(self._given)

    def _listen(self) -> None:
        self._top.setLevel(logging.DEBUG)
        self._top.propagate = False
        self._top.addHandler(self._file)
        # Nothing, if a user has cut us off, or if another debug log passes it on.
        if self._before[1]:
            self._top.addHandler(self._forward)

    def _ignore(self) -> None:
        self._top.removeHandler(self._forward)
        self._top.removeHandler(self._file)
        level, self._top.propagate = self._before
        self._top.setLevel(level)


class _Forward(logging.Handler):
    """
    Passes on to the root logger what it would get if nobody wrote a debug log.
    """

    def __init__(self, top: logging.Logger) -> None:
        super().__init__()
        self._level = top.level

    def emit(self, record: logging.LogRecord) -> None:
        root = logging.getLogger()
        if record.levelno >= (self._level or root.level):
            root.handle(record)


@contextmanager
def debug_log(
    path: Path | None,
    command: str,
    resolve: Callable[[], Config],
    *,
    examines: bool = False,
) -> Iterator[DebugLog | None]:
    """
    Write a debug log for the time of the block, if *path* says where.

    Args:
        path: the file, or `None` for no log. One that is written already gets this, too.
        command: what was started, in a word or two.
        resolve: returns the options of the run; only called if there is a log.
        examines: whether doctor's result is part of the first page.

    Raises:
        ConfigError: the file cannot be written.
    """
    if path is None or path.absolute() in _open:
        yield None
        return
    problem: ConfigError | PolicyError | None = None
    try:
        config = resolve()
    except (ConfigError, PolicyError) as error:
        config, problem = Config(), error
    except CodexWorkspaceError:
        # Whoever needs the options says so.
        config = Config()
    log = DebugLog(path, config, command)
    try:
        if examines and not log.continues:
            log.examine(config, problem)
        yield log
    except BaseException as error:
        if isinstance(error, CodexWorkspaceError):
            _LOG.debug("ends with %s: %s", type(error).__name__, error)
        else:
            _LOG.debug("ends with %s", "".join(traceback.format_exception(error)))
        raise
    finally:
        log.close()


def last_log() -> Path | None:
    """
    Return the file of the last debug log on this machine; `None` if it is not known.
    """
    try:
        path = (cache_dir() / _LAST).read_text("utf-8", "surrogateescape")
    except OSError:
        return None
    # A full disk leaves an empty file.
    return Path(path) if path else None


def _note_last(path: Path) -> None:
    if one_line(str(path)) == str(path):
        with suppress(OSError):
            (cache_dir() / _LAST).write_text(str(path), "utf-8", "surrogateescape")

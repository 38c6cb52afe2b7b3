"""The options of a run: command line, environment, and the ini or TOML file of pytest."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from ..errors import ConfigError, PolicyError, ProjectionError
from ..options.table import OPTIONS, Option
from ..unpatched import clock
from .workers import ENGINE_KEY, STANDARD_INPUT_KEY, STARTED_KEY, is_worker, worker_input

if TYPE_CHECKING:
    from ..options.config import Config
    from ..options.sources import Source, Values

__all__ = [
    "INI_NAMES",
    "SHOWN_REPO",
    "UNUSABLE",
    "given_settings",
    "read_settings",
    "register_options",
    "require_repository",
    "settings_of",
    "start_of",
]

_CONFIG: pytest.StashKey[Config] = pytest.StashKey()
_START = pytest.StashKey[float]()

SHOWN_REPO = pytest.StashKey[str]()
"""The repository as it was given."""

UNUSABLE: pytest.StashKey[ConfigError | PolicyError] = pytest.StashKey()
"""Why the variables of the environment cannot be used."""

INI_NAMES: Mapping[str, Option] = {f"codex_{option.key}": option for option in OPTIONS}
"""The options by their names in an ini file."""


def register_options(parser: pytest.Parser) -> None:
    """
    Add every option to the command line and to the ini file.
    """
    group = parser.getgroup("codex", "Codex workspaces")
    for name, option in INI_NAMES.items():
        text = option.help + (f" (default: {option.default})" if option.default else "")
        group.addoption(
            f"--codex-{option.name}",
            dest=name,
            metavar=option.metavar,
            action="append" if option.repeatable or option.listed else "store",
            default=None,
            help=text,
        )
        if option.repeatable or option.listed:
            parser.addini(name, text, type="linelist", default=[])
        else:
            parser.addini(name, text, type="string", default="")


def start_of(config: pytest.Config) -> float:
    """
    Return when this run began, in seconds since the epoch.
    """
    return config.stash[_START]


def given_settings(config: pytest.Config) -> Config | None:
    """
    Return the options of this run; `None` if none was given and nothing has needed the defaults.
    """
    return config.stash.get(_CONFIG, None)


def settings_of(config: pytest.Config) -> Config:
    """
    Return the options of this run.
    """
    found = given_settings(config)
    if found is None:
        from ..options.config import Config

        found = config.stash[_CONFIG] = Config(started=start_of(config))
    return found


def read_settings(config: pytest.Config) -> None:
    """
    Read and check the options, if any are given. What reads them is imported for that only: most
    runs of most projects give none.

    Raises:
        pytest.UsageError: an option is invalid, or the repository of the command line cannot be
            projected.
    """
    config.stash[_START] = worker_input(config).get(STARTED_KEY) or clock.wall_time()
    # An option without a value is given as well, and an error.
    if any(name.startswith("CODEX_WORKSPACE_") for name in os.environ) or any(
        config.getoption(name, None) is not None or _ini_is_given(config, name)
        for name in INI_NAMES
    ):
        _read_given(config)


def _ini_is_given(config: pytest.Config, name: str) -> bool:
    try:
        return bool(config.getini(name))
    except (TypeError, pytest.UsageError):
        return True


def _read_given(config: pytest.Config) -> None:
    from ..options.config import Config
    from ..options.sources import ResolvedOptions

    options = {option.key: config.getoption(name, None) for name, option in INI_NAMES.items()}
    found = Config()
    try:
        ini = _read_ini(config)
        try:
            with _standard_input(config, options, ini):
                found = ResolvedOptions.of(options, spell="--codex-{}", ini=ini).config
        except (ConfigError, PolicyError) as error:
            if ini or any(value is not None for value in options.values()):
                raise
            # Variables are for the command, too: they may not end runs that use no workspace.
            config.stash[UNUSABLE] = error
    except (ConfigError, PolicyError, ProjectionError) as error:
        raise pytest.UsageError(str(error)) from None
    config.stash[SHOWN_REPO] = str(found.repo)
    found = replace(_absolute(config, found), started=start_of(config))
    if found.engines:
        number = worker_input(config).get(ENGINE_KEY, 0)
        found = replace(found, engine=found.engines[number % len(found.engines)])
    config.stash[_CONFIG] = found
    if options["repo"] and not is_worker(config) and not config.option.collectonly:
        require_repository(config)


@contextmanager
def _standard_input(
    config: pytest.Config, options: Mapping[str, Any], ini: Values
) -> Iterator[None]:
    """
    Let standard input be that of the run while the options are read, if one of them asks for it.
    pytest captures it; a worker gets what its controller has read.
    """
    from ..options.script_text import STANDARD_INPUT

    key = "setup_script"
    given = (options[key], os.environ.get("CODEX_WORKSPACE_SETUP_SCRIPT"))
    capture = config.pluginmanager.getplugin("capturemanager")
    if is_worker(config):
        STANDARD_INPUT.give(worker_input(config).get(STANDARD_INPUT_KEY))
    elif capture is not None and ("-" in given or (key in ini and ini[key].value == "-")):
        capture.suspend_global_capture(in_=True)
        try:
            yield
        finally:
            capture.resume_global_capture()
        return
    yield


def require_repository(config: pytest.Config) -> None:
    """
    Check that the repository of the options can be projected.

    Raises:
        pytest.UsageError: it cannot.
    """
    from ..projection.repository import open_repository

    found = settings_of(config)
    try:
        if found.repo is not None:
            open_repository(found.repo, found.rev, environ=os.environ)
    except ProjectionError as error:
        raise pytest.UsageError(str(error)) from None


def _absolute(config: pytest.Config, found: Config) -> Config:
    """
    Return *found* with absolute paths: a test may go to another directory.
    """
    start = config.invocation_params.dir
    changes: dict[str, Any] = {}
    if found.repo is not None:
        with suppress(RuntimeError):
            changes["repo"] = start / found.repo.expanduser()
    if found.report is not None:
        changes["report"] = start / found.report
    if found.debug is not None:
        changes["debug"] = start / found.debug
    for option in OPTIONS:
        value = getattr(found, option.key)
        if option.name != "repo" and isinstance(value, str) and option.is_path(value):
            changes[option.key] = str(start / value)
    return replace(found, **changes)


def _read_ini(config: pytest.Config) -> Values:
    from ..options.sources import Given, Source, entries_of

    found: Values = {}
    for name, option in INI_NAMES.items():
        source = Source("ini", name, config.inipath)
        value = _ini_value(config, option, source)
        if option.repeatable:
            found |= entries_of(option, value, source)
        elif value:
            text = _beside_ini(config, value) if option.is_path(value) else value
            found[option.key] = Given(text, source)
    return found


def _ini_value(config: pytest.Config, option: Option, source: Source) -> Any:
    """
    Return a text, or the list of texts of a repeatable option. In a TOML file of pytest's own
    tables, a number is a number and not text, and variables may be a table.
    """
    try:
        return config.getini(source.name)
    except (TypeError, pytest.UsageError):
        if config.inipath is None or config.inipath.suffix != ".toml":
            raise
    import tomllib

    table = tomllib.loads(config.inipath.read_text(encoding="utf-8"))
    value = table.get("pytest", table.get("tool", {}).get("pytest", {})).get(source.name)
    if option.repeatable and isinstance(value, Mapping):
        value = [f"{key}={one}" for key, one in value.items() if _is_plain(one)]
    is_list = option.repeatable or option.listed
    if option.listed and isinstance(value, str):
        value = [value]
    if is_list and isinstance(value, list) and all(map(_is_plain, value)):
        return list(map(str, value))
    if is_list or not _is_plain(value):
        kind = "a list of texts" if is_list else "text or a number"
        raise ConfigError(f"{source.spelled} is {value!r}; it must be {kind}")
    return str(value)


def _is_plain(value: object) -> bool:
    return isinstance(value, str | int | float) and not isinstance(value, bool)


def _beside_ini(config: pytest.Config, path: str) -> str:
    return str((config.inipath.parent if config.inipath else config.rootpath) / path)

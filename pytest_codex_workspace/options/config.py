"""The checked options of a run, shared by pytest and the command."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import ConfigError
from ..reporting.output import OutputMode
from ..text.option_names import spell_option
from ..text.phrases import did_you_mean
from ..text.units import parse_duration, parse_size
from ..unpatched import clock
from .profiles import profile_named, runtime_variables
from .script_text import STANDARD_INPUT, GivenScripts, ScriptText, read_script
from .table import (
    OPTIONS,
    CacheMode,
    CassetteMode,
    KeepWhen,
    Methods,
    ProfileName,
    PushWhen,
    RepoConfigMode,
)

if TYPE_CHECKING:
    from ..checks.repository import Choices
    from .services import ServiceSpec

__all__ = ["SCOPES", "Config", "check_environment", "check_silence", "check_variable_name"]


SCOPES = ("repository", "branch", "remote", "path")
"""The values of `cache-scope`, besides `name:TEXT`."""

_LEAST_MEMORY = 64 << 20
_SHORT_SIZE = re.compile(r"(\d+(?:\.\d+)?)([kmgtKMGT])")
_LARGEST_BODY = 256 * 1024
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_REPOSITORY = re.compile(r"[A-Za-z0-9.-]+(:\d+)?(/[a-z0-9]+([._-]+[a-z0-9]+)*)+")


@dataclass(frozen=True, slots=True)
class Config:
    """
    A checked set of options.

    `repo` is `None` if none was given; `secret` has names only, `network_secret`
    hosts by name; a policy is a name, a path or a mapping of fields; `silence` has the
    reason for each id; durations are in seconds, sizes in bytes; `git_depth` is `None` for
    all; `started` is the start of the run in seconds since the epoch; `setup_script` and
    `maintenance_script` have been read; with `renew_cassette`, recording first removes earlier
    requests of the setup scripts from the cassette; `services` are in the order in which
    they start; `engine` is the engine of this process, and `engines` all that were given, if there
    are several; `notes` are lines to show about the repository's file.
    """

    repo: Path | None = None
    rev: str = "HEAD"
    repo_config: RepoConfigMode = "read"
    profile: ProfileName = "seed"
    image: str = "universal"
    env: Mapping[str, str] = field(default_factory=dict)
    silence: Mapping[str, str] = field(default_factory=dict)
    test_command: str = ""
    secret: tuple[str, ...] = ()
    network_secret: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    setup_script: ScriptText | None = None
    maintenance_script: ScriptText | None = None
    git_tags: bool = False
    git_depth: int | None = None
    cache: CacheMode = "auto"
    cache_ttl: float = 12 * 3600.0
    cache_size: int = 20_000_000_000
    cache_scope: str = "repository"
    cache_registry: str = ""
    cache_push: PushWhen = "always"
    network: str | Mapping[str, Any] = "https-only"
    network_setup: str | Mapping[str, Any] = "https-only"
    network_methods: Methods = "all"
    cassette: CassetteMode = "off"
    network_bodies: int = 0
    engine: str = "auto"
    engines: tuple[str, ...] = ()
    output: OutputMode = "progress"
    keep: KeepWhen = "never"
    report: Path | None = None
    debug: Path | None = None
    setup_timeout: float = 1200.0
    cpus: float = 2.0
    memory: int = 8 * 1024**3
    # The URL may contain a password.
    upstream_proxy: str = field(default="environment", repr=False)
    renew_cassette: bool = False
    services: tuple[ServiceSpec, ...] = ()
    notes: tuple[str, ...] = ()
    started: float = field(default_factory=clock.wall_time)

    @property
    def variables(self) -> dict[str, str]:
        """
        The variables of a workspace that the profile and the user have set.
        """
        return {**runtime_variables(profile_named(self.profile)), **self.env}

    @property
    def scripts(self) -> GivenScripts:
        """
        The scripts that take the place of those of a repository.
        """
        return GivenScripts(self.setup_script, self.maintenance_script)

    @property
    def for_checks(self) -> Choices:
        """
        What the rules that read a repository need to know of the options.
        """
        from ..checks.repository import Choices

        return Choices(self.variables, self.test_command, self.scripts.by_role, self.image)

    @classmethod
    def of(
        cls, values: Mapping[str, Any], *, spell: str | Callable[[str], str] = spell_option
    ) -> Config:
        """
        Check *values*. Each is text (for a repeatable option a list of texts, or a
        mapping of variables; for a listed one text or a list of texts), or `None` if
        it was not given.

        Args:
            values: the values by option key.
            spell: the format of an option's name in errors, or a function that
                returns the name in errors for an option's name.

        Raises:
            ConfigError: an option has an invalid value.
        """
        called = spell.format if isinstance(spell, str) else spell
        checked: dict[str, Any] = {}
        for option in OPTIONS:
            value = values.get(option.key)
            if value in (None, "", [], ()):
                continue
            name = called(option.name)
            if option.choices and value not in option.choices:
                raise ConfigError(
                    f"{name}={value}: must be one of {', '.join(option.choices)}"
                    f"{did_you_mean(str(value), option.choices)}"
                )
            checked[option.key] = value
        if "engine" in checked:
            checked |= _engines(checked["engine"])
        if "repo" in checked:
            checked["repo"] = Path(checked["repo"])
        for key in ("report", "debug"):
            if key in checked:
                checked[key] = Path(checked[key])
        if "env" in checked:
            checked["env"] = _environment(checked["env"], called("env"))
        if "silence" in checked:
            checked["silence"] = _silence(checked["silence"], called("silence"))
        if "secret" in checked:
            checked["secret"] = _secrets(
                checked["secret"], checked.get("env", {}), called("secret")
            )
        if "network_secret" in checked:
            others = {**checked.get("env", {}), **dict.fromkeys(checked.get("secret", ()), "")}
            checked["network_secret"] = _network_secrets(
                checked["network_secret"], others, called("network-secret")
            )
        if "setup_timeout" in checked:
            checked["setup_timeout"] = _parse_seconds(
                checked["setup_timeout"], called("setup-timeout")
            )
        if "setup_script" in checked:
            checked["setup_script"] = read_script(
                checked["setup_script"], called("setup-script"), STANDARD_INPUT
            )
        if "maintenance_script" in checked:
            checked["maintenance_script"] = read_script(
                checked["maintenance_script"], called("maintenance-script")
            )
        if "git_tags" in checked:
            checked["git_tags"] = checked["git_tags"] == "true"
        if "git_depth" in checked:
            checked["git_depth"] = _parse_depth(checked["git_depth"], called("git-depth"))
        for key, parse in (("cache_ttl", parse_duration), ("cache_size", parse_size)):
            if key in checked:
                checked[key] = _parse_quantity(checked[key], called(key.replace("_", "-")), parse)
        if "cpus" in checked:
            checked["cpus"] = _parse_cpus(checked["cpus"], called("cpus"))
        if "memory" in checked:
            checked["memory"] = _parse_memory(checked["memory"], called("memory"))
        if "cache_scope" in checked:
            _check_scope(checked["cache_scope"], called("cache-scope"))
        if "cache_registry" in checked:
            _check_registry(checked["cache_registry"], called("cache-registry"))
        if checked.get("cassette") == "record":
            # The scripts must run so that their requests are recorded.
            mode = checked.setdefault("cache", "refresh")
            if mode == "require":
                raise ConfigError(
                    f"{called('cassette')}=record runs the scripts, but "
                    f"{called('cache')}=require forbids that; remove one of the two"
                )
            if mode == "auto":
                checked["cache"] = "refresh"
        if "network_bodies" in checked:
            checked["network_bodies"] = _parse_bytes(
                checked["network_bodies"], called("network-bodies")
            )
        if "upstream_proxy" in checked:
            _check_upstream(checked["upstream_proxy"], called("upstream-proxy"))
        if "services" in values:
            checked["services"] = tuple(values["services"].values())
        return cls(**checked)


def check_environment(values: Mapping[str, object], name: str) -> dict[str, str]:
    """
    Return the variables of *values* after checking that names and values are valid.

    Raises:
        ConfigError: a variable is invalid. The text names the variable.
    """
    if not isinstance(values, Mapping):
        raise ConfigError(f"{name} is {values!r}; it must be a dict of names and values")
    for key, value in values.items():
        check_variable_name(key, name)
        if not isinstance(value, str):
            raise ConfigError(
                f"{name}: {key} is {value!r}; the value of a variable is text: "
                f"write {key}='{value}'"
            )
        if "\0" in value:
            raise ConfigError(f"{name}: {key} contains a NUL byte, which no variable can")
    return {str(key): str(value) for key, value in values.items()}


def check_variable_name(key: object, name: str) -> None:
    """
    Check that a variable can have the name *key*.

    Raises:
        ConfigError: *key* is not a valid name.
    """
    if not isinstance(key, str) or not _NAME.fullmatch(key):
        raise ConfigError(f"{name}: {key!r} is not a valid name of a variable")


def check_silence(check: str, reason: str, name: str) -> None:
    """
    Check that findings can be silenced by *check*, and that there is a reason.

    Raises:
        ConfigError: there is no such check, or no reason.
    """
    # Most runs silence nothing, and need none of the checks.
    from ..checks.silence import problem_of_silence

    problem = problem_of_silence(check, reason)
    if problem:
        raise ConfigError(f"{name}: {problem}")


def _engines(given: str | Sequence[str]) -> dict[str, Any]:
    """
    Return the fields for one engine or several. A process uses the first unless it is told another.
    """
    every = tuple(dict.fromkeys([given] if isinstance(given, str) else given))
    return {"engine": every[0], "engines": every if len(every) > 1 else ()}


def _silence(pairs: Sequence[str] | Mapping[str, str], name: str) -> dict[str, str]:
    if isinstance(pairs, Mapping):
        found = dict(pairs)
    else:
        found = {check: reason for check, _, reason in (one.partition("=") for one in pairs)}
    for check, reason in found.items():
        check_silence(check, reason, name)
    return found


def _environment(pairs: Sequence[str] | Mapping[str, str], name: str) -> dict[str, str]:
    if isinstance(pairs, Mapping):
        return check_environment(pairs, name)
    found: dict[str, object] = {}
    for pair in pairs:
        key, equals, value = pair.partition("=")
        if not equals:
            raise ConfigError(f"{name}={pair}: must have the form NAME=VALUE")
        found[key] = value
    return check_environment(found, name)


def _secrets(names: Sequence[str], env: Mapping[str, str], name: str) -> tuple[str, ...]:
    for one in names:
        check_variable_name(one, name)
        if one in env:
            raise ConfigError(
                f"{name}={one}: {one} is both a secret and a plain variable (env); remove "
                "one of the two"
            )
    return tuple(dict.fromkeys(names))


def _network_secrets(
    pairs: Sequence[str] | Mapping[str, str], others: Mapping[str, str], name: str
) -> dict[str, tuple[str, ...]]:
    from ..network.rules.fields import PARSERS

    found: dict[str, tuple[str, ...]] = {}
    for key, text in _environment(pairs, name).items():
        if key in others:
            raise ConfigError(
                f"{name}={key}: {key} is also a plain variable (env) or a secret; remove one of "
                "the two"
            )
        hosts = [one.strip() for one in text.split(",")]
        try:
            parsed = tuple(PARSERS["allow"](one) for one in hosts)
        except (TypeError, ValueError) as error:
            raise ConfigError(f"{name}={key}={text}: {error}") from None
        # All hosts, or all of a top-level domain, is nobody's own.
        if any("." not in one.removeprefix("*.") for one in parsed):
            raise ConfigError(
                f"{name}={key}={text}: name the hosts, such as api.example.com or *.example.com"
            )
        found[key] = parsed
    return found


def _parse_bytes(value: str, name: str) -> int:
    if not value.isdecimal() or int(value) > _LARGEST_BODY:
        raise ConfigError(f"{name}={value}: must be a number of bytes from 0 to {_LARGEST_BODY}")
    return int(value)


def _parse_quantity(value: str, name: str, parse: Callable[[str], float]) -> float:
    try:
        return parse(value)
    except ValueError as error:
        raise ConfigError(f"{name}={value}: {error}") from None


def _parse_depth(value: str, name: str) -> int | None:
    if value == "all":
        return None
    # More than git itself accepts means all, too.
    if not re.fullmatch("[0-9]{1,9}", value) or not int(value):
        raise ConfigError(f"{name}={value}: must be a number of commits such as 100, or 'all'")
    return int(value)


def _parse_cpus(value: str, name: str) -> float:
    try:
        number = 0.0 if value == "none" else float(value)
    except ValueError:
        number = -1.0
    if number and not 0.01 <= number < float("inf"):
        raise ConfigError(f"{name}={value}: must be a number of processors such as 0.5, or 'none'")
    return number


def _parse_memory(value: str, name: str) -> int:
    try:
        # Engines write 8g for 8 GiB.
        short = _SHORT_SIZE.fullmatch(value)
        size = 0 if value == "none" else parse_size(f"{short[1]}{short[2]}iB" if short else value)
    except ValueError as error:
        raise ConfigError(f"{name}={value}: {error}, or 'none'") from None
    if size and size < _LEAST_MEMORY:
        raise ConfigError(
            f"{name}={value}: must be at least {_LEAST_MEMORY >> 20}MiB, which a workspace needs "
            "by itself, or 'none'"
        )
    return size


def _check_scope(value: str, name: str) -> None:
    if value not in SCOPES and not re.fullmatch(r"name:.{1,200}", value):
        raise ConfigError(f"{name}={value}: must be one of {', '.join(SCOPES)}, or name:TEXT")


def _check_registry(value: str, name: str) -> None:
    host, slash, _ = value.partition("/")
    named = host == "localhost" or "." in host or ":" in host
    if not slash or not named or not _REPOSITORY.fullmatch(value):
        raise ConfigError(
            f"{name}={value}: must be a registry's host and a repository without a tag, in lower "
            "case: ghcr.io/me/codex-cache, localhost:5000/cache"
        )


def _check_upstream(value: str, name: str) -> None:
    from ..network.rules.upstream import InvalidUpstream, choose

    try:
        choose(value, {})
    except InvalidUpstream as error:
        raise ConfigError(f"{name}: {error}; or give 'environment' or 'none'") from None


def _parse_seconds(value: str, name: str) -> float:
    try:
        seconds = float(value)
    except ValueError:
        seconds = 0.0
    if not 0 < seconds < float("inf"):
        raise ConfigError(f"{name}={value}: must be a number of seconds above 0")
    return seconds

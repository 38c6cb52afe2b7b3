"""What each option is set to, and where that was said.

The command line beats the environment, that an ini file, that the repository's
`.codex-workspace.yaml`, and that the defaults. Variables and secrets are merged
one by one, by the same rule.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from .config import OPTIONS, Config, ConfigError, Option, check_environment, check_variable_name
from .errors import PolicyError

__all__ = ["FILE", "Given", "Settings", "Source", "Values", "entries_of", "find_file"]

FILE = ".codex-workspace.yaml"
"""The file at the top of a repository's work tree."""

_BY_NAME = re.compile(r"[\s,]+")


@dataclass(frozen=True, slots=True)
class Source:
    """
    Where a value was given: by an option, a variable of the environment, an
    ini file, or the repository's file.
    """

    kind: Literal["option", "environment", "ini", "file", "default"]
    name: str = ""
    path: Path | None = None
    line: int | None = None

    def __str__(self) -> str:
        """
        Where to look for it.
        """
        if self.path is None:
            return self.name or self.kind
        return f"{self.path}, line {self.line}" if self.line else f"{self.name} in {self.path}"

    @property
    def spelled(self) -> str:
        """
        The beginning of a complaint about the value.
        """
        return f"{self}: {self.name}" if self.line else str(self)


DEFAULT = Source("default")


@dataclass(frozen=True, slots=True)
class Given:
    """
    A value as it was written, and where.
    """

    value: Any
    source: Source


Values = dict[str, Given]
"""Values by option key; those of repeatable options one by one, as `env.NAME`."""


@dataclass(frozen=True, slots=True)
class Settings:
    """
    The options of a run, checked, and where each came from.
    """

    config: Config
    values: Values
    file: Path | None = None

    @classmethod
    def of(
        cls,
        options: Mapping[str, Any],
        *,
        spell: str,
        ini: Values | None = None,
        environ: Mapping[str, str] = os.environ,
        repo: str = "",
    ) -> Settings:
        """
        Gather what options, environment and files say.

        Args:
            options: of the command line, by option key; `None` where one was not given.
            spell: how an option is written there.
            ini: what an ini file says.
            environ: with `CODEX_WORKSPACE_*`.
            repo: the repository if nobody names one.

        Raises:
            ConfigError: a value cannot be meant. The text says where it is.
            PolicyError: a network policy cannot be used.
        """
        said = _read_environment(environ) | _read_options(options, spell)
        above = {**(ini or {}), **said}
        wanted = above["repo"].value if "repo" in above else repo
        ignored = "repo_config" in above and above["repo_config"].value == "ignore"
        file = find_file(wanted) if wanted and not ignored else None
        below: Values = {}
        if file is not None:
            from .configfile import read_file

            below = read_file(file)
        values = {**below, **above}
        if "repo" not in values and repo:
            values["repo"] = Given(repo, DEFAULT)
        return cls(_config(values), values, file)

    def source(self, key: str) -> Source:
        """
        Where the value of an option key came from.
        """
        return self.values[key].source if key in self.values else DEFAULT


def find_file(repo: str | Path) -> Path | None:
    """
    The configuration file of the repository that *repo* is in, if it has one.

    Raises:
        ConfigError: it is no file, or has the other usual ending.
    """
    try:
        start = Path(repo).expanduser().resolve()
    except (OSError, RuntimeError, ValueError):
        return None  # Whoever opens the repository says what is wrong.
    top = next((one for one in (start, *start.parents) if os.path.lexists(one / ".git")), None)
    if top is None:
        return None
    other = top / FILE.replace(".yaml", ".yml")
    if os.path.lexists(other):
        raise ConfigError(f"{other} is not read: the file is called {FILE}; rename it")
    path = top / FILE
    if not os.path.lexists(path):
        return None
    if not path.is_file():
        raise ConfigError(f"{path} is not a file that can be read; make it one, or remove it")
    return path


def entries_of(option: Option, texts: Sequence[str], source: Source) -> Values:
    """
    The values of a repeatable option, one by one.

    Raises:
        ConfigError: one cannot be meant.
    """
    found: Values = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if option.metavar == "NAME":
            check_variable_name(text, source.spelled)
        elif not equals:
            raise ConfigError(f"{source.spelled}={text}: must have the form NAME=VALUE")
        else:
            check_environment({name: value}, source.spelled)
        found[f"{option.key}.{name}"] = Given(value, source)
    return found


def _read_options(options: Mapping[str, Any], spell: str) -> Values:
    found: Values = {}
    for option in OPTIONS:
        value = options.get(option.key)
        # The command has an argument for it.
        called = "REPO" if option.name == "repo" and spell == "--{}" else spell.format(option.name)
        source = Source("option", called)
        if option.repeatable:
            found |= entries_of(option, value or (), source)
        elif value not in (None, ""):
            found[option.key] = Given(value, source)
    return found


def _read_environment(environ: Mapping[str, str]) -> Values:
    found: Values = {}
    for option in OPTIONS:
        text = environ.get(option.variable, "")
        source = Source("environment", option.variable)
        if option.repeatable:
            # A value may have spaces in it, a name cannot.
            cut = _BY_NAME.split(text) if option.metavar == "NAME" else text.splitlines()
            found |= entries_of(option, [one for one in cut if one.strip()], source)
        elif text:
            found[option.key] = Given(text, source)
    return found


def _config(values: Values) -> Config:
    plain: dict[str, Any] = {}
    for key, given in values.items():
        name, dot, entry = key.partition(".")
        if dot:
            plain.setdefault(name, {})[entry] = given.value
        else:
            plain[name] = given.value

    def spelled(name: str) -> str:
        key = name.replace("-", "_")
        one = next((values[each] for each in values if each.partition(".")[0] == key), None)
        return one.source.spelled if one else name

    for name in plain.get("secret", {}):
        _check_apart(name, values)
    if "secret" in plain:
        plain["secret"] = list(plain["secret"])
    config = Config.of(plain, spell=spelled)
    for key in ("network", "network_setup"):
        try:
            _check_policy(getattr(config, key))
        except PolicyError as error:
            kind = ConfigError if values[key].source.kind == "file" else PolicyError
            raise kind(f"{spelled(key)}: {error}") from None
    return config


def _check_apart(name: str, values: Values) -> None:
    if f"env.{name}" in values:
        variable, secret = values[f"env.{name}"].source, values[f"secret.{name}"].source
        raise ConfigError(
            f"{name} is a variable of every workspace ({variable}) and a secret ({secret}); what "
            "all may see is no secret, so leave one of them out"
        )


def _check_policy(value: Any) -> None:
    # One that is written in the repository's file was checked with it.
    if value == "https-only" or isinstance(value, Mapping):
        return
    from .network.policy_file import PolicyReader

    PolicyReader().read(value)

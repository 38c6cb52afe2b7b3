"""The value of each option and its source.

Precedence: command line, environment, ini file, the repository's
`.codex-workspace.yaml` in the commit, the profile that one of these chooses, default. Variables
and secrets are merged one by one in the same order.
"""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from ..codex import CONFIG_FILE, RUNTIMES
from ..errors import ConfigError, PolicyError
from ..text.phrases import did_you_mean
from .config import Config, check_environment, check_silence, check_variable_name
from .profiles import profile_named
from .table import OPTIONS, Option

if TYPE_CHECKING:
    from .committed_file import RepositoryFile
    from .trust import Widening


__all__ = [
    "FILE",
    "Given",
    "ResolvedOptions",
    "Source",
    "Values",
    "entries_of",
    "unknown_variables",
]

FILE = CONFIG_FILE
"""The file at the top of a repository, as it is in the commit that is projected."""

_BY_NAME = re.compile(r"[\s,]+")


@dataclass(frozen=True, slots=True)
class Source:
    """
    The source of a value: an option, an environment variable, an ini file, the
    repository's file, or a profile.
    """

    kind: Literal["option", "environment", "ini", "file", "profile", "default"]
    name: str = ""
    path: Path | None = None
    line: int | None = None

    def __str__(self) -> str:
        """
        Return the place where the user finds the value.
        """
        if self.path is None:
            return self.name or self.kind
        return f"{self.path}, line {self.line}" if self.line else f"{self.name} in {self.path}"

    @property
    def spelled(self) -> str:
        """
        The beginning of an error message about the value.
        """
        return f"{self}: {self.name}" if self.line else str(self)


_DEFAULT = Source("default")


@dataclass(frozen=True, slots=True)
class Given:
    """
    A value as it was written, and its source.
    """

    value: Any
    source: Source


ReadRepository = Callable[[str, str], "RepositoryFile | None"]

Values = dict[str, Given]
"""Values by option key. Each value of a repeatable option has a key such as `env.NAME`."""


@dataclass(frozen=True, slots=True)
class ResolvedOptions:
    """
    The checked options of a run, and the source of each.
    """

    config: Config
    values: Values
    file: RepositoryFile | None = None
    untrusted: tuple[Widening, ...] = ()

    @classmethod
    def of(
        cls,
        options: Mapping[str, Any],
        *,
        spell: str,
        ini: Values | None = None,
        environ: Mapping[str, str] = os.environ,
        repo: str = "",
        read: ReadRepository | None = None,
        refuse: bool = True,
    ) -> ResolvedOptions:
        """
        Collect the values of options, environment and files.

        Args:
            options: values of the command line by option key; `None` if an option was
                not given.
            spell: the format of an option's name on the command line.
            ini: the values of an ini file.
            environ: the environment with the variables `CODEX_WORKSPACE_*`.
            repo: the repository to use if none is given.
            read: reads the file of a repository at a commit.
            refuse: raise an error for what a repository's file may not decide without
                the user's trust; otherwise it is in `untrusted`.

        Raises:
            ConfigError: a value is invalid or not trusted. The text names its source.
            PolicyError: a network policy is invalid.
        """
        given = _read_environment(environ) | _read_options(options, spell)
        higher = {**(ini or {}), **given}
        named = higher["repo"].value if "repo" in higher else repo
        mode = higher["repo_config"].value if "repo_config" in higher else "read"
        rev = higher["rev"].value if "rev" in higher else "HEAD"
        file = (read or _read_repository)(named, rev) if named and mode != "ignore" else None
        values = {**(file.values if file else {}), **higher}
        if "repo" not in values and repo:
            values["repo"] = Given(repo, _DEFAULT)
        values = {**_profile_values(values), **values}
        config = replace(_config(values), notes=file.notes if file else ())
        untrusted = _untrusted(file, values, environ) if file and mode != "trust" else ()
        resolved = cls(config, values, file, untrusted)
        if refuse and untrusted:
            raise resolved.refusal(spell, environ)
        return resolved

    def refusal(self, spell: str, environ: Mapping[str, str]) -> ConfigError:
        """
        Return the error for what is not trusted: what each value would do, and how to allow it.
        """
        from .trust import in_ci

        assert self.file is not None  # noqa: S101 -- it has the values
        option = spell.format("repo-config")
        lines = "\n".join(f"  {one}" for one in self.untrusted)
        once = (
            "in CI, trust that `codex-workspace trust` has recorded does not count: give "
            f"{option}=trust"
            if in_ci(environ)
            else f"run `codex-workspace trust {shlex.quote(str(self.file.top))}` once, or give "
            f"{option}=trust"
        )
        return ConfigError(
            f"{self.file.path} asks for what only you can allow:\n{lines}",
            remedy=f"If you trust the repository with that, {once}. An option "
            f"takes precedence over the file's value, and {option}=ignore ignores the file.",
        )

    def source(self, key: str) -> Source:
        """
        Return the source of an option's value.
        """
        return self.values[key].source if key in self.values else _DEFAULT


def entries_of(option: Option, texts: Sequence[str], source: Source) -> Values:
    """
    Return the values of a repeatable option one by one.

    Raises:
        ConfigError: a value is invalid.
    """
    found: Values = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if option.metavar == "NAME":
            check_variable_name(text, source.spelled)
        elif option.metavar == "ID=REASON":
            check_silence(name, value, source.spelled)
        elif not equals:
            raise ConfigError(f"{source.spelled}={text}: must have the form NAME=VALUE")
        else:
            check_environment({name: value}, source.spelled)
        found[f"{option.key}.{name}"] = Given(value, source)
    return found


def unknown_variables(environ: Mapping[str, str], env: Iterable[str] = ()) -> list[str]:
    """
    Return a line for each variable that looks like one of ours, and has no effect.

    Args:
        environ: the environment of this process, with `CODEX_WORKSPACE_*`.
        env: names of variables of workspaces, with `CODEX_ENV_*_VERSION`.
    """
    runtimes = [f"CODEX_ENV_{name}_VERSION" for name in RUNTIMES]
    ours = [option.variable for option in OPTIONS]
    found = [
        (name, ours) for name in environ if name.startswith("CODEX_WORKSPACE_") and name not in ours
    ]
    found += [
        (name, runtimes) for name in env if name.startswith("CODEX_ENV_") and name not in runtimes
    ]
    return [f"unknown variable {name}{did_you_mean(name, known)}" for name, known in sorted(found)]


def _read_repository(repo: str, rev: str) -> RepositoryFile | None:
    from .committed_file import read_committed

    return read_committed(repo, rev, os.environ)


def _untrusted(
    file: RepositoryFile, values: Values, environ: Mapping[str, str]
) -> tuple[Widening, ...]:
    """
    Return the values that need the user's trust and do not have it.
    """
    from ..host.trusted_files import TrustedFiles
    from .trust import in_ci, widenings

    found = tuple(widenings(values))
    if not found or (not in_ci(environ) and TrustedFiles().has(file.repository, file.digest)):
        return ()
    return found


def _read_options(options: Mapping[str, Any], spell: str) -> Values:
    found: Values = {}
    for option in OPTIONS:
        value = options.get(option.key)
        # The command takes the repository as an argument.
        called = "REPO" if option.name == "repo" and spell == "--{}" else spell.format(option.name)
        source = Source("option", called)
        if option.repeatable:
            found |= entries_of(option, value or (), source)
        elif value == "" or (isinstance(value, list) and "" in value):
            # An unset variable of a script, as in --image=$IMAGE, must not mean the default.
            raise ConfigError(f"{called} has no value: give one, or leave out {called}")
        elif value is not None and value != []:
            found[option.key] = Given(value, source)
    return found


def _read_environment(environ: Mapping[str, str]) -> Values:
    found: Values = {}
    for option in OPTIONS:
        text = environ.get(option.variable, "")
        source = Source("environment", option.variable)
        if option.repeatable:
            # A value may contain spaces, but a name cannot.
            cut = _BY_NAME.split(text) if option.metavar == "NAME" else text.splitlines()
            found |= entries_of(option, [one for one in cut if one.strip()], source)
        elif option.listed and text.strip():
            found[option.key] = Given(_BY_NAME.split(text.strip(" ,\n")), source)
        elif text:
            found[option.key] = Given(text, source)
    return found


def _profile_values(values: Values) -> Values:
    """
    Return the values that the chosen profile sets in place of defaults.
    """
    if "profile" not in values:
        return {}
    profile = profile_named(values["profile"].value)
    source = Source("profile", f"profile {profile.name}")
    found = dict(profile.defaults)
    if profile.tags:
        found["git_tags"] = "true"
    if profile.depth is not None:
        found["git_depth"] = str(profile.depth)
    return {key: Given(value, source) for key, value in found.items()}


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
            raise PolicyError(f"{spelled(key)}: {error}") from None
    return config


def _check_apart(name: str, values: Values) -> None:
    if f"env.{name}" in values:
        variable, secret = values[f"env.{name}"].source, values[f"secret.{name}"].source
        raise ConfigError(
            f"{name} is both a secret ({secret}) and a plain variable ({variable}); remove one "
            "of the two"
        )


def _check_policy(value: Any) -> None:
    # A policy of the repository's file was checked with the file.
    if value == "https-only" or isinstance(value, Mapping):
        return
    from ..network.policy_reader import PolicyReader

    PolicyReader().read(value)

"""Parsers of the commands, and the options that they share with pytest."""

from __future__ import annotations

import argparse
import os
import re
import shlex
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

from ..errors import ConfigError
from ..options.config import SCOPES, Config
from ..options.table import OPTIONS
from .printing import show_message

if TYPE_CHECKING:
    from ..options.sources import ResolvedOptions

    Commands = argparse._SubParsersAction[argparse.ArgumentParser]

__all__ = [
    "POLICIES",
    "RUN_OPTIONS",
    "add_command",
    "add_engine",
    "add_group",
    "add_json",
    "add_options",
    "add_repo",
    "complete_with",
    "config_of",
    "engine_of",
]

Paths = Literal["", "files", "directories"]

RUN_OPTIONS = (
    "rev",
    "repo-config",
    "profile",
    "image",
    "env",
    "secret",
    "network-secret",
    "git-tags",
    "git-depth",
    "setup-script",
    "maintenance-script",
    "cache",
    "cache-ttl",
    "cache-size",
    "cache-scope",
    "cache-registry",
    "cache-push",
    "cpus",
    "memory",
    "network",
    "network-setup",
    "network-methods",
    "cassette",
    "debug",
    "engine",
    "output",
    "setup-timeout",
    "upstream-proxy",
)
"""The options of commands that start a workspace. Those that report on it add `report`."""

POLICIES = (
    "https-only",
    "offline",
    "codex-common-dependencies",
    "codex-package-managers",
    "codex-setup",
    "open",
)
"""The policies that shells complete. A test compares them with `network.policy_reader.NAMES`."""

_SUGGESTED = {
    "image": ("universal", "slim"),
    "engine": ("auto", "docker", "podman", "native"),
    "upstream-proxy": ("environment", "none"),
    "cache-scope": SCOPES,
    "git-depth": ("all", "100"),
    "cpus": ("2", "4", "none"),
    "memory": ("8GiB", "16GiB", "none"),
    "network": POLICIES,
    "network-setup": POLICIES,
}
"""Values that shells complete, of options that accept other values too."""

_PATHS: Mapping[str, Paths] = {
    "POLICY": "files",
    "DIR": "directories",
    "FILE": "files",
    "PATH|-": "files",
    "PATH": "files",
}
"""The kind of paths that shells complete, by placeholder."""


def add_command(
    commands: Commands,
    name: str,
    summary: str,
    description: str,
    action: Callable[[argparse.Namespace], int],
    arguments: str = "",
) -> argparse.ArgumentParser:
    """
    Add a parser for the command *name*, which calls *action*.

    Args:
        commands: the parsers to add to.
        name: the name of the command.
        summary: the line in the list of commands.
        description: the text of its own help; its lines are kept.
        action: the function that runs the command and returns the exit code.
        arguments: the arguments after the options, as in the usage line.
    """
    form: Any = argparse.RawDescriptionHelpFormatter
    parser: argparse.ArgumentParser = commands.add_parser(
        name,
        help=summary,
        usage=f"%(prog)s [OPTIONS] {arguments}".rstrip(),
        description=description,
        formatter_class=form,
    )
    parser.set_defaults(action=action)
    return parser


def add_group(commands: Commands, name: str, summary: str, description: str) -> Commands:
    """
    Add a parser for the command *name*, and return the parsers of its subcommands.

    Args:
        commands: the parsers to add to.
        name: the name of the command.
        summary: the line in the list of commands.
        description: the text of its own help; its lines are kept.
    """
    form: Any = argparse.RawDescriptionHelpFormatter
    parser = commands.add_parser(name, help=summary, description=description, formatter_class=form)
    subcommands: Commands = parser.add_subparsers(
        title="commands", metavar="COMMAND", required=True
    )
    return subcommands


def add_repo(parser: argparse.ArgumentParser, *, resolved: bool = True) -> None:
    """
    Add the argument `REPO`.

    Args:
        parser: the parser to add to.
        resolved: whether the default is a path; otherwise it is `None`, for a command that looks
            up the source of each option.
    """
    default = (os.environ.get("CODEX_WORKSPACE_REPO") or ".") if resolved else None
    action = parser.add_argument(
        "repo",
        nargs="?",
        type=_not_empty,
        default=default,
        metavar="REPO",
        help="path of the repository (default: $CODEX_WORKSPACE_REPO, or the current directory)",
    )
    complete_with(action, paths="directories")


def _not_empty(text: str) -> str:
    # An unset variable of a script must not mean the current directory.
    if not text:
        raise argparse.ArgumentTypeError("it has no value: give a path, or leave it out")
    return text


def add_engine(parser: argparse.ArgumentParser) -> None:
    """
    Add the option `--engine`, for commands that need no other shared option.
    """
    add_options(parser, ("engine",))


def add_json(parser: argparse.ArgumentParser) -> None:
    """
    Add the option `--json`. It has the same meaning for all commands: docs/events.md.
    """
    parser.add_argument(
        "--json",
        action="store_true",
        help="print events, one JSON object per line; the last one is the result",
    )


def add_options(parser: argparse.ArgumentParser, names: Sequence[str]) -> None:
    """
    Add options of pytest without the prefix `codex-`.
    """
    for option in OPTIONS:
        if option.name in names:
            text = option.help + (f" (default: {option.default})" if option.default else "")
            action = parser.add_argument(
                f"--{option.name}",
                dest=option.key,
                metavar=option.metavar,
                action="append" if option.repeatable or option.listed else "store",
                help=text,
            )
            complete_with(
                action,
                option.choices or _SUGGESTED.get(option.name, ()),
                paths=_PATHS.get(option.metavar, ""),
            )


def complete_with(
    action: argparse.Action,
    words: Sequence[str] = (),
    *,
    paths: Paths = "",
) -> None:
    """
    Let shells complete the values of an argument.

    shtab reads the attribute `complete`: for each shell, code that lists values.
    It is written here without importing shtab, which only one command needs.

    Args:
        action: the argument.
        words: values to complete. The argument may accept others.
        paths: the kind of paths to complete.
    """
    if not words and not paths:
        return
    listed = " ".join(words)
    name = re.sub(r"\W", "_", "_".join(["_codex_workspace", paths or "words", *words]))
    bash = [f"compgen -W '{listed}' -- \"$1\""] if words else []
    zsh = {"": f"({listed})", "files": "_files", "directories": "_files -/"}[paths]
    fish = {
        "": "",
        "files": "(__fish_complete_path (commandline -ct))",
        "directories": "(__fish_complete_directories)",
    }[paths]
    if paths:
        bash.append(f'compgen {"-f" if paths == "files" else "-d"} -- "$1"')
    if words and paths:
        zsh = f"{{compadd -- {listed}; {zsh}}}"
    action.complete = {  # type: ignore[attr-defined]
        "bash": name,
        "zsh": zsh,
        "fish": f"{listed} {fish}".strip(),
        "preamble": {"bash": f"{name}() {{ {'; '.join(bash)}; }}"},
    }


def config_of(arguments: argparse.Namespace, *, tell: bool = True, **fixed: Any) -> Config:
    """
    Return the options of the command line, the environment and the file of `REPO`.

    Args:
        arguments: the parsed command line.
        tell: print the notes about the file; otherwise the caller does.
        fixed: options that the command itself sets, by their keys.

    Raises:
        ConfigError: an option has an invalid value.
        PolicyError: a network policy is invalid.
    """
    from ..options.sources import ResolvedOptions

    reads_only = getattr(arguments, "reads_only", False)
    resolved = ResolvedOptions.of(
        {**vars(arguments), **fixed},
        spell="--{}",
        # What only reads the repository gives it nothing that needs trust.
        refuse=not reads_only,
    )
    config = resolved.config
    _warn(config)
    if tell and config.output != "quiet":
        for note in (*config.notes, *(_before_runs(resolved) if reads_only else ())):
            show_message(f"codex: {note}")
    return config


def _before_runs(resolved: ResolvedOptions) -> Iterator[str]:
    """
    Yield what running the repository will need of the user, and reading it does not.
    """
    if resolved.untrusted and resolved.file is not None:
        yield (
            f"{resolved.file.path} asks for what only you can allow, without which nothing runs: "
            f"codex-workspace trust {shlex.quote(str(resolved.file.top))}"
        )
    config = resolved.config
    for name in (*config.secret, *config.network_secret):
        if name not in os.environ:
            yield f"the secret {name} is not set: a run needs the variable {name}"


def engine_of(arguments: argparse.Namespace) -> str:
    """
    Return the option `--engine`, for commands without a repository.

    Raises:
        ConfigError: several engines are given.
    """
    from ..options.sources import ResolvedOptions

    config = ResolvedOptions.of({"engine": arguments.engine}, spell="--{}").config
    _warn(config)
    if config.engines:
        raise ConfigError(
            f"this command works on one engine, and {len(config.engines)} are given: "
            f"{', '.join(config.engines)}",
            remedy="Run it once for each, with one --engine.",
        )
    return config.engine


def _warn(config: Config) -> None:
    """
    Print a line for each variable that is probably misspelled.
    """
    from ..options.sources import unknown_variables

    if config.output == "quiet":
        return
    for line in unknown_variables(os.environ, config.env):
        show_message(f"codex-workspace: warning: {line}")

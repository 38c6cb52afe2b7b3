"""`codex-workspace completion`: scripts with which shells complete the command."""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from textwrap import shorten
from typing import TYPE_CHECKING

from ..config import OPTIONS
from .common import add_command, show

if TYPE_CHECKING:
    from .common import Commands

__all__ = ["Node", "Value", "Word", "register", "tree_of"]

_COMPLETION = """\
Print a script that completes commands, options and their values.

  bash  eval "$(codex-workspace completion bash)"   in ~/.bashrc
  zsh   eval "$(codex-workspace completion zsh)"    in ~/.zshrc, after compinit
  fish  codex-workspace completion fish | source    in config.fish
"""

_SUGGESTED = {
    "image": ("universal", "slim"),
    "engine": ("auto", "docker", "podman"),
    "upstream-proxy": ("environment", "none"),
    **dict.fromkeys(
        ("network", "network-setup", "policy"),
        (
            "https-only",
            "offline",
            "codex-common-dependencies",
            "codex-package-managers",
            "open",
        ),
    ),
}
"""Values of options that take others, too."""

_PATHS = {"REPO": "directories", "FILE": "files", "POLICY": "files", "PATH": "directories"}

_CHOICES = {option.key: option.choices for option in OPTIONS}


@dataclass(frozen=True, slots=True)
class Value:
    """
    What an option or an argument may be: words, or paths, or both.
    """

    words: Sequence[str] = ()
    paths: str = ""
    name: str = ""


@dataclass(frozen=True, slots=True)
class Word:
    """
    One option, by all its names. `value` is `None` if it takes none.
    """

    names: Sequence[str]
    help: str
    value: Value | None


@dataclass(frozen=True, slots=True)
class Node:
    """
    A command: the words that lead to it, its options, its arguments in their
    order, and the commands below it.
    """

    path: tuple[str, ...]
    help: str
    options: Sequence[Word]
    arguments: Sequence[Value]
    below: Sequence[Node] = field(default_factory=tuple)

    def walk(self) -> Iterator[Node]:
        """
        This one, and every one below it.
        """
        yield self
        for node in self.below:
            yield from node.walk()


def register(commands: Commands) -> None:
    """
    Add the command.
    """
    parser = add_command(
        commands, "completion", "print a script for your shell", _COMPLETION, _completion
    )
    parser.add_argument("shell", choices=tuple(_SHELLS), metavar="SHELL", help="bash, zsh or fish")


def _completion(arguments: argparse.Namespace) -> int:
    from . import command_parser

    for line in _SHELLS[arguments.shell](tree_of(command_parser())):
        show(line)
    return 0


def tree_of(parser: argparse.ArgumentParser, path: tuple[str, ...] = (), about: str = "") -> Node:
    """
    What there is to complete.
    """
    options, arguments, below = [], [], []
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            helps = {one.dest: one.help or "" for one in action._choices_actions}
            for name, sub in action.choices.items():
                below.append(tree_of(sub, (*path, name), helps.get(name, "")))
        elif action.help == argparse.SUPPRESS:
            continue
        elif action.option_strings:
            value = None if action.nargs == 0 else _value(action)
            options.append(Word(action.option_strings, _first(action.help), value))
        else:
            arguments.append(_value(action))
    return Node(path, about, options, arguments, below)


def _value(action: argparse.Action) -> Value:
    name = str(action.metavar or action.dest)
    key = action.option_strings[-1].removeprefix("--") if action.option_strings else ""
    # `compose --output` is another than the others'.
    shared = () if action.dest == "file" else _CHOICES.get(action.dest, ())
    words = tuple(action.choices or ()) or shared or _SUGGESTED.get(key, ())
    return Value(words, _PATHS.get(name, ""), name)


def _first(text: str | None) -> str:
    """
    The part of a help text that fits beside an option.
    """
    return shorten((text or "").partition(" (default: ")[0], 60, placeholder=" ...")


def _bash(root: Node) -> Iterator[str]:
    yield from """\
_codex_workspace() {
    local current=${COMP_WORDS[COMP_CWORD]} previous=${COMP_WORDS[COMP_CWORD-1]}
    local path='' word words='' paths='' index IFS=$'\\n'
    # Bash takes --image=slim for three words.
    if [[ $current == = ]]; then
        current=''
    elif [[ $previous == = ]]; then
        previous=${COMP_WORDS[COMP_CWORD-2]}
    fi
    for ((index = 1; index < COMP_CWORD; index++)); do
        word=${COMP_WORDS[index]}
        # What follows is not ours.
        if [[ $word == -- ]]; then COMPREPLY=($(compgen -f -- "$current")); return; fi
        case "$path $word" in""".splitlines()
    for node in root.walk():
        if node.path:
            yield f'            {_quoted(" " + " ".join(node.path))}) path+=" $word" ;;'
    yield from """\
        esac
    done
    case "$path $previous" in""".splitlines()
    for node in root.walk():
        for option in node.options:
            if option.value is None:
                continue
            patterns = "|".join(_quoted(f"{_spaced(node)} {name}") for name in option.names)
            yield f"        {patterns}) {_bash_value(option.value)} ;;"
    yield '        *) case "$path" in'
    for node in root.walk():
        words = [one.path[-1] for one in node.below]
        words += [name for option in node.options for name in option.names]
        kinds = [value.paths for value in node.arguments if value.paths]
        words += [word for value in node.arguments for word in value.words]
        paths = f" paths={kinds[0]}" if kinds else ""
        yield f"            {_quoted(_spaced(node))}) words={_quoted(' '.join(words))}{paths} ;;"
    yield from """\
        esac ;;
    esac
    COMPREPLY=($(IFS=' '; compgen -W "$words" -- "$current"))
    [[ $current == -* ]] && return
    case $paths in
        files) COMPREPLY+=($(compgen -f -- "$current")); compopt -o filenames ;;
        directories) COMPREPLY+=($(compgen -d -- "$current")); compopt -o filenames ;;
    esac 2>/dev/null
}
complete -F _codex_workspace codex-workspace""".splitlines()


def _spaced(node: Node) -> str:
    return "".join(f" {word}" for word in node.path)


def _bash_value(value: Value) -> str:
    parts = [f"words={_quoted(' '.join(value.words))}"] if value.words else []
    parts += [f"paths={value.paths}"] if value.paths else []
    return " ".join(parts) or ":"


def _zsh(root: Node) -> Iterator[str]:
    yield "#compdef codex-workspace"
    yield '_codex_workspace_or_files() { compadd -- "$@"; _files }'
    for node in root.walk():
        yield f"{_function(node)}() {{"
        yield "    local -a rest; local context state line; typeset -A opt_args"
        specs = [_zsh_option(option) for option in node.options]
        if node.below:
            named = " ".join(f'{one.path[-1]}\\:"{_zsh_text(one.help)}"' for one in node.below)
            specs += [_quoted(f"1:command:(({named}))"), _quoted("*::argument:->below")]
        else:
            specs += [_quoted(f"::{one.name}:{_zsh_value(one)}") for one in node.arguments]
        yield "    _arguments -C " + " ".join(specs)
        if node.below:
            yield "    [[ $state == below ]] && case $words[1] in"
            for one in node.below:
                yield f"        {one.path[-1]}) {_function(one)} ;;"
            yield "    esac"
        yield "}"
    yield f'if [[ $funcstack[1] == _codex-workspace ]]; then {_function(root)} "$@"'
    yield f"else compdef {_function(root)} codex-workspace; fi"


def _function(node: Node) -> str:
    return "_".join(["_codex_workspace", *node.path])


def _zsh_option(option: Word) -> str:
    text = f"[{_zsh_text(option.help)}]"
    value = option.value
    after = "" if value is None else f":{value.name}:{_zsh_value(value)}"
    names = [
        f"{name}=" if value is not None and name.startswith("--") else name for name in option.names
    ]
    return " ".join(_quoted(f"*{name}{text}{after}") for name in names)


def _zsh_value(value: Value) -> str:
    words = f"({' '.join(value.words)})" if value.words else ""
    paths = {"files": "_files", "directories": "_files -/"}.get(value.paths, "")
    if words and paths:
        # With a space before it, it is called as it stands.
        return f" _codex_workspace_or_files {' '.join(value.words)}"
    return words or paths or " "


def _zsh_text(text: str) -> str:
    return "".join(f"\\{one}" if one in '[]:\\"`$' else one for one in text)


def _fish(root: Node) -> Iterator[str]:
    command = "complete -c codex-workspace"
    yield f"{command} -f"
    for node in root.walk():
        here = [f"__fish_seen_subcommand_from {word}" for word in node.path]
        names = " ".join(one.path[-1] for one in node.below)
        outside = [f"not __fish_seen_subcommand_from {names}"] if names else []
        condition = "; and ".join([*here, *outside])
        start = f"{command} -n {_quoted(condition)}"
        for one in node.below:
            yield f"{start} -a {one.path[-1]} -d {_quoted(one.help)}"
        for option in node.options:
            flags = " ".join(
                f"-l {name[2:]}" if name.startswith("--") else f"-s {name[1:]}"
                for name in option.names
            )
            yield f"{start} {flags} -d {_quoted(option.help)}{_fish_value(option.value)}"
        for value in node.arguments:
            yield f"{start}{_fish_words(value)}"


def _fish_value(value: Value | None) -> str:
    if value is None:
        return ""
    return (" -r" if value.paths == "files" else " -x") + _fish_words(value)


def _fish_words(value: Value) -> str:
    words = [*value.words, *(["(__fish_complete_directories)"] * (value.paths == "directories"))]
    offered = f" -a {_quoted(' '.join(words))}" if words else ""
    return (" -F" if value.paths == "files" else "") + offered


def _quoted(text: str) -> str:
    """
    *text* for any of the shells: there is no `!` in what we say.
    """
    return "'" + text.replace("'", "'\\''") + "'"


_SHELLS = {"bash": _bash, "zsh": _zsh, "fish": _fish}

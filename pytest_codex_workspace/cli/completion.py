"""`codex-workspace completion`: print a completion script for a shell."""

from __future__ import annotations

import argparse
import re
from typing import TYPE_CHECKING

from .options import add_command
from .printing import show

if TYPE_CHECKING:
    from .options import Commands

__all__ = ["SUMMARY", "register"]

SUMMARY = "print a shell completion script"

_COMPLETION = """\
Print a script for completing commands, options and values in a shell.

  bash  eval "$(codex-workspace completion bash)"   in ~/.bashrc
  zsh   eval "$(codex-workspace completion zsh)"    in ~/.zshrc, after compinit
  fish  codex-workspace completion fish | source    in config.fish
"""

_SHELLS = ("bash", "zsh", "fish")

# Bash splits --image=slim and NAME=VALUE into three words each; shtab expects
# one word for an option, and one for its value.
_BASH = """
_codex_workspace() {
    local words=() cword=$COMP_CWORD word last index joins=0
    for ((index = 0; index < ${#COMP_WORDS[@]}; index++)); do
        word=${COMP_WORDS[index]} last=$((${#words[@]} - 1))
        if ((joins)); then
            words[last]+=$word joins=0
        elif [[ $word == = && $last -ge 0 && ${words[last]} == --* ]]; then
            ((index < COMP_CWORD)) || { words+=(''); continue; }
        elif [[ $word == = && $last -gt 0 ]]; then
            words[last]+== joins=1
        else
            words+=("$word")
            # Words of the command that `exec` runs are completed as file names.
            [[ $word == -- && $index -lt $COMP_CWORD ]] && return
            continue
        fi
        ((index <= COMP_CWORD)) && ((cword--))
    done
    local COMP_WORDS=("${words[@]}") COMP_CWORD=$cword
    _shtab_codex_workspace "$@"
}
complete -o bashdefault -o default -F _codex_workspace codex-workspace
"""

_ZSH_OPTION = re.compile(r'^(  "\*?--[\w-]+)(\[.*\]:)', re.MULTILINE)
"""A long option with a value in the script of shtab, up to the colon after its help."""


def register(commands: Commands) -> None:
    """
    Add the command.
    """
    parser = add_command(commands, "completion", SUMMARY, _COMPLETION, _completion, "SHELL")
    parser.add_argument("shell", choices=_SHELLS, metavar="SHELL", help="bash, zsh or fish")


def _completion(arguments: argparse.Namespace) -> int:
    import shtab

    from .main import command_parser

    script = shtab.complete(command_parser(), arguments.shell)
    if arguments.shell == "bash":
        script += _BASH
    elif arguments.shell == "zsh":
        # With the `=`, zsh also completes the value in --option=value.
        script = _ZSH_OPTION.sub(r"\1=\2", script)
    show(script.rstrip("\n"))
    return 0

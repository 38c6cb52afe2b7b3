"""Failures that a script does not notice."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from itertools import pairwise

from ...text.bash_commands import Pipeline, ShellCommand
from ..finding import Finding
from ..repository import CheckedRepository
from ..scripts import Script

__all__ = ["goes_on", "has_set_e", "hidden_downloads"]

_DOWNLOADERS = frozenset({"curl", "wget", "aria2c", "http", "https", "xh", "fetch", "axel"})
_SHELLS = frozenset({"bash", "sh", "dash", "zsh", "ksh", "eval", "source", "."})
_NOTICE = frozenset(
    {"apt-key", "bsdtar", "bunzip2", "bzip2", "cpio", "egrep", "gpg", "gpg2", "grep", "gunzip"}
    | {"gzip", "pv", "rg", "tar", "unxz", "unzip", "xz", "zcat", "zgrep"}
)
"""Programs that fail if they read nothing."""

_SET_E = re.compile(
    r"^(?:.*(?:;|&&))?[ \t]*set\b(?:[ \t]+[+-]?\w+)*?[ \t]+"
    r"-(?:[A-Za-z]{0,20}e[A-Za-z]{0,20}\b|[A-Za-z]{0,20}o[ \t]+errexit\b)",
    re.MULTILINE,
)
_SET = re.compile(r"([-+])[A-Za-z]*o")


def hidden_downloads(repo: CheckedRepository) -> Iterator[Finding]:
    """
    Find downloads whose failure does not end the script, also if a shell runs their output.
    """
    for script in repo.scripts_of("setup", "resume", "called", "install", "test"):
        for line, what in _hidden(script):
            yield Finding.of(
                "hidden-download",
                f"a download that fails, or is refused, does not end the script: {what}",
                "The proxy refuses what the environment does not allow; the script goes on, and "
                "half a setup is cached.",
                'Add `set -euo pipefail` at the top. In place of `bash -c "$(curl ...)"` or '
                "`bash <(curl ...)`, download with `curl -fsSLo FILE URL`, then run the "
                "file.",
                path=script.path,
                line=script.at(line),
            )


def _hidden(script: Script) -> Iterator[tuple[int, str]]:
    if any("PIPESTATUS" in word for one in script.commands() for word in one.command.words):
        return
    yield from _hidden_in(script.pipelines, pipefail=False)


def _hidden_in(script: Iterable[Pipeline], *, pipefail: bool) -> Iterator[tuple[int, str]]:
    for pipeline in script:
        commands = pipeline.commands
        if len(commands) == 1:
            pipefail = _pipefail_after(commands[0], pipefail)
        source = next((one for one in commands[:-1] if _downloads(one)), None)
        if source is not None and not pipefail and _last(commands[-1]).name not in _NOTICE:
            yield source.line, f"{_last(source).name} | {_last(commands[-1]).name}"
        for command in commands:
            if command.name in _SHELLS:
                yield from _substituted(command)
            yield from _hidden_in(command.nested, pipefail=pipefail)


def _substituted(command: ShellCommand) -> Iterator[tuple[int, str]]:
    """
    Yield the downloads whose output is the text that a shell runs. Nothing looks at their exit
    codes.
    """
    for pipeline in command.nested:
        last = _last(pipeline.commands[-1])
        if pipeline.kind in ("$(", "<(") and last.name in _DOWNLOADERS:
            run = f"{command.name} -c" if "-c" in command.words else command.name
            yield command.line, f"{run} {pipeline.kind}{last.name} ...)"


def _pipefail_after(command: ShellCommand, before: bool) -> bool:
    words = command.plain
    if words[:1] == ["set"]:
        for option, name in pairwise(words[1:]):
            if name == "pipefail" and (sign := _SET.match(option)):
                return sign[1] == "-"
    if words[:1] == ["shopt"] and "pipefail" in words:
        return not any(one.startswith("-") and "u" in one for one in words)
    return before


def _downloads(command: ShellCommand) -> bool:
    return _last(command).name in _DOWNLOADERS


def _last(command: ShellCommand) -> ShellCommand:
    """
    Return the command whose exit code is that of *command*: the last one of a subshell.
    """
    while command.is_group and (inside := [one for one in command.nested if one.kind == "("]):
        command = inside[-1].commands[-1]
    return command


def goes_on(repo: CheckedRepository) -> Iterator[Finding]:
    """
    Find scripts that go on after a failed command.
    """
    for script in repo.scripts_of("setup", "resume"):
        if not has_set_e(script.text) and not _is_one_command(script):
            yield Finding.of(
                "script-errors",
                f"{script.path} continues after a failed command, and returns the exit code of "
                "the last command: an incomplete setup can be cached",
                "Which options Codex's shell sets is not known, so the strict answer counts: none.",
                "Add `set -euo pipefail` at the top. (Options in the #! line have no effect.)",
                path=script.path,
                line=1,
            )


def _is_one_command(script: Script) -> bool:
    return len(list(script.commands())) <= 1


def has_set_e(text: str) -> bool:
    """
    Check whether a script has a line that sets `-e`.
    """
    return _SET_E.search(text.replace("\r", "")) is not None

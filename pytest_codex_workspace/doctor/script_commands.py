"""Checks of single commands of codex-workspace-scripts/: those that fail in a workspace, or fail
unnoticed."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import chain, pairwise

from ..codex import NO_REMOTE
from ..text.bash_commands import Pipeline, ShellCommand, parse_script
from .result import Result, ok, some, warning
from .scripts import Script

__all__ = ["exports", "piped_downloads", "remotes"]

_DOWNLOADERS = frozenset({"curl", "wget", "aria2c", "http", "https", "xh", "fetch", "axel"})
_SHELLS = frozenset({"bash", "sh", "dash", "zsh", "ksh", "eval", "source", "."})
_NOTICE = frozenset(
    {"apt-key", "bsdtar", "bunzip2", "bzip2", "cpio", "egrep", "gpg", "gpg2", "grep", "gunzip"}
    | {"gzip", "pv", "rg", "tar", "unxz", "unzip", "xz", "zcat", "zgrep"}
)
"""Programs that fail if they read nothing."""

_LONGEST = 256 << 10
"""Bytes of a script that are read. Larger ones have data inside."""

_SET = re.compile(r"([-+])[A-Za-z]*o")
_REMOTE_REF = re.compile(r"(?<![\w./@:-])(?:refs/remotes/)?(?:origin|upstream)/[\w@{]")
_NEEDS_REMOTE = frozenset({"fetch", "pull", "push", "ls-remote"})
_NEEDS_REMOTE_OF_LFS = frozenset({"fetch", "pull", "push"})
_PROFILES = re.compile(r"\.(bashrc|bash_profile|profile|bash_login)\b|/etc/(profile|environment)")
_OF_INSTALLERS = re.compile(r"DEBIAN_|NEEDRESTART_|PIP_|UV_|npm_config_|LC_|CI$|UCF_")


def piped_downloads(scripts: Sequence[Script]) -> Result:
    """
    Check that a download that fails ends the script, also if its output is run by a shell.
    """
    found = _found(scripts, _hidden_downloads)
    if not found:
        return ok("none whose failure is hidden")
    return warning(
        f"a download that fails, or is refused, does not end the script: {some(found)}",
        'Add `set -euo pipefail` at the top. In place of `bash -c "$(curl ...)"` or '
        "`bash <(curl ...)`, download with `curl -fsSL --output FILE URL`, then run the file.",
    )


def remotes(scripts: Sequence[Script]) -> Result:
    """
    Check that no script needs a remote of its repository.
    """
    found = _found(scripts, _uses_of_remotes)
    if not found:
        return ok("not needed")
    return warning(f"the scripts need a remote, and {NO_REMOTE[0]}: {some(found)}", NO_REMOTE[1])


def exports(scripts: Sequence[Script]) -> Result:
    """
    Report variables that are exported for the script itself only (informational only).
    """
    if any(_PROFILES.search(one.content.decode("utf-8", "replace")) for one in scripts):
        return ok("a profile is written")
    found = _found(scripts, _exported)
    if not found:
        return ok("none")
    return ok(
        f"seen by the script only, not by later commands: {some(found)}; a line in ~/.bashrc "
        "makes them last"
    )


def _found(
    scripts: Sequence[Script], find: Callable[[list[Pipeline]], Iterable[tuple[int, str]]]
) -> list[str]:
    return [
        f"{script.path}:{line}: {what}"
        for script in scripts
        for line, what in find(parse_script(script.content[:_LONGEST].decode("utf-8", "replace")))
    ]


def _hidden_downloads(script: list[Pipeline]) -> Iterator[tuple[int, str]]:
    if any("PIPESTATUS" in word for one in _commands(script) for word in one.words):
        return
    yield from _hidden_in(script, pipefail=False)


def _hidden_in(script: Iterable[Pipeline], *, pipefail: bool) -> Iterator[tuple[int, str]]:
    for pipeline in script:
        commands = pipeline.commands
        if len(commands) == 1:
            pipefail = _pipefail_after(commands[0], pipefail)
        source = next((one for one in commands[:-1] if _downloads(one)), None)
        if source is not None and not pipefail and _last(commands[-1]).name not in _NOTICE:
            yield source.line, f"{_last(source).name} | {_last(commands[-1]).name}"
        for command in commands:
            if command.name in _SHELLS and not command.is_group:
                yield from _substituted(command)
            # A substitution or a subshell has the options of its shell, and changes none of it.
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


def _uses_of_remotes(script: list[Pipeline]) -> Iterator[tuple[int, str]]:
    commands = list(_commands(script))
    if any(_git(one)[:2] in (["remote", "add"], ["remote", "set-url"]) for one in commands):
        return
    for command in commands:
        words = _git(command)
        names = (one for one in command.words if "://" not in one and _REMOTE_REF.search(one))
        if ref := next(names, ""):
            yield command.line, ref
        elif words and not any("://" in one or "@" in one for one in words):
            lfs = words[0] == "lfs"
            used, needs = words[lfs:], _NEEDS_REMOTE_OF_LFS if lfs else _NEEDS_REMOTE
            if used and used[0] in needs:
                yield command.line, f"git {'lfs ' if lfs else ''}{used[0]}"
            elif words[:2] == ["submodule", "update"] and "--remote" in words:
                yield command.line, "git submodule update --remote"


def _git(command: ShellCommand) -> list[str]:
    """
    Return the words of a git command from the subcommand on, if it is one for this repository.
    """
    words = command.plain
    if command.name != "git":
        return []
    at = 1
    while at < len(words) and words[at].startswith("-"):
        if words[at] in ("-C", "--git-dir", "--work-tree"):
            return []
        at += 2 if words[at] == "-c" else 1
    return words[at:]


def _exported(script: list[Pipeline]) -> Iterator[tuple[int, str]]:
    for command in _commands(script):
        words = command.plain
        if (words[:1] == ["export"] and "-n" not in words) or words[:2] == ["declare", "-x"]:
            names = (one.partition("=")[0] for one in words[1:] if not one.startswith("-"))
            for name in names:
                if name and not _OF_INSTALLERS.match(name):
                    yield command.line, name


def _commands(script: Iterable[Pipeline]) -> Iterator[ShellCommand]:
    for pipeline in chain.from_iterable(one.all() for one in script):
        yield from pipeline.commands

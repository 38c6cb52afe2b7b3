"""The commands of a repository: its scripts, what they call, and how it is tested."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from itertools import islice, zip_longest
from pathlib import PurePosixPath
from typing import Any, Literal

from ..codex import CONFIG_FILE, RESUME, SETUP
from ..text.bash_commands import Pipeline, ShellCommand, parse_script
from .documents import json_line, json_of, subtable, toml_of
from .tree import CommittedTree

__all__ = [
    "Found",
    "Role",
    "Script",
    "collect_scripts",
    "file_for_shell",
    "folders_named",
    "path_from_top",
]

Role = Literal["setup", "resume", "called", "install", "test", "make"]
"""The scripts of Codex's environment; scripts that others call; what a package manager runs after
an installation; commands of tests; what a Makefile runs when it is read."""

_LARGEST = 256 << 10
"""Characters of a script that are parsed. Larger ones have data inside."""

_LONGEST_LINE = 4_000
"""Characters of a line of a Makefile or justfile."""

_MOST = 60
"""Scripts that are looked at."""

_MOST_FOLDERS = 500
"""Folders that are looked for in a script."""

_MOST_COMMANDS = 5_000
"""Commands of a script that are looked at, and after how many no further script is."""

_CONDITIONS = (["if"], ["elif"], ["while"], ["until"], ["!"])
_GIVES_UP = frozenset({"exit", "return", "false", "die", "fail", "abort", "error", "fatal"})

_INTERPRETERS = frozenset({"bash", "sh", "dash", "zsh", "ksh", "source", "."})
"""Commands that run a file of commands."""

_SHELLS_WITH_TEXT = frozenset({"bash", "sh", "dash", "zsh", "su", "runuser"})
_TEXT_OPTION = re.compile(r"-[a-z]*c|--command")
_INSTALL_HOOKS = ("preinstall", "install", "postinstall", "prepare", "preprepare", "postprepare")
_TEST_HOOKS = ("pretest", "test", "posttest")
_RUNNERS = frozenset({"npm", "pnpm", "yarn", "bun"})
_TEST_TARGETS = ("test", "tests", "check", "unittest", "unit-test")
_PYTHON_TASKS = (
    ("tool", "pdm", "scripts"),
    ("tool", "poe", "tasks"),
    ("tool", "taskipy", "tasks"),
    ("tool", "hatch", "envs", "default", "scripts"),
    ("tool", "pixi", "tasks"),
)
_TARGET = re.compile(r"^([\w./ \t-]+)::?(?!=)([^#=]*)(?:#.*)?$")
_MAKE_VARIABLE = re.compile(r"\$[({](\w+)[)}]")
_MAKE_SHELL = re.compile(r"\$[({]shell\s+")


@dataclass(frozen=True, slots=True)
class Found:
    """
    A command of a script.

    Attributes:
        command: the command.
        pipeline: the pipeline that it is a part of.
        line: its line in the file of the script.
        tolerated: whether the script goes on if it fails, and is meant to: it is a condition, or
            another command follows in its place.
    """

    command: ShellCommand
    pipeline: Pipeline
    line: int | None
    tolerated: bool = False


@dataclass(frozen=True)
class Script:
    """
    A text of commands.

    Attributes:
        path: the file that it is, or is in.
        role: who runs it.
        text: the commands.
        mode: mode of the file as git writes it, if the file is a script.
        first: the line in the file at which the text begins.
        one_line: whether the text is on one line of the file, whatever its own line ends.
        pipelines: the parsed commands.
    """

    path: str | None
    role: Role
    text: str
    mode: str = ""
    first: int | None = 1
    one_line: bool = False
    pipelines: Sequence[Pipeline] = field(default=())

    def at(self, line: int) -> int | None:
        """
        Return the line in the file for a *line* of the text.
        """
        if self.first is None:
            return None
        return self.first if self.one_line else self.first + line - 1

    def commands(self) -> Iterator[Found]:
        """
        Yield the commands in the order of the text, those in others after them.
        """
        yield from self._every

    @cached_property
    def _every(self) -> tuple[Found, ...]:
        return tuple(islice(self._commands(self.pipelines, tolerated=False), _MOST_COMMANDS))

    def _commands(self, pipelines: Sequence[Pipeline], *, tolerated: bool) -> Iterator[Found]:
        for pipeline, following in zip_longest(pipelines, pipelines[1:]):
            first = pipeline.commands[0].words[:1]
            allowed = (
                tolerated
                or first in _CONDITIONS
                or (
                    pipeline.ends == "||"
                    and following is not None
                    and following.commands[0].name not in _GIVES_UP
                )
            )
            for command in pipeline.commands:
                yield Found(command, pipeline, self.at(command.line), allowed)
            for command in pipeline.commands:
                yield from self._commands(command.nested, tolerated=allowed)
                for inner in parse_script(_given_to_shell(command)):
                    yield from self._at_line_of(command, inner, tolerated=allowed)

    def _at_line_of(
        self, command: ShellCommand, pipeline: Pipeline, *, tolerated: bool
    ) -> Iterator[Found]:
        """
        Yield the commands of a text that *command* runs, which is on its line.
        """
        for found in self._commands([pipeline], tolerated=tolerated):
            yield replace(found, line=self.at(command.line))


def collect_scripts(
    tree: CommittedTree,
    test_command: str = "",
    given: Mapping[Role, tuple[str, str]] | None = None,
) -> list[Script]:
    """
    Return the scripts of a repository, each once.

    Args:
        tree: the files of the commit.
        test_command: the configured command of the tests, besides those of the usual files.
        given: name and text of scripts that run in place of those of the repository: with a
            setup script, none of those runs.
    """
    return _Collector(tree).collect(test_command, given or {})


def _line_of_task(text: str, task: str) -> int:
    at = max(text.find(f'"{task}"'), text.find(f"'{task}'"), text.find(json.dumps(task)))
    return text.count("\n", 0, at) + 1 if at >= 0 else 1


def _task_texts(task: Any) -> list[str]:
    """
    Return the commands of a task, however it is written.
    """
    if isinstance(task, str):
        return [task]
    if isinstance(task, list):
        return [one for one in task if isinstance(one, str)]
    if isinstance(task, dict):
        return [text for name in ("cmd", "shell", "script") for text in _task_texts(task.get(name))]
    return []


def _given_to_shell(command: ShellCommand) -> str:
    """
    Return the text that a shell or su runs: `bash -c TEXT`.
    """
    words = command.plain
    if command.name in _SHELLS_WITH_TEXT and not command.nested:
        for at, word in enumerate(words[1:-1], 1):
            if _TEXT_OPTION.fullmatch(word):
                return words[at + 1]
    return ""


class _Collector:
    def __init__(self, tree: CommittedTree) -> None:
        self._tree = tree
        self._found: dict[tuple[str | None, int | None], Script] = {}
        self._package = _Package(tree.text("package.json"))
        self._makefile = _Makefile(tree)
        self._commands = 0

    def collect(self, test_command: str, given: Mapping[Role, tuple[str, str]]) -> list[Script]:
        own: tuple[tuple[str, Role], ...] = ((SETUP, "setup"), (RESUME, "resume"))
        for path, role in own:
            if role in given:
                # As those of the repository, bash reads it.
                name, text = given[role]
                self._add(Script(name, role, text, "100755"))
            elif "setup" not in given:
                self._file(path, role)
        if test_command:
            self._add(Script(CONFIG_FILE, "test", test_command, first=None, one_line=True))
        for name in _INSTALL_HOOKS:
            self._package_script(name, "install")
        for name in _TEST_HOOKS:
            self._package_script(name, "test")
        for name in _TEST_TARGETS:
            self._target(name, "test")
        for line, text in self._makefile.shells:
            self._add(Script(self._makefile.path, "make", text, first=line, one_line=True))
        self._tox()
        self._justfile()
        self._tasks()
        return list(self._found.values())

    def _file(self, path: str, role: Role) -> None:
        file = self._tree.files.get(path)
        if file is not None and (text := self._tree.text(path)):
            self._add(Script(path, role, text, file.mode))

    def _add(self, script: Script) -> None:
        key = (script.path, script.first)
        if key in self._found or len(self._found) >= _MOST:
            return
        whole = len(script.text) <= _LARGEST and self._commands < _MOST_COMMANDS
        pipelines = parse_script(script.text) if whole else []
        script = replace(script, text=script.text[:_LARGEST], pipelines=pipelines)
        self._found[key] = script
        for found in script.commands():
            self._commands += 1
            self._follow(script, found.command)

    def _follow(self, script: Script, command: ShellCommand) -> None:
        words = command.plain
        if not words:
            return
        role: Role = script.role if script.role in ("install", "test") else "called"
        path = self._called(script, words)
        if path:
            self._file(path, role)
        elif words[0] in _RUNNERS:
            for name in _run_names(words):
                for hook in (f"pre{name}", name, f"post{name}"):
                    self._package_script(hook, role)
        elif words[0] in ("make", "gmake") and "-C" not in words:
            for name in words[1:]:
                self._target(name, role)

    def _called(self, script: Script, words: list[str]) -> str | None:
        """
        Return the path of the script that a command runs, if it is in the commit.
        """
        given = file_for_shell(words)
        if not given and "/" not in words[0]:
            return None
        for above in ("", str(PurePosixPath(script.path or "").parent)):
            path = path_from_top(above, given or words[0])
            file = self._tree.files.get(path)
            if file is not None and path.rpartition(".")[2] not in ("py", "js", "rb", "pl", "ts"):
                return path if self._is_shell(path, named=bool(given)) else None
        return None

    def _is_shell(self, path: str, *, named: bool) -> bool:
        """
        Check whether a file is a shell script: it is given to a shell, or says so.
        """
        first = self._tree.text(path)[:200].partition("\n")[0]
        return named or path.endswith(".sh") or bool(re.match(r"#!.*\b(ba|da|z|k)?sh\b", first))

    def _package_script(self, name: str, role: Role) -> None:
        text = self._package.scripts.get(name)
        if text:
            line = json_line(self._package.text, "scripts", name)
            self._add(Script("package.json", role, text, first=line, one_line=True))

    def _target(self, name: str, role: Role) -> None:
        for line, text in self._makefile.recipes(name):
            self._add(Script(self._makefile.path, role, text, first=line, one_line=True))

    def _justfile(self) -> None:
        path = next((one for one in ("justfile", "Justfile") if one in self._tree.files), "")
        inside = False
        for number, line in enumerate(self._tree.text(path).splitlines(), 1) if path else ():
            if len(line) > _LONGEST_LINE:
                continue
            if line[:1] not in (" ", "\t", ""):
                inside = bool(re.match(rf"@?({'|'.join(_TEST_TARGETS)})\b[^=]*:(?!=)", line))
            elif inside and line.strip():
                text = re.sub(r"\{\{[^{}]*\}\}", "x", line.strip().lstrip("@-"))
                self._add(Script(path, "test", text, first=number, one_line=True))

    def _tasks(self) -> None:
        """
        Add the task `test` of tools for Python and PHP.
        """
        for path, parse, places in (
            ("pyproject.toml", toml_of, _PYTHON_TASKS),
            ("composer.json", json_of, (("scripts",),)),
            ("deno.json", json_of, (("tasks",),)),
        ):
            text = self._tree.text(path)
            data = parse(text)
            for keys in places:
                for one in _task_texts(subtable(data, *keys).get("test")):
                    line = _line_of_task(text, one)
                    self._add(Script(path, "test", one, first=line, one_line=True))

    def _tox(self) -> None:
        text = self._tree.text("tox.ini")
        inside = False
        for number, line in enumerate(text.splitlines(), 1):
            begun = re.match(r"commands(?:_pre)?\s*=\s*(.*)", line)
            inside = bool(begun) or (inside and line[:1] in (" ", "\t", ""))
            command = (begun[1] if begun else line).strip() if inside else ""
            if command and not command.startswith("#"):
                plain = re.sub(r"\{[^{}]*\}", "x", command.lstrip("- "))
                self._add(Script("tox.ini", "test", plain, first=number, one_line=True))


def _run_names(words: list[str]) -> list[str]:
    """
    Return the scripts of package.json that a command of npm, pnpm, yarn or bun runs.
    """
    rest = [one for one in words[1:] if not one.startswith("-")]
    if rest[:1] in (["run"], ["run-script"]):
        return rest[1:2]
    if rest[:1] in (["test"], ["t"]) and words[0] != "bun":
        return ["test"]
    # The short form, which npm does not have.
    return rest[:1] if words[0] in ("yarn", "pnpm") else []


def path_from_top(above: str, named: str) -> str:
    """
    Return a path from the top; empty if it leads out of it. What is substituted in front of it is
    taken for the top or the folder of the script.
    """
    named = re.sub(r"^(\$\{?\w+\}?/|\./|/workspace/[^/]+/|/(?=[\w.-]+/))+", "", named).lstrip("/")
    parts: list[str] = []
    for part in (*PurePosixPath(above).parts, *PurePosixPath(named).parts):
        if part == "..":
            if not parts:
                return ""
            parts.pop()
        else:
            parts.append(part)
    return "/".join(parts)


def folders_named(text: str, folders: Iterable[str]) -> Iterator[str]:
    """
    Yield those of some folders that a script names, and not only inside of a longer name. A large
    script is read at its beginning, and of very many folders, the first are looked for.
    """
    text = text[:_LARGEST]
    for folder in islice(folders, _MOST_FOLDERS):
        name = re.escape(folder)
        # What is looked for first is plain text, which is found fast.
        if re.search(rf"{name}(?![\w-])(?<![\w.-]{name})", text):
            yield folder


def file_for_shell(words: list[str]) -> str:
    """
    Return the file of commands that a command gives to a shell; empty if it gives none.
    """
    if words[0] not in _INTERPRETERS or "-c" in words:
        return ""
    return next((one for one in words[1:] if not one.startswith(("-", "+"))), "")


class _Package:
    """
    The scripts of a package.json.
    """

    def __init__(self, text: str) -> None:
        self.text = text
        scripts = subtable(json_of(self.text), "scripts")
        self.scripts = {name: text for name, text in scripts.items() if isinstance(text, str)}


class _Makefile:
    """
    The targets of a Makefile, as far as they can be known without running make.
    """

    def __init__(self, tree: CommittedTree) -> None:
        names = ("GNUmakefile", "makefile", "Makefile")
        self.path = next((name for name in names if name in tree.files), "Makefile")
        self.shells: list[tuple[int, str]] = []
        self._recipes: dict[str, list[tuple[int, str]]] = {}
        self._needs: dict[str, list[str]] = {}
        targets: list[str] = []
        for number, line in _joined(tree.text(self.path)[:_LARGEST]):
            if len(line) > _LONGEST_LINE:
                continue
            if line.startswith("\t"):
                if command := line.strip().lstrip("@-+ "):
                    for one in targets:
                        self._recipes[one].append((number, _as_bash(command)))
                continue
            if line.lstrip().startswith("#"):
                continue
            for found in islice(_MAKE_SHELL.finditer(line), _MOST):
                self.shells.append((number, _as_bash(_balanced(line, found.end()))))
            if (assigned := re.match(r"\w+\s*!=\s*(.+)", line)) is not None:
                self.shells.append((number, _as_bash(assigned[1])))
            if (rule := _TARGET.match(line)) is not None:
                targets = rule[1].split()
                for one in targets:
                    self._recipes.setdefault(one, [])
                    self._needs.setdefault(one, []).extend(rule[2].split())
            elif line.strip():
                targets = []

    def recipes(self, name: str) -> list[tuple[int, str]]:
        """
        Return the commands of a target and of those that it needs.
        """
        found: list[tuple[int, str]] = []
        names: list[str] = [name]
        seen: set[str] = set()
        while names and len(seen) < _MOST:
            one = names.pop(0)
            if one not in seen:
                seen.add(one)
                found += self._recipes.get(one, [])
                names += self._needs.get(one, [])
        return found


def _joined(text: str) -> Iterator[tuple[int, str]]:
    """
    Yield the lines with their numbers; one that ends in a backslash has the next one with it.
    """
    begun, number = "", 0
    for at, line in enumerate(text.splitlines(), 1):
        number = number if begun else at
        if line.endswith("\\"):
            begun += line[:-1] + " "
            continue
        yield number, begun + line
        begun = ""
    if begun:
        yield number, begun


def _as_bash(text: str) -> str:
    """
    Return a command of a Makefile as bash gets it; variables of make as those of bash.
    """
    text = _MAKE_VARIABLE.sub(r"${\1}", _MAKE_SHELL.sub("$(", text.replace("$$", "\0")))
    return text.replace("\0", "$")


def _balanced(text: str, at: int) -> str:
    level, start = 1, at
    while at < len(text) and level:
        level += {"(": 1, "{": 1, ")": -1, "}": -1}.get(text[at], 0)
        at += 1
    return text[start : at - 1] if not level else text[start:]

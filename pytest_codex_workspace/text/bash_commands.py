"""The commands of a bash script, as far as checks need to know them.

Quotes, comments, here-documents, substitutions and subshells are followed; conditions,
loops and functions are not: their commands count in the order of the text.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import PurePosixPath

__all__ = ["Pipeline", "ShellCommand", "parse_script"]

_DEPTH = 40
"""Levels of nesting that are followed; the commands below are left out."""

_MOST = 20
"""Reserved words before a command. Nobody writes more, and all are looked at for each word."""

_BLANK = " \t\r"
_ENDS_WORD = frozenset(" \t\r\n;&|()<>")
_ASSIGNMENT = re.compile(r"[A-Za-z_]\w*(\[[^]]*\])?\+?=")
_RESERVED = frozenset({"!", "{", "if", "then", "elif", "else", "do", "while", "until", "time"})
_STARTS_OTHERS = frozenset(
    {"builtin", "command", "env", "exec", "nice", "nohup", "retry", "sudo", "timeout", "xargs"}
)
_WITH_VALUE = frozenset({"-u", "-g", "-n", "-k", "-s", "--user", "--group", "--signal"})


@dataclass
class ShellCommand:
    """
    A command with its words, without redirections.

    Attributes:
        line: the line it begins at.
        words: its words without quotes. What is substituted is not part of them.
        nested: pipelines of a subshell, and of the substitutions in its words.
        is_group: whether it is a subshell, whose pipelines come first in `nested`.
        redirected: its redirections, as operator and word: `("2>", "/dev/null")`.
    """

    line: int
    words: list[str] = field(default_factory=list)
    nested: list[Pipeline] = field(default_factory=list)
    is_group: bool = False
    redirected: list[tuple[str, str]] = field(default_factory=list)

    @property
    def plain(self) -> list[str]:
        """
        The words from the name of the program on: without reserved words, assignments, and
        programs that start another, such as sudo. A look-up, `command -v NAME`, starts nothing.
        """
        words = iter(self.words)
        started = ""
        for word in words:
            if started == "command" and word in ("-v", "-V"):
                return [started, word, *words]
            if started and word in _WITH_VALUE:
                next(words, None)
            elif started and (word.startswith("-") or word.rstrip("smhd").isdecimal()):
                continue
            elif word in _STARTS_OTHERS:
                started = word
            elif word not in _RESERVED and not _ASSIGNMENT.match(word):
                return [word, *words]
        return []

    @property
    def name(self) -> str:
        """
        The name of its program, without the directory.
        """
        plain = self.plain
        return PurePosixPath(plain[0]).name if plain else ""


@dataclass
class Pipeline:
    """
    Commands of which each but the last writes to the next one.

    Attributes:
        commands: at least one.
        kind: `$(` for a command substitution, `<(` for a process substitution, `(` for a
            subshell; empty otherwise.
        ends: the operator behind it, `&&`, `||` or `&`; empty for others.
    """

    commands: list[ShellCommand]
    kind: str = ""
    ends: str = ""


def parse_script(text: str) -> list[Pipeline]:
    """
    Return the pipelines of a script. Text that is no valid script leads to fewer, not to an error.
    """
    return _Scanner(text.replace("\r\n", "\n")).pipelines("", 0)


class _Scanner:
    def __init__(self, text: str) -> None:
        self._text = text
        self._at = 0
        self._line = 1
        self._here: list[tuple[str, bool]] = []
        """The ends of here-documents that begin at the next line, and whether tabs are cut."""
        self._descriptor = ""
        """The number in front of the next redirection."""

    def pipelines(self, kind: str, depth: int) -> list[Pipeline]:
        """
        Return the pipelines until the end: a parenthesis of that *kind*, or the text's.
        """
        found: list[Pipeline] = []
        commands: list[ShellCommand] = []
        current: ShellCommand | None = None
        cases = 0

        def end_command() -> None:
            nonlocal current
            if current is not None:
                commands.append(current)
            current = None

        def end_pipeline(ends: str = "") -> None:
            end_command()
            if commands:
                found.append(Pipeline(list(commands), kind, ends))
            commands.clear()

        while self._at < len(self._text):
            char = self._text[self._at]
            if char in _BLANK:
                self._step()
            elif self._next_is("\\\n"):
                self._step(2)
            elif char == "#":
                self._skip_line()
            elif char == "\n":
                self._step()
                self._skip_here_documents()
                # A line may end after a bar.
                if current is not None or not commands:
                    end_pipeline()
            elif self._next_is("||") or self._next_is("&&") or self._next_is(";"):
                self._step(1 if char == ";" else 2)
                end_pipeline("" if char == ";" else char * 2)
            elif self._next_is("|"):
                self._step(2 if self._next_is("|&") else 1)
                end_command()
            elif self._next_is("&>"):
                current = current or ShellCommand(self._line)
                self._redirection(current, depth)
            elif char == "&":
                self._step()
                end_pipeline("&")
            elif char == ")":
                self._step()
                if not cases and kind:
                    break
                # The pattern of a case.
                current = None
                commands.clear()
            elif char == "(":
                if self._next_is("((") and current is None:
                    self._skip_to("))")
                    continue
                self._step()
                if self._text[self._at : self._at + 1] == ")" and current is not None:
                    self._step()  # The definition of a function.
                    current = None
                    continue
                group = current or ShellCommand(self._line)
                group.is_group = group.is_group or current is None
                group.nested += self._nested("(", depth)
                current = group
            elif char in "<>" and not self._next_is("<(") and not self._next_is(">("):
                redirected = current or ShellCommand(self._line)
                # One without a command, such as `> file`, is none.
                if self._redirection(redirected, depth):
                    current = redirected
            else:
                current = current or ShellCommand(self._line)
                start = self._at
                word, nested = self._word(depth)
                current.nested += nested
                if self._at == start:
                    self._step()
                elif word.isdecimal() and self._text[self._at : self._at + 1] in ("<", ">"):
                    self._descriptor = word
                    continue
                else:
                    before = current.words
                    is_first = len(before) < _MOST and all(one in _RESERVED for one in before)
                    cases += is_first and word == "case"
                    cases -= is_first and word == "esac" and cases > 0
                    current.words.append(word)
        end_pipeline()
        return found

    def _nested(self, kind: str, depth: int) -> list[Pipeline]:
        if depth >= _DEPTH:
            self._at = len(self._text)
            return []
        return self.pipelines(kind, depth + 1)

    def _word(self, depth: int) -> tuple[str, list[Pipeline]]:
        """
        Read a word. Return its text, and the pipelines that are substituted in it.
        """
        parts: list[str] = []
        nested: list[Pipeline] = []
        while self._at < len(self._text):
            char = self._text[self._at]
            if self._next_is("<(") or self._next_is(">("):
                kind = self._text[self._at : self._at + 2]
                self._step(2)
                nested += self._nested(kind, depth)
            elif char == "(" and parts and parts[-1].endswith("="):
                self._step()
                nested += self._nested("(", depth)
            elif char in _ENDS_WORD:
                break
            elif char == "'" or self._next_is("$'"):
                parts.append(self._single_quoted())
            elif char == '"' or self._next_is('$"'):
                self._step(1 if char == '"' else 2)
                self._double_quoted(parts, nested, depth)
            else:
                self._plain_character(parts, nested, depth)
        return "".join(parts), nested

    def _double_quoted(self, parts: list[str], nested: list[Pipeline], depth: int) -> None:
        while self._at < len(self._text):
            if self._text[self._at] == '"':
                self._step()
                return
            self._plain_character(parts, nested, depth)

    def _plain_character(self, parts: list[str], nested: list[Pipeline], depth: int) -> None:
        """
        Read a character, a character behind a backslash, or a substitution.
        """
        char = self._text[self._at]
        if char == "\\":
            if not self._next_is("\\\n"):
                parts.append(self._text[self._at + 1 : self._at + 2])
            self._step(2)
        elif self._next_is("$(("):
            self._skip_to("))")
        elif self._next_is("$("):
            self._step(2)
            nested += self._nested("$(", depth)
        elif self._next_is("${"):
            parts.append(self._expansion())
        elif char == "`":
            nested += self._backquoted(depth)
        else:
            parts.append(char)
            self._step()

    def _single_quoted(self) -> str:
        escapes = self._next_is("$'")
        self._step(2 if escapes else 1)
        start = self._at
        while self._at < len(self._text) and self._text[self._at] != "'":
            self._step(2 if escapes and self._text[self._at] == "\\" else 1)
        found = self._text[start : self._at]
        self._step()
        return found

    def _expansion(self) -> str:
        """
        Read `${...}`, and return it as it is.
        """
        start, level = self._at, 0
        while self._at < len(self._text):
            char = self._text[self._at]
            if char == "\\":
                self._step()
            elif char in "'":
                self._single_quoted()
                continue
            elif char == "{":
                level += 1
            elif char == "}":
                level -= 1
                if not level:
                    self._step()
                    break
            self._step()
        return self._text[start : self._at]

    def _backquoted(self, depth: int) -> list[Pipeline]:
        self._step()
        start, line = self._at, self._line
        while self._at < len(self._text) and self._text[self._at] != "`":
            self._step(2 if self._text[self._at] == "\\" else 1)
        inside = _Scanner(self._text[start : self._at].replace("\\`", "`"))
        inside._line = line
        self._step()
        return inside.pipelines("$(", depth + 1) if depth < _DEPTH else []

    def _redirection(self, command: ShellCommand, depth: int) -> bool:
        """
        Read an operator and its word. Return whether pipelines are substituted in the word.
        """
        descriptor, self._descriptor = self._descriptor, ""
        here = re.compile(r"<<(?!<)(-?)[ \t]*").match(self._text, self._at)
        if here is not None:
            self._step(len(here[0]))
            delimiter, _ = self._word(depth)
            self._here.append((delimiter, bool(here[1])))
            command.redirected.append(("<<", delimiter))
            return False
        start = self._at
        while self._at < len(self._text) and self._text[self._at] in "<>&|-":
            if self._next_is("<(") or self._next_is(">("):
                break
            self._step()
        operator = descriptor + self._text[start : self._at]
        while self._at < len(self._text) and self._text[self._at] in _BLANK:
            self._step()
        word, nested = self._word(depth)
        command.redirected.append((operator, word))
        command.nested += nested
        return bool(nested)

    def _skip_here_documents(self) -> None:
        for delimiter, cut in self._here:
            while self._at < len(self._text):
                end = self._text.find("\n", self._at)
                end = len(self._text) if end < 0 else end
                line = self._text[self._at : end]
                self._step(end + 1 - self._at)
                if (line.lstrip("\t") if cut else line) == delimiter:
                    break
        self._here.clear()

    def _skip_to(self, end: str) -> None:
        found = self._text.find(end, self._at)
        self._step((len(self._text) if found < 0 else found + len(end)) - self._at)

    def _skip_line(self) -> None:
        found = self._text.find("\n", self._at)
        self._at = len(self._text) if found < 0 else found

    def _next_is(self, text: str) -> bool:
        return self._text.startswith(text, self._at)

    def _step(self, count: int = 1) -> None:
        self._line += self._text.count("\n", self._at, self._at + count)
        self._at = min(len(self._text), self._at + count)

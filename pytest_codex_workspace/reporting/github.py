"""Output for GitHub Actions: a job summary, annotations, and no commands of a workspace."""

from __future__ import annotations

import html
import itertools
import os
import re
import secrets
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from ..text.phrases import cut_end
from ..text.printable import without_colours
from .account import CiFinding, RunAccount
from .ci import CiService, Write
from .output import Output, OutputMode

__all__ = ["GitHub", "annotation", "neutral", "summary"]

FILE_LIMIT = 1 << 20
"""Bytes of the file of a step; of a larger one, GitHub shows nothing."""

_SUMMARY_LIMIT = 128 << 10
_ANNOTATIONS = 10
"""GitHub shows as many errors of a step, and as many warnings."""

_ROWS = 100
_CELL = 300
_LINES = 30
_MESSAGE = 4000

# The runner compares as people read: what cannot be seen does not count.
_UNSEEN = r"[^\x20-\x7e\r\n]*+"
_FIRST = re.compile(rf"(?:^|(?<=\r))([^\x21-\x7e\r\n]*+)(?=:{_UNSEEN}:)", re.MULTILINE)
_ANYWHERE = re.compile(rf"(#{_UNSEEN}#{_UNSEEN})\[")


def neutral(text: str) -> str:
    """
    Return *text* with a backslash in each workflow command: `::` that begins a line, and `##[`.
    """
    return _ANYWHERE.sub(r"\1\\[", _FIRST.sub(r"\1\\", text))


def annotation(finding: CiFinding) -> str:
    """
    Return a finding as a workflow command, with GitHub's escapes.
    """
    properties = {"title": _visible(finding.title)[:_CELL]}
    if finding.file:
        properties["file"] = _visible(finding.file)
        if finding.line:
            properties["line"] = str(finding.line)
    listed = ",".join(f"{name}={_property(value)}" for name, value in properties.items())
    message = _visible(_cut(finding.message), keep="\n")
    return f"::{finding.level} {listed}::{_data(message)}"


def summary(account: RunAccount, limit: int = _SUMMARY_LIMIT) -> str:
    """
    Return an account as Markdown of at most *limit* bytes.

    Text that may be that of a workspace is in one HTML block, escaped and without line ends, so
    it is neither Markdown nor HTML.
    """
    parts = [f"<h3>{_cell(account.title)}</h3>"]
    if account.facts:
        facts = account.facts.items()
        rows = "".join(f"<tr><td>{_cell(k)}</td><td>{_code(v)}</td></tr>" for k, v in facts)
        parts.append(f"<table>{rows}</table>")
    for finding in account.findings[:_ROWS]:
        place = f"{finding.file}:{finding.line}" if finding.line else finding.file
        where = f" {_code(place)}" if place else ""
        parts.append(f"<p><b>{finding.level}: {_cell(finding.title)}</b>{where}</p>")
        if finding.message:
            text = _visible(_cut(finding.message), keep="\n")
            parts.append(f"<pre>{html.escape(text).replace(chr(10), '&#10;')}</pre>")
    end = "<p>The rest does not fit.</p>"
    room = limit - len(end) - 2
    written: list[str] = []
    is_whole = True
    for part in parts:
        room -= len(part.encode()) + 1
        is_whole = room >= 0
        if not is_whole:
            break
        written.append(part)
    listed = _rows(account) if is_whole else []
    if listed:
        fitting = _fitting(listed, room)
        is_whole = len(fitting) == len(listed)
        written += [f"<table>{''.join(fitting)}</table>"] if fitting else []
    if not is_whole:
        written.append(end)
    return "\n{}\n\n".format("\n".join(written))


def _rows(account: RunAccount) -> list[str]:
    if not account.rows:
        return []
    head = "".join(f"<th>{_cell(each)}</th>" for each in account.columns)
    body = ("".join(f"<td>{_code(each)}</td>" for each in row) for row in account.rows[:_ROWS])
    more = len(account.rows) - _ROWS
    last = [f"<tr><td>and {more} more</td></tr>"] if more > 0 else []
    return [f"<tr>{head}</tr>", *(f"<tr>{row}</tr>" for row in body), *last]


def _fitting(rows: list[str], room: int) -> list[str]:
    """
    Return the first rows, as many as a table of *room* bytes has.
    """
    left = room - len("<table></table>") - 1
    sizes = itertools.accumulate(len(row.encode()) for row in rows)
    return [row for row, size in zip(rows, sizes, strict=True) if size <= left]


class GitHub(CiService):
    """
    GitHub Actions, and services that are compatible with it.

    Args:
        environ: `GITHUB_ACTIONS` for annotations, `GITHUB_STEP_SUMMARY` for the file of the
            summary.
    """

    is_known = True

    def __init__(self, environ: Mapping[str, str]) -> None:
        self._annotates = environ.get("GITHUB_ACTIONS") == "true"
        self._file = environ.get("GITHUB_STEP_SUMMARY", "")

    def output(self, mode: OutputMode, write: Write) -> Output:
        """
        Return an output whose lines hold no workflow command.
        """
        return Output(mode, lambda line: write(self.neutral(line)))

    def neutral(self, text: str) -> str:
        """
        Return *text* without workflow commands.
        """
        return neutral(text) if self._annotates else text

    @contextmanager
    def without_commands(self, write: Write) -> Iterator[None]:
        """
        Stop the runner from following commands, until a token that nobody can guess.
        """
        if not self._annotates:
            yield
            return
        token = secrets.token_hex(16)
        write(f"::stop-commands::{token}")
        try:
            yield
        finally:
            write("")  # What was written may have no line end, and a command begins a line.
            write(f"::{token}::")

    def tell(self, account: RunAccount, write: Write, redact: Callable[[str], str]) -> None:
        """
        Add the account to the job summary, and write annotations.
        """
        account = _redacted(account, redact)
        if self._file:
            try:
                self._append(account)
            except OSError as error:
                write(f"codex: the job summary cannot be written: {error.strerror}")
        for level in ("error", "warning") if self._annotates else ():
            found = [one for one in account.findings if one.level == level]
            for one in found[:_ANNOTATIONS]:
                write(annotation(one))

    def _append(self, account: RunAccount) -> None:
        descriptor = os.open(Path(self._file), os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
        with os.fdopen(descriptor, "ab") as file:
            room = FILE_LIMIT - os.fstat(file.fileno()).st_size
            text = summary(account, min(_SUMMARY_LIMIT, room)).encode()
            if len(text) <= room:
                file.write(text)


def _redacted(account: RunAccount, redact: Callable[[str], str]) -> RunAccount:
    return RunAccount(
        redact(account.title),
        {redact(name): redact(value) for name, value in account.facts.items()},
        [
            CiFinding(one.level, redact(one.title), redact(one.message), redact(one.file), one.line)
            for one in account.findings
        ],
        account.columns,
        [[redact(cell) for cell in row] for row in account.rows],
    )


def _data(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _data(text).replace(":", "%3A").replace(",", "%2C")


def _cut(text: str) -> str:
    lines = text[:_MESSAGE].splitlines()
    more = len(text) > _MESSAGE or len(lines) > _LINES
    return "\n".join([*lines[:_LINES], *(["..."] if more else [])])


def _visible(text: str, keep: str = "") -> str:
    shown = without_colours(text)
    return "".join(each if each.isprintable() or each in keep else " " for each in shown)


def _cell(text: str) -> str:
    return html.escape(_visible(cut_end(text, _CELL)))


def _code(text: str) -> str:
    return f"<code>{_cell(text)}</code>" if text else ""

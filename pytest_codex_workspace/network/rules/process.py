"""
Describe the process that made a request, for people.

Command lines are what a workspace says of itself. They are cut, contain no control characters,
and no secrets as far as those can be recognised.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from .text import plain

__all__ = ["ProcessLine", "RedactingStream", "describe_processes", "shorten_processes"]

_ARROW = " › "
_LONGEST_LINE = 120
_LONGEST_READ = 1024
"""Characters of a command line in which secrets are searched; no more are shown in any case."""

_LONGEST = 600
_GAP = "…"
_MARK = "***"
# The quantifiers are possessive: otherwise, a workspace chooses how long the search takes.
_NAMED_SECRET = re.compile(
    r"""((?:^|[\s"'&?;,(])[\w-]*(?:token|secret|passw(?:or)?d|passphrase|api[-_]?key|credentials?)"""
    r"""[\w-]*+["']?(?:\s*+[=:]\s*+|\s++)["']?)[^\s"'&;]+""",
    re.IGNORECASE,
)
_AUTHORIZATION = re.compile(r"\b(authorization\s*[:=]\s*(?:\w+\s+)?|bearer\s+)[^\s\"']+", re.I)
_USER = re.compile(r"((?:^|\s)(?:-u|--user|--proxy-user)[= ]?[^\s:]+:)\S+")
_USER_OF_URL = re.compile(r"(://)[^\s/@]+@")


@dataclass(frozen=True, slots=True)
class ProcessLine:
    """
    The command line of one process.

    Attributes:
        args: its arguments, the first of which is its program.
        cut: whether there was more than this.
    """

    args: tuple[str, ...]
    cut: bool = False


class RedactingStream(Protocol):
    """
    Removes secret values from text that comes in pieces.
    """

    def feed(self, piece: bytes, /) -> bytes:
        """
        Add *piece*, and return the data that can be shown now.
        """

    def end(self) -> bytes:
        """
        Return the data that was held back.
        """


def describe_processes(
    chain: Sequence[ProcessLine], redacting: Callable[[], RedactingStream]
) -> str:
    """
    Return a process after its ancestors, as one short line; empty for an empty *chain*.

    Args:
        chain: the processes, outermost first.
        redacting: returns a new stream that removes the secret values that are known.
    """
    lines = [_describe(one, redacting()) for one in chain]
    return shorten_processes(_ARROW.join(lines), _LONGEST)


def shorten_processes(text: str, limit: int) -> str:
    """
    Return a description of at most *limit* characters, without some of the processes in the
    middle: the script and the last processes say most.
    """
    if len(text) <= limit:
        return text
    lines = text.split(_ARROW)
    last = [lines.pop()]
    while lines and len(_ARROW.join([lines[0], _GAP, lines[-1], *last])) <= limit:
        last.insert(0, lines.pop())
    text = _ARROW.join([*lines[:1], _GAP, *last])
    return text if len(text) <= limit else text[: limit - 1] + _GAP


def _describe(process: ProcessLine, stream: RedactingStream) -> str:
    program, *rest = process.args or ("?",)
    text = " ".join([posixpath.basename(program) or program, *rest]).strip()
    cut = process.cut or len(text) > _LONGEST_READ
    shown = stream.feed(text[:_LONGEST_READ].encode("utf-8", "surrogateescape"))
    if not cut:
        # Otherwise, what is held back may be the beginning of a secret.
        shown += stream.end()
    clean = shown.decode("utf-8", "backslashreplace").strip()
    for pattern in (_AUTHORIZATION, _NAMED_SECRET, _USER):
        clean = pattern.sub(rf"\1{_MARK}", clean)
    clean = _USER_OF_URL.sub(rf"\1{_MARK}@", clean)
    line = plain(clean).replace(_ARROW.strip(), "\\u203a")
    if len(line) > _LONGEST_LINE or cut:
        line = line[: _LONGEST_LINE - 1].rstrip() + _GAP
    return line

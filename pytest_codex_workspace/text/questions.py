"""Questions that programs ask on a terminal, and that nobody answers in a workspace."""

from __future__ import annotations

import re

__all__ = ["NOBODY_ANSWERS", "question_in"]

NOBODY_ANSWERS = (
    "nobody answers in a workspace: give the option that answers it, such as --yes, or "
    "DEBIAN_FRONTEND=noninteractive"
)
"""What is said of a question, and what to do."""

_LINES = 3
_LENGTH = 300
_CHOICE = re.compile(
    r"[\[(<{]\s*\[?(?:y|yes)\]?\s*[/|]\s*\[?(?:n|no)\b[^])>}]*[])>}]|"
    r"[\[(]\s*(?:y|yes)\s*[])]\s*[/|]\s*[\[(]?\s*(?:n|no)\s*[])]?|"
    r"\(yes\)\s*$|\(y\)\s*$|\btype '?yes'?|press (?:\w+ ){0,2}(?:enter|return|any key)|"
    r"^(?:\x1b\[[0-9;]*m)*\?(?:\x1b\[[0-9;]*m)* \S.*[?:›]",
    re.IGNORECASE,
)
"""What asks, whatever comes behind it: apt ends such a line with `Abort.`."""

_SECRET = re.compile(
    r"\b(?:password|passphrase|passcode|pin|token|username|user name|login|otp|api key)\b"
    r"[^?\n]{0,120}[:?]\s*$|^Password\b.*:\s*$",
    re.IGNORECASE,
)
_OPEN = re.compile(
    r"(?:\?|\b(?:enter|select|choose|choice|your name|input|answer)\b[^\n]{0,120}[:>])\s*$",
    re.IGNORECASE,
)
"""What asks at the end of output without a line end, where a cursor would wait."""


def question_in(output: str) -> str:
    """
    Return the question with which *output* ends; empty if it does not seem to end with one.
    """
    end = output[-4 * _LENGTH :]
    lines = [line.rpartition("\r")[2].strip() for line in end.splitlines() if line.strip()]
    if not lines:
        return ""
    last = lines[-1]
    if end[-1:] not in ("\n", "\r") and (_OPEN.search(last) or _SECRET.search(last)):
        return last[-_LENGTH:]
    if _SECRET.search(last):
        return last[-_LENGTH:]
    for line in reversed(lines[-_LINES:]):
        if _CHOICE.search(line):
            return line[-_LENGTH:]
    return ""

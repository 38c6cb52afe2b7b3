"""What a runner of GitHub Actions makes of a log."""

from __future__ import annotations

import re
from collections.abc import Iterable

NAMES = {"error", "warning", "notice", "debug", "group", "add-mask", "set-env", "stop-commands"}


def commands(lines: Iterable[str]) -> list[tuple[str, str]]:
    """
    Return the commands that a runner follows, by the rules of its parser, with their text. What
    it does not compare, such as a soft hyphen, does not count.
    """
    found: list[tuple[str, str]] = []
    stopped = ""
    for line in re.split(r"\r\n|\r|\n", "\n".join(lines)):
        seen = re.sub(r"[\u00ad\u200b-\u200f\u2060\ufeff\x00-\x08]", "", line).lstrip()
        match = re.match(r"::([^ :]+)(?: .*?)?::(.*)", seen) or re.search(
            r"##\[([^ \]]+)[^\]]*\](.*)", seen
        )
        if match is None or match[1].lower() not in {*NAMES, stopped}:
            continue
        if stopped:
            stopped = "" if match[1] == stopped else stopped
        elif match[1] == "stop-commands":
            stopped = match[2]
        else:
            found.append((match[1], match[2]))
    return found

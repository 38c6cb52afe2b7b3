"""How the program at hand spells an option: `--image` or `--codex-image`."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

__all__ = ["spell_option", "spelled"]

_PYTEST = "--codex-{}"

_spelling = [_PYTEST]
"""The last one counts: the command sets its own, with everything that it calls."""


def spell_option(name: str, value: str = "") -> str:
    """
    Return an option as the user of this program has to write it.

    Texts must not spell options themselves: pytest and the command both show them.

    Args:
        name: the name in the table of options.
        value: the value to give it, if the text names one.
    """
    return _spelling[-1].format(name) + (f"={value}" if value else "")


@contextmanager
def spelled(form: str) -> Iterator[None]:
    """
    Spell options as *form* does, such as `--{}`. It applies to all threads.
    """
    _spelling.append(form)
    try:
        yield
    finally:
        _spelling.remove(form)

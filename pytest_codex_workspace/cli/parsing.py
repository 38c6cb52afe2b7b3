"""Parsers whose errors suggest what was meant."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from typing import Any, NoReturn

from ..text.phrases import did_you_mean
from ..text.printable import printable
from .exit_codes import FAILED

__all__ = ["CommandParser"]


class CommandParser(argparse.ArgumentParser):
    """
    A parser that refuses what it does not know, with a suggestion and the usage of its own command.

    An option has to be written in full: a shorter form could mean another option tomorrow.
    """

    def __init__(self, **settings: Any) -> None:
        super().__init__(**{"allow_abbrev": False, **settings})
        self._given: Sequence[str] = ()

    def parse_known_args(  # type: ignore[override]
        self, args: Sequence[str] | None = None, namespace: Any = None
    ) -> tuple[Any, list[str]]:
        """
        Parse *args*. What is left over is an error of this command, not of the one above it.
        """
        self._given = sys.argv[1:] if args is None else list(args)
        found, left = super().parse_known_args(self._given, namespace)
        if left:
            self.error(self._unknown(left[0]))
        return found, left

    def misplaced(self, word: str) -> None:
        """
        Refuse an option that stands in front of the command, unless it is one of this parser.
        """
        if word.startswith("--") and word not in self._option_string_actions:
            self.error(self._unknown(word, "; options of a command follow its name"))

    def error(self, message: str) -> NoReturn:
        """
        Print the usage and *message*, and exit.
        """
        self.print_usage(sys.stderr)
        if "--json" in self._given:
            from .printing import print_event

            print_event(
                argparse.Namespace(json=True),
                "error",
                type="UsageError",
                message=printable(message),
                exit_code=FAILED,
            )
        self.exit(FAILED, f"{self.prog}: error: {printable(message)}\n")

    def _check_value(self, action: argparse.Action, value: Any) -> None:
        if action.choices is None or value in action.choices:
            return
        names = [str(one) for one in action.choices]
        is_command = isinstance(action, argparse._SubParsersAction)
        what = "command" if is_command else "value"
        hint = did_you_mean(str(value), names) or f"; {what}s: {', '.join(names)}"
        if is_command:
            self.error(f"unknown command {value!r}{hint}")
        raise argparse.ArgumentError(action, f"unknown value {value!r}{hint}")

    def _unknown(self, word: str, otherwise: str = "") -> str:
        if not word.startswith("-"):
            return f"unexpected argument {word!r}"
        # The value may be a secret.
        name = word.partition("=")[0]
        known = [one for one in self._option_string_actions if one.startswith("--")]
        # The command spells the options of pytest without the prefix.
        ours = name.replace("--codex-", "--")
        begun = [one for one in known if one.startswith(ours)] if len(ours) > 3 else []
        hint = did_you_mean(ours, known, first=begun[:3])
        if not hint:
            hint = otherwise or f"; `{self.prog} --help` lists the options"
        return f"unknown option {name}{hint}"

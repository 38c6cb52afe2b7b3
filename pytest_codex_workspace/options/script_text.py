"""The text of a script that a user gives, as Codex's environment settings take it."""

from __future__ import annotations

import errno
import os
import shlex
import stat
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import ConfigError

if TYPE_CHECKING:
    from ..checks.scripts import Role

__all__ = [
    "FROM_STANDARD_INPUT",
    "LARGEST",
    "STANDARD_INPUT",
    "GivenScripts",
    "ScriptText",
    "StandardInput",
    "read_script",
]

FROM_STANDARD_INPUT = "the script of standard input"
"""The name of a script without a path."""

LARGEST = 1 << 20
"""Bytes of the largest script."""

_BOM = b"\xef\xbb\xbf"


@dataclass(frozen=True, slots=True)
class ScriptText:
    """
    A script that stands in no repository.

    Attributes:
        name: what texts call it: its path as it was given, or the standard input.
        text: its content.
    """

    name: str
    text: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class GivenScripts:
    """
    The scripts that take the place of those of a repository.

    In Codex, both belong to the environment. Whoever gives the setup script therefore gives both:
    without a text, there is no maintenance script.
    """

    setup: ScriptText | None = None
    maintenance: ScriptText | None = None

    @property
    def by_role(self) -> dict[Role, tuple[str, str]]:
        """
        Name and text of each, as the checks of a repository take them.
        """
        roles: tuple[tuple[Role, ScriptText | None], ...] = (
            ("setup", self.setup),
            ("resume", self.maintenance),
        )
        return {role: (one.name, one.text.decode()) for role, one in roles if one is not None}

    @property
    def texts(self) -> tuple[bytes, ...]:
        """
        The texts that are given.
        """
        return tuple(one.text for one in (self.setup, self.maintenance) if one is not None)


class StandardInput:
    """
    What standard input has, which can be read once only.
    """

    def __init__(self) -> None:
        self._read: bytes | None = None

    def read(self) -> bytes:
        """
        Return everything up to its end, the same at each call.

        Raises:
            OSError: there is no standard input.
        """
        if self._read is None:
            if sys.stdin is None:
                raise OSError(errno.EBADF, os.strerror(errno.EBADF))
            # Not through `sys.stdin`, for which a test runner may have put something else.
            with open(0, "rb", closefd=False) as file:
                self._read = file.read(LARGEST + 1)
        return self._read

    @property
    def content(self) -> bytes | None:
        """
        What was read; `None` if nobody has asked for it.
        """
        return self._read

    def give(self, content: bytes | None) -> None:
        """
        Let *content* be what was read: another process has read it.
        """
        self._read = content


STANDARD_INPUT = StandardInput()
"""That of this process."""


def read_script(value: str, option: str, standard_input: StandardInput | None = None) -> ScriptText:
    """
    Read the script that an option names.

    Args:
        value: a path, or `-` for *standard_input*.
        option: name of the option, for errors.
        standard_input: where `-` is read; without it, `-` is refused.

    Raises:
        ConfigError: there is no such script, or bash could not run it.
    """
    given = f"{option}={value}"
    if value == "-":
        if standard_input is None:
            raise ConfigError(
                f"{given}: only the setup script can be read from standard input",
                remedy="Write the maintenance script to a file, and give its path.",
            )
        try:
            content = standard_input.read()
        except OSError as error:
            raise ConfigError(
                f"{given}: standard input cannot be read: {error.strerror}",
                remedy="Give the path of a file with the script.",
            ) from None
        return _checked(ScriptText(FROM_STANDARD_INPUT, content), given, value)
    return _checked(ScriptText(value, _read_file(value, given)), given, value)


def _read_file(value: str, given: str) -> bytes:
    try:
        path = Path(value).expanduser()
        # Without waiting for the writer of a pipe.
        with open(path, "rb", opener=lambda name, flags: os.open(name, flags | os.O_NONBLOCK)) as f:
            if not stat.S_ISREG(os.fstat(f.fileno()).st_mode):
                raise ConfigError(
                    f"{given}: is not a regular file",
                    remedy="Write the script to a file, or pipe the setup script to standard "
                    "input, and give `-`.",
                )
            return f.read(LARGEST + 1)
    except FileNotFoundError:
        raise ConfigError(
            f"{given}: there is no such file",
            remedy="Give the path of a file with the text of the script, as Codex's environment "
            "settings have it.",
        ) from None
    except IsADirectoryError:
        raise ConfigError(f"{given}: is a directory", remedy="Give the path of a file.") from None
    except (OSError, RuntimeError, ValueError) as error:
        why = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        raise ConfigError(
            f"{given}: cannot be read: {why}", remedy="Give the path of a file that you can read."
        ) from None


def _checked(script: ScriptText, given: str, value: str) -> ScriptText:
    text = script.text
    if not text.strip():
        raise ConfigError(
            f"{given}: is empty, so there is nothing to run",
            remedy="Give the text of the script; leave the option out for none.",
        )
    if len(text) > LARGEST:
        raise ConfigError(
            f"{given}: is larger than {LARGEST >> 20} MiB",
            remedy="Commit the data to the repository, or let the script download it.",
        )
    if b"\0" in text or not _is_text(text):
        raise ConfigError(
            f"{given}: is not text: bash could not read it",
            remedy="Give a script for bash, in UTF-8.",
        )
    where = "FILE" if value == "-" else shlex.quote(value)
    if text.startswith(_BOM):
        raise ConfigError(
            f"{given}: begins with a byte order mark, which bash takes for a part of the first "
            "command",
            remedy=f"Save it without: sed -i '1s/^\\xef\\xbb\\xbf//' {where}",
        )
    lines = text.splitlines(keepends=True)
    number = next((at for at, line in enumerate(lines, 1) if line.endswith(b"\r\n")), 0)
    if number:
        raise ConfigError(
            f"{given}: line {number} ends in CRLF, whose CR bash takes for a part of the command",
            remedy=f"Convert it: sed -i 's/\\r$//' {where}",
        )
    return script


def _is_text(text: bytes) -> bool:
    try:
        text.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True

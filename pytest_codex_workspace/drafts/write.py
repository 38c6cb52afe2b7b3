"""Writing a draft into a work tree, beside what is there."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import closing
from pathlib import Path

from ..errors import ConfigError

__all__ = ["existing", "write_draft"]


def existing(top: Path, files: Mapping[str, str]) -> list[str]:
    """
    Return the paths of a draft at which something is already, be it a broken link.
    """
    return [path for path in files if _exists(top, path)]


def write_draft(top: Path, files: Mapping[str, str]) -> Iterator[str]:
    """
    Write files that do not exist yet, and yield the path of each. Nothing is overwritten, and
    nothing is written through a link.

    Args:
        top: top level of the work tree.
        files: texts by path. Scripts become executable.

    Raises:
        ConfigError: a folder on the way is a link, or no folder.
        OSError: a file cannot be written.
    """
    for path, text in files.items():
        if _exists(top, path):
            continue
        folder = (top / path).parent
        folder.mkdir(exist_ok=True)
        if folder.is_symlink():
            raise ConfigError(
                f"{folder} is a symbolic link, through which nothing is written",
                remedy="Make it a directory.",
            )
        mode = 0o755 if path.endswith(".sh") else 0o644
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        try:
            descriptor = os.open(top / path, flags, mode)
        except FileExistsError:
            continue
        with closing(os.fdopen(descriptor, "w", encoding="utf-8")) as file:
            file.write(text)
        yield path


def _exists(top: Path, path: str) -> bool:
    # With the other ending, it is meant to be the same file.
    other = path.removesuffix(".yaml") + ".yml" if path.endswith(".yaml") else path
    return os.path.lexists(top / path) or os.path.lexists(top / other)

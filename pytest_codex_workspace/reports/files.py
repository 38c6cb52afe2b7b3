"""The files of a report, in a directory that a repository or an artifact may have filled."""

from __future__ import annotations

import errno
import os
import secrets
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

__all__ = [
    "GENERATOR",
    "append_line",
    "is_foreign",
    "open_plain_file",
    "own_folder",
    "read_plain_file",
    "replace_file",
]

GENERATOR = "pytest-codex-workspace"
"""The generator that the page names."""

_HEAD = 4096


def own_folder(directory: Path, name: str) -> Path:
    """
    Return the folder *name* of the report. Create it if necessary.

    Raises:
        OSError: it cannot be created, or is a link, which is not followed.
    """
    folder = directory / name
    folder.mkdir(parents=True, exist_ok=True)
    if folder.is_symlink():
        raise OSError(errno.ELOOP, "it is a symbolic link", str(folder))
    return folder


def append_line(path: Path, line: bytes) -> None:
    """
    Add *line* to the file *path* in one write, so that lines of several threads do not mix.

    Raises:
        OSError: the file cannot be written, or is a link.
    """
    flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW
    descriptor = os.open(path, flags, 0o600)
    try:
        os.write(descriptor, line)
    finally:
        os.close(descriptor)


def replace_file(path: Path, text: str) -> None:
    """
    Write *text* to the file *path*, in place of the old file or link only once it is whole.

    Raises:
        OSError: the file cannot be written.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW
    try:
        with os.fdopen(os.open(temporary, flags, 0o666), "w", -1, "utf-8", "replace") as file:
            file.write(text)
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def read_plain_file(path: Path, limit: int) -> bytes:
    """
    Return the content of the file *path*.

    Raises:
        OSError: it cannot be read, or is a link.
        ValueError: it is not a regular file, or has more than *limit* bytes.
    """
    with open_plain_file(path) as file:
        # The size may change while it is read.
        if os.fstat(file.fileno()).st_size > limit or len(data := file.read(limit + 1)) > limit:
            raise ValueError(f"it is larger than {limit >> 20} MiB")
    return data


@contextmanager
def open_plain_file(path: Path) -> Iterator[BinaryIO]:
    """
    Open *path* for reading if it is a regular file. Opening a pipe would wait for its writer.

    Raises:
        OSError: it cannot be read, or is a link.
        ValueError: it is not a regular file.
    """
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    try:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise ValueError(f"{path.name} is not a file")
        with os.fdopen(descriptor, "rb", closefd=False) as file:
            yield file
    finally:
        os.close(descriptor)


def is_foreign(page: Path) -> bool:
    """
    Return whether *page* exists and is not the page of a report.
    """
    try:
        with page.open("rb") as file:
            return f'content="{GENERATOR} '.encode() not in file.read(_HEAD)
    except FileNotFoundError:
        return False

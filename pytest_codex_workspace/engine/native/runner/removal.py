"""Removing directories that programs of containers have made."""

from __future__ import annotations

import contextlib
import os

__all__ = ["discard_tree", "remove_tree"]


def discard_tree(path: str, trash: str) -> None:
    """
    Remove a directory: at once from its place, then its files.

    Args:
        path: the directory. Nothing happens if there is none.
        trash: a path on the same file system where it is removed.

    Raises:
        OSError: it cannot be moved.
    """
    with contextlib.suppress(FileNotFoundError):
        os.rename(path, trash)
        remove_tree(trash)


def remove_tree(path: str) -> None:
    """
    Remove a directory as far as that is possible, however deep it is.

    A program can nest more directories than fit into a path, than a process may have open and than
    Python's stack holds. So each is moved beside *path*, and removed there.

    Args:
        path: the directory. Nothing else beside it may begin with its name.
    """
    waiting, moved = [path], 0
    while waiting:
        directory = waiting.pop()
        with contextlib.suppress(OSError):
            for entry in list(os.scandir(directory)):
                with contextlib.suppress(OSError):
                    if not entry.is_dir(follow_symlinks=False):
                        os.unlink(entry.path)
                        continue
                    moved += 1
                    beside = f"{path}.{os.getpid()}.{moved}"
                    os.rename(entry.path, beside)
                    waiting.append(beside)
            os.rmdir(directory)

"""The folders on this machine for what is kept between runs."""

from __future__ import annotations

import os
import stat
import tempfile
from pathlib import Path

from ..errors import CodexWorkspaceError

__all__ = ["cache_dir", "data_dir", "preferred_cache_dir", "preferred_data_dir"]


def cache_dir() -> Path:
    """
    Return the directory for files that are kept between runs, creating it if needed.

    Returns:
        `codex-workspace` in `XDG_CACHE_HOME` or `~/.cache`, with mode 0700; if
        that cannot be written, a directory of this user in the system's temporary
        directory.

    Raises:
        CodexWorkspaceError: neither directory can be used.
    """
    return _usable(preferred_cache_dir(), "XDG_CACHE_HOME")


def data_dir() -> Path:
    """
    Return the directory for what cannot be made again, creating it if needed: people
    delete caches.

    Returns:
        `codex-workspace` in `XDG_DATA_HOME` or `~/.local/share`, with mode 0700; if that
        cannot be written, the same directory as `cache_dir`.

    Raises:
        CodexWorkspaceError: neither directory can be used.
    """
    return _usable(preferred_data_dir(), "XDG_DATA_HOME")


def _usable(wanted: Path, variable: str) -> Path:
    # In a shared directory, another user may have created this path before, even as a link.
    fallback = Path(tempfile.gettempdir()) / f"codex-workspace-{os.getuid()}"
    if _is_ours(wanted):
        return wanted
    if not fallback.is_symlink() and _is_ours(fallback):
        return fallback
    raise CodexWorkspaceError(
        f"neither {wanted} nor {fallback} is a directory that this user owns and can write to",
        remedy=f"Set {variable} to a directory that you can write to.",
    )


def preferred_cache_dir() -> Path:
    """
    Return the directory that `cache_dir` uses if it can be written.
    """
    return _below("XDG_CACHE_HOME", "~/.cache")


def preferred_data_dir() -> Path:
    """
    Return the directory that `data_dir` uses if it can be written.
    """
    return _below("XDG_DATA_HOME", "~/.local/share")


def _below(variable: str, default: str) -> Path:
    base = Path(os.environ.get(variable, ""))
    home = Path(os.path.expanduser(default))  # noqa: PTH111 -- Path's raises without a home
    return (base if base.is_absolute() else home) / "codex-workspace"


def _is_ours(directory: Path) -> bool:
    """
    Check whether *directory* belongs to this user and is writable.

    The directory is created if it is missing, and closed to other users.
    """
    try:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        state = directory.stat()
        if state.st_uid != os.getuid():
            return False
        if stat.S_IMODE(state.st_mode) & 0o077:
            directory.chmod(0o700)
    except OSError:
        return False
    return os.access(directory, os.W_OK | os.X_OK)

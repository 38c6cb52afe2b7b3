"""
A program that runs Podman's service as long as somebody uses it.

Each user holds a shared lock on a file, which the kernel takes back however the user's process
ends. When this program gets the lock for itself, nobody is left, and it ends the service.

It is run as a file by any Python of the host, with the standard library alone:

    supervise_podman.py LOCK LOG COMMAND...
"""

from __future__ import annotations

import contextlib
import ctypes
import fcntl
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import BinaryIO

__all__ = ["main", "supervise"]

_LOG = 1 << 20
"""Bytes of output that are kept: what workspaces do makes the service write."""

_PATIENCE = 10.0
"""Seconds for the service to end."""


def main(arguments: list[str]) -> None:
    """
    Run the program.
    """
    lock, log, *command = arguments
    with Path(lock).open("rb") as users, Path(log).open("wb", buffering=0) as written:
        supervise(users.fileno(), written, command)


def supervise(users: int, log: BinaryIO, command: list[str]) -> None:
    """
    Run *command* until nobody else holds a lock on the file *users*, or until it ends by itself.
    """
    process = subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        preexec_fn=_end_with_parent,
    )
    keeper = threading.Thread(target=_keep, args=(process.stdout, log), daemon=True)
    keeper.start()
    threading.Thread(target=_end_after, args=(process, keeper), daemon=True).start()
    # While somebody new takes the lock, the service is still there or already gone.
    fcntl.flock(users, fcntl.LOCK_EX)
    process.terminate()
    try:
        process.wait(_PATIENCE)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _keep(output: BinaryIO, log: BinaryIO) -> None:
    left = _LOG
    with output:
        while data := os.read(output.fileno(), 1 << 16):
            with contextlib.suppress(OSError):
                log.write(data[:left])
            left -= len(data[:left])


def _end_after(process: subprocess.Popen[bytes], keeper: threading.Thread) -> None:
    process.wait()
    # What it has started may keep the other end open.
    keeper.join(1.0)
    # The main thread may be waiting for the lock for hours.
    os._exit(0)


def _end_with_parent() -> None:
    # PR_SET_PDEATHSIG of prctl(2): if this program is killed, so is the service.
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).prctl(1, signal.SIGTERM)


if __name__ == "__main__":
    main(sys.argv[1:])

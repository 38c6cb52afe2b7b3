"""The network that the engine under test is in, which need not be that of the tests."""

from __future__ import annotations

import ctypes
import os
import socket
import struct
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from pytest_codex_workspace.engine.places.place import unix_path

_NEW_NETWORK = 0x40000000  # CLONE_NEWNET of setns(2)


@contextmanager
def near(engine: str) -> Iterator[None]:
    """
    Let this thread open its sockets, and start its programs, in the network of the engine at that
    URL: 127.0.0.1 is the engine's own there, from which engines pull without TLS. A socket stays in
    the network that it was opened in.

    An engine on another machine, or one whose process we may not look at, changes nothing.
    """
    theirs = _network_of(engine)
    if theirs is None:
        yield
        return
    ours = os.open("/proc/thread-self/ns/net", os.O_RDONLY)
    try:
        if not os.path.sameopenfile(ours, theirs):
            _enter(theirs)
        try:
            yield
        finally:
            _enter(ours)
    finally:
        os.close(ours)
        os.close(theirs)


def _network_of(engine: str) -> int | None:
    if not engine.startswith("unix://"):
        return None
    with socket.socket(socket.AF_UNIX) as connection:
        connection.connect(unix_path(engine))
        peer = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
    return _network_of_most_threads(struct.unpack("3i", peer)[0])


def _network_of_most_threads(process: int) -> int | None:
    """
    Open the network that most threads of a process are in.

    `/proc/PID/ns` has that of the first one, which may be left in the network of a container: Go
    ends a thread that cannot come back, but can only park the first. Podman's cannot without root.
    """
    networks: dict[Path, Path] = {}
    with suppress(OSError):
        for thread in Path(f"/proc/{process}/task").iterdir():
            with suppress(OSError):
                networks[thread / "ns/net"] = (thread / "ns/net").readlink()
    for wanted, _ in Counter(networks.values()).most_common(1):
        for path, name in networks.items():
            with suppress(OSError):
                if name == wanted and path.readlink() == wanted:
                    return os.open(path, os.O_RDONLY)
    return None


def _enter(network: int) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.setns(network, _NEW_NETWORK) != 0:
        error = ctypes.get_errno()
        raise OSError(error, f"the network of the engine: {os.strerror(error)}")

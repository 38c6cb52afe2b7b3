"""Sockets in another network: a program of the host's network listens on a container's address.

Such a program asks for addresses that its network does not have. The kernel stops it at each
bind(2), and this side puts a socket of the container's network in place of the one that it has;
then the call goes on. Nothing else of the program is in that network, and nothing of that network
sees the one of the host.
"""

from __future__ import annotations

import array
import contextlib
import fcntl
import os
import socket
import struct
from collections.abc import Collection

from .kernel.system import call

__all__ = ["answer_bind", "receive_descriptor", "send_descriptor"]

_RECEIVE, _SEND, _ADD = 0xC0502100, 0xC0182101, 0x40182103
_NOTIFICATION = struct.Struct("=QIIiIQ6Q")
_CONTINUE, _IN_PLACE = 1, 1
_CLOSE_ON_EXEC = os.O_CLOEXEC
_SO_TYPE, _SO_PROTOCOL = 3, 38


def send_descriptor(channel: socket.socket, descriptor: int) -> None:
    """
    Send a descriptor to the process at the other end.

    Raises:
        OSError: the other end is closed.
    """
    socket.send_fds(channel, [b"l"], [descriptor])


def receive_descriptor(channel: socket.socket) -> tuple[int | None, bytes]:
    """
    Return the descriptor that the other end sends; instead, `None` and the first byte of what it
    says if it sends none.
    """
    try:
        data, found, _, _ = socket.recv_fds(channel, 1, 1)
    except ConnectionResetError:
        # It was killed before it has read what it was told.
        return None, b""
    return (found[0], b"") if found else (None, data)


def answer_bind(listener: int, addresses: Collection[str]) -> None:
    """
    Answer one notification: a socket for one of *addresses* becomes one of this process's network.

    Whatever fails here, the program's own call goes on, and says what is wrong.
    """
    buffer = array.array("B", bytes(_NOTIFICATION.size))
    try:
        fcntl.ioctl(listener, _RECEIVE, buffer)
    except OSError:
        # The program has ended meanwhile.
        return
    number, process, _, _, _, _, *arguments = _NOTIFICATION.unpack(buffer)
    with contextlib.suppress(OSError, ValueError, struct.error):
        _replace(listener, number, process, arguments, addresses)
    try:
        fcntl.ioctl(listener, _SEND, struct.pack("=QqiI", number, 0, 0, _CONTINUE))
    except OSError:
        return


def _replace(
    listener: int, number: int, process: int, arguments: list[int], addresses: Collection[str]
) -> None:
    descriptor, address, size = arguments[:3]
    if size < 8:
        return
    with open(f"/proc/{process}/mem", "rb", buffering=0) as memory:
        memory.seek(address)
        name = memory.read(8)
    family = struct.unpack_from("=H", name)[0]
    if family != socket.AF_INET or socket.inet_ntoa(name[4:8]) not in addresses:
        return
    old = _copy(process, descriptor)
    try:
        kind = old.getsockopt(socket.SOL_SOCKET, _SO_TYPE)
        protocol = old.getsockopt(socket.SOL_SOCKET, _SO_PROTOCOL)
        reuse = old.getsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR)
        blocking = not fcntl.fcntl(old, fcntl.F_GETFL) & os.O_NONBLOCK
    finally:
        old.close()
    with socket.socket(family, kind, protocol) as new:
        new.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, reuse)
        new.setblocking(blocking)
        request = struct.pack("=QIIII", number, _IN_PLACE, new.fileno(), descriptor, _CLOSE_ON_EXEC)
        fcntl.ioctl(listener, _ADD, request)


def _copy(process: int, descriptor: int) -> socket.socket:
    """
    Return a socket of another process.
    """
    about = os.pidfd_open(process)
    try:
        return socket.socket(fileno=call("pidfd_getfd", about, descriptor, 0))
    finally:
        os.close(about)

"""Links between network namespaces: a bridge, pairs of virtual interfaces, addresses."""

from __future__ import annotations

import os
import socket
import struct

__all__ = ["LinkMaker"]

_HEADER = struct.Struct("=IHHII")
_LINK = struct.Struct("=BxHiII")
_ADDRESS = struct.Struct("=BBBBI")

_ERROR = 2
_NEW_LINK, _SET_LINK, _NEW_ADDRESS = 16, 19, 20
_REQUEST, _ACK, _EXCLUSIVE, _CREATE = 1, 4, 0x200, 0x400
_NESTED = 0x8000

_IF_NAME, _IF_MASTER, _IF_INFO, _IF_NAMESPACE = 3, 10, 18, 28
_INFO_KIND, _INFO_DATA, _PEER = 1, 2, 1
_LOCAL, _IF_ADDRESS, _BROADCAST = 2, 1, 4
_UP = 1


class LinkMaker:
    """
    Sends requests about interfaces to the kernel, in the network namespace in which it was made.
    """

    def __init__(self) -> None:
        self._socket = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, socket.NETLINK_ROUTE)

    def close(self) -> None:
        """
        Close the connection to the kernel.
        """
        self._socket.close()

    def add_bridge(self, name: str) -> None:
        """
        Make a bridge, and turn it on.

        Raises:
            OSError: the kernel refused.
        """
        info = _attribute(_INFO_KIND, b"bridge")
        self._link(_attribute(_IF_NAME, _text(name)) + _attribute(_IF_INFO | _NESTED, info), _UP)

    def add_pair(self, name: str, bridge: int, peer: str, namespace: int) -> None:
        """
        Connect the bridge with the number *bridge* to a new interface *peer* in another namespace.

        Raises:
            OSError: the kernel refused.
        """
        other = _LINK.pack(0, 0, 0, 0, 0)
        other += _attribute(_IF_NAME, _text(peer)) + _attribute(_IF_NAMESPACE, _number(namespace))
        data = _attribute(_PEER | _NESTED, other)
        info = _attribute(_INFO_KIND, b"veth") + _attribute(_INFO_DATA | _NESTED, data)
        self._link(
            _attribute(_IF_NAME, _text(name))
            + _attribute(_IF_MASTER, _number(bridge))
            + _attribute(_IF_INFO | _NESTED, info),
            _UP,
        )

    def turn_on(self, index: int) -> None:
        """
        Turn an interface on.

        Raises:
            OSError: the kernel refused.
        """
        self._request(_SET_LINK, 0, _LINK.pack(0, 0, index, _UP, _UP))

    def add_address(self, index: int, address: str, bits: int) -> None:
        """
        Give an interface an IPv4 address.

        Raises:
            OSError: the kernel refused.
        """
        packed = socket.inet_aton(address)
        everyone = int.from_bytes(packed, "big") | (1 << 32 - bits) - 1
        body = _ADDRESS.pack(socket.AF_INET, bits, 0, 0, index)
        body += _attribute(_LOCAL, packed) + _attribute(_IF_ADDRESS, packed)
        body += _attribute(_BROADCAST, everyone.to_bytes(4, "big"))
        self._request(_NEW_ADDRESS, _CREATE | _EXCLUSIVE, body)

    def _link(self, attributes: bytes, flags: int) -> None:
        body = _LINK.pack(0, 0, 0, flags, flags) + attributes
        self._request(_NEW_LINK, _CREATE | _EXCLUSIVE, body)

    def _request(self, kind: int, flags: int, body: bytes) -> None:
        size = _HEADER.size + len(body)
        self._socket.send(_HEADER.pack(size, kind, _REQUEST | _ACK | flags, 1, 0) + body)
        answer = self._socket.recv(65536)
        code = struct.unpack_from("=i", answer, _HEADER.size)[0]
        if _HEADER.unpack_from(answer)[1] != _ERROR or code:
            raise OSError(-code, f"set up the network: {os.strerror(-code)}")


def _attribute(number: int, data: bytes) -> bytes:
    return struct.pack("=HH", 4 + len(data), number) + data + b"\0" * (-len(data) % 4)


def _number(value: int) -> bytes:
    return struct.pack("=I", value)


def _text(value: str) -> bytes:
    return value.encode() + b"\0"

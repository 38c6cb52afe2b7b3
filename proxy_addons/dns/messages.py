"""
Parse DNS queries and build responses: bytes in, bytes out.

The queries come from a workspace, so nothing in them is trusted.
"""

from __future__ import annotations

import ipaddress
import struct
from dataclasses import dataclass

__all__ = [
    "FORMAT_ERROR",
    "NO_ERROR",
    "NO_SUCH_NAME",
    "REFUSED",
    "A",
    "DnsQuestion",
    "build_response",
    "parse_query",
]

A = 1
NO_ERROR, FORMAT_ERROR, NO_SUCH_NAME, REFUSED = 0, 1, 3, 5

_HEADER = struct.Struct("!6H")
_RESPONSE, _RECURSION_DESIRED, _AVAILABLE, _OPCODE = 0x8000, 0x0100, 0x0080, 0x7800
_TTL = 60


@dataclass(frozen=True, slots=True)
class DnsQuestion:
    """
    The question of one query.

    Attributes:
        id: number that the response must repeat.
        flags: of the query.
        name: lower case, without the final dot; unusual bytes as `\\DDD`.
        kind: the record type.
        raw: the question section as it was sent; empty if it is invalid.
    """

    id: int
    flags: int
    name: str
    kind: int
    raw: bytes


def parse_query(message: bytes) -> DnsQuestion | None:
    """
    Return the question in *message*, without a name if the query is invalid.

    `None` means that there must be no response at all.
    """
    if len(message) < _HEADER.size:
        return None
    number, flags, questions, *_ = _HEADER.unpack_from(message)
    if flags & _RESPONSE:
        return None
    broken = DnsQuestion(number, flags, "", 0, b"")
    if questions != 1 or flags & _OPCODE:
        return broken
    labels: list[str] = []
    at = _HEADER.size
    while at < len(message) and (length := message[at]):
        label = message[at + 1 : at + 1 + length]
        if length > 63 or len(label) < length or at - _HEADER.size > 255:
            return broken
        labels.append("".join(_character(byte) for byte in label))
        at += 1 + length
    end = at + 5
    if end > len(message) or not labels:
        return broken
    kind = int.from_bytes(message[at + 1 : at + 3], "big")
    return DnsQuestion(number, flags, ".".join(labels), kind, message[_HEADER.size : end])


def build_response(question: DnsQuestion, code: int, address: str | None = None) -> bytes:
    """
    Return the response to *question*.

    Args:
        question: from `parse_query`.
        code: the response code.
        address: an IPv4 address for one record of type A.
    """
    flags = _RESPONSE | _AVAILABLE | question.flags & (_OPCODE | _RECURSION_DESIRED) | code
    counts = (1 if question.raw else 0, 1 if address else 0, 0, 0)
    message = _HEADER.pack(question.id, flags, *counts) + question.raw
    if address:
        # 0xC00C points to the name in the question.
        packed = ipaddress.IPv4Address(address).packed
        message += struct.pack("!HHHIH", 0xC00C, A, 1, _TTL, len(packed)) + packed
    return message


def _character(byte: int) -> str:
    if 0x21 <= byte <= 0x7E and byte not in b".\\":
        return chr(byte).lower()
    return f"\\{byte:03d}"

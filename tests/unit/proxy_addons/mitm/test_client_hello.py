"""The ClientHello: within limits, however it is split."""

from __future__ import annotations

import pytest

from proxy_addons.mitm.client_hello import ClientHelloBuffer
from proxy_addons.state.limits import MAX_HELLO_BYTES, MAX_HELLO_RECORDS

MESSAGE = b"\x01\x00\x00\x28" + bytes(40)


def _records(message: bytes, size: int) -> bytes:
    pieces = (message[at : at + size] for at in range(0, len(message), size))
    return b"".join(b"\x16\x03\x01" + len(one).to_bytes(2, "big") + one for one in pieces)


@pytest.mark.parametrize("record", [1, 3, 4, 5, 40, 44])
@pytest.mark.parametrize("segment", [1, 2, 7, 1000])
def test_a_hello_is_complete_with_its_last_byte(record: int, segment: int) -> None:
    """
    The message is complete when its last record is, however records and segments are split.
    """
    data = _records(MESSAGE, record)
    hello = ClientHelloBuffer()
    for at in range(0, len(data) - 1, segment):
        assert not hello.complete
        hello.feed(data[at : min(at + segment, len(data) - 1)])
    assert not hello.complete
    hello.feed(data[-1:])

    assert hello.complete
    assert hello.error is None
    assert bytes(hello.received) == data


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"\x16\x03\x01\x40\x00\x01" + (MAX_HELLO_BYTES + 1).to_bytes(3, "big"), "announces 32769"),
        (_records(b"\x01\xff\xff\xff", 1), "announces 16777215"),
        (_records(b"\x01\x00\x7f\xff" + bytes(100), 1), f"more than {MAX_HELLO_RECORDS} records"),
    ],
)
def test_a_hello_beyond_the_limits_is_refused(data: bytes, words: str) -> None:
    """
    The first bytes show that a message is too long; the number of records is limited as well.
    """
    hello = ClientHelloBuffer()
    for byte in data:
        hello.feed(bytes([byte]))

    assert hello.error is not None
    assert words in hello.error
    assert not hello.complete


@pytest.mark.parametrize("rest", [b"\x15\x03\x01\x00\x02\x01\x00", b"\x16\x03\x01\x00\x00"])
def test_other_records_go_to_the_parser(rest: bytes) -> None:
    """
    mitmproxy's parser says what another kind of record, or an empty one, is.
    """
    hello = ClientHelloBuffer()
    hello.feed(_records(MESSAGE[:10], 10) + rest)

    assert hello.complete

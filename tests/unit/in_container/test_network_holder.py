"""Tests of the network holder. Integration tests cover its changes to the network."""

from __future__ import annotations

import socket
import threading
import time

import pytest

from pytest_codex_workspace.in_container import network_holder

LOCAL = "127.0.0.1"
HEAD = "  sl  local_address rem_address   st tx_queue rx_queue\n"
PROXY = "0200000A"
"""10.0.0.2, as the kernel writes it on a machine with the lowest byte first."""


@pytest.mark.parametrize("line", [b"garbage", b"{}", b"[]", b'{"proxy": 5}', b'{"proxy": "x"}'])
def test_a_holder_answers_an_invalid_request(line):
    """
    An invalid request is answered with an error, not with a traceback.
    """
    assert "error" in network_holder.prepare(line)


@pytest.mark.parametrize("line", [b"garbage", b"{}", b'{"drain": 5}', b'{"drain": {}}'])
def test_a_later_invalid_request_is_answered_too(line):
    """
    The holder goes on.
    """
    assert "error" in network_holder.answer(LOCAL, line)


@pytest.mark.parametrize(
    ("name", "row", "busy"),
    [
        ("tcp", f"0: 0300000A:9000 {PROXY}:1F90 01 00000000:00000000", True),
        ("tcp", f"0: 0300000A:9000 {PROXY}:1F90 04 00000010:00000000", True),
        ("tcp", f"0: 0300000A:9000 {PROXY}:1F90 02 00000001:00000000", True),
        ("tcp6", f"0: {'0' * 24}0300000A:9000 {'0' * 16}FFFF0000{PROXY}:1F90 08 0:0", True),
        ("tcp", f"0: 0300000A:9000 {PROXY}:1F90 06 00000000:00000000", False),
        ("tcp", "0: 0B00007F:9000 00000000:0000 0A 00000000:00000000", False),
        ("tcp", "0: 0100007F:9000 0100007F:1F90 01 00000000:00000000", False),
        ("udp", f"0: 0300000A:9000 {PROXY}:0035 01 00000000:00000000", True),
        ("udp", "0: 0B00007F:0035 00000000:0000 07 00000000:00000300", True),
        ("udp", "0: 0B00007F:0035 00000000:0000 07 00000000:00000000", False),
    ],
)
def test_what_can_still_send_is_found(tmp_path, name, row, busy):
    """
    Sockets to the proxy count, and questions to the engine's resolver, which forwards them.
    """
    table = tmp_path / name
    table.write_text(f"{HEAD}{row}\n")

    found = network_holder.busy_sockets("10.0.0.2", (str(table), str(tmp_path / "none")))
    assert found == ("1 sockets to the proxy are open" if busy else "")


def test_ports_that_are_taken_count(tmp_path):
    """
    The next workspace could not connect while connections that have ended keep all the ports.
    """
    row = f"0: 0300000A:9000 {PROXY}:1F90 06 00000000:00000000\n"
    table = tmp_path / "tcp"
    table.write_text(HEAD + row * 10_001)

    assert "10001 ports" in network_holder.busy_sockets("10.0.0.2", (str(table),))


def test_the_end_of_a_queue_is_waited_for():
    """
    A connection that the proxy does not close has not seen the end.
    """
    with socket.create_server((LOCAL, 0)) as server:
        port = server.getsockname()[1]
        with pytest.raises(TimeoutError):
            network_holder.pass_queue(LOCAL, port, time.monotonic())
        server.accept()[0].close()
        closer = threading.Thread(target=lambda: server.accept()[0].close())
        closer.start()
        assert network_holder.pass_queue(LOCAL, port, time.monotonic() + 20) == 1
        closer.join()

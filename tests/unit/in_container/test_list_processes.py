"""The program that lists the processes of a workspace, on this machine."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from pytest_codex_workspace.in_container import list_processes

pytestmark = pytest.mark.skipif(
    not Path("/proc/self/fd").exists(), reason="it reads /proc, as Linux has it"
)

QUIET = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}


@pytest.fixture
def ended() -> Iterator[ExitStack]:
    """
    Processes and files that end with the test.
    """
    with ExitStack() as stack:
        yield stack


def sleeping(ended: ExitStack, word: str, **options: Any) -> int:
    """
    Start a process that does nothing, and return its number.
    """
    argv = ["bash", "-c", "read", word]
    process = ended.enter_context(subprocess.Popen(argv, **{"stdin": subprocess.PIPE, **options}))
    ended.callback(process.kill)
    return process.pid


def listed(numbers: Iterable[int]) -> tuple[list[dict[str, Any]], list[int]]:
    """
    Return what the program says of some processes, and ports.
    """
    code = "import json, runpy, sys; names = runpy.run_path(sys.argv[1]); "
    code += "print(json.dumps(names['list_processes'](map(int, sys.argv[2:]))))"
    argv = [sys.executable, "-c", code, list_processes.__file__, *map(str, numbers)]
    found = json.loads(subprocess.run(argv, capture_output=True, check=True).stdout)
    return found["processes"], found["ports"]


def test_who_holds_the_output_and_who_listens(ended: ExitStack) -> None:
    """
    A process that writes to a pipe that no process of the workspace reads holds the output of the
    script, by whatever descriptor. The port of a server is known, others are without a process.
    """
    server, other = (ended.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in range(2))
    # This process reads both pipes, as the agent does, which is left out as well.
    output, between = os.pipe(), os.pipe()
    for end in (*output, *between):
        ended.callback(os.close, end)
    quiet = [
        sleeping(ended, "quiet", **QUIET),
        sleeping(ended, "writer", stdout=between[1], stderr=subprocess.DEVNULL),
        sleeping(ended, "reader", stdin=between[0], **QUIET),
    ]
    holders = [
        sleeping(ended, "server", stdout=output[1], pass_fds=[server.fileno()]),
        sleeping(ended, "third", pass_fds=[output[1]], **QUIET),
    ]

    every, ports = listed([*quiet, *holders])

    found = {one["argv"][-1]: one for one in every}
    at, further = (one.getsockname()[1] for one in (server, other))
    assert found["server"] == {"argv": ["bash", "-c", "read", "server"], "at": [at], "held": True}
    assert {name for name, one in found.items() if one["held"]} == {"server", "third"}
    assert list(found)[:2] == ["server", "third"]
    assert set(found) == {"server", "third", "quiet", "writer", "reader"}
    assert further in ports
    assert at not in ports
    # Without its reader, the pipe of the writer would be that of the script.
    assert [one["argv"][-1] for one in listed(quiet[:2])[0] if one["held"]] == ["writer"]


def test_what_is_named_of_a_tree(ended: ExitStack) -> None:
    """
    The server, wherever it is, and neither what is above nor what is below it; of a tree without
    one, what is on top.
    """
    start = "sleep 60 >/dev/null & echo $!; exec >/dev/null; wait"
    with socket.create_server(("127.0.0.1", 0)) as server:
        tops = {
            word: ended.enter_context(
                subprocess.Popen(
                    ["bash", "-c", start, word],
                    stdout=subprocess.PIPE,
                    stderr=subprocess.DEVNULL,
                    pass_fds=fds,
                )
            )
            for word, fds in (("serving", [server.fileno()]), ("top", []))
        }
        numbers = []
        for top in tops.values():
            assert top.stdout is not None
            low = int(top.stdout.read())
            ended.callback(os.kill, low, 9)
            ended.callback(top.kill)
            numbers += [top.pid, low]

        found, _ = listed(numbers)

    assert [one["argv"][-1] for one in found] == ["serving", "top"]


def test_a_secret_that_is_cut_is_left_out(ended: ExitStack) -> None:
    """
    Of a long command line, whole words are listed: the host could not recognise a part of one.
    """
    long = [
        ended.enter_context(subprocess.Popen(argv, executable="bash", stdin=subprocess.PIPE))
        for argv in (
            ["bash", "-c", "read", "a" * 8000, "secret" * 99, "b"],
            ["one" + "x" * 9000, "-c", "read"],
        )
    ]

    found, _ = listed(one.pid for one in long)

    assert [one["argv"] for one in found] == [["bash", "-c", "read", "a" * 8000], ["bash"]]


def test_who_listens_is_in_the_tables_of_the_kernel() -> None:
    """
    Not what is connected, nor the engine's own resolver; a table may have been replaced.
    """
    ports = (
        "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid\n"
        "   0: 0100007F:18EB 00000000:0000 0A 00000000:00000000 00:00000000 00000000 0 0 11 1\n"
        "   1: 0100007F:1F90 0100007F:C350 01 00000000:00000000 00:00000000 00000000 0 0 12 1\n"
        "   2: 0B00007F:9C41 00000000:0000 0A 00000000:00000000 00:00000000 00000000 0 0 13 1\n"
        "   3: evil 0 0A\n   4: evil:evil 0 0A 0 0 0 0 0 14 1\n"
    )
    sockets = (
        "Num       RefCount Protocol Flags    Type St Inode Path\n"
        "0: 00000002 00000000 00010000 0001 01 21 /run/a b.sock\n"
        "0: 00000003 00000000 00000000 0001 03 22 /run/connected.sock\n"
        "0: 00000002 00000000 00010000 0001 01 23\n0: 0 0 evil 0 0 24 /run/evil.sock\n"
    )

    assert list_processes.ports_in(ports) == {"11": 6379, "14": 0}
    assert list_processes.sockets_in(sockets) == {"21": "/run/a b.sock"}

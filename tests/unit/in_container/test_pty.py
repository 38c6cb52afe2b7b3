"""Tests of commands on a terminal, with a local agent or forged messages."""

from __future__ import annotations

import hashlib
import os
import resource
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from pytest_codex_workspace.errors import ExecTimeout, WorkspaceLost
from pytest_codex_workspace.in_container import workspace_agent as wire
from pytest_codex_workspace.workspace.call import PTY_WINDOW
from pytest_codex_workspace.workspace.channel import Channel
from pytest_codex_workspace.workspace.process import Process, Pty

from ...helpers.local_agent import LocalStream, ScriptedStream, frame, until_ended

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the agent is a Linux program")

MIB = 1 << 20

SIZES = {
    "PYTHON": sys.executable,
    "PROGRAM": """
import os, signal
signal.signal(signal.SIGINT, signal.SIG_DFL)
signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGWINCH])
print('ready', flush=True)
while signal.sigwait([signal.SIGWINCH]):
    size = os.get_terminal_size()
    print(size.lines, size.columns, flush=True)
""",
}
"""A program that prints the size of its terminal whenever it is told of another one."""


@pytest.fixture(scope="module")
def stream() -> Iterator[LocalStream]:
    """
    An agent that all tests of this file share.
    """
    stream = LocalStream(env={"PATH": "/usr/local/bin:/usr/bin:/bin", "TERM": "of the container"})
    yield stream
    stream.end()


@pytest.fixture(scope="module")
def channel(stream, tmp_path_factory) -> Iterator[Channel]:
    """
    The channel to that agent.
    """
    channel = Channel(stream, describe=lambda: "its container was removed")
    channel.init(cwd=str(tmp_path_factory.mktemp("cwd")))
    yield channel
    channel.close()


@pytest.fixture
def scripted() -> Iterator[ScriptedStream]:
    """
    A script that sends what an attacker in the workspace could send.
    """
    stream = ScriptedStream()
    yield stream
    stream.close()


def start(channel: Channel, script: str, **more) -> Process:
    return channel.start(["bash", "-c", script], pty=more.pop("pty", Pty()), **more)


def until(process: Process, words: str) -> str:
    """
    Return the output of the process up to *words*.
    """
    seen = b""
    while words.encode() not in seen:
        piece = process.stdout.piece()
        assert piece, f"ended without {words!r}: {seen!r}"
        seen += piece
    return seen.decode()


def descriptors(stream: LocalStream) -> int:
    return len(list(Path(f"/proc/{stream.process.pid}/fd").iterdir()))


def test_a_command_has_its_own_terminal(channel):
    """
    It is the controlling terminal of a new session and has the requested size and kind.
    """
    script = (
        "test -t 0 -a -t 1 -a -t 2 && tty && stty size && echo $TERM; "
        "ps -o pid=,sid=,tpgid= -p $$; echo to the terminal >/dev/tty; echo error >&2"
    )
    # Bash would take over the terminal.
    result = channel.start(["sh", "-c", script], pty=Pty(33, 101, "vt220")).wait()

    lines = result.stdout.split("\r\n")
    assert lines[0].startswith("/dev/pts/")
    assert lines[1:3] == ["33 101", "vt220"]
    assert len(set(lines[3].split())) == 1, lines
    assert lines[4:] == ["to the terminal", "error", ""]
    assert (result.stderr, result.exit_code) == ("", 0)


def test_a_terminal_has_the_usual_modes(channel):
    """
    It has echo, line editing, signals, and characters of several bytes.
    """
    modes = start(channel, "stty -a").wait().stdout.split()

    assert {"echo", "icanon", "isig", "opost", "onlcr", "icrnl", "iutf8"} <= set(modes)


def test_the_foreground_process_is_notified_of_a_new_size(channel):
    """
    It gets SIGWINCH, although it is in its own process group.
    """
    process = start(channel, 'set -m; $PYTHON -c "$PROGRAM"', env=SIZES)
    until(process, "ready")

    process.resize(50, 132)
    assert "50 132" in until(process, "50 132")
    process.resize(0xFFFF, 1)
    assert until(process, "65535 1")
    for size in ((0, 80), (24, -1), (24, 1 << 16)):
        with pytest.raises(ValueError, match="rows and columns"):
            process.resize(*size)
    process.send(b"\x03")
    assert process.wait(timeout=30).exit_code == 130


def test_resizing_a_command_without_a_terminal_does_nothing(channel):
    """
    The same holds for a command that has ended.
    """
    ended, piped = start(channel, "true"), channel.start(["cat"])
    ended.wait()

    ended.resize(1, 1)
    piped.resize(1, 1)
    piped.close_stdin()
    assert piped.wait().exit_code == 0


def test_ctrl_c_ends_the_running_program_but_not_the_shell(channel):
    """
    The kernel sends the signal to the foreground process group.
    """
    process = channel.start(["bash", "--norc", "-i"], pty=Pty(), env={"PS1": "> "})
    until(process, "> ")
    process.send("sh -c 'echo runs; exec sleep 60'\n")
    until(process, "runs\r\n")
    process.send("\x03")
    until(process, "> ")

    process.send("echo code $?\n")
    until(process, "code 130\r\n")
    process.send("exit 7\n")
    assert process.wait(timeout=30).exit_code == 7


def test_an_interactive_shell_has_job_control(channel):
    """
    The shell prints no warning about it.
    """
    process = channel.start(["bash", "--norc", "-i"], pty=Pty())
    process.send("jobs -p; set -o | grep monitor; exit\n")

    output = process.wait(timeout=30).stdout
    assert "job control" not in output
    assert "ioctl" not in output
    assert "monitor" in output.split("exit\r\n", 1)[1]


def test_ctrl_d_ends_the_input(channel):
    """
    It is typed, or sent at the end of the input. It also works in the middle of a line.
    """
    by_hand = start(channel, "cat; echo over")
    by_hand.send("one\n\x04")
    assert by_hand.wait(timeout=30).stdout == "one\r\none\r\nover\r\n"

    closed = start(channel, "cat; echo over")
    closed.close_stdin()
    assert closed.wait(timeout=30).stdout == "over\r\n"

    given = start(channel, "cat; echo over", input="no line end")
    assert given.wait(timeout=30).stdout == "no line endno line endover\r\n"


@pytest.mark.parametrize(
    ("script", "code"), [("exit 7", 7), ("kill -TERM $$", 143), ("kill -9 $$", 137)]
)
def test_the_exit_code_is_that_of_the_command(channel, script, code):
    """
    For a signal, it is 128 plus the number of the signal.
    """
    assert code == start(channel, script).wait(timeout=30).exit_code


def test_the_last_output_is_not_lost(channel):
    """
    The terminal still contains it when the command ends.
    """
    for _ in range(20):
        result = start(channel, "head -c 3000 /dev/zero | tr '\\0' x; printf end").wait(timeout=30)
        assert result.stdout == "x" * 3000 + "end"


def test_a_command_ends_even_if_a_child_keeps_the_terminal(channel, stream):
    """
    The terminal hangs up: the agent keeps nothing of it, and the child cannot write any more.
    """
    before = descriptors(stream)
    script = (
        "trap '' HUP; (while echo noise; do sleep 0.01; done 2>/dev/null; echo gone >gone) & "
        "echo started; exit 3"
    )
    result = start(channel, script).wait(timeout=30)

    assert result.exit_code == 3
    assert "started" in result.stdout
    assert channel.run(["sh", "-c", "while ! [ -s gone ]; do sleep 0.02; done"], timeout=10).ok
    assert before == descriptors(stream)


def test_closing_the_terminal_for_a_moment_does_not_hang_up(channel):
    """
    Some programs close and reopen it.
    """
    script = "exec 3>/dev/null; exec <&- >&- 2>&-; sleep 0.1; echo back >/dev/tty"

    assert start(channel, script).wait(timeout=30).stdout == "back\r\n"


def test_all_bytes_pass_unchanged(channel):
    """
    The terminal is in raw mode.
    """
    data = bytes(range(256)) * 8
    process = start(channel, "stty raw -echo; echo ready; head -c 2048")
    until(process, "ready\n")
    process.send(data)

    assert data == process.wait(timeout=30).stdout_bytes
    assert start(channel, r"printf '\033[31mred'").wait().stdout_bytes == b"\x1b[31mred"


def test_large_input_arrives_complete(channel):
    """
    It is larger than the buffers of terminal and agent and the credit together.
    """
    data = os.urandom(3 * MIB)
    process = start(channel, "stty raw -echo; echo ready; head -c 3145728 | sha256sum")
    until(process, "ready\n")
    process.send(data)

    assert hashlib.sha256(data).hexdigest() in process.wait(timeout=60).stdout


def test_a_flood_of_output_waits_for_its_reader(channel, stream):
    """
    Neither end keeps more than the window, and Ctrl-C still works.
    """
    process = start(channel, "yes")
    agent = Path(f"/proc/{stream.process.pid}")

    def resident() -> int:
        return int((agent / "statm").read_text().split()[1]) * resource.getpagesize()

    def switches() -> int:
        return int((agent / "status").read_text().split("nonvoluntary")[0].split()[-1])

    before = resident()
    taken = sum(len(process.stdout.piece()) for _ in range(50))
    # Unread output stops the flood: the agent sleeps.
    seen = -1
    while seen != switches():
        seen = switches()
        time.sleep(0.1)
    assert taken > 0
    assert resident() - before < 4 * MIB
    process.send("\x03")
    rest = 0
    while piece := process.stdout.piece():
        rest += len(piece)
    assert rest <= 2 * PTY_WINDOW + MIB
    assert process.wait().exit_code == 130


def test_the_host_receives_only_as_much_as_it_has_credit_for(channel, stream):
    """
    Unread output is limited to the window and the terminal's last buffer.
    """
    process = start(channel, "yes & sleep 0.5; kill %1; exit 0")
    deadline = time.monotonic() + 30
    while process.poll() is None:
        assert time.monotonic() < deadline
        time.sleep(0.01)

    assert 0 < len(process.wait().stdout_bytes) <= PTY_WINDOW + wire.DRAIN_LIMIT


def test_a_missing_program_is_reported_on_the_terminal(channel):
    """
    The line ends with a carriage return, as terminals need it.
    """
    result = channel.start(["no-such-program"], pty=Pty()).wait()

    assert (result.exit_code, result.stderr) == (127, "")
    assert "command not found" in result.stdout
    assert result.stdout.endswith("\r\n")


def test_a_missing_directory_leaves_no_terminal_behind(channel, stream):
    """
    The error is the builtin one.
    """
    before = descriptors(stream)
    with pytest.raises(FileNotFoundError):
        start(channel, "true", cwd="/no/such")

    assert before == descriptors(stream)


@pytest.mark.skipif(os.getuid() != 0, reason="only root can become somebody else")
def test_the_terminal_belongs_to_the_user(channel):
    """
    The user of the command can open it by its name.
    """
    script = "id -un; echo named >$(tty); ps -o sid=,tpgid= -p $$"
    result = start(channel, script, user="daemon", cwd="/").wait()

    lines = result.stdout.split("\r\n")
    assert lines[:2] == ["daemon", "named"]
    assert len(set(lines[2].split())) == 1


def test_a_timeout_ends_a_command_on_a_terminal(channel):
    """
    Its child processes are killed, too.
    """
    process = start(channel, "sleep 60 & echo $!; wait", timeout=0.3)
    with pytest.raises(ExecTimeout) as caught:
        process.wait()

    until_ended(int(caught.value.stdout))


def test_threads_may_resize_while_others_send(channel):
    """
    Frames are not interleaved.
    """
    process = start(channel, "stty raw -echo; echo ready; head -c 200000 | wc -c; stty size")
    until(process, "ready\n")
    sizes = threading.Thread(target=lambda: [process.resize(n, n) for n in range(1, 200)])
    sizes.start()
    for _ in range(200):
        process.send(b"x" * 1000)
    sizes.join()

    assert process.wait(timeout=30).stdout.startswith("200000")


@pytest.mark.parametrize(
    ("kind", "payload", "words"),
    [
        (wire.STDERR, b"x", "second output stream"),
        (wire.STDOUT, b"x" * MIB, "more output"),
        (wire.DONE, b"{}", "type"),
    ],
)
def test_forged_frames_of_a_terminal_end_the_channel(scripted, kind, payload, words):
    """
    Examples are a second stream, more output than the window, and another kind of answer.
    """
    channel = Channel(scripted, describe=lambda: "gone")
    scripted.answers = [
        frame(wire.STARTED, 1, b'{"pid": 5}'),
        frame(kind, 1, payload),
        frame(kind, 1, payload),
    ]

    process = channel.start(["true"], pty=Pty())
    with pytest.raises(WorkspaceLost, match=words):
        process.stderr.rest()


@pytest.mark.slow
@pytest.mark.parametrize("pty", [Pty(0, 80), Pty(24, 1 << 16), Pty(term="a\0b")])
def test_invalid_sizes_are_refused_on_the_host(scripted, pty):
    """
    Nothing is sent.
    """
    channel = Channel(scripted, describe=lambda: "gone")

    with pytest.raises(ValueError, match=r"rows and columns|null byte"):
        channel.start(["true"], pty=pty)

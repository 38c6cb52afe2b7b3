"""The user's side of a command: a terminal or pipes of the test's own, with a local agent."""

from __future__ import annotations

import os
import select
import signal
import sys
import termios
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path, PurePosixPath

import pytest

from pytest_codex_workspace.channel import Channel
from pytest_codex_workspace.cli.execute import divide
from pytest_codex_workspace.errors import WorkspaceLost
from pytest_codex_workspace.process import Process, Pty
from pytest_codex_workspace.terminal import Streams, known_term, on_pipes, on_terminal

from ..person import set_size
from ..unit.local_agent import LocalStream

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the agent is a Linux program")


class User:
    """
    Who sits at a terminal: what is shown, and keys to press.
    """

    def __init__(self) -> None:
        self.master, self.terminal = os.openpty()
        self.before = termios.tcgetattr(self.terminal)
        self.seen = b""
        self._threads: list[threading.Thread] = []

    @property
    def streams(self) -> Streams:
        return Streams(self.terminal, self.terminal, self.terminal)

    @property
    def raw(self) -> bool:
        return not termios.tcgetattr(self.terminal)[3] & (termios.ICANON | termios.ISIG)

    def until(self, words: bytes, seconds: float = 20) -> None:
        deadline = time.monotonic() + seconds
        while words not in self.seen:
            patience = max(0.0, deadline - time.monotonic())
            assert select.select([self.master], [], [], patience)[0], self.seen
            self.seen += os.read(self.master, 65536)

    def type(self, keys: bytes) -> None:
        os.write(self.master, keys)

    def meanwhile(self, act: Callable[[], None]) -> None:
        """
        Do something while the test's own thread is at work.
        """
        self._threads.append(threading.Thread(target=act))
        self._threads[-1].start()

    def leave(self) -> None:
        for thread in self._threads:
            thread.join(30)
        os.close(self.master)
        os.close(self.terminal)


@pytest.fixture
def user() -> Iterator[User]:
    """
    Somebody at a terminal.
    """
    user = User()
    yield user
    user.leave()


@pytest.fixture
def stream() -> Iterator[LocalStream]:
    """
    An agent of the test's own: it may be lost.
    """
    stream = LocalStream(env={"PATH": "/usr/local/bin:/usr/bin:/bin"})
    yield stream
    stream.end()


@pytest.fixture
def channel(stream) -> Iterator[Channel]:
    """
    The conversation with it.
    """
    channel = Channel(stream, describe=lambda: "its container was removed")
    channel.init()
    yield channel
    channel.close()


def bash(channel: Channel, script: str) -> Callable[..., Process]:
    return lambda pty=None: channel.start(["bash", "-c", script], pty=pty)


def test_the_terminal_is_raw_meanwhile_and_then_as_before(user, channel):
    """
    Keys go inside as they are, Ctrl-C too; its exit code comes out.
    """

    def act() -> None:
        user.until(b"ready\r\n")
        assert user.raw
        user.type(b"\x03")

    user.meanwhile(act)
    script = "trap 'echo caught; exit 7' INT; echo ready; while :; do sleep 0.02; done"
    handlers = [signal.getsignal(number) for number in (signal.SIGWINCH, signal.SIGQUIT)]
    code = on_terminal(bash(channel, script), user.streams, "xterm")
    user.until(b"caught\r\n")

    assert code == 7
    assert user.before == termios.tcgetattr(user.terminal)
    assert handlers == [signal.getsignal(number) for number in (signal.SIGWINCH, signal.SIGQUIT)]
    assert "codex-workspace-stdin" not in [thread.name for thread in threading.enumerate()]


def test_what_a_program_left_switched_on_is_switched_off(user, channel):
    """
    Its screen, a hidden cursor, the mouse, colours.
    """
    assert on_terminal(bash(channel, r"printf '\033[?1049h\033[?25l'"), user.streams, "xterm") == 0

    user.until(b"\x1b[?1047l")
    for sequence in (b"\x1b[?25h", b"\x1b[?2004l", b"\x1b[?1006l", b"\x1b[0m"):
        assert sequence in user.seen.partition(b"\x1b[?25l")[2]


def test_what_was_typed_before_is_for_the_shell(user, channel):
    """
    While the workspace came up.
    """
    user.type(b"typed ahead\n")

    assert on_terminal(bash(channel, "read line; echo got $line"), user.streams, "xterm") == 0
    user.until(b"got typed ahead")


def test_what_comes_too_late_is_for_nobody(user, channel, tmp_path):
    """
    A workspace can make the terminal answer: that must not type into the user's own shell. Nor
    does input that nobody reads hold the end.
    """
    over = tmp_path / "over"

    def act() -> None:
        user.until(b"ready\n")
        os.set_blocking(user.master, False)
        # Until what is typed stays in the terminal here.
        while select.select([], [user.master], [], 0.3)[1]:
            user.type(b"rm -rf precious\n" * 200)
        over.touch()

    user.meanwhile(act)
    script = f"stty raw -echo; echo ready; until test -e {over}; do sleep 0.02; done"
    assert on_terminal(bash(channel, script), user.streams, "xterm") == 0

    assert select.select([user.terminal], [], [], 0.3)[0] == []


def test_a_change_of_size_is_passed_on(user, channel):
    """
    The one at the start, and one that SIGWINCH tells of.
    """
    set_size(user.master, 33, 99)

    def act() -> None:
        user.until(b"33 99\r\n")
        set_size(user.master, 50, 132)
        os.kill(os.getpid(), signal.SIGWINCH)

    user.meanwhile(act)
    script = "stty size; until stty size | grep -x '50 132'; do sleep 0.02; done"

    assert on_terminal(bash(channel, script), user.streams, "xterm") == 0


def test_a_lost_workspace_gives_the_terminal_back(user, channel, stream):
    """
    The error goes on, and nothing is left raw.
    """

    def act() -> None:
        user.until(b"ready\r\n")
        stream.process.kill()

    user.meanwhile(act)
    with pytest.raises(WorkspaceLost, match="its container was removed"):
        on_terminal(bash(channel, "echo ready; sleep 60"), user.streams, "xterm")

    assert user.before == termios.tcgetattr(user.terminal)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGQUIT])
def test_a_signal_gives_the_terminal_back_and_kills_the_command(user, channel, request, number):
    """
    Sent from outside: keys do not send any.
    """
    # A shell that runs us in the background has it ignored.
    former = signal.signal(signal.SIGINT, signal.default_int_handler)
    request.addfinalizer(lambda: signal.signal(signal.SIGINT, former))

    def act() -> None:
        user.until(b"ready\r\n")
        os.kill(os.getpid(), number)

    user.meanwhile(act)
    started: list[Process] = []

    def start(pty: Pty) -> Process:
        started.append(bash(channel, "echo ready; sleep 60")(pty))
        return started[0]

    with pytest.raises(KeyboardInterrupt):
        on_terminal(start, user.streams, "xterm")

    assert user.before == termios.tcgetattr(user.terminal)
    assert started[0].wait(timeout=20).exit_code == 137


def test_input_that_is_no_terminal_ends_with_ctrl_d(user, channel):
    """
    And the output need be none either.
    """
    reader, writer = os.pipe()
    os.write(writer, b"one\n")
    os.close(writer)
    output, sink = os.pipe()
    streams = Streams(reader, sink, sink)
    code = on_terminal(bash(channel, "stty -echo; cat; stty size"), streams, "xterm")
    os.close(sink)
    with os.fdopen(output, "rb") as shown:
        lines = shown.read().split(b"\r\n")
    os.close(reader)

    assert (0, b"24 80") == (code, lines[-2])
    assert b"one" in lines
    assert not streams.interactive


def test_a_slow_terminal_slows_the_command(user, channel, tmp_path):
    """
    What is not shown yet is not taken from the workspace, up to a window.
    """
    counted = tmp_path / "counted"
    script = f"head -c 3000000 /dev/zero | tr '\\0' x; echo done >{counted}; echo the end"

    finished: list[bool] = []

    def act() -> None:
        user.until(b"xxx")
        # For a moment nobody looks at the terminal.
        finished.append(channel.run(["sh", "-c", f"sleep 0.3; test -e {counted}"]).ok)
        user.until(b"the end")

    user.meanwhile(act)

    assert on_terminal(bash(channel, script), user.streams, "xterm") == 0
    assert finished == [False]


def test_a_terminal_that_hangs_up_is_a_broken_pipe(channel):
    """
    Without a signal, as for those who have SIGHUP ignored.
    """
    master, terminal = os.openpty()

    def start(pty: Pty) -> Process:
        process = bash(channel, "yes")(pty)
        os.close(master)
        return process

    with pytest.raises(BrokenPipeError):
        on_terminal(start, Streams(terminal, terminal, terminal), "xterm")
    os.close(terminal)


def test_pipes_stay_apart_and_end(channel):
    """
    Each output in its place, though one of them is not taken any more.
    """
    output, out = os.pipe()
    error, err = os.pipe()
    os.close(error)
    script = "head -c 3000000 /dev/zero >&2; cat; echo out; exit 4"
    code = on_pipes(bash(channel, script), Streams(None, out, err))
    for fd in (out, err):
        os.close(fd)
    with os.fdopen(output, "rb") as shown:
        assert (4, b"out\n") == (code, shown.read())


def test_pipes_pass_input_until_it_ends(channel, tmp_path):
    """
    A file, which is always ready to be read.
    """
    data = os.urandom(3 << 20)
    (tmp_path / "data").write_bytes(data)
    with (tmp_path / "data").open("rb") as source, (tmp_path / "copy").open("wb") as target:
        code = on_pipes(bash(channel, "cat"), Streams(source.fileno(), target.fileno(), 2))

    assert code == 0
    assert data == (tmp_path / "copy").read_bytes()


def test_input_that_never_ends_does_not_hold_the_end(channel):
    """
    Nor is anything taken from it afterwards.
    """
    reader, writer = os.pipe()
    sink = os.open(os.devnull, os.O_WRONLY)
    assert on_pipes(bash(channel, "exit 3"), Streams(reader, sink, sink)) == 3

    os.write(writer, b"mine")
    assert os.read(reader, 4) == b"mine"
    for fd in (reader, writer, sink):
        os.close(fd)


class Terminfo:
    """
    As much of a workspace as has terminals: their files are below *root*.
    """

    def __init__(self, root: Path, env: dict[str, str]) -> None:
        self._root = root
        self.env = env

    def path(self, path: str) -> Path:
        return self._root / PurePosixPath(path).relative_to("/")


@pytest.mark.parametrize(
    ("term", "env", "told"),
    [
        ("known", {}, "known"),
        ("tmux", {}, "tmux"),
        ("xterm-kitty", {}, "xterm-256color"),
        ("../../k/known", {}, "xterm-256color"),
        ("", {}, "xterm-256color"),
        ("known", {"TERM": "dumb"}, "dumb"),
    ],
)
def test_programs_are_told_a_terminal_they_know(tmp_path, term, env, told):
    """
    By either way of naming its file; a variable that was asked for wins.
    """
    for path in ("usr/share/terminfo/k/known", "lib/terminfo/74/tmux"):
        (tmp_path / path).parent.mkdir(parents=True)
        (tmp_path / path).touch()

    assert told == known_term(Terminfo(tmp_path, env), term)


@pytest.mark.parametrize(
    ("argv", "ours", "command"),
    [
        (["exec", ".", "--", "ls", "-la", "--", "x"], ["exec", "."], ["ls", "-la", "--", "x"]),
        (["exec", "--"], ["exec"], []),
        (["exec", "."], ["exec", "."], None),
        (["run", "--", "-odd"], ["run", "--", "-odd"], None),
        ([], [], None),
    ],
)
def test_what_follows_the_mark_is_for_the_workspace(argv, ours, command):
    """
    Of `exec` only.
    """
    assert (ours, command) == divide(argv)

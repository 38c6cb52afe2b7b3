"""Tests of connecting a terminal or pipes to a command, with a local agent."""

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

from pytest_codex_workspace.cli.exec_ import split_arguments
from pytest_codex_workspace.errors import WorkspaceLost
from pytest_codex_workspace.workspace.attach import Streams, known_term, on_pipes, on_terminal
from pytest_codex_workspace.workspace.channel import Channel
from pytest_codex_workspace.workspace.process import Process, Pty

from ...helpers.local_agent import LocalStream
from ...helpers.user import set_size

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(sys.platform != "linux", reason="the agent is a Linux program"),
]


class User:
    """
    A user at a terminal, who sees the output and presses keys.
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
        Call a function in a thread while the main thread is busy.
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
    A user at a terminal.
    """
    user = User()
    yield user
    user.leave()


@pytest.fixture
def stream() -> Iterator[LocalStream]:
    """
    An agent for one test, which may end it.
    """
    stream = LocalStream(env={"PATH": "/usr/local/bin:/usr/bin:/bin"})
    yield stream
    stream.end()


@pytest.fixture
def channel(stream) -> Iterator[Channel]:
    """
    The channel to that agent.
    """
    channel = Channel(stream, describe=lambda: "its container was removed")
    channel.init()
    yield channel
    channel.close()


def bash(channel: Channel, script: str) -> Callable[..., Process]:
    return lambda pty=None: channel.start(["bash", "-c", script], pty=pty)


def test_the_terminal_is_raw_during_the_command_and_restored_afterwards(user, channel):
    """
    Keys are passed on unchanged, Ctrl-C too. The exit code is returned.
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


def test_modes_that_a_program_left_switched_on_are_reset(user, channel):
    """
    Examples are the alternate screen, a hidden cursor, the mouse and colours.
    """
    assert on_terminal(bash(channel, r"printf '\033[?1049h\033[?25l'"), user.streams, "xterm") == 0

    user.until(b"\x1b[?1047l")
    for sequence in (b"\x1b[?25h", b"\x1b[?2004l", b"\x1b[?1006l", b"\x1b[0m"):
        assert sequence in user.seen.partition(b"\x1b[?25l")[2]


def test_keys_typed_before_the_start_are_passed_on(user, channel):
    """
    The user typed them while the workspace started.
    """
    user.type(b"typed ahead\n")

    assert on_terminal(bash(channel, "read line; echo got $line"), user.streams, "xterm") == 0
    user.until(b"got typed ahead")


def test_keys_typed_after_the_end_are_discarded(user, channel, tmp_path):
    """
    A workspace can make the terminal send an answer, which must not reach the user's own shell.
    Unread input does not delay the end.
    """
    over = tmp_path / "over"

    def act() -> None:
        user.until(b"ready\n")
        os.set_blocking(user.master, False)
        # Wait until the keys stay in the terminal.
        while select.select([], [user.master], [], 0.3)[1]:
            user.type(b"rm -rf precious\n" * 200)
        over.touch()

    user.meanwhile(act)
    script = f"stty raw -echo; echo ready; until test -e {over}; do sleep 0.02; done"
    assert on_terminal(bash(channel, script), user.streams, "xterm") == 0

    assert select.select([user.terminal], [], [], 0.3)[0] == []


def test_the_size_of_the_terminal_is_passed_on(user, channel):
    """
    Both the initial size and a later change (SIGWINCH) are.
    """
    set_size(user.master, 33, 99)

    def act() -> None:
        user.until(b"33 99\r\n")
        set_size(user.master, 50, 132)
        os.kill(os.getpid(), signal.SIGWINCH)

    user.meanwhile(act)
    script = "stty size; until stty size | grep -x '50 132'; do sleep 0.02; done"

    assert on_terminal(bash(channel, script), user.streams, "xterm") == 0


def test_the_terminal_is_restored_after_the_loss_of_the_workspace(user, channel, stream):
    """
    The error is passed on.
    """

    def act() -> None:
        user.until(b"ready\r\n")
        stream.process.kill()

    user.meanwhile(act)
    with pytest.raises(WorkspaceLost, match="its container was removed"):
        on_terminal(bash(channel, "echo ready; sleep 60"), user.streams, "xterm")

    assert user.before == termios.tcgetattr(user.terminal)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGQUIT])
def test_a_signal_restores_the_terminal_and_kills_the_command(user, channel, request, number):
    """
    Another process sends the signal, because keys do not send any.
    """
    # A shell that runs this process in the background lets it ignore the signal.
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


def test_the_end_of_other_input_is_ctrl_d(user, channel):
    """
    Neither input nor output has to be a terminal.
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


def test_a_slow_terminal_slows_the_command_down(user, channel, tmp_path):
    """
    Output beyond the window stays in the workspace until the terminal has shown the rest.
    """
    counted = tmp_path / "counted"
    script = f"head -c 3000000 /dev/zero | tr '\\0' x; echo done >{counted}; echo the end"

    finished: list[bool] = []

    def act() -> None:
        user.until(b"xxx")
        # The terminal is not read for a moment.
        finished.append(channel.run(["sh", "-c", f"sleep 0.3; test -e {counted}"]).ok)
        user.until(b"the end")

    user.meanwhile(act)

    assert on_terminal(bash(channel, script), user.streams, "xterm") == 0
    assert finished == [False]


def test_a_terminal_that_hangs_up_is_a_broken_pipe(channel):
    """
    There is no signal, as for processes that ignore SIGHUP.
    """
    master, terminal = os.openpty()

    def start(pty: Pty) -> Process:
        process = bash(channel, "yes")(pty)
        os.close(master)
        return process

    with pytest.raises(BrokenPipeError):
        on_terminal(start, Streams(terminal, terminal, terminal), "xterm")
    os.close(terminal)


def test_the_outputs_are_separate_on_pipes(channel):
    """
    This holds even if one of them is not read any more.
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


def test_input_is_passed_on_until_its_end(channel, tmp_path):
    """
    The input is a file, which is always ready for reading.
    """
    data = os.urandom(3 << 20)
    (tmp_path / "data").write_bytes(data)
    with (tmp_path / "data").open("rb") as source, (tmp_path / "copy").open("wb") as target:
        code = on_pipes(bash(channel, "cat"), Streams(source.fileno(), target.fileno(), 2))

    assert code == 0
    assert data == (tmp_path / "copy").read_bytes()


def test_endless_input_does_not_delay_the_end(channel):
    """
    The input is not read after the end.
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
    The part of a workspace with the terminfo files, which are below *root*.
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
def test_programs_get_a_kind_of_terminal_that_they_know(tmp_path, term, env, told):
    """
    Its file may have either name. A variable of the workspace takes precedence.
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
def test_arguments_after_the_dashes_are_for_the_workspace(argv, ours, command):
    """
    Only `exec` has such arguments.
    """
    assert (ours, command) == split_arguments(argv)

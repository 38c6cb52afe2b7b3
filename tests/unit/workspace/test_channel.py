"""Tests of commands and files through a channel, with a local agent or forged messages."""

from __future__ import annotations

import errno
import json
import os
import re
import signal
import sys
import threading
import tracemalloc
from collections.abc import Iterator

import pytest

from pytest_codex_workspace.errors import ExecError, ExecTimeout, WorkspaceLost
from pytest_codex_workspace.in_container import workspace_agent as wire
from pytest_codex_workspace.network.rules.process import ProcessLine
from pytest_codex_workspace.unpatched import clock
from pytest_codex_workspace.workspace.channel import Channel
from pytest_codex_workspace.workspace.process import Pty

from ...helpers.local_agent import LocalStream, ScriptedStream, frame, local_channel, until_ended

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the agent is a Linux program")

MIB = 1 << 20


def _channel(stream) -> Channel:
    return Channel(stream, describe=lambda: "its container was removed")


@pytest.fixture(scope="module")
def channel(tmp_path_factory) -> Iterator[Channel]:
    """
    A channel to an agent that all tests of this file share.
    """
    cwd = str(tmp_path_factory.mktemp("cwd"))
    with local_channel(cwd=cwd, init={"SET": "by init"}, KEPT="yes") as channel:
        yield channel


@pytest.fixture
def scripted() -> Iterator[ScriptedStream]:
    """
    A channel to a script that sends what an attacker in the workspace could send.
    """
    stream = ScriptedStream()
    yield stream
    stream.close()


def test_run_gives_exit_code_and_both_streams(channel):
    """
    Bytes are unchanged; text has replacement characters.
    """
    result = channel.run(["sh", "-c", r"printf 'a\377'; echo oops >&2; exit 3"])

    assert (
        result.exit_code,
        result.stdout_bytes,
        result.stdout,
        result.stderr,
    ) == (3, b"a\xff", "a\ufffd", "oops\n")
    assert not result.truncated
    assert result.duration > 0


def test_the_environment_has_three_layers(channel):
    """
    The layers are the container's variables, those of `init`, and those of the command.
    """
    script = "echo $KEPT $SET $ADDED"

    assert channel.run(["sh", "-c", script], env={"ADDED": "é"}).stdout == "yes by init é\n"
    assert channel.run(["sh", "-c", script], env={"SET": "anew"}).stdout == "yes anew\n"


def test_unusual_arguments_arrive_unchanged(channel):
    """
    Examples are spaces, quotes, newlines, and names that are not UTF-8.
    """
    argv = ["printf", "%s|", "a b", "'\"", "x\ny", "", "\udcff"]

    assert channel.run(argv).stdout_bytes == b"a b|'\"|x\ny||\xff|"


@pytest.mark.parametrize(
    ("argv", "code", "words"),
    [
        (["no-such-program"], 127, "command not found"),
        (["./no/such"], 127, "No such file"),
        (["/etc/passwd"], 126, "Permission denied"),
        (["/usr"], 126, "Is a directory"),
    ],
)
def test_a_program_that_cannot_be_run_has_the_exit_code_of_a_shell(channel, argv, code, words):
    """
    Standard error has the reason.
    """
    result = channel.run(argv)

    assert code == result.exit_code
    assert words in result.stderr


def test_a_script_may_have_no_valid_first_line(channel, tmp_path):
    """
    Without `#!`, sh runs the script. A missing interpreter is reported.
    """
    script = tmp_path / "script"
    script.write_text("echo $1\n")
    script.chmod(0o755)
    assert channel.run([str(script), "hello"]).stdout == "hello\n"

    script.write_text("#!/no/such/interpreter\r\n")
    result = channel.run([str(script)])
    assert result.exit_code == 127
    assert "interpreter" in result.stderr


def test_a_missing_directory_is_an_error(channel, tmp_path):
    """
    The error is the builtin one and names the directory.
    """
    with pytest.raises(FileNotFoundError, match="/no/such") as caught:
        channel.run(["true"], cwd="/no/such")
    assert caught.value.filename == "/no/such"
    with pytest.raises(NotADirectoryError):
        channel.start(["true"], cwd="/etc/passwd")


def test_a_missing_user_is_an_error(channel):
    """
    The error says where users are looked up.
    """
    with pytest.raises(OSError, match=r"no user 'nobody-here'.*/etc/passwd"):
        channel.run(["true"], user="nobody-here")


@pytest.mark.skipif(os.getuid() != 0, reason="only root can become somebody else")
def test_a_user_has_its_own_identity_and_home(channel):
    """
    The user is given by name or by number.
    """
    who = channel.run(["sh", "-c", "id -un; id -G; echo $HOME $USER"], user="daemon", cwd="/")

    assert who.stdout.split("\n")[0] == "daemon"
    assert who.stdout.split()[-1] == "daemon"
    assert channel.run(["id", "-u"], user="12345:6", cwd="/").stdout == "12345\n"
    assert channel.run(["id", "-G"], user="12345:6", cwd="/").stdout == "6\n"


@pytest.mark.parametrize(
    ("argv", "more", "words"),
    [
        ([], {}, "empty"),
        ([""], {}, "empty"),
        (["a\0b"], {}, "null byte"),
        (["true"], {"cwd": "a\0b"}, "null byte"),
        (["true"], {"user": "a\0b"}, "null byte"),
        (["\ud800"], {}, "encoded"),
        (["true"], {"env": {"A=B": "1"}}, "variable"),
        (["true"], {"timeout": 0}, "timeout"),
        (["true"], {"timeout": float("nan")}, "timeout"),
    ],
)
def test_invalid_arguments_are_refused_on_the_host(channel, argv, more, words):
    """
    Nothing is sent.
    """
    with pytest.raises(ValueError, match=words):
        channel.run(argv, **more)


def test_input_is_read_to_its_end(channel):
    """
    The input is larger than any buffer.
    """
    data = os.urandom(3 * MIB)

    assert channel.run(["cat"], input=data).stdout_bytes == data
    assert channel.run(["cat"], input="é").stdout == "é"
    assert channel.run(["cat"]).stdout == ""


def test_unread_input_is_no_error(channel):
    """
    A pipeline behaves the same way.
    """
    assert channel.run(["true"], input=b"x" * 3 * MIB).ok


def test_output_is_cut_at_the_limit(channel):
    """
    The limit applies to each stream.
    """
    result = channel.run(["sh", "-c", "head -c 3000000 /dev/zero; echo end >&2"], limit=1000)

    assert (len(result.stdout_bytes), result.stderr_bytes) == (1000, b"end\n")
    assert result.truncated


def test_a_timeout_kills_the_process_group_and_keeps_the_output(channel):
    """
    Child processes in the background are killed, too.
    """
    with pytest.raises(ExecTimeout, match=r"timeout of 0\.1 s") as caught:
        channel.run(["sh", "-c", "sleep 60 & echo $!; sleep 60"], timeout=0.1)

    # The agent reaps orphans only as the first process of a container.
    until_ended(int(caught.value.stdout))
    assert caught.value.result.exit_code == 137


def test_a_shell_that_kills_itself_has_exit_code_137(channel):
    """
    The exit code is 128 plus the number of the signal.
    """
    assert channel.run(["sh", "-c", "kill -9 $$"]).exit_code == 137


def test_a_command_ends_while_its_daemon_runs(channel):
    """
    Later output of the daemon is dropped, and does not end the daemon.
    """
    daemon = "until [ -e go ]; do sleep 0.05; done; echo late && echo alive >&3"
    process = channel.run(["sh", "-c", f"({daemon}) 3>ok & echo x"])

    assert process.stdout == "x\n"
    channel.run(["touch", "go"])
    assert channel.run(["sh", "-c", "while ! [ -s ok ]; do sleep 0.05; done"], timeout=10).ok


def test_output_of_a_helper_that_ends_shortly_after_is_kept(channel):
    """
    `exec > >(tee log)` is a common first line of scripts.
    """
    result = channel.run(["bash", "-c", "exec > >(cat); echo last words"])

    assert result.stdout == "last words\n"


def test_commands_do_not_inherit_state_of_the_agent(channel):
    """
    Examples are file descriptors, signal handlers and the umask.
    """
    script = "grep -E '^Sig(Ign|Blk)' /proc/self/status; umask; exec ls /proc/self/fd"
    words = channel.run(["bash", "-c", script]).stdout.split()

    assert [words[0], words[2]] == ["SigBlk:", "SigIgn:"]
    # Signals 32 and 33 are reserved by the C library.
    assert [int(words[1], 16) & 0x7FFFFFFF, int(words[3], 16) & 0x7FFFFFFF] == [0, 0]
    assert words[4:] == ["0022", "0", "1", "2", "3"]


def test_lines_are_available_while_the_process_runs(channel):
    """
    The process reads its input meanwhile.
    """
    process = channel.start(["sh", "-c", "while read line; do echo got $line; done; exit 5"])

    process.send("one\n")
    assert next(process.stdout) == "got one\n"
    assert process.poll() is None
    process.send(b"two\nthree\n")
    process.close_stdin()
    assert list(process.stdout) == ["got two\n", "got three\n"]
    assert process.wait().exit_code == 5
    assert process.poll() == 5
    with pytest.raises(BrokenPipeError):
        process.send("four\n")


def test_wait_returns_the_output_that_was_not_iterated(channel):
    """
    This holds for both streams.
    """
    process = channel.start(["sh", "-c", "echo a; echo b; echo c >&2"])
    next(process.stdout)

    result = process.wait()
    assert (result.stdout, result.stderr) == ("b\n", "c\n")
    assert result is process.wait()


def test_wait_reads_more_output_than_the_window(channel):
    """
    The process is not blocked. Output above the limit is dropped.
    """
    process = channel.start(["head", "-c", "5000000", "/dev/zero"], limit=2 * MIB)

    result = process.wait(timeout=30)
    assert (result.exit_code, len(result.stdout_bytes), result.truncated) == (0, 2 * MIB, True)


def test_two_threads_read_both_streams(channel):
    """
    Neither thread waits for the other, and no output is lost.
    """
    script = "for i in $(seq 20); do echo o$i; echo e$i >&2; done; head -c 3000000 /dev/zero"
    process = channel.start(["bash", "-c", script])
    errors: list[str] = []
    reader = threading.Thread(target=lambda: errors.extend(process.stderr))
    reader.start()
    lines = list(process.stdout)
    reader.join(10)

    assert [f"e{i}\n" for i in range(1, 21)] == errors
    assert [f"o{i}\n" for i in range(1, 21)] == lines[:20]
    # A long line is split.
    assert [len(piece) for piece in lines[20:]] == [MIB, MIB, 3000000 - 2 * MIB]


def test_a_process_is_killed_by_name_or_number(channel):
    """
    The whole process group is killed. An unknown name is refused.
    """
    process = channel.start(["sh", "-c", "trap 'echo bye; exit 9' TERM; echo on; sleep 60 & wait"])
    next(process.stdout)
    process.kill("SIGTERM")
    assert (process.wait().exit_code, process.wait().stdout) == (9, "bye\n")
    process.kill()

    process = channel.start(["sleep", "60"])
    with pytest.raises(ValueError, match="no signal 'NONE'"):
        process.kill("none")
    process.kill(signal.SIGINT)
    assert process.wait().exit_code == 130


def test_a_started_process_has_two_timeouts(channel):
    """
    They are those of `start` and of `wait`.
    """
    with pytest.raises(ExecTimeout):
        channel.start(["sleep", "60"], timeout=0.05).wait()
    process = channel.start(["sh", "-c", "echo on; exec sleep 60"])
    with pytest.raises(ExecTimeout, match=r"the end of its stdout:\n  \| on"):
        process.wait(timeout=0.1)
    assert process.poll() is None
    process.kill()
    assert process.wait().exit_code == 137


def test_output_is_bounded_after_the_timeout_of_wait(channel):
    """
    The process runs on, blocks again while its output is unread, and loses nothing.
    """
    process = channel.start(["sh", "-c", "read x; head -c 3000000 /dev/zero; echo end"])
    with pytest.raises(ExecTimeout):
        process.wait(timeout=0.01)

    process.send("go\n")
    assert 3_000_001 + len("end") == sum(len(piece) for piece in iter(process.stdout.piece, b""))
    assert not process.wait().truncated


def test_check_takes_effect_in_wait(channel):
    """
    The failure of a started process is reported by `wait`.
    """
    with pytest.raises(ExecError):
        channel.start(["false"], check=True).wait()


def test_a_started_process_accepts_input(channel):
    """
    There is more input than the agent keeps. The start does not wait for it.
    """
    process = channel.start(["wc", "-c"], input=b"x" * 3 * MIB)

    assert process.wait(timeout=30).stdout.strip() == str(3 * MIB)


def test_kill_all_ends_every_command(channel):
    """
    All commands have ended when the call returns.
    """
    process = channel.start(["sleep", "60"])
    channel.kill_all()

    assert process.poll() == 137


def test_an_interrupted_run_kills_its_command(channel, monkeypatch):
    """
    Ctrl-C ends the test and its command.
    """

    def interrupt(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("pytest_codex_workspace.workspace.call.CommandCall.wait", interrupt)
        with pytest.raises(KeyboardInterrupt):
            channel.run(["sh", "-c", "echo $$ >pid; exec sleep 60"])
    channel.kill_all()
    assert channel.run(["true"]).ok


def test_too_many_arguments_are_refused(channel):
    """
    They are refused by the kernel, as in a shell, or before they are sent.
    """
    assert channel.run(["true", "x" * 200_000]).exit_code == 126
    with pytest.raises(OSError, match="1 MiB") as caught:
        channel.run(["true", "x" * MIB])
    assert caught.value.errno == errno.E2BIG


def test_a_file_above_the_limit_is_not_read(channel):
    """
    This holds for an endless file, too.
    """
    with pytest.raises(OSError, match="download") as caught:
        channel.read_file("/dev/zero", limit=MIB)
    assert caught.value.errno == errno.EFBIG
    assert channel.run(["true"]).ok


def test_opening_a_fifo_does_not_block_the_agent(channel, tmp_path):
    """
    Usually, opening a FIFO waits for the other end.
    """
    os.mkfifo(tmp_path / "fifo")

    assert channel.read_file(str(tmp_path / "fifo")) == b""
    with pytest.raises(OSError, match="fifo"):
        channel.write_file(str(tmp_path / "fifo"), b"x")


def test_an_error_in_the_middle_of_a_write_is_reported(channel):
    """
    An example is a full disk. The error names the file.
    """
    with pytest.raises(OSError, match="/dev/full") as caught:
        channel.write_file("/dev/full", b"x" * 2 * MIB)
    assert caught.value.errno == errno.ENOSPC


def test_many_threads_may_share_a_channel(channel):
    """
    Each thread gets its own answers.
    """
    said: dict[int, str] = {}

    def ask(number: int) -> None:
        said[number] = channel.run(["echo", str(number)]).stdout

    threads = [threading.Thread(target=ask, args=(number,)) for number in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert {number: f"{number}\n" for number in range(20)} == said


def test_the_error_of_a_lost_workspace_has_the_reason(scripted):
    """
    Pending and later calls raise it. It has the last output of the agent, up to a limit.
    """
    channel = _channel(scripted)
    errors: list[Exception] = []

    def run() -> None:
        with pytest.raises(WorkspaceLost) as caught:
            channel.run(["sleep", "60"])
        errors.append(caught.value)

    thread = threading.Thread(target=run)
    thread.start()
    scripted.say(2, b"x" * 200_000 + b"out of memory\n")
    scripted.say(0, b"")
    thread.join(10)

    assert "its container was removed" in str(errors[0])
    assert str(errors[0]).endswith("out of memory")
    assert len(str(errors[0])) < 70_000
    assert channel.lost
    with pytest.raises(WorkspaceLost, match="its container was removed"):
        channel.stat("/")


def test_calls_on_a_closed_channel_are_errors(scripted):
    """
    The error does not say that the workspace was lost. Closing does not wait for the container:
    each test ends its workspaces.
    """
    channel = _channel(scripted)
    channel.close()
    assert scripted.closed_at_once

    with pytest.raises(WorkspaceLost, match="is closed"):
        channel.run(["true"])


def test_a_channel_goes_on_with_another_agent():
    """
    Its commands have the phase of before, and nothing of the first agent's end is left.
    """
    streams = [LocalStream(env={"PATH": "/usr/bin:/bin", "WHICH": str(n)}) for n in range(2)]
    channel = _channel(streams[0])
    channel.init()
    channel.enter({"PHASE": "test"})
    waiting = channel.start(["sleep", "1000"])

    channel.reconnect(streams[1], describe=lambda: "the second was removed")
    channel.init()

    assert channel.run(["sh", "-c", "echo $WHICH $PHASE"]).stdout == "1 test\n"
    with pytest.raises(WorkspaceLost, match="is closed"):
        waiting.poll()
    assert not channel.lost
    for stream in streams:
        stream.end()
    with pytest.raises(WorkspaceLost, match="the second was removed"):
        channel.run(["true"])


FORGED = {
    "a frame without end": (wire.STDOUT, 1, None),
    "another request's number": (wire.EXIT, 77, b"{}"),
    "no JSON": (wire.EXIT, 1, b"\xff"),
    "deep JSON": (wire.EXIT, 1, b"[" * 500_000),
    "another shape": (wire.EXIT, 1, b'{"code": "0"}'),
    "a list": (wire.ERROR, 1, b"[]"),
    "an unknown type": (200, 1, b""),
    "an answer of another kind": (wire.DONE, 1, b"{}"),
    "credit for nothing": (wire.TAKEN, 1, b"\xff\xff\xff\xff"),
    "half a number": (wire.TAKEN, 1, b"\xff"),
}


# After a failure, the channel looks for what the out-of-memory killer did.
SUCCESS = b'{"code": 0, "duration": 0.5, "truncated": [false, false], "timed_out": false}'
END = b'{"code": 4, "duration": 0.5, "truncated": [false, false], "timed_out": false}'


@pytest.mark.parametrize("forged", FORGED.values(), ids=FORGED)
def test_forged_frames_end_the_channel(scripted, forged):
    """
    Root in the workspace can write anything between the frames.
    """
    channel = _channel(scripted)
    kind, number, payload = forged
    endless = wire.HEADER.pack(kind, number, 1 << 31)
    scripted.answers = [endless if payload is None else frame(kind, number, payload)]

    with pytest.raises(WorkspaceLost, match="may be impersonating the agent"):
        channel.run(["true"])
    assert channel.lost


def test_more_output_than_requested_is_dropped(scripted):
    """
    The host's memory does not depend on the agent.
    """
    channel = _channel(scripted)
    scripted.answers = [frame(wire.STDOUT, 1, b"x" * MIB)] * 3 + [frame(wire.EXIT, 1, SUCCESS)]

    result = channel.run(["true"], limit=1000)
    assert len(result.stdout_bytes) == 1000
    assert result.truncated


def test_more_output_than_the_window_ends_the_channel(scripted):
    """
    The output is unread, so it would stay in memory.
    """
    channel = _channel(scripted)
    started = frame(wire.STARTED, 1, b'{"pid": 5}')
    scripted.answers = [started] + [frame(wire.STDOUT, 1, b"x" * MIB)] * 3

    process = channel.start(["true"])
    assert process.pid == 5
    with pytest.raises(WorkspaceLost, match="more output"):
        process.stderr.rest()


def test_frames_may_be_split_anywhere(scripted):
    """
    A stream does not keep the boundaries of frames.
    """
    channel = _channel(scripted)
    data = frame(wire.STDOUT, 1, b"hi") + frame(wire.EXIT, 1, SUCCESS)
    scripted.answers = [bytes([byte]) for byte in data]

    result = channel.run(["true"])
    assert (result.exit_code, result.stdout, result.duration) == (0, "hi", 0.5)


@pytest.mark.parametrize("name", [b"../escape", b"..", b"/etc/passwd", b"", b"a/b"])
def test_a_forged_listing_ends_the_channel(scripted, name):
    """
    Code that copies the listed files must stay inside the directory.
    """
    channel = _channel(scripted)
    scripted.answers = [
        frame(wire.DATA, 1, b"fine\0" + name + b"\0"),
        frame(wire.DONE, 1, b"{}"),
    ]

    with pytest.raises(WorkspaceLost, match="a file name of"):
        list(channel.list_dir("/somewhere"))


def test_an_interrupted_command_says_what_it_was_doing(channel):
    """
    The limit of a test interrupts the wait with an exception of its own.
    """

    class Limit(BaseException):
        pass

    def end(*_):
        [text] = channel.running()
        assert "the license server" in text
        raise Limit("too long")

    script = f"echo the license server; sleep 0.1; kill -USR1 {os.getpid()}; sleep 60"
    before = signal.signal(signal.SIGUSR1, end)
    try:
        with pytest.raises(Limit) as caught:
            channel.run(["sh", "-c", script])
    finally:
        signal.signal(signal.SIGUSR1, before)

    [note] = caught.value.__notes__
    assert "a command was still running, after" in note
    assert "sleep 60" in note
    assert "  | the license server" in note
    assert channel.running() == []


WAITS = {
    "reading '/x'": lambda channel: channel.read_file("/x"),
    "writing '/x'": lambda channel: channel.write_file("/x", b"x"),
    "writing '/big'": lambda channel: channel.write_file("/big", b"x" * 5 * MIB),
    "the status of '/x'": lambda channel: channel.stat("/x"),
    "listing '/x'": lambda channel: channel.list_dir("/x"),
    "creating '/x'": lambda channel: channel.mkdir("/x"),
    "removing '/x'": lambda channel: channel.unlink("/x"),
    "killing all processes": lambda channel: channel.kill_all(),
    "the command sleep 1": lambda channel: channel.start(["sleep", "1"]),
}
"""Requests that the agent itself answers."""

COMMANDS = {
    "the command true": lambda channel: channel.run(["true"]),
    "the command cat": lambda channel: channel.run(["cat"], input=b"x" * 5 * MIB),
}


@pytest.fixture
def impatient(monkeypatch) -> None:
    """
    Shorten the time in which an agent must answer.
    """
    for module in ("call", "channel"):
        for name, value in (("ATTENTION", 0.02), ("SILENCE", 0.2)):
            monkeypatch.setattr(f"pytest_codex_workspace.workspace.{module}.{name}", value)
    monkeypatch.setattr("pytest_codex_workspace.workspace.call.LONGEST", 1.0)


@pytest.mark.parametrize(("what", "call"), [*WAITS.items(), *COMMANDS.items()])
def test_a_silent_agent_is_a_lost_workspace(scripted, impatient, what, call):
    """
    The error says which call had no answer, and for how long.
    """
    channel = _channel(scripted)

    with pytest.raises(WorkspaceLost, match=rf"has not answered for \d+ s: {re.escape(what)}"):
        call(channel)
    assert channel.lost


class ReaderIsFirst(ScriptedStream):
    """
    A stream whose end has been read when it is closed.
    """

    reader: threading.Thread

    def close(self, *, at_once: bool = False) -> None:
        super().close(at_once=at_once)
        if threading.current_thread() is not self.reader:
            self.reader.join(5)


def test_the_first_reason_is_told(impatient):
    """
    That the stream ends follows from it, and is no reason.
    """
    stream = ReaderIsFirst()
    channel = _channel(stream)
    stream.reader = channel._reader

    with pytest.raises(WorkspaceLost, match="has not answered"):
        channel.stat("/x")


class AlivePretender(ScriptedStream):
    """
    A stream that answers each request for a sign of life, and nothing else.
    """

    def __init__(self, also: bytes = b"") -> None:
        super().__init__()
        self._also = also

    def send(self, data: bytes) -> None:
        if data[0] == wire.PING:
            self.say(1, frame(wire.PONG, 0) + self._also)


@pytest.mark.parametrize(("what", "call"), WAITS.items())
def test_a_sign_of_life_is_no_answer(impatient, what, call):
    """
    Whoever impersonates the agent cannot make a request last for ever.
    """
    channel = _channel(AlivePretender())

    with pytest.raises(WorkspaceLost, match=f"has not answered for .*{re.escape(what)}"):
        call(channel)


def test_an_answer_that_never_ends_is_a_lost_workspace(impatient):
    """
    Each piece of it comes in time.
    """
    channel = _channel(AlivePretender(frame(wire.DATA, 1, b"x")))

    with pytest.raises(WorkspaceLost, match=r"has not finished after .*reading '/x'"):
        channel.read_file("/x")


@pytest.mark.slow
def test_a_command_may_be_silent_for_as_long_as_it_runs(impatient, monkeypatch):
    """
    Its agent answers meanwhile.
    """
    monkeypatch.setattr("pytest_codex_workspace.workspace.channel.SILENCE", 1.0)
    stream = LocalStream()
    channel = _channel(stream)
    channel.init()

    assert channel.run(["sleep", "1.5"]).ok
    channel.close()
    stream.end()


def test_a_command_that_somebody_pretends_to_run_has_a_timeout(impatient, monkeypatch):
    """
    Without one, it is like a command that runs for ever.
    """
    monkeypatch.setattr("pytest_codex_workspace.workspace.channel._PATIENCE", 0.1)

    with pytest.raises(ExecTimeout):
        _channel(AlivePretender()).run(["sleep", "60"], timeout=0.3)


@pytest.mark.parametrize(("what", "call"), [*WAITS.items(), *COMMANDS.items()])
def test_a_stopped_agent_is_a_lost_workspace(impatient, what, call):
    """
    Its pipes fill up, and their senders do not wait for ever either.
    """
    stream = LocalStream()
    stream.stalled = 0.1
    channel = _channel(stream)
    channel.init()
    os.kill(stream.process.pid, signal.SIGSTOP)

    with pytest.raises(WorkspaceLost, match=r"has not answered|was removed"):
        call(channel)

    stream.process.kill()
    stream.end()


def test_a_pause_of_this_process_is_no_silence(scripted, impatient, monkeypatch):
    """
    An example is Ctrl-Z. The answers are still in the socket then.
    """
    channel = _channel(scripted)
    seconds = iter(range(0, 10**6, 1000))
    monkeypatch.setattr(clock, "monotonic", lambda: float(next(seconds)))
    asked = threading.Event()
    send = scripted.send

    def count(data: bytes) -> None:
        send(data)
        if data[0] == wire.PING:
            asked.set()
            scripted.say(1, frame(wire.PONG, 0) + frame(wire.EXIT, 1, END))

    monkeypatch.setattr(scripted, "send", count)

    assert channel.run(["true"]).exit_code == 4
    assert asked.is_set()


def test_an_error_of_the_agent_has_no_control_sequences(scripted):
    """
    Otherwise, a report of pytest would send them to the terminal.
    """
    channel = _channel(scripted)
    told = {"errno": "EACCES", "message": "\x1b]0;title\x07\x1b[2Jno\x9b", "path": None}
    scripted.answers = [frame(wire.ERROR, 1, json.dumps(told).encode())]
    with pytest.raises(PermissionError) as caught:
        channel.stat("/x")
    assert caught.value.strerror == "no"

    told |= {"path": "/\x1b[2J"}
    scripted.answers = [frame(wire.ERROR, 2, json.dumps(told).encode())]
    with pytest.raises(PermissionError) as caught:
        channel.stat("/x")
    assert "\x1b" not in str(caught.value)


@pytest.mark.parametrize("values", [[1 << 40] + [0] * 9, [0] * 9 + [1 << 70], [-1] + [0] * 9])
def test_a_forged_status_ends_the_channel(scripted, values):
    """
    Functions of the standard library would raise odd errors for it.
    """
    channel = _channel(scripted)
    scripted.answers = [frame(wire.DONE, 1, json.dumps({"stat": values}).encode())]

    with pytest.raises(WorkspaceLost, match="a status of"):
        channel.stat("/x")


def test_a_forged_start_is_an_error(scripted):
    """
    A number may be larger than any float.
    """
    channel = _channel(scripted)
    ready = b'{"python": "3", "pid": 1, "ca_installed": false, "ms": 1%s}' % (b"0" * 400)
    scripted.answers = [frame(wire.READY, 1, ready)]

    with pytest.raises(WorkspaceLost, match="another version"):
        channel.init()


def test_names_of_a_directory_take_no_more_memory_than_they_have_bytes(scripted):
    """
    There may be a million, and they come one by one.
    """
    channel = _channel(scripted)
    names = b"".join(b"%06d\0" % number for number in range(15_000))
    scripted.answers = [frame(wire.DATA, 1, names)] * 3 + [frame(wire.DONE, 1, b"{}")]
    tracemalloc.start()
    try:
        found = channel.list_dir("/many")
        assert (next(found), sum(1 for _ in found)) == ("000000", 3 * 15_000 - 1)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()

    assert peak < 5 * 3 * len(names)


def test_names_of_a_directory_have_a_limit(scripted, monkeypatch):
    """
    The error is that of a file that is too large.
    """
    monkeypatch.setattr("pytest_codex_workspace.workspace.channel._NAMES_LIMIT", 1000)
    channel = _channel(scripted)
    scripted.answers = [frame(wire.DATA, 1, b"x\0" * 600)]

    with pytest.raises(OSError, match="larger than") as caught:
        channel.list_dir("/many")
    assert caught.value.errno == errno.EFBIG


WAITING = {
    "a pipe that nobody writes to": (["cat"], r"cat \(process \d+\) reads a pipe"),
    "a pipe behind a shell": (["sh", "-c", "read x; true"], "reads a pipe"),
    "a FIFO": (["sh", "-c", "mkfifo asked; read x <asked"], "opens a pipe that nobody else"),
    "a pipe of its own": (["sh", "-c", "mkfifo own; read x <>own"], "reads a pipe"),
}


@pytest.mark.parametrize(("argv", "words"), WAITING.values(), ids=WAITING)
def test_a_command_that_waits_for_input_is_told(channel, argv, words):
    """
    The error of a timeout says so, whoever measured it.
    """
    process = channel.start(argv, cwd=_fresh(channel))
    while not (waits := channel.inspect(process.pid)[0]):
        assert process.poll() is None

    assert re.search(words, waits)
    with pytest.raises(ExecTimeout, match=f"seemed to wait for input: .*{words}") as caught:
        process.wait(timeout=0.01)
    assert re.search(words, caught.value.waits)


def test_a_command_on_a_terminal_waits_for_it(channel):
    """
    The agent measures this timeout.
    """
    process = channel.start(["cat"], pty=Pty(), timeout=1.0)

    with pytest.raises(ExecTimeout, match=r"seemed to wait for input: cat .* reads its terminal"):
        process.wait()


@pytest.mark.parametrize(
    "script",
    ["sleep 60", "sleep 60 | cat", "while :; do :; done", "cat <own & exec 3>own; sleep 60"],
)
def test_a_command_that_does_something_else_waits_for_no_input(channel, script):
    """
    In a pipeline, most commands read.
    """
    with pytest.raises(ExecTimeout) as caught:
        channel.run(["sh", "-c", f"mkfifo own; {script}"], timeout=0.4, cwd=_fresh(channel))

    assert "seemed to wait" not in str(caught.value)
    assert caught.value.waits == ""


def _fresh(channel: Channel) -> str:
    made = channel.run(["mktemp", "-d", "-p", "."]).stdout.strip()
    return f"{channel.run(['pwd']).stdout.strip()}/{made}"


def test_a_forged_state_ends_the_channel(scripted):
    """
    Its values have the wrong types.
    """
    channel = _channel(scripted)
    scripted.answers = [frame(wire.DONE, 1, b'{"waits": 1, "ticks": "x"}')]

    with pytest.raises(WorkspaceLost, match="a state of"):
        channel.inspect(1)


ENDS = ("tcp", ("172.30.0.9", 40000), ("172.30.0.2", 8080))


def test_the_processes_of_a_socket_are_asked_for(channel):
    """
    The answer of a real agent: nobody has this one.
    """
    assert channel.owner(*ENDS) == []


def test_the_processes_of_a_socket_are_as_the_agent_says(scripted):
    """
    The host does not change what it is told, and shows none of it.
    """
    channel = _channel(scripted)
    said = {
        "processes": [{"args": ["sh", "-c", "\x1b[31m"], "cut": False}, {"args": [], "cut": True}]
    }
    scripted.answers = [frame(wire.DONE, 1, json.dumps(said).encode())]

    assert channel.owner(*ENDS) == [
        ProcessLine(("sh", "-c", "\x1b[31m")),
        ProcessLine((), cut=True),
    ]


def test_a_silent_agent_is_asked_no_more(scripted, monkeypatch):
    """
    Nobody waits for it for long, and a late answer does not end the channel.
    """
    monkeypatch.setattr("pytest_codex_workspace.workspace.channel._OWNER_SECONDS", 0.001)
    channel = _channel(scripted)
    for _ in range(20):
        assert channel.owner(*ENDS) == []
    assert len(channel._owners) == 16

    late = frame(wire.DONE, 1, b'{"processes": []}')
    scripted.answers = [late, frame(wire.DONE, 17, json.dumps({"stat": [0] * 10}).encode())]
    channel.stat("/")
    assert [one.has_ended for one in channel._owners] == [True] + [False] * 15


@pytest.mark.parametrize(
    "forged",
    [
        (wire.DONE, 1, b'{"processes": "x"}'),
        (wire.DONE, 1, b'{"processes": [1]}'),
        (wire.DONE, 1, b'{"processes": [{"args": [1], "cut": false}]}'),
        (wire.DONE, 1, b'{"processes": [{"args": ["x"]}]}'),
        (wire.DONE, 1, json.dumps({"processes": [{"args": [], "cut": False}] * 17}).encode()),
        (wire.DONE, 1, json.dumps({"processes": ["x" * (900 << 10)]}).encode()),
        (wire.DATA, 1, b"x" * 10),
        (wire.DONE, 2, b'{"processes": []}'),
    ],
)
def test_forged_processes_end_the_channel(scripted, forged):
    """
    They are too many, too large, of other types, or an answer to another question.
    """
    channel = _channel(scripted)
    scripted.answers = [frame(*forged)]

    assert _owner(channel) == []
    with pytest.raises(WorkspaceLost, match="may be impersonating the agent"):
        channel.run(["true"])


def _owner(channel: Channel) -> list[ProcessLine]:
    try:
        return channel.owner(*ENDS)
    except WorkspaceLost:
        return []

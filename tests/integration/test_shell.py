"""S5 to S9, S12: `codex-workspace shell`, `exec`, and `run` on a terminal work as for a user."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from ..conftest import commit, git, init_repo, scripts
from ..helpers.user import COMMAND, TerminalUser, set_size
from .runs import PYTEST
from .test_life_cycle import objects_of, until

PROMPT = r"root@[\w.-]+:/workspace/[\w.-]+# "
SLIM = "--image=slim"

Sit = Callable[..., TerminalUser]


@pytest.fixture
def sit(tmp_path: Path) -> Iterator[Sit]:
    """
    Return a function that starts a command on a terminal, with a user.
    """
    users: list[TerminalUser] = []

    def start(*arguments: object, **more: object) -> TerminalUser:
        users.append(TerminalUser(*map(str, arguments), cwd=tmp_path, **more))
        return users[-1]

    yield start
    for user in users:
        user.leave()


def command(*arguments: object, **more: object) -> subprocess.CompletedProcess[str]:
    """
    Run the command without a terminal.
    """
    given = {"capture_output": True, "text": True, "stdin": subprocess.DEVNULL, **more}
    if "input" in given:
        del given["stdin"]
    return subprocess.run([*COMMAND, *map(str, arguments)], check=False, timeout=300, **given)


def nothing_left(engine, pid: int) -> bool:
    return not objects_of(engine, pid, "containers") and not objects_of(engine, pid, "networks")


@pytest.mark.promise("S9", "S16")
def test_a_shell_is_as_one_on_this_machine(sit, plain_repo, engine):
    """
    Prompt, size, resizing, Ctrl-C, colours and exit code work; then the terminal is as before.
    """
    user = sit("shell", SLIM, plain_repo, size=(31, 97))

    user.until(
        r"/workspace/plain at [0-9a-f]{12} is up: .*leave with exit or \^D; nothing is kept\r\n"
    )
    user.until(PROMPT)
    assert not user.unchanged
    user.say("stty size", r"\n31 97\r\n")
    user.say("echo $TERM $((6 * 7)) $PWD", r"\nxterm 42 /workspace/plain\r\n")

    set_size(user.master, 40, 132)
    assert until(lambda: user.say("stty size", r"\n(\d+ \d+)\r\n")[1] == "40 132", 10)

    user.type("sh -c 'echo runs; exec sleep 300'\n")
    user.until(r"\nruns\r\n")
    user.type("\x03")
    user.until(PROMPT)
    user.say("echo code $?", r"\ncode 130\r\n")

    user.say(r"printf '\033[31mred\033[0m\n'", "\x1b\\[31mred\x1b\\[0m\r\n")
    user.say("echo kept >made-inside", "made-inside")

    user.type("exit 7\n")
    assert user.end() == 7
    assert user.unchanged
    assert "Traceback" not in user.seen
    assert not (plain_repo / "made-inside").exists()
    assert nothing_left(engine, user.run.pid)


DEBUGGED = """
def test_it(codex_workspace):
    codex_workspace.path("state").write_text("of the test")
    assert codex_workspace.exec("exit 3").ok
"""


def test_a_shell_in_the_workspace_of_a_failed_test(sit, plain_repo, tmp_path, engine):
    """
    Under --pdb, it shows what the test has left. The debugger goes on after it, with a terminal as
    before, and nothing is left in the end.
    """
    (tmp_path / "test_it.py").write_text(DEBUGGED)
    options = (f"--codex-repo={plain_repo}", "--codex-image=slim", "--pdb", "test_it.py")
    user = sit(*options, program=PYTEST)

    user.until(r"\(Pdb\) ")
    modes = user.modes_now()
    user.type("codex_workspace.shell()\n")
    user.until(PROMPT)
    user.say("cat state; tty", r"\nof the test(?s:.*)/dev/pts/\d+\r\n")
    user.type("exit 7\n")
    user.until(r"logout\r\n\S*7\r\n\(Pdb\) ")
    assert user.modes_now() == modes
    user.type("quit\n")

    assert user.end() == 2
    assert nothing_left(engine, user.run.pid)


@pytest.mark.promise("S12")
def test_there_is_no_way_around_the_proxy_in_a_shell(sit, plain_repo):
    """
    S12: As in tests, a direct connection fails at once, and an outside name is refused.
    """
    user = sit("shell", SLIM, plain_repo)
    user.until(PROMPT)

    connect = (
        "import socket,time;t=time.monotonic();"
        "e=socket.socket().connect_ex(('192.0.2.1',443));print('errno',e,time.monotonic()-t<0.2)"
    )
    user.say(f'python3 -c "{connect}"', r"\nerrno 101 True\r\n")
    user.say("getent hosts outside.example; echo found $?", r"\nfound 2\r\n")
    user.say("curl -s -o /dev/null -w '%{http_code}\\n' http://plain.example/; echo", r"\n403\r\n")
    user.type("\x04")

    assert user.end() == 0
    assert "direct-dns" in user.seen
    assert "plain.example" in user.seen


def test_a_shell_reads_what_is_no_terminal(plain_repo):
    """
    Commands are read from a pipe; our messages are not in their output.
    """
    shell = command(
        "shell", SLIM, plain_repo, input="pwd\ntest -t 0 || echo no terminal\necho e >&2\nexit 3\n"
    )

    assert (3, "/workspace/plain\nno terminal\n") == (shell.returncode, shell.stdout)
    assert "is up" in shell.stderr
    assert shell.stderr.endswith("e\n")
    assert "^D" not in shell.stderr


def test_the_network_of_a_shell_is_that_of_tests(plain_repo):
    """
    `--network` sets the policy, and blocked requests are listed at the end, except with
    `--output=quiet`.
    """
    ask = ("-o", "/dev/null", "-w", "%{http_connect}", "https://gone.example/")
    refused = command("exec", SLIM, "--network=offline", plain_repo, "--", "curl", "-s", *ask)
    quiet = command(
        "exec", SLIM, "--network=offline", "--output=quiet", plain_repo, "--", "curl", "-s", *ask
    )

    assert (refused.stdout, refused.returncode) == ("403", 56)
    assert "codex: blocked: " in refused.stderr
    assert "gone.example" in refused.stderr
    assert (quiet.stdout, quiet.stderr, quiet.returncode) == ("403", "", 56)


@pytest.mark.promise("S16")
def test_exec_is_the_command_and_nothing_else(plain_repo):
    """
    Outputs are separate; input, arguments and exit code are passed on; the default is the current
    directory.
    """
    script = 'echo "$1|$2"; cat; pwd >&2; exit 9'
    several = command(
        "exec", SLIM, "--", "sh", "-c", script, "x", "a b", "$HOME", input="in\n", cwd=plain_repo
    )
    single = command("exec", plain_repo, SLIM, "--", "shopt -q login_shell && echo $HOME; (exit 4)")

    assert (9, "a b|$HOME\nin\n") == (several.returncode, several.stdout)
    assert several.stderr.endswith("/workspace/plain\n")
    assert "is up" in several.stderr
    assert (4, "/root\n") == (single.returncode, single.stdout)
    assert command("exec", SLIM, plain_repo, "--", "no-such", "program").returncode == 127


def test_exec_passes_bytes_as_they_come(plain_repo):
    """
    Bytes pass in both directions while the command runs, and more of them than any buffer holds.
    """
    script = "echo ready; read line; echo got $line >&2; cat"
    run = subprocess.Popen(
        [*COMMAND, "exec", SLIM, "--output=quiet", str(plain_repo), "--", script],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    try:
        assert run.stdout.readline() == b"ready\n"
        run.stdin.write(b"one\n")
        run.stdin.flush()
        assert run.stderr.readline() == b"got one\n"
        data = os.urandom(3 << 20)
        assert (data, b"") == run.communicate(data, timeout=60)
        assert run.returncode == 0
    finally:
        run.kill()
        run.communicate()


def test_exec_with_streams_that_cannot_be_used(plain_repo):
    """
    Its own failures have their own exit code, and a command is not disturbed by a standard error
    or a standard input that is closed.
    """
    run = f"{' '.join(COMMAND)} exec {SLIM} --output=quiet {plain_repo} --"
    line = (
        f"{run} 'seq 100000' >/dev/full; echo full $? >&2\n"
        f"{run} 'echo x' >&-; echo closed $? >&2\n"
        f"{run} 'cat; echo y; echo z >&2; exit 125' <&- 2>&-; echo own $? >&2\n"
    )
    done = subprocess.run(["bash", "-c", line], capture_output=True, text=True, check=False)

    assert done.stdout == "y\n"
    assert done.stderr.splitlines() == [
        "codex-workspace: OutputError: standard output cannot be written: No space left on device",
        "full 125",
        "codex-workspace: OutputError: standard output cannot be written: Bad file descriptor",
        "closed 125",
        "own 125",
    ]


def test_exec_on_a_forced_terminal(sit, plain_repo):
    """
    With `--tty`, the command has a terminal, even if this process has none; without `--tty`, it
    has none.
    """
    script = "test -t 0 -a -t 1 -a -t 2 && stty size; cat; exit 6"
    forced = command("exec", SLIM, "--tty", plain_repo, "--", script, input=b"one\n", text=False)
    user = sit("exec", SLIM, "-t", plain_repo, "--", "stty size; cat", size=(33, 99))
    user.until(r"33 99\r\n")
    user.type("two\n\x04")

    # A terminal shows what is typed when it is typed.
    assert [b"", b"24 80", b"one", b"one"] == sorted(forced.stdout.split(b"\r\n"))
    assert forced.returncode == 6
    assert user.end() == 0
    assert "two\r\ntwo\r\n" in user.seen
    assert user.unchanged
    plain = sit("exec", SLIM, plain_repo, "--", "test -t 1 || echo apart; cat")
    plain.until(r"apart\r\n")
    assert plain.end() == 0


def test_a_command_that_is_missing_is_asked_for(plain_repo):
    """
    The error shows the syntax of the command.
    """
    for words in ((), ("--",), (".", "ls")):
        run = command("exec", *words, cwd=plain_repo)

        assert run.returncode == 125
        assert "-- CMD" in run.stderr
        assert "after `--`" in run.stderr


@pytest.mark.promise("S5", "S6", "S7")
@pytest.mark.parametrize(
    ("state", "found", "printed"),
    [
        ("clean", "tracked", "no script has run"),
        ("setup", "tracked node_modules/state", "setup"),
        ("ready", "tracked node_modules/state node_modules/resumed", "setup"),
    ],
)
def test_from_says_what_to_start_from(scripted_repo, state, found, printed):
    """
    S5: `clean` is the commit. S7: `setup` is the cached image. S6: `ready` is the state that
    tests start from.
    """
    script = "echo $(ls tracked node_modules/state node_modules/resumed 2>/dev/null)"
    for cache in ("auto", "off") if state == "setup" else ("auto",):
        run = command(
            "exec", SLIM, f"--from={state}", f"--cache={cache}", scripted_repo, "--", script
        )

        assert (0, sorted(found.split())) == (run.returncode, sorted(run.stdout.split())), run
        assert printed in run.stderr


def test_the_setup_image_is_at_the_commit_it_was_made_from(tmp_path):
    """
    The line at the start names that commit.
    """
    repo = init_repo(tmp_path / "moved", {"a": "1", **scripts("touch /root/set-up\n")})
    first = git(repo, "rev-parse", "HEAD")
    assert command("run", SLIM, repo).returncode == 0
    second = commit(repo, {"b": "2"})

    for state, head in (("setup", first), ("ready", second)):
        run = command("exec", SLIM, f"--from={state}", repo, "--", "git rev-parse HEAD")
        assert head == run.stdout.strip()
        assert f"/workspace/moved at {head[:12]} is up: the cached setup was used" in run.stderr


@pytest.mark.promise("S8")
def test_a_failing_setup_ends_a_shell_with_its_exit_code(sit, tmp_path):
    """
    S8: The output of setup is shown as it is printed, and there is no prompt.
    """
    init_repo(tmp_path / "broken", scripts("echo no good; exit 7\n"))
    user = sit("shell", SLIM, "broken")

    user.until(r"\| no good\r\n")
    assert user.end(120) == 7
    assert "SetupError" in user.seen
    assert user.unchanged


@pytest.mark.promise("S9")
def test_run_without_scripts_ends_in_a_shell(sit, plain_repo, engine):
    """
    S9: `run` opens an interactive bash login shell on a terminal, and has its exit code.
    """
    user = sit("run", SLIM, plain_repo)
    user.until(r"no codex-workspace-scripts/")
    user.until(PROMPT)
    user.say("shopt login_shell", r"login_shell\s+on\r\n")
    user.type("exit 5\n")

    assert user.end() == 5
    assert user.unchanged
    assert nothing_left(engine, user.run.pid)


@pytest.mark.promise("S9")
def test_run_ends_by_itself_where_it_should(sit, plain_repo, scripted_repo):
    """
    S9: `run` opens no shell with `--no-shell`, without a terminal, or with scripts.
    """
    for arguments in (("--no-shell", plain_repo), (scripted_repo,)):
        user = sit("run", SLIM, *arguments)
        assert user.end(120) == 0
        assert "is up" in user.seen
        assert "^D" not in user.seen
    piped = command("run", SLIM, plain_repo)
    assert piped.returncode == 0
    assert "is up" in piped.stdout


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGINT, signal.SIGQUIT])
def test_a_signal_ends_a_shell_and_leaves_nothing(sit, plain_repo, engine, number):
    """
    The terminal is as before, although a program had switched to its alternate screen.
    """
    user = sit("shell", SLIM, plain_repo)
    user.until(PROMPT)
    user.say(r"printf '\033[?1049h\033[?25lscreen\n'", "screen\r\n")
    user.run.send_signal(number)

    # On a terminal in raw mode, SIGQUIT is as Ctrl-C.
    assert user.end() == -(signal.SIGINT if number == signal.SIGQUIT else number)
    assert user.unchanged
    assert "\x1b[?1047l" in user.seen
    assert "\x1b[?25h" in user.seen
    assert "Traceback" not in user.seen
    assert nothing_left(engine, user.run.pid)


def test_a_closed_window_leaves_nothing(sit, plain_repo, engine):
    """
    No process is left here, and nothing on the engine.
    """
    user = sit("shell", SLIM, plain_repo)
    user.until(PROMPT)
    user.hang_up()

    assert user.run.wait(60) == -signal.SIGHUP
    assert nothing_left(engine, user.run.pid)


def test_kill_9_leaves_no_workspace(sit, plain_repo, engine):
    """
    The engine removes the workspace by itself.
    """
    user = sit("shell", SLIM, plain_repo)
    user.until(PROMPT)
    assert objects_of(engine, user.run.pid, "containers")
    user.run.kill()
    user.run.wait()

    assert until(lambda: not objects_of(engine, user.run.pid, "containers"), 30)
    assert command("clean").returncode == 0
    assert nothing_left(engine, user.run.pid)


def test_whoever_reads_no_more_ends_the_command(plain_repo):
    """
    As in any pipeline, there is no traceback, and the exit code is that of a broken pipe.
    """
    run = subprocess.Popen(
        [*COMMAND, "exec", SLIM, "--output=quiet", str(plain_repo), "--", "yes"],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    try:
        assert run.stdout.read(4) == b"y\ny\n"
        run.stdout.close()
        assert (141, b"") == (run.wait(60), run.stderr.read())
    finally:
        run.kill()
        run.wait()
        run.stderr.close()

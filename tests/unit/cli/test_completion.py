"""Completion scripts, in the shells that this machine has."""

from __future__ import annotations

import os
import pty
import select
import shutil
import subprocess
import time

import pytest

from pytest_codex_workspace.cli.main import main
from pytest_codex_workspace.cli.options import POLICIES
from pytest_codex_workspace.network.policy_reader import NAMES
from pytest_codex_workspace.options.table import OPTIONS

from ...helpers.commands import all_commands, options_of

pytestmark = [pytest.mark.needs_bash, pytest.mark.slow]

_BASH = """\
eval "$1"; shift
COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1))
_codex_workspace
printf '%s\\n' "${COMPREPLY[@]}"
"""

_FISH = 'source $argv[1]; complete --do-complete "$argv[2]"'


@pytest.fixture
def script(capsys):
    """
    Return a function that prints the script for a shell.
    """

    def printed(shell):
        assert 0 == main(["completion", shell])
        return capsys.readouterr().out

    return printed


@pytest.fixture
def place(tmp_path):
    """
    Return a directory with a file and a directory.
    """
    (tmp_path / "a directory").mkdir()
    (tmp_path / "file.yaml").touch()
    return tmp_path


@pytest.fixture
def ask_bash(script, place):
    """
    Return a function that asks a real bash for the completions of the last of *words*.
    """
    text = script("bash")

    def asked(*words):
        done = subprocess.run(
            ["bash", "--norc", "-c", _BASH, "bash", text, "codex-workspace", *words],
            cwd=place,
            capture_output=True,
            text=True,
            check=True,
        )
        assert done.stderr == ""
        return done.stdout.split("\n")[:-1]

    return asked


@pytest.fixture
def ask_fish(script, place):
    """
    Return a function that asks a real fish for the completions of *line*.
    """
    if shutil.which("fish") is None:
        pytest.skip("fish is not installed")
    path = place / "script.fish"
    path.write_text(script("fish"))

    def asked(line):
        done = subprocess.run(
            ["fish", "--no-config", "-c", _FISH, path, f"codex-workspace {line}"],
            cwd=place,
            capture_output=True,
            text=True,
            check=True,
        )
        assert done.stderr == ""
        return [one.partition("\t")[0] for one in done.stdout.splitlines()]

    return asked


@pytest.mark.parametrize(
    ("words", "offered"),
    [
        (["ca"], ["cache", "cassette", "ca"]),
        (["cache", "pr"], ["prune"]),
        (["run", "--im"], ["--image"]),
        (["run", "--image", ""], ["universal", "slim"]),
        (["run", "--image", "=", "s"], ["slim"]),
        (["run", "--image", "="], ["universal", "slim"]),
        (["run", "--image", "=", "slim", "--cache", "=", "re"], ["refresh", "require"]),
        (["run", "--env", "A", "=", "1", "--cache", "re"], ["refresh", "require"]),
        (["run", "--env", "=", "A", "=", "1", "--cache", "re"], ["refresh", "require"]),
        (["run", "--env", ""], [""]),
        (["shell", "--from", "c"], ["clean"]),
        (["completion", "f"], ["fish"]),
        (["run", "a"], ["a directory"]),
        (["run", "f"], [""]),
        (["policy", "check", "f"], ["file.yaml"]),
        (["policy", "explain", "x", "--policy", "off"], ["offline"]),
        (["run", "--network", "f"], ["file.yaml"]),
        (["compose", "--output", "f"], ["file.yaml"]),
        (["cache", "export", "f"], ["file.yaml"]),
        (["cache", "export", "--repo", "a"], ["a directory"]),
        (["nonsense", "x"], [""]),
    ],
)
def test_bash_completes_commands_options_values_and_paths(ask_bash, words, offered):
    """
    Bash passes the words around `=` separately.
    """
    assert offered == ask_bash(*words)


def test_bash_completes_every_command(ask_bash):
    """
    No command of the help is missing.
    """
    commands = {path[0] for path in all_commands()}

    assert commands == set(ask_bash(""))
    assert {"run", "build", "completion"} <= commands


@pytest.mark.parametrize(
    ("line", "offered"),
    [
        ("ca", ["ca", "cache", "cassette"]),
        ("cache pr", ["prune"]),
        ("run --image ", ["universal", "slim"]),
        ("run --image=s", ["--image=slim"]),
        ("run --env A=1 --cache re", ["refresh", "require"]),
        ("run a", ["a directory/"]),
        ("policy check f", ["file.yaml"]),
        ("policy explain x --policy off", ["offline"]),
        ("run --network f", ["file.yaml"]),
    ],
)
def test_fish_completes_commands_options_values_and_paths(ask_fish, line, offered):
    """
    The script is tested in a real fish.
    """
    assert offered == ask_fish(line)


def test_a_bash_user_completes_with_tab(script, place):
    """
    In an interactive bash, Tab inserts the rest of the word.
    """
    (place / "script").write_text(script("bash"))
    typed = [
        "source ./script",
        'codex-workspace() { echo "called<$*>"; }',
        "codex-workspace cassette li\t",
        "codex-workspace run --image=s\t",
        "codex-workspace exec -- fi\t",
        "exit\n",
    ]
    done = subprocess.run(
        [shutil.which("bash"), "--norc", "--noprofile", "-i"],
        cwd=place,
        input="\n".join(typed),
        env={"PATH": "/usr/bin:/bin", "TERM": "dumb", "INPUTRC": "/dev/null"},
        capture_output=True,
        text=True,
        check=False,
        start_new_session=True,
        timeout=30,
    )

    for words in ("cassette list", "run --image=slim", "exec -- file.yaml"):
        assert f"called<{words}>" in done.stdout


@pytest.mark.parametrize(
    ("typed", "called"),
    [
        ("cassette li\t", "cassette list"),
        ("run --cache requ\t", "run --cache require"),
        ("run --image=s\t", "run --image=slim"),
        ("run --network=off\t", "run --network=offline"),
        ("policy check f\t", "policy check file.yaml"),
        ("run a\t", "run a directory"),
    ],
)
def test_a_zsh_user_completes_with_tab(script, place, typed, called):
    """
    In an interactive zsh, Tab inserts the rest of the word.
    """
    zsh = shutil.which("zsh")
    if zsh is None:
        pytest.skip("zsh is not installed")
    (place / "script").write_text(script("zsh"))
    start = (
        "unsetopt prompt_cr prompt_sp; autoload -Uz compinit; compinit -D -u\n"
        'eval "$(<script)"; function codex-workspace { print -r "called<$*>" }; echo re"ady"\n'
    )
    environment = {"PATH": "/usr/bin:/bin", "TERM": "dumb", "HOME": str(place)}
    master, slave = pty.openpty()
    shell = subprocess.Popen(
        [zsh, "-f", "-i"],
        cwd=place,
        env=environment,
        stdin=slave,
        stdout=slave,
        stderr=slave,
        start_new_session=True,
    )
    os.close(slave)
    try:
        os.write(master, start.encode())
        assert "ready" in _until(master, "ready\r\n")
        os.write(master, f"codex-workspace {typed}\n".encode())
        assert f"called<{called}>" in _until(master, ">\r\n")
    finally:
        shell.kill()
        shell.wait()
        os.close(master)


def _until(master, end, limit=20.0):
    printed, deadline = "", time.monotonic() + limit
    while end not in printed and time.monotonic() < deadline:
        if select.select([master], [], [], 0.1)[0]:
            printed += os.read(master, 4096).decode("utf-8", "replace")
    return printed


@pytest.mark.parametrize(
    ("shell", "check"), [("bash", "-n"), ("zsh", "-n"), ("fish", "--no-execute")]
)
def test_each_shell_can_parse_its_script(script, tmp_path, shell, check):
    """
    The shells that are not installed are skipped.
    """
    if shutil.which(shell) is None:
        pytest.skip(f"{shell} is not installed")
    path = tmp_path / "script"
    path.write_text(script(shell))

    done = subprocess.run([shell, check, path], capture_output=True, text=True, check=False)

    assert (0, "") == (done.returncode, done.stderr)


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_every_command_option_and_choice_is_in_each_script(script, shell):
    """
    A new command, option or choice is completed without further changes.
    """
    text = script(shell)

    for path in all_commands():
        assert path[-1] in text
        for option in options_of(*path):
            assert (option if shell != "fish" else f"-l {option[2:]} ") in text
    for option in OPTIONS:
        for word in option.choices:
            assert word in text


def test_the_completed_policies_are_the_built_in_ones():
    """
    The command does not import the policies for its help, so it has their names itself.
    """
    assert sorted(NAMES) == sorted(POLICIES)

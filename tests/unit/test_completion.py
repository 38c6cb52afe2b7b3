"""Completion scripts, in shells that this machine has."""

from __future__ import annotations

import shutil
import subprocess

import pytest

from pytest_codex_workspace.cli import command_parser, main
from pytest_codex_workspace.cli.completion import tree_of
from pytest_codex_workspace.config import OPTIONS

_ASK = """\
eval "$1"; shift
COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1))
_codex_workspace
printf '%s\\n' "${COMPREPLY[@]}"
"""


@pytest.fixture
def script(capsys):
    """
    Print the script for a shell.
    """

    def printed(shell):
        assert 0 == main(["completion", shell])
        return capsys.readouterr().out

    return printed


@pytest.fixture
def ask(script, tmp_path):
    """
    What a real bash offers for the last of *words*.
    """
    (tmp_path / "a directory").mkdir()
    (tmp_path / "file.yaml").touch()
    text = script("bash")

    def asked(*words):
        done = subprocess.run(
            ["bash", "--norc", "-c", _ASK, "bash", text, "codex-workspace", *words],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            check=True,
        )
        assert done.stderr == ""
        return done.stdout.split("\n")[:-1]

    return asked


@pytest.mark.parametrize(
    ("words", "offered"),
    [
        (["ca"], ["cache", "cassette"]),
        (["cache", "pr"], ["prune"]),
        (["run", "--im"], ["--image"]),
        (["run", "--image", ""], ["universal", "slim"]),
        (["run", "--image", "=", "s"], ["slim"]),
        (["run", "--image", "="], ["universal", "slim"]),
        (["run", "--env", "A=1", "--cache", "re"], ["refresh", "require"]),
        (["run", "--env", ""], [""]),
        (["shell", "--from", "c"], ["clean"]),
        (["completion", "f"], ["fish"]),
        (["run", "a"], ["a directory"]),
        (["run", "f"], [""]),
        (["policy", "check", "f"], ["file.yaml"]),
        (["policy", "explain", "x", "--policy", "off"], ["offline"]),
        (["run", "--network", "f"], ["file.yaml"]),
        (["compose", "--output", "f"], ["file.yaml"]),
        (["exec", "--", "f"], ["file.yaml"]),
        (["nonsense", "x"], [""]),
    ],
)
def test_bash(ask, words, offered):
    """
    Commands, options, choices, paths.
    """
    assert offered == ask(*words)


def test_bash_offers_every_command(ask):
    """
    As many as there are.
    """
    commands = {node.path[0] for node in tree_of(command_parser()).below}

    assert commands <= set(ask(""))
    assert {"run", "build", "completion"} <= commands


def test_a_terminal_of_bash(script, tmp_path):
    """
    As somebody types it: Tab, and the rest of the word is there.
    """
    bash = shutil.which("bash")
    (tmp_path / "script").write_text(script("bash"))
    typed = [
        "source ./script",
        'codex-workspace() { echo "called<$*>"; }',
        "codex-workspace cassette li\t",
        "exit\n",
    ]
    done = subprocess.run(
        [bash, "--norc", "--noprofile", "-i"],
        cwd=tmp_path,
        input="\n".join(typed),
        env={"PATH": "/usr/bin:/bin", "TERM": "dumb", "INPUTRC": "/dev/null"},
        capture_output=True,
        text=True,
        check=False,
        start_new_session=True,
        timeout=30,
    )

    assert "called<cassette list>" in done.stdout


@pytest.mark.parametrize(
    ("shell", "check"), [("bash", "-n"), ("zsh", "-n"), ("fish", "--no-execute")]
)
def test_the_script_is_one(script, tmp_path, shell, check):
    """
    Each shell that is here can read its own.
    """
    if shutil.which(shell) is None:
        pytest.skip(f"{shell} is not installed")
    path = tmp_path / "script"
    path.write_text(script(shell))

    done = subprocess.run([shell, check, path], capture_output=True, text=True, check=False)

    assert (0, "") == (done.returncode, done.stderr)


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_every_option_and_choice_is_in_each(script, shell):
    """
    Whatever is new in the parser is in the scripts.
    """
    text = script(shell)
    for node in tree_of(command_parser()).walk():
        assert not node.path or node.path[-1] in text
        for option in node.options:
            for name in option.names:
                assert (name if shell != "fish" else name.lstrip("-")) in text
            for word in option.value.words if option.value else ():
                assert word in text


def test_options_have_the_choices_that_they_check():
    """
    argparse does not know them; an option that is not the shared one has its own.
    """
    tree = {node.path: node for node in tree_of(command_parser()).walk()}

    def value(path, name):
        (found,) = [one for one in tree[path].options if name in one.names]
        return found.value

    for option in OPTIONS:
        if option.choices and option.name not in ("repo", "keep"):
            assert option.choices == value(("run",), f"--{option.name}").words
    assert ((), "files") == (
        value(("compose",), "--output").words,
        value(("compose",), "--output").paths,
    )
    assert value(("build",), "--force") is None

"""Errors of the command line: the suggestion, the usage, and the exit code."""

from __future__ import annotations

import pytest

from pytest_codex_workspace.cli.main import main

from ...helpers.events import read_events


@pytest.mark.parametrize(
    ("words", "usage", "said"),
    [
        ("rnu", "codex-workspace [-h]", "unknown command 'rnu' (did you mean 'run'?)"),
        ("zzz", "codex-workspace [-h]", "unknown command 'zzz'; commands: run, shell, exec"),
        ("cache lst", "codex-workspace cache", "unknown command 'lst' (did you mean 'list'?)"),
        ("policy chek x", "codex-workspace policy", "unknown command 'chek' (did you mean 'check'"),
        ("run --imge=slim", "codex-workspace run", "unknown option --imge (did you mean '--image'"),
        ("run --im=slim", "codex-workspace run", "unknown option --im (did you mean '--image'"),
        ("run --codex-image=slim", "codex-workspace run", "(did you mean '--image'?)"),
        ("run --codex-image slim", "codex-workspace run", "(did you mean '--image'?)"),
        ("run --codex-rev=x", "codex-workspace run", "(did you mean '--rev' or "),
        ("exec --netwrk=x -- true", "codex-workspace exec", "(did you mean '--network'?)"),
        ("cache list --josn", "codex-workspace cache list", "(did you mean '--json'?)"),
        ("doctor --report=x", "codex-workspace doctor", "unknown option --report"),
        ("doctor --zzzz", "codex-workspace doctor", "`codex-workspace doctor --help` lists"),
        ("exec --from=redy -- true", "codex-workspace exec", "'redy' (did you mean 'ready'?)"),
        ("completion bsh", "codex-workspace completion", "'bsh' (did you mean 'bash'?)"),
        ("--verson", "codex-workspace [-h]", "unknown option --verson (did you mean '--version'?)"),
        ("--image=slim run", "codex-workspace [-h]", "; options of a command follow its name"),
        ("run a b", "codex-workspace run", "unexpected argument 'b'"),
        ("run ", "codex-workspace run", "REPO: it has no value"),
        ("cassette list ", "codex-workspace cassette list", "REPO: it has no value"),
        ("run --image", "codex-workspace run", "argument --image: expected one argument"),
    ],
)
def test_what_is_not_known_is_refused_with_a_suggestion(words, usage, said, capsys):
    """
    The usage is that of the command that was given, and the exit code is ours.
    """
    with pytest.raises(SystemExit) as caught:
        main(words.split(" "))
    printed = capsys.readouterr()

    assert caught.value.code == 125
    assert printed.out == ""
    assert printed.err.startswith(f"usage: {usage}")
    assert said in printed.err


def test_a_value_is_not_repeated(capsys):
    """
    The value of a mistyped option may be a secret.
    """
    with pytest.raises(SystemExit):
        main(["run", "--upstream-prxy=http://me:hunter2@proxy"])

    assert "hunter2" not in capsys.readouterr().err


def test_control_characters_stay_away(capsys):
    """
    A word of the command line cannot control the terminal of who reads the error.
    """
    with pytest.raises(SystemExit):
        main(["run", "a", "--x\x1b]0;title\x07\udcff"])

    assert "\x1b" not in capsys.readouterr().err


@pytest.mark.parametrize("words", [["rnu", "--json"], ["run", "--json", "--imge=slim"]])
def test_with_json_the_error_is_an_event(words, capsys):
    """
    The last event is the error, as with any other.
    """
    with pytest.raises(SystemExit):
        main(words)
    event = read_events([capsys.readouterr().out])[0]

    assert ("error", "UsageError", 125) == (event["event"], event["type"], event["exit_code"])
    assert "did you mean" in event["message"]

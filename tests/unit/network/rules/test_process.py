"""How processes are described: short, printable, without secrets."""

from __future__ import annotations

import pytest

from pytest_codex_workspace.network.rules.process import (
    ProcessLine,
    describe_processes,
    shorten_processes,
)
from pytest_codex_workspace.secrets.redaction import Redaction

NOTHING = Redaction(())


def described(*lines: ProcessLine, secrets: Redaction = NOTHING) -> str:
    """
    Return the description of a chain of processes.
    """
    return describe_processes(lines, secrets.stream)


def line(text: str, *, cut: bool = False) -> ProcessLine:
    """
    Return a process with the words of *text* as its arguments.
    """
    return ProcessLine(tuple(text.split(" ")), cut)


def test_a_chain_reads_from_the_script_to_the_program() -> None:
    """
    Programs are known by their name; a process may have put its title in place of its arguments.
    """
    chain = line("/bin/sh -c ./all"), ProcessLine(("npm install  ",)), line("/usr/bin/node get.js")

    assert described(*chain) == "sh -c ./all › npm install › node get.js"
    assert described() == ""


@pytest.mark.parametrize(
    ("words", "shown"),
    [
        ("git clone https://me:hunter2@h.example/x", "git clone https://***@h.example/x"),
        ("curl -u me:hunter2 h", "curl -u me:*** h"),
        ("curl --user=me:hunter2 h", "curl --user=me:*** h"),
        ("curl -H Authorization: Bearer hunter2", "curl -H Authorization: Bearer ***"),
        ("curl -H Authorization: Basic hunter2", "curl -H Authorization: Basic ***"),
        ("x --password hunter2 y", "x --password *** y"),
        ("x --token=hunter2 y", "x --token=*** y"),
        ("env NPM_TOKEN=hunter2 npm i", "env NPM_TOKEN=*** npm i"),
        ("curl https://h/?a=1&api_key=hunter2&b=2", "curl https://h/?a=1&api_key=***&b=2"),
        ("x --api-key 'hunter2'", "x --api-key '***'"),
    ],
)
def test_what_looks_like_a_secret_is_not_shown(words: str, shown: str) -> None:
    """
    Nobody has said that these are secrets.
    """
    assert described(line(words)) == shown


def test_known_secrets_are_not_shown_not_even_a_part() -> None:
    """
    Neither one with spaces and line ends, nor the beginning of one where the line was cut.
    """
    secrets = Redaction(["my own pass\nof two lines", "k" * 3000])

    assert "own" not in described(
        ProcessLine(("sh", "-c", "login 'my own pass\nof two lines'")), secrets=secrets
    )
    assert described(line("x " + "k" * 2000, cut=True), secrets=secrets) == "x…"


@pytest.mark.parametrize(
    ("words", "shown"),
    [
        ("\x1b[31mred\x07", "\\x1b[31mred\\x07"),
        ("a\nb", "a\\nb"),
        ("\udcff", "\\xff"),
        ("\u202eabc", "\\u202eabc"),
        ("a › b", "a \\u203a b"),
    ],
)
def test_nothing_acts_on_a_terminal_or_looks_like_another_process(words: str, shown: str) -> None:
    """
    A workspace chooses the command lines of its processes.
    """
    assert described(ProcessLine((words,))) == shown


def test_long_chains_keep_both_ends() -> None:
    """
    Long command lines are cut, and processes in the middle left out.
    """
    chain = [line(f"p{number} {'x' * 300}") for number in range(16)]
    shown = described(*chain)
    names = [one.split()[0] for one in shown.split(" › ")]

    assert len(shown) <= 600
    assert (names[:2], names[-1]) == (["p0", "…"], "p15")
    assert described(ProcessLine(())) == "?"


def test_a_description_fits_where_it_is_shown() -> None:
    """
    Its ends stay as long as they fit, and it is never longer.
    """
    text = "a script › npm install › sh -c build › node build.js"

    assert shorten_processes(text, 100) == text
    assert shorten_processes(text, 45) == "a script › … › sh -c build › node build.js"
    assert shorten_processes(text, 30) == "a script › … › node build.js"
    assert shorten_processes(text, 12) == "a script › …"
    assert len(shorten_processes("x" * 900, 20)) == 20


@pytest.mark.parametrize(
    "text",
    [
        "token" + " " * 300_000 + ";",
        "token" * 60_000,
        "authorization: " + "a" * 300_000,
        "://" * 90_000,
    ],
)
def test_a_forged_line_takes_no_time(text: str) -> None:
    """
    Who forges the answer of the agent chooses the line; a search that goes back and forth in all
    of it would take hours, in which nothing else of the process runs.
    """
    assert 0 < len(described(*[ProcessLine((text,))] * 16)) <= 600


def test_a_secret_behind_many_spaces_is_one() -> None:
    """
    The search may not give up for their number.
    """
    assert described(line("x --token" + " " * 80 + "hunter2")).endswith("***")

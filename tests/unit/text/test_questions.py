"""Tests of recognising questions in the output of programs."""

from __future__ import annotations

import pytest

from pytest_codex_workspace.text.questions import question_in


@pytest.mark.parametrize(
    "asked",
    [
        "Do you want to continue? [Y/n] ",
        "Do you want to continue? [Y/n] Abort.\n",
        "Proceed ([y]/n)? ",
        "Overwrite (y/n)? ",
        "Are you sure you want to continue connecting (yes/no/[fingerprint])? ",
        "Need to install the following packages:\ncreate-vite@5\nOk to proceed? (y) ",
        "Is this OK? (yes) ",
        "Continue? [y|N]",
        "Password: ",
        "Password:",
        "[sudo] password for root: ",
        "Username for 'https://example.org': ",
        "Enter passphrase (empty for no passphrase): ",
        "Enter passphrase for key '/root/.ssh/id': ",
        "Geographic area: select a number: ",
        "Continue? ",
        "Press ENTER to continue",
        "Press any key to continue...",
        "Please type 'yes' to accept the license\n",
        "\x1b[32m?\x1b[0m Project name: › demo",
        "12 %\r 30 %\rReally delete? [y/N] ",
    ],
)
def test_a_question_is_one(asked: str) -> None:
    """
    With and without a line end, and with what a program says when it gets no answer.
    """
    found = question_in(f"installing\nlines of output\n{asked}")

    assert found == asked.splitlines()[-1].rpartition("\r")[2].strip()


@pytest.mark.parametrize(
    "printed",
    [
        "",
        "\n\n",
        "done\n",
        "What happened?\n",
        "Error: the password was wrong.\n",
        "Installing (12/40)\n",
        "Get:1 https://deb.example.org/a/b [1,200 kB]\n",
        "choose: a, b\n",
        "Continue? [Y/n]\n" + "compiling\n" * 5,
        "select * from x where y/n > 3\n",
        "0% [Working]",
        "time: 12:30",
    ],
)
def test_other_output_is_none(printed: str) -> None:
    """
    A question that was followed by other output was answered.
    """
    assert question_in(printed) == ""


def test_endless_output_costs_nothing() -> None:
    """
    Only its end is looked at, and what is returned is short.
    """
    assert len(question_in("Password for " + "a " * 1_000_000 + ": ")) < 400
    assert len(question_in("x" * 1_000_000 + " Continue? ")) == 300

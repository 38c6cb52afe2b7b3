"""What the runs of scripts lead to."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from pytest_codex_workspace.codex import RESUME, SETUP
from pytest_codex_workspace.conformance.script_rules import last_words, script_findings, script_line
from pytest_codex_workspace.network.rules.request import Request
from pytest_codex_workspace.options.services import ServiceSpec
from pytest_codex_workspace.services.daemons import Left
from pytest_codex_workspace.workspace.handle import Daemon

from .conftest import FAILED, failure, seen

SCRIPT = (
    "set -e\n# redis-server is needed\napt-get install redis-server\nredis-server --daemonize yes\n"
)
REDIS = Daemon("redis-server", "redis-server 127.0.0.1:6379", (6379,))
POSTGRES = Daemon("postgres", "/usr/lib/postgresql/15/bin/postgres -D /data", (5432,))
WRITER = Daemon("postgres", "postgres: walwriter")
LOOP = Daemon("sleep", "sleep 1000")
HOLDER = Daemon("node", "node watch.js", held_output=True)
GRADLE = Daemon("java", "java -cp x.jar org.gradle.launcher.daemon.bootstrap.GradleDaemon", (4,))
AGENT = Daemon("gpg-agent", "gpg-agent --daemon")


def left(*daemons: Daemon) -> Left:
    """
    Return what a script left running.
    """
    return Left(daemons)


CASES: dict[str, tuple[dict[str, Any], list[tuple[str, str]]]] = {
    "nothing": ({}, []),
    "setup fails": (
        {"setup_error": failure(), "setup_duration": None, "test_run": None},
        [("setup-fails", "error")],
    ),
    "setup is not there": (
        {"setup_error": failure("", "is not there", exit_code=None, where="")},
        [("setup-fails", "error")],
    ),
    "setup hangs when it runs again": (
        {"again_error": failure(exit_code=None, timed_out=True)},
        [("setup-repeat", "warning")],
    ),
    "resuming fails": ({"resume_error": failure(script=RESUME)}, [("resume-fails", "error")]),
    "memory": (
        {"setup_error": failure(exit_code=137, out_of_memory=True)},
        [("out-of-memory", "error")],
    ),
    "too long": (
        {"setup_error": failure(exit_code=None, timed_out=True)},
        [("time-limit", "error")],
    ),
    "waits for input": (
        {"setup_error": failure(exit_code=None, timed_out=True, waits="read")},
        [("prompt-unanswered", "error")],
    ),
    "only says so": (
        {"setup_error": failure("it seemed to wait for input: x; ran longer than 60 s\n")},
        [("setup-fails", "error")],
    ),
    "near the limit": ({"setup_duration": 720.0}, [("time-limit", "warning")]),
    "not near the limit": ({"setup_duration": 719.0}, []),
    "over the limit": ({"setup_duration": 1300.0}, [("time-limit", "error")]),
    "a question, answered by the end of input": (
        {"setup_output": "Install? [y/N] Abort.\n" + "later\n" * 9},
        [("prompt-unanswered", "warning")],
    ),
    "a question that ended it": (
        {"setup_error": failure("Do you want to continue? [Y/n] Abort.\n")},
        [("setup-fails", "error"), ("prompt-unanswered", "error")],
    ),
    "output is held": ({"left": left(HOLDER)}, [("output-held", "error")]),
    "a server": ({"left": left(REDIS)}, [("server-lost", "warning")]),
    "a server that tests seem to miss": (
        {"left": left(REDIS), "test_run": FAILED},
        [("server-lost", "error")],
    ),
    "a server with helpers": ({"left": left(POSTGRES, WRITER)}, [("server-lost", "warning")]),
    "a server of the other script": ({"resume_left": left(REDIS)}, [("server-lost", "warning")]),
    "a server of nobody": ({"left": Left(ports=(8080,))}, [("server-lost", "warning")]),
    "a server with a socket": (
        {"left": left(Daemon("mysqld", "mysqld", (), ("/run/mysqld.sock",)))},
        [("server-lost", "warning")],
    ),
    "memory, and it went on": ({"setup_memory": True}, [("out-of-memory", "error")]),
    "a declared server": (
        {"left": left(REDIS), "services": [ServiceSpec("r", "redis-server --save ''")]},
        [],
    ),
    "a loop": ({"left": left(LOOP)}, [("process-lost", "note")]),
    "helpers of build tools": ({"left": left(GRADLE, AGENT)}, []),
    "fails again": ({"again_error": failure()}, [("setup-repeat", "warning")]),
    "differs": (
        {"again_changes": [("longer", "/root/.bashrc"), ("added", "/root/x-2")]},
        [("setup-differs", "note"), ("setup-differs", "note")],
    ),
    "tracked files": ({"setup_status": {"lock": " M"}}, [("tracked-changes", "warning")]),
    "a removed file": ({"setup_status": {"gone": " D"}}, [("tracked-changes", "warning")]),
    "untracked files": ({"setup_status": {"a.log": "??"}}, [("untracked-files", "note")]),
    "each script has its own": (
        {"setup_status": {"a": "??"}, "resume_status": {"a": "??", "b": " M"}},
        [("untracked-files", "note"), ("tracked-changes", "warning")],
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_the_findings(name):
    """
    Each observation leads to its findings, each with a place and something to do.
    """
    changes, wanted = CASES[name]

    found = list(script_findings(seen(**changes)))

    assert [(one.id, one.level) for one in found] == wanted
    assert all(one.path in (SETUP, RESUME) and one.in_codex and one.remedy for one in found)
    assert not any(one.what.endswith((".", "\n")) for one in found)


@pytest.mark.parametrize("phase", ["setup", "resume"])
def test_a_failure_that_may_be_of_here_only(phase):
    """
    A refused request that may pass in Codex leaves open whether the script fails there, too. One of
    the other script does not, nor one that was allowed.
    """
    failed = {f"{phase}_error": failure()}
    http = Request(
        *(1, 1.0, phase, "GET", "http", "a.example", 80, "/", "http://a.example/", 403),
        *(None, None, "blocked", "plain-http"),
    )
    other = replace(http, phase="test")
    fine = replace(http, verdict="allowed", reason=None)

    (open_,) = script_findings(seen(requests=[http, other, fine], **failed))
    (certain,) = script_findings(seen(requests=[other, fine], **failed))

    assert open_.in_codex.endswith(
        "does not come up, unless it fails because of a request that may pass there: see plain-http"
    )
    assert certain.in_codex.endswith("does not come up")


def test_a_finding_names_line_and_process():
    """
    The line is the one that seems to have started the process, not a comment.
    """
    (found,) = script_findings(seen(setup_script=SCRIPT, left=left(REDIS)))

    assert found.where == f"{SETUP}:4"
    assert "`redis-server 127.0.0.1:6379`" in found.what
    assert "port 6379" in found.what


def test_the_line_that_starts_a_service_is_named_differently():
    """
    A service has the name of its package, and its user has that of its program.
    """
    script = "su postgres -c true\n# service postgresql start\nservice postgresql start\n"

    (found,) = script_findings(seen(setup_script=script, left=left(POSTGRES)))

    assert found.line == 3


def test_the_line_of_a_failure_is_that_of_bash():
    """
    What the script printed last is the reason.
    """
    (found,) = script_findings(seen(setup_error=failure(), setup_duration=None))

    assert found.where == f"{SETUP}:2"
    assert found.what.endswith("at line 2: cp a: no such file")


def test_a_script_that_hangs_says_what_it_did_last():
    """
    If it does not wait for input, this is all that is known.
    """
    error = failure("Waiting for the database", exit_code=None, timed_out=True)

    (found,) = script_findings(seen(setup_error=error, setup_duration=None))

    assert found.what.endswith("was killed; its last line was: Waiting for the database")


@pytest.mark.parametrize(
    ("output", "last"),
    [
        ("", ""),
        ("a\n\nb\n", ": b"),
        ("npm error no such version.\nnpm notice x\nnpm error A complete log of this run\n", None),
        ("\x1b[31mfailed\x1b[0m\n=== 1 s ===\n", ": failed"),
        (
            "9 examples, 2 failures\n\nFailed examples:\n\nrspec ./spec/a_spec.rb:7 # is good\n",
            ": 9 examples, 2 failures",
        ),
        (
            "npm error File exists: /bin/yarn\nnpm error Remove the existing file and try again, "
            "or run npm\nnpm error with --force to overwrite files recklessly.\n",
            ": npm error File exists: /bin/yarn",
        ),
        (
            "[ERROR] The parent POM is missing -> [Help 1]\n[ERROR]\n[ERROR] To see the full stack "
            "trace of the errors, re-run Maven\n[ERROR] [Help 1] http://example.org/UnknownError\n",
            ": [ERROR] The parent POM is missing -> [Help 1]",
        ),
        (
            "Could not fetch specs from https://example.org/ due to error <bad\nresponse Bad "
            "Gateway 502\n(https://example.org/specs)>\nBye\n",
            ": Could not fetch specs from https://example.org/ due to error <bad response Bad "
            "Gateway 502 (https://example.org/specs)>",
        ),
        (f"a\n{SETUP}: line 4: tool: command not found\n", ": tool: command not found"),
        ("/tmp/ab12cd-setup_script.sh: line 4: x: not found\n", ": x: not found"),
        (
            "x failed\nmake[1]: *** [Makefile:2: a] Error 1\nmake: *** [Makefile:1: b] Error 2\n",
            ": x failed",
        ),
        (
            "FAILED tests/test_a.py::test_b - assert 1 == 2\n===== 34 failed, 286 passed in 9.97s "
            "(0:07:40) =====\n",
            ": FAILED tests/test_a.py::test_b - assert 1 == 2",
        ),
        (
            "E   FileNotFoundError: [Errno 2] No such file or directory: 'data/taxes.json'\n"
            "ERROR test_prices.py - FileNotFoundError: [Errno 2] No such file or directory...\n"
            "!!!!!!!!!!!!!!!!!!!! Interrupted: 1 error during collection !!!!!!!!!!!!!!!!!!!!\n"
            "=============================== 1 error in 0.23s ===============================\n",
            ": ERROR test_prices.py - FileNotFoundError: [Errno 2] No such file or directory: "
            "'data/taxes.json'",
        ),
        ("1 failed, 2 passed in 0.12s\n", ": 1 failed, 2 passed in 0.12s"),
        ("make: *** [Makefile:2: test] Error 1\n", ": make: *** [Makefile:2: test] Error 1"),
        (
            "error: no compiler\nnote: This error originates from a subprocess\n",
            ": error: no compiler",
        ),
    ],
)
def test_the_last_words_are_those_of_the_error(output, last):
    """
    Tools print where their log is after the reason.
    """
    assert last_words(output) == (": npm error no such version" if last is None else last)


def test_words_of_a_script():
    """
    A part of a word is another word.
    """
    assert script_line("redis-server-x\nnode_modules\nnode x\n", "node") == 3
    assert script_line("a\n", "b") is None


@pytest.mark.parametrize(
    ("code", "script", "found"),
    [
        ("??", "npm ci\n", ["untracked-files .nvmrc"]),
        (" M", "npm ci\n", ["tracked-changes .nvmrc"]),
        ("??", "nvm use --save 22\n", [f"untracked-files {SETUP}"]),
    ],
)
def test_the_file_of_nvm(code, script, found):
    """
    The selection of runtimes writes it before setup: the script is not blamed for that.
    """
    findings = script_findings(seen(setup_script=script, setup_status={".nvmrc": code}))

    assert found == [f"{one.id} {one.path}" for one in findings]

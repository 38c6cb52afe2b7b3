"""S8, S16: The command reports events to programs, and progress to users at a terminal."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ..conftest import commit, init_repo, scripts
from ..helpers.events import read_events
from ..helpers.user import TerminalUser
from .runs import COMMAND

SLIM = "--image=slim"

RESUME = """\
curl -s -o /dev/null http://plain.example/from-resume
cat node_modules/state
"""

Run = Callable[..., tuple[int, list[dict[str, Any]], str]]


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """
    Return a function that runs the command with --json. It returns the exit code, the events and
    standard error.
    """

    def ran(*words: object) -> tuple[int, list[dict[str, Any]], str]:
        done = subprocess.run(
            [*COMMAND, *map(str, words), "--json"],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            stdin=subprocess.DEVNULL,
            timeout=300,
            check=False,
        )
        # Every line is one, or this fails.
        return done.returncode, read_events(done.stdout.splitlines()), done.stderr

    return ran


def values_of(events: list[dict[str, Any]], event: str, field: str) -> list[Any]:
    """
    Return one field of every event of a kind.
    """
    return [one[field] for one in events if one["event"] == event]


@pytest.mark.promise("S8", "S16")
def test_a_run_as_events(run, tmp_path):
    """
    S16: The events show the whole chain in order, and the use of the cache before all other steps.
    S8: The lines of a script come between the start and the end of its step.
    """
    setup = (
        "mkdir node_modules; echo state >node_modules/state\n"
        "echo 'setup | says'; printf '\\033[31mred\\n'\n"
    )
    files = {".gitignore": "node_modules/\n", **scripts(setup, RESUME)}
    repo = init_repo(tmp_path / "eventful", files)
    head = commit(repo, {"more": "1"})

    code, cold, errors = run("run", repo, SLIM)

    assert (0, "") == (code, errors)
    times = [one["time"] for one in cold]
    assert sorted(times) == times
    titles = values_of(cold, "step-started", "title")
    assert titles == values_of(cold, "step-ended", "title")
    assert all(values_of(cold, "step-ended", "ok"))
    wanted = ["projecting eventful", "running codex-workspace-scripts/setup-script.sh"]
    wanted += ["running codex-workspace-scripts/setup-from-cache-script.sh"]
    found = [title for title in titles if title.startswith(tuple(wanted))]
    assert [True] * 3 == [one.startswith(start) for one, start in zip(found, wanted, strict=True)]
    assert ["setup | says", "\x1b[31mred", "state"] == [
        line if "red" not in line else line.removesuffix("\x1b[0m")
        for line in values_of(cold, "script", "line")
    ]
    kinds = [one["event"] for one in cold]
    step = next(one["step"] for one in cold if one.get("title") == found[1])
    begun, ended = (
        next(n for n, one in enumerate(cold) if (one["event"], one.get("step")) == (kind, step))
        for kind in ("step-started", "step-ended")
    )
    assert {"script"} == set(kinds[begun + 1 : ended])

    assert 1 == kinds.count("result")
    result = cold[-1]
    assert ("result", 0, "miss", "/workspace/eventful", head) == (
        result["event"],
        result["exit_code"],
        result["cache"],
        result["project"],
        result["head"],
    )
    [asked] = [one for one in cold if one["event"] == "request"]
    for [one] in ([asked], result["blocked"]):
        found = (one["reason"], one["phase"], one["url"])
        assert ("plain-http", "resume", "http://plain.example/from-resume") == found

    commit(repo, {"web/package-lock.json": "{}", "README": "changed"})
    code, warm, _ = run("run", repo, SLIM)
    assert (0, "hit") == (code, warm[-1]["cache"])
    assert [(head, ["web/package-lock.json"])] == [
        (one["commit"], one["changed"]) for one in warm if one["event"] == "cached-setup"
    ]
    steps = [one for one in warm if "this engine cannot limit" not in one.get("text", "")]
    assert steps[0]["event"] == "cached-setup"
    assert result["key"] == warm[-1]["key"]

    code, (explained,), _ = run("cache", "explain", repo, SLIM)
    assert (0, "hit", result["key"]) == (code, explained["outcome"], explained["key"])
    _, layers, _ = run("cache", "list")
    assert [("setup", "eventful")] == [
        (one["kind"], one["repository"]) for one in layers if one.get("key") == result["key"]
    ]


@pytest.mark.promise("S8", "S16")
def test_what_has_changed_as_data(run, tmp_path):
    """
    `run --diff`: no remark has a line for each file. Names that git would quote are as they are.
    """
    resume = "echo new >'new ü'; echo 1 >>a; rm gone; echo x >ignored\n"
    files = {".gitignore": "ignored\n", "a": "1\n", "gone": "1", **scripts("true\n", resume)}
    repo = init_repo(tmp_path / "changing", files)

    code, events, _ = run("run", repo, SLIM, "--diff")

    assert (code, events[-1]["changes"]) == (
        0,
        {
            "since": f"the commit {events[-1]['head'][:12]}",
            "files": [
                {"path": "a", "kind": "changed", "size": 4},
                {"path": "gone", "kind": "removed", "size": 0},
                {"path": "new ü", "kind": "added", "size": 4},
            ],
            "more": 0,
        },
    )
    assert not [text for text in values_of(events, "note", "text") if "changed since" in text]


def test_a_failing_script_as_an_event(run, tmp_path):
    """
    S8: The command has the script's exit code; the last event has the exit code, the log and the
    last lines.
    """
    repo = init_repo(tmp_path / "failing", scripts("echo before; exit 7\n"))

    code, events, errors = run("run", repo, SLIM)

    assert 7 == code
    error = events[-1]
    assert ("error", "SetupError", 7) == (error["event"], error["type"], error["exit_code"])
    assert "codex-workspace-scripts/setup-script.sh" == error["script"]
    assert "before\n" == Path(error["log_path"]).read_text() == error["tail"]
    assert ("", []) == (error["where"], error["problems"])
    # The text has the last lines, too; in the event they are a field.
    first, *_, last = error["message"].splitlines()
    assert first in errors
    assert last in errors
    assert [False] == [
        one["ok"] for one in events if one["event"] == "step-ended" and "running" in one["title"]
    ]
    assert [] == values_of(events, "result", "exit_code")


@pytest.mark.promise("S8", "S9")
def test_somebody_at_a_terminal_sees_time_go_by(tmp_path):
    """
    S8: A running time is shown below a script's lines while it prints nothing. S9: With --json,
    no shell opens.
    """
    repo = init_repo(tmp_path / "slow", scripts("echo begins\nsleep 3\n"))
    person = TerminalUser("run", SLIM, str(repo), cwd=tmp_path)
    try:
        person.until(r"\r\n  \| begins\r\n")
        person.until(r"\rcodex: running \S+setup-script.sh: [123] s|\r\x1b\[2mcodex: running .*s")
        person.until(r"\r +\rcodex: running \S+setup-script.sh: \d+\.\d s\r\n")
        assert 0 == person.end()
    finally:
        person.leave()

    plain = init_repo(tmp_path / "plain", {"a": "1"})
    person = TerminalUser("run", SLIM, "--json", str(plain), cwd=tmp_path)
    try:
        assert 0 == person.end()
    finally:
        person.leave()
    events = read_events(person.seen.splitlines())
    assert ("result", "none") == (events[-1]["event"], events[-1]["cache"])

"""Tests of running setup scripts, with the agent as a process of this machine."""

from __future__ import annotations

import hashlib
import pickle
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from unittest.mock import Mock

import pytest

from pytest_codex_workspace.codex import SETUP
from pytest_codex_workspace.errors import ProxyError, SecretError, SetupError, WorkspaceLost
from pytest_codex_workspace.network.rules.request import Request
from pytest_codex_workspace.options.config import Config
from pytest_codex_workspace.options.script_text import ScriptText
from pytest_codex_workspace.reporting.output import Output
from pytest_codex_workspace.secrets.secrets import NO_SECRETS, Secrets
from pytest_codex_workspace.setup import scripts
from pytest_codex_workspace.setup.records import Record
from pytest_codex_workspace.setup.scripts import ScriptRun, ScriptRunner, run_script
from pytest_codex_workspace.setup.spec import SetupScript

from ...helpers.local_agent import local_channel


@pytest.fixture
def channel(tmp_path):
    """
    A conversation with a local agent, whose login shells have no profile of a
    user: that may do anything, and take its time.
    """
    home = tmp_path / "home"
    home.mkdir()
    with local_channel(HOME=str(home)) as channel:
        yield channel


@pytest.fixture
def run(channel, tmp_path):
    """
    Runs a script and returns the run, its log, and what was shown.
    """

    def go(
        script: bytes,
        timeout: float = 30.0,
        secrets: Secrets = NO_SECRETS,
        requests: Sequence[Request] = (),
    ) -> tuple[ScriptRun, bytes, list[str]]:
        path = tmp_path / SETUP
        path.parent.mkdir()
        path.write_bytes(script)
        inside = tmp_path / "inside"
        inside.mkdir()
        shown: list[str] = []
        go.shown, go.latest = shown, []
        log = tmp_path / "logs" / "x.log"
        result = run_script(
            channel,
            SetupScript(SETUP),
            project=str(tmp_path),
            timeout=timeout,
            log_path=log,
            show=shown.append,
            latest=go.latest.append,
            secrets=secrets,
            requests=lambda: requests,
            inside=str(inside),
        )
        return result, log.read_bytes(), shown

    return go


@pytest.mark.slow
def test_endless_output_does_not_fill_the_disk(run):
    """
    The log has its beginning and its end, and not every line is shown.
    """
    result, log, shown = run(b"echo begins; yes | head -c 60000000; echo; echo ends")

    assert log.startswith(b"begins\n")
    assert log.endswith(b"\nends\n")
    assert b"left out here" in log
    assert len(log) < 21 * 1024 * 1024
    assert len(shown) < 25_000
    assert result.output.endswith("ends\n")


def test_output_is_kept_logged_and_shown(run):
    """
    Both streams are kept in order, and so is a last line without a line end.
    """
    result, log, shown = run(b"echo one; echo two >&2; printf three")

    assert "one\ntwo\nthree" == result.output
    assert b"one\ntwo\nthree" == log
    assert ["one", "two", "three"] == shown


def test_a_given_text_is_stored_as_codex_does(channel, tmp_path, monkeypatch):
    """
    Its directory is not the repository, in which it runs nevertheless. What an earlier script has
    left at its path is replaced; an error has its line and command.
    """
    text = b'echo "$0"; pwd\n[ -e stop ] && false\ntrue\n'
    given = SetupScript("s.sh", "setup_script.sh", ScriptText("s.sh", text))
    assert "/tmp" == scripts._STORED_IN
    monkeypatch.setattr(scripts, "_STORED_IN", str(tmp_path))
    name = f"{tmp_path}/{hashlib.sha256(text).hexdigest()[:6]}-setup_script.sh"
    victim = tmp_path / "victim"
    victim.write_text("stays")
    Path(name).symlink_to(victim)

    def go():
        return run_script(
            *(channel, given),
            project=str(tmp_path),
            timeout=30.0,
            log_path=tmp_path / "log",
            show=lambda _: None,
            inside=str(tmp_path),
        )

    result = go()
    assert f"{name}\n{tmp_path}\n" == result.output
    assert "stays" == victim.read_text()

    given = replace(given, text=ScriptText("s.sh", b"true\nset -e\nls /none\n"))
    with pytest.raises(SetupError, match=r"^s\.sh exited with 2 .*, at line 3: ls /none") as caught:
        go()
    assert "s.sh" == caught.value.script


def test_carriage_returns_are_left_behind(run, tmp_path):
    """
    The script finds the files beside it, and its copy is removed afterwards.
    """
    result, _, _ = run(b'if true; then\r\n  basename "$(dirname "$0")"\r\nfi\r\n')

    assert "codex-workspace-scripts\n" == result.output
    assert [tmp_path / SETUP] == list((tmp_path / SETUP).parent.iterdir())


def test_fast_output_is_shown_up_to_a_limit(run):
    """
    The log has all of the output, the result has the last MiB.
    """
    result, log, shown = run(b"seq 1000000")

    assert len(shown) < 100_000
    assert any("lines not shown; the full log" in line for line in shown)
    assert log.endswith(b"\n1000000\n")
    assert len(log) > 6_000_000
    assert 1024 * 1024 == len(result.output)


@pytest.mark.promise("S8", "S19")
def test_a_failure_has_code_log_and_tail(run, tmp_path):
    """
    S19: the error also says that the cache was not changed, and what to do next.
    """
    with pytest.raises(SetupError, match="exited with 9") as caught:
        run(b"echo why; exit 9")

    assert (9, SETUP, "why\n") == (caught.value.exit_code, caught.value.script, caught.value.tail)
    assert tmp_path / "logs" / "x.log" == caught.value.log_path
    assert "The cache was not changed. Fix the script, commit it" in str(caught.value)


@pytest.mark.parametrize(
    "question", ['read -rp "Continue? " a', "cat", "python3 -c 'input()'", "head -c1 </dev/tty"]
)
def test_a_question_gets_the_end_of_input(run, question):
    """
    Nobody is there to answer, whatever the input of this process is.
    """
    result, _, _ = run(f"{question} 2>/dev/null; echo the script goes on".encode())

    assert result.output.endswith("the script goes on\n")


def test_a_failure_names_its_line_and_what_was_refused(run):
    """
    Both are in the first lines of the error, also of a script that printed nothing. What the
    network refused has what would allow it.
    """
    refused = Request(
        *(1, 1.0, "setup", "GET", "http", "deb.example", 80, "/k", "http://deb.example/k", 403),
        *(5, 0.1, "blocked", "plain-http", "Plain HTTP is not allowed. Use https://deb.example."),
    )
    with pytest.raises(SetupError) as caught:
        run(b"set -e\nv=$(false)\necho never\n", requests=[refused] * 3)

    lines = str(caught.value).splitlines()
    assert lines[0].startswith(f"{SETUP} exited with 1 after ")
    assert lines[0].endswith(" s, at line 2: v=$(false)")
    assert lines[1:5] == [
        "this went wrong on the network while it ran:",
        "  blocked: [setup] GET http://deb.example/k (plain-http), 3 times",
        "      Plain HTTP is not allowed. Use https://deb.example.",
        "  to allow what was blocked, add to `network: setup:` in .codex-workspace.yaml:",
    ]
    assert ("line 2: v=$(false)", (refused,) * 3) == (caught.value.where, caught.value.requests)
    assert len(lines) < 30
    # Both are shown beside the output, too; the error alone says what to do.
    assert any("at line 2: v=$(false)" in line for line in run.shown)
    assert "... blocked: [setup] GET http://deb.example/k (plain-http), 3 times" in run.shown
    assert not any("http: allow" in line for line in run.shown)
    assert "http: allow" in caught.value.without_tail


def test_the_last_line_is_told_while_a_script_runs(run):
    """
    Also that of a progress bar, which has no line end.
    """
    run(b"printf 'one\\n\\n'; sleep 0.2; printf ' 45 %%\\r 50 %%\\r'")

    assert (run.latest[0], run.latest[-1]) == ("one", "50 %")


def test_a_failure_has_what_was_allowed_too(run):
    """
    A policy for the next run needs that as well: of requests that are alike, the first.
    """
    one = (1, 1.0, "setup", "GET", "https", "a.example", 443, "/1", "https://a.example/1")
    first = Request(*one, 200, 1, 0.1, "allowed")
    alike, other = replace(first, id=2, path="/2"), replace(first, id=3, method="POST")

    with pytest.raises(SetupError) as caught:
        run(b"exit 3", requests=(first, alike, other))

    assert ((), (first, other)) == (caught.value.requests, caught.value.passed)


def test_a_failure_whose_requests_are_unknown_is_told(run):
    """
    The script's own failure stays the error.
    """

    class Unknown:
        def __iter__(self):
            raise ProxyError("The proxy has ended.")

    with pytest.raises(SetupError, match=r"what it requested is not known: The proxy has ended\."):
        run(b"exit 3", requests=Unknown())


def test_a_script_whose_end_is_not_reported_is_ended(run, monkeypatch):
    """
    The limit holds although a process cannot be killed, or the agent does not say that it was.
    """
    monkeypatch.setattr("pytest_codex_workspace.setup.scripts._KILL_PATIENCE", 0.1)
    monkeypatch.setattr("pytest_codex_workspace.workspace.process.Process.kill", lambda _: None)
    with pytest.raises(SetupError, match=r"ran longer than 0\.5 s and was killed"):
        run(b"echo begins; sleep 300", timeout=0.5)

    assert "begins" in run.shown


def test_a_script_that_hangs_is_ended(run):
    """
    Its children end with it, and the error has what it had printed.
    """
    with pytest.raises(SetupError, match=r"ran longer than 0\.3 s") as caught:
        run(b"echo waiting; sleep 60 & sleep 60", timeout=0.3)

    assert "waiting\n" == caught.value.tail
    # The code would be that of our own signal.
    assert caught.value.exit_code is None
    assert caught.value.timed_out
    assert not caught.value.out_of_memory


@pytest.mark.parametrize(("line", "shown"), [("seq 30", True), ("seq 1000000", False)])
def test_an_error_knows_whether_its_last_lines_were_shown(run, line, shown):
    """
    They are not printed twice, but lines that were left out are printed with the error.
    """
    with pytest.raises(SetupError, match="Last lines of its output") as caught:
        run(f"{line}; exit 9".encode())

    assert shown == caught.value.shown
    assert "Last lines" not in caught.value.without_tail
    assert "exited with 9" in caught.value.without_tail
    assert "Full log" in caught.value.without_tail
    assert caught.value.without_tail == pickle.loads(pickle.dumps(caught.value)).without_tail


SECRET = "line one'\"\nline two"


@pytest.fixture
def secrets() -> Secrets:
    """
    Return a secret with a value of two lines.
    """
    return Secrets(["TOKEN"], {"TOKEN": SECRET})


def test_only_a_script_has_secrets(run, channel, secrets):
    """
    A printed value is not shown, logged or returned, in whatever form the script prints it.
    """
    script = b"""
test "$TOKEN" = $'line one\\'"\\nline two' && echo it is there
echo "<$TOKEN>"
set -x
: "$TOKEN"
set +x
for ((n = 0; n < ${#TOKEN}; n++)); do printf %s "${TOKEN:n:1}"; sleep 0.01; done
echo
python3 -c 'import json, os, urllib.parse as u
t = os.environ["TOKEN"]
print(json.dumps(t), u.quote(t))'
"""
    result, log, shown = run(script, secrets=secrets)

    assert result.output == log.decode()
    assert "it is there\n<***>\n" == result.output[:18]
    for text in (result.output, "\n".join(shown), Record(result).to_bytes().decode()):
        assert "it is there" in text
        assert "line one" not in text
        assert "line two" not in text
        assert "line%20" not in text
    assert "" == channel.run(["sh", "-c", 'printf %s "$TOKEN"']).stdout


def test_a_failure_has_no_secret(run, tmp_path, secrets):
    """
    The value is neither in the message, nor in the tail, nor in the log.
    """
    with pytest.raises(SetupError) as caught:
        run(b'echo "bad: $TOKEN"; exit 3', secrets=secrets)

    assert "bad: ***\n" == caught.value.tail
    assert "line" not in (tmp_path / "logs/x.log").read_text() + caught.value.tail
    assert "line one" not in str(caught.value)


def test_an_unfinished_line_is_shown_at_the_end(run, secrets):
    """
    Text that could begin a secret is held back only until the output ends.
    """
    result, _, shown = run(b'printf "line on"', secrets=secrets)

    assert "line on" == result.output
    assert ["line on"] == shown


def test_a_missing_secret_stops_before_the_script(run, tmp_path):
    """
    No part of the script has run.
    """
    with pytest.raises(SecretError, match="TOKEN is not set"):
        run(b"touch ran", secrets=Secrets(["TOKEN"]))

    assert not (tmp_path / "ran").exists()


def test_the_last_output_of_a_workspace_has_no_secret(run, secrets):
    """
    A script that is root can write to the agent's own standard error.
    """
    script = b"""
agent=$PPID
echo "oh: $TOKEN" >/proc/$agent/fd/2
kill -9 $agent
sleep 10
"""
    with pytest.raises(WorkspaceLost) as caught:
        run(script, secrets=secrets)

    assert "oh: ***" in str(caught.value)


def test_a_workspace_that_is_lost_at_once_tells_no_secret(secrets, tmp_path):
    """
    The agent may end before it has reported the start of the script.
    """

    class LostChannel:
        def write_file(self, *_args):
            pass

        def unlink(self, *_args):
            pass

        def start(self, *_args, **_env):
            raise WorkspaceLost(
                f"last output on its standard error:\noh: {secrets.values['TOKEN']}"
            )

    with pytest.raises(WorkspaceLost) as caught:
        run_script(
            LostChannel(),
            SetupScript("x"),
            project="/",
            timeout=10,
            log_path=tmp_path / "log",
            show=lambda _: None,
            secrets=secrets,
        )

    assert "oh: ***" in str(caught.value)
    assert secrets.values["TOKEN"] not in str(caught.value)


ASKS = b"mkfifo asked; echo asking; read answer <asked"


@pytest.mark.slow
def test_a_question_without_a_line_end_is_shown(run, monkeypatch):
    """
    While nobody answers it, although its line has not ended; and in the error.
    """
    monkeypatch.setattr("pytest_codex_workspace.setup.scripts._UNFINISHED", 0.2)
    question = b"Do you want to continue? [Y/n] "

    with pytest.raises(SetupError, match=r"it asked 'Do you want to continue\? \[Y/n\]', and"):
        run(b"echo before; printf '" + question + b"'; sleep 60", timeout=1.5)

    assert run.shown[:2] == ["before", question.decode()]
    assert run.shown[2].startswith("... it seems to wait for an answer, and nobody answers")
    assert run.shown[3].startswith("... it ran longer than 1.5 s")


@pytest.mark.parametrize(
    ("script", "reason"),
    [
        ("printf 'Password: '; exit 1", "it asked 'Password:', and nobody answers"),
        ("echo \"fatal: 'origin' does not appear to be a git repository\"; exit 1", "no remote"),
        ("echo 'batch request: missing protocol: \"\"'; exit 2", "no remote, as in Codex. Compare"),
        (
            "echo 'fatal: Not a valid object name origin/main'; exit 128",
            "a workspace has no remote",
        ),
        (
            "echo 'fatal: No names found, cannot describe anything.'; exit 128",
            "Codex's git sync fetches none",
        ),
        (
            "echo 'LookupError: setuptools-scm was unable to detect version for /w'; exit 1",
            "SETUPTOOLS_SCM_PRETEND_VERSION",
        ),
        (
            "echo '/tmp/a1b2c3-setup_script.sh: line 2: /tmp/lib.sh: No such file or directory'; "
            "exit 1",
            "it looked for /tmp/lib.sh beside itself, and Codex stores",
        ),
    ],
)
def test_an_error_says_what_its_last_lines_mean(run, script, reason):
    """
    A question that nobody answers, or a remote that is not there; with what to do.
    """
    with pytest.raises(SetupError) as caught:
        run(script.encode())

    assert reason in str(caught.value).splitlines()[1]
    assert reason in caught.value.without_tail


@pytest.mark.parametrize("process", ["", "bash setup-script.sh › curl"])
def test_an_error_fits_a_screen(run, process):
    """
    With many requests that failed alike and otherwise, and with long lines, whose middle is cut.
    """
    requests = [
        Request(
            *(
                1,
                float(n),
                "setup",
                "GET",
                "http",
                f"h{n}.example",
                80,
                "/",
                f"http://h{n}.example/",
            ),
            *(403, 5, 0.1, "blocked", "plain-http", "Plain HTTP is not allowed."),
            process=process,
        )
        for n in range(20)
    ]
    script = b"seq 100; echo 'go on? [y/N]'; printf '%3000s!\\n' begin; exit 3"
    with pytest.raises(SetupError) as caught:
        run(script, requests=requests)

    lines = str(caught.value).splitlines()
    assert len(lines) <= 26
    assert max(map(len, lines)) <= 210
    assert any(line.startswith("  | ") and " ... " in line and line[-1] == "!" for line in lines)
    assert "  | 100" in lines
    assert any("network: setup" in line for line in lines)
    assert sum(line.startswith("  | ") for line in lines) >= 5


def test_an_error_has_the_end_of_the_output_in_any_case(run, monkeypatch):
    """
    However many lines the network needs: neither nothing, nor all but the first lines.
    """
    monkeypatch.setattr("pytest_codex_workspace.setup.scripts._ERROR_LINES", 0)

    with pytest.raises(SetupError) as caught:
        run(b"seq 20; exit 3")
    shown = [line for line in str(caught.value).splitlines() if line.startswith("  | ")]
    assert shown == ["  | 17", "  | 18", "  | 19", "  | 20"]


@pytest.mark.slow
def test_a_script_that_waits_for_input_is_told(run, monkeypatch):
    """
    It is told once while the script runs, and in the error of its timeout.
    """
    monkeypatch.setattr("pytest_codex_workspace.setup.scripts._IDLE", 0.2)

    with pytest.raises(SetupError, match=r"seemed to wait for input: bash \(process") as caught:
        run(ASKS, timeout=1.5)

    assert caught.value.tail == "asking\n"
    assert caught.value.waits.startswith("bash (process")
    told = [line for line in run.shown if "no output and no processor time" in line]
    assert len(told) == 1
    assert "it seems to wait for input: bash (process" in told[0]


def test_whether_secrets_are_left_can_be_unknown(monkeypatch):
    """
    A script may have replaced Python; a lost workspace ends the run.
    """
    monkeypatch.setattr(scripts, "run_script", lambda *_, **__: ScriptRun("", 1.0))
    shown: list[str] = []
    runner = ScriptRunner(Mock(), Config(), Output("plain", shown.append))
    secrets = Mock(names=["TOKEN"], values={"TOKEN": "v" * 20})
    spec = Mock(secrets=secrets, services=(), script=lambda _: SetupScript(SETUP))
    spec.snapshot.name = "demo"
    channel = Mock()
    running = Mock(channel=channel, container="c" * 64)

    channel.run.side_effect = OSError("no further process")
    run = runner.run(running, "setup", spec)
    assert (run.secrets.found, run.secrets.incomplete) == ((), "no further process")
    assert "left secrets on the disk is not known: no further process" in shown[-1]
    channel.run.side_effect = WorkspaceLost("it has ended")
    with pytest.raises(WorkspaceLost):
        runner.run(running, "setup", spec)
    search = Mock(side_effect=WorkspaceLost("it has ended"))
    monkeypatch.setattr(scripts, "search_workspace", search)
    channel.run.side_effect = OSError("no further process")
    with pytest.raises(WorkspaceLost):
        runner.run(running, "setup", spec)

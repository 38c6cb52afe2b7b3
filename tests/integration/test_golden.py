"""
S8, S19: What is said of each failure, in every mode, as text that people compare.

The files below `golden/` have the texts, with ids and times left out. `pytest --write-golden
tests/integration/test_golden.py` writes them anew.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from pytest_codex_workspace.cli import main as cli
from pytest_codex_workspace.cli.attach import report_network
from pytest_codex_workspace.engine import labels
from pytest_codex_workspace.errors import CodexWorkspaceError
from pytest_codex_workspace.options.config import Config
from pytest_codex_workspace.reporting.output import Output
from pytest_codex_workspace.reports.section import failure_section, position_in
from pytest_codex_workspace.session import Session

from ..conftest import init_repo, named_engine, scripts

GOLDEN = Path(__file__).parent / "golden"
SECTION = "--- codex workspace ---\n"
LIMIT = 5.0
"""Seconds that a setup script may take here."""

FETCH = """\
import ssl, sys, urllib.request
trusting = ssl.create_default_context()
distrusting = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
try:
    urllib.request.urlopen(sys.argv[1], context=distrusting if sys.argv[2:] else trusting)
except OSError as error:
    sys.exit(f"fetch: {error}"[:60])
"""
LOOK_UP = """\
import socket, sys
try:
    socket.getaddrinfo(sys.argv[1], 443)
except OSError as error:
    sys.exit(f"look-up: {error}")
"""


@dataclass(frozen=True)
class Failure:
    """
    A command that fails, and what the first lines of each text must have.
    """

    command: str
    cause: str
    remedy: str


FAILURES = {
    "refused-request": Failure(
        "python3 fetch.py http://refused.example/key",
        r"blocked: .*plain-http",
        "Use https://refused",
    ),
    "distrusted-certificate": Failure(
        "python3 fetch.py https://distrusted.example/ distrusting",
        r"failed: .*distrusted\.example",
        "Set the variable that this tool reads",
    ),
    "direct-look-up": Failure(
        "python3 look_up.py looked-up.example", r"blocked: .*direct-dns", "configure it to use the"
    ),
    "timeout": Failure(
        "echo waiting; mkfifo /tmp/f; read -r x </tmp/f",
        r"ran longer than|exceeded its timeout",
        "sets the\\slimit|it seemed to wait for input",
    ),
    "lost-container": Failure(
        "echo remove me; sleep 60", r"is lost: its container", "Run it again"
    ),
}
MODES = ("pytest", "run", "run --json", "exec", "python")


@dataclass
class Told:
    """
    A session that shows its progress here, and whose containers a script can have removed.
    """

    session: Session
    lines: list[str] = field(default_factory=list)

    def write(self, line: str) -> None:
        self.lines.append(line)
        if line.endswith("| remove me"):
            self.remove_all()

    def remove_all(self) -> None:
        """
        Remove the workspaces, as somebody else might.
        """
        own = {labels.KIND: "workspace", labels.SESSION: self.session.identity.id}
        for container in self.session.engine.containers(own):
            self.session.engine.remove(container.id)


@pytest.fixture(scope="module")
def told(small_image: str) -> Iterator[Told]:
    """
    A session of its own, with a short limit for setup.
    """
    config = Config(image=small_image, engine=named_engine(), setup_timeout=LIMIT, cache="off")
    session = Session(config, Output("progress", lambda line: found.write(line)))
    found = Told(session)
    with session:
        yield found


def normal(text: str) -> str:
    """
    Leave out what differs from run to run.
    """
    for pattern, name in (
        (r'"(time|began|duration)": [0-9.]+', r'"\1": 0'),
        (r"[0-9]+\.[0-9]+ s\b", "N s"),
        (r"/\S*/logs/\S*?\.log", "/home/me/.cache/codex-workspace/logs/shop.log"),
        (r"/\S*/repos/", "/home/me/"),
        (r"\b[0-9a-f]{64}\b", "ID"),
        (r"\b[0-9a-f]{40}\b", "COMMIT"),
        (r"\b[0-9a-f]{12}\b", "ID"),
        (r"process [0-9]+", "process N"),
        (r"codex-workspace-[0-9a-f-]+", "codex-workspace-NAME"),
        (r"(_ssl\.c:)[0-9]+", r"\1N"),
        (r"its container (is gone|ended)[^.\n]*", "its container ENDED"),
    ):
        text = re.sub(pattern, name, text)
    return text


def settled(text: str) -> str:
    """
    Leave out the processes, which a busy machine may not find in time.
    """
    text = re.sub(r"^(codex: )? *asked by: .*\n", "", text, flags=re.MULTILINE)
    text = re.sub(r" *asked by: .*?\\n", "", text)  # In a value of JSON.
    text = re.sub(r'"process": "[^"]*"', '"process": ""', text)
    return re.sub(r'"processes": \[[^]]*\]', '"processes": []', text)


def reported(error: BaseException, *, as_events: bool, on_stderr: bool) -> str:
    """
    Return what the command writes of an error; of its events, the last one.
    """
    out, err = io.StringIO(), io.StringIO()
    arguments = argparse.Namespace(json=as_events, progress_on_stderr=on_stderr)
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        cli._fail(arguments, error)
    # Before the error, each request is an event of its own.
    return out.getvalue().splitlines()[-1] if as_events else err.getvalue()


@pytest.mark.promise("S8", "S19")
@pytest.mark.parametrize("name", FAILURES)
def test_texts_of_failures(told, name, tmp_path, pytestconfig):
    """
    Each has at most 30 lines, and cause and remedy in its first five.
    """
    failure, texts = FAILURES[name], {}
    files = {"fetch.py": FETCH, "look_up.py": LOOK_UP, **scripts(f"set -e\n{failure.command}\n")}
    repo = init_repo(tmp_path / "repos" / "shop", files)
    session = told.session
    spec = session.spec(session.repository(repo), {})
    with pytest.raises(CodexWorkspaceError) as of_setup:
        session.workspace(spec, "ready")
    texts["python"] = f"{type(of_setup.value).__name__}: {of_setup.value}"
    texts["run"] = reported(of_setup.value, as_events=False, on_stderr=False)
    texts["run --json"] = reported(of_setup.value, as_events=True, on_stderr=False)

    workspace = session.workspace(spec, "clean")
    position = position_in(workspace)
    if name == "lost-container":
        told.remove_all()
    with pytest.raises(CodexWorkspaceError) as of_command:
        workspace.exec(failure.command, check=True, timeout=2 if name == "timeout" else None)
    said = str(of_command.value) if hasattr(of_command.value, "result") else ""
    section = failure_section(workspace, "codex-workspace shell", position, said=said)
    texts["pytest"] = f"{of_command.value}\n{SECTION}{section}"
    told.lines.clear()
    if name == "timeout":  # The command has no limit, but the setup before it.
        texts["exec"] = reported(of_setup.value, as_events=False, on_stderr=True)
    elif name == "lost-container":
        texts["exec"] = reported(of_command.value, as_events=False, on_stderr=True)
    else:
        report_network(workspace, session.output)
        texts["exec"] = "\n".join(told.lines)
    session.stop(workspace)

    written = []
    for mode in MODES:
        text = normal(texts[mode]).strip()
        event = json.loads(texts[mode])["message"] if mode == "run --json" else text
        assert len(text.splitlines()) < 30, text
        # pytest shows the section last, behind the lines of the test.
        parts = event.split(SECTION)
        first = "\n".join(line for part in parts for line in part.splitlines()[:5])
        assert re.search(failure.cause, first), f"{mode}: {text}"
        assert re.search(failure.remedy, first), f"{mode}: {text}"
        written.append(f"=== {mode} ===\n{text}\n")
    path = GOLDEN / f"{name}.txt"
    if pytestconfig.getoption("--write-golden"):
        path.parent.mkdir(exist_ok=True)
        path.write_text("\n".join(written))
    assert settled("\n".join(written)) == settled(path.read_text())

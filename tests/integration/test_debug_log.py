"""The debug log of a run on the engine."""

from __future__ import annotations

import os
import re
import subprocess
import textwrap
from pathlib import Path

import pytest

from ..conftest import commit, init_repo, scripts
from .runs import PYTEST

SECRET = "hunter22-and-more"
SETUP = """\
echo "the secret is $MY_VALUE"
curl -sS "https://refused.test/?token=in-a-query-1" || true
printf '\\nfaked DEBUG session: x\\033[2J\\n' >/proc/1/fd/2 || true
"""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """
    Return a repository that needs a secret, and a test beside it.
    """
    init_repo(tmp_path / "repo", {**scripts(SETUP), "content": "content-of-a-file\n"})
    test = """\
        def test_it(codex_workspace):
            codex_workspace.exec("cat content; curl -s https://refused.test/path-of-a-request")
    """
    (tmp_path / "test_it.py").write_text(textwrap.dedent(test))
    return tmp_path


def run(project: Path) -> str:
    """
    Run the test with a debug log, and return the log.
    """
    done = subprocess.run(
        [
            *(*PYTEST, "--codex-repo=repo", "--codex-image=slim", "--codex-secret=MY_VALUE"),
            *(
                "--codex-network=offline",
                "--codex-debug=debug.log",
                "--codex-env=PLAIN=plain-value",
            ),
        ],
        cwd=project,
        env={**os.environ, "MY_VALUE": SECRET},
        text=True,
        capture_output=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "DEBUG" not in done.stdout + done.stderr
    return (project / "debug.log").read_text()


def test_it_has_what_a_bug_report_needs_and_no_secrets(project):
    """
    Calls with durations, decisions with reasons, the life of each container, locks, what the proxy
    has judged; versions and doctor's result come first.
    """
    text = run(project)

    page, _, records = text.partition("DEBUG session: session ")
    for words in ("pytest-codex-workspace: ", "Python: 3.", "engine: url ", "kernel: ", "doctor: "):
        assert f"\n{words}" in page
    for pattern in (
        r"engine\.docker\.api: POST /containers/create \(create the container .*\): 201 in \d+ ms",
        r"cache\.store: miss setup-\w+: no image has this key; there is none of this repository",
        r"cache\.store: build setup-\w+",
        r"host\.locks: lock \S+/setup-\w+\.lock for the setup image \w+: acquired after \d+ ms",
        r"host\.locks: lock \S+/setup-\w+\.lock for the setup image \w+: released after \d+ ms",
        r"proxy_client: proxy: configure : done in \d+ ms",
        r"request of \w+ in setup: GET refused\.test:443 ",
        r"request of \w+ in test: \w+ refused\.test:443 blocked offline",
    ):
        assert re.search(pattern, records), pattern
    (made,) = re.findall(r"committed container (\w+) \(workspace .* as \S+:setup-", records)
    for event in ("created", "started", "committed", "stopped", "removed"):
        assert re.search(rf"{event} container {made} \(workspace codex-workspace-\w+", records)
    assert re.search(r"stopped container \w+ \(proxy ", records)
    assert re.search(r"stopped container \w+ \(holder ", records)
    for secret in (SECRET, "in-a-query", "plain-value", "content-of-a-file", "path-of-a-request"):
        assert secret not in text
    assert "\x1b" not in text
    assert not re.search(r"^faked", text, re.MULTILINE)

    commit(project / "repo", scripts(f"{SETUP}true\n"))
    assert re.search(
        r"miss setup-\w+: no image has this key; \w+ differs in: scripts changed\n", run(project)
    )
    assert re.search(r"hit setup-\w+: image sha256:\w+ on the engine\n", run(project))

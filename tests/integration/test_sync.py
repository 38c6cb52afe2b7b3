"""S5, S6: Codex's own order and rules of git, under the profile that follows them, and the texts of
its environment settings."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from pytest_codex_workspace.errors import SetupError

from ..conftest import commit, git, init_repo, scripts
from .runs import COMMAND, session_of

SETUP = r"""
set -eu
[ -f "codex-workspace-scripts/setup-script.sh" ]
dirname "$0" >/root/stored
basename "$0" | cut -c7- >>/root/stored
pwd >/root/directory
git rev-parse HEAD >/root/setup-saw
export LOST=1
echo export KEPT=1 >>~/.bashrc
echo of setup >a
echo of setup >untracked
echo of setup >kept.ignored
"""
MAINTENANCE = r"""
set -eu
basename "$0" | cut -c7- >>/root/stored
git rev-parse HEAD >/root/maintenance-saw
git status --short >/root/maintenance-status
sleep 1000 >/dev/null 2>&1 &
"""
LOOK = r"""
cat /root/stored /root/directory /root/setup-saw /root/maintenance-saw /root/maintenance-status
cat a b untracked kept.ignored
git for-each-ref --format='%(refname)'; git remote; git rev-list --count HEAD
git describe --tags --always
echo "lost: ${LOST-no} kept: ${KEPT-no}"; id -un; echo "$HOME"
pgrep -x sleep || echo no process
"""


@pytest.fixture
def repo(tmp_path: Path) -> Path:
    """
    Return a repository whose setup changes a tracked file, with a tag and 101 more commits.
    """
    made = init_repo(
        tmp_path / "sync",
        {"a": "1\n", "b": "1\n", ".gitignore": "*.ignored\n", **scripts(SETUP, MAINTENANCE)},
    )
    git(made, "tag", "v0")
    tree, parent = git(made, "rev-parse", "HEAD^{tree}"), git(made, "rev-parse", "HEAD")
    for _ in range(101):
        parent = git(made, "commit-tree", "-p", parent, "-m", "more", tree)
    git(made, "reset", "-q", "--hard", parent)
    return made


@pytest.mark.slow
@pytest.mark.promise("S5", "S6")
def test_setup_sees_the_commit_of_the_cache_and_then_git_switches(codex_engine, repo):
    """
    S6: As Codex's sync does it: the maintenance script runs at the new commit, what setup alone
    changed stays, and there is neither a tag, a remote, another branch nor old history. Where the
    commit changes the same file, nothing is overwritten. S5: Neither script runs in the repository.
    """
    old = git(repo, "rev-parse", "HEAD")
    new = commit(repo, {"b": "2\n"})
    both = commit(repo, {"a": "2\n", "untracked": "2\n"})
    shown: list[str] = []
    with session_of(shown, engine=codex_engine.url, profile="codex") as made:

        def start(rev: str):
            return made.workspace(made.spec(made.repository(repo, rev), {}), "ready")

        assert start(old).setup.cache == "miss"
        ws = start(new)
        assert ws.setup.cache == "hit"
        assert ws.exec(LOOK, check=True).stdout.splitlines() == [
            *("/tmp", "-setup_script.sh", "-maintenance_script.sh", "/workspace/sync", old, new),
            *(" M a", "?? untracked", "of setup", "2", "of setup", "of setup"),
            *("refs/heads/work", "100", new[:7]),
            *("lost: no kept: 1", "root", "/root", "no process"),
        ]
        with pytest.raises(SetupError) as caught:
            start(both)

    for words in ("too: a;", "the commit adds or removes: untracked", both[:12], "Codex switches"):
        assert words in caught.value.message
    assert "git restore" in (caught.value.remedy or "")
    told = [line for line in shown if "of the history" in line]
    assert len(told) == 3  # Once for each commit.
    assert "none of 1 tag and 100 commits" in told[0]


@pytest.mark.slow
@pytest.mark.promise("S6")
def test_tags_and_history_can_be_asked_for(codex_engine, repo):
    """
    S6: Where Codex is not known, the user chooses; the seed's rules overwrite, and say so.
    """
    both = commit(repo, {"a": "2\n"})
    shown: list[str] = []
    with session_of(shown, engine=codex_engine.url, git_tags="true", git_depth="all") as made:
        old = made.workspace(made.spec(made.repository(repo, f"{both}~1"), {}), "ready")
        assert old.exec("git describe --tags", check=True).stdout.startswith("v0-101-g")
        ws = made.workspace(made.spec(made.repository(repo, both), {}), "ready")
        assert ws.setup.cache == "hit"
        assert ws.exec("git describe --tags", check=True).stdout.startswith("v0-102-g")
        assert ws.exec("cat a", check=True).stdout == "2\n"

    assert any("setup and the commit" in line and "both change a;" in line for line in shown)


@pytest.mark.slow
@pytest.mark.promise("S5")
def test_the_text_of_the_settings_comes_from_standard_input(codex_engine, tmp_path):
    """
    S5: It runs in place of the repository's folder, and belongs to the key of its cache.
    """
    repo = init_repo(tmp_path / "pasted", scripts("echo the file ran; exit 3\n", "exit 4\n"))
    maintenance = tmp_path / "maintenance.txt"
    maintenance.write_text('echo "maintenance: $(basename "$PWD")"\n')

    def run(text: str, *options: str) -> subprocess.CompletedProcess[str]:
        environ = {**os.environ, "CODEX_WORKSPACE_ENGINE": codex_engine.url}
        return subprocess.run(
            [*COMMAND, "run", repo, "--image=slim", "--setup-script=-", *options],
            input=text,
            env=environ,
            capture_output=True,
            text=True,
            check=False,
        )

    text = 'dirname "$0"; git status --short; echo "setup: $(basename "$PWD")"\n'
    first = run(text)
    again = run(text, f"--maintenance-script={maintenance}")
    warm = run(text, f"--maintenance-script={maintenance}")
    failed = run("cat /nowhere\n")

    assert first.returncode == 0, first.stdout + first.stderr
    lines = first.stdout.splitlines()
    assert lines[0].startswith("codex: profile seed: tests reach every host over HTTPS")
    assert "--profile=codex" in lines[0]
    assert [line for line in lines if line.startswith("  | ")] == ["  | /tmp", "  | setup: pasted"]
    note = "runs in place of codex-workspace-scripts/, and no maintenance script runs"
    assert any(note in line for line in lines)
    assert "  | maintenance: pasted" in again.stdout
    assert "setup ran and is cached now" in again.stdout
    assert "the cached setup was used" in warm.stdout
    assert failed.returncode == 1
    assert "the script of standard input exited with 1" in failed.stderr

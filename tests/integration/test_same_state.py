"""S6, S7: A workspace is the same whether its cache was cold, warm, refreshed or off."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from pytest_codex_workspace.options.config import Config
from pytest_codex_workspace.reporting.output import Output
from pytest_codex_workspace.session import Session
from pytest_codex_workspace.setup.spec import State
from pytest_codex_workspace.workspace.handle import Workspace

from ..conftest import commit, git, init_repo, scripts

SETUP = r"""
set -e
ln -sf /dev/null /opt/codex/setup-record.json
echo installed >lock
touch same
rm gone
chmod +x run
echo of setup >both
echo left >untracked
cp source built.ignored
(cd lib && echo of setup >file)
git config user.email s@example.org && git config user.name s
git switch -qc mine
git add both && git commit -qm "of setup"
git checkout -q --detach
git branch -qD work
echo staged >staged && git add staged
touch .git/index.lock
curl -sS https://refused.invalid/ || true
"""
RESUME = "rm -f /opt/codex/setup-record.json; ln -s /dev/null /opt/codex/setup-record.json\n"

LOOK = r"""
git status --porcelain=v2 --branch
git for-each-ref --format='%(refname)'
git -C lib status --porcelain=v2 --branch
git config --list --local | sort
git config --list --system | sort
ls .git
cat .git/HEAD lock both lib/file README
if [ source -nt built.ignored ]; then echo rebuilds; fi
find . -path ./.git -prune -o -type f -newer source -print | sort >/dev/null
stat -c '%n %a %U' *
"""


@pytest.fixture
def repo(tmp_path: Path) -> Path:
    """
    Return a repository with a submodule, whose setup changes whatever it can.
    """
    names = ("lock", "same", "gone", "run", "both", "source", "README")
    part = init_repo(tmp_path / "part", {"file": "1\n"})
    made = init_repo(
        tmp_path / "same",
        {".gitignore": "*.ignored\n", **dict.fromkeys(names, "1\n"), **scripts(SETUP, RESUME)},
    )
    git(made, "submodule", "--quiet", "add", str(part), "lib")
    commit(made, {})
    return made


@contextmanager
def session(codex_engine, cache: str, shown: list[str]) -> Iterator[Session]:
    """
    Return a session of its own.
    """
    config = Config(image="slim", engine=codex_engine.url, cache=cache)  # type: ignore[arg-type]
    made = Session(config, Output("progress", shown.append))
    try:
        yield made
    finally:
        made.close()


@pytest.mark.promise("S3", "S6", "S7", "S8")
def test_every_way_to_a_workspace_leads_to_the_same(codex_engine, repo):
    """
    S6, S7: What setup changed stays, the repository is on `work` at HEAD, nothing that was built is
    out of date, and `ws.setup` has the same requests: with a cache from an older commit, with a
    new one, again, with setup in the workspace itself, and without a cache. S3: every user may use
    git there.
    """
    old = git(repo, "rev-parse", "HEAD")
    head = commit(repo, {"README": "2\n"})
    shown: list[str] = []
    found: dict[str, list[str]] = {}

    def look(made: Session, name: str, rev: str, state: State = "ready") -> Workspace:
        ws = made.workspace(made.spec(made.repository(repo, rev), {}), state)
        found[name] = ws.exec(LOOK, check=True).stdout.splitlines()
        assert ["refused.invalid"] == [one.host for one in ws.setup.requests], name
        assert ws.exec(["git", "status", "--short"], user="nobody").stderr == ""
        assert ws.exec(["git", "-C", "lib", "status"], user="65534", env={"HOME": ""}).ok
        return ws

    with session(codex_engine, "auto", shown) as made:
        look(made, "older", old)
        first = look(made, "from an older commit", head)
        assert first.setup.cache == "hit"
    with session(codex_engine, "refresh", shown) as made:
        assert look(made, "cold", head).setup.cache == "miss"
    with session(codex_engine, "require", shown) as made:
        assert look(made, "warm", head, "hit").setup.cache == "hit"
        look(made, "in place", head, "miss")
    with session(codex_engine, "off", shown) as made:
        look(made, "off", head)

    expected = found["from an older commit"]
    for name in ("cold", "warm", "in place", "off"):
        assert expected == found[name], name
    assert [
        f"# branch.oid {head}",
        "# branch.head work",
    ] == expected[:2]
    assert "rebuilds" not in expected
    assert {"installed", "of setup", "1", "2"} <= set(expected)
    changed = {line.split()[-1] for line in expected if line.startswith(("1 ", "? "))}
    assert {"lock", "gone", "run", "staged", "untracked", "file"} <= changed
    assert not {"same", "both", "source", "README"} & changed
    assert "warning" not in "".join(shown)


@pytest.mark.promise("S6")
def test_where_setup_and_the_commit_change_the_same(codex_engine, make_repo):
    """
    S6: The commit's version is taken, and a line names the file.
    """
    repo = make_repo(lock="1\n", **scripts("echo setup >lock; echo setup >new\n"))
    shown: list[str] = []
    with session(codex_engine, "auto", shown) as made:
        made.workspace(made.spec(made.repository(repo), {}), "ready")
        commit(repo, {"lock": "2\n", "new": "2\n"})
        ws = made.workspace(made.spec(made.repository(repo), {}), "ready")

        assert ws.exec("cat lock new; git status --short", check=True).stdout == "2\n2\n"
    assert 1 == sum("both change lock, new; the workspace has" in line for line in shown), shown

"""S17: The manual steps work with a real Docker Compose."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from subprocess import CompletedProcess

import pytest

from ..conftest import commit, git, init_repo, scripts, write
from .compose_project import Project
from .test_projection import fingerprint

SETUP = """\
set -eu
echo "setup says hello from $PWD"
shopt -q login_shell && echo "login shell"
mkdir -p node_modules && echo made-by-setup >node_modules/state
node --version >/root/node
echo tampered >/opt/codex/workspace_agent.py
"""

RESUME = """\
set -eu
echo "resume says hello"
echo "state: $(cat node_modules/state), node: $(cat /root/node)"
echo "files: $(ls -A | tr '\\n' ' ')"
echo "head: $(git rev-parse HEAD), branch: $(git branch --show-current)"
"""

# What a workspace is asked about itself, one answer a line.
PROBE = """\
say() { echo "@$1: $(echo $2)"; }
say files "$(ls -A)"
say status "$(git status --porcelain)"
say tracked "$(cat tracked)"
say branches "$(git branch --all --format='%(refname)')"
say remotes "$(git remote)"
say config "$(git config --list | grep -c SECRET)"
say stash "$(git stash list)"
say login "$(shopt -q login_shell && echo yes)"
say mounts "$(grep -c @REPO@ /proc/self/mountinfo)"
say kept "$(find / -xdev \\( -path /proc -o -path /sys \\) -prune -o -name hooked -print)"
say https "$(curl -sS -o /dev/null -w '%{http_code}' @INDEX@/simple/pip/)"
say store "$(env -u SSL_CERT_FILE curl -sS -o /dev/null -w '%{http_code}' @INDEX@/simple/pip/)"
say pip "$(pip download --quiet --no-deps --dest /tmp/got six 2>&1; ls /tmp/got | cut -c1-3)"
say http "$(curl -sS -o /dev/null -w '%{http_code}' http://example.com/)"
say websocket "$(curl -sS -o /dev/null -w '%{http_code}' -H 'Connection: Upgrade' \\
  -H 'Upgrade: websocket' -H 'Sec-WebSocket-Key: AA==' @INDEX@/)"
say direct "$(curl -sS --noproxy '*' --max-time 9 https://@OUTSIDE@/ 2>&1; echo "code $?")"
say bound "$(curl -sS --noproxy '*' --interface eth0 --max-time 9 https://@OUTSIDE@/ 2>&1; echo $?)"
say dns "$(RES_OPTIONS='timeout:30 attempts:5' timeout 60 python3 -c '@LOOKUP@')"
say engine "$(python3 -c '@ASK@')"
say routes "$(grep -c . /proc/net/route) $(cut -f8 /proc/net/route | tail -1)"
say bounding "$(grep CapBnd /proc/self/status)"
say certificates "$(ls -A /run/codex-certificate)"
say same "$(cmp /run/codex-certificate/ca.crt "$CODEX_PROXY_CERT" && echo yes)"
say keys "$(grep -l 'PRIVATE KEY' /run/codex-*/* "$CODEX_PROXY_CERT" /opt/codex-compose/*.json)"
say ours "$(touch /opt/codex-compose/x 2>&1)"
say node "$(node --version)"
say environment "$(env | grep -c ^HOST_)"
"""
LOOKUP = """\
import socket
try: socket.getaddrinfo("outside.example", 443)
except OSError as error: print(type(error).__name__)
"""
ASK = """\
import socket
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); s.settimeout(5)
q = bytes([18, 52, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0, 7]) + b"outside" + bytes([7])
try: s.sendto(q + b"example" + bytes([0, 0, 1, 0, 1]), ("127.0.0.11", 53)); print(s.recv(512))
except OSError as error: print(error)
"""


@dataclass
class Chain:
    """
    The results of the steps, in their order.
    """

    project: Project
    repo: Path
    before: dict[str, str]
    steps: dict[str, CompletedProcess[str]] = field(default_factory=dict)
    answers: dict[str, str] = field(default_factory=dict)
    terminal: tuple[int, str] = (-1, "")
    key_found: str = ""
    tampering: str = ""
    left: list[str] = field(default_factory=list)


@pytest.fixture(scope="module")
def image(codex_engine, codex_image) -> str:
    """
    Return the engine's URL. The workspace image exists, so Compose builds from its layers.
    """
    return str(codex_engine.url)


@pytest.fixture(scope="module")
def chain(image: str, pip_index: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Chain]:
    """
    Run every step of the seed's documentation, in order.
    """
    where = tmp_path_factory.mktemp("compose")
    repo = _example(where / "example")
    project = Project(repo, where, image)
    found = Chain(project, repo, fingerprint(repo / ".git"))
    try:
        _take_the_steps(found, pip_index)
        yield found
    finally:
        project.close()


def _example(repo: Path) -> Path:
    """
    Create a repository with everything that must not be projected.
    """
    ignored = {".gitignore": "node_modules/\nignored\n"}
    init_repo(repo, {**ignored, "tracked": "committed\n", "gone": "x", **scripts(SETUP, RESUME)})
    git(repo, "branch", "other")
    git(repo, "remote", "add", "origin", "https://user:SECRET@example.org/x.git")
    write(repo, {"tracked": "stashed\n", ".git/hooks/hooked": "#!/bin/sh\n"})
    git(repo, "stash")
    write(repo, {"tracked": "changed\n", "ignored": "x", "untracked": "x", "staged": "x"})
    git(repo, "add", "staged")
    return repo


def _take_the_steps(found: Chain, index: str) -> None:
    run, steps = found.project, found.steps
    probe = PROBE
    for name, value in {
        "REPO": f"{found.repo.name}/.git",
        "INDEX": index,
        "OUTSIDE": socket.gethostbyname(index.removeprefix("https://")),
        "LOOKUP": LOOKUP,
        "ASK": ASK,
    }.items():
        probe = probe.replace(f"@{name}@", value)
    steps["build"] = run("build", "workspace")
    steps["shell"] = run("run", "--rm", "-T", "workspace", stdin=probe)
    for line in steps["shell"].stdout.splitlines():
        name, _, answer = line.removeprefix("@").partition(": ")
        found.answers[name] = answer
    found.terminal = run.in_terminal(
        "run", "--rm", "workspace", typed="shopt login_shell; tty; pwd; exit 3\n"
    )
    found.tampering = run(
        *("run", "--rm", "-T", "--entrypoint", "touch", "projection", "/repository/.git/x")
    ).stderr
    steps["setup"] = run("run", "-T", "--name", run.container, "workspace", "run-setup")
    key = run("exec", "-T", "proxy", "cat", "/var/lib/codex-proxy/ca.pem").stdout.splitlines()
    run.docker("commit", run.container, run.cached)
    run.docker("rm", run.container)
    found.key_found = _look_for(run, key[1])
    assert fingerprint(found.repo / ".git") == found.before
    git(found.repo, "rm", "--quiet", "gone")
    git(found.repo, "commit", "--quiet", "--message", "later", "--", "gone", "staged")
    steps["resume"] = run("run", "--rm", "-T", "workspace-cache", "run-setup-from-cache")
    steps["logs"] = run("logs", "proxy")
    steps["down"] = run("down", "--remove-orphans")
    label = f"label=com.docker.compose.project={run.name}"
    found.left = run.docker("ps", "--all", "--quiet", "--filter", label).split()
    found.left += run.docker("network", "ls", "--quiet", "--filter", label).split()


def _look_for(run: Project, secret: str) -> str:
    """
    Return the files of the cached workspace that contain a line of the key.
    """
    assert len(secret) == 64
    script = (
        f"echo {secret} >/tmp/control; cd /; grep -rlF {secret} "
        "etc home opt root run tmp usr/local usr/share var workspace 2>/dev/null"
    )
    return run("run", "--rm", "-T", "workspace-cache", "bash", "-c", script).stdout


@pytest.mark.promise("S1", "S8", "S17")
def test_the_steps_succeed_in_order(chain):
    """
    S1, S8, S17: Each step succeeds, and shows the output of its script.
    """
    for name, done in chain.steps.items():
        assert done.returncode == 0, (name, done.stdout[-2000:], done.stderr[-2000:])
    assert "setup says hello from /workspace/example" in chain.steps["setup"].stdout
    assert "login shell" in chain.steps["setup"].stdout
    assert "resume says hello" in chain.steps["resume"].stdout
    assert chain.left == []


@pytest.mark.promise("S9", "S17")
def test_without_a_command_there_is_a_login_shell(chain):
    """
    S9, S17: The default command is a login shell on a terminal, in the project directory; its
    exit code is kept.
    """
    code, shown = chain.terminal

    assert code == 3, shown
    assert "login_shell" in shown
    assert "on\r\n/dev/pts/0\r\n/workspace/example\r\n" in shown
    assert chain.answers["login"] == "yes"


@pytest.mark.promise("S2", "S17")
def test_only_what_is_committed_is_there(chain):
    """
    S2: The workspace has no untracked file, uncommitted change or ignored file.
    """
    assert chain.answers["files"] == ".git .gitignore codex-workspace-scripts gone tracked"
    assert chain.answers["tracked"] == "committed"
    assert chain.answers["status"] == ""


@pytest.mark.promise("S3", "S17")
def test_the_repository_is_not_mounted(chain):
    """
    S3: The repository is not mounted or changed, and its configuration, hooks, stashes and
    branches are not in the workspace.
    """
    # The steps compared the fingerprints.
    assert "Read-only file system" in chain.tampering
    assert not (chain.repo / ".git/x").exists()
    found = {name: chain.answers[name] for name in ("mounts", "config", "kept", "stash", "remotes")}
    assert found == {"mounts": "0", "config": "0", "kept": "", "stash": "", "remotes": ""}
    assert chain.answers["branches"] == "refs/heads/work"


@pytest.mark.promise("S10", "S11", "S17")
def test_only_https_leaves(chain):
    """
    S10, S11: HTTPS passes the proxy, plain HTTP and WebSocket get 403, and all requests are in
    the log.
    """
    assert {name: chain.answers[name] for name in ("https", "store", "pip")} == {
        "https": "200",
        "store": "200",
        "pip": "six",
    }
    assert {chain.answers["http"], chain.answers["websocket"]} == {"403"}
    log = chain.steps["logs"].stdout
    assert "blocked (plain-http) GET http://example.com/ 403" in log
    assert "blocked (websocket) GET https://" in log
    assert "allowed GET https://" in log
    assert "SECRET" not in log


@pytest.mark.promise("S12", "S17")
def test_there_is_no_way_around_the_proxy(chain):
    """
    S12: A workspace has no other route, resolves no outside name, and cannot change its network;
    the engine's resolver does not answer.
    """
    answers = chain.answers

    assert "code 7" in answers["direct"]
    assert "Could not connect" in answers["direct"]
    assert answers["bound"].endswith("7")
    assert answers["dns"] == "gaierror"
    assert "No route to host" in answers["engine"]
    assert answers["routes"] == "2 FFFFFFFF"
    bounding = int(answers["bounding"].split()[1], 16)
    assert not bounding & (1 << 12 | 1 << 13)  # NET_ADMIN, NET_RAW
    assert "blocked (direct-dns) DNS dns://outside.example" in chain.steps["logs"].stdout


@pytest.mark.promise("S14", "S17")
def test_the_key_is_in_the_proxy_alone(chain):
    """
    S14: A workspace has the certificate at Codex's path, and no part of the key.
    """
    assert chain.answers["certificates"] == "ca.crt"
    assert chain.answers["same"] == "yes"
    assert chain.answers["keys"] == ""
    assert chain.key_found == "tmp/control\n"


@pytest.mark.promise("S6", "S7", "S17")
def test_what_setup_made_survives(chain):
    """
    S6, S7: Ignored files and runtimes are kept, and the project is at the current HEAD.
    """
    said = chain.steps["resume"].stdout

    assert "state: made-by-setup, node: v20." in said
    assert "files: .git .gitignore codex-workspace-scripts node_modules staged tracked" in said
    assert f"head: {git(chain.repo, 'rev-parse', 'HEAD')}, branch: work" in said


@pytest.mark.promise("S17")
def test_the_own_programs_cannot_be_changed(chain):
    """
    S17: The agent works although setup replaced it in its image, and the image does not have the
    entry point.
    """
    assert "Read-only file system" in chain.answers["ours"]
    assert chain.answers["environment"] == "0"
    assert chain.steps["resume"].returncode == 0


@pytest.fixture
def start(chain: Chain, image: str, tmp_path: Path) -> Iterator[Callable[[Path], Project]]:
    """
    Return a function that starts more projects with the image of the first one.
    """
    made: list[Project] = []

    def make(repo: Path) -> Project:
        made.append(Project(repo, tmp_path, image, chain.project.image))
        return made[-1]

    yield make
    for project in made:
        project.close()


@pytest.mark.promise("S5", "S8", "S17", "S19")
def test_a_failing_setup_keeps_its_exit_code(start, make_repo):
    """
    S5, S8, S19: The exit code is kept, the message says what to do, and a missing script is an
    error.
    """
    repo = make_repo(**scripts("echo about to fail\nexit 7\n"))
    run = start(repo)

    failed = run("run", "--rm", "-T", "workspace", "run-setup")
    assert failed.returncode == 7, failed.stderr
    assert "about to fail" in failed.stdout
    assert "setup-script.sh exited with 7: do not commit this container" in failed.stderr

    git(repo, "rm", "--quiet", "codex-workspace-scripts/setup-script.sh")
    commit(repo, {"codex-workspace-scripts/other": "x"})
    missing = run("run", "--rm", "-T", "workspace", "run-setup")
    assert missing.returncode == 1
    assert "not the setup-script.sh that this folder must have" in missing.stderr


@pytest.mark.promise("S15", "S17")
def test_variables_select_the_runtime(start, make_repo):
    """
    S15: `-e` selects the version of a runtime; a missing version is an error.
    """
    run = start(make_repo())

    def node(version: str) -> CompletedProcess[str]:
        chosen = f"CODEX_ENV_NODE_VERSION={version}"
        return run("run", "--rm", "-T", "-e", chosen, "workspace", "node", "--version")

    assert node("22").stdout.startswith("v22."), node("22").stderr
    missing = node("99")
    assert missing.returncode == 1
    assert "CODEX_ENV_NODE_VERSION=99: not in this image" in missing.stderr
    exported = run(
        *("run", "--rm", "-T", "workspace", "sh", "-c", "node --version; exit 5"),
        env={"CODEX_ENV_NODE_VERSION": "18"},
    )
    assert exported.returncode == 5
    assert exported.stdout.startswith("v18.")


@pytest.mark.promise("S17", "S19")
def test_the_repository_has_to_be_named(chain, tmp_path):
    """
    S19: HOST_REPO that is not set or not a repository is an error, and nothing is created there.
    """
    unset = chain.project("run", "--rm", "-T", "workspace", "true", env={"HOST_REPO": None})
    wrong = chain.project(
        "run", "--rm", "-T", "workspace", "true", env={"HOST_REPO": str(tmp_path)}
    )

    assert unset.returncode != 0
    assert "export HOST_REPO (and HOST_REPO_NAME) before docker compose run" in unset.stderr
    assert wrong.returncode != 0
    if chain.project.compose == ["docker-compose"]:
        # Newer ones make what is not there, whatever the file says.
        assert list(tmp_path.iterdir()) == []


@pytest.mark.promise("S17", "S19")
def test_another_repository_is_never_mistaken(start, make_repo):
    """
    S19: If HOST_REPO changes while services run, the new repository is used, or the message says
    what to do.
    """
    run = start(make_repo("one", mine="1"))
    other = make_repo("two", other="2")
    listed = ("run", "--rm", "-T", "workspace", "ls")

    assert "mine" in run(*listed).stdout.split()
    changed = run(*listed, env={"HOST_REPO": str(other), "HOST_REPO_NAME": "two"})

    assert "mine" not in changed.stdout.split()
    if changed.returncode:
        assert f"HOST_REPO is now {other}: run `docker compose down`" in changed.stderr
    else:
        assert "other" in changed.stdout.split()


@pytest.mark.promise("S4", "S17")
def test_worktrees_and_submodules(start, make_repo, tmp_path):
    """
    S4: A linked worktree is projected with nested submodules, or without submodules on request.
    """
    inner, middle, outer = make_repo("inner", deep="1"), make_repo("middle"), make_repo("outer")
    allow = ("-c", "protocol.file.allow=always")
    for parent, child in ((middle, inner), (outer, middle)):
        git(parent, *allow, "submodule", "add", "--quiet", str(child), "sub")
        commit(parent, {})
    git(outer, *allow, "submodule", "update", "--quiet", "--init", "--recursive")
    git(outer, "worktree", "add", "--quiet", "-b", "linked", str(tmp_path / "linked"))
    commit(tmp_path / "linked", {"in-worktree": "1"})
    run = start(tmp_path / "linked")
    listed = ("run", "--rm", "-T", "workspace", "sh", "-c", "pwd; ls . sub sub/sub")

    whole = run(*listed)
    without = run(*listed, env={"CODEX_SKIP_SUBMODULES": "1"})

    assert whole.returncode == 0, whole.stderr
    assert whole.stdout.split()[0] == "/workspace/linked"
    assert {"in-worktree", "deep"} <= set(whole.stdout.split())
    assert "deep" not in without.stdout.split()

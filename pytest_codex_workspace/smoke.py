"""The smoke test (S18): an example repository, and what must hold in its workspaces."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from .codex import CERTIFICATE, IMAGE, REGISTRIES, workspace_environment
from .errors import CodexWorkspaceError, SetupError
from .git import isolated_environment
from .network.request import Request
from .resources import resource_dir
from .session import Session
from .workspace import Workspace

__all__ = ["Outcome", "run_smoke"]

_NAME = "smoke"
_STRAY = {
    "untracked.txt": "never added\n",
    "state/ignored": "ignored by .gitignore\n",
    "hello.py": "raise SystemExit('a change that was not committed')\n",
}
_AUTHOR = (
    *("-c", "user.name=smoke", "-c", "user.email=smoke@example.com"),
    *("-c", "commit.gpgsign=false", "-c", "init.defaultBranch=main"),
)
_DIRECT = """
import socket, sys, time
for host, port in [("192.0.2.1", 443), ("169.254.169.254", 80), (sys.argv[1], 80)]:
    began = time.monotonic()
    try:
        socket.create_connection((host, port), 5).close()
        print("connected to", host)
    except OSError as error:
        print("no way to", host, "unreachable" in str(error) and time.monotonic() - began < 1)
"""
_KEY = "grep -rlsE 'BEGIN (RSA )?PRIVATE KEY' /etc/ssl /usr/local/share /opt/codex || true"


@dataclass(frozen=True, slots=True)
class Outcome:
    """
    One thing that had to hold: the promise, what it says, whether it held,
    and what was seen.
    """

    promise: str
    text: str
    held: bool
    seen: str


class _Broken(Exception):
    """
    What a check saw instead of what it wanted.
    """


@dataclass
class _Bench:
    session: Session
    repo: Path
    head: str
    before: dict[str, bytes]
    shown: list[str]

    def workspace(self, state: str) -> Workspace:
        order = self.session.order(self.session.repository(self.repo), {})
        return self.session.workspace(order, state)  # type: ignore[arg-type]

    def registry(self, ws: Workspace) -> str:
        """
        The host that the workspace's own pip asks.
        """
        hosts = json.loads(ws.path(REGISTRIES).read_text())["python"]
        return str(hosts[0])


def run_smoke(session: Session, directory: Path, shown: list[str]) -> Iterator[Outcome]:
    """
    Bring the example up, and try what must hold.

    Args:
        session: with the options of the run.
        directory: an empty one, for the repository.
        shown: the lines that the session's output has shown; they grow meanwhile.

    Yields:
        Each outcome as soon as it is known.

    Raises:
        CodexWorkspaceError: the example does not come up at all.
    """
    repo, head = _make_repository(directory)
    bench = _Bench(session, repo, head, _contents(repo), shown)
    clean = bench.workspace("miss")
    cached = bench.workspace("hit")
    for promise, text, check in _checks(bench, clean, cached):
        try:
            yield Outcome(promise, text, held=True, seen=check())
        except _Broken as error:
            yield Outcome(promise, text, held=False, seen=str(error))
        except CodexWorkspaceError as error:
            yield Outcome(promise, text, held=False, seen=str(error).splitlines()[0])
    session.stop(clean)
    session.stop(cached)


_Check = tuple[str, str, Callable[[], str]]


def _checks(bench: _Bench, clean: Workspace, cached: Workspace) -> list[_Check]:
    return [
        ("S1", "the workspace image is there", lambda: _image(bench)),
        ("S2", "only committed files are in the workspace", lambda: _committed(clean)),
        ("S3", "nothing done inside reaches the repository", lambda: _untouched(bench, clean)),
        ("S5", "setup-script.sh ran in a clean workspace", lambda: _set_up(clean)),
        ("S6", "setup-from-cache-script.sh ran on what it left", lambda: _resumed(bench, cached)),
        ("S7", "the setup is kept as an image", lambda: _kept(bench, cached)),
        ("S8", "a failing script keeps its exit code and its log", lambda: _failing(bench)),
        ("S10", "HTTPS passes through the proxy", lambda: _https(bench, clean)),
        ("S10", "plain HTTP is refused with 403 and a reason", lambda: _http(bench, clean)),
        ("S11", "WebSocket is refused", lambda: _websocket(bench, clean)),
        ("S12", "a connection around the proxy fails at once", lambda: _direct(clean)),
        ("S12", "a look-up of an outside name is refused and logged", lambda: _look_up(clean)),
        ("S13", "the variables are Codex's", lambda: _variables(clean)),
        ("S14", "the proxy's certificate is trusted, its key is not there", lambda: _trust(clean)),
        ("S15", "CODEX_ENV_NODE_VERSION selects the runtime", lambda: _runtime(bench)),
        ("S18", "what setup made is there in the cached run", lambda: _state(cached)),
    ]


def _make_repository(directory: Path) -> tuple[Path, str]:
    repo = directory / _NAME
    shutil.copytree(resource_dir("examples") / "smoke", repo)
    # The user's git configuration has no say, and no part in it.
    env = {**isolated_environment(os.environ, directory), "GIT_ALLOW_PROTOCOL": "none"}

    def git(*words: str) -> str:
        return subprocess.run(
            ["git", *_AUTHOR, "-C", str(repo), *words],
            env=env,
            check=True,
            capture_output=True,
            text=True,
        ).stdout.strip()

    git("init", "--quiet")
    git("add", "--all")
    git("commit", "--quiet", "--message", "The example")
    head = git("rev-parse", "HEAD")
    for name, text in _STRAY.items():
        (repo / name).parent.mkdir(exist_ok=True)
        (repo / name).write_text(text, encoding="utf-8")
    return repo, head


def _contents(repo: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(repo)): path.read_bytes()
        for path in sorted(repo.rglob("*"))
        if path.is_file()
    }


def _want(condition: object, seen: str) -> None:
    if not condition:
        raise _Broken(seen.strip() or "nothing was printed")


def _image(bench: _Bench) -> str:
    tag = f"{IMAGE}:latest"
    image = bench.session.engine.image(tag)
    _want(image, f"there is no {tag}")
    return tag


def _committed(ws: Workspace) -> str:
    there = [name for name in ("untracked.txt", "state/ignored") if ws.path(name).exists()]
    _want(not there, f"{there} arrived")
    status = ws.exec("git status --porcelain", check=True).stdout
    _want(not status, status)
    _want("was not committed" not in ws.path("hello.py").read_text(), "an uncommitted change")
    return f"{len(ws.exec('git ls-files', check=True).stdout.splitlines())} files at HEAD"


def _untouched(bench: _Bench, ws: Workspace) -> str:
    author = "git -c user.name=me -c user.email=me@example.com"
    ws.exec(f"echo 1 >hello.py && {author} commit -qam inside && rm -rf .git/refs", check=True)
    now = _contents(bench.repo)
    changed = sorted({*bench.before.items()} ^ {*now.items()})
    _want(not changed, f"{changed[0][0] if changed else ''} changed")
    return f"{len(now)} files are as they were, .git included"


def _set_up(ws: Workspace) -> str:
    _want(ws.setup.cache == "miss" and ws.setup.exit_code == 0, repr(ws.setup))
    _want(not ws.path("state/resumed-at").exists(), "setup-from-cache-script.sh ran, too")
    _want("setup: in /workspace/smoke" in ws.setup.output, ws.setup.output)
    return f"exit code 0 after {ws.setup.duration:.1f} s"


def _resumed(bench: _Bench, ws: Workspace) -> str:
    _want("resume: found made-by-setup" in ws.setup.output, ws.setup.output)
    at = ws.path("state/resumed-at").read_text().strip()
    _want(at == bench.head, f"it ran at {at}")
    return f"at {at[:12]}"


def _kept(bench: _Bench, ws: Workspace) -> str:
    keyed = bench.session.engine.image(f"{IMAGE}:setup-{ws.setup.key}")
    _want(keyed, "there is none for its key")
    _want(ws.setup.cache == "hit", f"the cached run was a {ws.setup.cache}")
    return f"{IMAGE}:setup-{ws.setup.key}"


def _failing(bench: _Bench) -> str:
    script = bench.repo.parent / "failing"
    shutil.copytree(bench.repo, script)
    (script / "codex-workspace-scripts/setup-script.sh").write_text("echo gives up; exit 7\n")
    env = isolated_environment(os.environ, bench.repo.parent)
    subprocess.run(
        ["git", *_AUTHOR, "-C", str(script), "commit", "--quiet", "--all", "--message", "Break it"],
        env=env,
        check=True,
    )
    failing = bench.session.order(bench.session.repository(script), {})
    try:
        bench.session.stop(bench.session.workspace(failing, "ready"))
    except SetupError as error:
        _want(error.exit_code == 7, f"exit code {error.exit_code}")
        _want(error.log_path and "gives up" in error.log_path.read_text(), "its log is lost")
        quiet = bench.session.config.output == "quiet"
        told = quiet or any("gives up" in line for line in bench.shown)
        _want(told, "its output was not shown")
        return f"exit code 7, {error.log_path}"
    raise _Broken("it counted as a success")


def _https(bench: _Bench, ws: Workspace) -> str:
    host = bench.registry(ws)
    ws.exec(["curl", "-sS", "-o", "/dev/null", f"https://{host}/"])
    found = ws.network.requests(host=host, scheme="https", verdict="allowed", phase="test")
    _want(found, _seen(ws.network.requests(host=host, phase="test")))
    return f"status {found[0].status} from {host}"


def _http(bench: _Bench, ws: Workspace) -> str:
    host = bench.registry(ws)
    said = ws.exec(["curl", "-sS", "-i", f"http://{host}/"]).stdout
    _want(" 403 " in said and "x-codex-workspace-reason: plain-http" in said.lower(), said[:200])
    ws.network.assert_blocked(reason="plain-http", host=host)
    return "403, plain-http"


def _websocket(bench: _Bench, ws: Workspace) -> str:
    host = bench.registry(ws)
    upgrade = "-H 'Connection: Upgrade' -H 'Upgrade: websocket' -H 'Sec-WebSocket-Version: 13'"
    key = "-H 'Sec-WebSocket-Key: MDEyMzQ1Njc4OWFiY2RlZg=='"
    said = ws.exec(f"curl -sS -i --http1.1 {upgrade} {key} https://{host}/").stdout
    _want("x-codex-workspace-reason: websocket" in said.lower(), said[:200])
    ws.network.assert_blocked(reason="websocket", host=host)
    return "403, websocket"


def _direct(ws: Workspace) -> str:
    gateway = ws.exec("hostname -I", check=True).stdout.split()[0].rsplit(".", 1)[0] + ".1"
    said = ws.exec(["python3", "-c", _DIRECT, gateway], timeout=60).stdout
    _want(said.count("True") == 3, said.replace("\n", "; "))
    return "outside, metadata address and gateway are unreachable"


def _look_up(ws: Workspace) -> str:
    ws.exec("getent hosts outside.example")
    ws.network.assert_blocked(reason="direct-dns", host="outside.example")
    return "REFUSED, direct-dns"


def _variables(ws: Workspace) -> str:
    said = ws.exec("env -0", check=True).stdout_bytes.split(b"\0")
    there = dict(one.decode().partition("=")[::2] for one in said if one)
    wrong = [name for name, value in workspace_environment({}).items() if there.get(name) != value]
    _want(not wrong, f"{', '.join(wrong)} differ")
    return f"{len(workspace_environment({}))} variables"


def _trust(ws: Workspace) -> str:
    own = ws.path(CERTIFICATE).read_text().strip()
    bundle = ws.path("/etc/ssl/certs/ca-certificates.crt")
    _want(not bundle.exists() or own in bundle.read_text(), "it is not in the system's store")
    keys = ws.exec(_KEY, timeout=120).stdout.split()
    _want(not keys, f"a private key in {keys[:3]}")
    return CERTIFICATE


def _runtime(bench: _Bench) -> str:
    order = bench.session.order(
        bench.session.repository(bench.repo), {"CODEX_ENV_NODE_VERSION": "22"}
    )
    ws = bench.session.workspace(order, "clean")
    said = ws.exec("node --version").stdout.strip()
    bench.session.stop(ws)
    _want(said.startswith("v22."), said)
    return f"node {said}"


def _state(ws: Workspace) -> str:
    said = ws.exec(".venv/bin/python hello.py").stdout
    _want(said == "hello from six\n", said)
    return said.strip()


def _seen(found: list[Request]) -> str:
    return "; ".join(map(str, found)) or "no request arrived at the proxy"

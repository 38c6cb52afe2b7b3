"""The smoke test (S18): checks in workspaces of an example repository."""

from __future__ import annotations

import json
import os
import shlex
import shutil
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from .codex import CERTIFICATE, IMAGE, REGISTRIES, SETUP, workspace_environment
from .engine import labels
from .errors import CodexWorkspaceError, SetupError
from .host.resources import resource_dir
from .network.rules.request import Request
from .projection.git import isolated_environment
from .session import Session
from .text.phrases import counted
from .workspace.handle import Workspace

__all__ = ["Outcome", "find_keys", "run_smoke"]

_NAME = "smoke"
_LABEL = "codex-workspace smoke"
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
for host, port in [("192.0.2.1", 443), *((host, 80) for host in sys.argv[1:])]:
    began = time.monotonic()
    try:
        socket.create_connection((host, port), 5).close()
        print("connected to", host)
    except OSError as error:
        print("no way to", host, "unreachable" in str(error) and time.monotonic() - began < 1)
"""
_MAY_HAVE_KEYS = ("/etc/ssl", "/usr/local/share", "/opt/codex")


@dataclass(frozen=True, slots=True)
class Outcome:
    """
    The result of one check.

    Attributes:
        promise: the promise that is checked.
        text: the promise in words.
        ok: whether the check passed.
        seen: what the check found.
    """

    promise: str
    text: str
    ok: bool
    seen: str


class _Failed(Exception):
    """
    A check failed. The text says what the check found.
    """


@dataclass
class _Context:
    session: Session
    repo: Path
    head: str
    before: dict[str, bytes]
    shown: list[str]

    def workspace(self, state: str) -> Workspace:
        spec = self.session.spec(self.session.repository(self.repo), {})
        return self.session.workspace(spec, state, label=_LABEL)  # type: ignore[arg-type]

    def registry(self, ws: Workspace) -> str:
        """
        Return the host of the package index that pip uses in the workspace.
        """
        hosts = json.loads(ws.path(REGISTRIES).read_text())["python"]
        return str(hosts[0])


def run_smoke(session: Session, directory: Path, shown: list[str]) -> Iterator[Outcome]:
    """
    Set up the example repository, and run all checks.

    Args:
        session: a session with the options of the run.
        directory: an empty directory for the repository.
        shown: the lines that the session has printed so far; the list grows.

    Yields:
        The outcome of each check, as soon as it is known.

    Raises:
        CodexWorkspaceError: the example repository cannot be set up.
    """
    repo, head = _make_repository(directory)
    context = _Context(session, repo, head, _contents(repo), shown)
    clean = context.workspace("miss")
    cached = context.workspace("hit")
    for promise, text, check in _checks(context, clean, cached):
        try:
            yield Outcome(promise, text, ok=True, seen=check())
        except _Failed as error:
            yield Outcome(promise, text, ok=False, seen=str(error))
        except (AssertionError, CodexWorkspaceError) as error:
            yield Outcome(promise, text, ok=False, seen=str(error).splitlines()[0])
    session.stop(clean)
    session.stop(cached)


_Check = tuple[str, str, Callable[[], str]]


def _checks(context: _Context, clean: Workspace, cached: Workspace) -> list[_Check]:
    return [
        ("S1", "the workspace image exists", lambda: _image(context)),
        ("S2", "only committed files are in the workspace", lambda: _committed(clean)),
        ("S3", "nothing done inside reaches the repository", lambda: _untouched(context, clean)),
        ("S5", "setup-script.sh ran in a clean workspace", lambda: _set_up(clean)),
        ("S6", "setup-from-cache-script.sh ran on its result", lambda: _resumed(context, cached)),
        ("S7", "the setup is saved as an image", lambda: _kept(context, cached)),
        ("S8", "a failing script keeps its exit code and its log", lambda: _failing(context)),
        ("S10", "HTTPS passes through the proxy", lambda: _https(context, clean)),
        ("S10", "plain HTTP is refused with 403 and a reason", lambda: _http(context, clean)),
        ("S11", "WebSocket is refused", lambda: _websocket(context, clean)),
        ("S12", "a connection around the proxy fails at once", lambda: _direct(context, clean)),
        ("S12", "a DNS look-up of an outside name is refused and logged", lambda: _look_up(clean)),
        ("S13", "the environment variables are those of Codex", lambda: _variables(clean)),
        ("S14", "the proxy's certificate is trusted, and its key is absent", lambda: _trust(clean)),
        ("S15", "CODEX_ENV_NODE_VERSION selects the runtime", lambda: _runtime(context)),
        ("S18", "the results of the setup are in the cached run", lambda: _state(cached)),
    ]


def _make_repository(directory: Path) -> tuple[Path, str]:
    repo = directory / _NAME
    shutil.copytree(resource_dir("examples") / "smoke", repo)
    # The user's git configuration must neither change the repository nor be part of it.
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


def _require(condition: object, seen: str) -> None:
    if not condition:
        raise _Failed(seen.strip() or "no output")


def _image(context: _Context) -> str:
    tag = f"{IMAGE}:latest"
    image = context.session.engine.image(tag)
    _require(image, f"no image {tag}")
    return tag


def _committed(ws: Workspace) -> str:
    there = [name for name in ("untracked.txt", "state/ignored") if ws.path(name).exists()]
    _require(not there, f"{there} are in the workspace")
    status = ws.exec("git status --porcelain", check=True).stdout
    _require(not status, status)
    _require(
        "was not committed" not in ws.path("hello.py").read_text(),
        "an uncommitted change is in the workspace",
    )
    files = ws.exec("git ls-files", check=True).stdout.splitlines()
    return f"{counted(len(files), 'file')} at HEAD"


def _untouched(context: _Context, ws: Workspace) -> str:
    author = "git -c user.name=me -c user.email=me@example.com"
    ws.exec(f"echo 1 >hello.py && {author} commit -qam inside && rm -rf .git/refs", check=True)
    now = _contents(context.repo)
    changed = sorted({*context.before.items()} ^ {*now.items()})
    _require(not changed, f"{changed[0][0] if changed else ''} changed")
    return f"{counted(len(now), 'file')} unchanged, including .git"


def _set_up(ws: Workspace) -> str:
    _require(ws.setup.cache == "miss" and ws.setup.exit_code == 0, repr(ws.setup))
    _require(not ws.path("state/resumed-at").exists(), "setup-from-cache-script.sh ran too")
    _require("setup: in /workspace/smoke" in ws.setup.output, ws.setup.output)
    return f"exit code 0 after {ws.setup.duration:.1f} s"


def _resumed(context: _Context, ws: Workspace) -> str:
    _require("resume: found made-by-setup" in ws.setup.output, ws.setup.output)
    at = ws.path("state/resumed-at").read_text().strip()
    _require(at == context.head, f"it ran at {at}")
    return f"at {at[:12]}"


def _kept(context: _Context, ws: Workspace) -> str:
    keyed = context.session.engine.image(f"{IMAGE}:setup-{ws.setup.key}")
    _require(keyed, "no image for its key")
    _require(ws.setup.cache == "hit", f"the cached run was a {ws.setup.cache}")
    return f"{IMAGE}:setup-{ws.setup.key}"


def _failing(context: _Context) -> str:
    script = context.repo.parent / "failing"
    shutil.copytree(context.repo, script)
    (script / SETUP).write_text("echo gives up; exit 7\n")
    env = isolated_environment(os.environ, context.repo.parent)
    subprocess.run(
        ["git", *_AUTHOR, "-C", str(script), "commit", "--quiet", "--all", "--message", "Break it"],
        env=env,
        check=True,
    )
    failing = context.session.spec(context.session.repository(script), {})
    try:
        context.session.stop(context.session.workspace(failing, "ready", label=_LABEL))
    except SetupError as error:
        _require(error.exit_code == 7, f"exit code {error.exit_code}")
        _require(error.log_path and "gives up" in error.log_path.read_text(), "the log is missing")
        quiet = context.session.config.output == "quiet"
        printed = quiet or any("gives up" in line for line in context.shown)
        _require(printed, "its output was not printed")
        return f"exit code 7, {error.log_path}"
    raise _Failed("the failed script counted as a success")


def _https(context: _Context, ws: Workspace) -> str:
    host = context.registry(ws)
    ws.exec(["curl", "-sS", "-o", "/dev/null", f"https://{host}/"])
    found = ws.network.requests(host=host, scheme="https", verdict="allowed", phase="test")
    _require(found, _seen(ws.network.requests(host=host, phase="test")))
    return f"status {found[0].status} from {host}"


def _http(context: _Context, ws: Workspace) -> str:
    host = context.registry(ws)
    output = ws.exec(["curl", "-sS", "-i", f"http://{host}/"]).stdout
    refused = " 403 " in output and "x-codex-workspace-reason: plain-http" in output.lower()
    _require(refused, output[:200])
    ws.network.assert_blocked(reason="plain-http", host=host)
    return "403, plain-http"


def _websocket(context: _Context, ws: Workspace) -> str:
    host = context.registry(ws)
    upgrade = "-H 'Connection: Upgrade' -H 'Upgrade: websocket' -H 'Sec-WebSocket-Version: 13'"
    key = "-H 'Sec-WebSocket-Key: MDEyMzQ1Njc4OWFiY2RlZg=='"
    output = ws.exec(f"curl -sS -i --http1.1 {upgrade} {key} https://{host}/").stdout
    _require("x-codex-workspace-reason: websocket" in output.lower(), output[:200])
    ws.network.assert_blocked(reason="websocket", host=host)
    return "403, websocket"


def _direct(context: _Context, ws: Workspace) -> str:
    session = context.session
    (network,) = session.engine.networks({labels.SESSION: session.identity.id})
    hosts = ["169.254.169.254", *session.engine.host_addresses(network.id)]
    output = ws.exec(["python3", "-c", _DIRECT, *hosts], timeout=60).stdout
    _require(output.count("True") == 1 + len(hosts), output.replace("\n", "; "))
    if len(hosts) == 1:
        return "outside and metadata address are unreachable, and the host has no address"
    return "outside, metadata address and the host's address are unreachable"


def _look_up(ws: Workspace) -> str:
    ws.exec("getent hosts outside.example")
    ws.network.assert_blocked(reason="direct-dns", host="outside.example")
    return "REFUSED, direct-dns"


def _variables(ws: Workspace) -> str:
    output = ws.exec("env -0", check=True).stdout_bytes.split(b"\0")
    there = dict(one.decode().partition("=")[::2] for one in output if one)
    wrong = [name for name, value in workspace_environment({}).items() if there.get(name) != value]
    _require(not wrong, f"{', '.join(wrong)} differ")
    return f"{len(workspace_environment({}))} variables"


def _trust(ws: Workspace) -> str:
    own = ws.path(CERTIFICATE).read_text().strip()
    bundle = ws.path("/etc/ssl/certs/ca-certificates.crt")
    _require(
        not bundle.exists() or own in bundle.read_text(),
        "the certificate is not in the system's trust store",
    )
    keys = ws.exec(find_keys(*_MAY_HAVE_KEYS), timeout=120).stdout.split()
    _require(not keys, f"a private key in {keys[:3]}")
    return CERTIFICATE


def find_keys(*directories: str) -> str:
    """
    Return a command that lists the files with a private key of the proxy's kind.

    Args:
        directories: the directories to search.
    """
    # A line of its own: documentation has the words, too.
    pattern = r"^-----BEGIN (RSA )?PRIVATE KEY-----\s*$"
    return f"grep -rlsE {shlex.quote(pattern)} {shlex.join(directories)} || true"


def _runtime(context: _Context) -> str:
    spec = context.session.spec(
        context.session.repository(context.repo), {"CODEX_ENV_NODE_VERSION": "22"}
    )
    ws = context.session.workspace(spec, "clean", label=_LABEL)
    output = ws.exec("node --version").stdout.strip()
    context.session.stop(ws)
    _require(output.startswith("v22."), output)
    return f"node {output}"


def _state(ws: Workspace) -> str:
    output = ws.exec(".venv/bin/python hello.py").stdout
    _require(output == "hello from six\n", output)
    return output.strip()


def _seen(found: list[Request]) -> str:
    return "; ".join(map(str, found)) or "no request arrived at the proxy"

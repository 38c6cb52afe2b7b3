"""The first process of a workspace under Compose: prepares it, and then runs a command.

    python3 -I -S -u compose_entry.py [COMMAND ...]

`run-setup` and `run-setup-from-cache` run the scripts of the repository; without a
command, or with `bash`, a login shell starts; any other command runs unchanged. The
exit code is that of the command. Compose mounts this file, `workspace_agent.py` and
`entry.json` read-only, so that a workspace cannot change them. The program needs
Python 3.8.
"""

# Python 3.8 has neither zip(strict=) nor waitstatus_to_exitcode.

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tarfile
import time

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any, NoReturn

    from .workspace_agent import install_certificate
else:
    # An isolated interpreter does not import from the directory of the program.
    sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
    from workspace_agent import install_certificate

__all__ = ["Failure", "WorkspaceEntry", "main"]

_HOSTS = (
    "127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\n"
    "{proxy}\tproxy\n{own}\tworkspace {hostname}\n"
)
_RESOLVER = "nameserver {proxy}\noptions timeout:1 attempts:1\n"
_PORT = 8080
_OURS = ("HOST_REPO", "HOST_REPO_NAME", "CODEX_SKIP_SUBMODULES")
_YES = ("1", "true", "yes", "on")
_SELECT = "/opt/codex/select_runtimes.sh"
_STEP = 0.1


class Failure(Exception):
    """
    An error that is shown to the user without a traceback.
    """

    def __init__(self, message: str, code: int = 1) -> None:
        super().__init__(message)
        self.code = code


class WorkspaceEntry:
    """
    The steps that prepare a workspace.

    Args:
        settings: content of `entry.json`: `certificate` and `projection` (paths),
            `seconds` (to wait for the certificate), `runtimes` (Codex's default
            of each variable), `setup` and `resume` (paths of the scripts), `run`
            (a bash program that runs a script), and `root` (for tests).
    """

    def __init__(self, settings: dict[str, Any]) -> None:
        self.settings = settings
        self.root: str = settings.get("root", "")
        self.deadline = time.monotonic() + float(settings["seconds"])

    def wait_for(self, look: Callable[[], Any], message: str) -> Any:
        """
        Call *look* until it returns a true value, and return the value.

        Raises:
            Failure: the deadline has passed, with *message*.
        """
        while True:
            found = look()
            if found:
                return found
            if time.monotonic() > self.deadline:
                raise Failure(message.format(seconds=self.settings["seconds"]))
            time.sleep(_STEP)

    def prepare_network(self) -> str:
        """
        Check that the proxy is the only route, and write the name files.

        Returns:
            Address of the proxy.

        Raises:
            Failure: there are other routes, or none.
        """
        proxy = self.wait_for(
            self._only_neighbour,
            "this workspace is not isolated from the network, so its command does not run: start "
            "the workspace with `docker compose run`, without --no-deps or another network",
        )
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
            probe.connect((proxy, 9))
            own = probe.getsockname()[0]
        names = {"proxy": proxy, "own": own, "hostname": socket.gethostname()}
        # The files belong to the namespace; an earlier workspace may have changed them.
        for path, text in (("/etc/hosts", _HOSTS), ("/etc/resolv.conf", _RESOLVER)):
            _write(self.root + path, text.format(**names))
        return str(proxy)

    def _only_neighbour(self) -> str:
        """
        Return the destination of the only route, if that is a single machine.
        """
        with open(self.root + "/proc/net/route") as table:
            rows = [line.split() for line in table.readlines()[1:]]
        if len(rows) != 1 or rows[0][7] != "FFFFFFFF":
            return ""
        return socket.inet_ntoa(int(rows[0][1], 16).to_bytes(4, sys.byteorder))

    def trust_proxy(self, address: str) -> None:
        """
        Wait for the proxy, and add its certificate to the trust store.

        Raises:
            Failure: the certificate did not arrive in time, or the proxy does not
                respond at *address*.
        """
        certificate = self.wait_for(
            lambda: _read(self.settings["certificate"]),
            "the proxy's certificate did not arrive within {seconds} s: check with `docker "
            "compose ps` that the service `proxy` is running and healthy; `docker compose logs "
            "proxy` shows its errors",
        )
        install_certificate(self.root, certificate)
        self.wait_for(
            lambda: _listens(address),
            "the proxy did not respond within {seconds} s: check with `docker compose ps` that "
            "the service `proxy` is running and healthy; if its container was recreated, run "
            "`docker compose down` and try again",
        )

    def project(self) -> str:
        """
        Check out HEAD in the project directory; ignored files stay.

        Returns:
            Path of the project directory.

        Raises:
            Failure: there is no projection of the requested repository.
        """
        where = self.settings["projection"]
        facts = json.loads(_read(os.path.join(where, "projection.json")) or b"{}")
        if facts.get("error"):
            raise Failure(facts["error"])
        asked = os.environ.get("HOST_REPO", "")
        if facts.get("repo") != asked:
            raise Failure(
                f"the projected repository is {facts.get('repo', 'missing')}, but HOST_REPO is "
                f"now {asked or 'not set'}: run `docker compose down` and try again"
            )
        target = f"{self.root}/workspace/{facts['name']}"
        if _head(target) != facts["head"]:
            self._apply(os.path.join(where, "projection.tar"), target)
        return target

    def _apply(self, archive: str, target: str) -> None:
        scratch = self.root + "/codex-projection"
        shutil.rmtree(scratch, ignore_errors=True)
        with tarfile.open(archive) as tar:
            # The archive is trusted; the filter only avoids a warning of newer Pythons.
            kind = {"filter": "data"} if hasattr(tarfile, "data_filter") else {}
            tar.extractall(self.root or "/", **kind)  # type: ignore[arg-type]
        if os.environ.get("CODEX_SKIP_SUBMODULES", "").strip().lower() in _YES:
            plan = json.loads(_read(scratch + "/plan.json"))
            plan["submodules"] = []
            _write(scratch + "/plan.json", json.dumps(plan))
        command = [sys.executable, "-I", scratch + "/apply_projection.py", target]
        if subprocess.run(command, check=False, stdin=subprocess.DEVNULL).returncode:
            raise Failure(
                "HEAD could not be checked out; the image needs git and Python 3.8 or newer"
            )

    def select_runtimes(self, project: str) -> None:
        """
        Select the runtime versions that the environment requests, in the directory *project*.

        Nothing happens if these versions are already selected.

        Raises:
            Failure: the image does not have one of the versions.
        """
        if not os.path.exists(self.root + _SELECT):
            return
        defaults = self.settings["runtimes"]
        wanted = {name: os.environ.get(name, "") for name in defaults}
        # Select only once, so that changes by a setup script survive into later runs.
        record = self.root + "/opt/codex/selected-runtimes.json"
        if json.loads(_read(record) or b"null") == wanted:
            return
        defaulted = [name.split("_")[2] for name in defaults if wanted[name] == defaults[name]]
        done = subprocess.run(
            ["bash", "--login", "-c", "exec " + self.root + _SELECT],
            check=False,
            cwd=project,
            env={**os.environ, "CODEX_ENV_DEFAULTED": " ".join(defaulted)},
            stdin=subprocess.DEVNULL,
            stdout=2,
        )
        if done.returncode:
            raise Failure("the runtime versions could not be selected (see above)", done.returncode)
        _write(record, json.dumps(wanted))

    def command(self, words: list[str], project: str) -> list[str]:
        """
        Return the command that *words* stand for; empty if there is nothing to run.

        Raises:
            Failure: the setup script is required, but missing.
        """
        if words in ([], ["bash"]):
            return ["bash", "--login"]
        if words not in (["run-setup"], ["run-setup-from-cache"]):
            return words
        script = self.settings["setup" if words == ["run-setup"] else "resume"]
        directory = os.path.dirname(script)
        if os.path.isfile(os.path.join(project, script)):
            return ["bash", "-c", self.settings["run"], "bash", script]
        if words == ["run-setup"] and os.path.isdir(os.path.join(project, directory)):
            raise Failure(
                f"HEAD has {directory}/, but not the {os.path.basename(script)} that this "
                f"folder must have. Add and commit {script}, or remove the directory."
            )
        _print(f"HEAD has no {script}: there is nothing to run")
        return []


def run(words: list[str], project: str) -> int:
    """
    Run a command as the first process of a container.

    Ended child processes are reaped, and signals are forwarded to the command.

    Returns:
        Exit code of the command.
    """
    variables = {name: value for name, value in os.environ.items() if name not in _OURS}
    child = None
    early = []

    def forward(number: int, _: object) -> None:
        if child is None:
            early.append(number)
        else:
            os.kill(child.pid, number)

    # Before the start, so that no signal is lost.
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, forward)
    try:
        # A terminal sends its signals to the whole process group.
        signal.signal(signal.SIGINT, lambda *_: None)
        child = subprocess.Popen(words, cwd=project, env=variables)
    except FileNotFoundError:
        raise Failure(f"there is no command {words[0]!r} in this image", 127) from None
    except PermissionError as error:
        raise Failure(f"{words[0]!r} cannot be run: {error.strerror}", 126) from None
    for missed in early:
        os.kill(child.pid, missed)
    while True:
        pid, status = os.wait()
        if pid == child.pid:
            child.returncode = 0  # Prevents Popen from waiting again.
            return 128 + os.WTERMSIG(status) if os.WIFSIGNALED(status) else os.WEXITSTATUS(status)


def main(arguments: list[str]) -> int:
    """
    Prepare this workspace, run the command *arguments*, and return its exit code.
    """
    os.umask(0o022)
    beside = os.path.dirname(os.path.abspath(__file__))
    try:
        workspace = WorkspaceEntry(json.loads(_read(os.path.join(beside, "entry.json"))))
        workspace.trust_proxy(workspace.prepare_network())
        project = workspace.project()
        workspace.select_runtimes(project)
        words = workspace.command(arguments, project)
        if not words:
            return 0
        code = run(words, project)
    except Failure as failure:
        _print(str(failure))
        return failure.code
    except OSError as error:
        _print(f"the workspace could not be prepared: {error}")
        return 1
    if code and arguments in (["run-setup"], ["run-setup-from-cache"]):
        _print(
            f"{words[-1]} exited with {code}: do not commit this container as an image; fix the "
            "script, commit it to git (a workspace holds only committed files) and run again"
        )
    return code


def _head(project: str) -> str:
    """
    Return the commit at HEAD of a project directory; empty if there is none.
    """
    options = ("-c", "safe.directory=*", "-c", "core.fsmonitor=false")
    kept = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    try:
        done = subprocess.run(
            ["git", *options, "--git-dir=" + project + "/.git", "rev-parse", "--verify", "HEAD"],
            check=False,
            env=kept,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )
    except FileNotFoundError:
        raise Failure("git is not installed in the image: add it to the base image") from None
    return done.stdout.decode("ascii", "replace").strip() if done.returncode == 0 else ""


def _listens(address: str) -> bool:
    try:
        socket.create_connection((address, _PORT), 1).close()
    except OSError:
        return False
    return True


def _read(path: str) -> bytes:
    try:
        with open(path, "rb") as file:
            return file.read()
    except FileNotFoundError:
        return b""


def _write(path: str, text: str) -> None:
    """
    Write a file in place, since the file may be a mount point.
    """
    with open(path, "w") as file:
        file.write(text)


def _print(text: str) -> None:
    sys.stderr.write("codex-workspace: " + text + "\n")


def _end(code: int) -> NoReturn:
    sys.stderr.flush()
    os._exit(code)


if __name__ == "__main__":
    _end(main(sys.argv[1:]))

"""The first process of a workspace that Compose starts: makes it ready, then runs the command.

    python3 -I -S -u entry.py [COMMAND ...]

`run-setup` and `run-setup-from-cache` run the repository's scripts, nothing
or `bash` is a login shell, anything else is run as it is. The exit code is
the command's. It is one file beside `agent.py` and `entry.json`, which Compose
mounts so that nothing in a workspace can change them; it needs Python 3.8.
"""

# Python 3.8 has neither zip(strict=) nor waitstatus_to_exitcode; without site there is little else.

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

    from .agent import install_certificate
else:
    # An isolated interpreter does not look next to the program.
    sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
    from agent import install_certificate

__all__ = ["Failure", "Place", "main"]

_HOSTS = "127.0.0.1\tlocalhost\n{proxy}\tproxy\n{own}\tworkspace {hostname}\n"
_RESOLVER = "nameserver {proxy}\noptions timeout:1 attempts:1\n"
_PORT = 8080
_OURS = ("HOST_REPO", "HOST_REPO_NAME", "CODEX_SKIP_SUBMODULES")
_YES = ("1", "true", "yes", "on")
_SELECT = "/opt/codex/setup_universal.sh"
_STEP = 0.1


class Failure(Exception):
    """
    What the user is told instead of a traceback.
    """

    def __init__(self, message: str, code: int = 1) -> None:
        super().__init__(message)
        self.code = code


class Place:
    """
    Where a workspace finds what it is made of.

    Args:
        settings: of `entry.json`: `certificate`, `projection` (paths), `seconds`
            to wait for the certificate, `runtimes` (Codex's default of each
            variable), `setup`, `resume` (paths of the scripts), `run` (the text
            of a bash program that runs one), and for tests `root`.
    """

    def __init__(self, settings: dict[str, Any]) -> None:
        self.settings = settings
        self.root: str = settings.get("root", "")
        self.deadline = time.monotonic() + float(settings["seconds"])

    def wait_for(self, what: Callable[[], Any], complaint: str) -> Any:
        """
        What *what* gives as soon as that is anything.

        Raises:
            Failure: nothing came in time.
        """
        while True:
            found = what()
            if found:
                return found
            if time.monotonic() > self.deadline:
                raise Failure(complaint.format(seconds=self.settings["seconds"]))
            time.sleep(_STEP)

    def prepare_network(self) -> str:
        """
        See that there is one way out, and name its end.

        Returns:
            The proxy's address.

        Raises:
            Failure: there are others, or none.
        """
        proxy = self.wait_for(
            self._only_neighbour,
            "this workspace is not cut off from the network, so nothing is run in it: start it "
            "with `docker compose run`, with its dependencies and the file's own network",
        )
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
            probe.connect((proxy, 9))
            own = probe.getsockname()[0]
        names = {"proxy": proxy, "own": own, "hostname": socket.gethostname()}
        # The namespace's files, as the workspace before this one left them.
        for path, text in (("/etc/hosts", _HOSTS), ("/etc/resolv.conf", _RESOLVER)):
            _write(self.root + path, text.format(**names))
        return str(proxy)

    def _only_neighbour(self) -> str:
        """
        The address of the only route, if it leads to a single machine.
        """
        with open(self.root + "/proc/net/route") as table:
            rows = [line.split() for line in table.readlines()[1:]]
        if len(rows) != 1 or rows[0][7] != "FFFFFFFF":
            return ""
        return socket.inet_ntoa(int(rows[0][1], 16).to_bytes(4, sys.byteorder))

    def trust_proxy(self, address: str) -> None:
        """
        Put the proxy's certificate into the trust store, once it is there.

        Raises:
            Failure: it did not come, or the proxy is not at *address*.
        """
        certificate = self.wait_for(
            lambda: _read(self.settings["certificate"]),
            "the proxy's certificate did not come within {seconds} s: see with `docker compose "
            "ps` that the service `proxy` is running and healthy; `docker compose logs proxy` "
            "says why it is not",
        )
        install_certificate(self.root, certificate)
        self.wait_for(
            lambda: _listens(address),
            "the proxy did not answer within {seconds} s: see with `docker compose ps` that the "
            "service `proxy` is running and healthy; if it was made anew, `docker compose down`, "
            "and run again",
        )

    def project(self) -> str:
        """
        Bring the project directory to HEAD. What is ignored in it stays.

        Returns:
            Its path.

        Raises:
            Failure: there is no projection of the repository that is asked for.
        """
        where = self.settings["projection"]
        facts = json.loads(_read(os.path.join(where, "projection.json")) or b"{}")
        if facts.get("error"):
            raise Failure(facts["error"])
        asked = os.environ.get("HOST_REPO", "")
        if facts.get("repo") != asked:
            raise Failure(
                f"what was projected is {facts.get('repo', 'nothing')}, and HOST_REPO is now "
                f"{asked or 'not set'}: `docker compose down`, and run again"
            )
        target = f"{self.root}/workspace/{facts['name']}"
        if _head(target) != facts["head"]:
            self._apply(os.path.join(where, "projection.tar"), target)
        return target

    def _apply(self, archive: str, target: str) -> None:
        scratch = self.root + "/codex-projection"
        shutil.rmtree(scratch, ignore_errors=True)
        with tarfile.open(archive) as tar:
            # Our own archive: nothing in it leads elsewhere. Pythons warn of the lack of a filter.
            kind = {"filter": "data"} if hasattr(tarfile, "data_filter") else {}
            tar.extractall(self.root or "/", **kind)  # type: ignore[arg-type]
        if os.environ.get("CODEX_SKIP_SUBMODULES", "").strip().lower() in _YES:
            plan = json.loads(_read(scratch + "/plan.json"))
            plan["submodules"] = []
            _write(scratch + "/plan.json", json.dumps(plan))
        command = [sys.executable, "-I", scratch + "/apply_projection.py", target]
        if subprocess.run(command, check=False, stdin=subprocess.DEVNULL).returncode:
            raise Failure("the image needs git and Python 3.8 for that")

    def select_runtimes(self) -> None:
        """
        Select the runtimes that the variables ask for, unless they are.

        Raises:
            Failure: the image does not have one.
        """
        if not os.path.exists(self.root + _SELECT):
            return
        defaults = self.settings["runtimes"]
        wanted = {name: os.environ.get(name, "") for name in defaults}
        # What a setup script then changed about them must survive into later runs.
        record = self.root + "/opt/codex/selected-runtimes.json"
        if json.loads(_read(record) or b"null") == wanted:
            return
        defaulted = [name.split("_")[2] for name in defaults if wanted[name] == defaults[name]]
        done = subprocess.run(
            ["bash", "--login", "-c", "exec " + self.root + _SELECT],
            check=False,
            env={**os.environ, "CODEX_ENV_DEFAULTED": " ".join(defaulted)},
            stdin=subprocess.DEVNULL,
            stdout=2,
        )
        if done.returncode:
            raise Failure("the runtimes could not be selected", done.returncode)
        _write(record, json.dumps(wanted))

    def command(self, words: list[str], project: str) -> list[str]:
        """
        The program and arguments that *words* mean; nothing if there is
        nothing to do.

        Raises:
            Failure: the script is required and missing.
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
                f"HEAD has {directory}/, but no {os.path.basename(script)} in it, which Codex "
                f"requires. Add and commit {script}, or remove the directory."
            )
        _say(f"HEAD has no {script}: there is nothing to run")
        return []


def run(words: list[str], project: str) -> int:
    """
    Run a command as the first process should: ended children are reaped, and
    signals that are sent to it reach the command.

    Returns:
        The command's exit code.
    """
    variables = {name: value for name, value in os.environ.items() if name not in _OURS}
    try:
        # A terminal sends its own signals to the whole group.
        signal.signal(signal.SIGINT, lambda *_: None)
        child = subprocess.Popen(words, cwd=project, env=variables)
    except FileNotFoundError:
        raise Failure(f"there is no command {words[0]!r} in this image", 127) from None
    except PermissionError as error:
        raise Failure(f"{words[0]!r} cannot be run: {error.strerror}", 126) from None
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda sent, _: os.kill(child.pid, sent))
    while True:
        pid, status = os.wait()
        if pid == child.pid:
            child.returncode = 0  # It is not to be waited for again.
            return 128 + os.WTERMSIG(status) if os.WIFSIGNALED(status) else os.WEXITSTATUS(status)


def main(arguments: list[str]) -> int:
    """
    Make this workspace ready and run the command *arguments*. Returns its exit code.
    """
    os.umask(0o022)
    beside = os.path.dirname(os.path.abspath(__file__))
    try:
        place = Place(json.loads(_read(os.path.join(beside, "entry.json"))))
        place.trust_proxy(place.prepare_network())
        project = place.project()
        place.select_runtimes()
        words = place.command(arguments, project)
        if not words:
            return 0
        code = run(words, project)
    except Failure as failure:
        _say(str(failure))
        return failure.code
    except OSError as error:
        _say(f"the workspace could not be made ready: {error}")
        return 1
    if code and arguments in (["run-setup"], ["run-setup-from-cache"]):
        _say(
            f"{words[-1]} exited with {code}: do not keep this container as an image; mend the "
            "script, commit it (a workspace holds only what is committed) and run again"
        )
    return code


def _head(project: str) -> str:
    """
    The commit that a project directory stands at, empty if there is none.
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
    Write a file in place: it may be a mount of its own.
    """
    with open(path, "w") as file:
        file.write(text)


def _say(text: str) -> None:
    sys.stderr.write("codex-workspace: " + text + "\n")


def _end(code: int) -> NoReturn:
    sys.stderr.flush()
    os._exit(code)


if __name__ == "__main__":
    _end(main(sys.argv[1:]))

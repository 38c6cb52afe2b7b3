"""Podman's service, started on a socket of our own where no other socket answers."""

from __future__ import annotations

import fcntl
import os
import shutil
import stat
import sys
import threading
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from ...errors import EngineUnavailable
from ...unpatched import clock, modules
from .sockets import runtime_dir

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["PodmanService", "can_start_podman", "start_podman"]

_PATIENCE = 20.0
"""Seconds for a service to answer, and for one that ends to be gone."""

_LONGEST = 107
"""The largest number of bytes in the path of a socket."""

_REMOTE = (
    *("CONTAINER_HOST", "CONTAINER_CONNECTION", "CONTAINER_SSHKEY", "CONTAINER_PROXY"),
    *("LISTEN_FDS", "LISTEN_FDNAMES", "LISTEN_PID", "NOTIFY_SOCKET"),
)
"""Variables that make podman a client, or have it take over a socket of systemd's."""


class PodmanService:
    """
    A share in the service. The processes of one user share one; it ends with the last of them,
    even if they are killed.

    Attributes:
        url: where the service listens.
        log: the file with the service's output.
    """

    def __init__(self, folder: Path, users: int) -> None:
        self.url = f"unix://{folder}/podman.sock"
        self.log = folder / "podman.log"
        self._users = users

    def close(self) -> None:
        """
        Give the share back.
        """
        users, self._users = self._users, -1
        if users >= 0:
            # A process that was forked from this one has the same lock, and no use for it.
            fcntl.flock(users, fcntl.LOCK_UN)
            os.close(users)


def can_start_podman(environ: Mapping[str, str]) -> bool:
    """
    Return whether this machine's own podman can serve. Outside Linux, podman is only a client.
    """
    return sys.platform == "linux" and _podman(environ) is not None


def start_podman(environ: Mapping[str, str]) -> PodmanService:
    """
    Return a share in this user's service. Start it if it does not run.

    Raises:
        EngineUnavailable: it does not start; the text has its last words.
    """
    try:
        folder = _own_folder(environ)
        deadline = clock.monotonic() + _PATIENCE
        users = _locked(folder / "users", fcntl.LOCK_SH, deadline)
        service = PodmanService(folder, users)
        try:
            starting = _locked(folder / "starting", fcntl.LOCK_EX, deadline)
            try:
                if not _answers(folder / "podman.sock"):
                    _start(folder, environ, deadline)
            finally:
                os.close(starting)
        except BaseException:
            service.close()
            raise
    except OSError as error:
        raise EngineUnavailable(f"podman cannot be started: {error}") from None
    return service


def _podman(environ: Mapping[str, str]) -> str | None:
    return shutil.which("podman", path=environ.get("PATH") or os.defpath)


def _own_folder(environ: Mapping[str, str]) -> Path:
    """
    Return a directory that only this user can enter.
    """
    bases = [Path(runtime_dir(environ)), Path("/tmp")]  # noqa: S108 -- checked below
    for base in bases:
        folder = base / (
            "codex-workspace" if base == bases[0] else f"codex-workspace-podman-{os.getuid()}"
        )
        if len(os.fsencode(folder / "podman.sock")) > _LONGEST:
            continue
        try:
            folder.mkdir(mode=0o700, exist_ok=True)
            state = folder.lstat()
        except OSError:
            continue
        if stat.S_ISDIR(state.st_mode) and state.st_uid == os.getuid():
            folder.chmod(0o700)
            return folder
    raise EngineUnavailable(
        "podman cannot be started: there is no directory of this user's for its socket; set "
        "XDG_RUNTIME_DIR to one"
    )


def _locked(path: Path, kind: int, deadline: float) -> int:
    """
    Return a descriptor of *path* that holds a lock.
    """
    file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    try:
        while True:
            try:
                fcntl.flock(file, kind | fcntl.LOCK_NB)
            except BlockingIOError:
                if clock.monotonic() > deadline:
                    raise EngineUnavailable(
                        f"podman cannot be started: another process holds {path}"
                    ) from None
                clock.sleep(0.02)
            else:
                return file
    except BaseException:
        os.close(file)
        raise


def _start(folder: Path, environ: Mapping[str, str], deadline: float) -> None:
    socket, log = folder / "podman.sock", folder / "podman.log"
    with suppress(FileNotFoundError):
        socket.unlink()
    program = _podman(environ) or "podman"
    process = modules.subprocess.Popen(
        [
            *(sys.executable or "python3", "-I", "-S"),
            str(Path(__file__).with_name("supervise_podman.py")),
            *(str(folder / "users"), str(log)),
            *(program, "system", "service", "--time=0", f"unix://{socket}"),
        ],
        stdin=modules.subprocess.DEVNULL,
        stdout=modules.subprocess.DEVNULL,
        stderr=modules.subprocess.DEVNULL,
        cwd="/",
        env={k: v for k, v in environ.items() if k not in _REMOTE},
        # Ctrl-C must not end it: the clean-up that follows needs the engine.
        start_new_session=True,
    )
    while not _answers(socket):
        ended = process.poll() is not None
        if ended or clock.monotonic() > deadline:
            if not ended:
                process.terminate()
                process.wait()
            raise EngineUnavailable(f"`{program} system service` did not start: {_tail(log)}")
        clock.sleep(0.02)
    # This thread collects its exit status.
    threading.Thread(target=process.wait, name="podman-reaper", daemon=True).start()


def _answers(path: Path) -> bool:
    module = modules.socket
    with module.socket(module.AF_UNIX, module.SOCK_STREAM) as probe:
        probe.settimeout(1.0)
        try:
            probe.connect(str(path))
        except OSError:
            return False
        return True


def _tail(log: Path) -> str:
    try:
        lines = log.read_bytes()[-4000:].decode(errors="replace").strip().splitlines()
    except OSError:
        lines = []
    return f"{' / '.join(lines[-3:]) or 'it printed nothing'} (all of it is in {log})"

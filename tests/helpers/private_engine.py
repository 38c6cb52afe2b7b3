"""A Docker daemon of the tests' own: one that may be restarted, filled up and damaged."""

from __future__ import annotations

import ctypes
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

from pytest_codex_workspace.engine.docker.find import find_engine
from pytest_codex_workspace.engine.protocol import Engine
from pytest_codex_workspace.errors import EngineUnavailable

from .skips import skip_outside_ci

_POOL = "base=10.204.0.0/22,size=24"

NETWORKS = 3
"""How many networks it has addresses for, besides its default one."""

_PODMANS = "localhost/"

SIZE = 3 << 30
"""Bytes of its disk, which is memory."""


class PrivateEngine:
    """
    A daemon with a disk of its own in memory, in a network namespace of its own (a second daemon
    in the machine's would take the first one's bridge away), with few networks and no way out.

    Attributes:
        url: where it listens.
        data: its disk.
    """

    def __init__(self, root: Path) -> None:
        self._root = root
        self.url = f"unix://{root}/docker.sock"
        self.data = root / "data"
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """
        Start the daemon, and wait until it answers.
        """
        root = self._root
        with (root / "log").open("ab") as log:
            self._process = subprocess.Popen(
                [
                    *("unshare", "--net", "sh", "-c", 'ip link set lo up && exec "$@"', "sh"),
                    "dockerd",
                    f"--data-root={self.data}",
                    f"--exec-root={root}/exec",
                    f"--pidfile={root}/pid",
                    f"--host={self.url}",
                    f"--default-address-pool={_POOL}",
                ],
                stdout=log,
                stderr=log,
                stdin=subprocess.DEVNULL,
                # As in tools/engine.
                env={**os.environ, "GOGC": "400"},
                start_new_session=True,
                preexec_fn=_end_with_parent,
            )
        deadline = time.monotonic() + 60
        while not self._answers():
            assert self._process.poll() is None, (root / "log").read_text()[-2000:]
            assert time.monotonic() < deadline, "the daemon does not answer"
            time.sleep(0.05)

    def _answers(self) -> bool:
        try:
            find_engine(self.url).close()
        except EngineUnavailable:
            return False
        return True

    def stop(self) -> None:
        """
        End the daemon, and with it every container.
        """
        if self._process is not None:
            self._process.send_signal(signal.SIGTERM)
            self._process.wait(60)
            self._process = None

    def restart(self) -> None:
        """
        As an update of the daemon does it.
        """
        self.stop()
        self.start()

    def take_from(self, engine: Engine, references: Sequence[str]) -> None:
        """
        Copy images of another engine.
        """
        mine = find_engine(self.url)
        with (self._root / "images.tar").open("w+b") as file:
            for piece in engine.save(references):
                file.write(piece)
            file.seek(0)
            loaded = mine.load(file)
        for name in loaded:
            # Podman says that they are on this machine; Docker takes that for a part of the name.
            if name.startswith(_PODMANS):
                mine.tag(name, name.removeprefix(_PODMANS))
                mine.remove_image(name)
        mine.close()
        (self._root / "images.tar").unlink()

    @contextmanager
    def filled_up(self, *, leaving: int) -> Iterator[None]:
        """
        Take all of its disk but some bytes.
        """
        ballast = self.data / "ballast"
        state = os.statvfs(self.data)
        try:
            with ballast.open("wb") as file:
                os.posix_fallocate(file.fileno(), 0, state.f_bavail * state.f_frsize - leaving)
            yield
        finally:
            ballast.unlink()


def _end_with_parent() -> None:
    """
    Have the kernel end this process when its parent, a killed test run, ends. Programs that it
    turns into keep the setting (PR_SET_PDEATHSIG of prctl(2)).
    """
    ctypes.CDLL(None).prctl(1, signal.SIGTERM)


@contextmanager
def private_engine(root: Path) -> Iterator[PrivateEngine]:
    """
    Start one that keeps everything below *root*, and leave nothing of it behind.
    """
    if os.geteuid() != 0 or not shutil.which("dockerd") or not shutil.which("ip"):
        skip_outside_ci("a Docker daemon of our own needs root, dockerd and ip")
    with ExitStack() as undo:
        made = PrivateEngine(root)
        made.data.mkdir(parents=True)
        _mount(made.data, SIZE)
        undo.callback(_unmount, made.data)
        undo.callback(made.stop)
        made.start()
        yield made


def _mount(where: Path, size: int) -> None:
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", where], check=True)


def _unmount(where: Path) -> None:
    # Lazily: a daemon's mounts below it go a moment later.
    subprocess.run(["umount", "--recursive", "--lazy", where], check=True)

"""
Container engines of other generations than the machine's own, from Debian's packages. Each has a
root file system, and mount, process and network namespaces of its own.
"""

from __future__ import annotations

import ctypes
import fcntl
import json
import os
import shlex
import shutil
import signal
import socket
import stat
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import debian_roots

__all__ = ["NEW_AND_OTHER", "ROWS", "Engine", "Row", "started"]

ROOT = Path(__file__).resolve().parent.parent

_LOCKS = Path("/run/lock")
_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_USER, _UID = "dev", 1000
_START_SECONDS = 90
_END_SECONDS = 60

# The first process of the namespace: ends the engine when asked, and collects its orphans.
_FIRST = """\
"$@" & engine=$!
trap 'kill -TERM $engine' TERM
while kill -0 $engine 2>/dev/null; do wait $engine; done
"""

# A machine with udev lets everyone have the device; this one need not.
_UNPRIVILEGED = f"""\
set -e
install -d -m 700 -o {_USER} -g {_USER} /run/user/{_UID}
mknod -m 666 /run/tun c 10 200
mount --bind /run/tun /dev/net/tun
cd
exec setpriv --reuid={_USER} --regid={_USER} --init-groups -- "$@"
"""

# crun refuses hybrid cgroups. Limits above the caller's own are refused without CAP_SYS_RESOURCE.
_CONTAINERS = """\
[containers]
default_ulimits = ["nofile=1024:1024", "nproc=4096:4096"]
[engine]
runtime = "runc"
cgroup_manager = "cgroupfs"
events_logger = "file"
"""

# Docker accepts this of a registry on loopback without being told.
_REGISTRIES = '[[registry]]\nlocation = "127.0.0.1"\ninsecure = true\n'

_MODES = {
    "userns-remap": ("--userns-remap=default",),
    "containerd": ("--feature=containerd-snapshotter=true",),
}
"""Options of Docker: other users in containers, and the image store that Docker 29 has."""

_CLIENT = """\
#!/bin/sh
exec nsenter --target={process} --mount -- /usr/bin/env PATH={path} \
  /bin/sh -c 'cd "$0" && exec "$@"' "$PWD" {program} "$@"
"""

# nsenter waits for podman, which is in another process namespace, and hands no signal on.
_PODMAN = """\
#!/bin/sh
exec nsenter --target={process} --mount --net --pid -- /usr/bin/env -i {environment} \
  setpriv --pdeathsig=TERM -- {podman} "$@"
"""


@dataclass(frozen=True)
class Row:
    """
    An engine of the matrix.

    Attributes:
        suite: the Debian release that its packages come from.
        kind: `docker` or `podman`.
        number: tells its addresses from those of others.
        mode: `rootless`, run by an unprivileged user; one of `_MODES` of Docker; or empty.
    """

    suite: str
    kind: str
    number: int
    mode: str = ""

    @property
    def root_name(self) -> str:
        """
        The name of its root file system, which both kinds of users share.
        """
        return f"{self.suite}-{self.kind}"

    @property
    def name(self) -> str:
        """
        Its name on the command line and in the table.
        """
        return f"{self.root_name}-{self.mode}" if self.mode else self.root_name

    @property
    def rootless(self) -> bool:
        """
        Whether an unprivileged user runs it.
        """
        return self.mode == "rootless"

    @property
    def has_compose(self) -> bool:
        """
        Whether Compose can mount what this machine's root has.
        """
        return self.kind == "docker" and self.mode not in ("rootless", "userns-remap")

    @property
    def network(self) -> debian_roots.Network:
        """
        Its place on the network.
        """
        number = self.number
        return debian_roots.Network(
            f"codex-engine-{self.name}", f"cenear{number}", f"cefar{number}", f"10.214.{number}"
        )

    def packages(self, *, clients: bool) -> tuple[str, ...]:
        """
        Return the packages to install; with *clients*, also those that only Compose and an
        unprivileged user need.
        """
        base = ("ca-certificates", "iptables", "iproute2", "passwd")
        if self.kind == "podman":
            found = (*base, "podman", "netavark", "aardvark-dns", "runc", "nftables")
            rootless = ("uidmap", "slirp4netns") + (("passt",) if self.suite != "bookworm" else ())
            return (*found, *rootless) if clients else found
        found = (*base, "docker.io")
        if not clients:
            return found
        newer = ("docker-cli", "docker-buildx") if self.suite != "bookworm" else ()
        return (*found, *newer, "docker-compose", "rootlesskit", "uidmap", "slirp4netns")


ROWS = {
    row.name: row
    for row in (
        *(
            Row(suite, kind, 1 + suites * 4 + kinds * 2 + modes, mode)
            for suites, suite in enumerate(("bookworm", "trixie", "sid"))
            for kinds, kind in enumerate(("docker", "podman"))
            for modes, mode in enumerate(("", "rootless"))
        ),
        Row("trixie", "docker", 13, "userns-remap"),
        Row("sid", "docker", 14, "containerd"),
    )
}
"""Every row, by its name."""

NEW_AND_OTHER = ("sid-docker", "trixie-podman")
"""What `make test` tries beside the machine's own engine."""


@dataclass(frozen=True)
class Engine:
    """
    An engine that runs.

    Attributes:
        url: where it listens.
        bin: a directory with its own `docker` and `docker-compose`, or `podman`; empty for Podman
            without root.
        version: what it says of its version.
        info: what it says of itself.
    """

    url: str
    bin: Path
    version: dict[str, Any]
    info: dict[str, Any]


@contextmanager
def started(row: Row, home: Path, *, clients: bool = True) -> Iterator[Engine]:
    """
    Start an engine, and leave nothing of it behind but its root file system in *home*.

    Args:
        row: the engine.
        home: where root file systems are kept.
        clients: whether Compose and rootless engines are wanted as well.
    """
    place = home / row.name
    place.mkdir(parents=True, exist_ok=True)
    with ExitStack() as undo:
        # Its names and addresses are those of this machine, whoever starts it.
        lock = undo.enter_context((_LOCKS / f"codex-engine-{row.name}").open("w"))
        fcntl.flock(lock, fcntl.LOCK_EX)
        root = _root(row, home, row.packages(clients=clients or row.rootless))
        undo.enter_context(debian_roots.connect(row.network))
        data = place / "data"
        _remove(data)
        data.mkdir()
        undo.callback(_remove_cgroups, row)
        undo.callback(_remove, data)
        # Short: the address of a socket has 108 bytes at most.
        meeting = Path(f"/tmp/codex-engine-{row.name}")
        _remove(meeting)
        meeting.mkdir(mode=0o755)
        undo.callback(_remove, meeting)
        (meeting / "bin").mkdir()
        if row.rootless:
            for one in (data, meeting):
                os.chown(one, _UID, _UID)
        log = place / "log"
        process = _start(row, root, data, meeting, log)
        undo.callback(_end, process)
        socket_path = meeting / "engine.sock"
        _await(socket_path, process, log)
        _write_clients(row, root, meeting / "bin", _first_process(process))
        yield Engine(
            f"unix://{socket_path}",
            meeting / "bin",
            _ask(socket_path, "/version"),
            _ask(socket_path, "/info"),
        )


def _root(row: Row, home: Path, packages: Sequence[str]) -> Path:
    """
    Return its root file system, made if there is none with all the packages.
    """
    place = home / row.root_name
    place.mkdir(parents=True, exist_ok=True)
    root, made = place / "root", place / "packages"
    with (place / "making").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not made.exists() or not set(packages) <= set(made.read_text().split()):
            made.unlink(missing_ok=True)
            _remove(root)
            debian_roots.bootstrap(row.suite, root, packages)
            configuration = root / "etc/containers"
            (configuration / "registries.conf.d").mkdir(parents=True, exist_ok=True)
            (configuration / "containers.conf").write_text(_CONTAINERS)
            (configuration / "registries.conf.d/loopback.conf").write_text(_REGISTRIES)
            _add_user(root)
            made.write_text(" ".join(packages))
        debian_roots.make_alike(root)
    return root


def _add_user(root: Path) -> None:
    debian_roots.inside(root, "useradd", "--create-home", f"--uid={_UID}", "--user-group", _USER)
    for name in ("subuid", "subgid"):
        (root / "etc" / name).write_text(f"{_USER}:100000:65536\n")


def _start(row: Row, root: Path, data: Path, meeting: Path, log: Path) -> subprocess.Popen[bytes]:
    shared = [(data, Path("/engine")), (meeting, meeting)]
    if not row.rootless:
        # What Compose and the tests bind has the same name there.
        places = {Path("/tmp"), Path(tempfile.gettempdir()), ROOT}
        shared = [*((one, one) for one in sorted(places)), *shared]
    environment = _environment(row)
    command = ["sh", "-c", _FIRST, "sh", *_engine(row, meeting / "engine.sock")]
    if row.rootless:
        command = ["sh", "-c", _UNPRIVILEGED, "sh", *command]
    with log.open("wb") as output:
        return subprocess.Popen(
            debian_roots.enter(root, row.network, environment, command, shared),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
            preexec_fn=_end_with_parent,
        )


def _environment(row: Row) -> list[str]:
    home = f"/home/{_USER}" if row.rootless else "/root"
    runtime = f"/run/user/{_UID}" if row.rootless else "/run"
    return [
        *(f"PATH={_PATH}", f"HOME={home}", f"XDG_RUNTIME_DIR={runtime}"),
        *("GOGC=400", *debian_roots.proxies()),
    ]


def _podman(row: Row) -> list[str]:
    # Podman 4 takes vfs without root, which copies whole images, unless it is told.
    command = ["podman", "--root=/engine/store", "--storage-driver=overlay"]
    return command if row.rootless else [*command, "--runroot=/run/podman"]


def _engine(row: Row, socket_path: Path) -> list[str]:
    if row.kind == "podman":
        return [*_podman(row), "system", "service", "--time=0", f"unix://{socket_path}"]
    options = [
        *("--data-root=/engine/data", f"--host=unix://{socket_path}"),
        *("--bip=10.215.0.1/24", "--default-address-pool=base=10.216.0.0/16,size=24"),
    ]
    if row.rootless:
        return ["/usr/share/docker.io/contrib/dockerd-rootless.sh", *options]
    return ["dockerd", *options, *_MODES.get(row.mode, ()), f"--cgroup-parent={_cgroup(row)}"]


def _cgroup(row: Row) -> str:
    return f"/codex-engine-{row.name}"


def _end_with_parent() -> None:
    """
    Have the kernel end this process when its parent was killed (PR_SET_PDEATHSIG of prctl(2)).
    """
    ctypes.CDLL(None).prctl(1, signal.SIGKILL)


def _first_process(process: subprocess.Popen[bytes]) -> int:
    """
    Return the first process of the engine's namespace, as this machine numbers it.
    """
    number = process.pid
    return int(Path(f"/proc/{number}/task/{number}/children").read_text().split()[0])


def _end(process: subprocess.Popen[bytes]) -> None:
    """
    Ask the engine to end, and end the namespace with all that runs in it.
    """
    with suppress(OSError, IndexError):
        os.kill(_first_process(process), signal.SIGTERM)
    with suppress(subprocess.TimeoutExpired):
        process.wait(_END_SECONDS)
    process.kill()
    process.wait()


def _await(socket_path: Path, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + _START_SECONDS
    while True:
        try:
            _ask(socket_path, "/version")
        except OSError as error:
            if process.poll() is not None or time.monotonic() > deadline:
                said = "\n".join(log.read_text(errors="replace").splitlines()[-15:])
                raise RuntimeError(f"it does not answer ({error}); it said: {said}") from None
            time.sleep(0.2)
        else:
            return


class _Connection(HTTPConnection):
    def __init__(self, path: Path) -> None:
        super().__init__("engine", timeout=30)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(str(self._path))


def _ask(socket_path: Path, target: str) -> dict[str, Any]:
    connection = _Connection(socket_path)
    try:
        connection.request("GET", target)
        answer: dict[str, Any] = json.loads(connection.getresponse().read())
    finally:
        connection.close()
    return answer


def _write_clients(row: Row, root: Path, where: Path, process: int) -> None:
    """
    Write commands that run those of the engine's own clients that it has, where it sees its files.
    """
    scripts = {}
    if row.kind == "docker":
        for program in ("docker", "docker-compose"):
            scripts[program] = _CLIENT.format(process=process, path=_PATH, program=program)
    elif not row.rootless:
        environment, podman = shlex.join(_environment(row)), shlex.join(_podman(row))
        scripts["podman"] = _PODMAN.format(process=process, environment=environment, podman=podman)
    for program, text in scripts.items():
        if not (root / "usr/bin" / program).exists():
            continue
        script = where / program
        script.write_text(text)
        script.chmod(script.stat().st_mode | stat.S_IXUSR | stat.S_IXGRP | stat.S_IXOTH)


def _remove(place: Path) -> None:
    if place.exists():
        debian_roots.unmount_below(place)
        subprocess.run(["rm", "-rf", "--one-file-system", str(place)], check=False)


def _remove_cgroups(row: Row) -> None:
    """
    Remove the groups of its containers, which are in this machine's hierarchies.
    """
    names = (_cgroup(row)[1:], "libpod_parent") if row.kind == "podman" else (_cgroup(row)[1:],)
    for hierarchy in (Path("/sys/fs/cgroup"), *Path("/sys/fs/cgroup").iterdir()):
        for name in names:
            for group, _, _ in os.walk(hierarchy / name, topdown=False):
                # Killed processes leave it a moment later. What another engine uses stays.
                for _ in range(20 if row.kind == "docker" else 1):
                    with suppress(OSError):
                        Path(group).rmdir()
                        break
                    time.sleep(0.1)


def default_home() -> Path:
    """
    Return where root file systems are kept: `ENGINES_HOME`, or the cache of the closed environment.
    """
    given = os.environ.get("ENGINES_HOME")
    return Path(given) if given else ROOT / ".machine/home/.cache/codex-workspace-engines"


def lacking() -> str:
    """
    Return why this machine cannot start them; empty if it can.
    """
    if why := debian_roots.lacking():
        return why
    return "" if shutil.which("apt-get") else "their packages come from Debian, by apt-get"

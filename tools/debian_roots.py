"""
Debian root file systems, and network namespaces with a way out by NAT, for machines within this
machine. Needs root, and the programs in `PROGRAMS`.
"""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

__all__ = [
    "PROGRAMS",
    "Network",
    "bootstrap",
    "connect",
    "enter",
    "inside",
    "lacking",
    "make_alike",
    "proxies",
    "run",
    "unmount_below",
]

PROGRAMS = {
    "mmdebstrap": "mmdebstrap",
    "ip": "iproute2",
    "iptables": "iptables",
    "nsenter": "util-linux",
    "unshare": "util-linux",
}
"""What is needed, and the Debian packages."""

# Not a chroot, in which dockerd refuses to work. It needs the cgroups, which are below /sys; what
# else is there about a network is of the one in which it was mounted.
_BOOT = """\
set -eu
root=$1 shared=$2; shift 2
mount --make-rprivate /
mount --bind "$root" "$root"
mount -t proc proc "$root/proc"
mount -t sysfs sysfs "$root/sys"
for directory in /sys/fs/cgroup /dev; do mount --rbind "$directory" "$root$directory"; done
mount -t tmpfs tmpfs "$root/run"
IFS='
'
for pair in $shared; do
  mkdir -p "$root${pair#*=}"
  mount --bind "${pair%%=*}" "$root${pair#*=}"
done
mkdir -p "$root/old"
cd "$root"
pivot_root . old
PATH=/usr/sbin:/usr/bin:/sbin:/bin
umount -l /old
exec env -i "$@"
"""


@dataclass(frozen=True)
class Network:
    """
    A network namespace, and the two ends of its link to this machine.

    Attributes:
        name: the name of the namespace.
        near: the end that this machine has.
        far: the end in the namespace.
        subnet: the first three numbers of its addresses; `.1` is this machine.
    """

    name: str
    near: str
    far: str
    subnet: str


def lacking() -> str:
    """
    Return why this machine cannot make them; empty if it can.
    """
    packages = {package for program, package in PROGRAMS.items() if not shutil.which(program)}
    if packages:
        return f"install the Debian packages {' '.join(sorted(packages))}"
    return (
        "" if os.geteuid() == 0 else "root rights are needed to make namespaces: run it with sudo"
    )


def bootstrap(suite: str, root: Path, packages: Sequence[str]) -> None:
    """
    Make the root file system of a Debian release, from where apt gets its packages.
    """
    shown = subprocess.run(
        ["apt-get", "indextargets", "--format", "$(REPO_URI)"],
        capture_output=True,
        text=True,
        check=True,
    )
    mirror = next(
        line for line in shown.stdout.splitlines() if "debian" in line and "security" not in line
    )
    run(
        "mmdebstrap",
        "--quiet",
        "--variant=minbase",
        # The description of sid may be older than it says it may be.
        '--aptopt=Acquire::Check-Valid-Until "false"',
        "--dpkgopt=force-unsafe-io",
        f"--include={','.join(packages)}",
        suite,
        str(root),
        mirror,
    )


def make_alike(root: Path) -> None:
    """
    Give a root file system this machine's name servers and certificates.
    """
    shutil.copy("/etc/resolv.conf", root / "etc/resolv.conf")
    hosts = f"127.0.0.1 localhost\n127.0.1.1 {socket.gethostname()}\n"
    (root / "etc/hosts").write_text(hosts)
    for certificate in Path("/usr/local/share/ca-certificates").rglob("*.crt"):
        shutil.copy(certificate, root / "usr/local/share/ca-certificates")
    inside(root, "update-ca-certificates")


def inside(root: Path, *command: str) -> None:
    """
    Run a command that has to succeed in a root file system that does not run.
    """
    # This machine's TMPDIR, for one, is not there.
    environment = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LANG": "C.UTF-8"}
    subprocess.run(
        ["chroot", str(root), *command], check=True, capture_output=True, env=environment
    )


def enter(
    root: Path,
    network: Network,
    environment: Sequence[str],
    command: Sequence[str],
    shared: Sequence[tuple[Path, Path]] = (),
) -> list[str]:
    """
    Return the command that runs *command* in a root file system, with mount, process and network
    namespaces of its own. Whatever it starts ends with it.

    Args:
        root: the root file system.
        network: where it is connected.
        environment: assignments to variables.
        command: the command, as it is named inside.
        shared: directories of this machine, and where they are inside.
    """
    return [
        *("nsenter", f"--net=/var/run/netns/{network.name}"),
        *("unshare", "--mount", "--pid", "--fork", "--kill-child"),
        *("sh", "-c", _BOOT, "sh", str(root)),
        "\n".join(f"{here}={there}" for here, there in shared),
        *("LANG=C.UTF-8", "TERM=dumb", *environment),
        *command,
    ]


def unmount_below(place: Path) -> None:
    """
    Unmount everything below a directory, the topmost first.
    """
    mounted = [line.split()[1] for line in Path("/proc/self/mounts").read_text().splitlines()]
    for mount in sorted((one for one in mounted if one.startswith(f"{place}/")), reverse=True):
        run("umount", "--lazy", mount)


@contextmanager
def connect(network: Network) -> Iterator[None]:
    """
    Make a network namespace with a way out by NAT. What a killed run has left of it goes first.
    """
    forward = Path("/proc/sys/net/ipv4/ip_forward")
    subnet = f"{network.subnet}.0/30"
    rules = (
        ("-t", "nat", "POSTROUTING", "-s", subnet, "-j", "MASQUERADE"),
        ("-t", "filter", "FORWARD", "-s", subnet, "-j", "ACCEPT"),
        ("-t", "filter", "FORWARD", "-d", subnet, "-j", "ACCEPT"),
    )

    def remove_rules() -> None:
        for option, table, chain, *rest in rules:
            while _try("iptables", "--wait", option, table, "-D", chain, *rest):
                pass

    def remove_namespace() -> None:
        _try("ip", "netns", "delete", network.name)
        # The other end goes with the namespace, but a moment later.
        _try("ip", "link", "delete", network.near)

    remove_rules()
    remove_namespace()
    with ExitStack() as undo:
        undo.callback(remove_namespace)
        run("ip", "netns", "add", network.name)
        run("ip", "link", "add", network.near, "type", "veth", "peer", "name", network.far)
        run("ip", "link", "set", network.far, "netns", network.name)
        run("ip", "address", "add", f"{network.subnet}.1/30", "dev", network.near)
        run("ip", "link", "set", network.near, "up")
        for words in (
            ("address", "add", f"{network.subnet}.2/30", "dev", network.far),
            ("link", "set", network.far, "up"),
            ("link", "set", "lo", "up"),
            ("route", "add", "default", "via", f"{network.subnet}.1"),
        ):
            run("ip", "-n", network.name, *words)
        if (before := forward.read_text()).strip() != "1":
            forward.write_text("1")
            undo.callback(forward.write_text, before)
        undo.callback(remove_rules)
        for option, table, chain, *rest in rules:
            run("iptables", "--wait", option, table, "-I", chain, *rest)
        yield


def proxies() -> list[str]:
    """
    Return the assignments of this machine's proxy, if it has one.
    """
    names = ("HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "http_proxy", "https_proxy", "no_proxy")
    return [f"{name}={os.environ[name]}" for name in names if name in os.environ]


def run(*command: str) -> None:
    """
    Run a command that has to succeed.
    """
    subprocess.run(command, check=True)


def _try(*command: str) -> bool:
    return subprocess.run(command, check=False, capture_output=True).returncode == 0

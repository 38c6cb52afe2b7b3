"""Networks of containers: a namespace with a bridge, and a pair of interfaces for each end.

The namespace of the bridge has no interface of the host's. It belongs to the processes that watch
the containers: each has it open, so it ends with the last of them, and nothing is left if all are
killed.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import socket
from typing import TYPE_CHECKING

from .kernel.netlink import LinkMaker
from .kernel.system import NEW_NET, enter, in_network, unshare
from .processes import is_alive

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["Attachment", "locked", "new_namespace", "plug_in"]

_BRIDGE = "bridge"
_PREFIX, _BITS = "10.88.", 16
_LAST = 0xFFFE


class Attachment:
    """
    The end of a container in a network.

    Attributes:
        network: the id of the network.
        address: the container's.
        switch: the descriptor of the namespace with the bridge.
    """

    def __init__(self, network: str, address: str, switch: int) -> None:
        self.network = network
        self.address = address
        self.switch = switch


def _own_namespace() -> int:
    """
    Return a descriptor of the network namespace of this process.
    """
    return os.open("/proc/self/ns/net", os.O_RDONLY | os.O_CLOEXEC)


def new_namespace() -> None:
    """
    Move this process into a new network namespace, in which only the loopback interface is.

    Raises:
        OSError: the kernel refused.
    """
    unshare(NEW_NET)
    kernel = LinkMaker()
    kernel.turn_on(socket.if_nametoindex("lo"))
    kernel.close()
    _permit("ip_unprivileged_port_start", "0")
    # A user namespace has fewer groups.
    _permit("ping_group_range", "0 2147483647", "0 65535")


def _permit(name: str, *values: str) -> None:
    """
    Set what the kernel has for each network to the first of *values* that it takes.
    """
    for value in values:
        with contextlib.suppress(OSError), open(f"/proc/sys/net/ipv4/{name}", "w") as file:
            file.write(value)
            file.flush()
            return


def plug_in(root: str, network: str, interface: str) -> Attachment:
    """
    Connect the network namespace of this process to a network.

    The caller holds the lock of the network until others can find this process by its record.

    Args:
        root: the directory of the engine.
        network: the id of the network.
        interface: the name of the interface to make.

    Raises:
        OSError: the kernel refused.
    """
    taken, switch = _look_around(root, network)
    if switch is None:
        switch = _new_switch()
    number = _next_number(root, network, taken)
    address = f"{_PREFIX}{number >> 8}.{number & 255}"
    mine = _own_namespace()
    try:
        with in_network(switch):
            kernel = LinkMaker()
            bridge = socket.if_nametoindex(_BRIDGE)
            kernel.add_pair(f"v{number}", bridge, interface, mine)
            kernel.close()
    finally:
        os.close(mine)
    kernel = LinkMaker()
    index = socket.if_nametoindex(interface)
    kernel.add_address(index, address, _BITS)
    kernel.turn_on(index)
    kernel.close()
    return Attachment(network, address, switch)


@contextlib.contextmanager
def locked(root: str, network: str) -> Iterator[None]:
    """
    Let no other process attach to the network for the time of the block.
    """
    descriptor = os.open(f"{root}/networks/{network}/lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        # A child may have the descriptor, too.
        fcntl.flock(descriptor, fcntl.LOCK_UN)
        os.close(descriptor)


def _new_switch() -> int:
    mine = _own_namespace()
    unshare(NEW_NET)
    switch = _own_namespace()
    kernel = LinkMaker()
    kernel.add_bridge(_BRIDGE)
    kernel.close()
    enter(mine)
    os.close(mine)
    return switch


def _look_around(root: str, network: str) -> tuple[set[int], int | None]:
    """
    Return the numbers of addresses that are taken, and the namespace of the bridge if there is one.
    """
    taken, switch = set[int](), None
    for name in os.listdir(f"{root}/containers"):
        try:
            with open(f"{root}/containers/{name}/state.json") as file:
                state = json.load(file)
        except (OSError, ValueError):
            continue
        mine = state.get("networks", {}).get(network)
        if not mine or not is_alive(state["monitor"]):
            continue
        high, low = mine["address"].split(".")[2:]
        taken.add(int(high) << 8 | int(low))
        if switch is None:
            path = f"/proc/{state['monitor'][0]}/fd/{mine['switch']}"
            with contextlib.suppress(OSError):
                switch = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    return taken, switch


def _next_number(root: str, network: str, taken: set[int]) -> int:
    """
    Return the number of an address that nobody has, and that nobody has had for long.
    """
    path = f"{root}/networks/{network}/last"
    try:
        with open(path) as file:
            last = int(file.read() or 1)
    except (FileNotFoundError, ValueError):
        last = 1
    number = last
    while True:
        number = number + 1 if number < _LAST else 2
        if number not in taken:
            break
    with open(path, "w") as file:
        file.write(str(number))
    return number

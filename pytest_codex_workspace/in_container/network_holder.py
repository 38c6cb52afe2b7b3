"""The first process of a network holder: removes every route except the one to the proxy.

The holder owns the network namespace that workspaces join. It starts with the
capability NET_ADMIN and waits for one line of JSON on standard input, `{"proxy":
address}`. It replaces all IPv4 routes with a single route to that address, drops
all capabilities, and verifies both. It answers with one line of JSON, `{"ready":
true, "address": own address}` or `{"error": text}`, and runs until its input ends.
The program is a single file that needs only the standard library.

With `--standalone NAME FILE`, the holder reads no input: it looks up the proxy's
address with the engine's resolver, blocks that resolver as well, creates FILE when
it is ready, and runs until SIGTERM.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import json
import os
import signal
import socket
import struct
import sys
import time

__all__ = ["main"]

_NLMSG_ERROR = 2
_REQUEST_ACK = 0x01 | 0x04
_CREATE = 0x400
_NEW_ROUTE, _DEL_ROUTE, _NEW_RULE = 24, 25, 32
_HEADER = struct.Struct("=IHHII")
_BODY = struct.Struct("=8BI")
_NUMBER = struct.Struct("=I")
_DST, _OIF, _PRIORITY, _OIFNAME = 1, 4, 6, 17
_MAIN_TABLE, _BOUND_TABLE = 254, 100
_STATIC, _LINK, _HOST, _NOWHERE = 4, 253, 254, 255
_UNICAST, _LOCAL, _UNREACHABLE, _TO_TABLE = 1, 2, 7, 1
_LOCAL_TABLE = 255

_CAPBSET_DROP, _SET_NO_NEW_PRIVS = 24, 38
_CAP_AMBIENT, _CAP_AMBIENT_CLEAR_ALL = 47, 4
_CAPABILITY_VERSION = 0x20080522
_CAPABILITY_SETS = ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb")

_OUTSIDE = "192.0.2.1"
_LINE_LIMIT = 4096
_ENGINE_RESOLVER = "127.0.0.11"
_LOOKUP_SECONDS = 30.0


class Netlink:
    """
    Sends requests about IPv4 routing to the kernel.
    """

    def __init__(self) -> None:
        self._socket = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, socket.NETLINK_ROUTE)

    def route(
        self, kind: int, table: int, scope: int, what: int, bits: int, **attributes: int | bytes
    ) -> None:
        """
        Add (*kind* `_NEW_ROUTE`) or remove (`_DEL_ROUTE`) a route.

        Args:
            kind: `_NEW_ROUTE` or `_DEL_ROUTE`.
            table: number of the routing table.
            scope: scope of the destinations.
            what: type of the route.
            bits: prefix length of the destination.
            attributes: `dst`, `oif` and `priority`, as numbers in native byte
                order.

        Raises:
            OSError: the kernel refused the request.
        """
        numbers = {"dst": _DST, "oif": _OIF, "priority": _PRIORITY}
        protocol = _STATIC if kind == _NEW_ROUTE else 0
        body = _BODY.pack(socket.AF_INET, bits, 0, 0, table, protocol, scope, what, 0)
        self._request(kind, body, {numbers[name]: value for name, value in attributes.items()})

    def rule(self, interface: str, table: int) -> None:
        """
        Make sockets that are bound to *interface* use the routing table *table*.

        Raises:
            OSError: the kernel refused the request.
        """
        body = _BODY.pack(socket.AF_INET, 0, 0, 0, table, 0, 0, _TO_TABLE, 0)
        self._request(
            _NEW_RULE, body, {_OIFNAME: interface.encode() + b"\0", _PRIORITY: _BOUND_TABLE}
        )

    def _request(self, kind: int, body: bytes, attributes: dict[int, int | bytes]) -> None:
        for number, value in attributes.items():
            data = value if isinstance(value, bytes) else _NUMBER.pack(value)
            body += struct.pack("=HH", 4 + len(data), number) + data + b"\0" * (-len(data) % 4)
        flags = _REQUEST_ACK if kind == _DEL_ROUTE else _REQUEST_ACK | _CREATE
        self._socket.send(_HEADER.pack(_HEADER.size + len(body), kind, flags, 1, 0) + body)
        answer = self._socket.recv(65536)
        code = struct.unpack_from("=i", answer, _HEADER.size)[0]
        if _HEADER.unpack_from(answer)[1] != _NLMSG_ERROR or code:
            raise OSError(-code, os.strerror(-code))


def read_routes() -> list[tuple[str, int, int, int, int]]:
    """
    Return the main IPv4 routes: interface, destination, mask, gateway, metric.
    """
    with open("/proc/net/route") as table:
        rows = [line.split() for line in table.readlines()[1:]]
    return [
        (row[0], int(row[1], 16), int(row[7], 16), int(row[2], 16), int(row[6])) for row in rows
    ]


def isolate(proxy: str) -> str:
    """
    Remove all routes except one to *proxy*.

    Returns:
        The interface that leads to the proxy.

    Raises:
        ValueError: no interface leads to the proxy.
        OSError: the kernel refused a change.
    """
    target = _NUMBER.unpack(socket.inet_aton(proxy))[0]
    present = read_routes()
    near = [row[0] for row in present if row[2] and not row[3] and target & row[2] == row[1]]
    if not near:
        raise ValueError(f"the proxy's address {proxy} is on no network of this container")
    netlink = Netlink()
    for interface, destination, mask, _, metric in present:
        index = socket.if_nametoindex(interface)
        bits = bin(mask).count("1")
        where = {"dst": destination, "oif": index, "priority": metric}
        netlink.route(_DEL_ROUTE, _MAIN_TABLE, _NOWHERE, 0, bits, **where)
        # Broadcast addresses; older kernels have one for the lowest address as well.
        for everyone in (destination | ~mask & 0xFFFFFFFF, destination):
            with contextlib.suppress(ProcessLookupError):
                where = {"dst": everyone, "oif": index}
                netlink.route(_DEL_ROUTE, _LOCAL_TABLE, _NOWHERE, 0, 32, **where)
    index = socket.if_nametoindex(near[0])
    netlink.route(_NEW_ROUTE, _MAIN_TABLE, _LINK, _UNICAST, 32, dst=target, oif=index)
    # If no route matches and a socket is bound to an interface (`curl --interface
    # eth0`), the kernel treats every address as a neighbour, and so reaches the
    # other containers. For such sockets, a route has to match.
    netlink.route(_NEW_ROUTE, _BOUND_TABLE, _LINK, _UNICAST, 32, dst=target, oif=index)
    netlink.route(_NEW_ROUTE, _BOUND_TABLE, _HOST, _LOCAL, 0, oif=index)
    netlink.rule(near[0], _BOUND_TABLE)
    return near[0]


def block(address: str) -> None:
    """
    Make one of this namespace's own addresses unreachable.

    Raises:
        OSError: the kernel refused the request.
    """
    target = _NUMBER.unpack(socket.inet_aton(address))[0]
    Netlink().route(_NEW_ROUTE, _LOCAL_TABLE, _HOST, _UNREACHABLE, 32, dst=target)


def drop_capabilities() -> None:
    """
    Drop all capabilities permanently.

    Raises:
        OSError: the kernel refused the request.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    number = 0
    while libc.prctl(_CAPBSET_DROP, number, 0, 0, 0) == 0:
        number += 1
    libc.prctl(_CAP_AMBIENT, _CAP_AMBIENT_CLEAR_ALL, 0, 0, 0)
    libc.prctl(_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    header = struct.pack("=II", _CAPABILITY_VERSION, 0)
    if libc.capset(header, struct.pack("=6I", *[0] * 6)):
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))


def find_leak(interface: str) -> str:
    """
    Describe a remaining way out; empty if the namespace is isolated.
    """
    for bound in (False, True):
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
            if bound:
                name = interface.encode() + b"\0"
                try:
                    probe.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, name)
                except PermissionError:
                    break  # Before Linux 5.7, a workspace cannot bind sockets either.
            code = probe.connect_ex((_OUTSIDE, 9))
        if code != errno.ENETUNREACH:
            how = "by a socket bound to the interface " if bound else ""
            return f"an outside address is still routed {how}({os.strerror(code)})"
    if len(read_routes()) != 1:
        return "there is more than one route"
    # A socket bound to the interface may still broadcast to all neighbours,
    # whatever the routes. Source validation makes them drop the packets.
    with open("/proc/sys/net/ipv4/conf/all/rp_filter") as setting:
        if setting.read().strip() != "1":
            return (
                "packets of neighbours are accepted: create the container with sysctl rp_filter=1"
            )
    with open("/proc/self/status") as status:
        sets = dict(line.split(":", 1) for line in status)
    kept = [name for name in _CAPABILITY_SETS if int(sets.get(name, "0"), 16)]
    if kept:
        return f"capabilities were not dropped: {', '.join(kept)}"
    settings = "/proc/sys/net/ipv6/conf"
    for each in os.listdir(settings) if os.path.isdir(settings) else ():
        with open(f"{settings}/{each}/disable_ipv6") as setting:
            # Each workspace turns it on for loopback, and for no other interface.
            if each != "lo" and setting.read().strip() != "1":
                return (
                    f"IPv6 is enabled ({each}): create the container with sysctl "
                    "net.ipv6.conf.all.disable_ipv6=1"
                )
    return ""


def prepare(line: bytes) -> dict[str, object]:
    """
    Handle the request in *line*.

    Returns:
        The answer to send.
    """
    try:
        asked = json.loads(line)
        proxy = asked["proxy"]
        interface = isolate(proxy)
        for address in asked.get("bar", ()):
            block(address)
        drop_capabilities()
        problem = find_leak(interface)
        if problem:
            return {"error": problem}
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
            probe.connect((proxy, 9))
            return {"ready": True, "address": probe.getsockname()[0]}
    except PermissionError as error:
        return {"error": f"{error}: the container needs the capability NET_ADMIN at its start"}
    except OSError as error:
        return {"error": f"{error}: the kernel must support policy routing of IPv4"}
    except (KeyError, TypeError, ValueError) as error:
        return {"error": f"{error or type(error).__name__} (in the request {line[:200]!r})"}


def look_up(name: str) -> str:
    """
    Look up the address of *name*, which may not be known at once.

    Raises:
        OSError: the name is still unknown after 30 s.
    """
    deadline = time.monotonic() + _LOOKUP_SECONDS
    while True:
        try:
            return socket.gethostbyname(name)
        except OSError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.1)


def stand_alone(name: str, ready: str) -> int:
    """
    Isolate the namespace without instructions from a host.

    Args:
        name: name of the proxy.
        ready: path of a file to create once the namespace is isolated.

    Returns:
        The exit code, after SIGTERM or an error.
    """
    with contextlib.suppress(FileNotFoundError):
        os.unlink(ready)
    try:
        address = look_up(name)
    except OSError as error:
        sys.stderr.write(f"the proxy {name!r} has no address on this network: {error}\n")
        return 1
    answer = prepare(json.dumps({"proxy": address, "bar": [_ENGINE_RESOLVER]}).encode())
    os.write(1, json.dumps(answer).encode() + b"\n")
    if "error" in answer:
        return 1
    # Signals have no default action for the first process of a container.
    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM])
    with open(ready, "w"):
        pass
    signal.sigwait([signal.SIGTERM])
    return 0


def main() -> int:
    """
    Handle one request on standard input, then wait for the end of input.

    Returns:
        The exit code.
    """
    if sys.argv[1:2] == ["--standalone"]:
        return stand_alone(*sys.argv[2:])
    line = b""
    while b"\n" not in line and len(line) < _LINE_LIMIT:
        piece = os.read(0, _LINE_LIMIT)
        if not piece:
            return 0
        line += piece
    answer = prepare(line.split(b"\n", 1)[0])
    os.write(1, json.dumps(answer).encode() + b"\n")
    if "error" in answer:
        return 1
    while os.read(0, _LINE_LIMIT):
        pass
    return 0


if __name__ == "__main__":
    raise SystemExit(main())

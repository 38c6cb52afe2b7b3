"""The first process of a network holder: removes every route except the one to the proxy.

It also says when nothing of a workspace is left in the namespace.

The holder owns the network namespace that workspaces join. It starts with the
capability NET_ADMIN and waits for one line of JSON on standard input, `{"proxy":
address}`. It replaces all IPv4 routes with a single route to that address, drops
all capabilities, and verifies both. It answers with one line of JSON, `{"ready":
true, "address": own address}` or `{"error": text}`, and runs until its input ends.
The program is a single file that needs only the standard library.

Further lines ask it to `{"drain": {"seconds": 2.0, "port": 8080, "dns_port": 53}}`: to wait until
no socket of the namespace can send anything to the proxy, then to connect to the proxy behind all
that has been sent. It answers `{"drained": true, "sentinels": 1}` with the number of connections
that it made to the first port, or `{"drained": false, "sentinels": 0, "why": text}`.

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
import select
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

_SOCKET_TABLES = ("/proc/net/tcp", "/proc/net/tcp6", "/proc/net/udp", "/proc/net/udp6")
_TIME_WAIT, _CLOSED, _LISTENING = "06", "07", "0A"
_MOST_PORTS = 10000
"""Ports that may be taken for a minute by connections that have ended; a namespace has 28,000."""

_STEPS = (0.005, 0.2)


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


def busy_sockets(proxy: str, tables: tuple[str, ...] = _SOCKET_TABLES) -> str:
    """
    Describe the sockets of this namespace that can still send something to the proxy, or that
    take the ports of the next workspace; empty if there are none.

    Args:
        proxy: address of the proxy.
        tables: the kernel's tables of sockets.
    """
    # Both address families end with the IPv4 address, as a number in the machine's byte order.
    address = f"{_NUMBER.unpack(socket.inet_aton(proxy))[0]:08X}"
    resolver = f"{_NUMBER.unpack(socket.inet_aton(_ENGINE_RESOLVER))[0]:08X}"
    open_, ended = 0, 0
    for name in tables:
        try:
            with open(name) as table:
                rows = [line.split() for line in table.readlines()[1:]]
        except FileNotFoundError:
            continue
        for row in rows:
            local, remote, state, queues = row[1], row[2], row[3], row[4]
            to_proxy = remote.split(":")[0].endswith(address)
            if "udp" in name:
                # The engine's resolver forwards what it has received some time later.
                unread = local.split(":")[0].endswith(resolver) and not queues.endswith("00000000")
                open_ += to_proxy or unread
            elif state == _TIME_WAIT:
                ended += 1
            elif to_proxy and state not in (_CLOSED, _LISTENING):
                open_ += 1
    if open_:
        return f"{open_} sockets to the proxy are open"
    return f"{ended} ports are still taken" if ended > _MOST_PORTS else ""


def drain(proxy: str, seconds: float, port: int, dns_port: int) -> dict[str, object]:
    """
    Wait until nothing that was sent from this namespace is on its way to the proxy.

    The proxy closes connections of an address without an owner in the order in which they came.
    So the end of a connection that is made here says that it has seen all earlier ones.

    Args:
        proxy: address of the proxy.
        seconds: how long to wait.
        port: port of the proxy.
        dns_port: port of its resolver.

    Returns:
        The answer to send.
    """
    deadline = time.monotonic() + seconds
    made, step, last = 0, _STEPS[0], _STEPS[1]
    why = busy_sockets(proxy)
    while why and time.monotonic() < deadline:
        # The end of input is felt at once.
        if select.select([0], [], [], step)[0]:
            break
        step = min(2 * step, last)
        why = busy_sockets(proxy)
    if not why:
        try:
            made += pass_queue(proxy, port, deadline)
            pass_queue(proxy, dns_port, deadline)
        except OSError as error:
            why = f"the proxy does not answer ({error})"
    if why:
        return {"drained": False, "sentinels": made, "why": why}
    return {"drained": True, "sentinels": made}


def pass_queue(proxy: str, port: int, deadline: float) -> int:
    """
    Connect, and wait until the proxy closes the connection.

    Returns:
        The number of connections that were made.

    Raises:
        OSError: it was not closed before *deadline*.
    """
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as sentinel:
        sentinel.settimeout(max(deadline - time.monotonic(), 0.1))
        sentinel.connect((proxy, port))
        sentinel.settimeout(max(deadline - time.monotonic(), 0.1))
        with contextlib.suppress(ConnectionResetError):
            while sentinel.recv(_LINE_LIMIT):
                pass
    return 1


def answer(proxy: str, line: bytes) -> dict[str, object]:
    """
    Handle a further request.

    Returns:
        The answer to send.
    """
    try:
        asked = json.loads(line)["drain"]
        return drain(proxy, float(asked["seconds"]), int(asked["port"]), int(asked["dns_port"]))
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
    Isolate the namespace, then handle requests on standard input until its end.

    Returns:
        The exit code.
    """
    if sys.argv[1:2] == ["--standalone"]:
        return stand_alone(*sys.argv[2:])
    rest, proxy = b"", ""
    while len(rest) < _LINE_LIMIT:
        piece = os.read(0, _LINE_LIMIT)
        if not piece:
            return 0
        *lines, rest = (rest + piece).split(b"\n")
        for line in lines:
            said = answer(proxy, line) if proxy else prepare(line)
            os.write(1, json.dumps(said).encode() + b"\n")
            if not proxy and "error" in said:
                return 1
            proxy = proxy or json.loads(line)["proxy"]
    return 1


if __name__ == "__main__":
    raise SystemExit(main())

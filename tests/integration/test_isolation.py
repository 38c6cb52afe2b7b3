"""S12: A workspace cannot bypass the proxy."""

from __future__ import annotations

import contextlib
import json
import socket
import subprocess
import threading

import pytest

from pytest_codex_workspace.engine import labels
from pytest_codex_workspace.engine.protocol import Engine
from pytest_codex_workspace.errors import ProxyError
from pytest_codex_workspace.options.config import Config
from pytest_codex_workspace.reporting.output import Output
from pytest_codex_workspace.session import Session
from pytest_codex_workspace.workspace.handle import Workspace

from ..helpers.near_engine import near

_CONNECT = """
import json, socket, sys
found = []
for family, kind, address in json.loads(sys.argv[1]):
    try:
        with socket.socket(getattr(socket, family), getattr(socket, kind)) as s:
            s.settimeout(10)
            s.connect(tuple(address))
            s.send(b"x")
        said = "connected"
    except OSError as error:
        said = type(error).__name__ + " " + str(error)
    found.append(said)
print(json.dumps(found))
"""


def attempt(ws, *targets):
    """
    Try to connect to *targets*, and return the result of each attempt.
    """
    text = json.dumps([[family, kind, address] for family, kind, address in targets])
    return json.loads(ws.exec(["python3", "-c", _CONNECT, text], check=True, timeout=60).stdout)


def addresses_of_this_machine(engine: Engine) -> list[str]:
    """
    Return those that the tests see, and those that the engine sees if its network is another.
    """
    command = ["ip", "-4", "-o", "addr"]
    found = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    with near(engine.url):
        found += subprocess.run(command, check=True, capture_output=True, text=True).stdout
    lines = [line for line in found.splitlines() if " lo " not in line]
    return list(dict.fromkeys(line.split()[3].split("/")[0] for line in lines))


def hosts_of(engine: Engine, ws: Workspace) -> list[str]:
    """
    Return the addresses of the engine's machine on the network of a workspace.
    """
    session = engine.container(ws.container).labels[labels.SESSION]
    (network,) = engine.networks({labels.SESSION: session})
    return engine.host_addresses(network.id)


@pytest.mark.promise("S12")
def test_every_direct_connection_fails_at_once(
    codex_engine, plain, plain_repo, codex_workspace_factory, pip_index
):
    """
    S12: Connections to the internet, the host, the bridge and another workspace fail over TCP,
    UDP and IPv6.
    """
    outside = socket.gethostbyname(pip_index.removeprefix("https://"))
    with socket.create_connection((outside, 443), 10):
        pass  # It can be reached from here, so the refusal below is ours.
    other = codex_workspace_factory(repo=plain_repo)
    own = other.exec("hostname -I", check=True).stdout.split()[0]
    hosts = {*addresses_of_this_machine(codex_engine), *hosts_of(codex_engine, plain)}
    hosts |= {own, outside, "169.254.169.254"}
    targets = [
        *(("AF_INET", "SOCK_STREAM", (host, port)) for host in hosts for port in (80, 443)),
        *(("AF_INET", "SOCK_DGRAM", (host, 53)) for host in hosts),
        ("AF_INET6", "SOCK_STREAM", ("2001:db8::1", 443)),
    ]

    for (_, _, address), said in zip(targets, attempt(plain, *targets), strict=True):
        assert said.startswith("OSError"), (address, said)
        assert "unreachable" in said or "Cannot assign" in said, (address, said)


@pytest.mark.promise("S12")
def test_a_listener_on_the_host_hears_nothing(codex_engine, plain):
    """
    S12: A service of this machine that listens on every address is out of reach.
    """
    heard: list[object] = []
    with near(codex_engine.url):
        server = socket.create_server(("0.0.0.0", 0))
    with server:
        port = server.getsockname()[1]
        server.settimeout(0.2)

        def listen() -> None:
            with contextlib.suppress(OSError):
                heard.append(server.accept())

        thread = threading.Thread(target=listen)
        thread.start()
        hosts = addresses_of_this_machine(codex_engine)
        targets = [("AF_INET", "SOCK_STREAM", (host, port)) for host in hosts]
        said = attempt(plain, *targets)
        thread.join()

    assert heard == []
    assert not [one for one in said if one == "connected"]


@pytest.mark.promise("S12")
def test_outside_names_are_refused_and_logged(plain):
    """
    S12: A look-up fails at once with an ordinary error, and the log has the name.
    """
    script = (
        "import socket\n"
        "try: socket.getaddrinfo('outside.example', 443)\n"
        "except OSError as error: print(type(error).__name__)\n"
    )
    # Without an answer, it would try several times for so long.
    patient = {"RES_OPTIONS": "timeout:30 attempts:5"}
    result = plain.exec(["python3", "-c", script], check=True, env=patient, timeout=60)

    assert result.stdout == "gaierror\n"
    plain.network.assert_blocked(reason="direct-dns", host="outside.example")
    assert len(plain.network.requests(host="outside.example")) == 1


@pytest.mark.promise("S12")
def test_the_own_name_is_no_outside_name(plain):
    """
    S12: Names that programs look up by themselves, as git does, are not in the log.
    """
    found = plain.exec("getent ahosts $(hostname) && hostname -I", check=True).stdout.split()

    assert found[0] == found[-1]
    plain.network.assert_nothing_blocked()


@pytest.mark.promise("S12")
def test_the_engines_own_resolver_gives_nothing_away(plain):
    """
    S12: The engine's resolver does not answer for outside names, even if asked directly.
    """
    query = (
        "import socket; s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); s.settimeout(5)\n"
        "q = bytes([18, 52, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0, 7]) + b'outside'\n"
        "q += bytes([7]) + b'example' + bytes([0, 0, 1, 0, 1])\n"
        "try:\n s.sendto(q, ('127.0.0.11', 53)); a = s.recv(512); print(a[3] & 15, a[6:8])\n"
        "except OSError as error: print('error', error)"
    )
    said = plain.exec(["python3", "-c", query], check=True, timeout=20).stdout

    assert said.startswith("error") or said.split(" ", 1)[0] in ("2", "3", "5"), said
    assert "error" in said or r"b'\x00\x00'" in said


@pytest.mark.promise("S12")
def test_the_workspace_has_no_power_over_its_network(plain):
    """
    S12: A workspace cannot add a route, open a raw socket or take an address, nor in a user
    namespace of its own, if the engine lets it make one.
    """
    status = plain.path("/proc/self/status").read_text()
    bounding = int(status.split("CapBnd:")[1].split()[0], 16)
    raw = "import socket; socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP)"
    packet = "import socket; socket.socket(socket.AF_PACKET, socket.SOCK_RAW)"

    assert not bounding & (1 << 12)  # NET_ADMIN
    assert not bounding & (1 << 13)  # NET_RAW
    for inside in ([], ["unshare", "--user", "--map-root-user"]):
        for script in (raw, packet):
            said = plain.exec([*inside, "python3", "-c", script])
            assert "PermissionError" in said.stderr or "unshare failed" in said.stderr
        for change in ("route add unreachable 203.0.113.0/24", "address add 203.0.113.1/32 dev lo"):
            said = plain.exec([*inside, "ip", *change.split()])
            assert "Operation not permitted" in said.stderr, said


@pytest.mark.promise("S12")
def test_nothing_of_the_engine_or_host_is_mounted(codex_engine, plain):
    """
    S12: No engine socket, path of the host or device is mounted.
    """
    mounts = plain.path("/proc/self/mounts").read_text().splitlines()
    kinds = {line.split()[1]: line.split()[2] for line in mounts}
    real = {
        path
        for path, kind in kinds.items()
        if kind
        not in ("proc", "sysfs", "tmpfs", "devpts", "mqueue", "cgroup", "cgroup2", "overlay")
    }

    # Where users are mapped, an engine may make no device: it mounts the usual ones, and /dev/null
    # over files of the kernel that are not for containers.
    usual = {f"/dev/{one}" for one in ("null", "zero", "full", "tty", "random", "urandom")}
    hidden = {path for path in real if path.startswith("/proc/") and kinds[path] == "devtmpfs"}
    assert real - usual - hidden <= {"/etc/hosts", "/etc/hostname", "/etc/resolv.conf"}
    assert not plain.path("/var/run/docker.sock").exists()
    if codex_engine.capacity.limits_processes:
        limit = "cat /sys/fs/cgroup/pids/pids.max /sys/fs/cgroup/pids.max 2>/dev/null"
        assert int(plain.exec(limit).stdout.split()[0]) <= 4096


@pytest.mark.promise("S12")
def test_a_workspace_leaves_no_trap_for_the_next(codex_workspace_factory, plain_repo, codex_proxy):
    """
    S12: The next workspace in a namespace gets a new hosts file and resolver configuration.
    """
    for _ in range(3):
        ws = codex_workspace_factory(repo=plain_repo)
        assert "6.6.6.6" not in ws.path("/etc/hosts").read_text()
        assert "6.6.6.6" not in ws.path("/etc/resolv.conf").read_text()
        ws.exec("echo 6.6.6.6 proxy >/etc/hosts; echo nameserver 6.6.6.6 >/etc/resolv.conf")
        assert "6.6.6.6" in ws.path("/etc/hosts").read_text()


@pytest.mark.promise("S12")
def test_the_proxy_does_not_lead_to_the_host(codex_engine, plain):
    """
    S12: The proxy does not connect to the host, or to loopback, private or metadata addresses.
    """
    addresses = addresses_of_this_machine(codex_engine)
    hosts = [*addresses, "127.0.0.1", "10.0.0.1", "169.254.169.254"]
    for host in hosts:
        result = plain.exec(
            ["curl", "-sS", f"https://{host}/"], env={"NO_PROXY": "", "no_proxy": ""}
        )
        assert "403" in result.stderr, (host, result.stderr)
        plain.network.assert_blocked(reason="private-address", host=host)


_BROADCAST = """
import socket, sys
with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
    s.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
    for address in sys.argv[2:]:
        try:
            s.sendto(b"stolen", (address, 9999))
            print("sent", address)
        except OSError as error:
            print(type(error).__name__, error)
    s.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, b"eth0\\0")
    s.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, socket.inet_aton(sys.argv[1]))
    for address in sys.argv[2:]:
        try:
            s.sendto(b"stolen", (address, 9999))
        except OSError:
            pass
"""
_LISTEN = """
import socket, struct
with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
    s.bind(("", 9999))
    for own in ("0.0.0.0", "{own}"):
        try:
            group = struct.pack("4s4s", socket.inet_aton("224.0.0.251"), socket.inet_aton(own))
            s.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, group)
        except OSError:
            pass
    print("listening", flush=True)
    s.settimeout(3)
    try:
        print("heard", s.recv(100))
    except TimeoutError:
        print("nothing")
"""


@pytest.mark.promise("S12")
def test_two_workspaces_cannot_talk(plain, plain_repo, codex_workspace_factory):
    """
    S12: Two workspaces cannot exchange data even if both try, by broadcast or multicast.
    """
    other = codex_workspace_factory(repo=plain_repo)
    own = other.exec("hostname -I", check=True).stdout.split()[0]
    near = own.rsplit(".", 2)[0]
    listener = other.start(["python3", "-c", _LISTEN.format(own=own)])
    lines = iter(listener.stdout)
    assert next(lines) == "listening\n"

    targets = [own, "255.255.255.255", f"{near}.255.255", "224.0.0.251", "224.0.0.1"]
    mine = plain.exec("hostname -I", check=True).stdout.strip()
    said = plain.exec(["python3", "-c", _BROADCAST, mine, *targets], check=True).stdout

    assert list(lines) == ["nothing\n"], said
    assert "sent" not in said


_LISTEN_6 = """
import socket, struct
with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as s:
    s.bind(("::", 9999))
    for index, _ in socket.if_nameindex():
        try:
            group = struct.pack("16sI", socket.inet_pton(socket.AF_INET6, "ff02::1"), index)
            s.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_JOIN_GROUP, group)
        except OSError:
            pass
    with socket.create_server(("::1", 9998), family=socket.AF_INET6):
        print("listening", flush=True)
        while True:
            print("heard", s.recv(100).decode(), flush=True)
"""
_SEND_6 = """
import socket, sys
eth0 = socket.if_nametoindex("eth0")
for address in sys.argv[1:]:
    for device in (b"", b"eth0"):
        for kind in (socket.SOCK_DGRAM, socket.SOCK_STREAM):
            try:
                with socket.socket(socket.AF_INET6, kind) as s:
                    s.settimeout(5)
                    if device:
                        s.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, device)
                    s.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_IF, eth0)
                    s.connect((address, 9999, 0, eth0 if address[:2] in ("fe", "ff") else 0))
                    s.send(b"stolen")
                print("sent", address, device, kind)
            except OSError:
                pass
for kind, protocol in ((socket.SOCK_RAW, 58), (socket.SOCK_DGRAM, 58), (socket.SOCK_RAW, 255)):
    try:
        with socket.socket(socket.AF_INET6, kind, protocol) as s:
            s.sendto(bytes((128, 0, 0, 0, 0, 0, 0, 0)), ("ff02::1", 0, 0, eth0))
        print("sent", kind, protocol)
    except OSError:
        pass
"""


@pytest.mark.promise("S12")
def test_ipv6_is_on_loopback_only(plain, plain_repo, codex_workspace_factory):
    """
    S12: `::1` can be used, belongs to one workspace, and is the only IPv6: no address, route or
    neighbour, and nothing leaves by multicast, raw sockets or sockets bound to the interface.
    """
    other = codex_workspace_factory(repo=plain_repo)
    own = other.exec("hostname -I", check=True).stdout.split()[0]
    listener = other.start(["python3", "-c", _LISTEN_6])
    lines = iter(listener.stdout)
    assert next(lines) == "listening\n"
    local = ("AF_INET6", "SOCK_STREAM", ("::1", 9998))

    outside = ["ff02::1", "ff05::2", "ff0e::1", "fe80::1", "2001:db8::1", f"::ffff:{own}"]
    sent = plain.exec(["python3", "-c", _SEND_6, *outside], check=True).stdout
    refused, accepted = attempt(plain, local), attempt(other, local)

    assert sent == ""
    assert ["connected"] == accepted
    assert "refused" in refused[0]
    assert "::1\tlocalhost ip6-localhost ip6-loopback\n" in plain.path("/etc/hosts").read_text()
    look_up = "import socket; print(socket.getaddrinfo('localhost', 1)[0][4][0])"
    assert plain.exec(["python3", "-c", look_up]).stdout == "::1\n"
    for ws in (plain, other):
        devices = {
            line.split()[-1] for line in ws.path("/proc/net/if_inet6").read_text().splitlines()
        }
        routes = ws.path("/proc/net/ipv6_route").read_text().splitlines()
        assert {"lo"} == devices | {line.split()[-1] for line in routes}
        setting = ws.path("/proc/sys/net/ipv6/conf/eth0/disable_ipv6")
        assert setting.read_text() == "1\n"
        with pytest.raises(OSError, match="Read-only"):
            setting.write_text("0")
    # Had anything arrived, it would be before this.
    other.exec(["python3", "-c", "import socket; socket.socket(socket.AF_INET6, "
                "socket.SOCK_DGRAM).sendto(b'the end', ('::1', 9999))"], check=True)  # fmt: skip
    assert next(lines) == "heard the end\n"
    listener.kill()


@pytest.mark.promise("S12")
def test_nothing_answers_to_a_ping(codex_engine, plain, pip_index):
    """
    S12: ICMP fails at once, with every kind of socket that a process can open for it.
    """
    outside = socket.gethostbyname(pip_index.removeprefix("https://"))
    targets = [outside, *hosts_of(codex_engine, plain)]
    script = (
        "import socket, sys\n"
        "for target in sys.argv[1:]:\n"
        " try:\n"
        "  s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM, socket.IPPROTO_ICMP)\n"
        "  s.settimeout(5); s.sendto(b'\\x08\\0\\xf7\\xff' + bytes(4), (target, 0)); s.recv(99)\n"
        "  print('answered')\n"
        " except TimeoutError: print('silent')\n"
        " except OSError: print('failed')\n"
    )

    said = plain.exec(["python3", "-c", script, *targets], check=True).stdout

    assert said == "failed\n" * len(targets)


@pytest.mark.promise("S12")
def test_a_proxy_that_is_gone_is_reported(codex_engine, plain_repo, tmp_path):
    """
    S12: The next use of the log reports what happened, nothing hangs, and nothing gets out.
    """
    session = Session(Config(image="slim", engine=codex_engine.url), Output("quiet", _silent))
    try:
        ws = session.workspace(session.spec(session.repository(plain_repo), {}), "clean")
        codex_engine.remove(session.isolation.container)
        result = ws.exec("curl -sS --max-time 20 https://example.com/")

        assert not result.ok
        with pytest.raises(ProxyError, match="the proxy is lost"):
            ws.network.assert_nothing_blocked()
        with pytest.raises(ProxyError, match="the proxy is lost"):
            ws.network.use("offline")
    finally:
        with contextlib.suppress(ProxyError):
            session.close()


def _silent(_: str) -> None:
    return None

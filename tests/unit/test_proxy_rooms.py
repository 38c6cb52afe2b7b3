"""The proxy's smaller rooms: recognising, redacting, addresses, the authority."""

from __future__ import annotations

import asyncio
import contextvars
import socket
import ssl
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from mitmproxy.connection import Server
from mitmproxy.proxy.server_hooks import ServerConnectionHookData

from proxy_addons.certificate_authority import install_authority, remove_key, write_bundle
from proxy_addons.judge import addresses
from proxy_addons.judge.addresses import AddressGuard, GuardedEventLoop, connected_networks
from proxy_addons.mitm.sniff import is_http1, is_http2, is_tls
from proxy_addons.record.redact import safe_headers, safe_json, safe_path
from proxy_addons.state.connections import Conversation
from proxy_addons.state.limits import LOOKUPS
from pytest_codex_workspace.network.policy import Policy, RequestFacts

from .flows import World

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"


@pytest.mark.parametrize(
    ("recognise", "data", "answer"),
    [
        (is_tls, b"", None),
        (is_tls, b"\x16", None),
        (is_tls, b"\x16\x03", None),
        (is_tls, b"\x16\x03\x01", None),
        (is_tls, b"\x16\x03\x01\x02\x00", None),
        (is_tls, b"\x16\x03\x01\x02\x00\x01", True),
        (is_tls, b"\x16\x03\x01\x02\x00\x0e", False),
        (is_tls, b"\x16\x04", False),
        (is_tls, b"S", False),
        (is_tls, b"SSH-2.0", False),
        (is_tls, b"GET / HTTP/1.1\r\n", False),
        (is_http1, b"", None),
        (is_http1, b"GE", None),
        (is_http1, b"GET ", None),
        (is_http1, b"GET /a", None),
        (is_http1, b"GET /a HTTP/1.1\r", None),
        (is_http1, b"GET /a HTTP/1.1\r\n", True),
        (is_http1, b"OPTIONS * HTTP/1.0\nHost: x\r\n", True),
        (is_http1, b"GET /a HTTP/1.1\r\nHost: x\r\n\r\n", True),
        (is_http1, b"GET /a\r\n", False),
        (is_http1, b"GET  /a HTTP/1.1\r\n", False),
        (is_http1, b"GET /a b HTTP/1.1\r\n", False),
        (is_http1, b"GET /a HTTP/2.0\r\n", False),
        (is_http1, b"PRI * HTTP/2.0\r\n", False),
        (is_http1, b"SSH-2.0-x\r\n", False),
        (is_http1, b"\x00\x01", False),
        (is_http1, b"EHLO me\r\n", False),
        (is_http1, b"A" * 40, False),
        (is_http1, b"GET /" + b"a" * 70000, False),
        (is_http2, b"", None),
        (is_http2, PREFACE[:10], None),
        (is_http2, PREFACE + b"x", True),
        (is_http2, b"GET / HTTP/1.1\r\n", False),
    ],
)
def test_first_bytes(recognise: Any, data: bytes, answer: bool | None) -> None:
    """
    What is not positively recognised is refused; what might be is waited for.
    """
    assert recognise(data) is answer


@pytest.mark.parametrize(
    ("recognise", "data"),
    [(is_tls, b"\x16\x03\x01\x00"), (is_http1, b"GET /a HTTP/1.1\r\n"), (is_http2, PREFACE)],
)
def test_segments_do_not_matter(recognise: Any, data: bytes) -> None:
    """
    No prefix of something good is refused.
    """
    assert False not in [recognise(data[:end]) for end in range(len(data) + 1)]


@pytest.mark.parametrize(
    ("raw", "text"),
    [
        (b"/a", "/a"),
        (b"/a?b=1", "/a?b=1"),
        (b"/a?access_token=x&b=1", "/a?access_token=REDACTED&b=1"),
        (b"/a?API-KEY=x;b=2", "/a?API-KEY=REDACTED;b=2"),
        *(
            (f"/a?{name}=x&page=2".encode(), f"/a?{name}=REDACTED&page=2")
            for name in (
                *("pass", "passcode", "pw", "PassWord", "user_pass", "bearer", "assertion", "pat"),
                *("client_assertion", "SAMLResponse", "ticket", "hmac", "pin", "cookie", "csrf"),
                *("oauth_verifier", "code_verifier", "pwd", "passwd", "passphrase", "password"),
            )
        ),
        (b"/cb#access_token=x", "/cb#access_token=REDACTED"),
        (b"/cb#?token=x", "/cb#?token=REDACTED"),
        (b"/a?x=1?token=x", "/a?x=1?token=REDACTED"),
        (b"/a;jsessionid=x?b=1", "/a;jsessionid=REDACTED?b=1"),
        (b"/a?u=https://h/?token=x", "/a?u=https://h/?token=REDACTED"),
        (
            b"/a?u=https%3A%2F%2Fh%2F%3Ftoken%3Dx&b=1",
            "/a?u=https%3A%2F%2Fh%2F%3Ftoken%3DREDACTED&b=1",
        ),
        (
            b"/a?u=%2F%3Fv%3D%252F%253Ftoken%253Dx",
            "/a?u=%2F%3Fv%3D%252F%253Ftoken%253DREDACTED",
        ),
        (b"/a?u=https%3a%2F%2Fh%2F%3Fb%3d1", "/a?u=https%3a%2F%2Fh%2F%3Fb%3d1"),
        (b"/token=x?b=1", "/token=x?b=1"),
        (b"/a?passage=1&compass=n&pinned=1&pattern=x", "/a?passage=1&compass=n&pinned=1&pattern=x"),
        (b"/a?X-Amz-Signature=x", "/a?X-Amz-Signature=REDACTED"),
        (b"/a?authToken=x&accessToken=y", "/a?authToken=REDACTED&accessToken=REDACTED"),
        (b"/a?%74oken=x", "/a?%74oken=REDACTED"),
        (b"/a?password=a=b", "/a?password=REDACTED"),
        (b"/a?token=", "/a?token="),
        (b"/a?keyboard=us&monkey=1&author=me", "/a?keyboard=us&monkey=1&author=me"),
        (b"/\xff\x00 \x1b", "/%FF%00%20%1B"),
    ],
)
def test_paths_for_the_log(raw: bytes, text: str) -> None:
    """
    Printable, and without what looks like a secret.
    """
    assert text == safe_path(raw)


def test_long_paths_are_cut() -> None:
    """
    A workspace does not decide how much memory its log takes.
    """
    assert len(safe_path(b"/" + b"x" * 10_000_000)) == 4099


@pytest.mark.parametrize(
    ("target", "approved", "objection"),
    [
        (("example.org", 443), ("example.org", 443), None),
        (("example.org", 443), ("example.org", 8443), "it was not approved"),
        (("other.example", 443), ("example.org", 443), "it was not approved"),
        (("127.1", 443), ("127.1", 443), "127.1 is a private address"),
    ],
)
def test_connections_are_refused_unless_approved(
    target: tuple[str, int], approved: tuple[str, int], objection: str | None
) -> None:
    """
    Whatever mitmproxy has in mind, it leads only where a request was judged.
    """
    world = World()
    conversation = world.connect(("example.org", 443))
    conversation.approved[approved] = RequestFacts(approved[0], port=approved[1])
    server = Server(address=target)
    data = ServerConnectionHookData(server=server, client=conversation.client)
    # What is approved is known to the current task alone.
    contextvars.copy_context().run(AddressGuard(world.registry).server_connect, data)

    assert objection == server.error


@pytest.mark.parametrize(
    ("policy", "found", "left"),
    [
        (Policy(), ["93.184.216.34"], ["93.184.216.34"]),
        (Policy(), ["10.0.0.1", "93.184.216.34"], ["93.184.216.34"]),
        (Policy(), ["10.0.0.1", "::1"], None),
        (Policy(private=("10.0.0.0/8",)), ["10.0.0.1", "::1"], ["10.0.0.1"]),
    ],
)
def test_resolution(
    monkeypatch: pytest.MonkeyPatch, policy: Policy, found: list[str], left: list[str] | None
) -> None:
    """
    Only the addresses that may be used come out; none at all is a refusal.
    """
    monkeypatch.setattr(
        socket,
        "getaddrinfo",
        lambda *_: [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (each, 443)) for each in found],
    )
    world = World(policy)
    conversation = world.connect(("example.org", 443))

    async def resolve() -> list[str]:
        addresses._connecting.set((conversation, RequestFacts("example.org")))
        infos = await asyncio.get_running_loop().getaddrinfo("example.org", 443)
        return [info[4][0] for info in infos]

    with asyncio.Runner(loop_factory=GuardedEventLoop) as runner:
        if left is None:
            with pytest.raises(PermissionError, match=r"leads to 10\.0\.0\.1, ::1, a private"):
                runner.run(resolve())
            assert conversation.refused["example.org", 443].reason == "private-address"
        else:
            assert left == runner.run(resolve())


def test_slow_names_keep_nobody_else_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    """
    A workspace has few look-ups at a time, also when it no longer waits for them.
    """
    answered, lock = threading.Event(), threading.Lock()
    asked: list[str] = []

    def look_up(host: str, *_: Any) -> list[Any]:
        with lock:
            asked.append(host)
        if host.startswith("slow"):
            assert answered.wait(20)
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("93.184.216.34", 443))]

    monkeypatch.setattr(socket, "getaddrinfo", look_up)
    world = World()
    world.registry.register("172.30.0.10", "w2", "test")
    slow, quick = world.connect(), world.connect()
    quick.workspace = world.registry.workspace("172.30.0.10")

    async def resolve(conversation: Conversation, host: str) -> list[Any]:
        addresses._connecting.set((conversation, RequestFacts(host)))
        return await asyncio.get_running_loop().getaddrinfo(host, 443)

    async def attack() -> None:
        loop = asyncio.get_running_loop()
        loop.set_default_executor(ThreadPoolExecutor(LOOKUPS + 1))
        waiting = [asyncio.create_task(resolve(slow, f"slow{n}.example")) for n in range(20)]
        try:
            assert await asyncio.wait_for(resolve(quick, "quick.example"), 5)
            assert len(asked) == LOOKUPS + 1
            # Whoever goes away leaves the thread behind.
            for each in waiting[:10]:
                each.cancel()
            await asyncio.wait(waiting[:10])
            assert await asyncio.wait_for(resolve(quick, "again.example"), 5)
            assert len(asked) == LOOKUPS + 2
        finally:
            answered.set()
        assert len(await asyncio.gather(*waiting[10:])) == 10

    with asyncio.Runner(loop_factory=GuardedEventLoop) as runner:
        runner.run(attack())


def test_a_slow_name_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """
    With an error that says so, whether the name server is slow or the others before it.
    """
    answered = threading.Event()
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_: [answered.wait(20)])

    async def attack() -> list[BaseException | list[Any]]:
        loop = asyncio.get_running_loop()
        assert isinstance(loop, GuardedEventLoop)
        lookups = [
            loop.lookups.run("a", asyncio.SelectorEventLoop.getaddrinfo(loop, "x", 1), 0.2)
            for _ in range(LOOKUPS + 1)
        ]
        try:
            return await asyncio.gather(*lookups, return_exceptions=True)
        finally:
            answered.set()

    with asyncio.Runner(loop_factory=GuardedEventLoop) as runner:
        errors = runner.run(attack())

    assert [str(error) for error in errors] == [
        "its name could not be looked up within 0.2 s" for _ in range(LOOKUPS + 1)
    ]


def test_nobody_else_resolves() -> None:
    """
    A look-up for no approved connection is refused before it is made.
    """

    async def resolve() -> None:
        await asyncio.get_running_loop().getaddrinfo("example.org", 443)

    with (
        asyncio.Runner(loop_factory=GuardedEventLoop) as runner,
        pytest.raises(PermissionError, match="no approved connection"),
    ):
        runner.run(resolve())


def test_connected_networks(tmp_path: Path) -> None:
    """
    The routes without a gateway, but not the default one.
    """
    table = tmp_path / "route"
    table.write_text(
        "Iface\tDestination\tGateway\tFlags\tRefCnt\tUse\tMetric\tMask\tMTU\tWindow\tIRTT\n"
        "eth1\t00000000\t010011AC\t0003\t0\t0\t0\t00000000\t0\t0\t0\n"
        "eth0\t000014CB\t00000000\t0001\t0\t0\t0\t00FFFFFF\t0\t0\t0\n"
    )

    assert connected_networks(table) == ["203.20.0.0/24"]
    assert connected_networks(tmp_path / "none") == []


def test_the_authority(tmp_path: Path) -> None:
    """
    Made once, used again, and gone from the disk when it is in memory.
    """
    first, second, third = (tmp_path / name for name in ("first", "second", "third"))
    for each in (second, third):
        each.mkdir()
    made = install_authority(first, None)

    assert made is not None
    assert install_authority(second, made) is None
    assert (second / "mitmproxy-ca.pem").stat().st_mode & 0o077 == 0
    remove_key(second)
    assert list(second.iterdir()) == []
    for broken in ("no certificate", made + made, made.replace("BEGIN RSA", "BEGIN")):
        with pytest.raises(ValueError, match="the certificate authority"):
            install_authority(third, broken)


def test_the_bundle(tmp_path: Path) -> None:
    """
    What is no certificate is left out, the rest can be loaded.
    """
    made = install_authority(tmp_path, None)
    assert made is not None
    broken = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"
    write_bundle(tmp_path / "bundle.pem", f"# a company's\n{broken}{made}")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.load_verify_locations(tmp_path / "bundle.pem")

    assert "Codex Workspace" in str(context.get_ca_certs())
    assert "PRIVATE KEY" not in (tmp_path / "bundle.pem").read_text()
    assert broken not in (tmp_path / "bundle.pem").read_text()


def test_headers_that_are_recorded_hold_no_secret() -> None:
    """
    Neither by their name nor in an address.
    """
    pairs = [
        ("x-auth-token", "hush"),
        ("location", "https://a.test/x?signature=hush&page=2"),
        ("etag", '"1"'),
    ]

    assert safe_headers(pairs) == (
        ("location", "https://a.test/x?signature=REDACTED&page=2"),
        ("etag", '"1"'),
    )


@pytest.mark.parametrize(
    ("body", "clean"),
    [
        (b'{"access_token": "a\\"b", "n": 1}', b'{"access_token": "REDACTED", "n": 1}'),
        (b'{"PASSWORD":"x"}', b'{"PASSWORD":"REDACTED"}'),
        (b'{"tokens": ["a"], "name": "token"}', b'{"tokens": ["a"], "name": "token"}'),
    ],
)
def test_json_that_is_recorded_holds_no_credential(body: bytes, clean: bytes) -> None:
    """
    The names stay, and the text is still JSON.
    """
    assert safe_json(body) == clean


def test_what_goes_wrong_in_the_gate_is_a_refusal(monkeypatch: pytest.MonkeyPatch) -> None:
    """
    In the search for a stub too, and for a target that was approved before.
    """
    world = World()
    conversation = world.connect(("example.org", 443), sni="example.org")
    assert world.request(world.flow(conversation)) is None
    monkeypatch.setattr("proxy_addons.judge.gate.find_stub", lambda *_: 1 / 0)

    assert world.request(world.flow(conversation)) == "not-tls"

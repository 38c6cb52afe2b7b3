"""S10: The proxy's outside connections use private authorities and corporate proxies."""

from __future__ import annotations

import http.client
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import pytest

from pytest_codex_workspace.host.certificates import host_bundle
from pytest_codex_workspace.network.rules.upstream import UpstreamProxy

from ..helpers.ports import free_port
from .company_proxy import CompanyProxy
from .origin import LOCAL, Origin
from .proxy_process import Running, read_all

PASSWORD = "s3cret/with@signs"
ASKED = b"GET /asked HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"


@pytest.fixture(autouse=True)
def _engine() -> None:
    """
    Replace the fixture of this name: these tests need no engine.
    """


@pytest.fixture(scope="module")
def origin(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Origin]:
    """
    Start the server that the tests request.
    """
    server = Origin(tmp_path_factory.mktemp("origin"))
    yield server
    server.close()


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Origin]:
    """
    Start the same server without TLS.
    """
    server = Origin(tmp_path_factory.mktemp("plain"), tls=False)
    yield server
    server.close()


@pytest.fixture(scope="module")
def tunnels(tmp_path_factory: pytest.TempPathFactory) -> Iterator[CompanyProxy]:
    """
    Start a corporate proxy that requires a password and does not decrypt TLS.
    """
    proxy = CompanyProxy(
        tmp_path_factory.mktemp("tunnels"), proxyauth=f"me:{PASSWORD}", ignore_hosts=".*"
    )
    yield proxy
    proxy.close()


@pytest.fixture(scope="module")
def decrypts(origin: Origin, tmp_path_factory: pytest.TempPathFactory) -> Iterator[CompanyProxy]:
    """
    Start a corporate proxy that decrypts TLS, with an authority of its own.
    """
    directory = tmp_path_factory.mktemp("decrypts")
    (directory / "origin.pem").write_bytes(origin.certificate)
    proxy = CompanyProxy(directory, ssl_verify_upstream_trusted_ca=str(directory / "origin.pem"))
    yield proxy
    proxy.close()


@pytest.fixture
def behind(origin: Origin, plain: Origin, tmp_path: Path) -> Iterator[Starter]:
    """
    Return a function that starts the proxy behind an upstream proxy.
    """
    starter = Starter(origin, plain, tmp_path)
    yield starter
    starter.close()


class Starter:
    """
    Starts one proxy, with policies that allow both servers.
    """

    def __init__(self, origin: Origin, plain: Origin, directory: Path) -> None:
        self._origin, self._plain, self._directory = origin, plain, directory
        self._running: Running | None = None

    def __call__(
        self, url: str, no_proxy: str = "", trusts: bytes | None = None, **policy: object
    ) -> Running:
        ports = {"ports": (self._origin.port, self._plain.port), "http": "allow"}
        self._plain.seen.clear()
        self._running = Running(
            self._origin,
            self._directory,
            upstream=UpstreamProxy.parse(url, no_proxy),
            trusts=trusts,
            **{**ports, **policy},
        )
        return self._running

    def close(self) -> None:
        if self._running is not None:
            self._running.client.close()


def url_of(proxy: CompanyProxy, password: str = PASSWORD) -> str:
    """
    Return the URL as a user writes it.
    """
    return f"http://me:{quote(password, safe='')}@{LOCAL}:{proxy.port}"


def get_plain(running: Running, url: str) -> tuple[http.client.HTTPResponse, bytes]:
    """
    Send a request without TLS.
    """
    connection = http.client.HTTPConnection(LOCAL, running.port, timeout=20)
    # A workspace's own idea of a password must not get to the company's proxy.
    connection.request("GET", url, headers={"Proxy-Authorization": "Basic d29ya3NwYWNl"})
    response = connection.getresponse()
    try:
        return response, response.read()
    finally:
        connection.close()


@pytest.mark.promise("S10")
@pytest.mark.parametrize("variable", ["SSL_CERT_FILE", "REQUESTS_CA_BUNDLE"])
def test_the_hosts_own_authorities_are_trusted(origin, tmp_path, monkeypatch, variable):
    """
    S10: Authorities that the host names in variables are trusted besides the public ones.
    """
    file = tmp_path / "company.pem"
    file.write_bytes(origin.certificate)
    monkeypatch.setenv(variable, str(file))
    running = Running(origin, tmp_path, trusts=host_bundle())
    try:
        assert running.ask(ASKED).startswith(b"HTTP/1.1 200")
        running.log.assert_requested(count=1, path="/asked", status=200, verdict="allowed")
    finally:
        running.client.close()


@pytest.mark.promise("S10")
def test_through_a_tunnel(origin, tunnels, behind):
    """
    S10: The proxy sends the password, and verifies the certificate of the origin.
    """
    running = behind(url_of(tunnels))

    assert running.ask(ASKED).startswith(b"HTTP/1.1 200")
    running.log.assert_requested(count=1, host="localhost", path="/asked", status=200)
    assert origin.seen == [("GET", "/asked")]
    assert tunnels.prints(f"server connect localhost:{origin.port}"), tunnels.log


@pytest.mark.promise("S10")
@pytest.mark.parametrize("scheme", ["http", "https"])
def test_through_a_proxy_that_decrypts(origin, decrypts, behind, scheme):
    """
    S10: The host names the authority of the upstream proxy, which may itself be contacted over
    TLS.
    """
    running = behind(f"{scheme}://localhost:{decrypts.port}", trusts=decrypts.certificate)

    assert running.ask(ASKED).startswith(b"HTTP/1.1 200")
    running.log.assert_requested(count=1, host="localhost", path="/asked", status=200)
    assert origin.seen == [("GET", "/asked")]
    assert decrypts.prints(f"GET https://localhost:{origin.port}/asked"), decrypts.log


@pytest.mark.promise("S10")
def test_plain_http_goes_there_too(plain, tunnels, behind):
    """
    S10: If a policy allows plain HTTP, it goes to the upstream proxy without a tunnel.
    """
    running = behind(url_of(tunnels))
    response, body = get_plain(running, f"http://localhost:{plain.port}/plain")

    assert (response.status, body) == (200, b"0")
    assert plain.seen == [("GET", "/plain")]
    running.log.assert_requested(count=1, scheme="http", path="/plain", verdict="allowed")
    assert tunnels.prints(f"GET http://localhost:{plain.port}/plain"), tunnels.log


@pytest.mark.promise("S10")
def test_no_proxy(origin, plain, tunnels, behind):
    """
    S10: Hosts in NO_PROXY are connected to directly, and judged like all others.
    """
    running = behind(url_of(tunnels, "wrong"), no_proxy=f"other.example, localhost:{origin.port}")

    assert running.ask(ASKED).startswith(b"HTTP/1.1 200")
    response, _ = get_plain(running, f"http://localhost:{plain.port}/")
    assert response.status == 502
    first, second = running.log
    assert (first.path, first.verdict) == ("/asked", "allowed")
    assert (second.verdict, second.reason) == ("failed", "upstream-error")


@pytest.mark.promise("S10")
def test_a_wrong_password(origin, plain, tunnels, behind):
    """
    S10: The error says what to do, and no output contains the password.
    """
    running = behind(url_of(tunnels, "guessed"))
    inside = running.ask(ASKED)
    response, body = get_plain(running, f"http://localhost:{plain.port}/plain")

    assert inside.startswith(b"HTTP/1.1 502")
    assert (response.status, response.getheader("Proxy-Authenticate")) == (502, None)
    printed = [*running.log, *(each.explanation for each in running.log)]
    for request in running.log:
        assert (request.verdict, request.reason, request.status) == (
            "failed",
            "upstream-error",
            502,
        )
        assert f"http://{LOCAL}:{tunnels.port} asks for a password" in request.explanation
    assert len(running.log) == 2
    assert (origin.seen, plain.seen) == ([], [])
    assert "guessed" not in f"{printed} {inside!r} {body!r} {running.client._output.errors!r}"


@pytest.mark.promise("S10")
def test_errors_of_the_upstream_proxy(decrypts, behind):
    """
    S10: An upstream proxy that is down, refuses, or has an unknown authority is explained, each
    with a remedy.
    """
    asked = b"GET / HTTP/1.1\r\nConnection: close\r\n\r\n"
    closed = free_port()
    running = behind(f"http://{LOCAL}:{closed}")
    assert running.ask(asked).startswith(b"HTTP/1.1 502")
    [down] = running.log
    running.client.close()

    running = behind(f"http://{LOCAL}:{decrypts.port}", trusts=b"")
    assert running.ask(asked).startswith(b"HTTP/1.1 502")
    [unknown] = running.log
    running.renew()
    with running.tunnel("nowhere.invalid") as raw:
        running.context.check_hostname = False
        with running.context.wrap_socket(raw, server_hostname="nowhere.invalid") as secure:
            secure.sendall(asked)
            assert read_all(secure).startswith(b"HTTP/1.1 502")
    [refused] = running.log

    assert f"http://{LOCAL}:{closed} did not connect" in down.explanation
    assert "check that it is up" in down.explanation
    assert "SSL_CERT_FILE" in unknown.explanation
    assert "refused the tunnel with 502" in refused.explanation
    assert "NO_PROXY" in refused.explanation
    for request in (down, unknown, refused):
        assert (request.verdict, request.reason) == ("failed", "upstream-error")


@pytest.mark.promise("S12")
def test_an_upstream_proxy_opens_no_private_address(origin, plain, tunnels, behind):
    """
    S12: Private addresses are refused as an address, behind a name, and if they are the upstream
    proxy's own.
    """
    ports = (origin.port, plain.port, tunnels.port)
    running = behind(url_of(tunnels), private=(), ports=ports)
    for host in (LOCAL, "0x7f.1"):
        answer = running.ask_in_clear(f"CONNECT {host}:{origin.port} HTTP/1.1\r\n\r\n".encode())
        assert answer.startswith(b"HTTP/1.1 403")
    assert running.ask(ASKED).startswith(b"HTTP/1.1 403")
    running.renew()
    upload = running.https()
    upload.request("POST", "/large", body=b"u" * 2_000_000)
    assert upload.getresponse().status == 403
    upload.close()
    for url in (f"http://localhost:{plain.port}/", f"http://{LOCAL}:{tunnels.port}/"):
        assert get_plain(running, url)[0].status == 403

    assert {request.reason for request in running.log} == {"private-address"}
    assert len(running.log) == 3
    assert (origin.seen, plain.seen) == ([], [])


@pytest.mark.promise("S12")
def test_a_private_address_that_the_policy_opens(origin, tunnels, behind):
    """
    S12: A private address that the policy allows can be reached through the upstream proxy.
    """
    running = behind(url_of(tunnels), private=(f"{LOCAL}/32",))
    with running.tunnel(LOCAL) as raw:
        running.context.check_hostname = False
        running.context.set_alpn_protocols(["http/1.1"])
        with running.context.wrap_socket(raw, server_hostname=None) as secure:
            secure.sendall(b"GET /literal HTTP/1.1\r\nConnection: close\r\n\r\n")
            assert read_all(secure).startswith(b"HTTP/1.1 200")

    assert origin.seen == [("GET", "/literal")]

"""S10, S11, S13, S14: Requests leave a workspace as promised, and the log has them."""

from __future__ import annotations

import re

import pytest

from pytest_codex_workspace.codex import CERTIFICATE
from pytest_codex_workspace.engine.protocol import ContainerSpec
from pytest_codex_workspace.engine.session_id import Identity

from ..conftest import scripts


@pytest.mark.promise("S10")
def test_https_passes_through_the_proxy(plain, pip_index):
    """
    S10: An HTTPS request is in the log when `exec` returns.
    """
    host = pip_index.removeprefix("https://")
    result = plain.exec(f"curl -sS -o /dev/null -w '%{{http_code}}' {pip_index}/simple/six/")

    assert (result.stdout, result.stderr) == ("200", "")
    plain.network.assert_requested(
        count=1, host=host, method="GET", path="/simple/six/", status=200, phase="test"
    )
    plain.network.assert_nothing_blocked()
    plain.network.assert_only_hosts(host)
    [request] = plain.network.requests()
    assert request.verdict == "allowed"
    assert (request.scheme, request.port) == ("https", 443)
    assert f"{pip_index}/simple/six/" == request.url
    assert request.size > 100
    assert 0 < request.duration


@pytest.mark.promise("S10")
def test_pip_and_npm_install_real_packages(plain):
    """
    S10: pip and npm install over HTTPS without configuration.
    """
    pip = plain.exec("pip download --no-deps --no-cache-dir -d /tmp/p six", timeout=120)
    npm = plain.exec("cd /tmp && npm install --no-audit --no-fund is-odd", timeout=180)

    assert pip.ok, pip.stderr
    assert npm.ok, npm.stderr
    assert list(plain.path("/tmp/p").iterdir())
    assert plain.path("/tmp/node_modules/is-odd/package.json").is_file()
    plain.network.assert_nothing_blocked()
    assert len(plain.network.requests(scheme="https", verdict="allowed", method="GET")) >= 3


@pytest.mark.promise("S10")
def test_apt_works_over_https(plain):
    """
    S10: The package sources of the image use HTTPS.
    """
    result = plain.exec("apt-get update", timeout=180)

    assert result.ok, result.stderr
    assert {"https"} == {request.scheme for request in plain.network.requests()}
    plain.network.assert_nothing_blocked()


@pytest.mark.promise("S10")
def test_plain_http_is_refused_with_a_reason(plain):
    """
    S10: Plain HTTP gets 403, a text for people, and a header for programs.
    """
    result = plain.exec("curl -sS -i http://example.com/page")

    assert result.stdout.startswith("HTTP/1.1 403")
    assert "x-codex-workspace-reason: plain-http" in result.stdout.lower()
    assert "https" in result.stdout.lower()
    plain.network.assert_blocked(reason="plain-http", host="example.com", path="/page")
    assert len(plain.network.blocked) == 1


@pytest.mark.promise("S10")
def test_a_tunnel_carries_only_tls(plain, pip_index):
    """
    S10: No byte of anything but TLS passes through CONNECT.
    """
    host = pip_index.removeprefix("https://")
    script = (
        "import socket; s = socket.create_connection(('proxy', 8080), 5);"
        f"s.sendall(b'CONNECT {host}:443 HTTP/1.1\\r\\nHost: {host}:443\\r\\n\\r\\n');"
        "print(s.recv(4096)); s.sendall(b'SSH-2.0-x\\r\\n'); s.settimeout(10); print(s.recv(4096))"
    )
    result = plain.exec(["python3", "-c", script], timeout=30)

    assert "b''" in result.stdout or "ConnectionReset" in result.stderr
    plain.network.assert_blocked(reason="not-tls", host=host)


@pytest.mark.promise("S10")
def test_other_ports_are_refused(plain):
    """
    S10: CONNECT to another port than that of HTTPS is refused.
    """
    result = plain.exec("curl -sS https://example.com:22/")

    assert "403" in result.stderr
    plain.network.assert_blocked(reason="port-not-allowed", host="example.com", port=22)


@pytest.mark.promise("S11")
@pytest.mark.parametrize("scheme", ["http", "https"])
def test_websocket_is_refused(plain, pip_index, scheme):
    """
    S11: `ws` and `wss` are refused.
    """
    url = f"{scheme}://{pip_index.removeprefix('https://')}/"
    result = plain.exec(
        f"curl -sS -i --http1.1 -H 'Connection: Upgrade' -H 'Upgrade: websocket' "
        f"-H 'Sec-WebSocket-Version: 13' -H 'Sec-WebSocket-Key: MDEyMzQ1Njc4OWFiY2RlZg==' {url}"
    )

    assert re.search(r"^HTTP/1.1 403", result.stdout, re.MULTILINE)
    [request] = plain.network.blocked
    assert request.reason in ("websocket", "plain-http")
    if scheme == "https":
        plain.network.assert_blocked(reason="websocket")


@pytest.mark.promise("S13")
def test_the_environment_is_codexs(plain):
    """
    S13: The proxy variables are set in both cases, and no variable of this machine is.
    """
    text = plain.exec(["env", "-0"], check=True).stdout
    found = dict(line.split("=", 1) for line in text.split("\0") if line)

    for name in ("HTTP_PROXY", "HTTPS_PROXY", "YARN_HTTP_PROXY", "YARN_HTTPS_PROXY"):
        assert found[name] == "http://proxy:8080"
    for name in ("http_proxy", "https_proxy", "npm_config_http_proxy", "npm_config_https_proxy"):
        assert found[name] == "http://proxy:8080"
    for name in ("NO_PROXY", "no_proxy"):
        assert found[name] == "localhost,127.0.0.1,::1"
    assert "proxyHost=proxy" in found["GRADLE_OPTS"]
    assert found["ELECTRON_GET_USE_PROXY"] == "true"
    assert dict(plain.env).items() <= found.items()
    assert "PYTEST_CURRENT_TEST" not in found


@pytest.mark.promise("S13")
def test_nothing_of_the_hosts_environment_arrives(plain_repo, codex_workspace_factory, monkeypatch):
    """
    S13: Only the variables that an option names reach a workspace.
    """
    monkeypatch.setenv("HOST_SECRET", "hush")

    ws = codex_workspace_factory(repo=plain_repo, env={"NAMED": "with 'quotes'\nand lines"})

    assert "hush" not in ws.exec(["env"]).stdout
    assert ws.exec('echo "$NAMED"').stdout == "with 'quotes'\nand lines\n"


@pytest.mark.promise("S14")
def test_the_certificate_is_there_and_the_key_is_not(plain, codex_proxy):
    """
    S14: The certificate is at Codex's path, in the system's store, and named by the variables.
    """
    certificate = plain.path(CERTIFICATE).read_bytes()
    store = plain.path("/etc/ssl/certs/ca-certificates.crt").read_bytes()

    assert codex_proxy.info.ca_certificate.strip() == certificate.strip()
    assert certificate.strip() in store
    for name in (
        "REQUESTS_CA_BUNDLE",
        "SSL_CERT_FILE",
        "PIP_CERT",
        "NODE_EXTRA_CA_CERTS",
        "CODEX_PROXY_CERT",
    ):
        assert plain.env[name] == CERTIFICATE
    keys = plain.exec(
        "grep -rlE 'BEGIN (RSA |EC )?PRIVATE KEY' / --include='*' -s --exclude-dir=proc "
        "--exclude-dir=sys --exclude-dir=usr --exclude-dir=runtimes"
    )
    assert keys.stdout == ""


@pytest.mark.promise("S14")
def test_no_certificate_of_this_machine_is_trusted(plain):
    """
    S14: A corporate CA of the host is only used for builds and by the proxy.
    """
    from pytest_codex_workspace.host.certificates import host_bundle

    store = plain.path("/etc/ssl/certs/ca-certificates.crt").read_text()
    fresh = plain.exec("cat /usr/share/ca-certificates/*/*.crt", check=True).stdout
    host = re.findall(r"-----BEGIN.*?END CERTIFICATE-----", host_bundle().decode(), re.DOTALL)
    foreign = [one for one in host if one not in fresh]

    assert not [one for one in foreign if one in store]


@pytest.mark.promise("S10")
def test_phases_are_distinguished(codex_workspace_factory, make_repo, pip_index):
    """
    S10: The requests of setup are logged in the phase of setup.
    """
    repo = make_repo(
        **scripts(
            f"curl -sS -o /dev/null {pip_index}/simple/six/\n",
            f"curl -sS -o /dev/null {pip_index}/simple/idna/\n",
        )
    )

    miss = codex_workspace_factory(repo=repo, cache_miss=True)
    hit = codex_workspace_factory(repo=repo, cache_hit=True)
    again = codex_workspace_factory(repo=repo)

    miss.network.assert_requested(count=1, phase="setup", path="/simple/six/")
    for ws in (hit, again):
        ws.network.assert_not_requested(phase="setup")
        ws.network.assert_requested(count=1, phase="resume", path="/simple/idna/")
        assert [request.path for request in ws.setup.requests] == ["/simple/six/"]
    miss.network.assert_not_requested(phase="test")


@pytest.mark.promise("S10")
def test_workspaces_have_logs_of_their_own(codex_workspace_factory, plain_repo):
    """
    S10: A workspace's requests are not in another's log, whether they run in parallel or in turn.
    """
    first = codex_workspace_factory(repo=plain_repo)
    second = codex_workspace_factory(repo=plain_repo)
    first.exec("curl -s http://one.example/")
    second.exec("curl -s http://two.example/")

    assert [request.host for request in first.network.requests()] == ["one.example"]
    assert [request.host for request in second.network.requests()] == ["two.example"]


@pytest.mark.promise("S10")
def test_what_nobody_waited_for_is_logged(plain):
    """
    S10: Requests of clients in the background are in the log.
    """
    plain.exec("for i in $(seq 20); do (curl -s http://h$i.example/ >/dev/null &) ; done; wait")
    plain.exec("while pgrep curl >/dev/null; do :; done", timeout=30)

    assert len(plain.network.requests(host__regex=r"h\d+\.example", verdict="blocked")) == 20


def test_a_failed_assertion_shows_what_there_was(plain):
    """
    The failure shows the filters, and the nearest request with the differences.
    """
    plain.exec("curl -s http://example.com/there")

    with pytest.raises(AssertionError) as caught:
        plain.network.assert_requested(host="example.com", path="/elsewhere")

    assert "/elsewhere" in str(caught.value)
    assert "/there" in str(caught.value)


@pytest.mark.promise("S14")
def test_without_a_certificate_a_workspace_ends_and_says_why(codex_engine, codex_image):
    """
    S14: A workspace without the certificate ends with a reason, by default after 30 s, here after
    one second.
    """
    engine = codex_engine
    command = ["python3", "-I", "-S", "-u", "/opt/codex/workspace_agent.py", "1"]
    marks = Identity().labels("workspace")
    container = engine.create(ContainerSpec(codex_image, command, "codex-s14", labels=marks))
    stream = engine.attach(container)
    said = b""
    try:
        engine.start(container)
        while received := stream.receive()[1]:
            said += received
    finally:
        stream.close()
        engine.remove(container)

    assert b"certificate of the proxy did not arrive within 1 s" in said

"""S10, S13, S14: Every toolchain works over HTTPS, without configuration by the user.

The proxy trusts the origin's authority and those of the registries, and the workspace does
not. So an answer that arrives has passed the proxy, and the client trusts the proxy's certificate.
"""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from .origin_container import NAME
from .pki import PrivateAuthority
from .toolchains import DOCUMENT, FETCH, TOOLCHAINS, URL, Toolchain, document, documented, row

JAVA_SCRIPT = Path(__file__).parents[2] / "dockerfiles" / "common" / "java.sh"


@pytest.mark.promise("S10", "S13", "S14")
@pytest.mark.parametrize("toolchain", TOOLCHAINS, ids=lambda toolchain: toolchain.name)
def test_a_toolchain_gets_out(outside, reach, pytestconfig, toolchain: Toolchain):
    """
    S10, S13, S14: The toolchain works alone or with the remedy in the table, and its requests are
    in the log.
    """
    ws = reach()
    ws.exec("mkdir /tmp/work", check=True)

    def run(command):
        return ws.exec(command, cwd="/tmp/work", input=toolchain.stdin, timeout=300)

    result = run(toolchain.command)
    remedied = toolchain.needs is not None and not result.ok
    if remedied:
        # That is how a client shows up which ignores the proxy.
        ws.network.assert_blocked("direct-dns", host=NAME)
        ws.network.assert_not_requested(host=NAME, verdict="allowed")
        result = run(toolchain.needs.command)
    else:
        ws.network.assert_nothing_blocked()

    assert result.ok, result.stdout + result.stderr
    assert re.fullmatch(toolchain.prints, result.stdout), result.stdout + result.stderr
    assert_in_the_log(ws, toolchain)
    if toolchain.http2 is not None:
        arrived = outside.origin.seen(toolchain.requests[-1].partition(" ")[2])[-1]
        assert arrived["protocol"] == ("HTTP/2" if toolchain.http2 else "HTTP/1.1")

    version = re.search(r"\d+\.\d+", run(toolchain.version).check().stdout)
    assert version
    found = row(toolchain, version[0], remedied=remedied)
    if pytestconfig.getoption("--write-toolchains"):
        document({**documented(), toolchain.name: found})
    assert found == documented().get(toolchain.name), (
        f"{DOCUMENT.name} says otherwise; `make toolchains` rewrites it"
    )


def assert_in_the_log(ws, toolchain):
    host = NAME
    if toolchain.registry:
        host = ws.exec(toolchain.registry, check=True).stdout.strip()
        host = host.removeprefix("https://").partition("/")[0]
    for place, each in enumerate(toolchain.requests):
        method, _, path = each.partition(" ")
        where = {"host": host, "path__regex": f"^{path}$"}
        if not toolchain.registry:
            where["path__regex"] = f"^{re.escape(path)}$"
        elif place:
            # Files may come from another host than the index.
            del where["host"]
        ws.network.assert_requested(
            method=method, status=200, verdict="allowed", scheme="https", **where
        )


def test_the_table_has_these_toolchains():
    """
    The table has each toolchain once, in order, and no other.
    """
    assert [each.name for each in TOOLCHAINS] == list(documented())


@pytest.fixture
def java(reach):
    """
    Start a workspace with a program for `java` that prints the origin's answer.
    """
    ws = reach()
    ws.path("/tmp/Fetch.java").write_text(FETCH)
    return ws


def fetch(ws, java="java", options=""):
    return ws.exec(f"{java} {options} Fetch.java connection", cwd="/tmp", timeout=120)


@pytest.mark.promise("S14")
def test_trust_follows_the_certificate(java):
    """
    S14: The certificate that a workspace gets at its start is trusted, and that of its image no
    longer is.
    """
    install = (
        "import sys; sys.path.insert(0, '/opt/codex'); "
        "from workspace_agent import install_certificate; "
        "assert install_certificate('', sys.stdin.buffer.read())"
    )
    ours = java.path(java.env["CODEX_PROXY_CERT"]).read_bytes()
    other = PrivateAuthority().certificate

    def clients():
        return fetch(java), java.exec(f"wget -qO- {URL}/hello")

    java.exec(["python3", "-c", install], input=other, check=True)
    distrusting = clients()
    java.exec(["python3", "-c", install], input=ours, check=True)
    trusting = clients()

    assert "unable to find valid certification path" in distrusting[0].stderr
    assert distrusting[1].exit_code == 5  # Verification failed.
    assert [(0, "hello over HTTP/1.1\n")] * 2 == [(one.exit_code, one.stdout) for one in trusting]


MAKE_JDK = r"""
set -eu
home=$(dirname "$(dirname "$(readlink -f "$(command -v java)")")")
rsync --archive --copy-links --exclude=jmods --exclude=docs --exclude=src.zip "$home/" /opt/jdk
keytool -delete -alias debian:envoy-mitmproxy-ca-cert.pem -storepass changeit \
    -keystore /opt/jdk/lib/security/cacerts
sed -i '/^https\?\.proxy/d' /opt/jdk/conf/net.properties
cp -r /opt/jdk /opt/own
echo 'https.proxyHost=own.example' >>/opt/own/conf/net.properties
"""
"""A JDK with a trust store of its own, as vendors make them; another that names a proxy already."""


@pytest.mark.promise("S10", "S14")
def test_a_jdk_from_elsewhere(java):
    """
    S10, S14: An image's own JDK gets the proxy and the certificate, and keeps its other settings.
    """
    java.exec(MAKE_JDK, check=True, timeout=120)
    before = fetch(java, "/opt/jdk/bin/java")
    java.path("/tmp/java.sh").write_bytes(JAVA_SCRIPT.read_bytes())
    configure = "sh /tmp/java.sh && cat /opt/*/conf/net.properties /etc/ca-certificates/update.d/*"
    first, second = (java.exec(configure, check=True).stdout for _ in range(2))
    between = fetch(java, "/opt/jdk/bin/java")
    java.exec("update-ca-certificates", check=True)
    own = java.path("/opt/own/conf/net.properties").read_text().splitlines()

    assert "UnknownHostException" in before.stderr
    assert first == second
    assert "unable to find valid certification path" in between.stderr
    assert fetch(java, "/opt/jdk/bin/java").stdout == "hello over HTTP/1.1\n"
    assert ["https.proxyHost=own.example"] == [line for line in own if re.match("https?.pr", line)]


@pytest.mark.promise("S13")
def test_a_users_own_settings_win(java):
    """
    S13: Options of Java take precedence over its files.
    """
    result = fetch(java, options="-Dhttps.proxyHost=own.example")
    direct = fetch(java, options="-Dhttp.nonProxyHosts=" + NAME)

    assert "own.example" in result.stderr
    assert NAME in direct.stderr
    assert {NAME, "own.example"} == {each.host for each in java.network.blocked}
    java.network.assert_not_requested(verdict="allowed")

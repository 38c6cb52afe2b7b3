"""Tests of the upstream proxy: its URL, the hosts that bypass it, and the choice of a proxy."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_codex_workspace.errors import ProxyError
from pytest_codex_workspace.network.rules.upstream import InvalidUpstream, UpstreamProxy, choose
from pytest_codex_workspace.options.config import Config
from pytest_codex_workspace.reporting.output import Output
from pytest_codex_workspace.session import Session


@pytest.mark.parametrize(
    ("url", "shown", "credentials"),
    [
        ("http://proxy.example:3128", "http://proxy.example:3128", None),
        ("https://Proxy.Example.", "https://proxy.example:443", None),
        ("http://10.1.2.3/", "http://10.1.2.3:80", None),
        ("http://[fd00::1]:8080", "http://[fd00::1]:8080", None),
        ("http://me:pa%40ss%3A1@proxy.example:3128", "http://proxy.example:3128", "me:pa@ss:1"),
        ("http://me@proxy.example:3128", "http://proxy.example:3128", "me:"),
    ],
)
def test_urls_are_parsed(url: str, shown: str, credentials: str | None) -> None:
    """
    Host and port are normalised, and credentials are decoded.
    """
    proxy = UpstreamProxy.parse(url)

    assert shown == str(proxy)
    assert credentials == proxy.credentials


@pytest.mark.parametrize(
    "url",
    [
        "socks5://me:hush@proxy.example:1080",
        "me:hush@proxy.example:3128",
        "http://me:hu/sh@proxy.example:3128",
        "http://me:hu@sh@:3128",
        "http://me:1#hush@proxy.example",
        "http://me:hush@proxy.example:high",
        "http://me:hush@proxy.example:99999",
        "http://me:hush@proxy.example/path",
        "http://me:hush@pro xy.example",
        "http://me:hush@[::1",
        "http://",
    ],
)
def test_an_invalid_url_is_rejected_without_its_password(url: str) -> None:
    """
    The error shows the URL, but not the password in it.
    """
    with pytest.raises(InvalidUpstream, match="http") as caught:
        UpstreamProxy.parse(url)

    assert "hu" not in str(caught.value)
    assert caught.value.__cause__ is None


def test_no_text_contains_the_password() -> None:
    """
    The password is only in the settings of the proxy container and in the header.
    """
    proxy = UpstreamProxy.parse("http://me:hush@proxy.example:3128", "a.example b.example")

    assert "hush" not in f"{proxy} {proxy!r}"
    assert proxy.authorization == "Basic bWU6aHVzaA=="
    assert UpstreamProxy.from_dict(json.loads(json.dumps(proxy.to_dict()))) == proxy
    assert UpstreamProxy.parse("http://proxy.example").authorization is None


@pytest.mark.parametrize(
    ("no_proxy", "host", "port", "bypassed"),
    [
        ("", "example.org", 443, False),
        ("*", "example.org", 443, True),
        ("example.org", "example.org", 443, True),
        ("example.org", "Example.ORG.", 443, True),
        ("example.org", "www.example.org", 443, True),
        ("example.org", "notexample.org", 443, False),
        (".example.org", "www.example.org", 443, True),
        ("*.example.org", "www.example.org", 443, True),
        ("org, ,a.example", "a.example", 443, True),
        ("example.org:443", "example.org", 443, True),
        ("example.org:8443", "example.org", 443, False),
        ("10.0.0.0/8", "10.1.2.3", 443, True),
        ("10.0.0.0/8", "0xa.1.2.3", 443, True),
        ("10.0.0.0/8", "example.org", 443, False),
        ("10.0.0.0/33", "10.1.2.3", 443, False),
        ("10.1.2.3", "10.1.2.3", 443, True),
        ("10.1.2.3:80", "10.1.2.3", 443, False),
        ("2.3", "10.1.2.3", 443, False),
        ("fd00::/8", "fd00::1", 443, True),
        ("[fd00::1]:443", "[fd00::1]", 443, True),
        ("fd00::1", "fd00::1", 443, True),
        ("ex/ample, :, [, a..b", "example.org", 443, False),
        ("*", "no host", 443, False),
        ("*", "proxy.example", 3128, False),
        ("proxy.example", "PROXY.example", 3128, False),
        ("proxy.example", "proxy.example", 443, True),
    ],
)
def test_no_proxy_excludes_hosts(no_proxy: str, host: str, port: int, bypassed: bool) -> None:
    """
    `NO_PROXY` has its usual meaning, but never excludes the proxy itself.
    """
    proxy = UpstreamProxy.parse("http://proxy.example:3128", no_proxy)

    assert bypassed == proxy.bypasses(host, port)


@given(st.text(), st.text(), st.integers(0, 65535))
def test_no_list_of_hosts_breaks_the_matching(no_proxy: str, host: str, port: int) -> None:
    """
    Matching never raises, no list excludes the proxy itself, and `*` excludes all others.

    A workspace chooses the host, and a user writes the list.
    """
    proxy = UpstreamProxy.parse("http://proxy.example:3128", no_proxy)
    everything = UpstreamProxy.parse("http://proxy.example:3128", f"{no_proxy},*")

    assert not proxy.bypasses("proxy.example", 3128)
    assert everything.bypasses("other.example", port)
    assert everything.bypasses(host, port) >= proxy.bypasses(host, port)


@pytest.mark.parametrize(
    ("wanted", "environment", "chosen"),
    [
        ("environment", {}, None),
        ("environment", {"HTTPS_PROXY": ""}, None),
        ("environment", {"HTTP_PROXY": "http://a.example"}, None),
        ("environment", {"HTTPS_PROXY": "http://a.example:1"}, "http://a.example:1"),
        ("environment", {"HTTPS_PROXY": "a.example:1"}, "http://a.example:1"),
        ("environment", {"HTTPS_PROXY": "x", "https_proxy": "https://b.example"}, "https://b.example:443"),
        ("none", {"HTTPS_PROXY": "http://a.example:1"}, None),
        ("http://c.example:3", {"HTTPS_PROXY": "http://a.example:1"}, "http://c.example:3"),
    ],
)  # fmt: skip
def test_the_option_takes_precedence(
    wanted: str, environment: dict[str, str], chosen: str | None
) -> None:
    """
    The option overrides the environment, and lower-case names override upper-case ones.
    """
    found = choose(wanted, environment)

    assert chosen == (None if found is None else str(found))


@pytest.mark.parametrize("wanted", ["environment", "http://a.example"])
def test_no_proxy_of_the_environment_always_applies(wanted: str) -> None:
    """
    `NO_PROXY` applies to proxies from the environment and from the option.
    """
    environment = {"HTTPS_PROXY": "http://a.example", "NO_PROXY": "b", "no_proxy": "c,d"}
    found = choose(wanted, environment)

    assert found is not None
    assert found.no_proxy == ("c", "d")


@pytest.mark.parametrize(
    "url", ["http://localhost:1", "http://me:hush@127.1:1", "https://[::1]:1", "http://0.0.0.0:1"]
)
def test_a_proxy_on_loopback_is_rejected(url: str) -> None:
    """
    Containers cannot reach it; the error names the source of the value and a remedy.
    """
    with pytest.raises(InvalidUpstream, match="let the proxy listen on another address"):
        choose(url, {})
    with pytest.raises(InvalidUpstream, match=r"^HTTPS_PROXY in this machine's") as caught:
        choose("environment", {"HTTPS_PROXY": url})

    assert "'none'" in str(caught.value)
    assert "hush" not in str(caught.value)


def test_a_session_rejects_an_invalid_proxy_of_the_environment(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """
    The error is a `ProxyError`, raised when the network is first needed.
    """
    monkeypatch.setenv("https_proxy", "socks5://me:hush@proxy.example")
    session = Session(Config(), Output("quiet", print))

    with pytest.raises(ProxyError, match="https_proxy in this machine's environment") as caught:
        _ = session.isolation
    assert "hush" not in str(caught.value)

"""Doctor: the connection to the outside, and the registries of this machine's package managers."""

from __future__ import annotations

import http.server
import os
import socket
import subprocess
import sys
import threading

import pytest

from pytest_codex_workspace.doctor import network, package_registries
from pytest_codex_workspace.network.rules.upstream import UpstreamProxy

pytestmark = pytest.mark.slow


@pytest.fixture
def server():
    """
    Run a web server on loopback that redirects every request.
    """
    asked = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_HEAD(self):
            asked.append((self.command, self.path, self.headers.get("Proxy-Authorization")))
            self.send_response(302)
            self.send_header("Location", "http://127.0.0.1:1/")
            self.end_headers()

        def log_message(self, *_):
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as running:
        running.asked = asked
        running.url = f"http://127.0.0.1:{running.server_port}"
        thread = threading.Thread(target=running.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield running
        running.shutdown()
        thread.join()


@pytest.fixture
def closed():
    """
    Return an address on which nothing listens.
    """
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        yield taken.getsockname()


@pytest.fixture
def tools(tmp_path):
    """
    Return a function that makes a PATH with programs of the test.
    """

    def add(name, script):
        program = tmp_path / "bin" / name
        program.parent.mkdir(exist_ok=True)
        program.write_text(f"#!/bin/sh\n{script}\n")
        program.chmod(0o755)
        return {"PATH": f"{program.parent}:{os.environ['PATH']}"}

    return add


def own_address():
    """
    Return an address of this machine other than loopback, without sending anything.
    """
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.connect(("192.0.2.1", 9))
        return probe.getsockname()[0]


def test_without_a_proxy_connections_are_direct():
    """
    No proxy is used by choice, or because no variable is set.
    """
    assert "ok" == network.proxy("environment", {}).status
    assert "ok" == network.proxy("none", {"HTTPS_PROXY": "nonsense://"}).status


@pytest.mark.parametrize(
    ("environ", "words"),
    [
        ({"HTTPS_PROXY": "socks5://me:secret@p.example"}, "must start with http:// or https://"),
        ({"https_proxy": "http://me:secret@p.example/path"}, "must end after the port"),
        ({"HTTPS_PROXY": "http://me:secret@127.0.0.1:3128"}, "loopback"),
    ],
)
def test_an_invalid_proxy_is_an_error_without_its_password(environ, words):
    """
    The text is the parser's, and the remedy names the option.
    """
    found = network.proxy("environment", environ)

    assert "error" == found.status
    assert words in found.text
    assert next(iter(environ)) in found.text
    assert "secret" not in found.text + found.remedy
    assert "--upstream-proxy" in found.remedy


@pytest.mark.parametrize(
    ("environ", "words"),
    [
        ({"HTTP_PROXY": "socks5://me:secret@p.example"}, "HTTP_PROXY: 'socks5://***@p.example'"),
        ({"HTTP_PROXY": "http://p.example:3128"}, "HTTPS_PROXY is not"),
    ],
)
def test_a_proxy_for_plain_http_alone_is_a_warning(environ, words):
    """
    HTTPS does not use that proxy.
    """
    found = network.proxy("environment", environ)

    assert ("warning", True) == (found.status, words in found.text)


def test_a_proxy_that_does_not_answer_is_a_warning():
    """
    User and password are never printed.
    """
    address = own_address()
    with socket.create_server((address, 0)) as listening:
        port = listening.getsockname()[1]
        environ = {"HTTPS_PROXY": f"http://me:secret@{address}:{port}", "NO_PROXY": "a,b"}
        there = network.proxy("environment", environ)
    gone = network.proxy("environment", environ)

    assert "ok" == there.status
    assert f"http://{address}:{port} answers, with user and password" in there.text
    assert there.text.endswith("except for a, b")
    assert ("warning", True) == (gone.status, "does not answer: Connection refused" in gone.text)
    assert "secret" not in repr((there, gone))


def test_any_response_counts_as_an_answer(server):
    """
    A redirect is not followed.
    """
    assert network.probe(f"{server.url}/simple/", None) is None
    assert [("HEAD", "/simple/", None)] == server.asked


def test_a_failed_connection_has_its_reason(closed):
    """
    This includes an unknown host name.
    """
    assert "cannot be reached: Connection refused" == network.probe(
        "http://{}:{}".format(*closed), None
    )
    assert "Name or service not known" in network.probe("http://nobody.invalid/", None)


def test_a_server_that_sends_nothing_is_given_up():
    """
    The request ends at its timeout.
    """
    with socket.create_server(("127.0.0.1", 0)) as listening:
        url = "http://{}:{}".format(*listening.getsockname())
        assert "no answer within" in network.probe(url, None, 0.2)


def test_requests_go_through_the_proxy(server, closed):
    """
    The request has the proxy's credentials, unless NO_PROXY names the host.
    """
    proxy = UpstreamProxy.parse(server.url.replace("://", "://me:s%2525@"), "127.0.0.1")

    assert network.probe("http://registry.example/x", proxy) is None
    assert "Connection refused" in network.probe("http://{}:{}".format(*closed), proxy)

    assert [("HEAD", "http://registry.example/x", "Basic bWU6cyUyNQ==")] == server.asked


@pytest.mark.parametrize(
    ("urls", "status", "words"),
    [
        (None, "ok", "not checked: npm is not installed"),
        ([], "ok", "not checked: npm has no registry on the network"),
        (["file:///srv/wheels"], "ok", "not checked: npm has no registry on the network"),
        (["http://me:secret@{closed}/x"], "warning", "http://{closed}/x cannot be reached"),
    ],
)
def test_a_registry_that_does_not_answer_is_a_warning(closed, urls, status, words):
    """
    A tool that is not installed, or that uses files, is not checked.
    """
    place = "{}:{}".format(*closed)
    formatted = urls and [url.format(closed=place) for url in urls]

    found = network.registry("npm", lambda _: formatted, "environment", {})

    assert status == found.status
    assert words.format(closed=place) in found.text
    assert "secret" not in found.text
    assert (status == "ok") == (found.remedy == "")


def test_a_tool_that_fails_is_a_warning(tools):
    """
    The text has the exit status of the tool, and not how it was called.
    """
    environ = tools("npm", "exit 3")

    found = network.registry("npm", package_registries.npm_urls, "none", environ)

    said = "npm failed to report its registry: exit status 3"
    assert ("warning", said) == (found.status, found.text)


def test_a_tool_that_is_slow_is_not_said_to_be_broken():
    """
    The text has the limit, and not how the tool was called.
    """

    def slow(_environ):
        raise subprocess.TimeoutExpired(["/usr/bin/apt-get", "indextargets"], 5.0)

    found = network.registry("apt", slow, "none", {})

    said = "not checked: apt did not say within 5 s which registry it uses"
    assert ("warning", said) == (found.status, found.text)
    assert "less busy" in found.remedy


def test_a_tool_that_cannot_be_started_is_a_warning():
    """
    The text has the system's reason.
    """

    def broken(_environ):
        raise PermissionError(13, "Permission denied", "/usr/bin/npm")

    found = network.registry("npm", broken, "none", {})

    assert found.text == "npm failed to report its registry: Permission denied"


def test_the_index_of_pip_is_found(tmp_path, monkeypatch):
    """
    The environment wins over the file, the file over the default; a module in the current
    directory is not run.
    """
    (tmp_path / "pip.py").write_text("raise SystemExit(3)")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "pip.conf").write_text("[global]\nindex-url = https://file.example/simple\n")
    base = {"PATH": os.environ["PATH"], "HOME": str(tmp_path)}
    from_file = {**base, "PIP_CONFIG_FILE": str(tmp_path / "pip.conf")}

    (default,) = package_registries.pip_urls({**base, "PIP_CONFIG_FILE": os.devnull})
    assert default.startswith("https://")
    assert ["https://file.example/simple"] == package_registries.pip_urls(from_file)
    assert ["https://me:****@env.example/simple"] == package_registries.pip_urls(
        {**from_file, "PIP_INDEX_URL": "https://me:secret@env.example/simple"}
    )


def test_pip_may_be_a_program_only(tools, monkeypatch):
    """
    Pip can be a program without a module, or be missing.
    """
    monkeypatch.setattr(sys, "path", [])
    monkeypatch.setattr(package_registries.importlib.util, "find_spec", lambda _: None)
    environ = tools("pip", 'echo "--index-url <url>  Base (default https://a.example/simple). It"')

    assert ["https://a.example/simple"] == package_registries.pip_urls(environ)
    assert package_registries.pip_urls({"PATH": "/nowhere"}) is None


def test_the_registries_of_npm_and_apt_are_found(tools):
    """
    Each URL is listed once, and other words are ignored.
    """
    environ = tools("npm", "echo https://npm.example/")
    tools("apt-get", "echo http://a.example/debian http://a.example/debian nonsense")

    assert ["https://npm.example/"] == package_registries.npm_urls(environ)
    assert ["http://a.example/debian"] == package_registries.apt_urls(environ)
    assert package_registries.npm_urls({"PATH": "/nowhere"}) is None
    assert package_registries.apt_urls({"PATH": "/nowhere"}) is None

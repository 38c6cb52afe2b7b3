"""S10: The policy decides at every moment of a workspace what leaves it."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest
import yaml

from pytest_codex_workspace.errors import PolicyError, WorkspaceLost

from ..conftest import init_repo, scripts
from .runs import COMMAND, PYTEST


def fetch(ws, url: str, *options: str) -> str:
    """
    Return the status of a request, or curl's error.
    """
    command = ["curl", "-sS", "-o", "/dev/null", "-w", "%{http_code}", *options, url]
    result = ws.exec(command)
    return result.stdout if result.ok else result.stderr


@pytest.fixture
def url(pip_index: str) -> str:
    """
    Return a URL that answers.
    """
    return f"{pip_index}/simple/six/"


@pytest.mark.promise("S10")
def test_another_policy_from_now_on(plain, url):
    """
    S10: `use` takes effect with the next request.
    """
    plain.network.use("offline")
    refused = fetch(plain, url)
    plain.network.use({"extends": "offline", "allow": ["*.example.org"]})
    other = fetch(plain, url)
    plain.network.use("https-only")

    assert "403" in refused
    assert "403" in other
    assert fetch(plain, url) == "200"
    assert [one.reason for one in plain.network.blocked] == ["offline", "host-not-allowed"]
    with pytest.raises(PolicyError, match="did you mean 'offline'"):
        plain.network.use("ofline")


def test_a_workspace_that_has_ended(codex_workspace_factory, plain_repo, request):
    """
    The log of a workspace that has ended can be read, but its policy cannot be changed.
    """
    ws = codex_workspace_factory(repo=plain_repo)
    ws.exec("curl -s http://example.com/")
    # Reading the log waits for the proxy; the end of a workspace does not.
    assert len(ws.network) == 1
    request.getfixturevalue("_codex_session").stop(ws)

    assert len(ws.network) == 1
    with pytest.raises(WorkspaceLost, match="has ended"):
        ws.network.use("offline")


@pytest.mark.promise("S10")
def test_methods_ports_and_plain_http(codex_workspace_factory, plain_repo, url):
    """
    S10: Each field of a policy has its effect in a real workspace.
    """
    ws = codex_workspace_factory(repo=plain_repo, network={"methods": ["GET"], "http": "allow"})

    assert fetch(ws, url) == "200"
    assert fetch(ws, url, "-X", "DELETE") == "403"
    assert fetch(ws, url.replace("https:", "http:")) != "403"
    ws.network.assert_requested(count=1, scheme="http", port=80, verdict="allowed")
    ws.network.assert_blocked(reason="method-not-allowed", method="DELETE")
    assert len(ws.network.blocked) == 1


@pytest.mark.promise("S10")
def test_a_preset_lets_the_registries_pass_and_nothing_else(codex_workspace_factory, plain_repo):
    """
    S10: The preset allows the registries that the image's pip uses; a refusal names the policy.
    """
    ws = codex_workspace_factory(repo=plain_repo, network="codex-package-managers")
    pip = ws.exec("pip download --no-deps --no-cache-dir -d /tmp/p six", timeout=120)
    registries = json.loads(ws.path("/opt/codex/registries.json").read_text())

    assert pip.ok, pip.stderr
    assert "403" in fetch(ws, "https://example.com/")
    assert all(registries[name] for name in ("python", "npm", "debian"))
    ws.network.assert_requested(verdict="allowed")
    [refused] = ws.network.blocked
    assert refused.reason == "host-not-allowed"
    assert "codex-package-managers" in refused.explanation


@pytest.mark.promise("S10")
@pytest.mark.parametrize("state", ["cache_miss", "cache_hit"])
def test_scripts_have_a_policy_of_their_own(codex_workspace_factory, make_repo, url, state):
    """
    S10: The test is offline, setup was not, whether setup ran now or earlier.
    """
    setup = f"curl -sS -o /dev/null {url}\n"
    repo = make_repo(**scripts(setup, setup))

    ws = codex_workspace_factory(repo=repo, network="offline", **{state: True})

    assert "403" in fetch(ws, url)
    ws.network.assert_blocked("offline", phase="test")
    assert {one.verdict for one in ws.setup.requests} == {"allowed"}
    ws.network.assert_not_requested(phase="setup", verdict="blocked")
    ws.network.assert_not_requested(phase="resume", verdict="blocked")


@pytest.mark.promise("S10")
def test_option_fixture_and_marker(pytester, plain_repo):
    """
    S10: The precedence is marker, fixture, option, ini file.
    """
    pytester.makeini(
        f"[pytest]\ncodex_repo = {plain_repo}\ncodex_image = slim\ncodex_network = open\n"
    )
    (pytester.path / "ours.yaml").write_text("extends: offline\nallow: [a.example]\n")
    pytester.makepyfile(
        """
        import pytest


        def reason(ws, url):
            ws.exec(["curl", "-s", url])
            return ws.network.requests()[-1].reason


        def test_option(codex_workspace):
            assert reason(codex_workspace, "https://b.example/") == "offline"


        class TestFixture:
            @pytest.fixture
            def codex_network_policy(self):
                return {"deny": ["b.example"]}

            def test_fixture(self, codex_workspace):
                assert reason(codex_workspace, "https://b.example/") == "host-not-allowed"

            @pytest.mark.codex_network(methods=["GET"])
            def test_marker_adds(self, codex_workspace):
                assert reason(codex_workspace, "https://b.example/") == "host-not-allowed"

            @pytest.mark.codex_network("ours.yaml", deny=["c.example"])
            def test_marker_replaces(self, codex_workspace):
                assert reason(codex_workspace, "http://a.example/") == "plain-http"
                assert reason(codex_workspace, "https://b.example/") == "host-not-allowed"
        """
    )

    result = pytester.runpytest_subprocess("--codex-network=offline", "-p", "no:randomly")

    result.assert_outcomes(passed=4)
    result.stdout.fnmatch_lines(["*network offline*"])


def run_test(project: Path, test: str, *arguments: str) -> str:
    """
    Run a test with a report in the directory `r`, and return what pytest prints.
    """
    (project / "test_it.py").write_text(test)
    words = [*PYTEST, "--codex-repo=repo", "--codex-image=slim", "--codex-report=r", *arguments]
    options = {"cwd": project, "text": True, "timeout": 300, "check": False}
    return subprocess.run([*words, "test_it.py"], stdout=subprocess.PIPE, **options).stdout


FETCHES = """
def test_it(codex_workspace):
    assert codex_workspace.exec(["curl", "-fsS", "-o", "/dev/null", "{url}"]).ok
    codex_workspace.network.assert_nothing_blocked()
"""


@pytest.mark.promise("S10")
def test_a_policy_that_is_suggested_for_a_run_is_sufficient(tmp_path, pip_index):
    """
    S10: A test fails because its policy refuses a host. With the policy that is suggested for its
    report, for scripts and tests, it passes, and nothing else does.
    """
    url = f"{pip_index}/simple/six/"
    init_repo(tmp_path / "repo", scripts(f"curl -fsS -o /dev/null -X HEAD --head {url}\n"))
    refused = run_test(tmp_path, FETCHES.format(url=url), "--codex-network=offline")

    suggest = [*COMMAND, "policy", "suggest", "r"]
    suggested = subprocess.run(suggest, cwd=tmp_path, capture_output=True, text=True, check=True)
    (tmp_path / "policy.yaml").write_text(suggested.stdout)
    both = ("--codex-network=policy.yaml", "--codex-network-setup=policy.yaml")
    allowed = run_test(tmp_path, FETCHES.format(url=url), *both)

    assert "1 failed" in refused
    assert f"such as HEAD {url}" in suggested.stdout
    assert "(CONNECT, HEAD; 1 blocked) of setup-script.sh, test_it.py::test_it" in suggested.stdout
    assert "1 passed" in allowed, allowed
    # Now that it is known what the tunnel carried, methods are limited, too.
    again = subprocess.run(suggest, cwd=tmp_path, capture_output=True, text=True, check=True).stdout
    assert yaml.safe_load(again) == {
        **yaml.safe_load(suggested.stdout),
        "methods": ["GET", "HEAD"],
    }

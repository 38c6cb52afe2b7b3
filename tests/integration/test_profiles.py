"""S10, S15: A profile's rules hold in real workspaces, phase by phase."""

from __future__ import annotations

import os

import pytest

from pytest_codex_workspace.secrets.search import search_container, search_files, search_image

from ..conftest import init_repo, scripts
from .runs import session_of

TOKEN = "kein-wort-davon-7"

SHOW = """\
env | grep -E '^CODEX_(CI|HOME|THREAD_ID|INTERNAL_ORIGINATOR_OVERRIDE)=' || echo no agent
echo "secret has ${#CODEX_TEST_TOKEN} characters"
"""

FETCH = "curl -sS -o /dev/null -w '%{{http_code}}\\n' {}"


@pytest.mark.promise("S10", "S15")
@pytest.mark.slow
def test_the_phases_of_profile_codex(tmp_path, pip_index, monkeypatch):
    """
    S10: Scripts have internet access, plain HTTP included, and secrets; tests have neither, but the
    agent's variables. `phase` brings each back, and what it was before, and ends processes.
    """
    monkeypatch.setenv("CODEX_TEST_TOKEN", TOKEN)
    url = f"{pip_index}/simple/six/"
    plain = url.replace("https:", "http:")
    script = f"{SHOW}{FETCH.format(url)}\n{FETCH.format(plain)}\n"
    repo = init_repo(tmp_path / "repo", scripts(script, script))
    said: list[str] = []
    with session_of(said, profile="codex", secret=["CODEX_TEST_TOKEN"], cache="off") as made:
        ws = made.workspace(made.spec(made.repository(repo), {}), "ready")
        lines = ws.setup.output.splitlines()
        assert lines.count("no agent") == 2
        assert lines.count(f"secret has {len(TOKEN)} characters") == 2
        assert lines.count("200") >= 2
        for phase in ("setup", "resume"):
            ws.network.assert_requested(phase=phase, scheme="http", verdict="allowed")
        agent = ws.exec(SHOW).stdout
        assert "CODEX_HOME=/opt/codex\n" in agent
        assert "secret has 0 characters" in agent
        refused = ws.exec(f"curl -sS -i {plain}").stdout
        assert refused.startswith("HTTP/1.1 403")
        assert refused.endswith("Domain forbidden")
        assert "x-proxy-error" not in refused.lower()
        ws.network.stub(host="stubbed.test", text="from the stub")
        server = ws.start(["sleep", "600"])

        with ws.phase("setup"):
            assert server.wait(20).exit_code == 128 + 9
            assert "no agent" in ws.exec(SHOW).stdout
            assert ws.exec("echo $CODEX_TEST_TOKEN").stdout == "***\n"
            assert ws.exec(FETCH.format(plain)).stdout != "403\n"
            assert ws.exec("curl -s https://stubbed.test/").stdout == "from the stub"
            # The shell ends, its child does not, and would see the secret for ever.
            ws.exec("setsid sleep 600 >/dev/null 2>&1 & touch made")
        assert ws.exec("pgrep -x sleep").exit_code == 1
        assert ws.path("made").exists()
        assert ws.exec(SHOW).stdout == agent
        assert ws.exec(FETCH.format(plain)).stdout == "403\n"
        ws.network.assert_requested(host="stubbed.test", phase="setup")
        last = ws.network.requests(scheme="http")[-1]
        assert (last.phase, last.reason) == ("test", "offline")
        assert TOKEN not in "\n".join([*said, *map(str, ws.commands), *map(str, ws.network)])
    assert os.environ["CODEX_TEST_TOKEN"] == TOKEN


@pytest.mark.promise("S10", "S15")
@pytest.mark.slow
def test_an_option_beats_the_profile(tmp_path, pip_index):
    """
    S15: The user's policy and methods hold for tests; runtimes that the image lacks are told.
    """
    repo = init_repo(tmp_path / "repo", {"a": "1"})
    said: list[str] = []
    url = f"{pip_index}/simple/six/"
    options = {"network": "codex-package-managers", "network_methods": "safe"}
    with session_of(said, profile="current", **options) as made:
        ws = made.workspace(made.spec(made.repository(repo), {}), "clean")
        assert ws.exec(FETCH.format(url)).stdout == "200\n"
        assert ws.exec(FETCH.format(f"-X POST {url}")).stdout == "403\n"
        assert ws.exec("curl -s https://other.test/").stdout == ""
        ws.network.assert_blocked(reason="method-not-allowed", method="POST")
        assert ws.exec("echo $CODEX_ENV_NODE_VERSION $CODEX_ENV_GO_VERSION").stdout == "24 1.25.1\n"
        assert ws.exec("echo ${CODEX_CI-none}").stdout == "none\n"


@pytest.mark.promise("S5", "S7")
@pytest.mark.slow
def test_secrets_prove_themselves(tmp_path, monkeypatch, small_image):
    """
    S5, S7: A secret that a script uses is in no layer, label, log or record of its image; one that
    it leaves on the disk is reported with its path, and found in the exported image.
    """
    monkeypatch.setenv("CODEX_TEST_TOKEN", TOKEN)
    leave = 'mkdir -p ~/.docker && printf "me:%s" "$CODEX_TEST_TOKEN" | base64 >~/.docker/a.json'
    use = "python3 -c \"import socket; socket.getaddrinfo('$CODEX_TEST_TOKEN.test', 1)\" || true\n"
    script = f'{use}echo "$CODEX_TEST_TOKEN"\n[ -z "$LEAVE" ] || {{ {leave}; }}\n'
    repo = init_repo(tmp_path / "repo", scripts(script))
    said: list[str] = []
    options = {"image": small_image, "secret": ["CODEX_TEST_TOKEN"], "network_setup": "offline"}
    with session_of(said, **options) as made:
        spec = made.spec(made.repository(repo), {"LEAVE": ""})
        ws = made.workspace(spec, "setup")
        assert "***\n" in ws.setup.output
        image = made.engine.container(ws.container).image
        assert search_image(made.engine, image, made.secrets).clean
        assert search_files([ws.setup.log_path, repo], made.secrets).clean
        assert "left secrets" not in "\n".join(said)

        spec = made.spec(made.repository(repo), {"LEAVE": "1"})
        ws = made.workspace(spec, "miss")
        assert [line for line in said if "left secrets" in line] == [
            "codex: warning: codex-workspace-scripts/setup-script.sh left secrets on the disk, and "
            "so in the cached image and its copies: CODEX_TEST_TOKEN in /root/.docker/a.json; let "
            "the script remove them at its end"
        ]
        found = search_container(made.engine, ws.container, made.secrets)
        assert [str(one) for one in found.found] == ["CODEX_TEST_TOKEN in /root/.docker/a.json"]
        assert not found.incomplete

"""The repository's own file, and secrets, work in real workspaces."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import docker
import pytest

from pytest_codex_workspace import SecretError, SetupError
from pytest_codex_workspace.engine import labels
from pytest_codex_workspace.engine.protocol import Engine
from pytest_codex_workspace.options.config import Config
from pytest_codex_workspace.options.sources import FILE
from pytest_codex_workspace.reporting.output import Output
from pytest_codex_workspace.session import Session

from ..conftest import commit, init_repo, named_engine, scripts
from .runs import PYTEST

SECRET = "p4ss'w0rd\nof two lines"
FILE_TEXT = """\
image: slim
env: {FLAVOUR: vanilla, SIZE: small}
runtimes: {node: 22}
network:
  setup: offline
  tests: {allow: [allowed.test]}
"""
SETUP = """\
set -eu
echo "flavour $FLAVOUR, size $SIZE, node $(node --version)"
curl -sS https://example.com/ || true
"""


def run_pytest(where: Path, *arguments: str) -> str:
    """
    Return the output of a run that passes.
    """
    run = subprocess.run(
        [*PYTEST, "-s", "--codex-repo=repo", *arguments], cwd=where, text=True, capture_output=True
    )
    assert run.returncode == 0, run.stdout + run.stderr
    return run.stdout


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """
    Return a repository with a configuration file, and a test beside it.
    """
    init_repo(tmp_path / "repo", {**scripts(SETUP), FILE: FILE_TEXT})
    test = """\
        def test_it(codex_workspace):
            ws = codex_workspace
            print(ws.exec("echo test: $FLAVOUR, $SIZE, $(node --version)").stdout)
            ws.exec("curl -s https://other.test/; curl -s https://allowed.test/")
            for one in [*ws.setup.requests, *ws.network]:
                print(one.phase, one.host, one.reason)
    """
    (tmp_path / "test_it.py").write_text(textwrap.dedent(test))
    return tmp_path


@pytest.mark.promise("S15", "S16")
def test_the_file_has_its_say_in_pytest(project):
    """
    S15: The file sets image, variables, runtimes and both policies; an option takes precedence.
    """
    text = run_pytest(project)

    assert "image slim" in text
    assert "flavour vanilla, size small, node v22." in text
    assert "test: vanilla, small, v22." in text
    assert "setup example.com offline" in text
    assert "test other.test host-not-allowed" in text
    # Nobody has that name; how the proxy learns it depends on this machine's resolver.
    assert "test allowed.test" in text
    assert "test allowed.test host-not-allowed" not in text

    (project / "repo/new.txt").touch()
    text = run_pytest(project, "--codex-env=FLAVOUR=mint", "--codex-network=offline", "-q")

    assert "test: mint, small, v22." in text
    assert "codex workspaces: 1 untracked file is not in the workspace (git add" in text
    assert "test allowed.test offline" in text


@pytest.mark.promise("S16")
def test_the_file_has_its_say_in_the_command(project):
    """
    S16: pytest and the command use the same setup image.
    """
    command = [sys.executable, "-m", "pytest_codex_workspace.cli", "run", "repo"]

    def run(*arguments: str) -> str:
        done = subprocess.run(
            [*command, *arguments], cwd=project, capture_output=True, text=True, check=True
        )
        return done.stdout

    first = run()
    assert "flavour vanilla, size small, node v22." in first
    assert "setup ran and is cached now" in first
    assert "the cached setup was used" in run()
    assert "flavour mint, size small" in run("--env=FLAVOUR=mint")
    assert "codex workspaces: cache hit 1" in run_pytest(project)


@contextmanager
def session(said: list[str], **options: Any) -> Iterator[Session]:
    """
    Start a session for this test alone.
    """
    config = Config(image="slim", engine=named_engine(), **options)
    made = Session(config, Output("progress", said.append))
    try:
        yield made
    finally:
        made.close()


PRINTS = """\
echo "it is <$TOKEN>"
for ((n = 0; n < ${#TOKEN}; n++)); do printf %s "${TOKEN:n:1}"; sleep 0.001; done
curl -s "https://$TOKEN_HOST.test/?q=$TOKEN_HOST" || true
sleep 1000 &
"""


@pytest.fixture
def secret_repo(tmp_path: Path) -> Path:
    """
    Return a repository whose scripts print secrets, and request URLs that contain them.
    """
    resume = 'test "${#TOKEN}" -gt 4\necho "resumed with <$TOKEN>"\n'
    return init_repo(tmp_path / "repo", scripts(PRINTS, resume))


@pytest.fixture
def values(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """
    Set two secrets in the environment.
    """
    monkeypatch.setenv("TOKEN", SECRET)
    monkeypatch.setenv("TOKEN_HOST", "topsecret")
    return [SECRET, "p4ss", "two lines", "topsecret"]


NAMES = ("TOKEN", "TOKEN_HOST")


@pytest.mark.promise("S5", "S8")
def test_a_secret_is_there_in_setup_and_gone_afterwards(secret_repo, values):
    """
    S5, S8: A secret is in no layer's configuration, none of our files, no log and no result.
    """
    said: list[str] = []
    with session(said, secret=NAMES, network_setup="offline") as made:
        spec = made.spec(made.repository(secret_repo), {})
        for state in ("ready", "miss"):
            ws = made.workspace(spec, state)

            assert "it is <***>\n" in ws.setup.output
            assert ws.setup.log_path.read_text() == ws.setup.output
            environments = ws.exec("cat /proc/[0-9]*/environ").stdout
            files = "/opt/codex /etc /root /tmp /var/log /workspace"
            found = ws.exec(f"grep -rslE 'p4ss|topsecret|two lines' {files}; env")
            printed = [
                *(repr(one) for one in ws.setup.requests),
                *(repr(one) for one in ws.network),
                *(one.explanation for one in [*ws.setup.requests, *ws.network]),
                *(ws.setup.output, repr(ws.env), environments, found.stdout, repr(spec)),
            ]
            for value in values:
                assert not [text for text in printed if value in text], state
            assert "HTTPS_PROXY" in environments
            assert "TOKEN" not in environments
            assert any("***.test" in text for text in printed)

        layers = [
            one
            for one in made.engine.images({labels.REPO: spec.snapshot.identity})
            if one.labels[labels.KIND] in ("clean", "setup", "ready")
        ]
        assert {"clean", "setup", "ready"} == {one.labels[labels.KIND] for one in layers}
        for layer in layers:
            about = _record_of(made.engine, layer.id)
            assert "HTTPS_PROXY" in about
            for value in values:
                assert value not in about
                assert json.dumps(value)[1:-1] not in about
        [setup] = [one for one in layers if one.labels[labels.KIND] == "setup"]
        assert json.dumps(list(NAMES)) == json.loads(setup.labels[labels.PARTS])["secrets"]
    shown = "\n".join(said)
    assert "setup-script.sh gets the secrets TOKEN, TOKEN_HOST" in shown
    assert "it is <***>" in shown
    assert "resumed with <***>" in shown
    assert not [value for value in values if value in shown]


def _record_of(engine: Engine, image: str) -> str:
    """
    Return everything that the engine keeps of an image besides its files.
    """
    if engine.url.startswith("native://"):
        name = f"{image.removeprefix('sha256:')}.json"
        return Path(engine.version()["root"], "images", name).read_text()
    with docker.APIClient(engine.url) as client:
        return repr([client.inspect_image(image), client.history(image)])


@pytest.mark.promise("S7")
def test_another_value_is_another_key(secret_repo, values, monkeypatch):
    """
    S7: With another value, setup runs again; with the earlier value, its image is found again.
    """
    caches = []
    for value in (SECRET, "another value", SECRET):
        monkeypatch.setenv("TOKEN", value)
        with session([], secret=NAMES, network_setup="offline") as made:
            spec = made.spec(made.repository(secret_repo), {})
            ws = made.workspace(spec, "ready")
            caches.append((ws.setup.cache, ws.setup.key))

    assert ["miss", "miss", "hit"] == [cache for cache, _ in caches]
    assert caches[0][1] == caches[2][1] != caches[1][1]


@pytest.mark.promise("S8")
def test_a_failing_script_tells_no_secret(make_repo, values):
    """
    S8: Neither the error nor its log contains a secret.
    """
    repo = make_repo(**scripts('echo "bad token: $TOKEN" >&2\nexit 7\n'))
    with session([], secret=("TOKEN",)) as made, pytest.raises(SetupError) as caught:
        made.workspace(made.spec(made.repository(repo), {}), "ready")

    error = caught.value
    assert (7, "bad token: ***\n") == (error.exit_code, error.tail)
    assert not [one for one in values if one in str(error) + error.log_path.read_text()]


def test_a_secret_that_is_not_set(secret_repo, plain_repo, monkeypatch):
    """
    The error names the secret before anything runs; a repository without scripts needs none.
    """
    monkeypatch.delenv("TOKEN", raising=False)
    with session([], secret=("TOKEN",)) as made:
        spec = made.spec(made.repository(secret_repo), {})
        with pytest.raises(SecretError, match="the secret TOKEN is not set"):
            made.workspace(spec, "ready")
        with pytest.raises(SecretError, match="remove one of the two"):
            made.spec(made.repository(secret_repo), {"TOKEN": "x"})
        plain = made.workspace(made.spec(made.repository(plain_repo), {}), "ready")
        assert plain.exec("true").ok


def test_the_command_takes_secrets(make_repo, values, tmp_path, monkeypatch):
    """
    The command reads secrets from the option and the file, which the user has to trust once;
    `cache explain` shows their names, and that a value changed.
    """
    repo = make_repo(**scripts('echo "<$TOKEN> <$TOKEN_HOST>"\n'))
    commit(repo, {FILE: "image: slim\nsecrets: [TOKEN]\n"})
    command = [sys.executable, "-m", "pytest_codex_workspace.cli"]
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    monkeypatch.delenv("CI", raising=False)

    def run(*arguments: str, **environ: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [*command, *arguments], env={**os.environ, **environ}, capture_output=True, text=True
        )

    refused = run("run", str(repo), "--secret=TOKEN_HOST")
    assert 125 == refused.returncode
    assert "secrets: TOKEN gives the variable TOKEN of your environment" in refused.stderr
    assert "running codex-workspace-scripts" not in refused.stdout
    assert 0 == run("trust", str(repo)).returncode
    (repo / FILE).write_text("image: slim\nsecrets: [TOKEN, HOME]\n")
    done = run("run", str(repo), "--secret=TOKEN_HOST")
    assert 0 == done.returncode, done.stderr
    assert f"codex: {FILE} has changes in the work tree" in done.stdout
    assert f"1 changed file is not in the workspace (git add, git commit): {FILE}" in done.stdout
    assert "<***> <***>" in done.stdout
    printed = run("cache", "explain", str(repo), "--secret=TOKEN_HOST", TOKEN="changed").stdout
    assert "TOKEN, TOKEN_HOST" in printed
    assert re.search(r"^ *secret values +changed$", printed, re.MULTILINE)
    missing = run("run", str(repo), "--secret=NO_SUCH_VARIABLE")
    assert 125 == missing.returncode
    assert "the secret NO_SUCH_VARIABLE is not set" in missing.stderr
    assert not [
        one for one in values if one in done.stdout + done.stderr + printed + missing.stderr
    ]

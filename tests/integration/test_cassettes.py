"""S10: Recorded exchanges are replayed without a connection to the outside."""

from __future__ import annotations

import contextlib
import gzip
import http.client
import json
import ssl
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from pytest_codex_workspace.errors import CassetteError
from pytest_codex_workspace.network.cassettes import Cassettes, open_cassette, path_of
from pytest_codex_workspace.network.rules.cassette import Exchange, lines_of
from pytest_codex_workspace.reporting.output import Output
from pytest_codex_workspace.secrets.secrets import NO_SECRETS, Secrets

from ..conftest import commit, init_repo, scripts
from .origin import LOCAL, Origin
from .origin_container import NAME, Outside
from .proxy_process import Running


@pytest.fixture
def _engine() -> None:
    """
    Replace the fixture of this name: the first half of these tests needs no engine.
    """


class Recorder:
    """
    A proxy in a process that records into, or replays from, one repository.
    """

    def __init__(
        self,
        mode: str,
        repository: Path,
        origin: Origin,
        directory: Path,
        secrets: Secrets = NO_SECRETS,
    ) -> None:
        self.repository = repository
        self.proxy = Running(origin, directory, cassette=mode)
        self.said: list[str] = []
        output = Output("progress", self.said.append)
        self.cassettes = Cassettes(mode, self.proxy.client, output, secrets=secrets)  # type: ignore[arg-type]
        self.start("setup")

    def start(self, phase: str = "test") -> None:
        """
        Become another workspace.
        """
        self.proxy.renew()
        cassette = self.cassettes.open(self.repository, None)
        self.proxy.client.register(LOCAL, self.proxy.name, phase, None, cassette)  # type: ignore[arg-type]

    def ask(
        self, path: str, method: str = "GET", body: bytes | None = None, **headers: str
    ) -> tuple[int, bytes]:
        context = ssl.create_default_context(cadata=self.proxy.info.ca_certificate.decode())
        connection = http.client.HTTPSConnection(
            LOCAL, self.proxy.port, context=context, timeout=20
        )
        connection.set_tunnel("localhost", self.proxy.origin.port)
        with contextlib.closing(connection):
            connection.request(method, path, body, headers)
            answer = connection.getresponse()
            return answer.status, answer.read()

    def close(self) -> None:
        assert self.proxy.client.barrier(LOCAL).complete
        self.cassettes.save()
        self.proxy.client.close()


@pytest.fixture
def origin(tmp_path: Path) -> Iterator[Origin]:
    """
    Start the server that is recorded.
    """
    server = Origin(tmp_path)
    yield server
    server.close()


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """
    Return the directory of the cassettes.
    """
    (tmp_path / "repo").mkdir()
    return tmp_path / "repo"


@pytest.mark.promise("S10")
def test_recorded_once_and_played_without_the_server(
    origin: Origin, repository: Path, tmp_path: Path, cache_home: Path
) -> None:
    """
    S10: Requests are matched by method, body and query, but not by secrets.
    """
    recorder = Recorder("record", repository, origin, tmp_path)
    recorder.ask("/a?token=one", **{"If-None-Match": "x", "Authorization": "Bearer hush"})
    recorder.ask("/big")
    recorder.ask("/c", "POST", b"y" * 2_000_000)
    recorder.ask("/c", "POST", b"z")
    recorder.close()
    path = path_of(repository, "default")
    text = path.read_text()

    assert "hush" not in text
    assert "one" not in text.replace("none", "")
    assert json.loads(text.splitlines()[0])["cassette"] == 1
    assert len(text) < 20_000

    playing = Recorder("replay", repository, origin, tmp_path)
    assert playing.ask("/a?token=two") == (200, b"0")
    assert playing.ask("/big") == (200, b"x" * 3_000_000)
    assert playing.ask("/big", "HEAD")[0] == 403
    assert playing.ask("/c", "POST", b"y" * 2_000_000) == (200, b"2000000")
    assert playing.ask("/c", "POST", b"z") == (200, b"1")
    status, refusal = playing.ask("/c", "POST", b"other")
    log = playing.proxy.log
    verdicts = [one.verdict for one in log]
    log.assert_blocked("cassette-miss", method="POST")
    playing.close()

    assert status == 403
    assert b"a different body" in refusal
    assert b"--codex-cassette=record" in refusal
    assert verdicts == ["replayed", "replayed", "blocked", "replayed", "replayed", "blocked"]
    assert origin.seen == []


@pytest.mark.promise("S10")
def test_no_secret_is_in_a_cassette(
    origin: Origin, repository: Path, tmp_path: Path, cache_home: Path
) -> None:
    """
    S10: No secret in an address or answer is recorded; exchanges without secrets are replayed
    unchanged.
    """
    secrets = Secrets(["TOKEN"], {"TOKEN": "2000000"})
    assert secrets.values
    recorder = Recorder("record", repository, origin, tmp_path, secrets)
    recorder.ask("/of/2000000")
    assert (200, b"2000000") == recorder.ask("/c", "POST", b"y" * 2_000_000)
    recorder.ask("/a", "POST", b"z")
    recorder.close()
    cassette = open_cassette(path_of(repository, "default"))

    assert "2000000" not in cassette.path.read_text()
    assert {"/a", "/c", "/of/***"} == {"/" + one.url.split("/", 3)[3] for one in cassette.exchanges}
    playing = Recorder("replay", repository, origin, tmp_path)
    assert (200, b"1") == playing.ask("/a", "POST", b"z")
    assert (200, b"***") == playing.ask("/c", "POST", b"y" * 2_000_000)
    playing.close()


@pytest.mark.promise("S10")
def test_the_policy_comes_before_the_cassette(
    origin: Origin, repository: Path, tmp_path: Path, cache_home: Path
) -> None:
    """
    S10: A recorded request that the policy blocks is refused, and a stub takes precedence over a
    recording.
    """
    recorder = Recorder("record", repository, origin, tmp_path)
    recorder.ask("/a")
    recorder.close()
    playing = Recorder("replay", repository, origin, tmp_path)
    playing.proxy.log.stub(path="/stubbed", text="stub")
    stubbed = playing.ask("/stubbed")
    playing.proxy.log.use({"methods": ["POST"], "ports": []})
    refused = playing.ask("/a")
    reasons = [one.reason for one in playing.proxy.log]
    playing.close()

    assert stubbed == (200, b"stub")
    assert refused[0] == 403
    assert reasons == [None, "method-not-allowed"]


@pytest.mark.promise("S10")
def test_recording_again_changes_only_what_changed(
    origin: Origin, repository: Path, tmp_path: Path, cache_home: Path
) -> None:
    """
    S10: A new recording keeps the order, and the exchanges that were not requested again.
    """
    for paths in (("/a", "/b"), ("/c", "/a")):
        recorder = Recorder("record", repository, origin, tmp_path)
        for path in paths:
            recorder.ask(path)
            recorder.ask(path)
        recorder.close()
    file = path_of(repository, "default")
    before = file.read_bytes()
    recorder = Recorder("record", repository, origin, tmp_path)
    recorder.ask("/b")
    recorder.close()

    urls = [one.url.rpartition("/")[2] for one in open_cassette(file).exchanges]
    assert urls == ["a", "b", "c"]
    assert file.read_bytes() == before


@pytest.mark.promise("S10")
def test_pruning_needs_a_replay(
    origin: Origin, repository: Path, tmp_path: Path, cache_home: Path
) -> None:
    """
    S10: `cassette prune` removes the exchanges that no replay has used, and fails without a
    replay.
    """
    recorder = Recorder("record", repository, origin, tmp_path)
    recorder.ask("/a")
    recorder.ask("/big")
    recorder.close()
    prune = [sys.executable, "-m", "pytest_codex_workspace.cli", "cassette", "prune", repository]

    early = subprocess.run(prune, capture_output=True, text=True)
    playing = Recorder("replay", repository, origin, tmp_path)
    playing.ask("/a")
    playing.close()
    late = subprocess.run(prune, capture_output=True, text=True)
    listed = subprocess.run(
        [*prune[:3], "cassette", "list", repository], capture_output=True, text=True
    )

    assert early.returncode == 125
    assert "pytest --codex-cassette=replay" in early.stderr
    assert late.returncode == 0, late.stderr
    assert "removed 1 exchange from" in late.stdout
    assert "/a" in listed.stdout
    assert "/big" not in listed.stdout


@pytest.mark.promise("S10")
@pytest.mark.parametrize(
    ("content", "words"),
    [
        (None, "there is no cassette"),
        (b"", "the file is empty"),
        (b"{}\n", "line 1: this is not a cassette of format 1"),
        (b'{"cassette": 1}\nnonsense\n', "line 2:"),
        (b'{"cassette": 1}\n{"method": "GET"}\n', "line 2: the url of this exchange is missing"),
        (gzip.compress(b"x", mtime=0), "line 1:"),
    ],
)
def test_a_cassette_that_cannot_be_played(
    origin: Origin,
    repository: Path,
    tmp_path: Path,
    cache_home: Path,
    content: bytes | None,
    words: str,
) -> None:
    """
    S10: The error names the file and the line, and says what to do.
    """
    file = path_of(repository, "default")
    file.parent.mkdir()
    if content is not None:
        file.write_bytes(content)

    with pytest.raises(CassetteError, match="record") as caught:
        Recorder("replay", repository, origin, tmp_path)

    assert words in str(caught.value)
    assert str(file) in str(caught.value)


SETUP = """\
set -eu
pip install --no-cache-dir --break-system-packages --target /opt/pip six
npm install --no-audit --no-fund --prefix /opt/npm is-odd
apt-get update
apt-get install --yes --no-install-recommends tree
"""


@pytest.mark.promise("S10")
def test_package_managers_without_any_network(
    pytester: pytest.Pytester, engine_or_skip: None, tmp_path: Path
) -> None:
    """
    S10: pip, npm and apt install from a cassette, with a proxy that has no outside connection.
    """
    repo = init_repo(tmp_path / "recorded", scripts(SETUP))
    pytester.makepyfile(
        """
        def test_it(codex_workspace, codex_engine, codex_proxy, request):
            ws = codex_workspace
            ws.exec("PYTHONPATH=/opt/pip python3 -c 'import six'", check=True)
            ws.exec("tree --version && test -d /opt/npm/node_modules/is-odd", check=True)
            ws.exec("pip download --no-deps --no-cache-dir -d /tmp/p idna", check=True)
            ws.network.assert_nothing_blocked()
            mode = request.config.getoption("codex_cassette")
            verdicts = {one.verdict for one in [*ws.setup.requests, *ws.network]}
            assert verdicts == {"allowed" if mode == "record" else "replayed"}
            networks = codex_engine.container(codex_proxy.container).addresses
            assert len(networks) == (2 if mode == "record" else 1)
        """
    )
    for mode in ("record", "replay"):
        result = pytester.runpytest_subprocess(
            f"--codex-repo={repo}", "--codex-image=slim", f"--codex-cassette={mode}"
        )
        result.assert_outcomes(passed=1)

    exchanges = open_cassette(path_of(repo, "default")).exchanges
    assert {one.phase for one in exchanges} == {"setup", "test"}
    commit(repo, {})  # It can be committed.


@pytest.mark.promise("S10")
def test_git_clones_from_a_cassette(codex_engine, origin_container, tmp_path):
    """
    S10: git clones over smart HTTP, whose requests differ only in their bodies.
    """
    repo = init_repo(tmp_path / "cloner", {"README": "hello"})
    seen: list[int] = []
    for mode in ("record", "replay"):
        session = Outside(codex_engine, origin_container, repo, tmp_path, cassette=mode)
        try:
            ws = session.workspace()
            clone = ws.exec(f"git clone -q https://{NAME}/git/demo.git && cat demo/README")
            verdicts = {one.verdict for one in ws.network}
            session.stop(ws)
        finally:
            session.close()
        assert clone.stdout == "hello from git\n", clone.stderr
        assert verdicts == {"allowed" if mode == "record" else "replayed"}
        seen.append(len(origin_container.seen("/git/demo.git/git-upload-pack")))

    assert seen[0] == seen[1]


@pytest.mark.promise("S10")
def test_refreshing_records_the_scripts_again(engine_or_skip, tmp_path, pip_index):
    """
    S10: Requests that the scripts no longer make are dropped, and those of tests are kept.
    """
    repo = init_repo(tmp_path / "fresh", scripts(f"curl -sS -o /dev/null {pip_index}/simple/six/"))
    path = path_of(repo, "default")
    path.parent.mkdir()
    kept = Exchange("GET", "https://kept.example/", 200, phase="test", recorded="2026-01-01")
    gone = replace(kept, url="https://gone.example/", phase="setup")
    path.write_bytes(b"".join(lines_of([gone, kept], bytes)))

    command = [sys.executable, "-m", "pytest_codex_workspace.cli", "cassette", "refresh", repo]
    done = subprocess.run([*command, "--image=slim"], capture_output=True, text=True)

    assert done.returncode == 0, done.stderr
    assert "recorded 1 exchange" in done.stdout
    exchanges = open_cassette(path).exchanges
    assert {one.url for one in exchanges} == {f"{pip_index}/simple/six/", kept.url}

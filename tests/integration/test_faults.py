"""S7, S8: The cache survives faults around it. Each fault is a real one."""

from __future__ import annotations

import os
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import docker
import pytest

from pytest_codex_workspace.codex import IMAGE
from pytest_codex_workspace.engine import labels
from pytest_codex_workspace.engine.docker.find import find_engine
from pytest_codex_workspace.engine.protocol import Engine
from pytest_codex_workspace.engine.sweep import sweep
from pytest_codex_workspace.errors import EngineError, SetupError, WorkspaceLost
from pytest_codex_workspace.options.config import Config
from pytest_codex_workspace.reporting.output import Output
from pytest_codex_workspace.session import Session

from ..conftest import commit, init_repo, scripts
from ..helpers.private_engine import NETWORKS, PrivateEngine
from .runs import COMMAND, PYTEST, objects_of, running, until

SETUP = "echo setup begins\nsleep ${PAUSE:-0}\nseq 100000 >/root/whole\necho setup ends\n"
WHOLE = "tail -1 /root/whole"


SLEEPER = """
import pathlib

def test_it(codex_workspace):
    pathlib.Path("started").touch()
    codex_workspace.exec("sleep 300")
"""


@pytest.fixture
def repo(tmp_path: Path) -> Path:
    """
    Return a repository whose setup writes a file.
    """
    return init_repo(tmp_path / "repo", {"a": "1", **scripts(SETUP)})


@contextmanager
def session(engine: str, image: str = "slim", **options) -> Iterator[Session]:
    said: list[str] = []
    made = Session(Config(image=image, engine=engine, **options), Output("progress", said.append))
    made.said = said  # type: ignore[attr-defined]
    try:
        yield made
    finally:
        made.close()


def bring_up(made: Session, repo: Path, **env: str):
    return made.workspace(made.spec(made.repository(repo), env), "ready")


def whole(made: Session, repo: Path, **env: str) -> str:
    """
    Start *repo*, check that setup's file exists, and return where the workspace came from.
    """
    ws = bring_up(made, repo, **env)
    assert "100000\n" == ws.exec(WHOLE, check=True).stdout
    made.stop(ws)
    return ws.setup.cache


@pytest.mark.promise("S7")
@pytest.mark.parametrize("moment", ["setup", "commit", "tests"])
def test_kill_9(tmp_path, codex_engine, moment):
    """
    S7: Whenever a run is killed, the next run has a complete setup, and nothing keeps running.
    """
    big = "head -c 300000000 /dev/urandom >/root/big\n" if moment == "commit" else ""
    repo = init_repo(tmp_path / "repo", {"a": "1", **scripts(big + SETUP)})
    (tmp_path / "test_it.py").write_text(SLEEPER)
    pause = "--codex-env=PAUSE=300" if moment == "setup" else "--codex-env=PAUSE=0"
    client = docker.APIClient(codex_engine.url)
    with running(
        *PYTEST, "--codex-repo=repo", "--codex-image=slim", pause, "test_it.py", cwd=tmp_path
    ) as run:
        if moment == "setup":
            run.until("setup begins")
        else:
            run.until("setup ends")
        if moment == "commit":
            # Containers are paused while they are committed.
            assert until(lambda: _is_paused(client, run.pid), 60)
        elif moment == "tests":
            assert until((tmp_path / "started").exists, 60)
        run.kill()
        run.end()
        pid = run.pid
    client.close()

    assert until(lambda: not objects_of(codex_engine, pid, "containers"), 20)
    with session(codex_engine.url) as made:
        found = whole(made, repo, PAUSE="0")
    if moment != "commit":  # The engine may have brought its part to an end.
        assert found == ("hit" if moment == "tests" else "miss")
    assert until(lambda: not objects_of(codex_engine, pid, "networks"), 30)


def _is_paused(client: docker.APIClient, pid: int) -> bool:
    wanted = {"status": ["paused"], "label": [labels.PID]}
    found = client.containers(filters=wanted)
    return any(one["Labels"][labels.PID].endswith(f":{pid}") for one in found)


def test_kill_9_while_an_image_is_built(private: PrivateEngine, repo):
    """
    The next run builds the image, and does not wait for the lock of the killed run.
    """
    engine = find_engine(private.url)
    client = docker.APIClient(private.url)
    # Another base image, for which there is no workspace image yet.
    (known, *_) = engine.images({labels.KIND: "base"})
    other = client.create_container(known.id, ["true"])["Id"]
    base = f"fault-build-{time.time_ns()}:1"
    engine.commit(other, tag=base, labels={"fault": "build", labels.KIND: "fault"})
    client.remove_container(other)
    options = (f"--engine={private.url}", f"--image={base}", "--output=stream", "repo")
    with running(*COMMAND, "run", *options, cwd=repo.parent) as run:
        run.until("RUN sh /opt/codex/finish.sh")
        run.kill()
        run.end()
    with running(*COMMAND, "run", *options, cwd=repo.parent) as run:
        assert run.end() == 0, run.output

    assert "waiting for" not in run.output
    for image in engine.images({"fault": "build"}):
        for tag in image.tags:
            engine.remove_image(tag)
    engine.close()
    client.close()


@pytest.mark.promise("S7")
def test_the_container_is_killed(codex_engine, repo):
    """
    S7: The command reports that the container ended, and the next workspace is not affected.
    """
    with session(codex_engine.url) as made:
        ws = bring_up(made, repo)
        threading.Timer(0.5, codex_engine.remove, [ws.container]).start()
        with pytest.raises(WorkspaceLost, match=r"its container (is gone|ended)"):
            ws.exec("sleep 300")
        made.stop(ws)

        assert whole(made, repo) == "hit"


def test_holder_and_proxy_are_killed(codex_engine, repo):
    """
    A killed network holder or proxy is started again for the next workspace.
    """
    with session(codex_engine.url) as made:
        first = bring_up(made, repo)
        for one in codex_engine.containers({labels.SESSION: made.identity.id}):
            codex_engine.remove(one.id)
        assert until(lambda: made.isolation.proxy.lost, 10)

        ws = bring_up(made, repo)
        ws.exec("curl -s http://plain.example/")

        ws.network.assert_blocked(reason="plain-http", host="plain.example")
        with pytest.raises(WorkspaceLost):
            first.exec("true")


RESTART = """
import os, pathlib, subprocess, time

def test_1(codex_workspace):
    codex_workspace.exec("true", check=True)

def test_2(codex_workspace):
    pathlib.Path("restart").touch()
    codex_workspace.exec("sleep 300")

def test_3(codex_workspace):
    assert codex_workspace.exec("tail -1 /root/whole").stdout == "100000\\n"
    codex_workspace.exec("true", check=True)
    codex_workspace.network.assert_nothing_blocked()

def test_4(codex_workspace):
    codex_workspace.exec("true", check=True)
"""


@pytest.mark.promise("S7")
def test_the_engine_is_restarted(private: PrivateEngine, small_image, repo):
    """
    S7: The current test fails with a message, and the next one gets a fresh workspace from the
    same cache.
    """
    (repo.parent / "test_it.py").write_text(RESTART)
    engine = (f"--codex-engine={private.url}", f"--codex-image={small_image}")
    with running(*PYTEST, "-v", *engine, "--codex-repo=repo", cwd=repo.parent) as run:
        assert until((repo.parent / "restart").exists, 120)
        private.restart()
        code = run.end(120)

    assert code == 1, run.output
    assert "WorkspaceLost" in run.output
    assert "3 passed, 1 failed" in run.output or "1 failed, 3 passed" in run.output, run.output
    assert "cache hit 3, miss 1" in run.output
    assert "Traceback" not in run.output
    found = find_engine(private.url)
    assert objects_of(found, run.pid, "containers") == []
    assert objects_of(found, run.pid, "networks") == []
    found.close()


@pytest.mark.promise("S7")
def test_the_disk_is_full_during_the_commit(private: PrivateEngine, small_image, tmp_path):
    """
    S7: The error says so and what to do, no incomplete image is left, and the next run works.
    """
    script = "head -c 40000000 /dev/urandom >/root/big\nseq 100000 >/root/whole\n"
    repo = init_repo(tmp_path / "repo", {"a": "1", **scripts(script)})
    engine = find_engine(private.url)
    before = {one.id for one in engine.images({labels.KIND: "setup"})}
    with session(private.url, small_image) as made:
        made.workspace(made.spec(made.repository(repo), {}), "clean")
        # Room for the script's files, and not for a second copy of them.
        with private.filled_up(leaving=60_000_000), pytest.raises(EngineError) as caught:
            bring_up(made, repo)
        assert "disk is full" in str(caught.value)
        assert before == {one.id for one in engine.images({labels.KIND: "setup"})}

        assert whole(made, repo) == "miss"
    engine.close()


class Meddler:
    """
    An engine on which an image is removed between its look-up and the creation of a container
    from it.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._kind = ""
        self.struck = True

    def wait_for(self, kind: str) -> None:
        """
        Remove the next image of *kind* that is used.
        """
        self._kind = kind
        self.struck = False

    def __getattr__(self, name: str):
        return getattr(self._engine, name)

    def create(self, spec):
        image = self._engine.image(spec.image)
        if not self.struck and image and image.labels.get(labels.KIND) == self._kind:
            self.struck = True
            for tag in image.tags:
                self._engine.remove_image(tag)
        return self._engine.create(spec)


@pytest.mark.promise("S7")
def test_an_image_goes_before_it_is_used(private: PrivateEngine, small_image, tmp_path):
    """
    S7: Any image that is removed between look-up and start is rebuilt.
    """
    above = {"clean": ("setup", "ready"), "setup": ("ready",), "ready": ()}
    repos = {kind: _with_resume(tmp_path / kind / "repo") for kind in above}
    with session(private.url, small_image) as made:
        for kind, repo in repos.items():
            assert whole(made, repo) == "miss"
            # What stands on it would keep it.
            for each in above[kind]:
                remove_layers(made.engine, made, repo, each)
    with session(private.url, small_image) as made:
        meddler = Meddler(made.engine)
        made.__dict__["engine"] = meddler
        for kind, repo in repos.items():
            meddler.wait_for(kind)

            whole(made, repo)

            assert meddler.struck, kind


def _with_resume(where: Path) -> Path:
    return init_repo(where, {"a": "1", **scripts(SETUP, "true\n")})


def remove_layers(engine: Engine, made: Session, repo: Path, kind: str) -> None:
    made.isolation.wait_for_cleanup()
    identity = made.repository(repo).identity
    for image in engine.images({labels.KIND: kind, labels.REPO: identity}):
        for tag in image.tags:
            engine.remove_image(tag)


@pytest.mark.promise("S7")
def test_a_cached_image_is_broken(private: PrivateEngine, small_image, tmp_path):
    """
    S7: An image from which no workspace starts is reported and rebuilt, and the second run uses
    the new one.
    """
    repos = {}
    for damage in ("no-python", "foreign", "disk"):
        repos[damage, "ready"] = _with_resume(tmp_path / damage / "ready" / "repo")
        without = tmp_path / damage / "setup" / "repo"
        repos[damage, "setup"] = init_repo(without, {"a": "1", **scripts(SETUP)})
    with session(private.url, small_image) as made:
        for repo in repos.values():
            assert whole(made, repo) == "miss"
        made.isolation.wait_for_cleanup()
        for (damage, kind), repo in repos.items():
            _damage(private, made.engine, _newest(made, repo, kind), damage)
    with session(private.url, small_image) as made:
        for case, repo in repos.items():
            made.said.clear()
            whole(made, repo)
            assert any("rebuilt" in line for line in made.said), (case, made.said)
    with session(private.url, small_image) as made:
        for case, repo in repos.items():
            assert (case, "hit") == (case, whole(made, repo))
        assert not any("rebuilt" in line for line in made.said), made.said


def _newest(made: Session, repo: Path, kind: str) -> str:
    identity = made.repository(repo).identity
    (image,) = made.engine.images({labels.KIND: kind, labels.REPO: identity})
    return next(tag for tag in image.tags if not tag.endswith(":cached"))


def _damage(private: PrivateEngine, engine: Engine, tag: str, damage: str) -> None:
    client = docker.APIClient(private.url)
    if damage == "foreign":
        container = client.create_container(tag, ["true"])["Id"]
        engine.commit(container, tag=tag, labels={labels.KEY: "another"})
        client.remove_container(container)
    elif damage == "no-python":
        container = client.create_container(tag, ["sh", "-c", "rm -rf /usr/lib/python3*"])["Id"]
        client.start(container)
        client.wait(container)
        engine.commit(container, tag=tag, labels={})
        client.remove_container(container)
    else:
        # Its topmost layer loses the files that make its directories what they are.
        upper = Path(client.inspect_image(tag)["GraphDriver"]["Data"]["UpperDir"])
        subprocess.run(["rm", "-rf", str(upper)], check=True)
    client.close()


@pytest.mark.promise("S7")
def test_the_clock_is_set_back(private: PrivateEngine, small_image, repo):
    """
    S7: A layer from the future counts as old, and no change of the clock breaks a run.
    """
    run = (*COMMAND, "run", f"--engine={private.url}", f"--image={small_image}", "repo")
    setup_ran = []
    for clock in ((), ("faketime", "-f", "-3d"), ("faketime", "-f", "-3d"), ()):
        with running(*clock, *run, cwd=repo.parent) as process:
            assert process.end() == 0, process.output
        setup_ran.append("setup ran" in process.output)

    assert [True, True, False, True] == setup_ran


def as_root(*command: str) -> None:
    """
    Run a command with root rights, or skip the test without them.
    """
    if os.geteuid() == 0:
        prefix = []
    elif subprocess.run(["sudo", "-n", "true"], capture_output=True).returncode == 0:
        prefix = ["sudo", "-n"]
    else:
        pytest.skip("only root can mount a file system")
    subprocess.run([*prefix, *command], check=True)


@pytest.mark.any_engine
@pytest.mark.promise("S7")
def test_a_read_only_home(codex_engine, repo, tmp_path):
    """
    S7: Locks and the authority are kept elsewhere, and the cache works.
    """
    home, elsewhere = tmp_path / "home", tmp_path / "elsewhere"
    home.mkdir()
    elsewhere.mkdir()
    as_root("mount", "-t", "tmpfs", "-o", "ro", "tmpfs", str(home))
    env = {"HOME": str(home), "XDG_CACHE_HOME": str(home / "cache"), "TMPDIR": str(elsewhere)}
    run = (*COMMAND, "run", "--image=slim", f"--engine={codex_engine.url}", "repo")
    try:
        for words in ("setup ran and is cached now", "the cached setup was used"):
            with running(*run, cwd=repo.parent, env=env) as process:
                assert process.end() == 0, process.output
            assert words in process.output
    finally:
        as_root("umount", str(home))


@pytest.mark.any_engine
@pytest.mark.promise("S7")
def test_setup_that_fails_after_an_earlier_success(codex_engine, tmp_path):
    """
    S7: The old entry is unchanged, and runs that do not refresh still use it.
    """
    # A setup is not keyed by commit, so the same one fails at a later commit.
    script = "seq 100000 >/root/whole\n[ ! -e broken ] || exit 9\n"
    repo = init_repo(tmp_path / "repo", {"a": "1", **scripts(script)})
    with session(codex_engine.url) as made:
        assert whole(made, repo) == "miss"
        tag = f"{IMAGE}:setup-{made.builder.setup_key(made.spec(made.repository(repo), {}))}"
        image = codex_engine.image(tag)
    commit(repo, {"broken": ""})

    with session(codex_engine.url, cache="refresh") as made:
        with pytest.raises(SetupError) as caught:
            bring_up(made, repo)
        assert caught.value.exit_code == 9

    assert image.id == codex_engine.image(tag).id
    with session(codex_engine.url) as made:
        assert whole(made, repo) == "hit"


def test_no_network_is_left(private: PrivateEngine, small_image, repo):
    """
    Networks of dead sessions are removed; if running sessions have all networks, the error says
    what to do.
    """
    engine = find_engine(private.url)
    try:
        for number in range(NETWORKS):
            engine.create_network(
                f"dead-{number}",
                internal=True,
                # A process of this machine that has ended.
                labels={labels.SESSION: "dead", labels.PID: _of_the_dead()},
            )
        with session(private.url, small_image) as made:
            whole(made, repo)
            mine = made.identity.labels("network")
            for number in range(NETWORKS - 1):
                made.engine.create_network(f"alive-{number}", internal=True, labels=mine)
            with (
                session(private.url, small_image) as late,
                pytest.raises(EngineError, match="no network address left") as caught,
            ):
                bring_up(late, repo)
        assert "codex-workspace clean" in str(caught.value)
    finally:
        sweep(engine, everything=True)
        engine.close()


def _of_the_dead() -> str:
    from pytest_codex_workspace.engine.session_id import Identity

    process = subprocess.Popen(["true"])
    process.wait()
    own = Identity().labels("network")[labels.PID]
    return f"{own.rpartition(':')[0]}:{process.pid}"

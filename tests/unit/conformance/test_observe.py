"""The runs of a check on the fake engine: what happens in which workspace, and what is kept."""

from __future__ import annotations

import json
from collections.abc import Iterable
from contextlib import contextmanager
from dataclasses import replace
from typing import Any
from unittest.mock import Mock

import pytest

from pytest_codex_workspace.codex import RESUME, SETUP
from pytest_codex_workspace.conformance import observe as observing
from pytest_codex_workspace.conformance.observe import exported_by, observe
from pytest_codex_workspace.conformance.project_tests import ProjectTests
from pytest_codex_workspace.errors import SetupError, WorkspaceLost
from pytest_codex_workspace.services.daemons import NOTHING_LEFT

from ...helpers.fake_workspaces import (
    LIST_PROCESSES,
    Script,
    StubProjection,
    World,
    _Agent,
    snapshot,
)

pytestmark = pytest.mark.usefixtures("cache_home", "_stubs")

SERVER = {"argv": ["redis-server", "*:6379"], "at": [6379], "held": False}


class Agent(_Agent):
    """
    An agent that knows what a check asks inside. `World.shell_results` has the answers.
    """

    def _exec(self, number: int, request: dict[str, Any]) -> None:
        result = self._result(request["argv"])
        if result is None:
            super()._exec(number, request)
        else:
            self._finish(number, *result)

    def _result(self, argv: list[str]) -> tuple[int, bytes] | None:
        if argv[-2:-1] == ["bash"]:
            return 0, argv[-1].encode()  # Any shell finds the program.
        if argv[-1] == LIST_PROCESSES:
            return self._told("processes", b'{"processes": [], "ports": []}')
        if argv[:3] == ["python3", "-I", "-S"]:
            self._world.trace.append("secrets")
        looks = argv[:3] == ["python3", "-I", "-c"]
        if not looks and argv[0] != "git" and argv[:2] != ["bash", "-lc"]:
            return None
        key = argv[4] if looks else "git" if argv[0] == "git" else argv[-1].strip()
        return self._told(key, b"{}" if looks else b"")

    def _told(self, key: str, usual: bytes) -> tuple[int, bytes]:
        self._world.trace.append(key)
        return self._world.shell_results.get(key, (0, usual))


@pytest.fixture
def _stubs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pytest_codex_workspace.setup.layers.Projection", StubProjection)
    monkeypatch.setattr(
        "pytest_codex_workspace.setup.layers.switch_archive",
        lambda found: StubProjection(found).open(),
    )

    @contextmanager
    def newer(found, environ):
        yield replace(found, head="b" * 40)

    monkeypatch.setattr("pytest_codex_workspace.conformance.observe.newer_commit", newer)


def told(*processes: dict[str, Any], ports: Iterable[int] = ()) -> bytes:
    """
    Return what a workspace says of its processes.
    """
    return json.dumps({"processes": processes, "ports": [*ports]}).encode()


def run(
    world: World,
    tests: ProjectTests | None = None,
    cache: str = "auto",
    secret: tuple[str, ...] = (),
    **changes: object,
):
    """
    Run a check, and return what was seen.
    """
    with world.session(cache, secret=secret) as session:
        spec = session.spec(snapshot(**changes), {}, policy=session.read_policy("offline"))
        return observe(session, spec, tests=tests, time_limit=60, environ={})


@pytest.mark.parametrize("cache", ["auto", "off"])
def test_two_workspaces_and_one_layer(cache):
    """
    Setup runs twice in one workspace, and the layer is made of the first run. The other one resumes
    from it at the newer commit, where the tests run in the agent phase.
    """
    world = World(Agent)
    world.shell_results["processes"] = 0, told(SERVER)
    world.shell_results["git"] = 0, b" M tracked\0?? new\0"
    changes = {"changes": [["added", "/root/x"]]}
    world.shell_results["compare"] = 0, json.dumps(changes).encode()

    seen = run(world, ProjectTests("make test", "Makefile"), cache)

    layer = "clean>setup" if cache == "auto" else "temporary>temporary"
    assert world.trace == [
        "base>clean" if cache == "auto" else "base>temporary",
        *("setup.sh", "processes", "git", layer, "remember"),
        *("setup.sh", "compare"),
        *("resume.sh", "processes", "git", "make test"),
    ]
    assert [(phase, policy) for phase, policy, _ in world.registered[-4:]] == [
        ("setup", "https-only"),
        ("setup", "https-only"),
        ("resume", "https-only"),
        ("test", "offline"),
    ]
    assert [one.ports for one in seen.left.daemons] == [(6379,)]
    assert seen.setup_status == {"tracked": " M", "new": "??"}
    assert seen.again_changes == [("added", "/root/x")]
    assert seen.test_run.ok
    assert "codex: running make test ..." in world.shown
    assert world.leftovers() == []
    assert world.layers() == (["clean", "setup"] if cache == "auto" else [])


def test_secrets_that_setup_leaves(monkeypatch):
    """
    They are searched once after each script, which takes seconds.
    """
    monkeypatch.setenv("T", "geheim-7")
    world = World(Agent)
    world.found_secrets = b'{"found": [["T", "content", "/root/.npmrc"]], "complete": true}'

    seen = run(world, secret=("T",))

    assert seen.secrets == [("T", "/root/.npmrc")]
    assert [one for one in world.trace if one in ("setup.sh", "resume.sh", "secrets")] == [
        *("setup.sh", "secrets", "setup.sh"),
        *("resume.sh", "secrets"),
    ]


def test_a_check_sets_up_although_it_is_cached():
    """
    What is cached was set up at another time; the new layer takes the place of the old one.
    """
    world = World(Agent)
    run(world)
    first = world.newest("setup").id

    run(world)

    assert world.trace.count("setup.sh") == 4
    assert world.newest("setup").id != first
    assert world.layers() == ["clean", "setup"]


def test_secrets_that_setup_leaves_are_noted(monkeypatch):
    """
    They are looked for in the phase that has them.
    """
    monkeypatch.setenv("T", "geheim-7")
    world = World(Agent)
    world.found_secrets = b'{"found": [["T", "content", "/root/.npmrc"]], "complete": true}'
    with world.session(secret=("T",)) as session:
        spec = session.spec(snapshot(), {})
        seen = observe(session, spec, tests=None, time_limit=60, environ={})

    assert [("T", "/root/.npmrc")] == seen.secrets


def test_setup_that_fails_is_the_end():
    """
    Nothing resumes from a setup that failed, and nothing is left of it.
    """
    world = World(Agent)
    world.scripts[SETUP] = Script("no\n", code=3)

    seen = run(world, ProjectTests("make test", "Makefile"))

    assert isinstance(seen.setup_error, SetupError)
    assert seen.setup_error.exit_code == 3
    assert seen.test_run is None
    assert world.trace == ["base>clean", "setup.sh"]
    assert world.leftovers() == []


def test_a_setup_script_that_is_not_in_the_commit():
    """
    Nothing can run, which is a finding and no error.
    """
    world = World(Agent)

    seen = run(world, has_setup=False)

    assert "no setup-script.sh" in str(seen.setup_error)
    assert "setup.sh" not in world.trace


def test_resuming_that_fails():
    """
    The tests do not run in a workspace that could not be resumed.
    """
    world = World(Agent)
    world.scripts[RESUME] = Script("no\n", code=4)

    seen = run(world, ProjectTests("make test", "Makefile"))

    assert seen.resume_error.exit_code == 4
    assert "make test" not in world.trace
    assert world.leftovers() == []


def test_the_output_of_tests_that_fail_is_kept():
    """
    They may have run for minutes.
    """
    world = World(Agent)
    world.shell_results["make test"] = 2, b"E   no\n"

    seen = run(world, ProjectTests("make test", "Makefile"))

    assert seen.test_run.log_path.read_text() == "E   no\n"
    assert seen.test_run.log_path.name.endswith("-tests.log")


def test_a_repository_without_scripts():
    """
    Its tests run in a workspace with its files.
    """
    world = World(Agent)

    seen = run(world, ProjectTests("make test", "Makefile"), scripts_tree=None, has_setup=False)

    assert world.trace[-1] == "make test"
    assert "setup.sh" not in world.trace
    assert seen.test_run.ok


@pytest.mark.parametrize(
    "said",
    [
        *(b"", b"[]", b"{", b"1e999", b"[" * 100_000),
        b'{"processes": [{"pid": 1}, 7, "x"]}',
        b'{"processes": 5, "ports": 5, "changes": 5}',
        b'{"processes": null, "ports": null, "changes": null}',
        b'{"processes": {"a": 1}, "ports": [1e999, "1", true, -1], "changes": [7, [1]]}',
        b'{"processes": [{"argv": 5, "at": [1e999], "held": 5}]}',
    ],
)
def test_what_is_said_inside_is_not_trusted(said):
    """
    A script may replace Python, whose answers then are ignored.
    """
    world = World(Agent)
    for word in ("processes", "remember", "compare"):
        world.shell_results[word] = 0, said

    seen = run(world)

    assert seen.left == NOTHING_LEFT
    assert list(seen.again_changes) == []


def test_much_that_is_said_inside_is_cut():
    """
    A hostile answer has a bound in each of its dimensions.
    """
    world = World(Agent)
    one = {**SERVER, "argv": ["x" * 900], "at": [*range(1, 50), 1e999]}
    world.shell_results["processes"] = 0, told(*[one] * 900, ports=range(1, 90))
    world.shell_results["compare"] = 0, json.dumps({"changes": [["added", "/x"]] * 900}).encode()

    left, changes = (seen := run(world)).left, seen.again_changes

    assert 50 == len(left.daemons)
    assert {(203, 20)} == {(len(one.command), len(one.ports)) for one in left.daemons}
    assert (20, 200) == (len(left.ports), len(changes))


def test_a_server_that_starts_late(monkeypatch):
    """
    What a script has just started is given a moment to listen; what listens is asked once.
    """
    world = World(Agent)
    silent = told({**SERVER, "at": []})
    world.shell_results["processes"] = 0, silent
    later = [silent, told(SERVER)]

    def pause(_: float) -> None:
        world.shell_results["processes"] = 0, later.pop(0)

    monkeypatch.setattr(observing, "clock", Mock(wraps=observing.clock, sleep=pause))

    seen = run(world)

    assert [one.ports for one in seen.left.daemons] == [(6379,)]
    assert world.trace[1:6] == ["setup.sh", *["processes"] * 3, "git"]


@pytest.mark.parametrize("ask", ["_look", "_status"])
def test_a_workspace_that_cannot_be_asked(ask):
    """
    What a script has broken is not known; a lost workspace ends the check.
    """
    words = {"_look": ("compare",), "_status": (Mock(project="/workspace/demo"),)}[ask]
    channel = Mock()

    channel.run.side_effect = OSError("no further process")
    assert not getattr(observing, ask)(channel, *words)
    channel.run.side_effect = WorkspaceLost("it has ended")
    with pytest.raises(WorkspaceLost):
        getattr(observing, ask)(channel, *words)


def test_exports_are_found_in_the_text():
    """
    Those of the script itself count, and a virtual environment that it activates.
    """
    script = """\
set -e
export A=1 B
declare -x C=2
export -n D
# export E=1
(export F=1)
. .venv/bin/activate
  export G="x y"
source ./lib.sh
set -a
eval "$(tool init)"
export DEBIAN_FRONTEND=noninteractive PIP_QUIET=1
"""
    found = exported_by(script)

    assert {name: line for name, (line, _) in found.items()} == {
        "A": 2,
        "B": 2,
        "C": 3,
        "VIRTUAL_ENV": 7,
        "G": 8,
        "./lib.sh": 9,
        "set -a": 10,
        'eval "$(tool init)"': 11,
    }
    assert found["VIRTUAL_ENV"][1] == ". .venv/bin/activate"

"""Workspaces that the tests of a class, a module or a run share."""

from __future__ import annotations

import subprocess
from collections.abc import Mapping
from xml.etree import ElementTree

import pytest

from ..conftest import init_repo, scripts
from .runs import PYTEST

TESTS = """
import pytest

CONTAINERS = {}


def fetch(ws, url):
    return ws.exec(["curl", "--silent", "--max-time", "60", url])


def same(ws, name):
    return CONTAINERS.setdefault(name, ws.container) == ws.container


@pytest.fixture(scope="module")
def prepared(codex_workspace_module):
    codex_workspace_module.exec("echo x >>/tmp/prepared", check=True)
    fetch(codex_workspace_module, "http://fixture.example/")
    codex_workspace_module.network.stub(host="all.example", text="for all")
    return codex_workspace_module


@pytest.fixture
def own(prepared):
    fetch(prepared, "http://own.example/")
    return prepared


def test_first(prepared, codex_workspace_session):
    assert same(prepared, "module") and same(codex_workspace_session, "run")
    assert prepared.network.requests() == []
    fetch(prepared, "http://first.example/")
    fetch(codex_workspace_session, "http://other.example/")
    assert [one.host for one in prepared.network] == ["first.example"]
    route = prepared.network.stub(host="first.example", text="for the first")
    removed = prepared.network.stub(host="removed.example", text="")
    removed.remove()
    prepared.network.fault(host="all.example", kind="status", status=599)
    prepared.network.use("offline")
    assert fetch(prepared, "https://first.example/").stdout == "for the first"
    assert route.called


def test_second(prepared):
    assert same(prepared, "module")
    assert prepared.network.requests() == [] and len(prepared.network) == 0
    assert fetch(prepared, "https://all.example/").stdout == "for all"
    assert fetch(prepared, "https://first.example/").stdout != "for the first"
    # The policy of the first test refused it; now the host does not exist.
    (last,) = prepared.network.requests(host="first.example")
    assert (last.verdict, last.reason) == ("failed", "upstream-error")
    hosts = [one.host for one in prepared.network.since_start]
    assert hosts.index("fixture.example") < hosts.index("first.example")
    prepared.network.assert_not_requested(host="fixture.example")


def test_what_its_own_fixtures_request_belongs_to_a_test(own):
    assert [one.host for one in own.network] == ["own.example"]


def test_fails(prepared):
    prepared.exec("echo said by the failing test")
    assert False


def test_is_lost(prepared, codex_engine):
    codex_engine.remove(prepared.container)
    prepared.exec("true")


def test_after_the_loss(prepared):
    assert not same(prepared, "module")
    assert prepared.path("/tmp/prepared").read_text() == "x\\n"


class TestClass:
    pytestmark = pytest.mark.codex_env(OF_THE_CLASS="yes")

    def test_one(self, codex_workspace_class):
        assert same(codex_workspace_class, "class")
        assert codex_workspace_class.exec("echo $OF_THE_CLASS").stdout == "yes\\n"

    def test_two(self, codex_workspace_class, codex_workspace_session):
        assert same(codex_workspace_class, "class")
        assert codex_workspace_class.container not in (
            CONTAINERS["module"], codex_workspace_session.container
        )
        assert same(codex_workspace_session, "run")
        codex_workspace_session.network.assert_not_requested(host="other.example")


class TestOther:
    def test_one(self, codex_workspace_class):
        assert not same(codex_workspace_class, "class")
        assert "OF_THE_CLASS" not in codex_workspace_class.env
"""


@pytest.fixture(scope="module")
def results(tmp_path_factory, engine_or_skip) -> Mapping[str, ElementTree.Element]:
    """
    Run the tests once; the result of each by its name.
    """
    where = tmp_path_factory.mktemp("shared")
    init_repo(where / "repo", {"a": "1", **scripts("true\n")})
    (where / "test_it.py").write_text(TESTS)
    done = subprocess.run(
        [*PYTEST, "--codex-repo=repo", "--codex-image=slim", "--junitxml=found.xml", "test_it.py"],
        cwd=where,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1, done.stdout + done.stderr
    cases = ElementTree.parse(where / "found.xml").iter("testcase")
    return {f"{one.get('classname')}.{one.get('name')}".split(".", 1)[1]: one for one in cases}


def failure_of(result: ElementTree.Element) -> str:
    return "".join(f"{one.get('message')}\n{one.text}" for one in result.findall("failure"))


@pytest.mark.parametrize(
    "name",
    [
        "test_first",
        "test_second",
        "test_what_its_own_fixtures_request_belongs_to_a_test",
        "test_after_the_loss",
        "TestClass.test_one",
        "TestClass.test_two",
        "TestOther.test_one",
    ],
)
def test_each_test_has_its_own_part(results, name):
    """
    The network log, stubs, faults and the policy are those of the test at hand, and a lost
    workspace is a new one for the next test.
    """
    assert not failure_of(results[name])
    assert results[name].find("error") is None


def test_a_failure_shows_what_the_test_did(results):
    """
    And nothing of the tests before it.
    """
    text = failure_of(results["test_fails"])

    assert "said by the failing test" in text
    assert "example" not in text
    assert "the workspace is lost" in failure_of(results["test_is_lost"])


def test_the_properties_are_those_of_the_test(results):
    """
    Each of its workspaces adds its number of requests.
    """

    def found(test: str, name: str) -> list[str]:
        every = results[test].iter("property")
        return sorted(one.get("value") for one in every if one.get("name") == name)

    tests = ("test_first", "test_second", "test_fails")
    assert [found(one, "codex_requests") for one in tests] == [["1", "2"], ["2"], ["0"]]
    assert [found(one, "codex_blocked") for one in tests] == [["1", "1"], ["0"], ["0"]]
    assert found("test_first", "codex_commit")[0] == found("test_second", "codex_commit")[0]

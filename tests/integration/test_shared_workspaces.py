"""Workspaces that the tests of a class, a module or a run share."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Mapping
from xml.etree import ElementTree

import pytest

from pytest_codex_workspace.engine import labels

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


KEPT = """
import pytest


@pytest.fixture(scope="session")
def ends_with_the_run(codex_workspace_session):
    yield codex_workspace_session
    assert False


@pytest.fixture(scope="class")
def begins_badly(codex_workspace_class):
    assert False


@pytest.fixture(scope="class")
def ends_badly(codex_workspace_class):
    yield
    pytest.fail("at its end")


@pytest.fixture
def own_begins_badly(codex_workspace_class):
    assert False


@pytest.fixture
def own_ends_badly(codex_workspace_class, request):
    request.addfinalizer(lambda: [].pop())


@pytest.fixture
def of_one_test(codex_workspace):
    yield
    assert False


class TestKeptSetup:
    def test_fails(self, begins_badly):
        pass

    def test_passes(self, codex_workspace_class):
        pass


class TestKeptTeardown:
    def test_it(self, ends_badly, ends_with_the_run):
        pass


class TestKeptOwnSetup:
    def test_it(self, own_begins_badly):
        pass


class TestKeptOwnTeardown:
    def test_fails(self, own_ends_badly):
        pass

    def test_passes(self, codex_workspace_class):
        pass


class TestKeptCall:
    def test_fails(self, codex_workspace_class):
        assert False

    def test_passes(self, codex_workspace_class):
        pass


class TestKeptAsksForIt:
    def test_passes(self, codex_workspace_class):
        pass

    def test_fails(self, request):
        request.getfixturevalue("codex_workspace_class")
        assert False


class TestPasses:
    def test_passes(self, codex_workspace_class):
        pass

    def test_skips_itself(self, codex_workspace_class):
        pytest.skip()

    def test_fails_without_it(self):
        assert False


def test_kept_of_one_test(of_one_test):
    pass


def test_passes(codex_workspace):
    pass
"""


def test_a_workspace_is_kept_if_a_fixture_that_shares_it_fails(tmp_path, engine):
    """
    At its begin or at its end, whatever its scope, and whatever the tests after it do.
    """
    init_repo(tmp_path / "repo", {"a": "1", **scripts("true\n")})
    (tmp_path / "test_it.py").write_text(KEPT)
    done = subprocess.run(
        [*PYTEST, "--codex-repo=repo", "--codex-image=slim", "--codex-keep=failed", "test_it.py"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    images = [
        tag
        for image in engine.images({labels.KIND: "kept"})
        for tag in image.tags
        if tag in done.stdout
    ]
    for tag in images:
        engine.remove_image(tag)

    kept = re.findall(r"codex workspaces: (.*) is kept", done.stdout)
    assert sorted(one.removeprefix("test_it.py::") for one in kept) == [
        "TestKeptAsksForIt",
        "TestKeptCall",
        "TestKeptOwnSetup",
        "TestKeptOwnTeardown",
        "TestKeptSetup",
        "TestKeptTeardown",
        "test_kept_of_one_test",
        "the whole run",
    ], done.stdout + done.stderr
    assert len(images) == len(kept)

"""Snapshots: a workspace returns to one, others start from one, and tests share a prepared one."""

from __future__ import annotations

import secrets

import pytest

from pytest_codex_workspace import ExecError, SnapshotError, WorkspaceLost
from pytest_codex_workspace.engine import labels
from pytest_codex_workspace.engine.sweep import sweep

from .runs import PYTEST, running


@pytest.fixture
def prepared():
    """
    Return what prepares a workspace for several tests.
    """

    def prepare(ws):
        ws.exec("mkdir /opt/tool && echo installed >/opt/tool/state; sleep 1000 &", check=True)
        ws.path("notes").write_text("prepared\n")

    return prepare


def test_a_workspace_returns_to_a_snapshot(plain):
    """
    With its files, modes, owners and links; without its processes; with its network.
    """
    ws = plain
    ws.network.stub(host="api.example.com", path="/a", json={"n": 1})
    curl = "curl -sS https://api.example.com/a"
    assert ws.exec(curl).stdout == '{"n": 1}'
    ws.exec(
        "echo one >kept; chmod 600 kept; chown daemon kept; ln -s kept link; mkdir -p /srv/d; "
        "rm README",
        check=True,
    )
    first, path = ws.container, ws.path("kept")
    snap = ws.snapshot()
    process = ws.start("sleep 1000")
    ws.exec(
        "rm -rf kept link /srv/d; echo new >new; "
        "git -c user.name=A -c user.email=a@b.c commit -q --allow-empty -m x",
        check=True,
    )
    [commit] = {ws.exec("git rev-parse HEAD").stdout} - {ws.head}

    ws.restore(snap)

    assert path.read_text() == "one\n"
    assert ws.exec("stat -c '%a %U' kept; readlink link; ls; pgrep sleep").stdout == (
        "600 daemon\nkept\nkept\nlink\n"
    )
    assert ws.exec("git rev-parse HEAD").stdout.strip() == ws.head != commit
    assert process.poll() is not None
    assert ws.container != first
    assert ws.exec("hostname; tail -1 /etc/hosts").stdout.split()[0] in ws.exec("hostname").stdout
    # The log goes on, and what the test has set still holds.
    assert ws.exec(curl).stdout == '{"n": 1}'
    assert len(ws.network.requests(host="api.example.com", verdict="stubbed")) == 2
    ws.exec("curl -sS http://example.org/")
    ws.network.assert_blocked(reason="plain-http")
    assert {one.path: one.kind for one in ws.diff()} == {
        "README": "removed",
        "kept": "added",
        "link": "added",
    }


def test_changes_since_a_snapshot(plain):
    """
    Also where two states are written in the same second, with the same sizes.
    """
    ws = plain
    ws.exec("echo 1 >same; echo 1 >/root/other; mkdir /opt/d; touch /opt/d/x", check=True)
    snap = ws.snapshot()
    ws.exec("echo 2 >same; rm -r /opt/d; cat /root/other >/tmp/o; cp /tmp/o /root/other")

    found = {one.path: one.kind for one in ws.diff(since=snap)}

    assert found == {f"{ws.project}/same": "changed", "/opt/d": "removed", "/tmp/o": "added"} or (
        found
        == {
            f"{ws.project}/same": "changed",
            "/opt/d": "removed",
            "/opt/d/x": "removed",
            "/tmp/o": "added",
        }
    )
    ws.restore(snap)
    assert list(ws.diff(since=snap)) == []
    assert f"{ws.project}/same" in [one.path for one in ws.diff(since="start")]


def test_workspaces_of_one_snapshot(plain, codex_workspace_factory, codex_engine):
    """
    Each is its own, with the network of the test that asks for it.
    """
    plain.exec("echo prepared >/root/state", check=True)
    snap = plain.snapshot()
    labelled = codex_engine.image(snap.image).labels
    assert labelled[labels.KIND] == "temporary"
    # What a sweep would remove if the session had been killed, it keeps while it lives.
    assert not [one for one in sweep(codex_engine) if "snapshot-" in one]

    one = codex_workspace_factory(snapshot=snap, network="offline", env={"OWN": "1"})
    two = codex_workspace_factory(snapshot=snap)
    one.exec("echo changed >/root/state", check=True)

    assert two.path("/root/state").read_text() == "prepared\n"
    assert one.exec("echo $OWN").stdout == "1\n"
    assert two.exec("echo $OWN").stdout == "\n"
    assert [each.path for each in one.diff(since="start")] == ["/root/state"]
    one.exec("curl -sS https://example.org/")
    one.network.assert_blocked(reason="offline")
    assert two.network.blocked == []
    assert (one.head, one.setup.cache) == (plain.head, "none")


@pytest.mark.codex_setup(False)
@pytest.mark.codex_snapshot("prepared")
@pytest.mark.parametrize("number", [1, 2, 3])
def test_tests_share_a_prepared_state(codex_workspace_factory, scripted_repo, number):
    """
    Each test gets the files, whatever another one did; no process is left of preparing.
    """
    ws = codex_workspace_factory(repo=scripted_repo, snapshot="prepared", setup=False)

    assert ws.exec("cat /opt/tool/state notes; pgrep sleep").stdout == "installed\nprepared\n"
    ws.exec("rm -r /opt/tool notes", check=True)


TESTS = """
import pytest

@pytest.fixture(scope="session")
def prepared():
    def prepare(ws):
        print("preparing now")
        ws.exec("echo ready >/root/state; exit $CODE", check=True)
    return prepare

@pytest.fixture
def value():
    return 5

@pytest.mark.codex_snapshot("prepared")
@pytest.mark.parametrize("number", [1, 2])
def test_good(codex_workspace, number):
    assert codex_workspace.path("/root/state").read_text() == "ready\\n"
    codex_workspace.path("/root/state").unlink()

@pytest.mark.codex_env(CODE="3")
@pytest.mark.codex_snapshot("prepared")
@pytest.mark.parametrize("number", [1, 2])
def test_bad(codex_workspace, number):
    pass

@pytest.mark.codex_snapshot("prepared", key="KEY")
def test_cached(codex_workspace):
    assert codex_workspace.path("/root/state").read_text() == "ready\\n"

@pytest.mark.codex_snapshot("absent")
def test_absent(codex_workspace):
    pass

@pytest.mark.codex_snapshot("value")
def test_no_function(codex_workspace):
    pass

def test_forever(codex_workspace):
    codex_workspace.snapshot()
    print("it hangs", flush=True)
    codex_workspace.exec("sleep 1000")
"""


def test_in_a_run_of_pytest(codex_engine, plain_repo, tmp_path):
    """
    A state is prepared once, with a key for the next run, too; a failure is that of every test, and
    a wrong name is explained. What a killed run leaves is removed by the next.
    """
    (tmp_path / "test_x.py").write_text(TESTS.replace("KEY", secrets.token_hex(8)))
    options = (
        f"--codex-repo={plain_repo}",
        "--codex-image=slim",
        f"--codex-engine={codex_engine.url}",
    )
    command = (*PYTEST, "-rA", "-s", "--tb=short", *options, "test_x.py")
    with running(*command, cwd=tmp_path) as run:
        run.until("it hangs")
        run.kill()
        run.end()
    assert run.output.count("preparing now") == 3
    left = codex_engine.images({labels.KIND: "temporary"})
    assert left

    removed = sweep(codex_engine)

    assert [one for one in removed if "snapshot-" in one]
    with running(*command, "--deselect=test_x.py::test_forever", cwd=tmp_path) as run:
        assert run.end() == 1
    for words in (
        "3 passed, 1 deselected, 4 errors",
        "@pytest.mark.codex_snapshot('absent'): there is no fixture 'absent'; define one that",
        "@pytest.mark.codex_snapshot('value'): the fixture 'value' returns 5; define one that",
    ):
        assert words in run.output
    assert run.output.count("exited with 3") >= 2
    assert run.output.count("preparing now") == 2


def test_errors(plain, codex_workspace_factory, scripted_repo, codex_engine):
    """
    A snapshot of another repository, one that somebody has removed, a workspace that is lost.
    """
    other = codex_workspace_factory(repo=scripted_repo, setup=False)
    snap = plain.snapshot()
    with pytest.raises(SnapshotError, match="goes back to another image than this workspace"):
        other.restore(snap)
    for tag in codex_engine.image(snap.image).tags:
        codex_engine.remove_image(tag)
    with pytest.raises(SnapshotError, match="is not there any more"):
        plain.restore(snap)
    with pytest.raises(ExecError):
        plain.exec("exit 3", check=True)
    snap = plain.snapshot()
    codex_engine.remove(plain.container)
    with pytest.raises(WorkspaceLost):
        plain.restore(snap)

"""S5 to S9: Setup scripts run, and their result is cached."""

from __future__ import annotations

import os

import pytest

from pytest_codex_workspace import SetupError, WorkspaceLost
from pytest_codex_workspace.cache.usage import usage_on
from pytest_codex_workspace.engine import labels
from pytest_codex_workspace.projection.repository import open_repository

from ..conftest import commit, git, scripts
from .runs import objects_of


@pytest.mark.promise("S5", "S7")
def test_setup_runs_in_a_clean_workspace(codex_workspace_factory, scripted_repo):
    """
    S5: Setup runs in the project directory, in a login shell, and the result has its output.
    """
    ws = codex_workspace_factory(repo=scripted_repo, cache_miss=True)

    assert ws.setup.cache == "miss"
    assert ws.setup.exit_code == 0
    assert ws.setup.output == "setup says hello\nlogin shell\n"
    assert ws.setup.output == ws.setup.log_path.read_text()
    assert 0 < ws.setup.duration
    assert ws.path("/root/home").read_text() == "/root\n"
    assert not ws.path("node_modules/resumed").exists()


@pytest.mark.promise("S5")
def test_the_setup_script_is_required(make_repo, codex_workspace_factory):
    """
    S5: A directory without the script is an error that names the file.
    """
    repo = make_repo(**{"codex-workspace-scripts/other": "x"})

    with pytest.raises(SetupError, match=r"no setup-script\.sh") as caught:
        codex_workspace_factory(repo=repo)

    assert caught.value.exit_code is None


@pytest.mark.promise("S6", "S7")
def test_the_cached_run_starts_from_what_setup_left(codex_workspace_factory, scripted_repo):
    """
    S6, S7: The second workspace has setup's files, ignored ones included, and has run its own
    script.
    """
    ws = codex_workspace_factory(repo=scripted_repo, cache_hit=True)

    assert ws.setup.cache == "hit"
    assert ws.path("node_modules/state").read_text() == "made-by-setup\n"
    assert ws.path("node_modules/resumed").read_text() == "resumed\n"
    assert ws.setup.output.endswith("resume says hello\nmade-by-setup\n")
    assert ws.exec("git status --porcelain").stdout == ""


@pytest.mark.promise("S7")
def test_the_image_is_tagged_by_key_and_as_cached(codex_workspace_factory, codex_engine, make_repo):
    """
    S7: The image has a tag with its key, and `:cached` moves to the newest image.
    """
    repo = make_repo(**scripts("echo new >/root/new\n"))

    first = codex_workspace_factory(repo=repo)
    again = codex_workspace_factory(repo=repo)

    keyed = codex_engine.image(f"codex-workspace-emulator:setup-{first.setup.key}")
    assert (first.setup.cache, again.setup.cache) == ("miss", "hit")
    # Another worker of this run may have made a newer one meanwhile.
    cached = codex_engine.image("codex-workspace-emulator:cached")
    assert labels.created(keyed.labels) <= labels.created(cached.labels)
    assert first.setup.output == again.setup.output


@pytest.mark.promise("S7")
def test_the_state_does_not_depend_on_the_cache(codex_workspace_factory, make_repo):
    """
    S7: An unmarked workspace is the same with a cold and a warm cache; every setup has its own
    key.
    """
    repo = make_repo(**scripts("env | grep ^FLAVOUR >/root/flavour\n", "touch /root/resumed\n"))

    def state(**keywords):
        ws = codex_workspace_factory(repo=repo, **keywords)
        return ws.path("/root/flavour").read_text(), ws.path("/root/resumed").exists()

    assert state(env={"FLAVOUR": "a"}) == ("FLAVOUR=a\n", True)
    assert state(env={"FLAVOUR": "a"}) == ("FLAVOUR=a\n", True)
    assert state(env={"FLAVOUR": "b"}) == ("FLAVOUR=b\n", True)
    assert state(env={"FLAVOUR": "a"}, cache_hit=True) == ("FLAVOUR=a\n", True)
    assert state(env={"FLAVOUR": "a"}, cache_miss=True) == ("FLAVOUR=a\n", False)


@pytest.mark.promise("S6", "S7")
def test_a_later_commit_resumes_from_the_cache(codex_workspace_factory, make_repo):
    """
    S6: The cached workspace is updated to the new HEAD: ignored files stay, deleted files are
    removed.
    """
    repo = make_repo(
        **{".gitignore": "deps/\n", "old": "x"},
        **scripts("mkdir deps; date +%N >deps/stamp\n", "git rev-parse HEAD >deps/head\n"),
    )
    first = codex_workspace_factory(repo=repo)
    stamp = first.path("deps/stamp").read_text()
    (repo / "old").unlink()
    head = commit(repo, {"new": "y"})

    later = codex_workspace_factory(repo=repo, rev=head)

    assert later.setup.cache == "hit"
    assert head == later.head == later.path("deps/head").read_text().strip()
    assert stamp == later.path("deps/stamp").read_text()
    assert later.path("new").read_text() == "y"
    assert not later.path("old").exists()


@pytest.mark.promise("S7")
def test_setup_runs_again_if_what_its_link_leads_to_has_changed(codex_workspace_factory, make_repo):
    """
    S7: The link itself is the same, and so is the tree of the scripts.
    """
    repo = make_repo(**{"tools/setup.sh": "echo one >/root/made\n"})
    (repo / "codex-workspace-scripts").mkdir()
    (repo / "codex-workspace-scripts/setup-script.sh").symlink_to("../tools/setup.sh")
    commit(repo, {})
    first = codex_workspace_factory(repo=repo)
    commit(repo, {"tools/setup.sh": "echo two >/root/made\n"})

    second = codex_workspace_factory(repo=repo)

    assert (first.setup.cache, second.setup.cache) == ("miss", "miss")
    assert [one.path("/root/made").read_text() for one in (first, second)] == ["one\n", "two\n"]


@pytest.mark.promise("S7", "S8")
@pytest.mark.parametrize(
    ("script", "code", "tail"),
    [
        ("echo about to fail\nexit 3\n", 3, "about to fail"),
        ("echo dying\nkill -9 $$\n", 137, "dying"),
        ("echo 'unfinished\n", 2, "unexpected EOF"),
        ("set -e\nno-such-command-here\n", 127, "no-such-command-here"),
    ],
)
def test_a_failing_script_stops_the_run(
    codex_workspace_factory, codex_engine, make_repo, script, code, tail
):
    """
    S7, S8: Exit code, log and last lines are kept, and the cache is unchanged.
    """
    repo = make_repo(**scripts(script))
    own = {labels.REPO: open_repository(repo, environ=os.environ).identity}

    with pytest.raises(SetupError) as caught:
        codex_workspace_factory(repo=repo)

    error = caught.value
    assert code == error.exit_code
    assert tail in error.tail
    assert tail in error.log_path.read_text()
    assert str(error.log_path) in str(error)
    assert ["clean"] == [one.labels[labels.KIND] for one in codex_engine.images(own)]


@pytest.mark.promise("S8")
def test_a_failing_resume_script_is_an_error_too(codex_workspace_factory, make_repo):
    """
    S8: The error names the script, and the setup image stays.
    """
    repo = make_repo(**scripts("true\n", "exit 5\n"))

    with pytest.raises(SetupError, match="setup-from-cache-script") as caught:
        codex_workspace_factory(repo=repo)

    assert caught.value.exit_code == 5


@pytest.mark.promise("S8")
def test_a_script_that_floods_fills_neither_disk_nor_memory(codex_workspace_factory, make_repo):
    """
    S8: Of 60 MB of output the log has the beginning and the end, and the result the last MiB.
    """
    flood = "echo the beginning\nyes 0123456789 | head -c 60000000\necho the end\n"
    repo = make_repo(**scripts(flood))

    ws = codex_workspace_factory(repo=repo, cache_miss=True)

    log = ws.setup.log_path.read_text()
    assert len(log) < 21 << 20
    assert log.startswith("the beginning\n")
    assert log.endswith("the end\n")
    assert "left out here" in log
    assert len(ws.setup.output) < 1_100_000
    assert ws.setup.output.endswith("the end\n")
    ws.setup.log_path.unlink()


@pytest.mark.promise("S5")
def test_scripts_run_as_codex_runs_them(codex_workspace_factory, make_repo):
    """
    S5: Scripts run without the executable bit, with CRLF line ends, and without a `#!` line.
    Whatever they ask, there is no input.
    """
    text = b'set -e\r\nif ! read -r x; then\r\n  dirname "$0"\r\nfi\r\ntouch /root/done\r\n'
    repo = make_repo(**scripts("x"))
    commit(repo, {"codex-workspace-scripts/setup-script.sh": text})
    git(repo, "update-index", "--chmod=-x", "codex-workspace-scripts/setup-script.sh")

    ws = codex_workspace_factory(repo=repo)

    assert ws.setup.output == "codex-workspace-scripts\n"
    assert ws.path("/root/done").exists()
    assert ws.exec("git status --porcelain").stdout == ""


@pytest.mark.promise("S5")
def test_a_daemon_of_setup_does_not_hang_it(codex_workspace_factory, make_repo):
    """
    S5: A daemon may keep setup's output open, and does not run in the workspace.
    """
    repo = make_repo(**scripts("sleep 1000 &\nsetsid sleep 2000 &\necho started\n"))

    for keywords in ({"cache_miss": True}, {}):
        ws = codex_workspace_factory(repo=repo, **keywords)
        assert ws.setup.output == "started\n"
        assert not ws.exec("pgrep sleep").ok


@pytest.mark.promise("S8", "S9")
def test_setup_can_be_left_out(codex_workspace_factory, make_repo):
    """
    S9: The workspace is ready without scripts, and without running them.
    """
    plain = codex_workspace_factory(repo=make_repo("plain"))
    spared = codex_workspace_factory(repo=make_repo("spared", **scripts("exit 1")), setup=False)

    for ws in (plain, spared):
        assert ws.setup.cache == "none"
        assert ws.setup.exit_code == 0
        assert ws.setup.key is None
        assert "login" in ws.exec("shopt -q login_shell && echo login; java -version").stdout


@pytest.mark.promise("S7")
def test_a_removed_image_is_made_again(codex_workspace_factory, codex_engine, make_repo):
    """
    S7: A cached image that is removed between two workspaces is rebuilt.
    """
    repo = make_repo(**scripts("echo x >/root/x\n"))
    first = codex_workspace_factory(repo=repo)
    tag = f"codex-workspace-emulator:setup-{first.setup.key}"
    image = codex_engine.image(tag)
    other = codex_workspace_factory(repo=make_repo("other", **scripts("echo y\n")))
    assert other.setup.cache == "miss"
    codex_engine.remove(first.container)
    codex_engine.remove_image(tag)

    again = codex_workspace_factory(repo=repo)

    assert codex_engine.image(tag).id != image.id
    assert again.path("/root/x").read_text() == "x\n"
    with pytest.raises(WorkspaceLost):
        first.exec("true")


def test_the_log_is_the_users_own(codex_workspace_factory, scripted_repo):
    """
    Logs may contain a script's output, so no other user can read them.
    """
    ws = codex_workspace_factory(repo=scripted_repo, cache_miss=True)

    assert ws.setup.log_path.parent.stat().st_mode & 0o077 == 0


def test_each_workspace_has_a_log_of_its_own(codex_workspace_factory, make_repo):
    """
    A log has the output of the scripts of its workspace, and nothing else.
    """
    repo = make_repo(**scripts("date +%N\n", "git log -1 --format=%s\n"))
    first = codex_workspace_factory(repo=repo)
    head = commit(repo, {"new": "y"}, "second")
    second = codex_workspace_factory(repo=repo, rev=head)
    misses = [codex_workspace_factory(repo=repo, cache_miss=True) for _ in range(2)]

    for ws in (first, second, *misses):
        assert ws.setup.output == ws.setup.log_path.read_text()
    assert 4 == len({ws.setup.log_path for ws in (first, second, *misses)})


def test_a_layer_removed_below_is_made_again(codex_workspace_factory, codex_engine, make_repo):
    """
    The ready image and the setup image are rebuilt if somebody removes both.
    """
    repo = make_repo(**scripts("echo x >/root/x\n", "true\n"))
    first = codex_workspace_factory(repo=repo)
    head = commit(repo, {"new": "y"})
    image = codex_engine.image(f"codex-workspace-emulator:setup-{first.setup.key}")
    for found in codex_engine.images({"io.codex-workspace.kind": "ready"}):
        if found.labels["io.codex-workspace.repo"] == image.labels["io.codex-workspace.repo"]:
            codex_engine.remove(first.container)
            codex_engine.remove_image(found.tags[0])
    codex_engine.tag(
        codex_engine.image("codex-workspace-emulator:latest").id, "codex-workspace-emulator:cached"
    )
    codex_engine.remove_image(f"codex-workspace-emulator:setup-{first.setup.key}")

    later = codex_workspace_factory(repo=repo, rev=head)

    assert "x\n" == later.path("/root/x").read_text()
    assert later.path("new").exists()


def test_a_missing_script_leaks_nothing(codex_workspace_factory, codex_engine, make_repo):
    """
    A missing script leaves nothing on the engine, even for a workspace that would run setup now.
    """
    repo = make_repo(**{"codex-workspace-scripts/other": "x"})
    before = set(objects_of(codex_engine, os.getpid(), "containers"))

    with pytest.raises(SetupError):
        codex_workspace_factory(repo=repo, cache_miss=True)

    # Those of earlier tests may be going meanwhile.
    assert set() == set(objects_of(codex_engine, os.getpid(), "containers")) - before


@pytest.mark.promise("S7")
def test_each_workspace_counts_once(codex_workspace_factory, codex_engine, make_repo):
    """
    S7: A workspace counts as one hit of every layer below it, whatever had to be looked up for
    it.
    """
    repo = make_repo(**scripts("true\n", "true\n"))
    keywords = ({}, {}, {"cache_hit": True}, {"cache_miss": True}, {"setup": False})
    key, *_ = [codex_workspace_factory(repo=repo, **each).setup.key for each in keywords]
    setup = codex_engine.image(f"codex-workspace-emulator:setup-{key}")
    own = {labels.REPO: setup.labels[labels.REPO]}

    hits = {
        image.labels[labels.KIND]: usage_on(codex_engine).of(image.id).hits
        for image in codex_engine.images(own)
    }

    assert {"clean": 2, "setup": 3, "ready": 3} == hits

"""Tests of the workspace object, with a local agent and archives of this machine's files."""

from __future__ import annotations

import io
import sys
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from pytest_codex_workspace.errors import (
    ConfigError,
    ExecError,
    ExecTimeout,
    TransferError,
    WorkspaceLost,
)
from pytest_codex_workspace.workspace.channel import Channel
from pytest_codex_workspace.workspace.handle import Workspace

from ...helpers.archives import unpack_all
from ...helpers.local_agent import local_channel, local_workspace

pytestmark = [
    pytest.mark.needs_bash,
    pytest.mark.needs_git,
    pytest.mark.skipif(sys.platform != "linux", reason="the agent is a Linux program"),
]


class LocalArchives:
    """
    The archive calls of an engine, for files of this machine.
    """

    def put_archive(self, container: str, path: str, archive) -> None:
        with tarfile.open(fileobj=archive) as tar:
            unpack_all(tar, path)

    def get_archive(self, container: str, path: str) -> Iterator[bytes]:
        data = io.BytesIO()
        with tarfile.open(fileobj=data, mode="w") as tar:
            tar.add(path, Path(path).name)
        yield data.getvalue()


@pytest.fixture(scope="module")
def channel() -> Iterator[Channel]:
    """
    A channel to an agent that all tests of this file share.
    """
    with local_channel(init={"SET": "x"}) as channel:
        yield channel


@pytest.fixture
def ws(channel, tmp_path) -> Workspace:
    project = tmp_path / "project"
    project.mkdir()
    return local_workspace(channel, project, engine=LocalArchives(), env={"SET": "x"})


def test_text_is_run_by_a_login_shell_in_the_project(ws):
    """
    Codex does the same.
    """
    result = ws.exec('shopt -q login_shell && echo "$SET $PWD"')

    assert f"x {ws.project}\n" == result.stdout
    assert 'shopt -q login_shell && echo "$SET $PWD"' == result.args


def test_a_list_is_run_without_a_shell(ws):
    """
    The arguments are not interpreted.
    """
    assert "$SET *\n" == ws.exec(["echo", "$SET", "*"]).stdout


def test_a_relative_directory_starts_at_the_project(ws):
    """
    An absolute one is used unchanged.
    """
    ws.path("sub").mkdir()

    assert f"{ws.project}/sub\n" == ws.exec(["pwd"], cwd="sub").stdout
    assert "/\n" == ws.exec(["pwd"], cwd="/").stdout


def test_an_exit_code_is_an_error_only_with_check(ws):
    """
    The error has the command as the user gave it.
    """
    assert 3 == ws.exec("exit 3").exit_code
    with pytest.raises(ExecError, match="exited with 3") as caught:
        ws.exec("exit 3", check=True)
    assert "exit 3" == caught.value.result.args


def test_a_timeout_ends_the_command(ws):
    """
    The error has the timeout and the command.
    """
    with pytest.raises(ExecTimeout, match=r"timeout of 0\.1 s .*exec sleep 60") as caught:
        ws.exec("exec sleep 60", timeout=0.1)

    assert 0.1 == caught.value.timeout


@pytest.mark.parametrize(
    "run",
    [
        lambda ws, command: ws.exec(command, timeout=0.5),
        lambda ws, command: ws.start(command).wait(timeout=0.5),
        lambda ws, command: ws.start(command, timeout=0.5).wait(),
    ],
)
def test_a_timeout_tells_the_command_as_it_was_given(ws, run):
    """
    The error has the command, the time, and the end of the output.
    """
    command = "seq 100; echo the last word; sleep 60"

    with pytest.raises(ExecTimeout, match=r"0\.5 s.*echo the last word") as caught:
        run(ws, command)

    assert caught.value.result.args == command
    assert "| the last word" in str(caught.value)


def test_a_command_reads_its_input_and_variables(ws):
    """
    Variables are added to those of the workspace.
    """
    result = ws.exec('cat; echo "$SET$MORE"', input="in ", env={"MORE": "y"})

    assert "in xy\n" == result.stdout


@pytest.mark.parametrize("call", ["exec", "start"])
def test_an_empty_command_is_an_error(ws, call):
    """
    Nothing is sent.
    """
    with pytest.raises(ValueError, match="the command is empty"):
        getattr(ws, call)([])


def test_a_started_command_is_read_line_by_line(ws):
    """
    Its other output is part of the result.
    """
    process = ws.start("echo one; read x; echo $x")
    first = next(process.stdout)
    process.send("two\n")

    assert ("one\n", "two\n") == (first, process.wait().stdout)


def test_lines_are_shown_while_a_command_runs(ws):
    """
    The result has them, too. An error of the function ends the command.
    """
    shown = []

    def answer(line: str) -> None:
        shown.append(line)
        if line == "ready\n":
            ws.path("go").write_text("")

    result = ws.exec(
        ["sh", "-c", "echo ready; until [ -e go ]; do sleep 0.02; done; printf on >&2"],
        on_line=answer,
        timeout=20,
    )
    assert shown == ["ready\n", "on"]
    assert (result.stdout, result.stderr) == ("ready\n", "on")
    with pytest.raises(ExecTimeout):
        ws.exec(["sh", "-c", "echo one; exec sleep 60"], on_line=shown.append, timeout=0.2)
    assert shown[-1] == "one\n"
    with pytest.raises(KeyError):
        ws.exec(["sh", "-c", "echo one; exec sleep 600"], on_line={}.__getitem__)


def test_variables_of_the_handle_hold_for_later_commands(ws):
    """
    Those of a call come before them, and given ones cannot be removed.
    """
    show = ["sh", "-c", "echo $SET $MORE"]
    ws.env["MORE"] = "y"
    assert ws.exec(show).stdout == "x y\n"
    assert ws.start(show, env={"MORE": "z"}).wait().stdout == "x z\n"
    assert dict(ws.env) == {"SET": "x", "MORE": "y"}
    del ws.env["MORE"]
    assert ws.exec(show).stdout == "x\n"
    with pytest.raises(KeyError, match="SET was not set by ws"):
        del ws.env["SET"]
    with pytest.raises(ConfigError, match=r"ws\.env: MORE is 1"):
        ws.env["MORE"] = 1


def test_programs_are_found_as_a_login_shell_does(ws):
    """
    A builtin has no path. What looks like an option is a name.
    """
    assert ws.which("sh").name == "sh"
    assert ws.which("sh").exists()
    assert [ws.which(name) for name in ("no-such-program", "declare", "-a", "")] == [None] * 4


def test_git_runs_in_the_project(ws):
    """
    With the keywords of `exec`.
    """
    ws.git("init", "-q", check=True)
    assert ws.path(".git").is_dir()
    with pytest.raises(ExecError, match="git no-such-command"):
        ws.git("no-such-command", check=True)


def test_an_upload_replaces_or_creates_a_file(ws, tmp_path):
    """
    If the target is a directory, the file keeps its name.
    """
    source = tmp_path / "source.txt"
    source.write_text("text")
    ws.path("sub").mkdir()

    ws.upload(source, "new.txt")
    ws.upload(source, "sub")

    assert "text" == ws.path("new.txt").read_text()
    assert "text" == ws.path("sub/source.txt").read_text()


def test_an_upload_into_a_missing_directory_is_an_error(ws, tmp_path):
    """
    So is the upload of a missing file.
    """
    source = tmp_path / "source.txt"
    with pytest.raises(FileNotFoundError):
        ws.upload(source, "new.txt")
    source.touch()
    with pytest.raises(FileNotFoundError, match="no such directory in the workspace"):
        ws.upload(source, "none/new.txt")


def test_a_download_copies_a_directory(ws, tmp_path):
    """
    Links that stay inside are kept.
    """
    ws.path("sub").mkdir()
    ws.path("sub/file").write_text("text")
    ws.exec("ln -s file sub/link", check=True)

    ws.download("sub", tmp_path / "copy")

    assert "text" == (tmp_path / "copy/link").read_text()
    assert (tmp_path / "copy/link").is_symlink()


def test_a_download_of_a_link_that_leads_outside_is_refused(ws, tmp_path):
    """
    The workspace is not trusted.
    """
    ws.path("sub").mkdir()
    ws.exec("ln -s /etc/passwd sub/link", check=True)

    with pytest.raises(TransferError, match="leads out of the directory"):
        ws.download("sub", tmp_path / "copy")
    with pytest.raises(FileNotFoundError, match="no such file in the workspace"):
        ws.download("none", tmp_path / "copy")


@pytest.fixture
def other(channel, tmp_path) -> Workspace:
    """
    Return another workspace.
    """
    project = tmp_path / "other"
    project.mkdir()
    return local_workspace(channel, project, engine=LocalArchives())


def test_files_are_copied_between_workspaces(ws, other):
    """
    As by `cp -r`: into a directory, or under a new name.
    """
    ws.exec("mkdir -p sub/deep; echo x >sub/deep/run; chmod +x sub/deep/run", check=True)
    other.path("there").mkdir()

    ws.copy("sub", other, "there")
    ws.copy(ws.path("sub/deep/run"), other, "new")

    assert other.path("there/sub/deep/run").read_text() == other.path("new").read_text() == "x\n"
    assert other.exec("test -x new").ok
    assert not ws.path("there").exists()
    with pytest.raises(FileNotFoundError, match=r"no such file in the workspace: .*/none$"):
        ws.copy("none", other, "new")
    with pytest.raises(FileNotFoundError, match=r"no such directory in the workspace: .*/none$"):
        ws.copy("sub", other, "none/new")


@pytest.mark.parametrize("path", ["sub/..", "..", "/"])
def test_what_has_no_name_is_not_copied(ws, other, tmp_path, monkeypatch, path):
    """
    Beside the directory between both workspaces, there are files of this machine.
    """
    (tmp_path / "between").mkdir()
    (tmp_path / "between" / "private").touch()
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "between"))
    ws.path("sub").mkdir()

    with pytest.raises(TransferError, match="cannot be copied: it does not end with a name"):
        ws.copy(path, other, "new")
    assert not other.path("new").exists()


def test_a_path_in_a_workspace_is_none_of_this_machine(ws, other, tmp_path):
    """
    Otherwise a file of the same name would be read or written here.
    """
    ws.path("file").write_text("x")

    with pytest.raises(TypeError, match=r"is a path in a workspace, .* Workspace\.copy"):
        other.upload(ws.path("file"), "file")
    with pytest.raises(TypeError, match="is a path in a workspace"):
        ws.download("file", other.path("file"))
    assert not (tmp_path / "other/file").exists()


def test_the_error_of_a_listed_name_has_no_control_sequences(ws, tmp_path):
    """
    A workspace may name its files as it likes, and remove them in between.
    """
    with pytest.raises(FileNotFoundError, match=r"no such file in the workspace: .*/gone$"):
        ws.download("\x1b[2Jgone", tmp_path)
    with pytest.raises(FileNotFoundError, match=r"no such directory in the workspace: .*/gone$"):
        ws.upload(tmp_path, "\x1b]0;x\x07gone/x")


def test_a_state_to_compare_with_exists(ws):
    """
    A wrong word is an error that has the right one, and only a session knows where a workspace
    comes from.
    """
    with pytest.raises(
        ValueError, match=r"no state 'strat' \(did you mean 'start'\?\); since is head"
    ):
        ws.diff(since="strat")
    with pytest.raises(WorkspaceLost, match="was not started by a session, so has no history"):
        ws.diff(since="start")


def test_changes_since_the_commit(ws):
    """
    `diff` and `patch` compare with the commit that was projected.
    """
    ws.exec("git init -q && git -c user.name=A -c user.email=a@b commit -q --allow-empty -m m")
    ws.head = ws.exec("git rev-parse HEAD").stdout.strip()
    ws.path("new").write_text("text\n")

    [one] = ws.diff()

    assert (one.path, one.kind) == ("new", "added")
    assert one.text() == ws.patch()

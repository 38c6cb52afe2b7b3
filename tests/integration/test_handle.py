"""The handle of a workspace runs commands, reads and writes files, and copies directories."""

from __future__ import annotations

import signal

import pytest

from pytest_codex_workspace import ExecError, ExecTimeout, WorkspaceLost
from pytest_codex_workspace.workspace.process import Pty

from ..helpers.first_process import signal_first_process


def test_exec_returns_what_happened(plain):
    """
    A failure is returned, not raised; text runs in a login shell in the project directory.
    """
    result = plain.exec("pwd; echo oops >&2; exit 4")

    assert (4, f"{plain.project}\n", "oops\n") == (result.exit_code, result.stdout, result.stderr)
    assert not result.ok
    assert result.args == "pwd; echo oops >&2; exit 4"
    with pytest.raises(ExecError, match="oops"):
        plain.exec("echo oops >&2; exit 4", check=True)


def test_exec_takes_arguments_directory_user_variables_and_input(plain):
    """
    Each keyword of `exec` has its effect.
    """
    assert plain.exec(["echo", "$HOME", "x"]).stdout == "$HOME x\n"
    assert plain.exec(["pwd"], cwd="/tmp").stdout == "/tmp\n"
    assert plain.exec("id -un", user="nobody").stdout == "nobody\n"
    assert plain.exec("echo $A", env={"A": "1"}).stdout == "1\n"
    assert plain.exec(["cat"], input="text").stdout == "text"
    assert plain.exec(["cat"], input=b"\xff\x00").stdout_bytes == b"\xff\x00"
    assert plain.exec(["no-such-program"]).exit_code == 127
    assert plain.exec(["cat"]).stdout == ""


def test_a_timeout_ends_the_whole_group(plain):
    """
    Partial output is kept, and no child process survives.
    """
    with pytest.raises(ExecTimeout) as caught:
        plain.exec("echo before; sleep 300 & sleep 300", timeout=1)

    assert caught.value.stdout == "before\n"
    assert not plain.exec("pgrep sleep").ok


def test_output_is_bounded(plain):
    """
    An output of 1 GB is cut at 10 MiB.
    """
    result = plain.exec("yes | head -c 1000000000; echo end >&2", timeout=120)

    assert result.ok
    assert result.truncated
    assert len(result.stdout_bytes) == 10 * 1024 * 1024
    assert result.stderr == "end\n"


def test_bytes_that_are_not_text_are_kept(plain):
    """
    Output is available decoded with replacements, and as bytes.
    """
    result = plain.exec(["printf", r"a\xffb"])

    assert result.stdout == "a\ufffdb"
    assert result.stdout_bytes == b"a\xffb"


def test_a_process_is_read_while_it_runs(plain):
    """
    Lines arrive as they are printed, input can be sent, and the process can be killed.
    """
    process = plain.start("while read line; do echo got $line; done")
    process.send("one\n")
    lines = iter(process.stdout)
    assert next(lines) == "got one\n"
    assert process.poll() is None
    process.send(b"two\n")
    assert next(lines) == "got two\n"
    process.kill()
    assert process.wait().exit_code == 137


def test_paths_are_files_of_the_workspace(plain):
    """
    Paths read, write, list and remove files, with the builtin errors.
    """
    directory = plain.path("some/where")
    directory.mkdir(parents=True)
    (directory / "a.txt").write_text("ä\n")

    assert plain.exec("cat some/where/a.txt").stdout == "ä\n"
    assert "ä\n".encode() == plain.path(f"{plain.project}/some/where/a.txt").read_bytes()
    assert [path.name for path in directory.iterdir()] == ["a.txt"]
    (directory / "a.txt").unlink()
    assert not (directory / "a.txt").exists()
    assert directory.is_dir()
    with pytest.raises(FileNotFoundError, match=r"some/where/a\.txt"):
        (directory / "a.txt").read_text()


def test_directories_are_copied_both_ways(plain, tmp_path):
    """
    Directories are copied as by `cp -r`.
    """
    source = tmp_path / "source"
    (source / "sub").mkdir(parents=True)
    (source / "sub" / "run").write_text("#!/bin/sh\necho ran\n")
    (source / "sub" / "run").chmod(0o755)

    plain.upload(source, "copy")
    assert plain.exec("copy/sub/run").stdout == "ran\n"
    plain.exec("echo more >copy/more")
    plain.download("copy", tmp_path / "back")

    assert (tmp_path / "back" / "more").read_text() == "more\n"
    assert (tmp_path / "back" / "sub" / "run").stat().st_mode & 0o777 == 0o755
    with pytest.raises(FileNotFoundError):
        plain.download("nothing", tmp_path / "x")


def test_a_download_cannot_write_elsewhere(plain, tmp_path):
    """
    A link that leads out of the copied directory is refused.
    """
    plain.exec("mkdir trap && ln -s /etc trap/link")

    with pytest.raises(Exception, match="link"):
        plain.download("trap", tmp_path / "trap")

    assert not (tmp_path / "trap" / "link").exists()


def test_two_downloads_together_cannot_lead_elsewhere(plain, tmp_path):
    """
    Each of them alone looks harmless.
    """
    (tmp_path / "secret").write_text("of the host")
    to = tmp_path / "to"
    to.mkdir()
    plain.exec("mkdir -p d/a && ln -s ghost/../../../secret d/a/leak", check=True)
    with pytest.raises(Exception, match="leads out of the directory"):
        plain.download("d", to)
    plain.exec("ln -sfn . d/a/leak && mkdir d/a/ghost", check=True)
    plain.download("d", to)
    plain.exec("rm -r d/a/* && ln -s .. d/a/ghost && ln -s ghost/../secret d/a/leak", check=True)
    with pytest.raises(Exception, match=r"leads out|exists"):
        plain.download("d", to)

    links = [path for path in to.rglob("*") if path.is_symlink()]
    assert links
    assert all(path.resolve().is_relative_to(to / "d") for path in links)


TRAPS = """
set -eu
printf 'passwd: trap files\ngroup: trap files\n' >/etc/nsswitch.conf
python=$(python3 -c 'import os; print(os.path.dirname(os.__file__))')
libraries=$(dirname "$(ls -d /lib/*/libc.so.6 /lib64/libc.so.6 2>/dev/null | head -1)")
modules="$python/encodings/utf_16.py $python/encodings/idna.py $python/traceback.py"
rm -rf $python/encodings/__pycache__ $python/__pycache__/traceback.*
rm -f $modules
for trap in $modules $libraries/libnss_trap.so.2; do
  mkfifo $trap
  # Opening a FIFO waits for a reader.
  setsid sh -c "echo >$trap; touch /sprung" >/dev/null 2>&1 &
done
"""
"""Puts a FIFO in the place of libraries and modules, and notes when one is opened."""


def test_the_first_process_loads_nothing_of_its_workspace(plain):
    """
    Whatever a request needs was loaded before the first command.
    """
    plain.exec(TRAPS, check=True)

    assert plain.exec(["true"], user="nobody", timeout=20).ok
    assert plain.exec(["true"], user="daemon:tty", timeout=20).ok
    assert plain.start(["true"], user="nobody", pty=Pty()).wait(20).ok
    with pytest.raises(OSError, match="no user"):
        plain.exec(["true"], user="n\u00f6body", timeout=20)
    with pytest.raises(FileNotFoundError):
        plain.path("/\u00e9").read_bytes()
    assert not plain.path("/sprung").exists()


def test_a_stopped_first_process_is_a_lost_workspace(plain, codex_engine, monkeypatch):
    """
    Its container runs, its connection is open, and nothing waits for ever.
    """
    for module in ("call", "channel"):
        for name, value in (("ATTENTION", 0.2), ("SILENCE", 2.0)):
            monkeypatch.setattr(f"pytest_codex_workspace.workspace.{module}.{name}", value)
    command = plain.start(["sleep", "600"])
    signal_first_process(codex_engine, plain.container, signal.SIGSTOP)

    with pytest.raises(WorkspaceLost, match=r"has not answered for 2 s: the status of '/tmp'"):
        plain.path("/tmp").exists()
    with pytest.raises(WorkspaceLost, match="has not answered"):
        command.wait()


def test_a_killed_container_is_a_lost_workspace(plain, codex_engine):
    """
    Nothing hangs, and no traceback of a library is shown.
    """
    codex_engine.remove(plain.container)

    with pytest.raises(WorkspaceLost, match="container"):
        plain.exec("true", timeout=10)


def test_many_commands_at_once(plain):
    """
    The output of commands in several threads is not mixed up.
    """
    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor(8) as pool:
        said = list(pool.map(lambda n: plain.exec(f"echo {n}").stdout, range(40)))

    assert [f"{n}\n" for n in range(40)] == said


def test_a_server_on_localhost_is_reached(plain):
    """
    A request to localhost bypasses the proxy, as `NO_PROXY` says, and is not in the log.
    """
    serve = "require('http').createServer((_, r) => r.end('up')).listen(8000, 'localhost')"
    server = plain.start(["node", "-e", serve])

    said = plain.exec("curl -s --retry 20 --retry-connrefused --retry-delay 1 localhost:8000")
    server.kill()

    assert said.stdout == "up"
    assert plain.network.requests() == []

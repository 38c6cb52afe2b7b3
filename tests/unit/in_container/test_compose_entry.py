"""Tests of the first process of a workspace under Compose."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from pytest_codex_workspace.codex import RUNTIMES
from pytest_codex_workspace.compose import write_directory
from pytest_codex_workspace.in_container import compose_entry
from pytest_codex_workspace.projection.compose_main import project

from ...conftest import commit, scripts
from ..test_compose import parts

ROUTES = "Iface\tDestination\tGateway\tFlags\tRefCnt\tUse\tMetric\tMask\n"
TO_PROXY = "eth0\t0220A8C0\t00000000\t0005\t0\t0\t0\tFFFFFFFF\n"
TO_ALL = "eth0\t00000000\t0120A8C0\t0003\t0\t0\t0\t00000000\n"


@pytest.fixture
def workspace(tmp_path):
    """
    Return an entry for a workspace whose files are below a directory.
    """
    for name in ("proc/net", "etc", "opt/codex", "usr/local/share", "projection"):
        (tmp_path / name).mkdir(parents=True)
    settings = {
        "certificate": str(tmp_path / "ca.crt"),
        "projection": str(tmp_path / "projection"),
        "seconds": 0.2,
        "runtimes": {f"CODEX_ENV_{name}_VERSION": value for name, value in RUNTIMES.items()},
        "setup": "codex-workspace-scripts/setup-script.sh",
        "resume": "codex-workspace-scripts/setup-from-cache-script.sh",
        "run": "RUN",
        "root": str(tmp_path),
    }
    return compose_entry.WorkspaceEntry(settings)


@pytest.mark.promise("S14", "S19")
def test_a_missing_certificate_is_explained(workspace):
    """
    S14, S19: waiting ends, and the error names the service.
    """
    with pytest.raises(compose_entry.Failure, match=r"did not arrive within 0\.2 s: .*`proxy`"):
        workspace.trust_proxy("127.0.0.1")


@pytest.mark.promise("S14")
def test_the_limit_is_thirty_seconds(tmp_path):
    """
    S14: the settings for Compose say that a workspace waits 30 seconds.
    """
    directory = write_directory(parts(), tmp_path)

    settings = json.loads((directory / "workspace/entry.json").read_text())
    assert settings["seconds"] == 30


@pytest.mark.promise("S12")
@pytest.mark.parametrize("routes", ["", TO_ALL, TO_PROXY + TO_ALL])
def test_nothing_runs_without_isolation(workspace, tmp_path, routes):
    """
    S12: no route, a default route and an additional route are errors.
    """
    (tmp_path / "proc/net/route").write_text(ROUTES + routes)

    with pytest.raises(compose_entry.Failure, match="not isolated from the network"):
        workspace.prepare_network()


def test_the_proxy_is_where_the_only_route_leads(workspace, tmp_path):
    """
    The name files are overwritten, so that an earlier workspace has no effect.
    """
    (tmp_path / "proc/net/route").write_text(ROUTES + TO_PROXY.replace("0220A8C0", "0100007F"))
    (tmp_path / "etc/hosts").write_text("6.6.6.6 proxy\n")

    assert workspace.prepare_network() == "127.0.0.1"
    hosts = (tmp_path / "etc/hosts").read_text()
    assert "127.0.0.1\tproxy\n" in hosts
    assert "6.6.6.6" not in hosts
    assert "nameserver 127.0.0.1\n" in (tmp_path / "etc/resolv.conf").read_text()


def test_another_repository_is_refused(workspace, tmp_path, monkeypatch):
    """
    A projection of an earlier HOST_REPO is not used.
    """
    (tmp_path / "projection/projection.json").write_text('{"repo": "/old", "name": "old"}')
    monkeypatch.setenv("HOST_REPO", "/new")

    with pytest.raises(
        compose_entry.Failure, match="is /old, but HOST_REPO is now /new: run `docker"
    ):
        workspace.project()


def test_an_error_of_the_projection_is_shown(workspace, tmp_path):
    """
    A failed projection is an error of the workspace, with the same message.
    """
    (tmp_path / "projection/projection.json").write_text('{"error": "no commit yet"}')

    with pytest.raises(compose_entry.Failure, match="no commit yet"):
        workspace.project()


@pytest.mark.promise("S2", "S6")
def test_a_project_is_brought_to_head_once(workspace, tmp_path, make_repo, monkeypatch):
    """
    S2, S6: ignored files stay, and at the same HEAD also changes of tracked files.
    """
    repo = make_repo("demo", **{".gitignore": "kept\n", "tracked": "1\n"})
    monkeypatch.setenv("HOST_REPO", str(repo))
    target = tmp_path / "workspace/demo"
    where = tmp_path / "projection"

    project(str(repo), where, os.environ)
    assert str(target) == workspace.project()
    (target / "kept").write_text("kept")
    (target / "tracked").write_text("changed by setup")
    workspace.project()
    assert (target / "tracked").read_text() == "changed by setup"

    commit(repo, {"tracked": "2\n"})
    project(str(repo), where, os.environ)
    workspace.project()
    assert (target / "tracked").read_text() == "2\n"
    assert (target / "kept").read_text() == "kept"
    assert not (tmp_path / "codex-projection").exists()


@pytest.mark.slow
@pytest.mark.promise("S15")
def test_runtimes_are_selected_when_they_change(workspace, tmp_path, monkeypatch):
    """
    S15: versions are selected once, so that changes by a script survive.
    """
    select = tmp_path / "opt/codex/select_runtimes.sh"
    select.write_text(
        '#!/bin/sh\necho "$CODEX_ENV_NODE_VERSION:$CODEX_ENV_DEFAULTED" >>asked\n'
        '[ "$CODEX_ENV_NODE_VERSION" != 99 ] || exit 3\n'
    )
    select.chmod(0o755)
    for name, value in workspace.settings["runtimes"].items():
        monkeypatch.setenv(name, value)

    workspace.select_runtimes(str(tmp_path))
    workspace.select_runtimes(str(tmp_path))
    monkeypatch.setenv("CODEX_ENV_NODE_VERSION", "22")
    workspace.select_runtimes(str(tmp_path))
    monkeypatch.setenv("CODEX_ENV_NODE_VERSION", "99")
    with pytest.raises(compose_entry.Failure) as caught:
        workspace.select_runtimes(str(tmp_path))

    asked = (tmp_path / "asked").read_text().splitlines()
    assert ["20", "22", "99"] == [line.split(":")[0] for line in asked]
    assert [True, False, False] == [" NODE " in line for line in asked]
    assert caught.value.code == 3


def test_arguments_select_the_command(workspace, make_repo):
    """
    Arguments start a login shell, a script, or a command unchanged.
    """
    with_both = make_repo("both", **scripts("x", "y"))
    plain = make_repo("plain")

    def command(repo: Path, *words: str) -> list[str]:
        return workspace.command(list(words), str(repo))

    assert ["bash", "--login"] == command(plain) == command(plain, "bash")
    assert ["bash", "-c", "ls"] == command(plain, "bash", "-c", "ls")
    run = ["bash", "-c", "RUN", "bash"]
    assert [*run, workspace.settings["setup"]] == command(with_both, "run-setup")
    assert [*run, workspace.settings["resume"]] == command(with_both, "run-setup-from-cache")
    assert [] == command(plain, "run-setup") == command(plain, "run-setup-from-cache")


@pytest.mark.promise("S5", "S19")
def test_the_setup_script_is_required(workspace, make_repo):
    """
    S5, S19: the script is required if its directory exists.
    """
    repo = make_repo(**{"codex-workspace-scripts/other": "x"})

    with pytest.raises(
        compose_entry.Failure, match=r"not the setup-script\.sh that this folder must have"
    ):
        workspace.command(["run-setup"], str(repo))


@pytest.mark.promise("S8")
@pytest.mark.parametrize(
    ("words", "code"),
    [
        (["sh", "-c", "exit 7"], 7),
        (["sh", "-c", "kill -9 $$"], 137),
        (["sh", "-c", "(sleep 0.05 &) ; exit 4"], 4),
        (["sh", "-c", "test -z $HOST_REPO && test $PWD = /usr"], 0),
    ],
)
def test_the_exit_code_is_the_commands(words, code):
    """
    S8: an exit code or a signal is passed on, and internal variables are removed.
    """
    with _run(*words) as process:
        assert code == process.wait(timeout=30)


def test_a_signal_reaches_the_command():
    """
    So `docker stop` ends a workspace at once.
    """
    script = "trap 'exit 9' TERM; echo ready; while :; do sleep 0.02; done"
    with _run("sh", "-c", script) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
        process.send_signal(signal.SIGTERM)

        assert process.wait(timeout=30) == 9


@pytest.fixture
def handlers():
    """
    Restore the signal handlers that `run` replaces.
    """
    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    before = [signal.getsignal(number) for number in numbers]
    yield
    for number, handler in zip(numbers, before, strict=True):
        signal.signal(number, handler)


@pytest.mark.usefixtures("handlers")
def test_a_missing_command_is_explained():
    """
    The exit code is 127, as in a shell.
    """
    with pytest.raises(compose_entry.Failure, match="no command 'nothing-of-that-name'") as caught:
        compose_entry.run(["nothing-of-that-name"], "/")

    assert caught.value.code == 127


def _run(*words: str) -> subprocess.Popen[bytes]:
    """
    Start a process that runs a command like the first process of a container.
    """
    program = (
        "import sys; from pytest_codex_workspace.in_container import compose_entry as entry; "
        "sys.exit(entry.run(sys.argv[1:], '/usr'))"
    )
    return subprocess.Popen(
        [sys.executable, "-c", program, *words],
        env={**os.environ, "HOST_REPO": "/x"},
        stdout=subprocess.PIPE,
    )

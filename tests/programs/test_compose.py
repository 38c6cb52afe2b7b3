"""Tests of the Compose file, of its directory, and of the programs in it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest
import yaml

from pytest_codex_workspace import images, labels
from pytest_codex_workspace.agent import entry
from pytest_codex_workspace.build_context import BuildContext
from pytest_codex_workspace.codex import RUNTIMES, workspace_environment
from pytest_codex_workspace.compose import ComposeParts, compose_file, write_directory
from pytest_codex_workspace.engine.fake import FakeEngine
from pytest_codex_workspace.network.policy import HTTPS_ONLY
from pytest_codex_workspace.network.upstream import UpstreamProxy
from pytest_codex_workspace.output import Output
from pytest_codex_workspace.projector import project
from pytest_codex_workspace.repository import open_repository

from ..conftest import commit, git, scripts

CERTIFICATE = b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"
KEY = b"-----BEGIN PRIVATE KEY-----\nNEVERTHERE\n-----END PRIVATE KEY-----\n"
ROUTES = "Iface\tDestination\tGateway\tFlags\tRefCnt\tUse\tMetric\tMask\n"
TO_PROXY = "eth0\t0220A8C0\t00000000\t0005\t0\t0\t0\tFFFFFFFF\n"
TO_ALL = "eth0\t00000000\t0120A8C0\t0003\t0\t0\t0\t00000000\n"


def parts(**changes) -> ComposeParts:
    plan = images.base_plan(
        FakeEngine(), "slim", ca_certificate=KEY + CERTIFICATE, output=Output("quiet", print)
    )
    made = {"base": plan, "base_from": "debian:x", "proxy": images.proxy_plan()}
    return ComposeParts(**{**made, "proxy_from": "debian:x", "policy": HTTPS_ONLY, **changes})


@pytest.fixture
def printed(make_repo, tmp_path):
    """
    Return a function that writes a Compose file and parses it.
    """

    def printed(repo: Path | None = None, **changes):
        where = repo or make_repo()
        snapshot = open_repository(where, environ=os.environ)
        text = compose_file(parts(**changes), tmp_path / "directory", snapshot)
        return yaml.safe_load(text)

    return printed


def test_workspaces_have_codexs_environment(printed):
    """
    They have Codex's variables and those of `--env`; the cached one has no versions.
    """
    services = printed(env={"PRICE": "$5 and ${6}", "CODEX_ENV_NODE_VERSION": "22"})["services"]
    ours = {"HOST_REPO", "HOST_REPO_NAME", "CODEX_SKIP_SUBMODULES"}
    expected = workspace_environment({"PRICE": "$$5 and $${6}"})
    for name in RUNTIMES:
        variable = f"CODEX_ENV_{name}_VERSION"
        value = "22" if name == "NODE" else RUNTIMES[name]
        expected[variable] = f"${{{variable}:-{value}}}"

    found = services["workspace"]["environment"]
    cached = services["workspace-cache"]["environment"]

    assert expected == {name: value for name, value in found.items() if name not in ours}
    assert cached == {
        name: value for name, value in found.items() if not name.startswith("CODEX_ENV_")
    }


def test_names_are_those_of_the_original_project(printed):
    """
    Services, networks, image tags, and the error for an unset HOST_REPO have known names.
    """
    content = printed()

    assert {"proxy", "workspace", "workspace-cache"} <= set(content["services"])
    assert {"internal": {"internal": True}, "egress": {}} == content["networks"]
    image = content["services"]["workspace"]["image"]
    assert image == "${CODEX_WORKSPACE_IMAGE:-codex-workspace-emulator:latest}"
    cached = content["services"]["workspace-cache"]["image"]
    assert cached == "${CODEX_CACHED_IMAGE:-codex-workspace-emulator:cached}"
    required = content["services"]["workspace"]["environment"]["HOST_REPO"]
    assert required.startswith("${HOST_REPO:?export HOST_REPO (and HOST_REPO_NAME) before")


def test_the_same_proxy_image_is_used_by_sessions(printed):
    """
    The proxy image has the tag and labels by which sessions recognise it.
    """
    proxy = printed()["services"]["proxy"]
    plan = images.proxy_plan()

    assert plan.tag == proxy["image"]
    assert plan.key == proxy["build"]["labels"][labels.KEY]


@pytest.mark.parametrize("service", ["workspace", "workspace-cache"])
def test_workspaces_have_no_privileges_and_no_network(printed, service):
    """
    They join the namespace of a holder, and all their mounts are read-only.
    """
    services = printed()["services"]
    found = services[service]

    holder = found["network_mode"].removeprefix("service:")
    assert list(services[holder]["networks"]) == ["internal"]
    assert ["NET_ADMIN", "NET_RAW"] == found["cap_drop"]
    assert not {"cap_add", "privileged", "networks"} & set(found)
    assert all(mount["read_only"] for mount in found["volumes"])
    sources = {mount["source"] for mount in found["volumes"]}
    assert not [source for source in sources if "HOST_REPO" in source or source == "authority"]
    assert found["depends_on"][holder] == {"condition": "service_healthy"}


def test_only_the_projection_sees_the_repository(printed):
    """
    It has a read-only mount, no network, and only the capability to read files.
    """
    services = printed()["services"]
    seeing = [
        name
        for name, service in services.items()
        if any("HOST_REPO" in mount["source"] for mount in service.get("volumes", ()))
    ]

    assert seeing == ["projection"]
    projection = services["projection"]
    assert projection["volumes"][0]["read_only"] is True
    assert projection["network_mode"] == "none"
    assert (["ALL"], ["DAC_READ_SEARCH"]) == (projection["cap_drop"], projection["cap_add"])


def test_only_the_proxy_has_the_authority(printed):
    """
    No other service mounts the volume with the key.
    """
    services = printed()["services"]
    having = [
        name
        for name, service in services.items()
        if any(mount["source"] == "authority" for mount in service.get("volumes", ()))
    ]

    assert having == ["proxy"]


def test_a_worktree_is_mounted_at_its_own_path(printed, make_repo, tmp_path):
    """
    The `.git` file of a worktree names the repository by its path on the host.
    """
    repo = make_repo()
    linked = tmp_path / "$linked"
    git(repo, "worktree", "add", "--quiet", str(linked))

    projection = printed(linked)["services"]["projection"]

    where = str(linked).replace("$", "$$")
    assert where == projection["command"][0]
    assert [f"{where}/.git", str(repo / ".git")] == [
        mount["target"] for mount in projection["volumes"][:2]
    ]
    assert str(repo / ".git") == projection["volumes"][1]["source"]


def test_the_directory_holds_no_key(tmp_path):
    """
    The directory holds the certificate, but never its key.
    """
    directory = write_directory(parts(), tmp_path)

    content = {path: path.read_bytes() for path in directory.rglob("*") if path.is_file()}
    assert CERTIFICATE == content[directory / "image/ca.crt"]
    assert not [path for path, text in content.items() if b"NEVERTHERE" in text]


def test_the_directory_is_named_after_its_content(tmp_path):
    """
    Equal settings share a directory; other settings get another directory.
    """
    upstream = UpstreamProxy.parse("http://proxy.example:3128")
    first = write_directory(parts(), tmp_path)

    assert first == write_directory(parts(), tmp_path)
    assert first != write_directory(parts(upstream=upstream), tmp_path)
    assert len(list(tmp_path.iterdir())) == 2


def test_contexts_are_the_same_on_disk_and_on_the_wire(tmp_path):
    """
    So builds by Compose share layers with those of sessions.
    """
    context = BuildContext()
    context.add("a/b/c.txt", b"text")
    context.write(tmp_path)
    with context.open() as archive, tarfile.open(fileobj=archive) as tar:
        sent = {member.name: (member.mode, member.isdir()) for member in tar.getmembers()}

    written = {
        str(path.relative_to(tmp_path)): (path.stat().st_mode & 0o7777, path.is_dir())
        for path in tmp_path.rglob("*")
    }
    assert {"a": (0o755, True), "a/b": (0o755, True), "a/b/c.txt": (0o644, False)} == sent
    assert sent == written


class TestProjector:
    """
    Tests of the service that reads the repository.
    """

    def test_the_mounted_files_are_enough(self, make_repo, tmp_path):
        """
        The program needs only the copied modules and the standard library.
        """
        directory = write_directory(parts(), tmp_path / "made")
        repo = make_repo("demo", mine="1")
        program = (
            "import sys; sys.path.insert(0, sys.argv.pop(1)); "
            "from pytest_codex_workspace import projector; projector.main()"
        )

        subprocess.run(
            [sys.executable, "-I", "-S", "-c", program, directory / "projector", repo, tmp_path],
            env={**os.environ, "HOST_REPO": "/home/me/some repo"},
            check=True,
        )

        facts = json.loads((tmp_path / "projection.json").read_text())
        head = git(repo, "rev-parse", "HEAD")
        assert {"repo": "/home/me/some repo", "name": "some-repo", "head": head} == facts
        with tarfile.open(tmp_path / "projection.tar") as tar:
            assert "codex-projection/plan.json" in tar.getnames()

    def test_an_error_is_written_for_the_workspace(self, tmp_path):
        """
        The error names the repository by its path on the host.
        """
        nothing = tmp_path / "nothing"
        nothing.mkdir()
        project(str(nothing), tmp_path, {**os.environ, "HOST_REPO": "/home/me/x"})

        facts = json.loads((tmp_path / "projection.json").read_text())
        assert facts["error"].startswith("/home/me/x is not in a git repository")
        assert not (tmp_path / "projection.tar").exists()


@pytest.fixture
def place(tmp_path):
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
    return entry.WorkspaceEntry(settings)


class TestEntry:
    """
    Tests of the first process of a workspace.
    """

    @pytest.mark.promise("S14", "S19")
    def test_a_missing_certificate_is_explained(self, place):
        """
        S14, S19: waiting ends, and the error names the service.
        """
        with pytest.raises(entry.Failure, match=r"did not arrive within 0\.2 s: .*`proxy`"):
            place.trust_proxy("127.0.0.1")

    @pytest.mark.promise("S14")
    def test_the_limit_is_thirty_seconds(self, tmp_path):
        """
        S14: the settings for Compose say that a workspace waits 30 seconds.
        """
        directory = write_directory(parts(), tmp_path)

        settings = json.loads((directory / "workspace/entry.json").read_text())
        assert settings["seconds"] == 30

    @pytest.mark.promise("S12")
    @pytest.mark.parametrize("routes", ["", TO_ALL, TO_PROXY + TO_ALL])
    def test_nothing_runs_without_isolation(self, place, tmp_path, routes):
        """
        S12: no route, a default route and an additional route are errors.
        """
        (tmp_path / "proc/net/route").write_text(ROUTES + routes)

        with pytest.raises(entry.Failure, match="not isolated from the network"):
            place.prepare_network()

    def test_the_proxy_is_where_the_only_route_leads(self, place, tmp_path):
        """
        The name files are overwritten, so that an earlier workspace has no effect.
        """
        (tmp_path / "proc/net/route").write_text(ROUTES + TO_PROXY.replace("0220A8C0", "0100007F"))
        (tmp_path / "etc/hosts").write_text("6.6.6.6 proxy\n")

        assert place.prepare_network() == "127.0.0.1"
        hosts = (tmp_path / "etc/hosts").read_text()
        assert "127.0.0.1\tproxy\n" in hosts
        assert "6.6.6.6" not in hosts
        assert "nameserver 127.0.0.1\n" in (tmp_path / "etc/resolv.conf").read_text()

    def test_another_repository_is_refused(self, place, tmp_path, monkeypatch):
        """
        A projection of an earlier HOST_REPO is not used.
        """
        (tmp_path / "projection/projection.json").write_text('{"repo": "/old", "name": "old"}')
        monkeypatch.setenv("HOST_REPO", "/new")

        with pytest.raises(entry.Failure, match="is /old, but HOST_REPO is now /new: run `docker"):
            place.project()

    def test_an_error_of_the_projection_is_shown(self, place, tmp_path):
        """
        A failed projection is an error of the workspace, with the same message.
        """
        (tmp_path / "projection/projection.json").write_text('{"error": "no commit yet"}')

        with pytest.raises(entry.Failure, match="no commit yet"):
            place.project()

    @pytest.mark.promise("S2", "S6")
    def test_a_project_is_brought_to_head_once(self, place, tmp_path, make_repo, monkeypatch):
        """
        S2, S6: ignored files stay, and at the same HEAD also changes of tracked files.
        """
        repo = make_repo("demo", **{".gitignore": "kept\n", "tracked": "1\n"})
        monkeypatch.setenv("HOST_REPO", str(repo))
        target = tmp_path / "workspace/demo"
        where = tmp_path / "projection"

        project(str(repo), where, os.environ)
        assert str(target) == place.project()
        (target / "kept").write_text("kept")
        (target / "tracked").write_text("changed by setup")
        place.project()
        assert (target / "tracked").read_text() == "changed by setup"

        commit(repo, {"tracked": "2\n"})
        project(str(repo), where, os.environ)
        place.project()
        assert (target / "tracked").read_text() == "2\n"
        assert (target / "kept").read_text() == "kept"
        assert not (tmp_path / "codex-projection").exists()

    @pytest.mark.promise("S15")
    def test_runtimes_are_selected_when_they_change(self, place, tmp_path, monkeypatch):
        """
        S15: versions are selected once, so that changes by a script survive.
        """
        select = tmp_path / "opt/codex/setup_universal.sh"
        select.write_text(
            f'#!/bin/sh\necho "$CODEX_ENV_NODE_VERSION:$CODEX_ENV_DEFAULTED" >>{tmp_path}/asked\n'
            '[ "$CODEX_ENV_NODE_VERSION" != 99 ] || exit 3\n'
        )
        select.chmod(0o755)
        for name, value in place.settings["runtimes"].items():
            monkeypatch.setenv(name, value)

        place.select_runtimes()
        place.select_runtimes()
        monkeypatch.setenv("CODEX_ENV_NODE_VERSION", "22")
        place.select_runtimes()
        monkeypatch.setenv("CODEX_ENV_NODE_VERSION", "99")
        with pytest.raises(entry.Failure) as caught:
            place.select_runtimes()

        asked = (tmp_path / "asked").read_text().splitlines()
        assert ["20", "22", "99"] == [line.split(":")[0] for line in asked]
        assert [True, False, False] == [" NODE " in line for line in asked]
        assert caught.value.code == 3

    def test_arguments_select_the_command(self, place, make_repo):
        """
        Arguments start a login shell, a script, or a command unchanged.
        """
        with_both = make_repo("both", **scripts("x", "y"))
        plain = make_repo("plain")

        def command(repo: Path, *words: str) -> list[str]:
            return place.command(list(words), str(repo))

        assert ["bash", "--login"] == command(plain) == command(plain, "bash")
        assert ["bash", "-c", "ls"] == command(plain, "bash", "-c", "ls")
        run = ["bash", "-c", "RUN", "bash"]
        assert [*run, place.settings["setup"]] == command(with_both, "run-setup")
        assert [*run, place.settings["resume"]] == command(with_both, "run-setup-from-cache")
        assert [] == command(plain, "run-setup") == command(plain, "run-setup-from-cache")

    @pytest.mark.promise("S5", "S19")
    def test_the_setup_script_is_required(self, place, make_repo):
        """
        S5, S19: the script is required if its directory exists.
        """
        repo = make_repo(**{"codex-workspace-scripts/other": "x"})

        with pytest.raises(entry.Failure, match=r"not the setup-script\.sh that Codex requires"):
            place.command(["run-setup"], str(repo))

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
    def test_the_exit_code_is_the_commands(self, words, code):
        """
        S8: an exit code or a signal is passed on, and internal variables are removed.
        """
        with _run(*words) as process:
            assert code == process.wait(timeout=30)

    def test_a_signal_reaches_the_command(self):
        """
        So `docker stop` ends a workspace at once.
        """
        script = "trap 'exit 9' TERM; echo ready; while :; do sleep 0.02; done"
        with _run("sh", "-c", script) as process:
            assert process.stdout is not None
            assert process.stdout.readline() == b"ready\n"
            process.send_signal(signal.SIGTERM)

            assert process.wait(timeout=30) == 9

    def test_a_missing_command_is_explained(self):
        """
        The exit code is 127, as in a shell.
        """
        with pytest.raises(entry.Failure, match="no command 'nothing-of-that-name'") as caught:
            entry.run(["nothing-of-that-name"], "/")

        assert caught.value.code == 127


def _run(*words: str) -> subprocess.Popen[bytes]:
    """
    Start a process that runs a command like the first process of a container.
    """
    program = (
        "import sys; from pytest_codex_workspace.agent import entry; "
        "sys.exit(entry.run(sys.argv[1:], '/usr'))"
    )
    return subprocess.Popen(
        [sys.executable, "-c", program, *words],
        env={**os.environ, "HOST_REPO": "/x"},
        stdout=subprocess.PIPE,
    )

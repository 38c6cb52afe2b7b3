"""Tests of the Compose file and of its directory."""

from __future__ import annotations

import os
import tarfile
from pathlib import Path

import pytest
import yaml

from pytest_codex_workspace.codex import RUNTIMES, workspace_environment
from pytest_codex_workspace.compose import ComposeParts, compose_file, write_directory
from pytest_codex_workspace.engine import labels
from pytest_codex_workspace.host.resources import package_dir
from pytest_codex_workspace.images import base
from pytest_codex_workspace.images.context import BuildContext
from pytest_codex_workspace.images.proxy import proxy_plan
from pytest_codex_workspace.network.rules.policy import HTTPS_ONLY
from pytest_codex_workspace.network.rules.upstream import UpstreamProxy
from pytest_codex_workspace.projection.repository import open_repository
from pytest_codex_workspace.reporting.output import Output
from tests.fakes.engine import FakeEngine

from ..conftest import git

pytestmark = [pytest.mark.needs_bash, pytest.mark.needs_git, pytest.mark.slow]

CERTIFICATE = b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"
KEY = b"-----BEGIN PRIVATE KEY-----\nNEVERTHERE\n-----END PRIVATE KEY-----\n"


def parts(**changes) -> ComposeParts:
    plan = base.base_plan(
        FakeEngine(), "slim", ca_certificate=KEY + CERTIFICATE, output=Output("quiet", print)
    )
    made = {"base": plan, "base_from": "debian:x", "proxy": proxy_plan()}
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
    plan = proxy_plan()

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
    assert projection["security_opt"] == ["no-new-privileges:true"]
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


def test_the_projector_has_whole_folders(tmp_path):
    """
    The program that makes a projection has all modules of its folders, and an empty `__init__.py`
    in place of the package's own, which would import what is not there.
    """
    directory = write_directory(parts(), tmp_path)

    package = package_dir()
    expected = {Path("codex.py"), Path("errors.py"), Path("__init__.py")}
    for folder in ("in_container", "projection", "text", "unpatched"):
        expected |= {path.relative_to(package) for path in (package / folder).rglob("*.py")}
    inside = directory / "projector" / package.name
    assert expected == {path.relative_to(inside) for path in inside.rglob("*") if path.is_file()}
    assert (inside / "__init__.py").read_bytes() == b""


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

"""S1, S15: `codex-workspace build` builds images and lists the runtimes in them."""

from __future__ import annotations

import io
import os
import subprocess
import tarfile

import pytest

from pytest_codex_workspace.codex import IMAGE, PROXY_IMAGE, RUNTIMES
from pytest_codex_workspace.engine.protocol import ContainerSpec, Engine
from pytest_codex_workspace.errors import EngineError
from pytest_codex_workspace.images.base import ensure_base_image
from pytest_codex_workspace.reporting.output import Output

from ..helpers.events import read_events
from .runs import COMMAND, becomes_latest, until

# As codex-universal has it: versions in the directories of managers, and a script without a list.
LIKE_UNIVERSAL = """\
ARG BASE
FROM ${BASE}
RUN rm -f /opt/codex/runtimes.txt \\
 && mkdir -p /root/.pyenv/versions/3.12.11 /root/.pyenv/versions/3.9.1 \\
 && mkdir -p /root/.nvm/versions/node/v20.19.1 \\
 && mkdir -p /root/.rustup/toolchains/1.89.0-x86_64-unknown-linux-gnu \\
 && mkdir -p /root/.local/share/mise/installs/java/21.0.2 \\
 && ln -s 21.0.2 /root/.local/share/mise/installs/java/21 \\
 && printf 'echo $CODEX_ENV_PYTHON_VERSION $CODEX_ENV_NODE_VERSION $CODEX_ENV_RUST_VERSION\\n' \\
    >/opt/codex/setup_universal.sh
"""


def build(*words):
    """
    Run `codex-workspace build`, and return its output.
    """
    done = subprocess.run(
        [*COMMAND, "build", *words], capture_output=True, text=True, timeout=600, check=False
    )
    assert (0, "") == (done.returncode, done.stderr)
    return done.stdout


def events(*words):
    """
    Run `codex-workspace build --json`, and return its events.
    """
    return read_events(build(*words, "--json").splitlines())


@pytest.fixture
def like_universal(codex_engine, codex_proxy, small_image):
    """
    Build an image with the same version managers as Codex's image.
    """
    base = ensure_base_image(
        codex_engine,
        small_image,
        ca_certificate=codex_proxy.info.ca_certificate,
        output=Output("quiet", lambda _: None),
        isolation=lambda: codex_proxy,
    )
    context = io.BytesIO()
    with tarfile.open(fileobj=context, mode="w") as tar:
        about = tarfile.TarInfo("Dockerfile")
        about.size = len(LIKE_UNIVERSAL.encode())
        tar.addfile(about, io.BytesIO(LIKE_UNIVERSAL.encode()))
    context.seek(0)
    tag = "codex-workspace-test-like-universal:1"
    codex_engine.build(
        context,
        dockerfile="Dockerfile",
        tag=tag,
        labels={},
        args={"BASE": base.id},
        on_line=lambda _: None,
    )
    yield tag
    for event in events(f"--image={tag}"):
        if event.get("image") == "workspace":
            for name in event["tags"]:
                codex_engine.remove_image(name)
    codex_engine.remove_image(tag)


@pytest.mark.promise("S1")
def test_the_images_are_built_where_they_are_missing(
    codex_engine, codex_image, codex_proxy, request
):
    """
    S1: A missing image is built with the tag `codex-workspace-emulator:latest`, and reused the
    next time.
    """
    # An image of the user's, for which there is no workspace image; slim's own may be in use.
    base = f"of-a-user-{os.getpid()}:1"
    codex_engine.tag(codex_engine.image(codex_image).id, base)
    request.addfinalizer(lambda: _untag(codex_engine, base))

    proxy, *steps, workspace, result = events(f"--image={base}")

    request.addfinalizer(lambda: _forget(codex_engine, workspace["tags"], codex_image))
    assert ("proxy", False) == (proxy["image"], proxy["built"])
    assert f"{PROXY_IMAGE}:latest" in proxy["tags"]
    assert f"{IMAGE}:latest" in workspace["tags"]
    assert ("workspace", base) == (workspace["image"], workspace["choice"])
    assert becomes_latest(codex_engine, workspace["id"], lambda: build(f"--image={base}"))
    assert workspace["size"] > proxy["size"] > 1_000_000
    assert ("result", 0) == (result["event"], result["exit_code"])
    assert f"building the workspace image ({base})" in [one.get("title") for one in steps]
    progress = [one for one in steps if one["event"] == "progress"]
    assert progress
    assert all(("steps", None) == (one["unit"], one["percent"]) for one in progress)

    printed = build(f"--image={base}")

    assert f"  id    {workspace['id']}\n" in printed
    assert 2 == printed.count(", already up to date\n")
    assert "building" not in printed


def _untag(engine: Engine, name: str) -> None:
    """
    Remove a name of an image that others use. For a moment, while a neighbour builds the image
    anew, it may be the last name, which an engine keeps.
    """

    def removed() -> bool:
        try:
            engine.remove_image(name)
        except EngineError:
            return False
        return True

    assert until(removed, 120)


def _forget(engine: Engine, tags: list[str], latest: str) -> None:
    engine.tag(engine.image(latest).id, f"{IMAGE}:latest")
    for tag in set(tags) - {f"{IMAGE}:latest"}:
        engine.remove_image(tag)


SPY = """\
ARG BASE
FROM ${BASE}
RUN printf '#!/bin/sh\\n{ env; cat /proc/net/route /proc/net/dev; } >>/spy\\n' \\
    >/usr/local/sbin/update-ca-certificates \\
 && cp /usr/local/sbin/update-ca-certificates /usr/local/sbin/npm \\
 && chmod +x /usr/local/sbin/update-ca-certificates /usr/local/sbin/npm
"""
TRIGGER = "ARG BASE\nFROM ${BASE}\nONBUILD RUN true\n"


@pytest.mark.promise("S12")
def test_programs_of_a_foreign_image_have_no_way_out(codex_engine, codex_image, request):
    """
    S12: While the image of a user is built, its programs have neither a network nor the proxy's
    password; one with ONBUILD instructions is refused.
    """
    before, name = codex_engine.image(codex_image), f"of-a-user-{os.getpid()}"
    for tag, text in ((f"{name}:spy", SPY), (f"{name}:on", TRIGGER)):
        context = io.BytesIO()
        with tarfile.open(fileobj=context, mode="w") as tar:
            about = tarfile.TarInfo("Dockerfile")
            about.size = len(text.encode())
            tar.addfile(about, io.BytesIO(text.encode()))
        context.seek(0)
        codex_engine.build(
            context,
            dockerfile="Dockerfile",
            tag=tag,
            labels={},
            args={"BASE": before.id},
            on_line=lambda _: None,
        )
        request.addfinalizer(lambda tag=tag: codex_engine.remove_image(tag))
    password = "only-for-the-proxy"
    env = {"HTTPS_PROXY": f"http://me:{password}@192.0.2.1:9", "http_proxy": "http://192.0.2.1:9"}
    command = [*COMMAND, "build", "--json"]

    done = subprocess.run(
        [*command, f"--image={name}:spy"],
        env={**os.environ, **env},
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )

    assert 0 == done.returncode, done.stdout + done.stderr
    made = [one for one in read_events(done.stdout.splitlines()) if "tags" in one][-1]
    request.addfinalizer(lambda: _forget(codex_engine, made["tags"], codex_image))
    container = codex_engine.create(
        ContainerSpec(image=made["id"], command=("true",), name=f"{name}-spy")
    )
    try:
        spied = b"".join(codex_engine.get_archive(container, "/spy")).decode("utf-8", "replace")
    finally:
        codex_engine.remove(container)
    assert 2 <= spied.count("PATH="), spied
    assert password not in spied
    assert "_proxy=" not in spied.lower()
    assert "eth" not in spied
    refused = subprocess.run(
        [*command, f"--image={name}:on"], capture_output=True, text=True, timeout=60, check=False
    )
    assert "ONBUILD" in refused.stdout + refused.stderr
    assert 0 != refused.returncode


@pytest.mark.promise("S15")
def test_the_runtimes_of_slim():
    """
    S15: The runtimes that slim lists are printed beside Codex's defaults.
    """
    found = {
        one["name"]: one
        for one in events("--image=slim", "--list-runtimes")
        if one["event"] == "runtime"
    }

    assert {name.lower(): default for name, default in RUNTIMES.items()} == {
        name: one["default"] for name, one in found.items()
    }
    assert {"listed"} == {one["known_from"] for one in found.values()}
    node, go, swift = found["node"], found["go"], found["swift"]
    assert ["18.", "20.", "22."] == [version[:3] for version in node["versions"]]
    assert ("CODEX_ENV_NODE_VERSION", True) == (node["variable"], node["has_default"])
    assert (["1.24.3"], True) == (go["versions"], go["has_default"])
    assert ([], None, False) == (swift["versions"], swift["variable"], swift["has_default"])


@pytest.mark.promise("S15")
def test_the_runtimes_of_an_image_with_version_managers(like_universal):
    """
    S15: Runtimes are found as in codex-universal, which has no list; a note says that the image
    may install others.
    """
    found = {
        one["name"]: one
        for one in events(f"--image={like_universal}", "--list-runtimes")
        if one["event"] == "runtime"
    }

    assert {"found"} == {one["known_from"] for one in found.values()}
    assert ["3.9.1", "3.12.11"] == found["python"]["versions"]
    assert ["20.19.1"] == found["node"]["versions"]
    assert ["1.89.0"] == found["rust"]["versions"]
    assert ["21.0.2"] == found["java"]["versions"]
    assert {"node", "python", "rust"} == {name for name, one in found.items() if one["variable"]}
    assert found["java"]["has_default"]

    printed = build(f"--image={like_universal}", "--list-runtimes")
    assert "has no list" in printed
    assert "  python   3.9.1, 3.12.11  CODEX_ENV_PYTHON_VERSION  3.12\n" in printed
    assert "  java     21.0.2          -                         21\n" in printed


@pytest.mark.promise("S15")
def test_the_runtimes_of_an_image_without_a_choice(small_image):
    """
    S15: The runtimes on the PATH are printed, and a note that variables do not select them.
    """
    printed = build(f"--image={small_image}", "--list-runtimes")

    assert "the image has no setup_universal.sh" in printed
    assert "CODEX_ENV_PYTHON_VERSION" not in printed
    assert "  swift    none      -         6.1 (not in the image)\n" in printed


@pytest.mark.promise("S1")
def test_an_image_is_rebuilt(codex_engine, codex_proxy, like_universal):
    """
    S1: With --force, an existing image is rebuilt, and the earlier one is removed.
    """

    def ensure(*, rebuild):
        return ensure_base_image(
            codex_engine,
            like_universal,
            ca_certificate=codex_proxy.info.ca_certificate,
            output=Output("quiet", lambda _: None),
            rebuild=rebuild,
            isolation=lambda: codex_proxy,
        )

    first = ensure(rebuild=False)
    second = ensure(rebuild=True)

    assert first.id != second.id == ensure(rebuild=False).id
    assert codex_engine.image(first.id) is None
    assert second.tags[0] in first.tags

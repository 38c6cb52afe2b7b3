"""S1, S15: The images are built, and have their runtimes."""

from __future__ import annotations

import pytest

from pytest_codex_workspace import SetupError
from pytest_codex_workspace.codex import IMAGE, OF_SLIM, RUNTIMES
from pytest_codex_workspace.images import base
from pytest_codex_workspace.reporting.output import Output

from .runs import becomes_latest

LATEST = f"{IMAGE}:latest"


@pytest.fixture
def another_image(codex_engine, codex_image, monkeypatch):
    """
    Let `slim` be an image that nobody else uses: a session that starts while it is gone would
    build it, or find nothing.
    """
    packaged = base._packaged

    def changed(flavour):
        context = packaged(flavour).copy()
        context.add("note-of-a-test", b"nothing copies this")
        return context

    monkeypatch.setattr(base, "_packaged", changed)
    yield
    codex_engine.tag(codex_engine.image(codex_image).id, LATEST)


@pytest.mark.promise("S1")
@pytest.mark.usefixtures("another_image")
def test_the_image_is_built_when_its_tag_is_missing(codex_engine, codex_image, codex_proxy):
    """
    S1: The image is built under `codex-workspace-emulator:latest`, and is not rebuilt while it
    exists.
    """
    said: list[str] = []
    output = Output("progress", said.append)

    def ensure():
        return base.ensure_base_image(
            codex_engine, "slim", ca_certificate=codex_proxy.info.ca_certificate, output=output
        )

    def is_built():
        made = ensure()
        built = any("building" in line for line in said)
        said.clear()
        return built, made.id, {*made.tags} - {LATEST}

    built, first, tags = is_built()
    assert (True, 1) == (built, len(tags - {codex_image}))
    assert (False, first, tags) == is_built()
    assert becomes_latest(codex_engine, first, ensure)

    (tag,) = tags
    codex_engine.remove_image(tag)
    built, again, tags = is_built()
    assert (True, {tag}) == (built, tags)
    assert becomes_latest(codex_engine, again, ensure)
    codex_engine.remove_image(tag)


@pytest.mark.any_engine
@pytest.mark.promise("S15")
def test_the_defaults_are_set_and_the_exact_ones_run(plain):
    """
    S15: Go, Bun, Node, PHP and Java have Codex's versions; the other runtimes exist in some
    version.
    """
    for name, version in RUNTIMES.items():
        assert version == plain.env[f"CODEX_ENV_{name}_VERSION"]
    said = plain.exec(
        "go version; node --version; php --version; java -version 2>&1; bun --version; "
        "python3 --version; ruby --version; rustc --version; cargo --version"
    ).stdout

    for words in ("go1.24.3", "v20.", "PHP 8.4", 'version "21', "1.2.14", "Python 3.", "ruby 3."):
        assert words in said, said


@pytest.mark.any_engine
@pytest.mark.promise("S15")
@pytest.mark.parametrize(("version", "shown"), [("18", "v18."), ("22", "v22.")])
def test_another_version_can_be_chosen(codex_workspace_factory, plain_repo, version, shown):
    """
    S15: The version applies to login shells, and to programs without a shell.
    """
    ws = codex_workspace_factory(repo=plain_repo, env={"CODEX_ENV_NODE_VERSION": version})

    assert ws.exec("node --version").stdout.startswith(shown)
    assert ws.exec(["node", "--version"]).stdout.startswith(shown)


@pytest.mark.any_engine
@pytest.mark.promise("S15")
def test_a_version_that_is_not_there_fails(codex_workspace_factory, plain_repo):
    """
    S15: The error names the versions that the image has.
    """
    with pytest.raises(SetupError, match=r"1\.24\.3") as caught:
        codex_workspace_factory(repo=plain_repo, env={"CODEX_ENV_GO_VERSION": "1.11"})

    assert "1.11" in str(caught.value)


@pytest.mark.any_engine
@pytest.mark.promise("S15")
def test_the_tools_of_slim_are_those_of_codex(plain):
    """
    S15: uv, poetry, npm and the tools of Python have Codex's versions, and pnpm and yarn are
    corepack's, which work without a network. So npm cannot install yarn over them.
    """
    said = plain.exec(
        "export COREPACK_ENABLE_NETWORK=0\n"
        "uv --version; poetry --version; npm --version; pnpm --version; yarn --version; "
        "readlink /usr/local/bin/yarn /usr/local/bin/pnpm; "
        "for t in ruff black isort mypy pytest; do $t --version >/dev/null; echo $t $?; done; "
        "cargo fmt --version; cargo clippy --version; echo $UV_NO_PROGRESS"
    )

    assert said.ok, said
    # As users of Codex report of npm 11, which does not know the variables of its proxy.
    assert 'npm warn Unknown env config "http-proxy"' in said.stderr
    lines = said.stdout.splitlines()
    corepack = "../lib/node_modules/corepack/dist"
    begins = ("uv 0.7.", "Poetry (version 2.1.", "11.4.", "10.", "1.22.", corepack, corepack)
    for begin, line in zip(begins, lines, strict=False):
        assert line.startswith(begin), said.stdout
    assert ["ruff 0", "black 0", "isort 0", "mypy 0", "pytest 0"] == lines[7:12]
    assert ["rustfmt", "clippy", "1"] == [line.split()[0] for line in lines[12:]]

    # The package is there, so that only what is in its way counts.
    plain.path("/tmp/yarn").mkdir()
    plain.path("/tmp/yarn/package.json").write_text(
        '{"name": "yarn", "version": "1.22.22", "bin": {"yarn": "yarn.js"}}'
    )
    plain.path("/tmp/yarn/yarn.js").write_text("#!/usr/bin/env node\n")
    failed = plain.exec("cd /tmp/yarn && npm pack --silent && npm install -g ./yarn-1.22.22.tgz")
    assert "EEXIST" in failed.stderr
    assert "/usr/local/bin/yarn" in failed.stderr


@pytest.mark.any_engine
@pytest.mark.promise("S15")
def test_the_versions_that_a_check_tells_of_slim(plain):
    """
    S15: What Debian has in place of Codex's versions is what findings say.
    """
    said = plain.exec("/opt/codex/setup_universal.sh --list").stdout.split()
    found = dict(zip(said[::2], said[1::2], strict=True))

    for name, version in OF_SLIM.items():
        assert f"{found[name.lower()]}.".startswith(f"{version}."), said
    others = RUNTIMES.keys() - OF_SLIM.keys() - {"SWIFT", "NODE"}
    assert all(f"{found[name.lower()]}.".startswith(f"{RUNTIMES[name]}.") for name in others), said

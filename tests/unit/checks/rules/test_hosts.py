"""Hosts outside the presets, yarn by corepack, and setups that grow old."""

from __future__ import annotations

import pytest

from pytest_codex_workspace.codex import RESUME, SETUP

from ....helpers.checking import findings_in, found_by_setup, found_in

HOOKS = "repos:\n- repo: {}\n  rev: v1\n"


@pytest.mark.parametrize(
    ("address", "found"),
    [
        ("https://git.example.com/hooks", True),
        ("https://codeberg.org/me/hooks.git", True),
        ("https://github.com/psf/black", False),
        ("https://gitlab.com/me/hooks", False),
        ("https://[x/", False),
        ("local", False),
        ("meta", False),
    ],
)
def test_hooks_of_pre_commit(address, found):
    """
    Those of other hosts are found.
    """
    expected = ["warning download-host .pre-commit-config.yaml:2"] if found else []

    assert expected == found_in({".pre-commit-config.yaml": HOOKS.format(address)})


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("curl -fsSLo x https://downloads.example.com/x", True),
        ("node fetch.js https://cdn.example.com:8443/a", True),
        ("curl -fsSLo x https://nodejs.org/dist/x", False),
        ("curl -fsSLo x https://raw.githubusercontent.com/x", False),
        ("curl http://127.0.0.1:80/", False),
        ("husky", False),
    ],
)
def test_hooks_of_npm(text, found):
    """
    What an installation runs, and downloads.
    """
    files = {"package.json": f'{{"scripts": {{\n"postinstall": "{text}"}}}}'}

    assert found is ("warning download-host package.json:2" in found_in(files))


def test_packages_that_download():
    """
    A note, with the variable that prevents it.
    """
    files = {"package.json": '{"dependencies": {\n"prisma": "5",\n"@prisma/client": "5"}}'}

    found = findings_in(files)

    assert [("note", "download-host", 2)] == [(one.level, one.id, one.line) for one in found]
    assert "PRISMA_ENGINES_MIRROR" in found[0].remedy
    assert [] == found_in(files, variables={"PRISMA_ENGINES_MIRROR": "https://x"})


@pytest.mark.parametrize(
    ("manager", "found"),
    [
        ("yarn@4.5.0", True),
        ("yarn@3.6.1+sha512.abc", True),
        ("yarn@2.4.3", True),
        ("yarn@1.22.22", False),
        ("pnpm@10.12.0", False),
        ("npm@10", False),
    ],
)
def test_the_package_manager(manager, found):
    """
    Yarn 2 and newer are downloaded from a host of their own.
    """
    files = {"package.json": f'{{\n"packageManager": "{manager}"}}'}

    assert (["warning corepack-host package.json:2"] if found else []) == found_in(files)
    assert [] == found_in(files, variables={"COREPACK_NPM_REGISTRY": "https://x"})


@pytest.mark.parametrize(
    ("name", "text", "line"),
    [
        (".npmrc", "a=b\n@me:registry=https://npm.example.com/\n", 2),
        (".yarnrc.yml", 'npmRegistryServer: "https://npm.example.com"\n', 1),
        ("requirements.txt", "a\n--extra-index-url https://pip.test.com/simple\n", 2),
        ("requirements.txt", "-f https://wheels.example.com/x.html\n", 1),
        ("pyproject.toml", '[[tool.uv.index]]\nname = "x"\nurl = "https://pip.test.com"\n', 3),
        ("pyproject.toml", '[[tool.poetry.source]]\nurl = "https://pip.test.com"\n', 2),
        ("Pipfile", '[[source]]\nurl = "https://pip.test.com"\n', 2),
        ("Gemfile", "\nsource 'https://gems.example.com'\n", 2),
        (
            "gradle/wrapper/gradle-wrapper.properties",
            "distributionUrl=https\\://gradle.example.com/x.zip\n",
            1,
        ),
        ("nuget.config", '<add key="x" value="https://nuget.example.com/v3" />\n', 1),
    ],
)
def test_registries_of_packages(name, text, line):
    """
    In the settings of each package manager.
    """
    assert f"warning download-host {name}:{line}" in found_in({name: text})


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("requirements.txt", "--extra-index-url https://download.pytorch.org/whl/cpu\n"),
        ("pyproject.toml", '[project.urls]\nurl = "https://shop.example.com"\n'),
        ("Gemfile", "source 'https://rubygems.org'\n# source 'https://gems.example.com'\n"),
        (
            "gradle/wrapper/gradle-wrapper.properties",
            "distributionUrl=https\\://services.gradle.org/distributions/x.zip\n",
        ),
        (".npmrc", "engine-strict=false\n"),
    ],
)
def test_usual_registries_of_packages(name, text):
    """
    Codex's lists have them.
    """
    assert [] == found_in({name: text})


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("corepack prepare yarn@4 --activate", True),
        ("corepack use yarn@stable", True),
        ("yarn set version berry", True),
        ("corepack prepare yarn@1.22.19 --activate", False),
        ("corepack prepare pnpm@9 --activate", False),
        ("corepack enable", False),
        ("yarn set version classic", False),
    ],
)
def test_corepack_in_scripts(text, found):
    """
    The same host.
    """
    assert found is ("warning corepack-host 2" in found_by_setup(text))


@pytest.mark.parametrize(
    ("setup", "files", "found"),
    [
        ("npm ci", {"package-lock.json": "{}"}, True),
        ("uv sync --frozen", {"uv.lock": ""}, True),
        ("bash a.sh", {"go.sum": "", "a.sh": "go mod download\n"}, True),
        ("(cd web && npm ci)", {"web/package-lock.json": "{}"}, True),
        ("(cd web && npm ci)", {"examples/package-lock.json": "{}"}, False),
        ("npm ci", {}, False),
        ("npm ci", {"package-lock.json": "{}", RESUME: "set -e\nnpm ci\n"}, False),
        ("make assets", {"package-lock.json": "{}"}, False),
    ],
)
def test_a_setup_that_grows_old(setup, files, found):
    """
    A newer commit's lock file is not installed without a script that does it.
    """
    every = found_in({SETUP: f"set -e\n{setup}\n", **files})

    assert found is any("resume-script" in one for one in every)


@pytest.mark.parametrize(
    ("name", "text", "found"),
    [
        (".npmrc", "registry=https://registry.npm.test/\n", False),
        (".npmrc", "@me:registry=https://npm.corp.invalid/\n", True),
        ("requirements.txt", "--index-url https://test.pip.test/simple\n", False),
        ("requirements.txt", "--extra-index-url https://registry.npm.test/\n", True),
        ("Pipfile", "[[source]]\nurl = 'https://pip.test/simple'\n", False),
        ("Gemfile", "source 'https://pip.test/'\n", True),
    ],
)
def test_registries(name, text, found):
    """
    That which a client uses by itself is in Codex's lists, whatever its name; others are not.
    """
    hosts = {"pip": frozenset({"pip.test"}), "npm": frozenset({"registry.npm.test"})}

    seen = findings_in({name: text}, default_hosts=hosts.__getitem__)

    assert found is any(one.id == "download-host" for one in seen)


def test_a_client_that_cannot_be_asked():
    """
    Then it is not known which registry is meant, and nothing is said.
    """
    files = {".npmrc": "registry=https://registry.npm.test/\n"}

    assert [] == findings_in(files, default_hosts=lambda _: None)

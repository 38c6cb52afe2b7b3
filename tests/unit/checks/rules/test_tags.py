"""Versions that are computed from tags."""

from __future__ import annotations

import pytest

from pytest_codex_workspace.codex import SETUP

from ....helpers.checking import findings_in, found_by_setup, found_in

DYNAMIC = '[project]\nname = "a"\ndynamic = ["version"]\n'


def build(*requires):
    return f"[build-system]\nrequires = {list(requires)!r}\n\n{DYNAMIC}\n".replace("'", '"')


@pytest.mark.parametrize(
    ("files", "where", "remedy"),
    [
        (
            {"pyproject.toml": build("setuptools", "setuptools-scm[toml]>=8")},
            "pyproject.toml:2",
            "SETUPTOOLS_SCM_PRETEND_VERSION=",
        ),
        (
            {"pyproject.toml": build("setuptools", "setuptools_scm") + "[tool.setuptools_scm]\n"},
            "pyproject.toml:8",
            "SETUPTOOLS_SCM_PRETEND_VERSION=",
        ),
        (
            {"setup.py": "from setuptools import setup\nsetup(use_scm_version=True)\n"},
            "setup.py:2",
            "SETUPTOOLS_SCM_PRETEND_VERSION=",
        ),
        (
            {
                "pyproject.toml": build("hatchling", "hatch-vcs")
                + '[tool.hatch.version]\nsource = "vcs"\n'
            },
            "pyproject.toml:2",
            "SETUPTOOLS_SCM_PRETEND_VERSION=",
        ),
        ({"pyproject.toml": build("flit_scm")}, "pyproject.toml:2", "PRETEND_VERSION="),
        ({"pyproject.toml": build("versioneer[toml]==0.29")}, "pyproject.toml:2", "git tag v0.0.0"),
        (
            {"setup.py": "import versioneer\nsetup(version=versioneer.get_version())\n"},
            "setup.py:2",
            "git tag v0.0.0",
        ),
        (
            {"pyproject.toml": build("setuptools-git-versioning>=2")},
            "pyproject.toml:2",
            "git tag v0.0.0",
        ),
        (
            {
                "pyproject.toml": '[tool.poetry-dynamic-versioning]\nenable = true\n\n'
                '[build-system]\nrequires = ["poetry-core", "poetry-dynamic-versioning>=1"]\n'
            },
            "pyproject.toml:1",
            "POETRY_DYNAMIC_VERSIONING_BYPASS=",
        ),
        (
            {"pyproject.toml": f'{DYNAMIC}\n[tool.pdm.version]\nsource = "scm"\n'},
            "pyproject.toml:6",
            "PDM_BUILD_SCM_VERSION=",
        ),
        ({"pyproject.toml": build("versioningit~=3.0")}, "pyproject.toml:2", "default-version"),
        ({"pyproject.toml": build("pbr>=5")}, "pyproject.toml:2", "PBR_VERSION="),
        ({"setup.py": "setup(setup_requires=['pbr'], pbr=True)\n"}, "setup.py:1", "PBR_VERSION="),
        ({"pyproject.toml": build("uv-dynamic-versioning")}, "pyproject.toml:2", "BYPASS="),
        (
            {
                "pyproject.toml": f"{DYNAMIC}\n[tool.scikit-build]\n"
                'metadata.version.provider = "scikit_build_core.metadata.setuptools_scm"\n'
            },
            "pyproject.toml:6",
            "SETUPTOOLS_SCM_PRETEND_VERSION=",
        ),
        (
            {"Cargo.toml": '[build-dependencies]\nvergen-gitcl = "1"\n'},
            "Cargo.toml:2",
            "VERGEN_GIT_DESCRIBE=",
        ),
        ({"Cargo.toml": '[dependencies.git-version]\nversion = "1"\n'}, "Cargo.toml:1", "fallback"),
        ({"pom.xml": "<artifactId>jgitver-maven-plugin</artifactId>\n"}, "pom.xml:1", "jgitver"),
        (
            {"build.gradle": 'plugins {\n  id "pl.allegro.tech.build.axion-release" version "1"\n}\n'},
            "build.gradle:2",
            "-Prelease.version",
        ),
        (
            {"build.gradle.kts": 'plugins {\n  id("com.palantir.git-version")\n}\n'},
            "build.gradle.kts:2",
            "git tag",
        ),
        ({"project/plugins.sbt": 'addSbtPlugin("a" % "sbt-dynver" % "5")\n'}, "project/plugins.sbt:1", "git tag"),
        ({"a.csproj": '<PackageReference Include="MinVer" Version="5" />\n'}, "a.csproj:1", "MinVer"),
        ({"GitVersion.yml": "mode: Mainline\n"}, "GitVersion.yml:1", "next-version"),
        ({"CMakeLists.txt": "# x\nexecute_process(COMMAND git describe --tags)\n"}, "CMakeLists.txt:2", "--always"),
        ({"CMakeLists.txt": "execute_process(COMMAND ${GIT_EXECUTABLE} describe --tags)\n"}, "CMakeLists.txt:1", "--always"),
        ({"meson.build": "vcs_tag(input: 'v.in', output: 'v')\n"}, "meson.build:1", "git tag"),
        ({"build.rs": 'Command::new("git").args(&["describe"]);\nrun("git describe");\n'}, "build.rs:2", "--always"),
        ({"setup.py": "run(['git', 'describe', '--tags'])\n"}, "setup.py:1", "--always"),
        ({"package.json": '{"devDependencies": {\n"git-describe": "4"}}'}, "package.json:2", "git tag"),
        ({"lib/pyproject.toml": build("hatch-vcs") + '[tool.hatch.version]\nsource = "vcs"\n'}, "lib/pyproject.toml:2", "PRETEND"),
    ],
)  # fmt: skip
def test_tools_that_need_tags(files, where, remedy):
    """
    Each has its line, and what gives it a version.
    """
    found = [one for one in findings_in(files) if one.id == "git-tags"]

    assert [("warning", where)] == [(one.level, one.where) for one in found]
    assert remedy in found[0].remedy
    assert "not known" in found[0].in_codex


@pytest.mark.parametrize(
    "files",
    [
        {"pyproject.toml": build("setuptools", "setuptools-scm").replace('dynamic = ["version"]', 'version = "1"')},
        {"pyproject.toml": build("setuptools", "setuptools-scm") + '[tool.setuptools.dynamic]\nversion = {attr = "a.b"}\n'},
        {"pyproject.toml": build("hatchling", "hatch-vcs") + '[tool.hatch.version]\npath = "a.py"\n'},
        {"pyproject.toml": build("hatchling")},
        {"pyproject.toml": "# setuptools-scm\n" + DYNAMIC},
        {"pyproject.toml": "not toml ["},
        {"setup.py": "# use_scm_version=True\nsetup(version='1')\n"},
        {"Cargo.toml": '[dependencies]\nvergen-not = "1"\n'},
        {"vendor/x/pyproject.toml": build("setuptools-scm")},
        {"GitVersion.yml": "next-version: 1.0\n"},
        {"CMakeLists.txt": "# git describe\nexecute_process(COMMAND git describe --always)\n"},
        {"docs/conf.py": "git describe"},
        {"build.gradle": '// id "com.palantir.git-version"\n'},
    ],
)  # fmt: skip
def test_tools_that_need_none(files):
    """
    The version is written, the tool only lists files, or it is a comment.
    """
    assert [] == found_in(files)


@pytest.mark.parametrize(
    ("variables", "setup"),
    [
        ({"SETUPTOOLS_SCM_PRETEND_VERSION": "1"}, "set -e\n"),
        ({"SETUPTOOLS_SCM_PRETEND_VERSION_FOR_SHOP": "1"}, "set -e\n"),
        ({}, "set -e\nSETUPTOOLS_SCM_PRETEND_VERSION=1 pip install .\n"),
        ({}, "set -e\nexport SETUPTOOLS_SCM_PRETEND_VERSION_FOR_A=1\npip install .\n"),
        ({}, "set -e\ngit tag v0.0.0\n"),
        ({}, "set -e\ngit rev-parse v1.0.0 || git tag -a v0.0.0 -m x; : user.email\n"),
    ],
)
def test_what_gives_a_version(variables, setup):
    """
    A variable of the workspace or of the script, or a tag that the script makes.
    """
    files = {"pyproject.toml": build("setuptools-scm"), SETUP: setup}

    found = found_in(files, variables=variables)
    assert [] == [one for one in found if "git-tags" in one]


@pytest.mark.parametrize(
    ("text", "level"),
    [
        ("V=$(git describe --tags)", "error"),
        ("git describe --tags --abbrev=0 >VERSION", "error"),
        ("git describe --contains HEAD", "error"),
        ('go build -ldflags "-X main.version=$(git describe --dirty)" ./...', "error"),
        ("git tag --sort=-v:refname | head -1", "warning"),
        ("git tag -l 'v*'", "warning"),
        ("git rev-list --tags --max-count=1", "warning"),
        ("git log v1.2.0..HEAD", "warning"),
        ("git diff v2.0", "warning"),
        ("npx semantic-release --dry-run", "warning"),
        ("python -m setuptools_scm", "warning"),
        ("dotnet-gitversion", "warning"),
        ("npx lerna changed", "warning"),
        ("lerna run test --since", "warning"),
        ("goreleaser build", "warning"),
    ],
)
def test_commands_that_need_tags(text, level):
    """
    Git describe fails; the others find nothing.
    """
    assert [f"{level} git-tags 2"] == found_by_setup(text)


@pytest.mark.parametrize(
    "text",
    [
        "git describe --always",
        "git describe --all",
        "V=$(git describe --tags 2>/dev/null || echo 0.0.0)",
        "if git describe; then true; fi",
        "git log --oneline 1.txt",
        "echo git describe",
        "npx lerna run test",
        "goreleaser build --snapshot",
        "npm install foo@1.2.3",
    ],
)
def test_commands_that_need_none(text):
    """
    There is another answer, or the failure is expected.
    """
    assert [] == found_by_setup(text)


def test_a_makefile_runs_commands_when_it_is_read():
    """
    In each of the forms that make has.
    """
    files = {
        "Makefile": "A := $(shell git describe)\n# $(shell git describe)\nB != git describe\n"
        "C = $(shell cd x; git describe || echo 1)\nbuild:\n\tgo build -X=$$(git describe)\n"
    }

    assert ["error git-tags Makefile:1", "error git-tags Makefile:3"] == found_in(files)

"""Versions of runtimes against those of a workspace."""

from __future__ import annotations

import json

import pytest

from pytest_codex_workspace.codex import SETUP

from ....helpers.checking import findings_in, found_in


@pytest.mark.parametrize(
    ("files", "found", "known"),
    [
        ({".nvmrc": "22\n"}, "warning runtime-version .nvmrc:1", "NODE_VERSION=22"),
        ({".nvmrc": "# x\nlts/jod\n"}, "warning runtime-version .nvmrc:2", "NODE_VERSION=22"),
        ({".node-version": "v16.1.0\n"}, "warning runtime-version .node-version:1", "Node 16"),
        (
            {"package.json": '{"engines": {\n"node": ">=22"}}'},
            "warning runtime-version package.json:2",
            "NODE_VERSION=22",
        ),
        (
            {"package.json": '{"engines": {\n"node": "^18 || ^16"}}', "yarn.lock": ""},
            "error runtime-version package.json:2",
            "NODE_VERSION=18",
        ),
        (
            {"package.json": '{"engines": {\n"node": "14.x"}}', ".npmrc": "engine-strict=true\n"},
            "error runtime-version package.json:2",
            "was not seen",
        ),
        ({".python-version": "3.11\n"}, "warning runtime-version .python-version:1", "PYTHON_VERSION=3.11"),
        (
            {"pyproject.toml": '[project]\nname = "a"\nrequires-python = ">=3.13"\n'},
            "error runtime-version pyproject.toml:3",
            "PYTHON_VERSION=3.13",
        ),
        (
            {"pyproject.toml": '[project]\nname = "a"\nrequires-python = "<3.12"\n'},
            "error runtime-version pyproject.toml:3",
            "PYTHON_VERSION=3.11",
        ),
        (
            {"pyproject.toml": '[tool.poetry.dependencies]\npython = "~3.11"\n'},
            "error runtime-version pyproject.toml:2",
            "PYTHON_VERSION=3.11",
        ),
        (
            {"pyproject.toml": '[tool.poetry.dependencies]\npython = "^3.13"\n'},
            "error runtime-version pyproject.toml:2",
            "PYTHON_VERSION=3.13",
        ),
        ({"setup.py": "setup(\n  python_requires='>=3.13',\n)\n"}, "error runtime-version setup.py:2", "3.13"),
        ({"setup.cfg": "[options]\npython_requires = <3.10\n"}, "error runtime-version setup.cfg:2", "was not seen"),
        ({"Pipfile": '[requires]\npython_version = "3.10"\n'}, "error runtime-version Pipfile:2", "=3.10"),
        ({"rust-toolchain": "1.75.0\n"}, "warning runtime-version rust-toolchain:1", "was not seen"),
        (
            {"rust-toolchain.toml": '[toolchain]\nchannel = "1.85.1"\n'},
            "warning runtime-version rust-toolchain.toml:2",
            "RUST_VERSION=1.85.1",
        ),
        (
            {"rust-toolchain.toml": '[toolchain]\nchannel = "nightly-2025-01-01"\n'},
            "warning runtime-version rust-toolchain.toml:2",
            "was not seen",
        ),
        (
            {"Cargo.toml": '[package]\nname = "a"\nrust-version = "1.95"\n'},
            "error runtime-version Cargo.toml:3",
            "was not seen",
        ),
        ({"go.mod": "module a\n\ngo 1.25.0\n"}, "warning runtime-version go.mod:3", "GO_VERSION=1.25.1"),
        (
            {"go.mod": "module a\ngo 1.21\ntoolchain go1.26.0\n"},
            "warning runtime-version go.mod:3",
            "was not seen",
        ),
        ({"Gemfile": 'ruby "3.3.8"\n'}, "error runtime-version Gemfile:1", "RUBY_VERSION=3.3.8"),
        ({"Gemfile": 'ruby "~> 3.2.0"\n'}, "error runtime-version Gemfile:1", "RUBY_VERSION=3.2.3"),
        ({".ruby-version": "ruby-2.7.8\n"}, "warning runtime-version .ruby-version:1", "was not seen"),
        (
            {"composer.json": '{"require": {\n"php": "~8.2.0"}}'},
            "error runtime-version composer.json:2",
            "PHP_VERSION=8.2",
        ),
        ({"composer.json": '{"require": {\n"php": "^7.4"}}'}, "error runtime-version composer.json:2", "not seen"),
        (
            {"pom.xml": "<x>\n<maven.compiler.release>25</maven.compiler.release>"},
            "error runtime-version pom.xml:2",
            "JAVA_VERSION=25",
        ),
        (
            {"build.gradle.kts": "java {\n  languageVersion = JavaLanguageVersion.of(17)\n}"},
            "note runtime-version build.gradle.kts:2",
            "JAVA_VERSION=17",
        ),
        ({".python-version": "3.12.4\n"}, "note runtime-version .python-version:1", "Write 3.12"),
        ({"package.json": '{"engines": {\n"npm": "^9"}}'}, "warning runtime-version package.json:2", "npm 11"),
        ({"package.json": '{"engines": {\n"pnpm": "<10"}}'}, "warning runtime-version package.json:2", "pnpm 10"),
        ({"package.json": '{\n"packageManager": "pnpm@9.1.0"}'}, "warning runtime-version package.json:2", "Call pnpm"),
        (
            {"package.json": '{\n"packageManager": "pnpm@11.14.0"}', SETUP: "pnpm install\n"},
            "error runtime-version package.json:2",
            "NODE_VERSION=22",
        ),
        ({"pyproject.toml": '[tool.uv]\nrequired-version = ">=0.11.0"\n'}, "error runtime-version pyproject.toml:2", "'uv>=0.11.0'"),
        ({"uv.toml": 'required-version = "==0.8.*"\n'}, "error runtime-version uv.toml:1", "uv==0.8.*"),
        ({"pyproject.toml": '[tool.poetry]\nrequires-poetry = ">=2.2"\n'}, "error runtime-version pyproject.toml:2", "poetry>=2.2"),
        ({".java-version": "1.8\n"}, "warning runtime-version .java-version:1", "was not seen"),
        (
            {"Package.swift": "// swift-tools-version: 6.2\n"},
            "error runtime-version Package.swift:1",
            "SWIFT_VERSION=6.2",
        ),
        ({".tool-versions": "# x\nnodejs 18.20.0\n"}, "warning runtime-version .tool-versions:2", "NODE_VERSION=18"),
        ({".tool-versions": "java temurin-17.0.9+9\n"}, "warning runtime-version .tool-versions:1", "JAVA_VERSION=17"),
        ({"mise.toml": '[tools]\npython = "3.11"\n'}, "warning runtime-version mise.toml:2", "PYTHON_VERSION=3.11"),
    ],
)  # fmt: skip
def test_another_version_is_asked_for(files, found, known):
    """
    The remedy names a version that Codex's image has, or says that none was seen.
    """
    findings = [one for one in findings_in(files) if one.id == "runtime-version"]

    assert [found] == [f"{one.level} {one.id} {one.where}" for one in findings]
    assert known in findings[0].remedy


@pytest.mark.parametrize(
    "files",
    [
        {".nvmrc": "20\n"},
        {".nvmrc": "v20.11.0\n"},
        {".nvmrc": "lts/iron\n"},
        {".nvmrc": "lts/*\n"},
        {".nvmrc": "node\n"},
        {"package.json": '{"engines": {"node": ">=18.17 <21 || >=22"}}'},
        {"package.json": '{"engines": {"node": "20.x", "npm": ">=9", "pnpm": ">=8"}}'},
        {"package.json": '{"engines": {"node": "nonsense ??"}}'},
        {".python-version": "3.12\n"},
        {"pyproject.toml": '[project]\nrequires-python = ">=3.8,<4"\n'},
        {"pyproject.toml": '[project]\nrequires-python = "!=3.11.*,>=3.9"\n'},
        {"pyproject.toml": '[tool.poetry.dependencies]\npython = "^3.9"\n'},
        {"rust-toolchain.toml": '[toolchain]\nchannel = "1.89.0"\n'},
        {"rust-toolchain.toml": '[toolchain]\nchannel = "stable"\n'},
        {"Cargo.toml": '[package]\nrust-version = "1.70"\n'},
        {"go.mod": "module a\n\ngo 1.24\n"},
        {"go.mod": "module a\n\ngo 1.21.0\n"},
        {"Gemfile": 'ruby "3.4.4"\n# ruby "2.0"\n'},
        {"Gemfile": 'ruby ">= 3.1"\n'},
        {"Gemfile": 'ruby file: ".ruby-version"\n', ".ruby-version": "3.4.4\n"},
        {"composer.json": '{"require": {"php": ">=8.1", "ext-x": "*"}}'},
        {"composer.json": '{"require": {"php": "^8.1|^9.0"}}'},
        {"pom.xml": "<java.version>17</java.version>", ".mvn/settings.xml": "x"},
        {"package.json": '{"packageManager": "pnpm@9.0.0"}', SETUP: "pnpm install\n"},
        {"package.json": '{"packageManager": "npm@9.0.0"}'},
        {"pyproject.toml": '[tool.uv]\nrequired-version = ">=0.5"\n'},
        {"pyproject.toml": '[tool.uv]\nrequired-version = ">=0.9"\n', SETUP: "pip install -U uv\n"},
        {"pyproject.toml": '[tool.poetry]\nrequires-poetry = ">=2.0,<3"\n'},
        {"Package.swift": "// swift-tools-version:5.9\n"},
        {".tool-versions": "nodejs 20.1.0\nterraform 1.5\npython 3.12.1 3.11.0\n"},
        {"docs/.nvmrc": "10\n"},
    ],
)
def test_the_selected_version_will_do(files):
    """
    A version stands for all that begin with it; what cannot be read is no finding.
    """
    assert [] == found_in(files)


def test_the_user_selects_a_version():
    """
    Then what asks for another one is found.
    """
    chosen = {"CODEX_ENV_NODE_VERSION": "22"}

    assert [] == found_in({".nvmrc": "22\n"}, variables=chosen)
    found = findings_in({".nvmrc": "20\n"}, variables=chosen)
    assert ["runtime-version"] == [one.id for one in found]
    assert "Node 22 is selected" in found[0].what


@pytest.mark.parametrize(
    ("files", "found"),
    [
        ({"pubspec.yaml": "name: a\n"}, ["warning runtime-missing pubspec.yaml:1"]),
        ({"build.sbt": "x"}, ["warning runtime-missing build.sbt:1"]),
        ({"environment.yml": "name: a\n"}, ["note runtime-missing environment.yml:1"]),
        ({"flake.nix": "x"}, ["note runtime-missing flake.nix:1"]),
        ({"Pipfile.lock": "{}"}, ["warning runtime-missing Pipfile.lock:1"]),
        ({"build.sbt": "x", SETUP: "set -e\napt-get install -y sbt\n"}, []),
        ({"Project.toml": '[deps]\na = "1"\n'}, []),
        ({"a/pubspec.yaml": "x"}, []),
        ({"mix.exs": "x", "MODULE.bazel2": "", "CMakeLists.txt": "x"}, []),
    ],
)
def test_programs_that_the_image_lacks(files, found):
    """
    Unless a script installs them.
    """
    assert found == found_in(files)


LONG = "9" * 5000


@pytest.mark.parametrize(
    ("path", "text"),
    [
        (".nvmrc", LONG),
        (".python-version", f"3.12.{LONG}"),
        (".ruby-version", LONG),
        (".tool-versions", f"node {LONG}\n"),
        ("Gemfile", f"ruby '~> {LONG}'\n"),
        ("go.mod", f"go 1.{LONG}\n"),
        ("pom.xml", f"<release>{LONG}</release>"),
        ("package.json", json.dumps({"engines": {"node": f"^{LONG}", "npm": LONG}})),
        ("package.json", json.dumps({"packageManager": f"pnpm@{LONG}"})),
        ("composer.json", json.dumps({"require": {"php": f"~{LONG}"}})),
        ("pyproject.toml", f'[project]\nrequires-python = ">={LONG}"\n'),
        ("pyproject.toml", f'[project]\nrequires-python = "{">=3," * 100_000}"\n'),
        ("pyproject.toml", f'[project]\ndependencies = ["httpx=={LONG}", "httpx<0.{LONG}"]\n'),
        (
            "pyproject.toml",
            f'[tool.poetry.dependencies]\npython = "^{LONG}"\nhttpx = "^0.{LONG}"\n',
        ),
        ("poetry.lock", f'[[package]]\nname = "httpx"\nversion = "{LONG}"\n'),
    ],
)
def test_numbers_of_very_many_digits(path, text):
    """
    Python does not read them, and every rule goes on.
    """
    findings_in({path: text})


LOCK = "# yarn lockfile v1\n"


@pytest.mark.parametrize(
    ("files", "found"),
    [
        ({"pyproject.toml": ""}, ["pyproject.toml"]),
        ({"requirements.txt": ""}, ["requirements.txt"]),
        ({"Cargo.toml": "", "Gemfile": ""}, ["Cargo.toml", "Gemfile"]),
        ({"yarn.lock": LOCK, "package.json": "{}", SETUP: "yarn install\n"}, ["yarn.lock"]),
        ({"go.mod": "module a\n", "package.json": "{}"}, []),
        ({"yarn.lock": LOCK, "package.json": "{}", SETUP: "npm ci\n"}, []),
        ({"yarn.lock": "__metadata:\n", "package.json": "{}", SETUP: "yarn\n"}, []),
        (
            {
                "yarn.lock": LOCK,
                "package.json": '{"packageManager": "yarn@1.22.22"}',
                SETUP: "yarn\n",
            },
            [],
        ),
    ],
)
def test_what_slim_has_in_another_version(files, found):
    """
    It is a note for what the repository uses, and only if the image is slim.
    """
    notes = [one for one in findings_in(files, image="slim") if one.id == "runtime-differs"]

    assert found == sorted(str(one.path) for one in notes)
    assert not [one for one in findings_in(files) if one.id == "runtime-differs"]


def test_a_version_of_slim_is_selected():
    """
    Then Codex runs it, too.
    """
    variables = {"CODEX_ENV_PYTHON_VERSION": "3.13"}

    found = findings_in({"pyproject.toml": ""}, image="slim", variables=variables)

    assert not [one for one in found if one.id == "runtime-differs"]

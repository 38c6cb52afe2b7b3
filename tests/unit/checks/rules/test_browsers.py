"""Browsers, containers of tests, and trust stores."""

from __future__ import annotations

import pytest

from pytest_codex_workspace.codex import SETUP

from ....helpers.checking import findings_in, found_in


@pytest.mark.parametrize(
    ("name", "text", "line"),
    [
        ("package.json", '{"devDependencies": {\n"puppeteer-core": "1",\n"cypress": "1"}}', 2),
        ("package.json", '{"dependencies": {\n"selenium-webdriver": "4"}}', 2),
        ("requirements-test.txt", "pytest\nselenium>=4\n", 2),
        ("pyproject.toml", '[dependency-groups]\ndev = ["pytest-playwright"]\n', 2),
        ("Gemfile", "gem 'rails'\n  gem 'cuprite'\n", 2),
        ("pom.xml", "<artifactId>selenium-java</artifactId>", 1),
        ("build.gradle", "x\ntestImplementation 'org.seleniumhq.selenium:selenium-java:4'\n", 2),
        ("go.mod", "module a\nrequire github.com/chromedp/chromedp v0.9\n", 2),
        ("composer.json", '{"require-dev": {\n"laravel/dusk": "^8"}}', 2),
        ("Cargo.toml", '[dev-dependencies]\nthirtyfour = "0.3"\n', 2),
    ],
)
def test_a_browser_that_no_script_installs(name, text, line):
    """
    One finding for each manifest.
    """
    found = [one for one in findings_in({name: text}) if one.id == "browser"]

    assert [("warning", f"{name}:{line}")] == [(one.level, one.where) for one in found]


def test_a_library_in_several_manifests():
    """
    It is one finding.
    """
    files = {"setup.py": "install_requires=['selenium']", "requirements.txt": "a\nselenium\n"}

    found = [one for one in found_in(files) if " browser " in one]

    assert ["warning browser requirements.txt:2"] == found


@pytest.mark.parametrize(
    "install",
    [
        "npx playwright install --with-deps chromium",
        "apt-get install -y google-chrome-stable",
        "apt-get install -y chromium-driver || true",
    ],
)
def test_a_browser_that_a_script_installs(install):
    """
    It has certificates of its own.
    """
    files = {"requirements.txt": "playwright\n", SETUP: f"set -e\n{install}\n"}

    assert ["note browser requirements.txt:1"] == found_in(files)


@pytest.mark.parametrize(
    ("name", "text", "line"),
    [
        ("package.json", '{"devDependencies": {\n"@testcontainers/postgresql": "10"}}', 2),
        ("requirements.txt", "pytest-docker\n", 1),
        ("pom.xml", "<x>\n<groupId>org.testcontainers</groupId>", 2),
        ("build.gradle.kts", 'testImplementation("org.testcontainers:postgresql:1")\n', 1),
        ("go.mod", "require (\n\tgithub.com/testcontainers/testcontainers-go v0.3\n)\n", 2),
        ("Cargo.toml", '[dev-dependencies]\ntestcontainers-modules = "0.3"\n', 2),
        ("a.csproj", '<PackageReference Include="Testcontainers.PostgreSql" />', 1),
        (
            ".pre-commit-config.yaml",
            "repos:\n- repo: local\n  hooks:\n  - language: docker_image\n",
            4,
        ),
    ],
)
def test_libraries_that_start_containers(name, text, line):
    """
    They are warnings: tests may be skipped.
    """
    found = [one for one in findings_in({name: text}) if one.id == "docker"]

    assert [("warning", f"{name}:{line}")] == [(one.level, one.where) for one in found]


@pytest.mark.parametrize(
    "name", ["compose.yaml", "docker-compose.yml", "docker-compose.test.yml", "compose.dev.yaml"]
)
def test_compose_files(name):
    """
    A note: the repository may have them for something else.
    """
    assert [f"note docker-services {name}:1"] == found_in({name: "services: {}\n"})


@pytest.mark.parametrize(
    "name", ["Dockerfile", "docs/compose.yaml", "decompose.yaml", "compose.md"]
)
def test_no_compose_file(name):
    """
    An image is built elsewhere.
    """
    assert [] == found_in({name: "x\n"})


@pytest.mark.parametrize(
    ("files", "found"),
    [
        ({"requirements.txt": "grpcio==1.60\n"}, "note trust-store requirements.txt:1"),
        ({"Gemfile": "gem 'grpc'\n"}, "note trust-store Gemfile:1"),
        ({"package.json": '{"devDependencies": {\n"electron": "30"}}'}, "note trust-store package.json:2"),
        ({"deno.jsonc": "{}"}, "warning trust-store deno.jsonc:1"),
        ({"src/a.csproj": "<Project/>"}, "note trust-store src/a.csproj:1"),
        (
            {"Cargo.toml": '[dependencies]\nreqwest = { version = "0.12", features = ["rustls-tls"] }\n'},
            "note trust-store Cargo.toml:2",
        ),
        ({"Cargo.toml": '[dependencies]\nwebpki-roots = "1"\n'}, "note trust-store Cargo.toml:2"),
        ({"settings.gradle": "plugins { id 'org.gradle.toolchains.foojay-resolver' }\n"}, "note trust-store settings.gradle:1"),
        ({"MODULE.bazel": "x"}, "note trust-store MODULE.bazel:1"),
        ({SETUP: "set -e\napt-get install -y openjdk-17-jdk\n"}, f"warning trust-store {SETUP}:2"),
        ({"pom.xml": "<x/>"}, "note trust-store pom.xml:1"),
        ({SETUP: "set -e\ndeno test\n"}, f"warning trust-store {SETUP}:2"),
        ({SETUP: "set -e\nmise use -g java@17\n"}, f"warning trust-store {SETUP}:2"),
    ],
)  # fmt: skip
def test_clients_with_certificates_of_their_own(files, found):
    """
    Each has a remedy of its own.
    """
    assert found in found_in(files)


@pytest.mark.parametrize(
    ("files", "variables"),
    [
        ({"deno.json": "{}"}, {"DENO_TLS_CA_STORE": "system"}),
        (
            {
                "Cargo.toml": '[dependencies]\nreqwest = { features = ["rustls-tls-native-roots"] }\n'
            },
            {},
        ),
        ({"Cargo.toml": '[dependencies]\nreqwest = "0.12"\n'}, {}),
        ({"package.json": '{"dependencies": {"@grpc/grpc-js": "1"}}'}, {}),
        ({"MODULE.bazel": "x", ".bazelrc": "startup -Djavax.net.ssl.trustStore=x\n"}, {}),
        ({SETUP: "set -e\necho apt-get install openjdk >x\n"}, {}),
        ({"pom.xml": "<x/>", ".mvn/settings.xml": "x"}, {}),
    ],
)
def test_clients_that_read_the_certificate(files, variables):
    """
    Because of an option, or as they are.
    """
    found = found_in(files, variables=variables)

    assert [] == [one for one in found if "trust-store" in one]

"""Browsers, and clients that look for certificates where Codex has none of its own."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping

from ..documents import line_with, subtable, toml_of
from ..finding import Finding, Level
from ..manifests import node_dependencies, python_dependencies
from ..repository import CheckedRepository
from ..tree import CommittedTree

__all__ = ["browser_libraries", "containers_of_tests", "trust_stores"]

_NODE = frozenset(
    {"playwright", "@playwright/test", "playwright-chromium", "puppeteer", "cypress", "testcafe"}
    | {"selenium-webdriver", "webdriverio", "@wdio/cli", "nightwatch", "karma-chrome-launcher"}
    | {"protractor", "taiko", "chromedriver", "@web/test-runner", "@vitest/browser", "geckodriver"}
    | {"@vitest/browser-playwright", "@playwright/experimental-ct-react", "phantomjs-prebuilt"}
    | {"karma-firefox-launcher", "codeceptjs", "puppeteer-core", "@storybook/test-runner"}
)
_PYTHON = frozenset(
    {"playwright", "pytest-playwright", "selenium", "splinter", "pyppeteer", "pytest-selenium"}
    | {"helium", "seleniumbase", "robotframework-seleniumlibrary", "robotframework-browser"}
    | {"undetected-chromedriver", "webdriver-manager", "selene", "nodriver", "dash-testing"}
)
_GRADLE_BROWSER = (
    r"^(?![ \t]*//).*(org\.seleniumhq\.selenium|com\.microsoft\.playwright|com\.codeborne:selenide"
    r"|webdrivermanager)"
)
_OTHERS: Mapping[str, str] = {
    "Gemfile": r"^[ \t]*gem\s+[\"'](selenium-webdriver|cuprite|ferrum|webdrivers|watir|apparition"
    r"|capybara-playwright-driver)[\"']",
    "pom.xml": r"<artifactId>\s*(selenium-java|selenium-chrome-driver|selenide|webdrivermanager"
    r"|playwright)\s*<",
    "build.gradle": _GRADLE_BROWSER,
    "build.gradle.kts": _GRADLE_BROWSER,
    "go.mod": r"^[ \t]*(?:require\s+)?(github\.com/(?:chromedp/chromedp|go-rod/rod|tebeka/selenium"
    r"|playwright-community/playwright-go))\b",
    "composer.json": r"\"(laravel/dusk|symfony/panther|php-webdriver/webdriver"
    r"|facebook/webdriver)\"\s*:",
    "Cargo.toml": r"^[ \t]*(thirtyfour|fantoccini|headless_chrome|chromiumoxide)\s*[=.]",
    "mix.exs": r"^[^#\n]*\{:(wallaby|hound)\b",
}
"""Libraries in other manifests, by the name of the file."""

_INSTALLS = (
    r"playwright install|cypress install|puppeteer browsers install|@puppeteer/browsers install"
    r"|^.{0,99}?(apt|apt-get|dnf|yum)\b.*\b(chromium|firefox|google-chrome)"
    r"|playwright-driver install|rfbrowser init|chromedriver|dusk:chrome-driver"
)


_Library = tuple[str, str, int | None]
"""Its name, the manifest that names it, and the line there."""


def browser_libraries(repo: CheckedRepository) -> Iterator[Finding]:
    """
    Find libraries that drive a browser. The image has none.
    """
    installed = repo.prepares(_INSTALLS)
    for name, path, line in _first_of_each(_drivers(repo)):
        if installed:
            yield Finding.of(
                "browser",
                f"{name} drives a browser, which has certificates of its own",
                "Chromium reads an NSS database and Firefox its profile, not the proxy's "
                "certificate in the variables: pages over HTTPS are refused.",
                "Tests of pages on localhost work. For others, accept errors of certificates "
                "(`ignoreHTTPSErrors`), or add the file of $CODEX_PROXY_CERT with certutil.",
                path=path,
                line=line,
                level="note",
            )
        else:
            yield Finding.of(
                "browser",
                f"{name} drives a browser, and no script installs one",
                "The image has no browser and lacks its libraries; the agent phase is offline by "
                "default.",
                "Install it in the setup script, with its libraries: `npx playwright install "
                "--with-deps chromium`, or Google's package of Chrome (dl.google.com). Ubuntu's "
                "packages of browsers are snaps, which do not run in a container.",
                path=path,
                line=line,
            )


def _drivers(repo: CheckedRepository) -> Iterator[_Library]:
    tree = repo.tree
    for one in node_dependencies(tree):
        if one.name in _NODE:
            yield one.name, one.path, one.line
    for one in python_dependencies(tree):
        if one.name in _PYTHON:
            yield one.name, one.path, one.line
    yield from _matching(tree, _OTHERS)


def _matching(tree: CommittedTree, patterns: Mapping[str, str]) -> Iterator[_Library]:
    """
    Yield what is found first in each manifest by the pattern for its name.
    """
    for path, text in tree.texts(tree.named(*patterns)):
        pattern = re.compile(patterns[path.rpartition("/")[2]], re.MULTILINE)
        if found := pattern.search(text):
            yield found[1], path, text.count("\n", 0, found.start(1)) + 1


def _first_of_each(libraries: Iterable[_Library]) -> Iterable[_Library]:
    """
    Return one library of each manifest, because a test runner and its driver are one thing; and
    each library once, in whichever manifests it is.
    """
    manifests: dict[str, _Library] = {}
    names: dict[str, _Library] = {}
    for one in libraries:
        manifests.setdefault(one[1], one)
    for one in manifests.values():
        names.setdefault(one[0], one)
    return names.values()


_CONTAINERS: Mapping[str, str] = {
    "pom.xml": r"<groupId>\s*(org\.testcontainers)\s*<",
    "build.gradle": r"^(?![ \t]*//).*(org\.testcontainers)",
    "build.gradle.kts": r"^(?![ \t]*//).*(org\.testcontainers)",
    "libs.versions.toml": r"^[^#\n]*(org\.testcontainers)",
    "go.mod": r"^[ \t]*(?:require\s+)?"
    r"(github\.com/(?:testcontainers/testcontainers-go|ory/dockertest)(?:/v\d+)?)\b",
    "Cargo.toml": r"^[ \t]*(testcontainers[\w-]*)\s*[=.]",
    "Gemfile": r"^[ \t]*gem\s+[\"'](testcontainers[\w-]*)[\"']",
    "mix.exs": r"^[^#\n]*\{:(testcontainers)\b",
}
_COMPOSE = re.compile(r"^(docker-)?compose([.-][\w.-]+)?\.ya?ml$")


def containers_of_tests(repo: CheckedRepository) -> Iterator[Finding]:
    """
    Find libraries and files that need Docker: testcontainers, Compose, and hooks in images.
    """
    tree = repo.tree
    libraries: list[_Library] = [
        (one.name, one.path, one.line)
        for one in node_dependencies(tree)
        if one.name in ("testcontainers", "dockerode") or one.name.startswith("@testcontainers/")
    ]
    libraries += [
        (one.name, one.path, one.line)
        for one in python_dependencies(tree)
        if one.name
        in ("testcontainers", "pytest-docker", "pytest-docker-compose", "docker-services")
    ]
    libraries += _matching(tree, _CONTAINERS)
    for path, text in tree.texts([*tree.suffixed(".csproj", ".fsproj")]):
        if line := line_with(text, r"Include=\"(Testcontainers|DotNet\.Testcontainers)[\w.]*\""):
            libraries.append(("Testcontainers", path, line))
    for name, path, line in _first_of_each(libraries):
        yield _needs_docker(f"{name} starts containers", path, line, "warning")
    for path, text in tree.texts(tree.named(".pre-commit-config.yaml")):
        if line := line_with(text, r"^[ \t]*(-\s+)?language:\s*docker(_image)?\b"):
            yield _needs_docker("a hook of pre-commit runs in a container", path, line, "warning")
    for path in (one for one in tree.files if _COMPOSE.match(one)):
        yield Finding.of(
            "docker-services",
            f"{path} describes services for Docker",
            "There is no Docker in Codex's legacy containers, so nothing starts them.",
            "If tests need them: install them in the setup script, and declare them under "
            "`services:` in .codex-workspace.yaml.",
            path=path,
            line=1,
        )


def _needs_docker(what: str, path: str, line: int | None, level: Level) -> Finding:
    return Finding.of(
        "docker",
        what,
        "There is no Docker in Codex's legacy containers; builds of the current generation had it.",
        "Use a service that the setup script installs, or skip these tests without Docker.",
        path=path,
        line=line,
        level=level,
    )


_JDK = re.compile(
    r"sdk install java|^.{0,99}?(apt|apt-get)\b.*\b(openjdk-|default-jdk|temurin-|zulu)"
    r"|jabba install|^.{0,99}?(mise|asdf) (use|install)\b.*\bjava|^.{0,99}?curl.*\b(jdk|graalvm)"
    r"|^.{0,99}?install.*graalvm"
)
_PROXY_CERT = "$CODEX_PROXY_CERT"


def trust_stores(repo: CheckedRepository) -> Iterator[Finding]:
    """
    Find clients that do not read the variables which name the proxy's certificate.
    """
    tree = repo.tree
    for one in python_dependencies(tree):
        if one.name in ("grpcio", "grpclib"):
            yield _own_store(f"gRPC ({one.name})", _GRPC, one.path, one.line, "note")
            break
    for one in node_dependencies(tree):
        if one.name == "electron":
            remedy = "Start it with --ignore-certificate-errors-spki-list, or test on localhost."
            yield _own_store("Electron", remedy, one.path, one.line, "note")
            break
    if not repo.sets("DENO_TLS_CA_STORE", "DENO_CERT"):
        for path in tree.named("deno.json", "deno.jsonc", "deno.lock")[:1]:
            yield _own_store("Deno", _DENO, path, 1, "warning")
        for script, found in repo.commands():
            if found.command.name == "deno":
                yield _own_store("Deno", _DENO, script.path, found.line, "warning")
                break
    yield from _of_rust(repo)
    yield from _of_jvm(repo)
    if not repo.sets("SSL_CERT_DIR"):
        for path in tree.suffixed(".csproj", ".fsproj", ".vbproj")[:1]:
            remedy = (
                "If NuGet reports `UntrustedRoot`, run update-ca-certificates in the setup script, "
                f"with the file of {_PROXY_CERT} in /usr/local/share/ca-certificates."
            )
            yield _own_store(".NET", remedy, path, 1, "note")
    for name, what in (("Gemfile", "grpc"), ("composer.json", "grpc/grpc")):
        for path, text in tree.texts(tree.named(name)):
            if line := line_with(text, rf"^[^#\n]*[\"']{what}[\"']"):
                yield _own_store("gRPC", _GRPC, path, line, "note")
    for path in tree.named("gleam.toml")[:1]:
        yield _own_store("Gleam", "Download packages with `mix` or vendor them.", path, 1, "note")
    for path in tree.named("MODULE.bazel", "WORKSPACE", "WORKSPACE.bazel")[:1]:
        remedy = (
            "Add `startup --host_jvm_args=-Djavax.net.ssl.trustStore=FILE` to .bazelrc, with a "
            "store that keytool makes."
        )
        if not any("trustStore" in text for _, text in tree.texts([".bazelrc"])):
            yield _own_store("Bazel (its own JVM)", remedy, path, 1, "note")


_DENO = "Set DENO_TLS_CA_STORE=system as a variable of the workspace."
_GRPC = "Set GRPC_DEFAULT_SSL_ROOTS_FILE_PATH to the file that $CODEX_PROXY_CERT names."


def _of_rust(repo: CheckedRepository) -> Iterator[Finding]:
    for path, text in repo.tree.texts(repo.tree.named("Cargo.toml")):
        data = toml_of(text)
        for group in ("dependencies", "dev-dependencies", "build-dependencies"):
            for name, wanted in subtable(data, group).items():
                features = wanted.get("features", []) if isinstance(wanted, dict) else []
                own = name == "webpki-roots" or (
                    name == "reqwest"
                    and any(one in ("rustls-tls", "rustls-tls-webpki-roots") for one in features)
                )
                if own:
                    line = line_with(text, rf"^[ \t]*(?:\[[\w.-]*dependencies\.)?{name}[\]\s=.]")
                    remedy = "Use the feature `rustls-tls-native-roots`, which reads SSL_CERT_FILE."
                    yield _own_store(f"{name} with rustls", remedy, path, line, "note")


def _of_jvm(repo: CheckedRepository) -> Iterator[Finding]:
    configured = any(".mvn/" in one and "settings" in one for one in repo.tree.files)
    if "pom.xml" in repo.tree.files and not configured and not repo.prepares(r"settings\.xml"):
        remedy = (
            "Name the proxy in ~/.m2/settings.xml, which the setup script writes, if Maven reports "
            "`Network is unreachable` or `PKIX path building failed`."
        )
        yield _own_store("Maven, as every JVM,", remedy, "pom.xml", 1, "note")
    for script, found in repo.commands("setup", "resume", "called"):
        if _JDK.search(" ".join(found.command.words)):
            remedy = (
                f"Add the certificate: `keytool -importcert -noprompt -cacerts -storepass changeit "
                f"-alias codex -file {_PROXY_CERT}`."
            )
            yield _own_store("a JDK that is not the image's", remedy, script.path, found.line, None)
    for path, text in repo.tree.texts(repo.tree.named("settings.gradle", "settings.gradle.kts")):
        if line := line_with(text, r"^(?![ \t]*//).*org\.gradle\.toolchains\.foojay-resolver"):
            remedy = (
                "Name a JDK that is there (11, 17, 21), or import the certificate into the one "
                "that Gradle downloads."
            )
            yield _own_store("a JDK that Gradle downloads", remedy, path, line, "note")


def _own_store(
    client: str, remedy: str, path: str | None, line: int | None, level: Level | None
) -> Finding:
    return Finding.of(
        "trust-store",
        f"{client} has certificates of its own",
        "The proxy ends TLS with a certificate that only the variables of the environment and the "
        "system's store name: a download is refused as not trusted.",
        remedy,
        path=path,
        line=line,
        level=level,
    )

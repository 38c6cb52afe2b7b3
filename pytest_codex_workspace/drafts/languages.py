"""Other languages: for each, the file that tells of it and the commands that it means."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from ..checks.documents import subtable
from .draft import UNLOCKED, Draft, Install, TestCommand, in_folder
from .tree import ProjectFiles

__all__ = ["add_languages"]


@dataclass(frozen=True, slots=True)
class _Found:
    """
    A project in a folder.
    """

    tree: ProjectFiles
    folder: str

    def has(self, *names: str) -> bool:
        return any(self.path(name) in self.tree for name in names)

    def text(self, name: str) -> str:
        return self.tree.text(self.path(name))

    def path(self, name: str) -> str:
        return f"{self.folder}/{name}" if self.folder else name

    def has_below(self, folder: str) -> bool:
        return any(one.startswith(f"{self.path(folder)}/") for one in self.tree.files)


_Commands = tuple[str, tuple[str, ...], str, str]
"""The file that is named as the source, what installs, what tests, and a note."""


def _go(found: _Found) -> _Commands:
    # What is vendored needs no download.
    lines = () if found.has_below("vendor") else ("go mod download",)
    return "go.mod", lines, "go test ./...", ""


def _rust(found: _Found) -> _Commands:
    if found.has("Cargo.lock"):
        return "Cargo.lock", ("cargo fetch --locked",), "cargo test --locked", ""
    return "Cargo.toml", ("cargo fetch",), "cargo test", UNLOCKED


def _ruby(found: _Found) -> _Commands:
    if found.has("bin/rails"):
        test = "bin/rails test"
    elif found.has(".rspec") or found.has_below("spec"):
        test = "bundle exec rspec"
    else:
        test = "bundle exec rake test" if found.has("Rakefile") else ""
    get = "command -v bundle >/dev/null || gem install bundler"
    if found.has("Gemfile.lock"):
        return "Gemfile.lock", (get, "BUNDLE_FROZEN=true bundle install"), test, ""
    return "Gemfile", (get, "bundle install"), test, UNLOCKED


def _php(found: _Found) -> _Commands:
    test = ""
    if "test" in subtable(found.tree.json(found.path("composer.json")), "scripts"):
        test = "composer test"
    elif found.has("phpunit.xml", "phpunit.xml.dist"):
        test = "vendor/bin/phpunit"
    # It is root who runs this, in Codex as well.
    line = "COMPOSER_ALLOW_SUPERUSER=1 composer install --no-interaction --prefer-dist"
    if found.has("composer.lock"):
        return "composer.lock", (line,), test, ""
    return "composer.json", (line,), test, UNLOCKED


def _maven(found: _Found) -> _Commands:
    mvn = "bash ./mvnw" if found.has("mvnw") else "mvn"
    # Compiles, and gets what runs tests, too, although no test has such a name.
    line = f"{mvn} -B -ntp test -Dtest=NoSuchTest -Dsurefire.failIfNoSpecifiedTests=false"
    return "pom.xml", (line,), f"{mvn} -B -ntp test", ""


def _gradle(found: _Found) -> _Commands:
    source = next(name for name in _GRADLE if found.has(name))
    if found.has("gradlew"):
        gradle, note = "bash ./gradlew", ""
    else:
        gradle, note = "gradle", "no gradlew: Gradle itself has to be installed"
    return source, (f"{gradle} --no-daemon testClasses",), f"{gradle} --no-daemon test", note


def _swift(_: _Found) -> _Commands:
    return "Package.swift", ("swift package resolve",), "swift test", ""


_GRADLE = ("build.gradle", "build.gradle.kts", "settings.gradle", "settings.gradle.kts")

_LANGUAGES: Mapping[tuple[str, ...], Callable[[_Found], _Commands]] = {
    ("go.mod",): _go,
    ("Cargo.toml",): _rust,
    ("Gemfile",): _ruby,
    ("composer.json",): _php,
    ("pom.xml",): _maven,
    _GRADLE: _gradle,
    ("Package.swift",): _swift,
}
"""What is done for the outermost folders with one of these files."""

_OWN_ROOT = ("go.mod", "Gemfile", "composer.json")
"""Files of projects that no project further up installs."""


def add_languages(tree: ProjectFiles, draft: Draft) -> None:
    """
    Add what the projects of a tree in the languages of the table need.
    """
    for names, commands_of in _LANGUAGES.items():
        folders: list[str] = []
        for folder in tree.folders_with(*names):
            covered = any(one == "" or folder.startswith(f"{one}/") for one in folders)
            if names[0] not in _OWN_ROOT and covered:
                continue  # A module of the project further up.
            folders.append(folder)
            _add(draft, folder, *commands_of(_Found(tree, folder)))


def _add(
    draft: Draft, folder: str, source: str, lines: tuple[str, ...], test: str, note: str
) -> None:
    path = f"{folder}/{source}" if folder else source
    if lines:
        alone = tuple(line for line in lines if re.match(r"command -v", line))
        inside = [line for line in lines if line not in alone]
        draft.installs.append(Install(path, (*alone, *in_folder(folder, inside)), note))
    if test:
        draft.tests.append(TestCommand(" && ".join(in_folder(folder, [test])), path))

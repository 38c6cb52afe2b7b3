"""Tests of drafts for other languages."""

from __future__ import annotations

import pytest

from . import commands_of, lines_of

BUNDLE = "command -v bundle >/dev/null || gem install bundler"
COMPOSER = "COMPOSER_ALLOW_SUPERUSER=1 composer install --no-interaction --prefer-dist"
MAVEN = "-B -ntp test -Dtest=NoSuchTest -Dsurefire.failIfNoSpecifiedTests=false"

CASES = [
    ({"go.mod": ""}, ["go mod download"], ["go test ./..."]),
    ({"go.mod": "", "vendor/modules.txt": ""}, [], ["go test ./..."]),
    ({"go.mod": "", "tools/go.mod": ""}, ["go mod download", "(cd tools && go mod download)"],
     ["go test ./...", "(cd tools && go test ./...)"]),
    ({"Cargo.toml": "", "Cargo.lock": "", "crates/a/Cargo.toml": ""}, ["cargo fetch --locked"],
     ["cargo test --locked"]),
    ({"a/Cargo.toml": ""}, ["(cd a && cargo fetch)"], ["(cd a && cargo test)"]),
    ({"Gemfile": "", "Gemfile.lock": "", "spec/a_spec.rb": ""},
     [BUNDLE, "BUNDLE_FROZEN=true bundle install"], ["bundle exec rspec"]),
    ({"Gemfile": "", "Rakefile": ""}, [BUNDLE, "bundle install"], ["bundle exec rake test"]),
    ({"x/Gemfile": "", "x/bin/rails": ""}, [BUNDLE, "(cd x && bundle install)"],
     ["(cd x && bin/rails test)"]),
    ({"composer.json": '{"scripts": {"test": "x"}}', "composer.lock": ""}, [COMPOSER],
     ["composer test"]),
    ({"composer.json": "[]", "phpunit.xml.dist": ""}, [COMPOSER], ["vendor/bin/phpunit"]),
    ({"pom.xml": "", "core/pom.xml": ""}, [f"mvn {MAVEN}"], ["mvn -B -ntp test"]),
    ({"pom.xml": "", "mvnw": ""}, [f"bash ./mvnw {MAVEN}"], ["bash ./mvnw -B -ntp test"]),
    ({"settings.gradle.kts": "", "app/build.gradle.kts": "", "gradlew": ""},
     ["bash ./gradlew --no-daemon testClasses"], ["bash ./gradlew --no-daemon test"]),
    ({"build.gradle": ""}, ["gradle --no-daemon testClasses"], ["gradle --no-daemon test"]),
    ({"Package.swift": ""}, ["swift package resolve"], ["swift test"]),
    ({"README.md": ""}, [], []),
]  # fmt: skip


@pytest.mark.parametrize(("files", "lines", "tests"), CASES)
def test_each_language_has_its_commands(
    files: dict[str, str], lines: list[str], tests: list[str]
) -> None:
    """
    Lock files are obeyed. The outermost project installs its modules.
    """
    assert lines == lines_of(files)
    assert tests == commands_of(files)

"""Tests of drafts for JavaScript projects."""

from __future__ import annotations

import json

import pytest

from . import commands_of, lines_of, whole

PACKAGE = json.dumps({"dependencies": {"a": "1"}, "scripts": {"test": "jest"}})
BERRY = "# This file\n\n__metadata:\n  version: 8\n"


def pinned(manager: str, **more: object) -> str:
    return json.dumps({"packageManager": manager, "dependencies": {"a": "1"}, **more})


INSTALLS = [
    ({"package-lock.json": ""}, ["npm ci --no-audit --no-fund"]),
    ({"npm-shrinkwrap.json": ""}, ["npm ci --no-audit --no-fund"]),
    ({}, ["npm install --no-package-lock --no-audit --no-fund"]),
    ({"package.json": "{}"}, []),
    ({"package.json": '{"workspaces": ["a"]}'}, [
        "npm install --no-package-lock --no-audit --no-fund",
    ]),
    ({"pnpm-lock.yaml": "lockfileVersion: '9.0'\n"}, ["pnpm install --frozen-lockfile"]),
    ({"pnpm-lock.yaml": "lockfileVersion: '6.0'\n"}, [
        "npx --yes pnpm@8 install --frozen-lockfile",
    ]),
    ({"pnpm-lock.yaml": "lockfileVersion: 5.4\n"}, [
        "npx --yes pnpm@7 install --frozen-lockfile",
    ]),
    ({"pnpm-lock.yaml": "lockfileVersion: 5.4\n", "package.json": pinned("pnpm@7.1.0")}, [
        "corepack enable", "pnpm install --frozen-lockfile",
    ]),
    ({"package.json": pinned("pnpm@9.1.0+sha512.abc")}, [
        "corepack enable", "pnpm install --no-lockfile",
    ]),
    ({"yarn.lock": "# yarn lockfile v1\n"}, ["yarn install --frozen-lockfile"]),
    ({"yarn.lock": BERRY, "package.json": pinned("yarn@4.1.0")}, [
        "corepack enable", "yarn install --immutable",
    ]),
    ({"yarn.lock": BERRY, ".yarn/releases/yarn-4.1.0.cjs": ""}, [
        "yarn install --immutable",
    ]),
    ({"yarn.lock": BERRY}, ["npx --yes @yarnpkg/cli-dist@4 install --immutable"]),
    ({"bun.lock": ""}, ["bun install --frozen-lockfile"]),
    ({"bun.lockb": ""}, ["bun install --frozen-lockfile"]),
    ({"package.json": pinned("$(reboot)@1")}, [
        "npm install --no-package-lock --no-audit --no-fund",
    ]),
]  # fmt: skip


@pytest.mark.parametrize(("files", "lines"), INSTALLS)
def test_what_is_locked_is_installed(files: dict[str, str], lines: list[str]) -> None:
    """
    By the package manager of the lock file, in a version that reads it, and without changing it.
    """
    assert lines == lines_of({"package.json": PACKAGE, **files})


def test_a_workspace_is_installed_at_its_root() -> None:
    """
    Other projects are installed each by itself.
    """
    root = {"package.json": '{"workspaces": ["packages/*"]}', "package-lock.json": ""}
    assert 1 == len(lines_of({**root, "packages/a/package.json": PACKAGE}))
    pnpm = {"pnpm-workspace.yaml": "", "pnpm-lock.yaml": "lockfileVersion: 9\n"}
    files = {"package.json": "{}", **pnpm, "packages/a/package.json": PACKAGE}
    assert ["pnpm install --frozen-lockfile"] == lines_of(files)

    own = {**root, "web/package.json": PACKAGE, "web/pnpm-lock.yaml": "lockfileVersion: 9\n"}
    assert "(cd web && pnpm install --frozen-lockfile)" == lines_of(own)[-1]
    apart = {"package.json": PACKAGE, "package-lock.json": "", "web/package.json": PACKAGE}
    assert (
        "(cd web && npm ci --no-audit --no-fund)"
        == lines_of({**apart, "web/package-lock.json": ""})[-1]
    )
    assert [] == lines_of(
        {"examples/a/package.json": PACKAGE, "node_modules/package.json": PACKAGE}
    )


def test_the_test_script_is_run_once() -> None:
    """
    npm's own example is none.
    """
    assert ["CI=true npm test"] == commands_of({"package.json": PACKAGE})
    assert ["(cd a && CI=true bun run test)"] == commands_of(
        {"a/package.json": PACKAGE, "a/bun.lock": ""}
    )
    none = {"test": 'echo "Error: no test specified" && exit 1'}
    for scripts in (none, {}, [], None, {"test": 1}):
        text = json.dumps({"dependencies": {"a": "1"}, "scripts": scripts})
        assert [] == commands_of({"package.json": text})


def test_a_browser_is_left_to_a_person() -> None:
    """
    It comes from other hosts.
    """
    text = json.dumps({"devDependencies": {"@playwright/test": "1"}})

    hint = whole({"web/package.json": text}).hints[0]

    assert "web/package.json" == hint.source
    assert ("(cd web && npx playwright install --with-deps)",) == hint.lines
    assert hint.last  # npx takes the version that was installed.

    text = json.dumps({"devDependencies": {"selenium-webdriver": "4"}})

    assert whole({"package.json": text}).hints[0].lines[-1] == "apt-get install -y /tmp/chrome.deb"


@pytest.mark.parametrize("text", ["[", "[]", '{"dependencies": 1, "scripts": [], "volta": 7}'])
def test_strange_files_are_no_reason_to_fail(text: str) -> None:
    """
    The repository may be anybody's.
    """
    whole({"package.json": text, "yarn.lock": text, "pnpm-workspace.yaml": text})

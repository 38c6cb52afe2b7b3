"""Faults that are found by reading the commit.

Each repository is `CLEAN` with some files changed; `None` removes one, and a name that begins with
`+` is executable. It gets the findings listed with it, and no others.
"""

from __future__ import annotations

from dataclasses import dataclass

from pytest_codex_workspace.codex import RESUME, SETUP

__all__ = ["BROKEN", "CLEAN", "Broken"]

CLEAN: dict[str, str] = {
    SETUP: """\
#!/usr/bin/env bash
# Once: git fetch origin main, curl x | bash, sudo docker run; a comment is no command.
set -euo pipefail
python3 -m venv .venv
.venv/bin/pip install --quiet --requirement requirements.txt
npm ci
curl -fsSL https://example.org/tool.tar.gz | tar xz
cat >NOTES.txt <<'TEXT'
git describe --tags
sudo docker compose up -d &
TEXT
echo "run: git push origin main; export A=1"
""",
    RESUME: "set -euo pipefail\n.venv/bin/pip install --quiet --requirement requirements.txt\n",
    "requirements.txt": "# httpx==0.20 and git+ssh://git@example.org/x are not here\nrequests>=2\n",
    "pyproject.toml": """\
[build-system]
requires = ["hatchling"]
build-backend = "hatchling.build"

[project]
name = "shop"
version = "1.0"
requires-python = ">=3.11"
urls = { Repository = "git@github.com:me/shop.git" }
""",
    "package.json": """\
{
  "name": "shop",
  "repository": "git@github.com:me/shop.git",
  "engines": {"node": ">=18"},
  "scripts": {"test": "jest", "build": "tsc", "release": "git push origin main --tags"},
  "dependencies": {"express": "^4.0.0"}
}
""",
    "package-lock.json": '{"lockfileVersion": 3}\n',
    "Makefile": "test:\n\tpytest\n\nrelease:\n\tgit push origin main\n\tdocker push x\n",
    "shop/__init__.py": "# git describe, origin/main\nVERSION = '1.0'\n",
    "README.md": "Run `docker compose up` and `git merge-base HEAD origin/main`.\n",
    ".gitattributes": "*.sh text eol=lf\n",
}
"""A repository without a fault, which mentions many of them."""

_SETUP = "set -euo pipefail\n"


@dataclass(frozen=True, slots=True)
class Broken:
    """
    A repository with one fault.

    Attributes:
        name: what is wrong.
        files: what differs from `CLEAN`.
        found: the findings, as level, id and place.
    """

    name: str
    files: dict[str, str | None]
    found: tuple[str, ...]


def _setup(name: str, line: str, found: str, **files: str) -> Broken:
    """
    Return a repository whose setup script has one more line, the second.
    """
    return Broken(name, {SETUP: _SETUP + line + "\n", **files}, (f"{found} {SETUP}:2",))


BROKEN: tuple[Broken, ...] = (
    Broken(
        "setuptools-scm",
        {
            "pyproject.toml": '[build-system]\nrequires = ["setuptools>=64", "setuptools-scm>=8"]\n'
            '\n[project]\nname = "shop"\ndynamic = ["version"]\n\n[tool.setuptools_scm]\n'
        },
        ("warning git-tags pyproject.toml:8",),
    ),
    _setup("git-describe", "V=$(git describe --tags)", "error git-tags"),
    Broken(
        "ldflags",
        {"Makefile": "V := $(shell git describe --tags --dirty)\n\ntest:\n\tgo test ./...\n"},
        ("error git-tags Makefile:1",),
    ),
    _setup("merge-base", "git merge-base HEAD origin/main", "error git-remote"),
    Broken(
        "test-since",
        {
            "package.json": '{\n  "scripts": {\n    "test": "jest --changedSince=origin/main"\n'
            "  }\n}\n"
        },
        ("error git-remote package.json:3",),
    ),
    _setup("checkout-main", "git diff --name-only main...HEAD", "error git-branch"),
    _setup("commit", "git commit -m generated", "error git-identity"),
    Broken(
        "lfs",
        {
            "logo.png": "version https://git-lfs.github.com/spec/v1\n"
            "oid sha256:4d7a214614ab2935c943f9e0ff69d22eadbb8f32b1258daaa5e2ca24d17e2393\n"
            "size 12345\n",
            ".gitattributes": "*.png filter=lfs diff=lfs merge=lfs -text\n",
        },
        ("warning git-lfs logo.png:1",),
    ),
    Broken(
        "git-crypt",
        {".gitattributes": "secrets/* filter=git-crypt diff=git-crypt\n"},
        ("warning git-filter .gitattributes:1",),
    ),
    Broken(
        "submodule-ssh",
        {".gitmodules": '[submodule "lib"]\n\tpath = lib\n\turl = git@github.com:me/lib.git\n'},
        ("error git-submodule .gitmodules:3",),
    ),
    Broken(
        "submodule-relative",
        {".gitmodules": '[submodule "lib"]\n\tpath = lib\n\turl = ../lib.git\n'},
        ("note git-submodule .gitmodules:3",),
    ),
    Broken(
        "submodule-relative-updated",
        {
            SETUP: _SETUP + "git submodule update --init\n",
            ".gitmodules": '[submodule "lib"]\n\tpath = lib\n\turl = ../lib.git\n',
        },
        ("warning git-submodule .gitmodules:3",),
    ),
    Broken(
        "pip-ssh",
        {"requirements.txt": "requests\nlib @ git+ssh://git@github.com/me/lib.git@v1\n"},
        ("error ssh-dependency requirements.txt:2",),
    ),
    Broken(
        "cargo-ssh",
        {
            "Cargo.toml": '[package]\nname = "a"\nrepository = "git@github.com:me/a"\n\n'
            '[dependencies]\nlib = { git = "ssh://git@github.com/me/lib.git" }\n'
        },
        ("error ssh-dependency Cargo.toml:6",),
    ),
    _setup("debian-chromium", "apt-get install -y git chromium", "error apt-package"),
    _setup("debian-postgres", "apt-get install -yq postgresql-17", "error apt-package"),
    _setup("system-python", "apt-get install -y python3-numpy", "warning apt-package"),
    Broken("nvmrc", {".nvmrc": "v22\n"}, ("warning runtime-version .nvmrc:1",)),
    Broken(
        "pnpm-and-node",
        {"package.json": '{\n"packageManager": "pnpm@11.1.0"}', SETUP: f"{_SETUP}pnpm -v\n"},
        ("error runtime-version package.json:2",),
    ),
    Broken(
        "requires-python",
        {"pyproject.toml": '[project]\nname = "a"\nversion = "1"\nrequires-python = ">=3.13"\n'},
        ("error runtime-version pyproject.toml:4",),
    ),
    Broken(
        "gemfile-ruby",
        {"Gemfile": "source 'https://rubygems.org'\nruby '3.3.8'\n"},
        ("error runtime-version Gemfile:2",),
    ),
    Broken(
        "deno",
        {"deno.json": "{}\n"},
        ("warning runtime-missing deno.json:1", "warning trust-store deno.json:1"),
    ),
    _setup("docker", "docker compose up -d --wait", "error docker"),
    Broken(
        "compose",
        {"compose.yaml": "services:\n  db:\n    image: postgres\n"},
        ("note docker-services compose.yaml:1",),
    ),
    Broken(
        "testcontainers",
        {"requirements.txt": "requests\ntestcontainers[postgres]>=4\n"},
        ("warning docker requirements.txt:2",),
    ),
    Broken(
        "pre-commit-host",
        {
            ".pre-commit-config.yaml": "repos:\n  - repo: https://github.com/a/b\n"
            "  - repo: https://git.example.com/hooks\n    rev: v1\n"
        },
        ("warning download-host .pre-commit-config.yaml:3",),
    ),
    Broken(
        "playwright",
        {"package.json": '{\n  "devDependencies": {\n    "@playwright/test": "^1.40"\n  }\n}\n'},
        ("warning browser package.json:3",),
    ),
    _setup("sdkman", "sdk install java 17.0.9-tem", "warning trust-store"),
    _setup(
        "pipe-to-shell", 'bash -c "$(curl -fsSL https://example.org/i)"', "warning hidden-download"
    ),
    _setup("sudo", "sudo apt-get update", "warning sudo"),
    _setup("export", "export API_URL=https://example.org", "warning export-lost"),
    _setup("daemon", "redis-server &", "error daemon"),
    _setup("quiet-daemon", "redis-server >/dev/null 2>&1 &", "warning daemon"),
    _setup("prompt", "apt-get install postgresql", "warning prompt"),
    _setup("yarn", "npm install -g yarn", "error yarn-global"),
    _setup("dirname", 'cd "$(dirname "$0")/.."', "warning script-location"),
    Broken(
        "no-errexit",
        {SETUP: "make deps\nmake assets\n"},
        (f"warning script-errors {SETUP}:1",),
    ),
    Broken(
        "syntax",
        {SETUP: _SETUP + "if true; then\n"},
        (f"error script-syntax {SETUP}:3",),
    ),
    Broken(
        "crlf",
        {SETUP: _SETUP + "bash tools/a.sh\n", "tools/a.sh": "#!/bin/bash\r\necho a\r\n"},
        ("error script-crlf tools/a.sh:1",),
    ),
    Broken(
        "not-executable",
        {SETUP: _SETUP + "./gradlew assemble\n", "gradlew": "#!/bin/sh\nexec java\n"},
        (f"error script-executable {SETUP}:2",),
    ),
    Broken("no-setup", {SETUP: None}, ("error script-missing ",)),
    Broken(
        "yarn-4",
        {"package.json": '{\n  "packageManager": "yarn@4.5.0"\n}\n', "package-lock.json": None},
        ("warning corepack-host package.json:2",),
    ),
    Broken(
        "httpx",
        {"requirements.txt": "httpx==0.23.3\n"},
        ("error httpx-no-proxy requirements.txt:1",),
    ),
    Broken(
        "stale",
        {RESUME: None, SETUP: _SETUP + "npm ci\n"},
        (f"note resume-script {SETUP}:2",),
    ),
)

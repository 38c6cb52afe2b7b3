"""Dependencies over ssh, and an old httpx."""

from __future__ import annotations

import json

import pytest

from pytest_codex_workspace.codex import SETUP

from ....helpers.checking import findings_in, found_by_setup, found_in


@pytest.mark.parametrize(
    ("name", "text", "line"),
    [
        ("requirements-dev.txt", "a\ngit+ssh://git@github.com/me/lib.git#egg=lib\n", 2),
        ("requirements/base.in", "lib @ git+ssh://git@gitlab.com/me/lib\n", 1),
        ("constraints.txt", "-e git+git@github.com:me/lib.git#egg=lib\n", 1),
        ("pyproject.toml", '[project]\ndependencies = [\n  "a @ git+ssh://git@x.org/a",\n]\n', 3),
        ("pyproject.toml", '[tool.poetry.dependencies]\na = { git = "git@x.org:me/a.git" }\n', 2),
        ("uv.lock", 'source = { git = "ssh://git@github.com/me/a?rev=1#2" }\n', 1),
        ("poetry.lock", '[package.source]\nurl = "x"\n\n[x]\nb = "git@github.com:a/b.git"\n', 5),
        ("Pipfile", '[packages]\na = {git = "ssh://git@github.com/me/a"}\n', 2),
        ("environment.yml", "- pip:\n  - git+ssh://git@github.com/me/a\n", 2),
        ("package.json", '{"dependencies": {\n"a": "git+ssh://git@github.com/me/a.git"\n}}', 2),
        ("package.json", '{"devDependencies": {\n"a": "git@github.com:me/a.git#v1"\n}}', 2),
        ("yarn.lock", '"a@x":\n  resolved "git+ssh://git@git.corp.com/me/a.git#1"\n', 2),
        ("Cargo.toml", '[dependencies]\na = { git = "ssh://git@github.com/me/a" }\n', 2),
        ("Cargo.lock", 'name = "a"\nsource = "git+ssh://git@github.com/me/a#1"\n', 2),
        ("Gemfile", "gem 'a', git: 'git@github.com:me/a.git'\n", 1),
        ("Gemfile.lock", "GIT\n  remote: git@github.com:me/a.git\n", 2),
        ("composer.json", '{"repositories": [\n{"type": "vcs", "url": "git@github.com:me/a.git"}]}', 2),
        ("mix.exs", '{:a, git: "git@github.com:me/a.git"}\n', 1),
        ("Package.swift", '.package(url: "git@github.com:me/a.git", from: "1.0.0"),\n', 1),
        ("CMakeLists.txt", "FetchContent_Declare(a GIT_REPOSITORY git@github.com:me/a.git)\n", 1),
        (".pre-commit-config.yaml", "repos:\n- repo: git@github.com:me/hooks\n", 2),
    ],
)  # fmt: skip
def test_a_dependency_over_ssh(name, text, line):
    """
    In the manifests and lock files of each language.
    """
    assert f"error ssh-dependency {name}:{line}" in found_in({name: text})


@pytest.mark.parametrize(
    ("name", "text"),
    [
        (
            "requirements.txt",
            "# git+ssh://git@github.com/me/a\nlib @ git+https://github.com/me/a\n",
        ),
        ("pyproject.toml", '[project.urls]\nRepository = "git@github.com:me/a.git"\n'),
        ("pyproject.toml", '[project]\nauthors = [{ email = "git@example.org" }]\n'),
        ("package.json", '{"repository": {"url": "git+ssh://git@github.com/me/a.git"}}'),
        ("package-lock.json", '"resolved": "git+ssh://git@github.com/me/a.git#1"'),
        ("Cargo.toml", '[package]\nrepository = "ssh://git@github.com/me/a"\n'),
        ("composer.json", '{"support": {"source": "git@github.com:me/a.git"}}'),
        ("README.md", "git clone git@github.com:me/a.git"),
        ("Gemfile", "# gem 'a', git: 'git@github.com:me/a.git'\n"),
    ],
)
def test_no_dependency_over_ssh(name, text):
    """
    Comments, the address of the project itself, and what npm writes but does not use.
    """
    assert [] == found_in({name: text})


@pytest.mark.parametrize(
    ("text", "level"),
    [
        ("git clone git@github.com:me/a.git", "error"),
        ("pip install git+ssh://git@github.com/me/a", "error"),
        ("ssh-keyscan github.com >>~/.ssh/known_hosts", "error"),
        ("scp host:file .", "error"),
        ('git config --global url."git@github.com:".insteadOf https://github.com/', "error"),
        ("go env -w GOPRIVATE=github.com/me/*", "warning"),
        ("export GOPRIVATE=github.com/me/*\ngo mod download $GOPRIVATE", "warning"),
    ],
)
def test_commands_that_use_ssh(text, level):
    """
    Clones, copies, and what makes git use ssh.
    """
    assert f"{level} ssh-dependency 2" in found_by_setup(text)


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("module a\nrequire git.acme.internal/lib v1.0.0\n", ["warning ssh-dependency go.mod:2"]),
        ("require (\n\tgo.corp/x/y v0.1.0 // indirect\n)\n", ["warning ssh-dependency go.mod:2"]),
        ("require (\n\tgit.acme.corp/y v0.1.0\n)\n", ["warning ssh-dependency go.mod:2"]),
        ("require github.com/internal/x v1.0.0\n", []),
    ],
)
def test_private_modules_of_go(text, found):
    """
    A host that only a company's network knows.
    """
    assert found == found_in({"go.mod": text})


def test_addresses_that_a_script_rewrites():
    """
    This is the remedy.
    """
    setup = 'set -e\ngit config --global url."https://github.com/".insteadOf git@github.com:\n'
    files = {"requirements.txt": "git+ssh://git@github.com/me/a\n", SETUP: setup}

    assert [] == found_in(files)


@pytest.mark.parametrize(
    ("name", "text", "line"),
    [
        ("requirements.txt", "a\nhttpx==0.23.3\n", 2),
        ("requirements.txt", "httpx[http2]>=0.20,<0.24  # old\n", 1),
        ("pyproject.toml", '[project]\ndependencies = [\n  "httpx~=0.23.0",\n]\n', 3),
        ("pyproject.toml", '[tool.poetry.dependencies]\nhttpx = "^0.23"\n', 2),
        ("pyproject.toml", '[dependency-groups]\ntest = ["httpx==0.24.0"]\n', 2),
        ("uv.lock", '[[package]]\nname = "httpx"\nversion = "0.23.0"\n', 2),
        ("poetry.lock", '[[package]]\nname = "httpx"\nversion = "0.24.0"\n', 2),
        ("Pipfile.lock", json.dumps({"default": {"httpx": {"version": "==0.22.0"}}}, indent=1), 3),
    ],
)
def test_an_httpx_that_cannot_read_no_proxy(name, text, line):
    """
    By a pin, an upper bound, or a lock.
    """
    assert f"error httpx-no-proxy {name}:{line}" in found_in({name: text})


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("requirements.txt", "httpx\nhttpx-sse==0.1\n"),
        ("requirements.txt", "httpx>=0.20\n"),
        ("requirements.txt", "httpx>=0.24,<0.25\n"),
        ("requirements.txt", "httpx==0.27.0\n"),
        ("requirements.txt", "httpx>0.20,<1; python_version > '3.8'\n"),
        ("uv.lock", '[[package]]\nname = "httpx"\nversion = "0.27.0"\n'),
        ("uv.lock", '[[package]]\nname = "httpx2"\nversion = "0.1.0"\n'),
        ("pyproject.toml", '[tool.poetry.dependencies]\nhttpx = "^0.24"\n'),
    ],
)
def test_an_httpx_that_can(name, text):
    """
    Where a newer version may be installed, none is blamed.
    """
    assert not any("httpx" in one for one in found_in({name: text}))


@pytest.mark.parametrize(
    "text",
    [
        "apt-get install -y chromium-driver",
        "apt install -y firefox-esr=128.0-1",
        "apt-get install -y postgresql-client-17",
        "apt-get install -y php8.4-xml",
        "apt-get install -y libpython3.13-dev",
        "apt-get install -y openjdk-24-jdk",
        "apt-get install -y ruby3.3-dev",
        "su postgres -c '/usr/lib/postgresql/17/bin/initdb /tmp/db'",
    ],
)
def test_packages_that_ubuntu_does_not_have(text):
    """
    By their names, or by the versions in them; or a folder of such a package.
    """
    assert "error apt-package 2" in found_by_setup(text)


@pytest.mark.parametrize(
    "text",
    [
        "apt-get install -y postgresql redis-server openjdk-17-jdk postgresql-16 php8.3-cli",
        "apt-get install -y python3-dev libpython3-dev ruby-dev python3.12-venv python3-venv phpunit libicu-dev",
        "apt-get install -y chromium || npx playwright install --with-deps chromium",
        "add-apt-repository -y ppa:ondrej/php && apt-get install -y php8.4-cli",
        "apt-get remove -y chromium",
        "pip install chromium",
        "ls /usr/lib/postgresql/16/bin",
    ],
)
def test_packages_that_ubuntu_has(text):
    """
    A script that has another way, or another source, knows.
    """
    assert not [one for one in found_by_setup(text) if "apt-package" in one]


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("apt-get install -y git python3-numpy python3-dev", "python3-numpy: for the system's Python"),
        ("apt install -y ruby-rspec=3.13\napt-get install rake ruby-nokogiri", "ruby-rspec=3.13, ruby-nokogiri"),
        ("apt-get install -y php-mbstring php8.3-xml php-cli", "php-mbstring, php8.3-xml: for the"),
    ],
)  # fmt: skip
def test_libraries_of_an_interpreter_that_does_not_run(text, what):
    """
    They are for the system's one, and Codex selects another. `slim` has no other.
    """
    found = [one for one in findings_in({SETUP: f"set -e\n{text}\n"}) if one.id == "apt-package"]

    assert ["warning"] == [one.level for one in found]
    assert found[0].what.startswith(what)
    assert 2 == found[0].line


@pytest.mark.parametrize(
    "text",
    [
        "apt-get install -y python3-numpy || pip install numpy",
        "apt-get install -y python3-numpy\n/usr/bin/python3 -m pytest",
        "apt-get install -y ruby-rspec && /usr/bin/ruby -S rspec",
        "apt-get install -y rubygems python3-dev php-dev ruby-bundler python3-sphinx-doc",
    ],
)
def test_libraries_that_are_found(text):
    """
    The script runs the interpreter of the system, or has another way; or it is no library.
    """
    assert not [one for one in found_by_setup(text) if "apt-package" in one]

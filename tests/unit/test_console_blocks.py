"""The commands in the documentation are ones that exist, and print what the pages say."""

from __future__ import annotations

import re
import runpy
import shlex
import tomllib
from collections.abc import Mapping
from pathlib import Path

import pytest

from pytest_codex_workspace.cli.exec_ import split_arguments
from pytest_codex_workspace.cli.main import command_parser, main
from pytest_codex_workspace.options.table import OPTIONS

from ..helpers.console_blocks import ROOT, commands_of, every_page, matches
from ..helpers.distributions import add_distribution
from ..helpers.repositories import Repository, host_environment
from ..helpers.story import CHECK_OF_ONES_OWN, steps

DOCS = ROOT / "docs"
COMMANDS = [one for page in every_page() for one in commands_of(page)]


def block_with(page: Path, text: str) -> str:
    """
    Return the block of *page* that has *text*.
    """
    blocks = re.findall(r"^```\w*\n(.*?)^```$", page.read_text(), re.MULTILINE | re.DOTALL)
    (found,) = [one for one in blocks if text in one]
    return found


REPOSITORIES = {
    "README": {
        "codex-workspace-scripts/setup-script.sh": (
            "#!/usr/bin/env bash\nset -euo pipefail\nnpm ci\nnpx jest --changedSince=origin/main\n"
        ),
    },
    "checks": {
        "codex-workspace-scripts/setup-script.sh": (
            "#!/usr/bin/env bash\nset -euo pipefail\n\ngit diff origin/main\n"
        ),
        "pyproject.toml": (
            '[build-system]\nrequires = ["hatch-vcs"]\n[tool.hatch.version]\nsource = "vcs"\n'
        ),
        ".codex-workspace.yaml": block_with(DOCS / "checks.md", "git-tags: we do not"),
    },
    "configuration": {
        ".codex-workspace.yaml": (
            "image: slim\nenv: {FLAVOUR: vanilla}\nruntimes: {node: 22}\n"
            "network: {tests: offline}\n\nsecrets: [NPM_TOKEN]\n"
        )
    },
    "init": {
        "requirements.txt": "pytest\n",
        "tests/test_it.py": "import pytest\n",
        "frontend/package.json": "{}\n",
        "frontend/package-lock.json": '{"lockfileVersion": 3, "packages": {}}\n',
        ".nvmrc": "22\n",
        ".github/workflows/ci.yml": """\
jobs:
  test:
    runs-on: ubuntu-24.04
    steps:
      - run: sudo apt-get install -y libpq-dev
""",
        "compose.yaml": "services:\n  db:\n    image: postgres\n",
    },
    "network": {"policy.yaml": block_with(DOCS / "network.md", "name: our-policy")},
    "profiles": {"README": "hello\n"},
}
"""What the pages take for granted, by their names."""

_NEEDS_MORE = re.compile(
    r"policy suggest|cache |check --image=slim$|--json|--schema|run --setup-script|"
    r"\bpytest\b|pbpaste"
)
"""Commands that need an engine, or print what nobody compares."""


@pytest.fixture
def reader(tmp_path, monkeypatch):
    """
    Return a function that puts a reader into a repository with the files that it is given.
    """

    def enter(files: Mapping[str, str]) -> Path:
        environment = host_environment(tmp_path / "home")
        for variable, value in environment.items():
            monkeypatch.setenv(variable, value)
        # A reader is not in CI, where trust is given otherwise.
        monkeypatch.delenv("CI", raising=False)
        where = tmp_path / "app"
        Repository(where, environment).commit(files)
        monkeypatch.chdir(where)
        return where

    return enter


@pytest.mark.parametrize("command", COMMANDS, ids=str)
def test_a_command_can_be_typed(command):
    """
    Each command and each option in a page exists.
    """
    words = shlex.split(re.sub(r"\$\(.*?\)", "X", command.text))
    while words and re.fullmatch(r"\w+=.*", words[0]):
        words.pop(0)
    ends = [at for at, word in enumerate(words) if re.match(r"[|>&<;]|2>", word)]
    words = words[: min([*ends, len(words)])]
    if words[:1] == ["codex-workspace"]:
        given, _ = split_arguments([one for one in words[1:] if one != "..."])
        command_parser(given[0]).parse_args(given)
    names = {f"--codex-{one.name}" for one in OPTIONS}
    assert [] == [
        word for word in words if word.startswith("--codex-") and word.split("=")[0] not in names
    ]


def test_the_page_of_the_command_names_each():
    """
    Those of the reference, which is made from the parser.
    """
    reference = (DOCS / "reference/commands.md").read_text()
    page = (DOCS / "command.md").read_text()
    names = re.findall(r"^## `codex-workspace (\S+)`$", reference, re.MULTILINE)

    assert len(names) > 15
    assert [one for one in names if f"codex-workspace {one}" not in page] == []


@pytest.mark.needs_git
@pytest.mark.parametrize("name", REPOSITORIES)
def test_a_command_prints_what_the_page_shows(name, reader, monkeypatch, capsys):
    """
    Without an engine, in the repository of the page. Its place is /home/me/app in the pages.
    """
    where = reader(REPOSITORIES[name])
    compared = 0
    (page,) = [one for one in every_page() if one.stem == name]
    for command in commands_of(page):
        words = shlex.split(command.text)
        if words[0] == "export":
            monkeypatch.setenv(*words[1].split("=", 1))
        elif words[0] == "codex-workspace" and not _NEEDS_MORE.search(command.text):
            main(words[1:])
            printed = "".join(capsys.readouterr()).replace(str(where), "/home/me/app")
            assert matches(command.shown, printed), f"{command}: {command.text}\n{printed}"
            compared += 1

    assert compared


@pytest.mark.needs_git
def test_a_check_of_ones_own_finds_what_the_page_shows(reader, tmp_path, monkeypatch, capsys):
    """
    With the two files of the page, as pip installs them; and its tests pass.
    """
    commands = list(steps(CHECK_OF_ONES_OWN, tmp_path))
    project = tomllib.loads((tmp_path / "pyproject.toml").read_text())["project"]
    ((group, entries),) = project["entry-points"].items()
    module = (tmp_path / "acme_check.py").read_text()
    add_distribution(tmp_path / "site", project["name"], group, entries, module)
    monkeypatch.syspath_prepend(tmp_path / "site")
    reader({"Makefile": "tools:\n\tsudo true\n"})

    tests = runpy.run_path(str(tmp_path / "test_acme_check.py"))
    passed = [test() for name, test in tests.items() if name.startswith("test_")]
    assert 3 == len(passed)
    (command,) = [one for one in commands if one.text.startswith("codex-workspace")]
    main(shlex.split(command.text)[1:])

    printed = "".join(capsys.readouterr())
    assert matches(command.shown, printed), printed


@pytest.mark.parametrize(
    ("shown", "printed", "same"),
    [
        ("took 3.1 s at 31830e8bcee5\n", "took 12 s at a1efa963eb01\n", True),
        ("took 3.1 s\n", "takes 3.1 s\n", False),
        ("a\n...\nc\n", "a\nb\nb\nc\n", True),
        ("a\nc\n", "a\nb\nc\n", False),
        ("a\n", "codex: starting the proxy: 4 s so far\na\n", True),
        ("...\nending\n", "first\nend\n", False),
        ("in /home/me/shop\n", "in /tmp/x/shop\n", True),
    ],
)
def test_times_and_places_may_differ(shown, printed, same):
    """
    Nothing else.
    """
    assert matches(shown, printed) is same

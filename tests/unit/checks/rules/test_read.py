"""Whole repositories: the clean one, those with one fault each, and a large one."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys

import pytest

from pytest_codex_workspace.checks.finding import READ, Finding
from pytest_codex_workspace.checks.repository import Choices
from pytest_codex_workspace.checks.rules.read import (
    arranged,
    load_check,
    read_added,
    read_repository,
)
from pytest_codex_workspace.codex import SETUP
from pytest_codex_workspace.errors import PluginError, ProjectionError
from pytest_codex_workspace.extensions import CHECK_GROUP, find_extension

from ....broken.reads import BROKEN, CLEAN
from ....helpers.checking import findings_in
from ....helpers.distributions import add_distribution
from ....helpers.repositories import Repository, host_environment

pytestmark = [pytest.mark.needs_bash, pytest.mark.needs_git]


def seen(findings):
    return tuple(f"{one.level} {one.id} {one.where}" for one in findings)


@pytest.fixture(scope="module")
def repository(tmp_path_factory):
    """
    A repository with a branch for each of the broken ones that git is asked about, made by one call.
    """
    path = tmp_path_factory.mktemp("broken")
    repo = Repository(path / "shop", host_environment(path / "home"))
    lines = [*branch("main", CLEAN)]
    for one in BROKEN:
        lines += branch(one.name, files_of(one)) if asks_git(one) else []
    subprocess.run(
        ["git", "fast-import", "--quiet"],
        cwd=repo.path,
        env=repo.env,
        input=b"".join(lines),
        check=True,
    )
    repo.git("reset", "--quiet", "--hard")
    return repo


def files_of(broken):
    return {name: text for name, text in {**CLEAN, **broken.files}.items() if text is not None}


def asks_git(broken):
    """
    Whether the fault is found by git or bash. The others are read from memory, which is fast.
    """
    return {"git-submodule", "script-missing", "script-syntax"} & {
        one.split()[1] for one in broken.found
    }


def branch(name, files):
    yield f"commit refs/heads/{name}\ncommitter A <a@example.org> 1700000000 +0000\n".encode()
    yield b"data 1\nm\n"
    for path, text in files.items():
        mode = "100755" if path.startswith("+") else "100644"
        data = text.encode()
        yield (
            f"M {mode} inline {path.removeprefix('+')}\ndata {len(data)}\n".encode() + data + b"\n"
        )


def test_a_clean_repository_has_no_findings(repository):
    """
    Comments, strings, here-documents, documents and release scripts are no commands of setup.
    """
    assert () == seen(read_repository(repository.path, "HEAD", repository.env, Choices()))


@pytest.mark.parametrize("broken", BROKEN, ids=lambda one: one.name)
def test_each_fault_has_its_finding(repository, broken):
    """
    The fault is found where it is, and nothing else is.
    """
    if asks_git(broken):
        findings = read_repository(repository.path, broken.name, repository.env, Choices())
    else:
        findings = findings_in(files_of(broken))

    assert broken.found == seen(findings)
    for one in findings:
        assert all((one.what, one.in_codex, one.remedy))
        assert not one.what.endswith(".")
        assert one.in_codex.endswith(".")
        assert one.remedy.endswith((".", ")"))


def test_each_id_has_a_broken_repository():
    """
    An id that no table shows is in tests of its own.
    """
    shown = {one.split()[1] for broken in BROKEN for one in broken.found}

    elsewhere = {"git-history", "git-uncommitted", "not-read", "runtime-differs"}
    assert elsewhere == {one.id for one in READ} - shown


def test_no_repository(tmp_path):
    """
    What cannot be read is an error of the projection.
    """
    with pytest.raises(ProjectionError, match="not in a git repository"):
        read_repository(tmp_path, "HEAD", host_environment(tmp_path / "home"), Choices())


def test_files_that_are_not_read():
    """
    What is in them is not known, and the finding says so.
    """
    found = findings_in({"package.json": " " * (5 << 20), "README.md": " " * (5 << 20)})

    assert ["note not-read package.json"] == list(seen(found))


def test_findings_are_in_order_and_bounded():
    """
    The worst are first, each is there once, and a hundred of one kind are one problem.
    """
    many = [Finding.of("docker", "w", "c", "r", path="a", line=n) for n in range(1, 200)]
    note = Finding.of("docker", "w", "c", "r", level="note")

    found = arranged([note, *many, *many])

    assert 1 == found[0].line
    assert 20 == len(found)
    assert "(and 180 more findings of this id)" in found[-1].what


def test_many_files_cost_few_calls_of_git(tmp_path):
    """
    Files are listed by one call, and read in groups.
    """
    git = shutil.which("git")
    count = tmp_path / "count"
    (tmp_path / "bin").mkdir()
    counting = tmp_path / "bin" / "git"
    counting.write_text(f'#!/bin/sh\necho >>{count}\nexec {git} "$@"\n')
    counting.chmod(0o755)
    repo = Repository(tmp_path / "shop", host_environment(tmp_path / "home"))
    names = ("package.json", "pyproject.toml", "requirements.txt", "a.csproj", "Cargo.toml")
    repo.commit({f"{number}/{name}": f"{number}\n" for number in range(60) for name in names})

    environ = {**repo.env, "PATH": f"{counting.parent}:{repo.env['PATH']}"}
    read_repository(repo.path, "HEAD", environ, Choices())

    assert len(count.read_text()) < 40


@pytest.mark.slow
@pytest.mark.parametrize(
    ("path", "text"),
    [
        (SETUP, f"true;{' ' * 200_000}x\ncurl -s https://a.b/c | tar x\n"),
        (SETUP, f"set -{'e' * 200_000}_\ncurl -s https://a.b/c | tar x\n"),
        (SETUP, f"export PATH={'GOPATH' * 40_000}\n"),
        (SETUP, f"bash {'Miniforge' * 25_000}\n"),
        (SETUP, f"git config {'url.https://' * 10_000} {'url.ssh:' * 10_000}\n"),
        (SETUP, f"echo '{'apt curl install ' * 12_000}'\n"),
        ("build.rs", "git " + "-git " * 100_000),
        ("Gemfile", f"ruby{' ' * 300_000}x"),
        ("justfile", f"test:\n    {'{{' * 1_900}\n" + f"    {'{{' * 1_900}\n" * 500),
    ],
)
def test_repetitions_take_linear_time(path, text):
    """
    No pattern begins anew at each of them: that would take minutes.
    """
    others = {"package.json": '{"dependencies": {"puppeteer": "1"}}', ".npmrc": "", "a.lock": ""}

    findings_in({**others, "pom.xml": "<project/>", path: text})


ADDED = """
from pytest_codex_workspace import Check, Finding

def find(tree):
    {body}

CHECK = Check("acme.todo", "warning", "Something is left to do", find)
"""

EACH_FILE = """
    for path, text in tree.texts(tree.suffixed(".txt")):
        for number, line in enumerate(text.splitlines(), 1):
            if "TODO" in line:
                yield CHECK.finding(line, "Nothing.", "Do it.", path=path, line=number)
"""


@pytest.fixture
def add_check(tmp_path, monkeypatch):
    """
    Return a function that adds a check, whose function has a body.
    """
    monkeypatch.syspath_prepend(tmp_path)

    def add(body: str, name: str = "acme.todo", target: str = "CHECK") -> None:
        monkeypatch.delitem(sys.modules, "ext_check", raising=False)
        module = ADDED.format(body=body)
        add_distribution(tmp_path, "ext-check", CHECK_GROUP, {name: f"ext_check:{target}"}, module)

    return add


def with_todos(folder, count=1):
    repo = Repository(folder / "shop", host_environment(folder / "home"))
    repo.commit({"a.txt": "fine\n" + "TODO\n" * count, "b.bin": "TODO\n"})
    return repo.path


def test_nothing_is_read_without_checks_of_others(tmp_path):
    """
    Not even the repository, which is not there.
    """
    assert [] == list(read_added(tmp_path / "none", "HEAD", os.environ))


def test_a_check_of_another_distribution(tmp_path, add_check):
    """
    It sees the commit, and its findings are bounded like ours.
    """
    add_check(EACH_FILE)

    found = list(read_added(with_todos(tmp_path, count=30), "HEAD", os.environ))

    assert ("warning acme.todo a.txt:2", "warning acme.todo a.txt:3") == seen(found[:2])
    assert 20 == len(found)
    assert "TODO (and 10 more findings of this id)" == found[-1].what
    assert "Something is left to do" == found[0].title


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ("raise ValueError('no\\x1b[2J idea')", "raised ValueError: no idea (FILE:5)"),
        ("raise SystemExit(0)", "raised SystemExit: 0 (FILE:5)"),
        ("raise GeneratorExit", "raised GeneratorExit (FILE:5)"),
        ("import asyncio; raise asyncio.CancelledError", "raised CancelledError (FILE:5)"),
        ("import pytest; pytest.exit('over')", "raised Exit: over (FILE:5)"),
        ("import pytest; pytest.fail('no')", "raised Failed: no (FILE:5)"),
        ("raise type('Mute', (Exception,), {'__str__': None})", "raised Mute (FILE:5)"),
        ("return 3", "raised TypeError: 'int' object is not iterable"),
        ("return None", "returned None, expected findings: yield them, or return a list"),
        ("return ['a']", "yielded str, expected Finding: use the method `finding` of the check"),
        ("yield 'text'", "yielded str, expected Finding: use the method `finding` of the check ("),
        ("yield 'text'", "of the check (FILE:5)"),
        (
            "yield Finding('docker', 'error', 'a', 'b', 'c')",
            "yielded a finding with the id 'docker', expected 'acme.todo' (FILE:5)",
        ),
        (
            "yield CHECK.finding('a', 'b', 'c', level='fatal')",
            "of the level 'fatal', expected one of error, warning, note (FILE:5)",
        ),
        ("yield CHECK.finding(None, 'b', 'c')", "raised TypeError: "),
        (
            "yield Finding('acme.todo', 'error', 'a', 3, 'c')",
            "yielded a finding whose in_codex is int, expected str (FILE:5)",
        ),
        (
            "import pathlib; yield CHECK.finding('a', 'b', 'c', path=pathlib.PurePosixPath('d'))",
            "a finding whose path is PurePosixPath, expected str, from the top of the repository",
        ),
        ("yield CHECK.finding('a', 'b', 'c', path='d', line='1')", "with the line '1', expected"),
        ("yield CHECK.finding('a', 'b', 'c', path='d', line=True)", "with the line True, expected"),
        (
            "yield CHECK.finding('a', 'b', 'c', path='d', line=0)",
            "yielded a finding with the line 0, expected a number from 1, or None (FILE:5)",
        ),
    ],
)
def test_a_check_that_fails_is_named(tmp_path, add_check, body, said):
    """
    With its distribution, what was expected, and the line of its code; without a traceback.
    """
    add_check(body)
    repo = with_todos(tmp_path)

    with pytest.raises(PluginError) as info:
        list(read_added(repo, "HEAD", os.environ))
    assert str(info.value).startswith("the check acme.todo of ext-check 1.0 ")
    assert said.replace("FILE", str(tmp_path / "ext_check.py")) in str(info.value)
    assert "If it is yours, mend it" in str(info.value)
    assert "\x1b" not in str(info.value)


def test_ctrl_c_is_no_failure_of_a_check(tmp_path, add_check):
    """
    It ends the run, as everywhere.
    """
    add_check("raise KeyboardInterrupt")

    with pytest.raises(KeyboardInterrupt):
        list(read_added(with_todos(tmp_path), "HEAD", os.environ))


def test_the_findings_of_the_other_checks_come_before_the_failures(tmp_path, add_check):
    """
    Each check that fails is told.
    """
    add_check(EACH_FILE)
    for name in ("ext-a", "ext-b"):
        module = f"raise OSError('{name} is broken')"
        target = f"{name.replace('-', '_')}:CHECK"
        add_distribution(tmp_path, name, CHECK_GROUP, {name.replace("-", "."): target}, module)
    found = []

    with pytest.raises(PluginError) as info:
        found.extend(read_added(with_todos(tmp_path), "HEAD", os.environ))
    assert ("warning acme.todo a.txt:2",) == seen(found)
    assert "OSError: ext-a is broken" in str(info.value)
    assert "OSError: ext-b is broken" in str(info.value)


def test_what_a_check_prints_goes_to_standard_error(tmp_path, add_check, capsys):
    """
    Standard output is for results.
    """
    add_check("print('looking'); return []")

    list(read_added(with_todos(tmp_path), "HEAD", os.environ))
    print("a result")  # noqa: T201

    assert ("a result\n", "looking\n") == tuple(capsys.readouterr())


def test_the_log_has_the_traceback_of_a_check_that_fails(tmp_path, add_check, caplog):
    """
    For its author: the message has one line of it.
    """
    add_check("raise OSError('broken')")
    caplog.set_level("DEBUG", "pytest_codex_workspace")

    with pytest.raises(PluginError):
        list(read_added(with_todos(tmp_path), "HEAD", os.environ))
    assert "Traceback (most recent call last)" in caplog.text
    assert "ext_check.py" in caplog.text


@pytest.mark.parametrize(
    ("name", "target", "said"),
    [
        ("acme.todo", "find", "is of the type function, and not a Check"),
        ("todo", "CHECK", "needs a name such as acme.pinned-image: a prefix, a dot, a name"),
        ("acme.other", "CHECK", "has the id 'acme.todo' and the level 'warning': the id must be"),
    ],
)
def test_what_is_no_check_is_refused(add_check, name, target, said):
    """
    Ours have no dot in their names, so there is no clash in the future.
    """
    add_check("return []", name, target)

    extension = find_extension(CHECK_GROUP, name)

    assert extension is not None
    with pytest.raises(PluginError, match=f"the check {name} of ext-check 1.0 {said}"):
        load_check(extension)

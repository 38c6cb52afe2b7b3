"""Whole repositories: the clean one, those with one fault each, and a large one."""

from __future__ import annotations

import shutil
import subprocess

import pytest

from pytest_codex_workspace.checks.finding import READ, Finding
from pytest_codex_workspace.checks.repository import Choices
from pytest_codex_workspace.checks.rules.read import arranged, read_repository
from pytest_codex_workspace.codex import SETUP
from pytest_codex_workspace.errors import ProjectionError

from ....broken.reads import BROKEN, CLEAN
from ....helpers.checking import findings_in
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

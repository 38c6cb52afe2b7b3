"""Commands that need remotes, branches and an identity."""

from __future__ import annotations

import pytest

from ....helpers.checking import findings_in, found_by_setup, found_in


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("git merge-base HEAD origin/main", 2),
        ("\nnx affected --base=origin/main", 3),
        ("git -c a=b fetch --tags", 2),
        ("B=$(git log upstream/main..HEAD)", 2),
        ("git lfs pull", 2),
        ("git submodule update --init --remote", 2),
        ("if true; then\n  git pull --rebase\nfi", 3),
        ("diff-cover coverage.xml --compare-branch origin/main", 2),
        ("git diff refs/remotes/origin/main", 2),
        ("git push origin HEAD", 2),
        ("git ls-remote --heads", 2),
        ("turbo run test --filter=...[origin/main]", 2),
        ("git fetch origin main || exit 1", 2),
        ("git -C . fetch origin", 2),
        ("git -C ./ -c a=b pull", 2),
        ('git -C "$PWD" fetch', 2),
        ("git --git-dir=.git --work-tree . fetch", 2),
        ("git --git-dir .git fetch", 2),
        ("git --namespace a fetch", 2),
        ("git --no-pager -p fetch", 2),
        ("URL=$(git remote get-url origin)", 2),
        ('cd sub && git rev-parse "origin/$BRANCH"', 2),
    ],
)
def test_a_script_that_needs_a_remote(text, line):
    """
    The finding has the line of the command.
    """
    assert [f"error git-remote {line}"] == found_by_setup(text)


@pytest.mark.parametrize(
    "text",
    [
        "git fetch https://example.org/x HEAD",
        "git remote add origin https://x\ngit fetch origin",
        "git -C /opt/tool pull",
        "git -C sub pull",
        "git --git-dir=/opt/tool/.git fetch",
        "git --work-tree /opt/tool fetch",
        "curl https://x/origin/main",
        "cd src/origin/main",
        "git lfs install",
        "git submodule update --init",
        "git status # origin/main",
        "git fetch --tags || true",
        "if git fetch origin; then echo yes; fi",
        "echo 'compare with origin/main'",
        "echo origin/main",
        "cat <<X\ngit fetch\nX",
        "cp my-origin/config .",
    ],
)
def test_a_script_that_needs_no_remote(text):
    """
    An address, another repository, a path, a text, or a failure that is expected.
    """
    assert [] == found_by_setup(text)


@pytest.mark.parametrize(
    ("name", "text", "line"),
    [
        ("nx.json", '{\n  "affected": {"defaultBase": "origin/main"}\n}', 2),
        ("pyproject.toml", '[tool.diff_cover]\ncompare_branch = "origin/main"\n', 2),
        (
            "tox.ini",
            "[testenv]\ncommands =\n    pytest\n    diff-cover --compare-branch=origin/x\n",
            4,
        ),
        ("Makefile", "test: lint\n\tpytest\nlint:\n\t@git diff origin/main\n", 4),
        (
            "package.json",
            '{"scripts": {\n"test": "npm run lint",\n"lint": "git diff origin/x"}}',
            3,
        ),
        ("package.json", '{"scripts": {\n"postinstall": "git fetch"}}', 2),
        ("justfile", "test: x\n    @git diff origin/main\nother:\n    git pull\n", 2),
        ("pyproject.toml", '[tool.poe.tasks]\ntest = "git diff origin/main"\n', 2),
        ("pyproject.toml", '[tool.pdm.scripts]\ntest = {cmd = "git diff origin/x"}\n', 2),
        ("pyproject.toml", '[tool.hatch.envs.default.scripts]\ntest = ["a",\n"git fetch"]\n', 3),
        ("composer.json", '{"scripts": {\n"test": ["phpunit",\n"git fetch"]}}', 3),
    ],
)
def test_test_commands_and_options_that_need_a_remote(name, text, line):
    """
    The usual files say how a project is tested.
    """
    assert [f"error git-remote {name}:{line}"] == found_in({name: text})[:1]


def test_other_targets_and_scripts_do_not_count():
    """
    A release is made elsewhere.
    """
    files = {
        "Makefile": "release:\n\tgit push origin main\n",
        "package.json": '{"scripts": {"release": "git push origin main"}}',
        "tools/release.sh": "git push origin main\n",
    }

    assert [] == found_in(files)


def test_a_configured_test_command():
    """
    It is looked at like a script, with the file that names it.
    """
    for command in ("git diff origin/main | pytest -", "git fetch"):
        found = found_in({}, test_command=command)
        assert ["error git-remote .codex-workspace.yaml"] == found


def test_scripts_that_are_called():
    """
    A script of a script is one of setup, too, each once.
    """
    files = {
        "tools/a.sh": "#!/bin/sh\n. tools/b.sh\n",
        "tools/b.sh": "git fetch\nbash tools/a.sh\n",
        "+c": "#!/usr/bin/env bash\n\ngit pull\n",
        "+d": "#!/usr/bin/env python3\ngit pull\n",
    }

    found = found_by_setup("bash tools/a.sh\n./c\n./d\n", files)

    assert ["error git-remote c:3", "error git-remote tools/b.sh:1"] == found


@pytest.mark.parametrize(
    "text",
    [
        "git checkout main",
        "git switch develop",
        "git diff --name-only main...HEAD",
        "git rebase master",
        "git log main..HEAD",
        "git merge-base main HEAD",
        "npx nx affected --base=main",
        "jest --changedSince=main",
        "git show main:package.json",
    ],
)
def test_a_branch_that_is_not_there(text):
    """
    The only branch is `work`.
    """
    assert ["error git-branch 3"] == found_by_setup(f"git config user.email a@b.example\n{text}")


@pytest.mark.parametrize(
    "text",
    [
        "git checkout -b main",
        "git checkout -- main",
        "git clone https://example.org/x && cd x && git checkout main",
        "git init -b main x",
        "git log --oneline",
        "python main.py main",
        "git branch main",
        "git rev-parse --verify main && git diff main",
        "git diff HEAD~1 -- main",
        "./tool --base=main-2",
    ],
)
def test_a_branch_that_is_made_or_none(text):
    """
    Another repository, a new branch, a path.
    """
    assert [] == found_by_setup(text)


@pytest.mark.parametrize(
    "text",
    [
        "git commit -m x",
        "git tag -a v1 -m x",
        "git stash",
        "git cherry-pick HEAD",
        "git am x.patch",
    ],
)
def test_commits_without_an_identity(text):
    """
    Git asks who you are.
    """
    assert ["error git-identity 2"] == found_by_setup(text)


@pytest.mark.parametrize(
    "text",
    [
        "git config --global user.email a@example.org\ngit commit -m x",
        "git -c user.email=a@example.org -c user.name=a commit -m x",
        "GIT_AUTHOR_NAME=a GIT_COMMITTER_EMAIL=b git commit -m x",
        "git tag v1",
        "git merge --ff-only HEAD",
        "git stash list",
        "git commit -m x || true",
    ],
)
def test_commits_with_an_identity(text):
    """
    It is set, or not needed.
    """
    assert not any("git-identity" in one for one in found_by_setup(text))


def test_the_text_names_what_needs_the_remote():
    """
    With what to do.
    """
    found = findings_in({"tox.ini": "[testenv]\ncommands = git diff origin/main\n"})

    assert "origin/main needs a remote" in found[0].what
    assert "HEAD~1" in found[0].remedy
    assert "`work`" in found[0].in_codex


@pytest.mark.parametrize(
    ("command", "remedy"),
    [
        ("git -C . fetch origin", "`git fetch ... || true`"),
        ("git push origin HEAD", "Delete the line"),
        ("git submodule update --remote", "`git submodule update --remote ... || true`"),
        ("git lfs pull", "over HTTPS"),
        ("git diff origin/main", "HEAD~1"),
    ],
)
def test_the_remedy_is_that_of_the_command(command, remedy):
    """
    What only fetches has nothing to compare.
    """
    (found,) = findings_in({"tox.ini": f"[testenv]\ncommands = {command}\n"})

    assert remedy in found.remedy


@pytest.mark.parametrize(
    ("command", "takes"),
    [
        ("git fetch origin", True),
        ("git ls-remote origin", True),
        ("git submodule update --remote", False),
        ("git remote get-url origin", False),
    ],
)
def test_an_address_is_advised_where_git_takes_one(command, takes):
    """
    A submodule has its address already, and the address of an address is none.
    """
    (found,) = findings_in({"tox.ini": f"[testenv]\ncommands = {command}\n"})

    assert takes == ("name an address with https://" in found.remedy)

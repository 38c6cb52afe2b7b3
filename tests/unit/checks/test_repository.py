"""What the rules look at."""

from __future__ import annotations

from pytest_codex_workspace.checks.repository import CheckedRepository, Choices
from pytest_codex_workspace.codex import RUNTIMES, SETUP

from ...fakes.trees import memory_tree


def test_variables_that_are_set():
    """
    By the user, or by a script; a name stands for those that begin with it.
    """
    repo = CheckedRepository(memory_tree({SETUP: "export A_B=1\n# C\n"}), Choices({"D_E": "1"}))

    assert [True, True, False, False] == [repo.sets(one) for one in ("A", "D", "C", "X")]
    assert not repo.sets()


def test_commands_of_preparing_scripts():
    """
    A pattern is looked for in the words of a command, not in comments.
    """
    repo = CheckedRepository(memory_tree({SETUP: "apt-get  install -y 'x y'\n# pip install z\n"}))

    assert repo.prepares("install -y x")
    assert not repo.prepares("pip")


def test_versions():
    """
    Those of the user, or Codex's.
    """
    repo = CheckedRepository(memory_tree({}), Choices({"CODEX_ENV_NODE_VERSION": "22"}))

    assert ("22", RUNTIMES["GO"]) == (repo.version_of("NODE"), repo.version_of("GO"))

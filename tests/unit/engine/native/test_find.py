"""Where the engine of namespaces works."""

from __future__ import annotations

import pytest

from pytest_codex_workspace.engine.native.find import problem_of_machine


@pytest.mark.parametrize(
    ("facts", "words"),
    [
        ({"system": "Darwin"}, "needs Linux, and this is Darwin"),
        ({"machine": "riscv64"}, "no system calls of riscv64"),
        ({"release": "5.10.0-30-amd64"}, "needs Linux 5.14, and this is 5.10.0-30-amd64"),
        ({"user": 1000}, "needs root so far"),
    ],
)
def test_where_it_cannot_work_it_says_so(facts: dict[str, object], words: str):
    """
    In one line, with what to use instead.
    """
    usual = {"system": "Linux", "machine": "x86_64", "release": "6.12.0", "user": 0}

    problem = problem_of_machine(**{**usual, **facts})

    assert words in problem
    assert "Docker or Podman" in problem
    assert "\n" not in problem

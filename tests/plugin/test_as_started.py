"""Tests of the variables and the directory that tests were started with."""

from __future__ import annotations

import pytest

from ..conftest import init_repo

pytestmark = pytest.mark.needs_git


def test_what_a_fixture_sets_does_not_choose_the_engine(example):
    """
    Variables, the directory and the home are those with which the tests were started, also before
    the first workspace.
    """
    repo = init_repo(example.path / "repo", {"a": "1"})
    example.makeconftest(
        """
        import pytest, os
        @pytest.fixture(scope="session", autouse=True)
        def other(tmp_path_factory):
            with pytest.MonkeyPatch.context() as patch:
                patch.setenv("DOCKER_HOST", "unix:///other.sock")
                patch.setenv("PATH", "/nowhere")
                gone = tmp_path_factory.mktemp("gone")
                patch.chdir(gone)
                gone.rmdir()
                yield
        """
    )
    example.makepyfile("def test_a(): pass\ndef test_b(codex_workspace): pass")

    result = example.runpytest(f"--codex-repo={repo}", "-p", "no:randomly")

    result.assert_outcomes(passed=1, errors=1)
    result.stdout.fnmatch_lines(["*no.sock*"])
    assert "other.sock" not in result.stdout.str()

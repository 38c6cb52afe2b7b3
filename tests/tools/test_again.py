"""Tests of the second run of tests that failed."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from again import main, may_run_again

ENGINE = "tests/integration/test_a.py::test_one"


@pytest.mark.parametrize(
    ("code", "failed", "again"),
    [
        (1, [ENGINE], True),
        (1, [ENGINE, "tests/contract/test_b.py::test_two[x/y]"], True),
        # A unit test has no engine to blame.
        (1, [ENGINE, "tests/unit/test_c.py::test_three"], False),
        # A file that cannot be collected.
        (1, ["tests/integration/test_a.py"], False),
        (1, [f"{ENGINE}{n}" for n in range(4)], False),
        (1, [], False),
        # Interrupted, or a wrong command.
        (2, [ENGINE], False),
        (4, [ENGINE], False),
    ],
)
def test_a_few_tests_with_an_engine_run_again(code: int, failed: list[str], again: bool) -> None:
    """
    Nothing else does: the first run has said all there is to say.
    """
    assert again is may_run_again(code, failed)


@pytest.mark.slow
@pytest.mark.parametrize("steady", [False, True])
def test_only_what_passes_the_second_time_is_forgiven(
    steady: bool,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    """
    The test is named, and a second failure keeps the exit code. Temporary files are where those of
    the first run were.
    """
    monkeypatch.chdir(tmp_path)
    test = tmp_path / "tests/integration/test_a.py"
    test.parent.mkdir(parents=True)
    test.write_text(f"def test_one(tmp_path):\n    assert {steady}\n")
    failed = tmp_path / "cache/v/cache/lastfailed"
    failed.parent.mkdir(parents=True)
    failed.write_text(json.dumps({ENGINE: True}))

    code = main(1, tmp_path / "cache", tmp_path / "temporary")

    out = capfd.readouterr().out
    if steady:
        assert code == 0
        assert out.endswith(f"failed once and then passed; find out why:\n  {ENGINE}\n")
    else:
        assert code == 1
        assert "find out why" not in out
    assert (tmp_path / "temporary/test_one0").is_dir()
    assert main(1, tmp_path / "none", tmp_path / "temporary") == 1

"""Which tests run on which engine: `tests/helpers/shares.py`."""

from __future__ import annotations

from pathlib import Path

from tests.helpers import shares

TESTS = Path(shares.__file__).parent.parent


def test_every_file_runs_somewhere_and_every_name_is_a_file():
    """
    Workspaces on one engine or on both, everything else on Docker's share alone.
    """
    where = {
        path: [one for one in shares.SHARES if shares.is_in_share(path, one)]
        for path in TESTS.rglob("test_*.py")
    }

    assert [] == [path for path, found in where.items() if not found]
    names = {path.stem.removeprefix("test_") for path in (TESTS / "integration").glob("test_*.py")}
    assert shares._DOCKER | shares._BOTH <= names
    for path, found in where.items():
        if path.parent.name != "integration":
            assert ["docker"] == found


def test_what_depends_on_no_engine_runs_on_the_cheaper_one():
    """
    Whatever the others of its file depend on.
    """
    for name in ("faults", "smoke", "profiles"):
        path = TESTS / f"integration/test_{name}.py"
        found = [one for one in shares.SHARES if shares.is_in_share(path, one, any_engine=True)]
        assert ["native"] == found

"""The page that `make engines` writes."""

from __future__ import annotations

from pathlib import Path

import pytest
from engines_page import (
    BEGIN,
    END,
    LIMITS_BEGIN,
    SUITES,
    Limit,
    Outcome,
    Result,
    outcomes_of,
    unexplained,
    updated,
    with_limits,
)

from pytest_codex_workspace.doctor.engine_limits import ENGINE_LIMITS

PAGE = f"before\n{BEGIN}\n{END}\nafter\n"
ORDER = ("old-docker", "new-docker", "new-podman")
NO_LIMITS = Limit("*-rootless", ("test_limits",), "There are no groups.")

REPORT = """\
<testsuites><testsuite>
  <testcase classname="tests.contract.test_contract" name="test_a[docker]" />
  <testcase classname="tests.contract.test_contract" name="test_b[docker]">
    <failure message="assert 1 == 2">long</failure>
  </testcase>
  <testcase classname="tests.integration.test_network" name="test_c">
    <error message="failed on setup">long</error>
  </testcase>
  <testcase classname="tests.integration.test_network.TestMore" name="test_d">
    <skipped message="no IPv6 | here&#10;at all" />
  </testcase>
  <testcase classname="tests.unit.test_codex" name="test_e" />
</testsuite></testsuites>
"""


def result(*outcomes: Outcome, version: str = "Docker 1") -> Result:
    """
    Return what a run has found.
    """
    return Result(version, "2026-01-02, abc", list(outcomes))


def row(page: str, name: str) -> dict[str, str]:
    """
    Return the cells of an engine by their columns.
    """
    head, line = (
        next(one for one in page.splitlines() if one.startswith(begin))
        for begin in ("| engine |", f"| `{name}` |")
    )
    cells = ([cell.strip() for cell in one.strip("|").split("|")] for one in (head, line))
    return dict(zip(*cells, strict=True))


def test_the_outcomes_are_those_of_the_report() -> None:
    """
    A failure and an error are both failed, the reason of a skip is one line, and other files do
    not count.
    """
    suites = {"tests.contract": "contract", "tests.integration.test_network": "network"}

    assert outcomes_of(REPORT, suites) == [
        Outcome("contract", "test_a[docker]", "passed"),
        Outcome("contract", "test_b[docker]", "failed"),
        Outcome("network", "test_c", "failed"),
        Outcome("network", "test_d", "skipped", "no IPv6 / here at all"),
    ]


def test_an_engine_has_a_row_with_counts() -> None:
    """
    What was not run is neither passed nor failed.
    """
    found = result(
        Outcome("contract", "test_a", "passed"),
        Outcome("contract", "test_b", "passed"),
        Outcome("contract", "test_c", "failed"),
        Outcome("handle", "test_d", "skipped", "no"),
    )

    page = updated(PAGE, ORDER, {"new-docker": found}, [])

    cells = row(page, "new-docker")
    assert cells["version"] == "Docker 1"
    assert cells["contract"] == "2 passed, 1 failed"
    assert cells["handle"] == "1 skipped"
    assert {cells[suite] for suite in SUITES if suite not in ("contract", "handle")} == {"–"}
    assert cells["run"] == "2026-01-02, abc"
    assert page.startswith("before\n")
    assert page.endswith("\nafter\n")


def test_rows_that_are_not_run_are_kept() -> None:
    """
    Their line and their explanations stay, in the order of the table.
    """
    failed = Outcome("smoke", "test_smoke", "failed")
    first = updated(PAGE, ORDER, {"new-podman": result(failed), "old-docker": result()}, [])

    second = updated(first, ORDER, {"new-docker": result(version="Docker 2")}, [])

    kept = [line for line in second.splitlines() if line in first.splitlines()]
    assert kept == first.splitlines()
    names = [line.split("`")[1] for line in second.splitlines() if line.startswith("| `")]
    assert names == list(ORDER)
    assert second.count("`new-podman`, smoke, 1 failed: not explained yet. (`test_smoke`)") == 1

    passed = Outcome("smoke", "test_smoke", "passed")
    third = updated(second, ORDER, {"new-podman": result(passed)}, [])
    assert "not explained" not in third
    assert "Everything passed." in third


def test_suites_that_are_not_run_are_kept() -> None:
    """
    With their explanations and the run that has found them, while the version is the same.
    """
    failed = Outcome("smoke", "test_smoke", "failed")
    first = updated(PAGE, ["x"], {"x": result(failed, Outcome("cache", "test_a", "passed"))}, [])
    later = Result("Docker 1", "2026-02-03, def", [Outcome("cache", "test_b", "failed")])
    again = Result("Docker 1", "2026-03-04, efg", [Outcome("smoke", "test_smoke", "passed")])
    newer = Result("Docker 2", "2026-03-04, efg", [Outcome("handle", "test_c", "passed")])

    second = updated(first, ["x"], {"x": later}, [])
    cells = row(second, "x")
    assert (cells["cache"], cells["smoke"], cells["handle"]) == ("1 failed", "1 failed", "–")
    assert cells["run"] == "2026-02-03, def: cache; 2026-01-02, abc: smoke"
    assert "- `x`, smoke, 1 failed" in second
    assert "- `x`, cache, 1 failed" in second

    third = updated(second, ["x"], {"x": again}, [])
    assert row(third, "x")["run"] == "2026-03-04, efg: smoke; 2026-02-03, def: cache"
    assert "- `x`, smoke" not in third
    assert third.count("- `x`, cache, 1 failed") == 1

    fourth = updated(third, ["x"], {"x": newer}, [])
    assert row(fourth, "x")["cache"] == row(fourth, "x")["smoke"] == "–"
    assert row(fourth, "x")["run"] == "2026-03-04, efg"
    assert "Everything passed." in fourth


def test_writing_twice_changes_nothing() -> None:
    """
    The page is the same after a run with the same results.
    """
    found = {name: result(Outcome("cache", "test_x", "failed")) for name in ORDER}
    page = updated(PAGE, ORDER, found, [])

    assert page == updated(page, ORDER, found, [])


@pytest.mark.parametrize(
    ("name", "test", "explained"),
    [
        ("sid-docker-rootless", "test_limits", True),
        ("sid-docker", "test_limits", False),
        ("sid-docker-rootless", "test_limits_of_others", False),
    ],
)
def test_a_known_limit_explains_a_failure(name: str, test: str, explained: bool) -> None:
    """
    It is for the named engines and tests only.
    """
    found = result(Outcome("contract", test, "failed"))

    page = updated(PAGE, [name], {name: found}, [NO_LIMITS])

    assert explained is (unexplained(name, found, [NO_LIMITS]) == [])
    assert explained is ("1 failed: There are no groups. (`" in page)
    assert explained is not ("not explained yet" in page)


def test_cases_of_a_test_are_named_once() -> None:
    """
    The count has all of them, and a long list is cut.
    """
    cases = [Outcome("contract", f"test_a[{number}]", "failed") for number in range(3)]
    many = [Outcome("network", f"test_{number}", "skipped", "No npm.") for number in range(10)]

    page = updated(PAGE, ["x"], {"x": result(*cases, *many)}, [])

    assert "- `x`, contract, 3 failed: not explained yet. (`test_a`)" in page
    assert "- `x`, network, 10 skipped: No npm. (`test_0`, " in page
    assert "`test_7` and 2 more)" in page


def test_an_engine_that_does_not_start_says_why() -> None:
    """
    It has a row without counts, and its old counts are gone.
    """
    before = updated(PAGE, ["x"], {"x": result(Outcome("cache", "test_a", "passed"))}, [])

    page = updated(before, ["x"], {"x": Result("not tried", "today", broken="no user")}, [])

    assert {row(page, "x")[suite] for suite in SUITES} == {"–"}
    assert "- `x`, everything: no user." in page


def test_the_document_has_the_limits_that_doctor_tells() -> None:
    """
    Each of them, in the words of doctor, and no other: `tools/engines --limits-only` writes them.
    """
    page = (Path(__file__).parents[2] / "docs/engines.md").read_text()

    assert page == with_limits(page, ENGINE_LIMITS)


def test_what_is_around_the_limits_is_kept() -> None:
    """
    Old limits are replaced.
    """
    page = with_limits(f"{LIMITS_BEGIN}\n- **Old**: it is slow.\n{END}\n{PAGE}", ENGINE_LIMITS[:1])

    first = ENGINE_LIMITS[0]
    line = f"- **{first.whose}**: {first.sentence}. (`{first.check}`)"
    assert page == f"{LIMITS_BEGIN}\n{line}\n{END}\n{PAGE}"

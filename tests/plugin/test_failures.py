"""Tests of what is added to the report of a test; tests/integration/test_reports.py has more."""

from __future__ import annotations

import traceback
from collections.abc import Callable
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest

from pytest_codex_workspace.errors import ConfigError
from pytest_codex_workspace.plugin.attempt import attempt_of
from pytest_codex_workspace.plugin.failures import (
    add_account,
    add_outcome,
    add_workspaces,
    cut_frames,
    network_properties,
)
from pytest_codex_workspace.plugin.run import COLLECTOR
from pytest_codex_workspace.secrets.secrets import Secrets
from pytest_codex_workspace.workspace.command_log import CommandLog

from ..unit.reports.test_section import blocked, workspace


@pytest.mark.parametrize(
    ("failed", "attempt", "expected"),
    [
        (False, {}, [("passed", "")]),
        (False, {"skipped": True}, [("skipped", "")]),
        (True, {"failed": True}, [("failed", "E: why")]),
        # Its end is reported after its failure, which has been added.
        (False, {"failed": True}, []),
    ],
)
def test_each_test_has_one_outcome(pytester, failed, attempt, expected):
    """
    With a failure comes what it says, without what is added to it.
    """
    added = []
    item = pytester.getitem("def test_func(): pass")
    collector = SimpleNamespace(test=lambda *fields: added.append((fields[1], fields[4])))
    item.config.stash[COLLECTOR] = collector
    vars(attempt_of(item)).update(attempt, workspaces=[(None, "")])

    crash = SimpleNamespace(message="E: why\nmore")
    add_outcome(item, SimpleNamespace(failed=failed, longrepr=SimpleNamespace(reprcrash=crash)))

    assert expected == added


@pytest.mark.parametrize("style", ["long", "short", "line", "native"])
def test_a_failure_shows_no_secret(pytester, monkeypatch, style):
    """
    Neither in the traceback with the values of arguments, nor in captured output, nor in JUnit.
    """
    monkeypatch.setattr("tests.plugin.test_failures.SECRETS", Secrets(["T"], {"T": "hunter2!"}))
    assert SECRETS.values
    pytester.makeconftest(
        """
        from types import SimpleNamespace
        import pytest
        from pytest_codex_workspace.plugin.run import SESSION
        from tests.plugin import test_failures

        @pytest.hookimpl(wrapper=True)
        def pytest_runtest_protocol(item):
            item.config.stash[SESSION] = SimpleNamespace(secrets=test_failures.SECRETS)
            yield
            del item.config.stash[SESSION]
            return True
        """
    )
    pytester.makepyfile(
        """
        from collections import namedtuple

        def test_it(record_property):
            value = "hun" + "ter2!"
            record_property("value", value)
            record_property("pair", namedtuple("Pair", "a b")(value, 1))
            print(value)
            def use(argument):
                raise RuntimeError(f"no {argument}") from ValueError(argument)
            use(value)
        """
    )

    result = pytester.runpytest(
        "--junitxml=j.xml", "-ojunit_family=xunit1", f"--tb={style}", "-rA", "--showlocals"
    )

    result.assert_outcomes(failed=1)
    assert "no ***" in result.stdout.str()
    for text in (result.stdout.str(), (pytester.path / "j.xml").read_text()):
        assert "hunter2!" not in text


SECRETS = Secrets()


def test_a_test_that_did_not_fail_has_the_account_as_output(pytester):
    """
    A failure has it in its text, once.
    """
    item = pytester.getitem("def test_func(): pass")
    add_account(item, workspace(CommandLog(), lambda: [blocked()]), "by hand")

    [(when, stream, text)] = item._report_sections
    assert (when, stream) == ("teardown", "stdout")
    assert "network: 1 request, 1 blocked or failed" in text

    own = ("Captured stdout teardown", "of the test")
    report = SimpleNamespace(failed=True, longrepr=None, sections=[own, (own[0], text)])
    attempt_of(item).workspaces.append((workspace(CommandLog()), "by hand"))
    add_workspaces(item, report, None)
    assert [title for title, _ in report.sections] == [own[0], "codex workspace"]

    attempt_of(item).failed = True
    add_account(item, workspace(CommandLog()), "by hand")
    assert len(item._report_sections) == 1


def test_the_network_of_a_test_is_in_its_properties():
    """
    Numbers, and what went wrong as far as something did.
    """
    allowed = replace(blocked(), verdict="allowed", reason=None, explanation="", status=200)
    many = [blocked(host=f"{n}.example") for n in range(9)]

    assert network_properties([]) == [("codex_requests", 0), ("codex_blocked", 0)]
    assert network_properties([allowed]) == [("codex_requests", 1), ("codex_blocked", 0)]
    found = dict(network_properties([allowed, *many]))
    assert (found["codex_requests"], found["codex_blocked"]) == (10, 9)
    assert found["codex_problems"].count("; ") == 5
    assert found["codex_problems"].endswith("; ... 4 more")


OURS = "pytest_codex_workspace.plugin.starter"


def modules_shown(error: BaseException, *modules: str) -> list[str]:
    """
    Return the modules whose frames are left of a call from one to the next, the last of which
    raises *error*.
    """

    def fail() -> None:
        raise error

    call: Callable[[], Any] = fail
    for name in reversed(modules):
        namespace: dict[str, Any] = {"__name__": name, "call": call}
        exec("def function(): call()", namespace)
        call = namespace["function"]
    with pytest.raises(type(error)):
        call()
    cut_frames(error)
    frames = [frame for frame, _ in traceback.walk_tb(error.__traceback__)]
    return [frame.f_globals["__name__"] for frame in frames if frame.f_globals.get("call")]


@pytest.mark.parametrize(
    ("modules", "left"),
    [
        (("test_a", OURS, "pytest_codex_workspace.session"), ["test_a"]),
        (("_pytest.python", "test_a", "helper", OURS), ["_pytest.python", "test_a", "helper"]),
        (("_pytest.fixtures", OURS, OURS), ["_pytest.fixtures", OURS]),
        (("pluggy._callers", OURS), ["pluggy._callers", OURS]),
        (("test_a", "pytest_codex_workspace_too"), ["test_a", "pytest_codex_workspace_too"]),
    ],
)
def test_a_traceback_ends_where_the_user_called_us(modules, left):
    """
    Of a fixture, its own frame is left. A package with a longer name is not ours.
    """
    assert left == modules_shown(ConfigError("invalid"), *modules)
    assert left == modules_shown(KeyboardInterrupt(), *modules)


def test_an_error_that_is_not_for_the_user_is_shown_whole():
    """
    It is a defect of this package, and has to be found.
    """
    assert ["test_a", OURS] == modules_shown(ZeroDivisionError(), "test_a", OURS)

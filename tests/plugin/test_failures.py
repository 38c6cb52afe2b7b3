"""Tests of what is added to the report of a test; tests/integration/test_reports.py has more."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from pytest_codex_workspace.plugin.attempt import attempt_of
from pytest_codex_workspace.plugin.failures import add_outcome
from pytest_codex_workspace.plugin.run import COLLECTOR
from pytest_codex_workspace.secrets.secrets import Secrets


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
        def test_it(record_property):
            value = "hun" + "ter2!"
            record_property("value", value)
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

"""What is told of a machine and a run."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from pytest_codex_workspace.debugging import facts
from pytest_codex_workspace.debugging.facts import (
    doctor_results,
    engine_facts,
    resolved_options,
    secrets_of,
    versions,
)
from pytest_codex_workspace.doctor.result import NamedResult, ok
from pytest_codex_workspace.engine.docker import find
from pytest_codex_workspace.errors import EngineUnavailable
from pytest_codex_workspace.options.config import Config
from pytest_codex_workspace.options.table import OPTIONS
from tests.fakes.engine import FakeEngine


def test_versions_of_what_a_bug_may_be_in():
    """
    What is not installed says so.
    """
    found = versions()

    assert {"pytest-codex-workspace", "pytest", "docker", "Python", "kernel", "platform"} <= {
        *found
    }
    assert all(found.values())


def test_the_engine_is_described(monkeypatch):
    """
    Without a password in its address; without an engine, by the reason.
    """
    monkeypatch.setattr(find, "find_engine", lambda *_: FakeEngine())
    assert {"url", "name", "version"} <= set(engine_facts("auto"))

    def fail(_):
        raise EngineUnavailable("none answers")

    monkeypatch.setattr(find, "find_engine", fail)
    assert {"problem": "none answers"} == engine_facts("auto")


def test_an_engine_that_fails_is_described_by_its_traceback(monkeypatch):
    """
    One of another distribution may raise anything, and that is what the report is for.
    """

    class Broken(FakeEngine):
        def version(self):
            raise KeyError("no such field")

    monkeypatch.setattr(find, "find_engine", lambda *_: Broken())

    said = engine_facts("auto")["problem"]

    assert "in version\n" in said
    assert said.endswith("KeyError: 'no such field'")


def test_a_doctor_that_fails_is_the_last_result(monkeypatch):
    """
    With its traceback; what it has found before stays.
    """
    before = NamedResult("engine", "found", ok("docker 28"))

    def run_all(*_, **__):
        yield before
        raise RuntimeError("broken")

    monkeypatch.setattr(facts, "run_all", run_all)

    found, last = doctor_results(Config())

    assert before == found
    assert "error" == last.result.status
    assert "in run_all\n" in last.result.text
    assert last.result.text.endswith("RuntimeError: broken")


def test_options_are_shown_without_what_may_be_secret(tmp_path):
    """
    Of variables and scripts, the names; of addresses, no password.
    """
    script = tmp_path / "setup.sh"
    script.write_text("curl -u me:pw")
    values = {
        "env": ["FLAVOUR=vanilla-secret"],
        "setup_script": str(script),
        "upstream_proxy": "http://me:pw@proxy.test:3128",
        "test_command": "make test TOKEN=abc",
        "report": "out",
        "network_secret": ["SENT=a.test"],
    }

    shown = resolved_options(Config.of(values))

    text = json.dumps(shown)
    assert {one.name for one in OPTIONS} <= set(shown)
    assert not [one for one in ("vanilla-secret", "me:pw", "abc", "curl") if one in text]
    assert {"FLAVOUR": "***"} == shown["env"]
    assert "http://proxy.test:3128" == shown["upstream-proxy"]
    assert "make test TOKEN=***" == shown["test-command"]
    assert {"SENT": ["a.test"]} == shown["network-secret"]
    assert str(Path("out")) == shown["report"]
    assert 13 == shown["setup-script"]["bytes"]


@pytest.mark.parametrize("name", ["NAMED", "SENT", "MY_PASSWORD"])
def test_secrets_of_a_run(name):
    """
    Those that the options name, and those that have the name of one.
    """
    config = Config(secret=("NAMED", "UNSET"), network_secret={"SENT": ("a.test",)})

    assert "a *** b" == secrets_of({name: "the value"}, config).text("a the value b")

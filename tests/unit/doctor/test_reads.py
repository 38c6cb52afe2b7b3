"""Doctor: what reading the commit finds."""

from __future__ import annotations

from dataclasses import replace

import pytest

from pytest_codex_workspace.checks.finding import Finding
from pytest_codex_workspace.doctor import reads
from pytest_codex_workspace.options.config import Config
from pytest_codex_workspace.options.script_text import ScriptText

from ...helpers.repositories import Repository, host_environment


def one(check, level=None, line=1):
    return Finding.of(
        check, f"what of {check}", "c.", "Do it.", path="a.sh", line=line, level=level
    )


@pytest.mark.parametrize(
    ("finding", "status", "text"),
    [
        (one("git-remote"), "warning", "what of git-remote: a.sh:1"),
        (one("sudo"), "warning", "what of sudo: a.sh:1"),
        (one("script-syntax"), "error", "what of script-syntax: a.sh:1"),
        (one("script-syntax", "warning"), "warning", "what of script-syntax: a.sh:1"),
        (one("docker-services"), "ok", "what of docker-services: a.sh:1. Do it."),
        (replace(one("sudo"), silenced="we like it"), "ok", "silenced (we like it): what of sudo"),
    ],
)
def test_results(finding, status, text):
    """
    An error is one of the doctor only if no workspace starts because of it.
    """
    result = reads.result_of(finding.id, [finding])

    assert (status, True) == (result.status, result.text.startswith(text))
    assert ("" if status == "ok" else "Do it.") == result.remedy


def test_findings_of_one_id_are_one_result():
    """
    With all places.
    """
    found = [one("sudo", line=1), one("sudo", line=2), one("docker")]

    assert "what of sudo: a.sh:1, a.sh:2" == reads.result_of("sudo", found).text
    assert reads.result_of("git-tags", found) is None
    assert "3 findings; `codex-workspace check`" in reads.count_findings(found).text
    assert reads.count_findings(found).text.endswith("its page, 1 of them an error there")
    assert reads.count_findings(found[:2]).text.endswith("its page")
    assert "nothing that" in reads.count_findings([]).text


@pytest.mark.needs_git
def test_a_repository(tmp_path):
    """
    The variables, reasons and command of the options count; changes have a check of their own.
    """
    repo = Repository(tmp_path / "demo", host_environment(tmp_path / "home"))
    repo.commit({".nvmrc": "22\n", "compose.yaml": "x\n"})
    (repo.path / "new").write_text("")
    config = Config(
        repo=repo.path,
        env={"CODEX_ENV_NODE_VERSION": "22"},
        silence={"docker-services": "for people"},
        test_command="git fetch && make test",
    )

    found = reads.findings(config, repo.env)

    assert {("git-remote", ""), ("docker-services", "for people")} == {
        (each.id, each.silenced) for each in found
    }


@pytest.mark.needs_git
@pytest.mark.parametrize(
    ("config", "selected"),
    [
        (Config(), "Node 20"),
        (Config(profile="current"), "Node 24"),
        (Config(profile="current", env={"CODEX_ENV_NODE_VERSION": "18"}), "Node 18"),
    ],
)
def test_the_versions_are_those_of_the_profile(tmp_path, config, selected):
    """
    Unless a variable selects another.
    """
    repo = Repository(tmp_path / "demo", host_environment(tmp_path / "home"))
    repo.commit({".nvmrc": "22\n"})

    [found] = reads.findings(replace(config, repo=repo.path), repo.env)

    assert f".nvmrc asks for Node 22, and {selected} is selected" == found.what


SETUP = "codex-workspace-scripts/setup-script.sh"
RESUME = "codex-workspace-scripts/setup-from-cache-script.sh"


@pytest.mark.needs_bash
@pytest.mark.needs_git
def test_given_scripts_are_read_in_place_of_the_committed_ones(tmp_path):
    """
    Those that run are checked, by every rule that reads scripts, and no others.
    """
    repo = Repository(tmp_path / "demo", host_environment(tmp_path / "home"))
    broken = "sudo true\nif\n"
    repo.commit({SETUP: broken, RESUME: broken})
    fine = ScriptText("fine.sh", b"set -euo pipefail\nmake\n")
    bad = ScriptText("bad.sh", broken.encode())

    def look(**given):
        found = reads.findings(Config(repo=repo.path, **given), repo.env)
        return {(each.id, each.path) for each in found if each.level != "note"}

    own = look()
    assert {("script-syntax", SETUP), ("script-syntax", RESUME)} <= own
    assert look(setup_script=fine) == set()
    assert look(setup_script=fine, maintenance_script=fine) == set()
    assert ("script-syntax", "bad.sh") in look(setup_script=bad)
    assert ("sudo", "bad.sh") in look(setup_script=fine, maintenance_script=bad)
    only = look(maintenance_script=fine)
    assert only == {one for one in own if one[1] != RESUME}
    repo.commit({SETUP: None, RESUME: None, "a": "1"})
    assert look(maintenance_script=fine) == {("script-missing", None)}
    assert look(setup_script=fine) == set()

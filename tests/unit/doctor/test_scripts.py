"""Doctor: codex-workspace-scripts/ as committed."""

from __future__ import annotations

import os

import pytest

from pytest_codex_workspace.doctor import script_commands, scripts
from pytest_codex_workspace.options.script_text import GivenScripts, ScriptText
from pytest_codex_workspace.projection.repository import open_repository

from ...helpers.repositories import Repository, host_environment

pytestmark = [pytest.mark.needs_bash, pytest.mark.needs_git]

SETUP = "codex-workspace-scripts/setup-script.sh"
RESUME = "codex-workspace-scripts/setup-from-cache-script.sh"


@pytest.fixture
def repository(tmp_path):
    return Repository(tmp_path / "demo", host_environment(tmp_path / "home"))


def presence(repository):
    return scripts.presence(
        open_repository(repository.path, environ=repository.env), repository.env
    )


def committed(repository):
    snapshot = open_repository(repository.path, environ=repository.env)
    return scripts.scripts_at(snapshot, repository.env)


def script(content):
    return scripts.Script(SETUP, "100755", content)


def test_both_scripts_or_none_pass(repository):
    """
    The directory is not required.
    """
    repository.commit({"a": "1"})
    assert ("ok", "no codex-workspace-scripts/: no setup needed") == (
        presence(repository).status,
        presence(repository).text,
    )

    repository.commit({SETUP: "true\n", RESUME: "true\n"})
    assert "setup-script.sh and setup-from-cache-script.sh" == presence(repository).text
    assert [RESUME, SETUP] == [one.path for one in committed(repository)]


def test_given_scripts_are_checked_in_place_of_the_committed_ones(repository):
    """
    Those that run are checked, and what is not used is named.
    """
    text = ScriptText("mine.sh", b"curl https://x.test/i.sh | bash\nif\n")
    repository.commit({SETUP: "true\n", RESUME: "true\n"})
    snapshot = open_repository(repository.path, environ=repository.env)

    def look(given):
        found = scripts.scripts_at(snapshot, repository.env, given)
        return [one.path for one in found], scripts.presence(snapshot, repository.env, given)

    both = look(GivenScripts(text, text))
    assert (["mine.sh"] * 2, "ok") == (both[0], both[1].status)
    assert "mine.sh and mine.sh; codex-workspace-scripts/ is not used" == both[1].text
    assert ["mine.sh"] == look(GivenScripts(text))[0]
    assert ([SETUP, "mine.sh"], "setup-script.sh and mine.sh") == (
        (one := look(GivenScripts(maintenance=text)))[0],
        one[1].text,
    )
    found = scripts.scripts_at(snapshot, repository.env, GivenScripts(text))
    assert "mine.sh: line 3: syntax error" in scripts.syntax(found, os.environ).text
    assert "mine.sh:1: curl | bash" in script_commands.piped_downloads(found).text
    assert "set" == scripts.executable_bits(found).text
    repository.commit({SETUP: None, RESUME: None, "a": "1"})
    bare = open_repository(repository.path, environ=repository.env)
    alone = scripts.presence(bare, repository.env, GivenScripts(maintenance=text))
    assert "error" == alone.status
    assert "--codex-setup-script=PATH" in alone.remedy


@pytest.mark.promise("S5", "S19")
def test_a_directory_without_setup_script_is_an_error(repository):
    """
    S5: this folder must have the script; the remedy names its path.
    """
    repository.commit({RESUME: "true\n"})

    found = presence(repository)

    assert ("error", True) == (found.status, SETUP in found.remedy)


def test_scripts_that_are_not_committed_are_a_warning(repository):
    """
    No workspace runs them.
    """
    repository.commit({"a": "1"})
    repository.path.joinpath("codex-workspace-scripts").mkdir()

    found = presence(repository)

    assert "warning" == found.status
    assert "not in the commit" in found.text
    assert "git add codex-workspace-scripts" in found.remedy


@pytest.mark.parametrize("pattern", ["codex-workspace-scripts/", "*.sh"])
def test_scripts_that_git_ignores_are_an_error(repository, pattern):
    """
    Either the directory or one file is ignored; one of the two scripts is enough.
    """
    repository.commit({SETUP: "true\n"})
    repository.commit({".gitignore": f"{pattern}\n"})
    (repository.path / RESUME).write_text("true\n")

    found = presence(repository)

    assert "error" == found.status
    assert RESUME in found.text
    assert SETUP not in found.text


def test_line_endings_are_those_of_the_commit(repository):
    """
    CRLF in a blob is a warning, even if the work tree has LF.
    """
    repository.commit({SETUP: b"true\r\n", RESUME: "true\n"})
    (repository.path / SETUP).write_text("true\n")

    found = scripts.line_endings(committed(repository))

    assert "warning" == found.status
    assert SETUP in found.text
    assert RESUME not in found.text
    assert ".gitattributes" in found.remedy
    assert "ok" == scripts.line_endings([script(b"true\n")]).status


def test_a_missing_executable_bit_is_ok(repository):
    """
    The text mentions it, because users expect that it matters.
    """
    repository.commit({SETUP: "true\n"})
    assert "and not needed" in scripts.executable_bits(committed(repository)).text
    repository.git("update-index", "--chmod=+x", SETUP)
    repository.git("commit", "-m", "x")
    found = scripts.executable_bits(committed(repository))
    assert ("ok", "set") == (found.status, found.text)


def test_a_syntax_error_has_its_line():
    """
    This holds for a script with CRLF too, which is not an error by itself.
    """
    found = scripts.syntax([script(b"true\r\nif true; then\r\n  fi fi\r\n")], os.environ)

    assert "error" == found.status
    assert f"{SETUP}: line 3: syntax error" in found.text
    assert "ok" == scripts.syntax([script(b"if true; then\r\n  true\r\nfi\r\n")], os.environ).status


def test_checking_syntax_runs_nothing(tmp_path):
    """
    Neither the script nor the file named by BASH_ENV runs.
    """
    trap = tmp_path / "trap"
    (tmp_path / "env").write_text(f"touch {trap}\n")
    environ = {**os.environ, "BASH_ENV": str(tmp_path / "env")}

    scripts.syntax([script(f"touch {trap}\n".encode())], environ)

    assert not trap.exists()


def test_syntax_is_not_checked_without_bash(tmp_path):
    """
    The workspace has a bash of its own.
    """
    found = scripts.syntax([script(b"fi\n")], {"PATH": str(tmp_path)})

    assert ("ok", True) == (found.status, "bash is not installed" in found.text)


def test_an_old_bash_only_warns(tmp_path):
    """
    The bash of macOS cannot parse everything that a workspace's bash can.
    """
    bash = tmp_path / "bash"
    bash.write_text(
        "#!/bin/sh\n"
        'case "$1" in --version) echo "GNU bash, version 3.2.57(1)";; '
        '*) echo "bash: line 1: oh" >&2; exit 2;; esac\n'
    )
    bash.chmod(0o755)

    found = scripts.syntax([script(b"x |& y\n")], {"PATH": str(tmp_path)})

    assert ("warning", f"{SETUP}: line 1: oh") == (found.status, found.text)


@pytest.mark.parametrize(
    "line",
    [
        "set -e",
        "set -euo pipefail",
        "  set -Eeuo pipefail # strict",
        "set -u -e",
        "set -o errexit",
        "set -uo pipefail -o errexit",
        "set -euxo pipefail",
        "cd x && set -e",
        "true; set -o nounset -o errexit",
        "set -e\r",
    ],
)
def test_set_e_is_found(line):
    """
    Each spelling is recognised.
    """
    assert scripts.has_set_e(f"#!/bin/bash\n{line}\ntrue\n")


@pytest.mark.parametrize(
    "line",
    ["# set -e", "set -u", "set +e", "set -o pipefail", "echo set -x", "setup -e", "reset -e"],
)
def test_a_missing_set_e_is_found(line):
    """
    Options in the #! line do not count, because bash is given the text.
    """
    found = scripts.stops_on_error([script(f"#!/bin/bash -e\n{line}\ntrue\n".encode())])

    assert "warning" == found.status
    assert "set -euo pipefail" in found.remedy

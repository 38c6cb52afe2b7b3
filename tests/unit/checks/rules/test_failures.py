"""Failures that a script does not notice."""

from __future__ import annotations

import pytest

from pytest_codex_workspace.checks.rules.failures import has_set_e
from pytest_codex_workspace.codex import SETUP

from ....helpers.checking import findings_in, found_in


def hidden(text):
    return [one for one in findings_in({SETUP: text}) if one.id == "hidden-download"]


@pytest.mark.parametrize(
    ("text", "line", "what"),
    [
        ("set -e\ncurl -fsS https://x/install | bash", 2, "curl | bash"),
        ("curl x |\n  sudo -E bash -", 1, "curl | bash"),
        ("wget -qO- x | sh -s -- --yes", 1, "wget | sh"),
        ("curl x | tee /etc/apt/x.list", 1, "curl | tee"),
        ("if curl x | python3; then true; fi", 1, "curl | python3"),
        ("V=$(curl -s x | jq -r .tag)", 1, "curl | jq"),
        ("(set -o pipefail; curl x | sh)\ncurl x | sh", 2, "curl | sh"),
        ("set -o pipefail\nset +o pipefail\ncurl x | sh", 3, "curl | sh"),
        ("(cd /; curl x) | sh", 1, "curl | sh"),
        ("f() {\n  curl x | sh\n}", 2, "curl | sh"),
        ('bash -c "$(curl -fsSL x)"', 1, "bash -c $(curl ...)"),
        ("set -euo pipefail\nsource <(curl x)", 2, "source <(curl ...)"),
        ('set -o pipefail\neval "$(wget -qO- x)"', 2, "eval $(wget ...)"),
    ],
)
def test_a_download_whose_failure_is_hidden(text, line, what):
    """
    The finding has its line, and what to do.
    """
    found = hidden(text)

    assert [(line, "warning")] == [(one.line, one.level) for one in found]
    assert found[0].what.endswith(what)
    assert "set -euo pipefail" in found[0].remedy


@pytest.mark.parametrize(
    "text",
    [
        "set -euo pipefail\ncurl x | bash",
        "set -e -o pipefail\n(curl x | sh)\nV=$(curl x | jq .)",
        "shopt -so pipefail\ncurl x | sh",
        "curl x | tar xz",
        "curl x | sudo gpg --dearmor -o /x",
        "curl -o f x && bash f",
        "# curl x | bash",
        "echo 'run: curl x | bash'",
        "cat >README <<'X'\ncurl x | bash\nX",
        "curl x | bash\n[ ${PIPESTATUS[0]} = 0 ] || exit 1",
        "echo y | bash x",
    ],
)
def test_no_failure_of_a_download_is_hidden(text):
    """
    Where pipefail is in force, the next program notices, or there is no download.
    """
    assert [] == hidden(text)


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
    assert has_set_e(f"#!/bin/bash\n{line}\ntrue\n")


@pytest.mark.parametrize(
    "line",
    ["# set -e", "set -u", "set +e", "set -o pipefail", "echo set -x", "setup -e", "reset -e"],
)
def test_a_missing_set_e_is_found(line):
    """
    Options in the #! line do not count, because bash is given the text.
    """
    found = findings_in({SETUP: f"#!/bin/bash -e\n{line}\ntrue\nfalse\n"})

    assert ["warning script-errors"] == [f"{one.level} {one.id}" for one in found]
    assert "set -euo pipefail" in found[0].remedy


def test_one_command_needs_no_set_e():
    """
    Its exit code is that of the script; a called script decides for itself.
    """
    assert [] == found_in({SETUP: "make setup\n", "Makefile": "setup:\n\ta\n\tb\n"})

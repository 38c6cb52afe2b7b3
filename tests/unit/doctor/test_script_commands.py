"""Doctor: single commands of codex-workspace-scripts/."""

from __future__ import annotations

import pytest

from pytest_codex_workspace.codex import SETUP
from pytest_codex_workspace.doctor import script_commands
from pytest_codex_workspace.doctor.scripts import Script


def script(text: str) -> list[Script]:
    return [Script(SETUP, "100755", text.encode())]


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("set -e\ncurl -fsS https://x/install | bash", "2: curl | bash"),
        ("curl x |\n  sudo -E bash -", "1: curl | bash"),
        ("wget -qO- x | sh -s -- --yes", "1: wget | sh"),
        ("curl x | tee /etc/apt/x.list", "1: curl | tee"),
        ("if curl x | python3; then true; fi", "1: curl | python3"),
        ("V=$(curl -s x | jq -r .tag)", "1: curl | jq"),
        ("(set -o pipefail; curl x | sh)\ncurl x | sh", "2: curl | sh"),
        ("set -o pipefail\nset +o pipefail\ncurl x | sh", "3: curl | sh"),
        ("(cd /; curl x) | sh", "1: curl | sh"),
        ("f() {\n  curl x | sh\n}", "2: curl | sh"),
        ('bash -c "$(curl -fsSL x)"', "1: bash -c $(curl ...)"),
        ("set -euo pipefail\nsource <(curl x)", "2: source <(curl ...)"),
        ('set -o pipefail\neval "$(wget -qO- x)"', "2: eval $(wget ...)"),
    ],
)
def test_a_download_whose_failure_is_hidden(text: str, what: str) -> None:
    """
    The warning has its line, and what to do.
    """
    found = script_commands.piped_downloads(script(text))

    assert found.status == "warning"
    assert f"{SETUP}:{what}" in found.text
    assert "set -euo pipefail" in found.remedy


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
def test_no_failure_of_a_download_is_hidden(text: str) -> None:
    """
    Where pipefail is in force, the next program notices, or there is no download.
    """
    assert script_commands.piped_downloads(script(text)).status == "ok"


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("git merge-base HEAD origin/main", "1: origin/main"),
        ("\nnx affected --base=origin/main", "2: --base=origin/main"),
        ("git -c a=b fetch --tags", "1: git fetch"),
        ("B=$(git log upstream/main..HEAD)", "1: upstream/main..HEAD"),
        ("git lfs pull", "1: git lfs pull"),
        ("git submodule update --init --remote", "1: git submodule update --remote"),
    ],
)
def test_a_script_that_needs_a_remote(text: str, what: str) -> None:
    """
    The warning has its line, and what to do.
    """
    found = script_commands.remotes(script(text))

    assert found.status == "warning"
    assert f"a workspace has no remote, as in Codex: {SETUP}:{what}" in found.text
    assert "HEAD~1" in found.remedy


@pytest.mark.parametrize(
    "text",
    [
        "git fetch https://example.org/x main",
        "git remote add origin https://x\ngit fetch origin",
        "git -C /opt/tool pull",
        "curl https://x/origin/main",
        "cd src/origin/main",
        "git lfs install",
        "git submodule update --init",
        "git status # origin/main",
    ],
)
def test_a_script_that_needs_no_remote(text: str) -> None:
    """
    An address, another repository, or a path.
    """
    assert script_commands.remotes(script(text)).status == "ok"


def test_exports_of_the_script_only() -> None:
    """
    They are named, unless a profile is written or only installers read them.
    """
    text = "export A=1 B\nexport DEBIAN_FRONTEND=noninteractive\nexport -n C"
    found = script_commands.exports(script(text))

    assert found.status == "ok"
    assert f"{SETUP}:1: A, {SETUP}:1: B" in found.text
    assert "C" not in found.text.replace(SETUP, "")
    written = script(f"{text}\necho 'export A=1' >>~/.bashrc")
    assert script_commands.exports(written).text == "a profile is written"

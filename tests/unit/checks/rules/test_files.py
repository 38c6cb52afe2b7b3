"""Files as they are committed."""

from __future__ import annotations

import pytest

from pytest_codex_workspace.codex import RESUME, SETUP

from ....helpers.checking import findings_in, found_by_setup, found_in


def test_line_endings():
    """
    A workspace runs a copy of the two scripts with LF; the others fail.
    """
    files = {
        SETUP: "set -e\nbash a.sh\n",
        RESUME: "set -e\r\n",
        "a.sh": "#!/bin/sh\necho\r\n",
        "b.sh": "#!/bin/sh\r\n",
    }

    found = found_in(files)

    assert ["error script-crlf a.sh:2", f"warning script-crlf {RESUME}:1"] == found


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("./gradlew build", True),
        ("tools/x.sh", True),
        ("if ! ./gradlew; then exit 1; fi", False),
        ("bash tools/x.sh", False),
        ("chmod +x gradlew\n./gradlew", False),
        ("chmod -R +x tools/\ntools/x.sh", False),
        ("chmod +x tools/*.sh\ntools/x.sh", False),
        ("./made/by/make", False),
        ("git ls-files '*.sh' | xargs chmod +x\ntools/x.sh", False),
        ("find . -name '*.sh' -exec chmod +x {} +\ntools/x.sh", False),
        ("./ok.sh", False),
    ],
)
def test_files_that_are_run_and_not_executable(text, found):
    """
    Unless the script makes them so, or gives them to a shell.
    """
    files = {"gradlew": "#!/bin/sh\n", "tools/x.sh": "#!/bin/sh\n", "+ok.sh": "#!/bin/sh\n"}

    assert (["error script-executable 2"] if found else []) == found_by_setup(text, files)


def test_test_commands_run_files_too():
    """
    Such as the wrapper of Maven.
    """
    files = {"Makefile": "test:\n\t./mvnw -q verify\n", "mvnw": "#!/bin/sh\n"}

    assert ["error script-executable Makefile:2"] == found_in(files)


POINTER = f"version https://git-lfs.github.com/spec/v1\noid sha256:{'0' * 64}\nsize 12345\n"


def test_lfs_pointers():
    """
    A workspace gets the pointers. A file that only mentions a pointer does not count.
    """
    assert [] == findings_in({"readme": f"see\n{POINTER}", ".gitattributes": "*.bin filter=lfs\n"})

    found = findings_in({"data/big.bin": POINTER, "data/small.bin": "small"})

    assert [("warning", "git-lfs", "data/big.bin:1")] == [
        (one.level, one.id, one.where) for one in found
    ]
    assert found[0].what.startswith("the commit has 1 LFS pointer, and")
    assert "setup-script.sh" in found[0].remedy


def test_other_filters():
    """
    The filter is found in any directory, once, and not in a comment.
    """
    files = {
        "sub/.gitattributes": "# *.x filter=no\n*.key filter=crypt diff=crypt\n*.pem filter=crypt\n",
        "other.txt": "filter=x",
    }

    found = findings_in(files)

    assert [("warning", "git-filter", "sub/.gitattributes:2")] == [
        (one.level, one.id, one.where) for one in found
    ]
    assert "filter crypt" in found[0].what

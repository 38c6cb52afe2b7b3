"""The user of a container."""

from __future__ import annotations

from pathlib import Path

import pytest

from pytest_codex_workspace.engine.native.runner.users import User, find_user


@pytest.fixture
def etc(tmp_path: Path) -> str:
    """
    A directory with two users and three groups.
    """
    (tmp_path / "passwd").write_text("root:x:0:0::/root:/bin/sh\nme:x:7:8::/home/me:\nbroken\n")
    (tmp_path / "group").write_text("root:x:0:\nmine:x:8:\nother:x:9:you,me\n")
    return str(tmp_path)


@pytest.mark.parametrize(
    ("named", "user"),
    [
        ("", User(0, 0, "/root", (0,))),
        ("me", User(7, 8, "/home/me", (8, 9))),
        ("7", User(7, 8, "/home/me", (8, 9))),
        ("me:other", User(7, 9, "/home/me")),
        ("65534", User(65534, 0, "/", (0,))),
        ("65534:12", User(65534, 12, "/")),
    ],
)
def test_a_user_is_found_by_name_or_number(etc: str, named: str, user: User):
    """
    A number need not be known; then it has no home.
    """
    assert user == find_user(named, etc)


@pytest.mark.parametrize("named", ["nobody-here", "me:nothing"])
def test_an_unknown_name_is_an_error(etc: str, named: str):
    """
    As in Docker.
    """
    with pytest.raises(ValueError, match="no matching entries"):
        find_user(named, etc)

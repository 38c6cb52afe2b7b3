"""Tests of remembering which clone a setup was made from."""

from __future__ import annotations

import pytest

from pytest_codex_workspace.cache.origins import Origins


def test_the_clone_of_an_image_is_remembered(tmp_path):
    """
    Another image has none.
    """
    origins = Origins(tmp_path / "origins")

    origins.note("sha256:abc", "/home/me/fork")

    assert ("/home/me/fork", "") == (origins.of("sha256:abc"), origins.of("sha256:def"))


@pytest.mark.parametrize("content", ["", "{", "[1]"])
def test_a_damaged_file_is_nothing(tmp_path, content):
    """
    So is a directory that cannot be written.
    """
    (tmp_path / "abc.json").write_text(content)

    assert Origins(tmp_path).of("sha256:abc") == ""
    Origins(tmp_path / "abc.json").note("sha256:abc", "/x")

"""Tests of reading the package registries of a base image."""

from __future__ import annotations

import pytest

from pytest_codex_workspace.engine.protocol import ImageInfo
from pytest_codex_workspace.errors import WorkspaceLost
from pytest_codex_workspace.reporting.output import Output
from pytest_codex_workspace.setup.package_registries import read_registries

pytestmark = pytest.mark.usefixtures("cache_home")

IMAGE = ImageInfo(id="sha256:abc", tags=("mine:1",))


class Launcher:
    """
    Starts a container that has one file, or raises an error when the file is read.
    """

    def __init__(self, file):
        self.channel = self
        self.file = file
        self.started = self.stopped = 0

    def launch(self, *_args, **_options):
        self.started += 1
        return self

    def read_file(self, _path, *, limit):
        if isinstance(self.file, Exception):
            raise self.file
        assert len(self.file) <= limit
        return self.file

    def stop(self, _running):
        self.stopped += 1


@pytest.fixture
def notes():
    """
    What is shown.
    """
    return []


@pytest.fixture
def output(notes):
    """
    Shows notes.
    """
    return Output("progress", notes.append)


def test_the_list_is_read_once(output, notes):
    """
    A list of an image never changes, so this machine remembers the list.
    """
    launcher = Launcher(b'{"python": ["PyPI.org"], "npm": []}')
    for _ in range(2):
        found = read_registries(IMAGE, launcher, output)
        assert {"python": ["pypi.org"], "npm": []} == found

    assert (1, 1, []) == (launcher.started, launcher.stopped, notes)


@pytest.mark.parametrize(
    "file",
    [
        FileNotFoundError("no such file"),
        OSError("larger than 64 KiB"),
        b"",
        b"[" * 10_000,
        b"[]",
        b'{"python": 1}',
        b'{"python": [1]}',
        b'{"python": ["*"]}',
        b'{"python": ["*.example.org"]}',
    ],
)
def test_an_image_without_a_valid_list(output, notes, file):
    """
    A foreign image can write anything there. A pattern would open the presets to any host.
    """
    launcher = Launcher(file)
    assert {} == read_registries(IMAGE, launcher, output)
    assert 1 == launcher.stopped
    assert any("mine:1 has no list of package registries" in line for line in notes)


def test_a_workspace_that_is_lost_is_an_error(output):
    """
    It says nothing about the image.
    """
    launcher = Launcher(WorkspaceLost("The container was removed."))
    with pytest.raises(WorkspaceLost):
        read_registries(IMAGE, launcher, output)
    assert 1 == launcher.stopped

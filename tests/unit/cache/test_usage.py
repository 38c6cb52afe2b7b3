"""Tests of counting the uses of cached images."""

from __future__ import annotations

import threading
import time

from pytest_codex_workspace.cache.usage import Usage, Use, usage_on
from tests.fakes.engine import FakeEngine


def test_uses_are_counted(tmp_path):
    """
    All counters of one directory share the counts.
    """
    before = time.time()
    for _ in range(3):
        Usage(tmp_path / "uses").note("sha256:abc")

    found = Usage(tmp_path / "uses").of("sha256:abc")

    assert 3 == found.hits
    assert before - 1 <= found.last <= time.time() + 1
    assert Use() == Usage(tmp_path / "uses").of("sha256:def")


def test_threads_do_not_lose_uses(tmp_path):
    """
    Each use is one append to a file.
    """
    usage = Usage(tmp_path)
    threads = [
        threading.Thread(target=lambda: [usage.note("sha256:abc") for _ in range(50)])
        for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert 400 == usage.of("sha256:abc").hits


def test_images_that_are_gone_are_forgotten(tmp_path):
    """
    The uses of other images are kept.
    """
    usage = Usage(tmp_path)
    usage.note("sha256:abc")
    usage.note("sha256:def")

    usage.forget(["sha256:abc"])

    assert ["abc"] == [path.name for path in tmp_path.iterdir()]


def test_a_directory_that_cannot_be_written_is_no_error(tmp_path):
    """
    Uses are not counted then.
    """
    (tmp_path / "file").write_text("")
    usage = Usage(tmp_path / "file" / "uses")
    usage.note("sha256:abc")
    usage.forget([])

    assert Use() == usage.of("sha256:abc")


class OtherEngine(FakeEngine):
    """
    An engine with another address.
    """

    @property
    def url(self) -> str:
        return "fake://elsewhere"


def test_engines_have_separate_counts(cache_home):
    """
    The clean-up of one engine does not forget the uses of another.
    """
    usage_on(FakeEngine()).note("sha256:abc")
    usage_on(OtherEngine()).forget([])

    assert 1 == usage_on(FakeEngine()).of("sha256:abc").hits
